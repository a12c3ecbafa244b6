//! Syncs that were decided and cannot be finished.
//!
//! One such must not keep every other from its turn, nor the workspace from being started: it is put aside under a name
//! that nobody tries again. The last few are kept, for what is in them was meant to be in the workspace.

use super::directory::Directory;
use nix::fcntl::renameat;
use nix::unistd::syncfs;
use pyro_protocol::task::{TaskFailure, TaskFailureKind};

/// What begins the name of one.
pub(crate) const STUCK: &[u8] = b"stuck-";

/// How many are kept.
const MAX_KEPT: usize = 3;

/// Puts a decided sync aside for good. Only for the holder of the lock on `staging`.
pub(crate) fn set_aside(name: &[u8], staging: &Directory) -> nix::Result<()> {
    let stuck = next_name(STUCK, staging)?;
    renameat(staging, name, staging, stuck.as_slice())?;
    let numbers = numbers(STUCK, staging)?;
    for number in &numbers[..numbers.len().saturating_sub(MAX_KEPT)] {
        let _ = staging.remove(&numbered(STUCK, *number)); // what cannot be removed stays
    }
    let _ = syncfs(staging); // after a crash it would at worst be tried once more
    Ok(())
}

/// A name that comes after all that begin with the same.
pub(crate) fn next_name(prefix: &[u8], staging: &Directory) -> nix::Result<Vec<u8>> {
    let last = numbers(prefix, staging)?.last().copied();
    Ok(numbered(prefix, last.map_or(1, |last| last.saturating_add(1))))
}

/// A failure after the decision, while the tree was moved: neither all nor nothing.
pub(crate) fn in_part(why: TaskFailure) -> TaskFailure {
    let message = format!("a part of the tree is in place: {}", why.message);
    TaskFailure { kind: TaskFailureKind::Io, message, ..why }
}

/// The warning that the sync of somebody who is gone could not be finished.
pub(crate) fn given_up(why: TaskFailure) -> TaskFailure {
    TaskFailure { message: format!("an interrupted sync was given up: {}", why.message), ..why }
}

fn numbered(prefix: &[u8], number: u64) -> Vec<u8> {
    [prefix, number.to_string().as_bytes()].concat()
}

/// The numbers after a prefix, in order.
fn numbers(prefix: &[u8], staging: &Directory) -> nix::Result<Vec<u64>> {
    let number = |name: &Vec<u8>| std::str::from_utf8(name.strip_prefix(prefix)?).ok()?.parse().ok();
    let mut numbers: Vec<u64> = staging.names()?.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}
