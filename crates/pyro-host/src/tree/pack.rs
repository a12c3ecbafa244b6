//! A directory or an archive of the user becomes a stream for the guest.

use super::check::TreeCheck;
use super::shown::shown;
use super::source::{Opened, TreeSource};
use super::{archive, walk};
use crate::error::{Error, ErrorKind, Result};
use pyro_protocol::tree::{Entry, Record, TreeWriter};
use std::io::{self, BufWriter, Read, Write};

#[cfg(test)]
mod tests;

/// How much is read of a file at once. Together with its length it fits the writer's buffer.
const READ_SIZE: usize = 128 * 1024;
const BUFFER_SIZE: usize = 256 * 1024;

/// What went into the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Packed {
    /// Files, directories and links.
    pub entry_count: u64,
    /// The bytes in the files.
    pub bytes_written: u64,
}

/// Why a stream was not written to its end.
#[derive(Debug)]
pub enum PackError {
    /// The directory or the archive: it is refused, or cannot be read.
    Source(Error),
    /// Whoever the stream goes to does not take it. The guest may have said why: its reason is the better one.
    Sink(io::Error),
}

impl From<Error> for PackError {
    fn from(error: Error) -> Self {
        Self::Source(error)
    }
}

impl From<PackError> for Error {
    fn from(error: PackError) -> Self {
        match error {
            PackError::Source(error) => error,
            PackError::Sink(source) => {
                Self::new(ErrorKind::GuestUnreachable, "the guest did not take the files to their end")
                    .with_source(source)
            }
        }
    }
}

/// Writes the stream of a source. Parents that an archive does not mention are not sent. `destination` is the absolute
/// path in the guest that it goes to; `limit_bytes` is the size of the guest's disk; `progress` is told the entries and
/// the bytes so far, often.
///
/// # Errors
/// [`PackError`]; the stream is then without its last record, so that the guest discards it. In a source:
/// `unsafe_path`, `invalid_argument` (malformed; unreadable files, all of them named), `disk_full` (more content than
/// `limit_bytes`), `io`.
pub fn pack(
    source: TreeSource,
    destination: &str,
    limit_bytes: u64,
    to: impl Write,
    progress: &mut dyn FnMut(u64, u64),
) -> std::result::Result<Packed, PackError> {
    let subject = source.subject();
    let mut packer = Packer {
        check: TreeCheck::import(&*subject, destination),
        subject,
        writer: TreeWriter::new(BufWriter::with_capacity(BUFFER_SIZE, to)),
        limit_bytes,
        packed: Packed::default(),
        progress,
        buffer: vec![0; READ_SIZE],
    };
    match source.opened {
        Opened::Directory(root) => walk::walk(&root, &mut packer)?,
        Opened::Archive(file) => archive::read(file, &mut packer)?,
    }
    packer.writer.finish().map_err(PackError::Sink)?;
    Ok(packer.packed)
}

/// Checks entries and writes them.
pub(super) struct Packer<'a, W: Write> {
    /// The rules, and the words for refusals.
    pub check: TreeCheck,
    /// What is packed, for messages.
    pub subject: String,
    writer: TreeWriter<BufWriter<W>>,
    limit_bytes: u64,
    packed: Packed,
    progress: &'a mut dyn FnMut(u64, u64),
    buffer: Vec<u8>,
}

impl<W: Write> Packer<'_, W> {
    /// Writes an entry. The content of a file has to follow.
    pub(super) fn entry(&mut self, entry: Entry) -> std::result::Result<(), PackError> {
        self.check.add(&entry)?;
        if let pyro_protocol::tree::EntryKind::File { size } = entry.kind {
            self.check_room(&entry.path, size)?;
        }
        self.packed.entry_count += 1;
        self.writer.record(&Record::Entry(entry)).map_err(PackError::Sink)?;
        (self.progress)(self.packed.entry_count, self.packed.bytes_written);
        Ok(())
    }

    /// Writes the content of the file that came last; `failed` says what it means that it cannot be read.
    pub(super) fn content(
        &mut self,
        path: &[u8],
        from: &mut dyn Read,
        failed: &dyn Fn(&str, io::Error) -> Error,
    ) -> std::result::Result<(), PackError> {
        loop {
            let n_bytes = match from.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(n_bytes) => n_bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(&self.subject, error).into()),
            };
            self.check_room(path, n_bytes as u64)?;
            self.packed.bytes_written += n_bytes as u64;
            self.writer.piece(&self.buffer[..n_bytes]).map_err(PackError::Sink)?;
            (self.progress)(self.packed.entry_count, self.packed.bytes_written);
        }
        self.writer.end_of_content().map_err(PackError::Sink)
    }

    fn check_room(&self, path: &[u8], more: u64) -> Result<()> {
        if self.packed.bytes_written.checked_add(more).is_some_and(|sum| sum <= self.limit_bytes) {
            return Ok(());
        }
        let (subject, path, mib) = (&self.subject, shown(path), self.limit_bytes / (1024 * 1024));
        let message =
            format!("{subject} is larger than the disk of the machine, which has {mib} MiB, at `{path}`");
        Err(Error::new(ErrorKind::DiskFull, message)
            .with_hint("leave something out, or give the machine a larger disk with `--disk-mib`"))
    }
}
