//! QEMU's arguments, as a pure function of what is wanted (`qemu-system-x86_64(1)`).
//!
//! Every file and socket is a descriptor that QEMU inherits under a fixed number: nothing has a guessable path,
//! and nothing is left behind. The devices are the same, in the same order, for a boot and for a clone of it: that
//! is what a saved machine state demands.

use super::VmSpec;
use super::accelerator::Accelerator;
use super::disk::DiskSpec;
use super::qemu::QemuVersion;
use pyro_protocol::network;

/// Numbers of the descriptors that QEMU inherits.
pub mod fd {
    /// QMP.
    pub const QMP: i32 = 3;
    /// The guest channel.
    pub const CHANNEL: i32 = 4;
    /// The serial console.
    pub const CONSOLE: i32 = 5;
    /// The environment's root image, read-only.
    pub const ROOT: i32 = 6;
    /// The machine's own disk.
    pub const DISK: i32 = 7;
    /// The file that is the guest's memory, for templates and clones.
    pub const MEMORY: i32 = 8;
    /// The guest kernel, for boots.
    pub const KERNEL: i32 = 9;
    /// The initramfs, for boots.
    pub const INITRAMFS: i32 = 10;
    /// The device state of a template, for clones.
    pub const STATE: i32 = 11;
    /// The other end of the network device, for machines that have one.
    pub const NETWORK: i32 = 12;
}

/// What TCG is good at. With ERMS and FSRM the guest copies memory by `rep movsb`, which is emulated byte by byte
/// (file reads 5.7 times slower), and AVX code is slower than SSE; five-level paging and the protections of
/// supervisor mode cost checks at each access, and protect a guest from itself.
const TCG_CPU: &str = "max,avx=off,avx2=off,erms=off,fsrm=off,la57=off,smap=off,smep=off,umip=off,pku=off";

/// How the machine comes to life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start<'a> {
    /// The kernel boots, its memory is its own.
    Boot {
        /// The kernel command line.
        cmdline: &'a str,
    },
    /// The kernel boots with a file for its memory, to be saved as a template.
    BootTemplate {
        /// The kernel command line.
        cmdline: &'a str,
    },
    /// A template's memory is mapped privately; the state comes over QMP.
    Clone,
}

/// All arguments after the program's name.
pub fn build(spec: &VmSpec, accelerator: Accelerator, qemu: QemuVersion, start: Start<'_>) -> Vec<String> {
    let groups = [
        conduct_args(),
        machine_args(accelerator),
        cpu_args(spec, accelerator),
        memory_args(spec, qemu, start),
        boot_args(start),
        qmp_args(),
        console_args(),
        disk_args("root", fd::ROOT, true, DiskSpec::Scratch),
        disk_args("disk", fd::DISK, false, spec.disk),
        channel_args(),
        if spec.network { network_args() } else { Vec::new() },
    ];
    groups.concat()
}

/// What QEMU may do to the host: no devices or configuration of its own accord, a seccomp filter that forbids
/// to start programs, to gain privileges or to change its limits.
fn conduct_args() -> Vec<String> {
    let sandbox = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";
    words(&[
        "-name",
        "pyro",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-sandbox",
        sandbox,
    ])
}

/// The smallest machine there is. The kernel finds its virtio devices through ACPI and its time in the clock chip
/// (without which it waits for a second); it needs neither of the old interrupt and timer chips.
fn machine_args(accelerator: Accelerator) -> Vec<String> {
    let accel = match accelerator {
        Accelerator::Kvm => "kvm",
        // Room for translated code: below 32 MiB it is thrown away and made again all the time.
        Accelerator::Tcg => "tcg,tb-size=256",
    };
    let machine = "microvm,pit=off,pic=off,rtc=on,acpi=on,memory-backend=memory";
    words(&["-machine", machine, "-accel", accel])
}

fn cpu_args(spec: &VmSpec, accelerator: Accelerator) -> Vec<String> {
    let model = match accelerator {
        Accelerator::Kvm => "host",
        Accelerator::Tcg => TCG_CPU,
    };
    words(&["-cpu", model, "-smp", &spec.vcpu_count.to_string()])
}

fn memory_args(spec: &VmSpec, qemu: QemuVersion, start: Start<'_>) -> Vec<String> {
    let size = format!("{}M", spec.mem_mib);
    let file = format!("memory-backend-file,id=memory,size={size},mem-path=/proc/self/fd/{}", fd::MEMORY);
    let backend = match start {
        Start::Boot { .. } => format!("memory-backend-ram,id=memory,size={size}"),
        Start::BootTemplate { .. } => format!("{file},share=on"),
        Start::Clone if qemu.maps_read_only_files() => format!("{file},share=off,readonly=on,rom=off"),
        Start::Clone => format!("{file},share=off"),
    };
    words(&["-m", &size, "-object", &backend])
}

fn boot_args(start: Start<'_>) -> Vec<String> {
    let (kernel, initramfs) =
        (format!("/proc/self/fd/{}", fd::KERNEL), format!("/proc/self/fd/{}", fd::INITRAMFS));
    match start {
        Start::Boot { cmdline } | Start::BootTemplate { cmdline } => {
            words(&["-kernel", &kernel, "-initrd", &initramfs, "-append", cmdline])
        }
        Start::Clone => words(&["-incoming", "defer"]),
    }
}

