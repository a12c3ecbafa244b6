//! What the guest agent itself does with the files of a workspace, each in a process of its own, on a stream like
//! that of a command: the tree goes in by standard input or comes out by standard output, a failure is a
//! [`TaskFailure`] on standard error, and the exit code is 0 or 1.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A piece of work on the files of a workspace. Paths are relative to the workspace; empty means the workspace itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Task {
    /// Reads a tree and makes it the content of the baseline. Before the workspace is opened.
    Seed {
        /// The directory that the tree goes to, made if it is missing.
        destination: String,
    },
    /// Reads a tree and brings it into the workspace: all of it, or nothing.
    Sync {
        /// The directory that the tree goes to, made if it is missing.
        destination: String,
    },
    /// Finishes what a sync that was committed had not finished when the machine ended, and removes what others left. One
    /// that cannot be finished is set aside, so that it holds up nobody.
    Recover,
    /// Writes the tree at a path.
    Export {
        /// A file, a directory or a link.
        path: String,
    },
    /// Writes every difference between the baseline and the workspace, ordered by path.
    Diff {
        /// The content of a regular file is sent if it is no longer than this and has no zero byte in its first 8000.
        max_text_bytes: u64,
    },
    /// Writes what the machine holds in memory to its disk.
    Flush,
}

/// What kind of failure a task met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskFailureKind {
    /// The disk has no room, or no inodes, left.
    NoSpace,
    /// The path is not there.
    NotFound,
    /// Something stands where an entry has to go: a directory that is not empty, or what may not be changed
    /// (`chattr(1)`).
    InTheWay,
    /// The path leads out of the workspace, or through a link.
    UnsafePath,
    /// An entry is of a kind that is not carried over: a socket, a FIFO, a device.
    NotCarried,
    /// What came in is no tree, or breaks its rules.
    Malformed,
    /// Any other failure.
    Io,
}

/// Why a task failed: what it writes to standard error, in postcard. With the exit code 0 it is a warning: the task is
/// done, and met what an earlier one left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFailure {
    /// What kind of failure it is.
    pub kind: TaskFailureKind,
    /// The entry it happened at, relative to the workspace.
    pub path: Option<Vec<u8>>,
    /// What failed, in words, without the path.
    pub message: String,
}

impl fmt::Display for TaskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "`{}`: {}", String::from_utf8_lossy(path), self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for TaskFailure {}

/// The longest [`TaskFailure`] in bytes.
pub const MAX_TASK_FAILURE: usize = 16 * 1024;
