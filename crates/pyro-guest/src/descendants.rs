//! Ends everything that this process has started, directly or not: what process 1 of a machine does by `kill(-1)`,
//! for an agent that is a process among others.
//!
//! The agent is the one that orphans fall to (`PR_SET_CHILD_SUBREAPER`, `prctl(2)`), so that nothing gets out of reach by
//! a session of its own or by the death of its parent.

use crate::process_table;
use crate::sys;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long processes may take to end themselves, as in a machine.
const GRACE: Duration = Duration::from_millis(500);

/// How long the kernel may take to get rid of those that were killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long after a look something new may have been started.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Lets orphans among the descendants become children of this process.
pub(crate) fn adopt_orphans() -> nix::Result<()> {
    prctl::set_child_subreaper(true)
}

/// Asks all of them to end, and ends those that do not.
pub(crate) fn end_in_order() {
    for pid in all() {
        let _ = kill(pid, Signal::SIGTERM); // fails for those that are gone already
    }
    let deadline = Instant::now() + GRACE;
    while !are_gone() && wait_until(deadline) {}
    end_at_once();
}

/// Ends all of them. Each death hands its children on to us, so that in the end none is left.
pub(crate) fn end_at_once() {
    let deadline = Instant::now() + PATIENCE;
    loop {
        for pid in all() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        if are_gone() || !wait_until(deadline) {
            return;
        }
    }
}

/// Reaps the dead. Gives whether no child is left; then there is no other descendant either.
fn are_gone() -> bool {
    loop {
        match sys::reap(-1) {
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

/// Waits for a death, for a moment. Gives whether there is time left.
fn wait_until(deadline: Instant) -> bool {
    let mut child_died = SigSet::empty();
    child_died.add(Signal::SIGCHLD);
    let left = deadline.saturating_duration_since(Instant::now());
    let _ = sys::wait_for_signal(&child_died, left.min(LOOK_AGAIN));
    !left.is_zero()
}

/// All descendants, as the process table tells.
fn all() -> Vec<Pid> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in process_table::entries() {
        children.entry(entry.parent).or_default().push(entry.pid);
    }
    let mut found = Vec::new();
    let mut left = vec![std::process::id().cast_signed()];
    while let Some(parent) = left.pop() {
        let of_parent = children.remove(&parent).unwrap_or_default();
        found.extend(of_parent.iter().copied().map(Pid::from_raw));
        left.extend(of_parent);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_descendants() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(all().contains(&Pid::from_raw(child.id().cast_signed())));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
