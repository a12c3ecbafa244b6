//! Starts the supervisor as a process that belongs to nobody: no terminal, no parent that would have to wait for it, and
//! no descriptor of its starter but the two that are meant for it.
#![allow(
    unsafe_code,
    reason = "code that runs between fork and exec, descriptors that come by number, a descriptor for the event loop"
)]

use crate::vm::inherit_nothing;
use rustix::io::{FdFlags, fcntl_setfd};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What a supervisor is given.
#[derive(Debug)]
pub struct SupervisorDescriptors {
    /// The connection to the client that started it.
    pub lifeline: OwnedFd,
    /// The lock of its folder.
    pub lock: OwnedFd,
}

impl SupervisorDescriptors {
    /// Takes over the descriptors that the command line of `pyro supervise` names.
    ///
    /// # Errors
    /// When a number is none of an inherited descriptor.
    pub fn from_numbers(lifeline: RawFd, lock: RawFd) -> io::Result<Self> {
        if lifeline == lock {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Self { lifeline: take(lifeline)?, lock: take(lock)? })
    }
}

fn take(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: only for the next call, which fails where the number is no open descriptor.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_setfd(borrowed, FdFlags::CLOEXEC)?;
    // SAFETY: it is open, and this process, which has just begun, has made no descriptor of its own under this number:
    // it was told the number by whoever handed it over.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Starts the command as a process of a session of its own that init will reap, with these descriptors under their own
/// numbers and no others but the standard ones.
pub(super) fn spawn_detached(mut command: Command, descriptors: &SupervisorDescriptors) -> io::Result<()> {
    let kept = [descriptors.lifeline.as_raw_fd(), descriptors.lock.as_raw_fd()];
    inherit_nothing(&mut command);
    let prepare = move || {
        for number in kept {
            // SAFETY: both are open in the parent until the command has been started.
            fcntl_setfd(unsafe { BorrowedFd::borrow_raw(number) }, FdFlags::empty())?;
        }
        rustix::process::setsid()?;
        orphan()
    };
    // SAFETY: the closure makes a few system calls and allocates nothing.
    unsafe { command.pre_exec(prepare) };
    // What is waited for is the process in between, which ends at once.
    command.spawn()?.wait().map(drop)
}

/// Goes on as the child of a process that has ended.
fn orphan() -> io::Result<()> {
    // SAFETY: this process has one thread, since it is itself the child of a fork; both go on with system calls only.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(()),
        // SAFETY: ends the process without running anything of the parent's.
        _ => unsafe { libc::_exit(0) },
    }
}

/// A descriptor whose readiness the event loop tells.
pub(super) fn watch_descriptor(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by the value that is registered, and stays open as long as that lives.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}
