//! Lets a test kill a sync between any two of its changes: the thread that does it panics there, and nothing is tidied
//! up, as nothing is when a process is killed.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
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
