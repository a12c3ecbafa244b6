//! The system calls that `nix` does not offer safely, each behind a safe function.
//!
//! Nothing here decides anything: a function makes one call and gives its result.
#![allow(
    unsafe_code,
    reason = "these calls have no safe wrapper; this and `spawn` are the only places for them"
)]

mod interface;

pub(crate) use interface::Interface;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::SigSet;
use nix::sys::time::TimeSpec;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// How a process ended, as `wait(2)` tells it. Unlike `nix::sys::wait` this knows real-time signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// It exited with this code.
    Exited(i32),
    /// This signal ended it.
    Signaled(i32),
}

/// Reaps one dead child if there is one: any (`-1`) or the given one. `Ok(None)` when none is dead.
pub(crate) fn reap(pid: i32) -> nix::Result<Option<(i32, Death)>> {
    let mut status = 0;
    // SAFETY: `status` is a valid place for the kernel to write to.
    let reaped = Errno::result(unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) })?;
    if reaped == 0 {
        return Ok(None);
    }
    let death = if libc::WIFSIGNALED(status) {
        Death::Signaled(libc::WTERMSIG(status))
    } else {
        Death::Exited(libc::WEXITSTATUS(status))
    };
    Ok(Some((reaped, death)))
}

/// Sends any signal, real-time ones too, to a process group. See `killpg(3)`.
pub(crate) fn signal_group(group: i32, signal: i32) -> nix::Result<()> {
    if group <= 1 {
        return Err(Errno::EINVAL); // 0 is our own group, 1 every process there is
    }
    // SAFETY: takes and gives only numbers.
    Errno::result(unsafe { libc::kill(-group, signal) }).map(drop)
}

/// Sends any signal to one process. See `kill(2)`.
pub(crate) fn signal_process(pid: i32, signal: i32) -> nix::Result<()> {
    if pid <= 1 {
        return Err(Errno::EINVAL); // 0 and below are groups, 1 is nobody's command
    }
    // SAFETY: takes and gives only numbers.
    Errno::result(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Sends a signal to every process but this one, which must be process 1.
pub(crate) fn signal_everyone(signal: i32) -> nix::Result<()> {
    // SAFETY: takes and gives only numbers.
    Errno::result(unsafe { libc::kill(-1, signal) }).map(drop)
}

/// A descriptor that becomes readable when the process has ended. See `pidfd_open(2)`.
pub(crate) fn pidfd_open(pid: i32) -> nix::Result<OwnedFd> {
    // SAFETY: takes and gives only numbers.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes over a descriptor that whoever started this process has named to it. It is not handed on to others.
pub(crate) fn inherited(number: i32) -> nix::Result<OwnedFd> {
    if number <= 2 {
        return Err(Errno::EBADF);
    }
    // SAFETY: takes only numbers.
    Errno::result(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, and this process, which has just begun, has made no descriptor of its own under the number.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Bytes that wait in a pipe. See `FIONREAD` in `pipe(7)`.
pub(crate) fn bytes_waiting(pipe: impl AsFd) -> nix::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int to `count`.
    Errno::result(unsafe { libc::ioctl(pipe.as_fd().as_raw_fd(), libc::FIONREAD as _, &raw mut count) })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Lets the other end of a new pseudoterminal be opened. See `TIOCSPTLCK` in `ioctl_tty(2)`.
pub(crate) fn unlock_terminal(master: impl AsFd) -> nix::Result<()> {
    let unlocked: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int.
    let done = unsafe { libc::ioctl(master.as_fd().as_raw_fd(), libc::TIOCSPTLCK as _, &raw const unlocked) };
    Errno::result(done).map(drop)
}

/// Opens the other end of a pseudoterminal, wherever its file system is mounted. See `TIOCGPTPEER` in `ioctl_tty(2)`.
pub(crate) fn open_terminal_peer(master: impl AsFd) -> nix::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes only numbers.
    let fd = unsafe { libc::ioctl(master.as_fd().as_raw_fd(), libc::TIOCGPTPEER as _, flags) };
    let fd = Errno::result(fd)?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets the size of a terminal, in characters. See `TIOCSWINSZ` in `ioctl_tty(2)`.
pub(crate) fn set_window_size(terminal: impl AsFd, cols: u16, rows: u16) -> nix::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one winsize.
    let done = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSWINSZ as _, &raw const size) };
    Errno::result(done).map(drop)
}

/// The process group in the foreground of a terminal; 0 where there is none. At the master end it is told to
/// everybody, unlike at the other. See `TIOCGPGRP` in `ioctl_tty(2)`.
pub(crate) fn foreground_group(master: impl AsFd) -> nix::Result<i32> {
    let mut group: libc::pid_t = 0;
    // SAFETY: TIOCGPGRP writes one pid_t to `group`.
    let done = unsafe { libc::ioctl(master.as_fd().as_raw_fd(), libc::TIOCGPGRP as _, &raw mut group) };
    Errno::result(done)?;
    Ok(group)
}

/// How a process is scheduled (`sched_setattr(2)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// As every process.
    Ordinary,
    /// Before every ordinary process, but without interrupting one.
    ///
    /// As a batch process the agent runs when a command waits or its turn is over, some milliseconds at most: a
    /// command that prints in small pieces is not interrupted at each of them, which makes its output several
    /// times faster than real-time priority does. The nice value keeps a fork bomb from delaying the agent.
    First,
    /// The same, and processes that it starts are ordinary.
    FirstAlone,
}

/// Sets how a process is scheduled; 0 is the calling one.
pub(crate) fn set_priority(pid: i32, priority: Priority) -> nix::Result<()> {
    /// `struct sched_attr` of `linux/sched/types.h`, its first version.
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        deadline: [u64; 3],
    }
    const RESET_ON_FORK: u64 = 1;
    let (policy, flags, nice) = match priority {
        Priority::Ordinary => (libc::SCHED_OTHER, 0, 0),
        Priority::First => (libc::SCHED_BATCH, 0, -20),
        Priority::FirstAlone => (libc::SCHED_BATCH, RESET_ON_FORK, -20),
    };
    let attributes = Attributes {
        size: size_of::<Attributes>() as u32,
        policy: policy.cast_unsigned(),
        flags,
        nice,
        priority: 0,
        deadline: [0; 3],
    };
    // SAFETY: the structure has the size that it says, and outlives the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_sched_setattr, pid, &raw const attributes, 0) }).map(drop)
}

