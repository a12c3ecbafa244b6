//! The end of a machine: everything ended, everything written to the disk, the power off.

use crate::Root;
use crate::boot::console::Console;
use crate::boot::{mounts, workspace};
use crate::sys;
use nix::errno::Errno;
use nix::libc::{SIGKILL, SIGTERM};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{SigSet, Signal};
use std::time::{Duration, Instant};

/// How long processes may take to end themselves.
const GRACE: Duration = Duration::from_millis(500);

/// How long the kernel may take to get rid of those that were killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ends every process, writes everything to the disk and turns the machine off.
pub fn orderly(root: Root, console: &mut Console) -> ! {
    end_everyone(SIGTERM, GRACE);
    end_everyone(SIGKILL, PATIENCE);
    nix::unistd::sync();
    // The last holder of the namespace: with it the overlays over the disk go, and then the disk can.
    drop(root);
    workspace::unmount();
    mounts::unmount_disk();
    nix::unistd::sync();
    at_once(console)
}

/// Turns the machine off as it is.
///
/// By a restart, which QEMU is told to take for the end (`-no-reboot`): every kernel can do that, while turning the
/// power off needs ACPI, and a kernel without it would halt for ever.
pub fn at_once(console: &mut Console) -> ! {
    let Err(errno) = reboot(RebootMode::RB_AUTOBOOT);
    console.failure(&errno);
    loop {
        nix::unistd::pause(); // process 1 must not return
    }
}

/// Sends a signal to every process, and reaps until none is left or the time is over.
fn end_everyone(signal: i32, patience: Duration) {
    let deadline = Instant::now() + patience;
    if sys::signal_everyone(signal) == Err(Errno::ESRCH) {
        return;
    }
    let mut child_died = SigSet::empty();
    child_died.add(Signal::SIGCHLD);
    loop {
        match sys::reap(-1) {
            Ok(Some(_)) => continue,
            Ok(None) => {}
            Err(_) => return, // no child is left
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || sys::wait_for_signal(&child_died, left).is_err() {
            return;
        }
    }
}
