//! How much a machine of a given size may use: of what control groups count, and of what a process limits itself to
//! (`setrlimit(2)`).

use super::cgroups::{Caps, Controller, Groups};
use rustix::process::{Resource, getrlimit};
use std::os::fd::BorrowedFd;

const MIB: u64 = 1024 * 1024;
/// QEMU beside its guest's memory: 256 MiB of translated code and what describes it, thread stacks, page tables, and the
/// part of the page cache that cannot be dropped at once.
const OVERHEAD_MIB: u64 = 1024;
/// Addresses, unlike memory, are cheap: stacks and the allocator reserve far more than they touch.
const OVERHEAD_ADDRESSES_MIB: u64 = 32 * 1024;
/// Threads beside those of the vCPUs: QEMU uses up to 64 for a disk.
const OVERHEAD_PROCESSES: u64 = 128;
/// CPUs beside those of the vCPUs, for disk and channel.
const OVERHEAD_CPUS: u64 = 1;
const N_DESCRIPTORS: u64 = 512;
/// How much larger than now, or than the guest's memory, a file may get.
const OVERHEAD_FILE_MIB: u64 = 64;

/// Of a guest.
#[derive(Debug, Clone, Copy)]
pub(super) struct MachineSize {
    pub(super) vcpu_count: u32,
    pub(super) mem_mib: u32,
}

impl MachineSize {
    /// What its control groups allow.
    pub(super) fn caps(self) -> Caps {
        let mem_mib = u64::from(self.mem_mib);
        Caps {
            // Page tables and records of pages grow with it.
            memory_bytes: (mem_mib + mem_mib / 8 + OVERHEAD_MIB) * MIB,
            n_processes: OVERHEAD_PROCESSES + u64::from(self.vcpu_count),
            n_cpus: OVERHEAD_CPUS + u64::from(self.vcpu_count),
        }
    }
}

/// The size of the largest of these files.
pub(super) fn largest_file<'a>(files: impl Iterator<Item = BorrowedFd<'a>>) -> u64 {
    let size = |file| rustix::fs::fstat(file).ok().and_then(|stat| u64::try_from(stat.st_size).ok());
    files.filter_map(size).max().unwrap_or(0)
}

/// The limits of the process, by resource: all of them hard. What a control group counts better is left to it.
pub(super) fn of_process(
    size: MachineSize,
    groups: &Groups,
    has_own_user: bool,
    largest_file: u64,
) -> Vec<(u32, u64)> {
    let mem_mib = u64::from(size.mem_mib);
    let largest_file = largest_file.max(mem_mib * MIB) + OVERHEAD_FILE_MIB * MIB;
    let mut limits = vec![
        // No memory of a guest in a file. One byte, and not none: the kernel takes that as "none" also where a program
        // collects what crashed programs leave (`core(5)` asks such a program in spite of a limit of 0).
        (Resource::Core, 1),
        (Resource::Nofile, N_DESCRIPTORS + 4 * u64::from(size.vcpu_count)),
        (Resource::Fsize, largest_file),
    ];
    if !groups.limits(Controller::Memory) {
        limits.push((Resource::As, (2 * mem_mib + OVERHEAD_ADDRESSES_MIB) * MIB));
    }
    // It counts what a user has: of one that is shared, also what has nothing to do with the machine.
    if !groups.limits(Controller::Pids) && has_own_user {
        limits.push((Resource::Nproc, size.caps().n_processes));
    }
    limits.into_iter().map(|(resource, limit)| (number(resource), limit.min(hard_limit(resource)))).collect()
}

fn hard_limit(resource: Resource) -> u64 {
    getrlimit(resource).maximum.unwrap_or(u64::MAX)
}

fn number(resource: Resource) -> u32 {
    match resource {
        Resource::Core => libc::RLIMIT_CORE,
        Resource::Nofile => libc::RLIMIT_NOFILE,
        Resource::Fsize => libc::RLIMIT_FSIZE,
        Resource::Nproc => libc::RLIMIT_NPROC,
        _ => libc::RLIMIT_AS,
    }
    .cast_unsigned_or_same()
}

/// The C libraries disagree on the sign of these numbers.
trait CastUnsigned {
    fn cast_unsigned_or_same(self) -> u32;
}

impl CastUnsigned for u32 {
    fn cast_unsigned_or_same(self) -> u32 {
        self
    }
}

impl CastUnsigned for i32 {
    fn cast_unsigned_or_same(self) -> u32 {
        self.unsigned_abs()
    }
}
