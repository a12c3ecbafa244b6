//! What failed, in the kinds and words that the host understands. Decides nothing about what to do then.

use nix::errno::Errno;
use pyro_protocol::task::{TaskFailure, TaskFailureKind};
use std::io;

/// What a part of a task comes to.
pub(crate) type Result<T> = std::result::Result<T, TaskFailure>;

/// Longer paths are cut, so that a failure is never too long to be told. Legal ones are shorter.
const PATH_BYTES: usize = 8192;

/// A failure at an entry; an empty path is the workspace itself.
pub(crate) fn failure(kind: TaskFailureKind, path: &[u8], message: impl Into<String>) -> TaskFailure {
    let path = (!path.is_empty()).then(|| path[..path.len().min(PATH_BYTES)].to_vec());
    TaskFailure { kind, path, message: message.into() }
}

/// Says at which entry, and while what was being done, a system call failed.
pub(crate) trait At<T> {
    fn at(self, path: &[u8], doing: &str) -> Result<T>;
}

impl<T> At<T> for nix::Result<T> {
    fn at(self, path: &[u8], doing: &str) -> Result<T> {
        self.map_err(|errno| refused(errno, path, doing))
    }
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &[u8], doing: &str) -> Result<T> {
        self.map_err(|error| match error.raw_os_error() {
            Some(number) => refused(Errno::from_raw(number), path, doing),
            None => failure(TaskFailureKind::Io, path, format!("{doing}: {error}")),
        })
    }
}

/// A system call that failed at an entry.
pub(crate) fn refused(errno: Errno, path: &[u8], doing: &str) -> TaskFailure {
    let kind = match errno {
        Errno::ENOSPC | Errno::EDQUOT => TaskFailureKind::NoSpace,
        _ => TaskFailureKind::Io,
    };
    failure(kind, path, format!("{doing}: {}", errno.desc()))
}

/// A stream that broke off, or is none.
pub(crate) fn not_read(error: &io::Error) -> TaskFailure {
    let (kind, message) = match error.kind() {
        io::ErrorKind::UnexpectedEof => (TaskFailureKind::Malformed, "the tree ended before its end".into()),
        io::ErrorKind::InvalidData => (TaskFailureKind::Malformed, error.to_string()),
        _ => (TaskFailureKind::Io, format!("could not read the tree: {error}")),
    };
    failure(kind, b"", message)
}

/// An output that nobody takes.
pub(crate) fn not_written(error: &io::Error) -> TaskFailure {
    failure(TaskFailureKind::Io, b"", format!("could not write the tree: {error}"))
}
