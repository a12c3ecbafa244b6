//! How much a machine of a given size may use: of what control groups count, and of what a process limits itself to
//! (`setrlimit(2)`).

use super::cgroups::{Caps, Controller, Groups};
use rustix::fs::{FileType, FsWord, fstat, fstatfs};
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
/// The file systems whose files are in memory and nowhere else (`linux/magic.h`).
const TMPFS_MAGIC: FsWord = 0x0102_1994;
const RAMFS_MAGIC: FsWord = 0x8584_58f6;
/// Since 5.14, what a user has is counted for each user namespace.
const COUNTS_BY_NAMESPACE: (u32, u32) = (5, 14);
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
    /// What its control groups allow. `in_memory_bytes` is what its files may take of the same memory.
    pub(super) fn caps(self, in_memory_bytes: u64) -> Caps {
        let mem_mib = u64::from(self.mem_mib);
        Caps {
            // Page tables and records of pages grow with it.
            memory_bytes: ((mem_mib + mem_mib / 8 + OVERHEAD_MIB) * MIB).saturating_add(in_memory_bytes),
            n_processes: self.n_processes(),
            n_cpus: OVERHEAD_CPUS + u64::from(self.vcpu_count),
        }
    }

    fn n_processes(self) -> u64 {
        OVERHEAD_PROCESSES + u64::from(self.vcpu_count)
    }
}

/// The size of the largest of these files.
pub(super) fn largest_file<'a>(files: impl Iterator<Item = BorrowedFd<'a>>) -> u64 {
    let size = |file| fstat(file).ok().and_then(|stat| u64::try_from(stat.st_size).ok());
    files.filter_map(size).max().unwrap_or(0)
}

/// How much memory those of these files may take that are on a file system in memory: whoever writes to them is charged
/// for their pages, which the kernel cannot drop as it can those of files on disks.
pub(super) fn in_memory_bytes<'a>(files: impl Iterator<Item = BorrowedFd<'a>>) -> u64 {
    files.filter_map(bytes_in_memory).fold(0, u64::saturating_add)
}

fn bytes_in_memory(file: BorrowedFd<'_>) -> Option<u64> {
    let system = fstatfs(file).ok()?;
    let stat = fstat(file).ok()?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let size = u64::try_from(stat.st_size).ok().filter(|_| is_file)?;
    // No file takes more than its file system has, where that has a size.
    let whole = system.f_blocks.saturating_mul(u64::try_from(system.f_bsize).ok()?);
    let most = if whole == 0 { size } else { size.min(whole) };
    [TMPFS_MAGIC, RAMFS_MAGIC].contains(&system.f_type).then_some(most)
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
        // No greater share of the processors than others have, and no message queues, which are memory, too.
        (Resource::Rtprio, 0),
        (Resource::Nice, 0),
        (Resource::Msgqueue, 0),
    ];
    if !groups.limits(Controller::Memory) {
        limits.push((Resource::As, (2 * mem_mib + OVERHEAD_ADDRESSES_MIB) * MIB));
    }
    // It counts what a user has: of one that is shared, also what has nothing to do with the machine.
    if !groups.limits(Controller::Pids) && has_own_user {
        limits.push((Resource::Nproc, size.n_processes()));
    }
    as_numbers(limits)
}

/// The limits for a process that is born into a user namespace, where it is the only one of its user.
pub(super) fn of_namespace(size: MachineSize, groups: &Groups) -> Vec<(u32, u64)> {
    let release = rustix::system::uname();
    let counts = counts_by_namespace(&release.release().to_string_lossy());
    match groups.limits(Controller::Pids) || !counts {
        true => Vec::new(),
        false => as_numbers(vec![(Resource::Nproc, size.n_processes())]),
    }
}

/// By the release of a kernel, such as `6.1.0-13-amd64`.
fn counts_by_namespace(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) >= COUNTS_BY_NAMESPACE,
        _ => false,
    }
}

/// No limit is raised.
fn as_numbers(limits: Vec<(Resource, u64)>) -> Vec<(u32, u64)> {
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
        Resource::Rtprio => libc::RLIMIT_RTPRIO,
        Resource::Nice => libc::RLIMIT_NICE,
        Resource::Msgqueue => libc::RLIMIT_MSGQUEUE,
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_file_in_memory_is_charged_and_a_socket_is_not() {
        let memory =
            std::fs::File::from(rustix::fs::memfd_create("disk", rustix::fs::MemfdFlags::empty()).unwrap());
        memory.set_len(3 * MIB).unwrap();
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let bytes = in_memory_bytes([memory.as_fd(), socket.as_fd()].into_iter());
        assert_eq!(bytes, 3 * MIB);
        let size = MachineSize { vcpu_count: 1, mem_mib: 128 };
        assert_eq!(size.caps(bytes).memory_bytes - size.caps(0).memory_bytes, 3 * MIB);
    }

    #[test]
    fn kernels_before_5_14_count_for_all_namespaces_together() {
        assert!(
            !counts_by_namespace("5.13.19-1") && !counts_by_namespace("4.19") && !counts_by_namespace("x")
        );
        assert!(counts_by_namespace("5.14.0-427.el9") && counts_by_namespace("6.1.0-13-amd64"));
    }
}
