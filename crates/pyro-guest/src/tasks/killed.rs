//! Lets a test kill a sync between any two of its changes: the thread that does it panics there, and nothing is tidied
//! up, as nothing is when a process is killed. Also lets it find an entry that cannot be moved, however often it tries.

use nix::errno::Errno;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
    static STUCK: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// One more change was made.
pub(super) fn step() {
    LEFT.with(|left| match left.get() {
        Some(0) => std::panic::resume_unwind(Box::new(())),
        Some(n) => left.set(Some(n - 1)),
        None => {}
    });
}

/// Does something that is killed after so many changes. Gives `None` when it was.
pub(super) fn killed_after<T>(n_steps: u32, does: impl FnOnce() -> T) -> Option<T> {
    LEFT.with(|left| left.set(Some(n_steps)));
    let done = catch_unwind(AssertUnwindSafe(does));
    LEFT.with(|left| left.set(None));
    done.ok()
}

/// An entry of this name is to be moved.
pub(super) fn fault(name: &[u8]) -> nix::Result<()> {
    let is_stuck = STUCK.with_borrow(|stuck| stuck.as_deref() == Some(name));
    if is_stuck { Err(Errno::EPERM) } else { Ok(()) }
}

/// Does something while no entry of this name can be moved.
pub(super) fn stuck_at<T>(name: &str, does: impl FnOnce() -> T) -> T {
    STUCK.set(Some(name.into()));
    let done = does();
    STUCK.set(None);
    done
}