fn qmp_args() -> Vec<String> {
    let socket = format!("socket,id=qmp,fd={}", fd::QMP);
    words(&["-chardev", &socket, "-mon", "chardev=qmp,mode=control"])
}

fn console_args() -> Vec<String> {
    let socket = format!("socket,id=console,fd={}", fd::CONSOLE);
    words(&["-chardev", &socket, "-serial", "chardev:console"])
}

/// A disk behind a descriptor. What the guest trims is given back to the host. The file is not dropped from the host's
/// page cache when a template is restored, as QEMU does for machines that come from another host: every clone would
/// read the root image anew.
///
/// Nothing of a scratch disk outlives the machine, so that the guest's flushes need not reach the host's disk; a full
/// host disk is told to the guest as such. What a guest has flushed to a persistent disk stays, whatever happens; a
/// full host disk stops the machine until there is room again, as an error would damage the work of a guest that
/// believes in its 64 GiB. Other errors are the guest's to handle.
fn disk_args(name: &str, fd: i32, read_only: bool, spec: DiskSpec) -> Vec<String> {
    let read_only = if read_only { "on" } else { "off" };
    let set = format!("fd={fd},set={fd}");
    let (flushes, on_write_error) = match spec {
        DiskSpec::Scratch => ("cache.no-flush=on,", "report"),
        DiskSpec::Persistent { .. } => ("", "enospc"),
    };
    let node = format!(
        "driver=file,node-name={name},filename=/dev/fdset/{fd},locking=off,read-only={read_only},\
         discard=unmap,{flushes}drop-cache=off"
    );
    let device = format!("virtio-blk-device,drive={name},werror={on_write_error},rerror=report");
    words(&["-add-fd", &set, "-blockdev", &node, "-device", &device])
}

fn channel_args() -> Vec<String> {
    let socket = format!("socket,id=channel,fd={}", fd::CHANNEL);
    let port = format!("virtserialport,chardev=channel,name={}", pyro_protocol::PORT_NAME);
    words(&["-device", "virtio-serial-device", "-chardev", &socket, "-device", &port])
}

/// A network device whose other end is a stream of frames to our own gateway (`net/stream.c` of QEMU).
fn network_args() -> Vec<String> {
    let netdev = format!("stream,id=net,server=off,addr.type=fd,addr.str={}", fd::NETWORK);
    let mac = network::GUEST_MAC.map(|byte| format!("{byte:02x}")).join(":");
    let device = format!("virtio-net-device,netdev=net,mac={mac},host_mtu={}", network::MTU);
    words(&["-netdev", &netdev, "-device", &device])
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: QemuVersion = QemuVersion { major: 7, minor: 2 };
    const NEW: QemuVersion = QemuVersion { major: 10, minor: 0 };

    fn line(accelerator: Accelerator, qemu: QemuVersion, start: Start<'_>) -> String {
        line_of(DiskSpec::Scratch, accelerator, qemu, start)
    }

    fn line_of(disk: DiskSpec, accelerator: Accelerator, qemu: QemuVersion, start: Start<'_>) -> String {
        let spec = VmSpec { vcpu_count: 2, mem_mib: 512, disk, network: false };
        build(&spec, accelerator, qemu, start).join(" ").replace(" -", "\n-")
    }

    #[test]
    fn a_persistent_disk_is_flushed_and_stops_the_machine_when_the_host_is_full() {
        let disk = DiskSpec::Persistent { size_mib: 65536 };
        let line = line_of(disk, Accelerator::Kvm, OLD, Start::Clone);
        let disk_lines: Vec<&str> = line.lines().filter(|line| line.contains("=disk,")).collect();
        insta::assert_snapshot!(disk_lines.join("\n"));
        let scratch = line_of(DiskSpec::Scratch, Accelerator::Kvm, OLD, Start::Clone);
        let others = |line: &str| -> Vec<String> {
            line.lines().filter(|line| !line.contains("=disk,")).map(str::to_owned).collect()
        };
        assert_eq!(others(&line), others(&scratch));
    }

    #[test]
    fn a_network_device_is_there_only_where_it_is_wanted_and_last() {
        let args = |network| {
            let spec = VmSpec::default().with_network(network);
            build(&spec, Accelerator::Tcg, OLD, Start::Boot { cmdline: "" })
        };
        let (without, with) = (args(false), args(true));
        assert!(!without.join(" ").contains("net"), "{without:?}");
        assert_eq!(with[..without.len()], without);
        insta::assert_snapshot!(with[without.len()..].join(" ").replace(" -", "\n-"));
    }

    #[test]
    fn a_boot_under_tcg() {
        insta::assert_snapshot!(line(Accelerator::Tcg, OLD, Start::Boot { cmdline: "quiet panic=-1" }));
    }

    #[test]
    fn a_boot_and_its_clone_have_the_same_devices() {
        let devices = |start| -> Vec<String> {
            let line = line(Accelerator::Kvm, NEW, start);
            line.lines().filter(|line| line.starts_with("-device")).map(str::to_owned).collect()
        };
        assert_eq!(devices(Start::BootTemplate { cmdline: "" }), devices(Start::Clone));
    }

    #[test]
    fn a_clone_maps_the_template_privately() {
        insta::assert_snapshot!(line(Accelerator::Kvm, NEW, Start::Clone));
        let old = line(Accelerator::Kvm, OLD, Start::Clone);
        assert!(old.contains("share=off") && !old.contains("rom="), "{old}");
    }
}
