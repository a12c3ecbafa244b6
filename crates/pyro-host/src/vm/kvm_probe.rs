//! Times a loop of ordinary 64-bit code in a virtual machine of `/dev/kvm`.
//!
//! That the device exists, opens and answers every call says nothing about speed: some hosts emulate ordinary
//! guests one instruction at a time, and a kernel that boots in a second elsewhere hangs there for minutes. The
//! only honest answer is to run guest code and look at the clock (`Documentation/virt/kvm/api.rst`).
#![allow(unsafe_code, reason = "guest memory is handed to KVM by address")]

use kvm_bindings::{kvm_regs, kvm_segment, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::ffi::c_void;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Turns of the loop, two instructions each: 13 ms on a host that emulates, microseconds on one that does not.
const N_TURNS: u64 = 20_000;
const N_RUNS: usize = 5;
const MEMORY_BYTES: usize = 2 * 1024 * 1024;
const CODE_ADDRESS: u64 = 0x1_0000;
/// `1: dec rcx; jnz 1b; hlt`
const CODE: [u8; 6] = [0x48, 0xff, 0xc9, 0x75, 0xfb, 0xf4];
/// A host that takes longer than this is of no use, whatever it would answer.
const LIMIT: Duration = Duration::from_secs(2);

/// Millions of guest instructions a second, or why none ran.
pub(super) fn measure() -> Result<f64, String> {
    let (sender, receiver) = mpsc::channel();
    // On a thread of its own, which is given up if the host never comes back from KVM_RUN.
    std::thread::spawn(move || sender.send(run_often().map_err(|error| error.to_string())));
    match receiver.recv_timeout(LIMIT) {
        Ok(answer) => answer,
        Err(_) => Err(format!("a loop of {N_TURNS} turns did not end within {} s", LIMIT.as_secs())),
    }
}

/// Runs the loop several times and takes the fastest: the first one pays for the mapping of its pages, and any of
/// them may be interrupted on a busy host.
fn run_often() -> Result<f64, Box<dyn std::error::Error>> {
    let memory = GuestMemory::new()?;
    let kvm = Kvm::new()?;
    let vm = kvm.create_vm()?;
    let mut vcpu = vm.create_vcpu(0)?;
    memory.attach(&vm)?;
    memory.write_tables_and_code();
    enter_long_mode(&vcpu)?;
    let mut seconds = f64::INFINITY;
    for _ in 0..N_RUNS {
        let start = Instant::now();
        run_loop(&mut vcpu)?;
        seconds = seconds.min(start.elapsed().as_secs_f64());
    }
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    Ok(2.0 * N_TURNS as f64 / seconds / 1e6)
}

fn run_loop(vcpu: &mut VcpuFd) -> Result<(), Box<dyn std::error::Error>> {
    vcpu.set_regs(&kvm_regs { rip: CODE_ADDRESS, rcx: N_TURNS, rflags: 2, ..Default::default() })?;
    match vcpu.run()? {
        VcpuExit::Hlt => Ok(()),
        other => Err(format!("the loop ended with {other:?}").into()),
    }
}

/// Sets what a boot loader would: paging with one 2 MiB page, flat segments, 64-bit mode.
fn enter_long_mode(vcpu: &VcpuFd) -> Result<(), kvm_ioctls::Error> {
    const PAE: u64 = 1 << 5;
    const PROTECTED_PAGED_MODE: u64 = 0x8005_0033;
    const LONG_MODE_ENABLED_ACTIVE: u64 = 0x500;
    let mut registers = vcpu.get_sregs()?;
    registers.cr3 = 0x1000;
    registers.cr4 = PAE;
    registers.cr0 = PROTECTED_PAGED_MODE;
    registers.efer = LONG_MODE_ENABLED_ACTIVE;
    let code = kvm_segment {
        limit: u32::MAX,
        selector: 8,
        type_: 11,
        present: 1,
        s: 1,
        l: 1,
        g: 1,
        ..Default::default()
    };
    let data = kvm_segment { selector: 16, type_: 3, l: 0, db: 1, ..code };
    registers.cs = code;
    for segment in
        [&mut registers.ds, &mut registers.es, &mut registers.fs, &mut registers.gs, &mut registers.ss]
    {
        *segment = data;
    }
    vcpu.set_sregs(&registers)
}

/// Two MiB of memory for the guest, unmapped when dropped.
struct GuestMemory {
    address: *mut c_void,
}

impl GuestMemory {
    fn new() -> rustix::io::Result<Self> {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let address = unsafe { mmap_anonymous(std::ptr::null_mut(), MEMORY_BYTES, protection, flags)? };
        Ok(Self { address })
    }

    fn attach(&self, vm: &VmFd) -> Result<(), kvm_ioctls::Error> {
        let region = kvm_userspace_memory_region {
            slot: 0,
            flags: 0,
            guest_phys_addr: 0,
            memory_size: MEMORY_BYTES as u64,
            userspace_addr: self.address as u64,
        };
        // SAFETY: the region is our own mapping of that size, and is unmapped only after the machine is gone:
        // `run_often` drops its values in reverse order.
        unsafe { vm.set_user_memory_region(region) }
    }

    /// Page tables that map the first 2 MiB to themselves (present, writable; the last one large), and the code.
    fn write_tables_and_code(&self) {
        for (address, entry) in [(0x1000, 0x2003_u64), (0x2000, 0x3003), (0x3000, 0x83)] {
            self.write(address, &entry.to_le_bytes());
        }
        self.write(CODE_ADDRESS as usize, &CODE);
    }

    fn write(&self, address: usize, bytes: &[u8]) {
        assert!(address + bytes.len() <= MEMORY_BYTES, "constants of this file");
        // SAFETY: within the mapping, as just checked, and no vCPU runs while it is written.
        unsafe { self.address.byte_add(address).cast::<u8>().copy_from(bytes.as_ptr(), bytes.len()) }
    }
}

impl Drop for GuestMemory {
    fn drop(&mut self) {
        // SAFETY: our own mapping, unmapped once. Failure would leave 2 MiB mapped and harms nobody.
        let _ = unsafe { munmap(self.address, MEMORY_BYTES) };
    }
}