/// Brings the loopback interface up. See `netdevice(7)`.
pub(crate) fn loopback_up() -> nix::Result<()> {
    Interface::named("lo")?.up()
}

/// Adds fresh random bytes to the kernel's generator, counts them as entropy and makes it use them at once.
/// See `random(4)`.
pub(crate) fn reseed(random: impl AsFd, entropy: &[u8]) -> nix::Result<()> {
    // struct rand_pool_info { int entropy_count (bits); int buf_size (bytes); __u32 buf[]; }, _IOW('R', 3, int[2])
    const RNDADDENTROPY: u32 = 0x4008_5203;
    const RNDRESEEDCRNG: u32 = 0x5207;
    let size = i32::try_from(entropy.len()).map_err(|_| Errno::EINVAL)?;
    let bits = size.checked_mul(8).ok_or(Errno::EINVAL)?;
    let mut words = vec![bits, size];
    words.extend(entropy.chunks(4).map(|chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        i32::from_ne_bytes(word)
    }));
    let fd = random.as_fd().as_raw_fd();
    // SAFETY: RNDADDENTROPY reads the two counts and `size` bytes, which `words` holds.
    Errno::result(unsafe { libc::ioctl(fd, RNDADDENTROPY as _, words.as_ptr()) })?;
    // SAFETY: takes no argument.
    Errno::result(unsafe { libc::ioctl(fd, RNDRESEEDCRNG as _) }).map(drop)
}

/// Waits until one of the signals is pending, and takes it. The signals must be blocked. `EAGAIN` when the time is
/// over.
pub(crate) fn wait_for_signal(signals: &SigSet, patience: Duration) -> nix::Result<()> {
    let patience = TimeSpec::from(patience);
    let (set, time) = (signals.as_ref(), patience.as_ref());
    // SAFETY: both outlive the call; a null pointer says that nobody wants to know more about the signal.
    Errno::result(unsafe { libc::sigtimedwait(set, std::ptr::null_mut(), time) }).map(drop)
}

/// A copy of the mount at a path, which is nowhere yet. See `open_tree(2)`.
pub(crate) fn copy_mount(path: &CStr) -> nix::Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    // SAFETY: a null-terminated path that outlives the call, and numbers.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    let fd = i32::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a mount that is nowhere yet at a path. See `move_mount(2)`.
pub(crate) fn attach_mount(mount: impl AsFd, path: &CStr) -> nix::Result<()> {
    let (fd, flags) = (mount.as_fd().as_raw_fd(), libc::MOVE_MOUNT_F_EMPTY_PATH);
    // SAFETY: two null-terminated paths that outlive the call, and numbers.
    let moved = unsafe {
        libc::syscall(libc::SYS_move_mount, fd, c"".as_ptr(), libc::AT_FDCWD, path.as_ptr(), flags)
    };
    Errno::result(moved).map(drop)
}

/// Whether a file has an extended attribute that we may see. See `xattr(7)`.
pub(crate) fn has_attribute(file: impl AsFd, name: &CStr) -> bool {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: a null-terminated name that outlives the call; a size of zero asks for no more than the length.
    unsafe { libc::fgetxattr(fd, name.as_ptr(), std::ptr::null_mut(), 0) >= 0 }
}

/// The type and the mode of what stands under a name, and its `STATX_ATTR_` bits. Follows no link. See `statx(2)`.
pub(crate) fn mode_and_attributes(directory: impl AsFd, name: &CStr) -> nix::Result<(u32, u64)> {
    let fd = directory.as_fd().as_raw_fd();
    let what = libc::STATX_TYPE | libc::STATX_MODE;
    // SAFETY: it holds only numbers, for which all zeroes is a value.
    let mut stat: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: a null-terminated name, and a place for the kernel to write to; both outlive the call.
    let done = unsafe { libc::statx(fd, name.as_ptr(), libc::AT_SYMLINK_NOFOLLOW, what, &raw mut stat) };
    Errno::result(done)?;
    Ok((stat.stx_mode.into(), stat.stx_attributes))
}
