//! Trees of files that go into a guest or come out of one, as blocking code over `Read` and `Write`.
//!
//! [`pack()`] turns a directory or an archive of the user into the stream of [`pyro_protocol::tree`];
//! [`unpack()`] turns the stream of an export into files; [`read_diff`] turns the
//! stream of a diff into patches. Archives and guests are hostile, and the user's files may change while they are
//! read: what is wrong is refused by name ([`check`]), nothing follows a link that it did not mean to follow, and
//! whatever is kept in memory has a limit.
//!
//! Nothing here knows of machines, channels or workspaces.

mod archive;
mod below;
pub mod changes;
pub mod check;
pub mod pack;
mod patch;
mod publish;
mod quote;
mod shown;
pub mod source;
mod tar_reader;
pub mod unpack;
mod walk;
mod zstd_frames;

pub use changes::{DiffEntry, DiffStatus, DiffSummary, WorkspaceDiff, read_diff};
pub use pack::{PackError, Packed, pack};
pub use publish::check_output;
pub use source::TreeSource;
pub use unpack::{Unpacked, unpack};

use crate::error::{Error, ErrorKind};
use serde::Serialize;
use std::io;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ArtifactType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A socket, a FIFO or a device. An export has none of these.
    Other,
}

/// Why a stream from a guest was not read to its end.
#[derive(Debug)]
pub enum ReadError {
    /// The stream broke off or is not one. The guest may have said why: its reason is the better one.
    Stream(io::Error),
    /// What came in was refused, or could not be kept on this host.
    Refused(Error),
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Stream(source) => {
                Self::new(ErrorKind::GuestUnreachable, "the guest did not send the files to their end")
                    .with_source(source)
            }
            ReadError::Refused(error) => error,
        }
    }
}
