//! The guest kernel's command line, each parameter with its reason
//! (`Documentation/admin-guide/kernel-parameters.txt`).

use super::accelerator::Accelerator;
use super::tsc;

/// For every guest.
const ALWAYS: &[&str] = &[
    // The console is the one place where a guest that does not come up can say why.
    "console=ttyS0",
    // Warnings and worse only: each character costs an exit to QEMU.
    "quiet",
    // A panic ends QEMU (which has -no-reboot) at once instead of leaving a machine that hangs.
    "panic=-1",
    // By triple fault: the microvm has no keyboard controller and nothing else to try first.
    "reboot=t",
    // Self-tests of cryptographic algorithms: 280 ms of an emulated boot.
    "cryptomgr.notests",
    // Nobody runs an audit daemon in the guest, and its hooks are paid for at each system call.
    "audit=0",
    // There is no PCI bus; the kernel says so loudly if it has to find that out by itself.
    "pci=off",
    // Five-level page tables are for guests of more than 64 TiB.
    "no5lvl",
];

/// For emulated guests only.
const EMULATED: &[&str] = &[
    // The guest's counter is the host's own: it need not be watched by a slower clock.
    "tsc=reliable",
    // The emulated timer interrupt may come late on a busy host; that is no reason to give up on it.
    "no_timer_check",
    // QEMU 7.2 translates a program anew at each address it is loaded to: the same address each time makes starting
    // a program four times faster. It is the guest's own defence against itself that is given up; a command may
    // have it back (`sysctl kernel.randomize_va_space=2`).
    "norandmaps",
    // Emulation has none of the flaws that these work around; switching them off saves translated code.
    "mitigations=off",
];

/// The command line for a boot under this accelerator. Measures the host's clock, which takes 10 ms.
pub fn build(accelerator: Accelerator) -> String {
    let mut words: Vec<String> = ALWAYS.iter().map(|&word| word.to_owned()).collect();
    if accelerator == Accelerator::Tcg {
        words.extend(EMULATED.iter().map(|&word| word.to_owned()));
        words.push(format!("tsc_early_khz={}", tsc::khz()));
    }
    words.join(" ")
}

/// Everything of the command line that does not vary between two boots of the same host: part of a template's
/// key.
pub fn constant_part(accelerator: Accelerator) -> String {
    match accelerator {
        Accelerator::Kvm => ALWAYS.join(" "),
        Accelerator::Tcg => [ALWAYS, EMULATED].concat().join(" "),
    }
}
