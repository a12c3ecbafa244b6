//! The one that appends to a log.
//!
//! What it could not write is lost, and the log says so: the next segment begins after it. Readers see each unit at the
//! position at which it was printed, or not at all.

use super::{OutputLog, Unit};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::output::complete_len;
use crate::state_dir::make_private_dir;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
#[cfg(not(test))]
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

/// A log is kept in so many segments, and one more.
const SEGMENTS: u64 = 16;

/// Smaller segments would be too many files.
const MIN_SEGMENT_BYTES: u64 = 64 * 1024;

/// Appends to a log. There must be no other that does.
#[derive(Debug)]
pub struct LogWriter {
    log: OutputLog,
    keep_bytes: u64,
    segment_bytes: u64,
    position: u64,
    kept: VecDeque<Segment>,
    /// The last of `kept`, while there is one that can be appended to.
    file: Option<File>,
    #[cfg(test)]
    pub(super) disk: super::tests::Disk,
}

#[derive(Debug)]
struct Segment {
    position: u64,
    n_bytes: u64,
}

impl LogWriter {
    pub(super) fn open(log: &OutputLog, keep_bytes: u64) -> Result<Self> {
        Self::with_segments(log, keep_bytes, (keep_bytes / SEGMENTS).max(MIN_SEGMENT_BYTES))
    }

    pub(super) fn with_segments(log: &OutputLog, keep_bytes: u64, segment_bytes: u64) -> Result<Self> {
        let doing = || format!("could not continue the output in `{}`", log.folder.display());
        let positions = log.positions().doing(doing)?;
        let n_bytes = |position| log.path(position).metadata().map(|file| file.len());
        let segment = |&position: &u64| Ok(Segment { position, n_bytes: n_bytes(position)? });
        let kept = positions.iter().map(segment).collect::<io::Result<VecDeque<_>>>().doing(doing)?;
        let mut writer = Self {
            log: log.clone(),
            keep_bytes,
            segment_bytes,
            position: 0,
            kept,
            file: None,
            #[cfg(test)]
            disk: Default::default(),
        };
        writer.position = log.extent()?.end;
        writer.file = writer.reopened().doing(doing)?;
        Ok(writer)
    }

    /// The last segment, without an incomplete character that a crash may have left at its end.
    fn reopened(&mut self) -> io::Result<Option<File>> {
        let Some(last) = self.kept.back_mut() else { return Ok(None) };
        let path = self.log.path(last.position);
        if last.n_bytes >= self.segment_bytes {
            return Ok(None);
        }
        let file = File::options().append(true).open(&path)?;
        if self.log.unit == Unit::Chars {
            last.n_bytes = complete_len(&fs::read(&path)?) as u64;
            file.set_len(last.n_bytes)?;
        }
        Ok(Some(file))
    }

    /// Where the next unit goes.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Appends output; that of characters has to be valid UTF-8. Whatever comes of it, the position goes on by as much.
    ///
    /// # Errors
    /// `disk_full` or `io` when some of it is lost, which a reader sees as well: it is only to be told. `internal` when
    /// it should be text and is none, of which nothing is kept or counted.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if self.log.unit == Unit::Chars {
            let doing = || format!("could not append to `{}` what is no text", self.log.folder.display());
            std::str::from_utf8(bytes).failing(ErrorKind::Internal, doing)?;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.append_some(rest) {
                Ok(n_bytes) => rest = &rest[n_bytes..],
                Err((n_bytes, error)) => {
                    self.lose(&rest[n_bytes..]);
                    return Err(self.lost(error));
                }
            }
        }
        Ok(())
    }

    /// Appends as much as goes into one segment; says how much that was, also where it failed.
    fn append_some(&mut self, bytes: &[u8]) -> std::result::Result<usize, (usize, io::Error)> {
        let n_bytes = match self.room(bytes) {
            0 => {
                self.begin().map_err(|error| (0, error))?;
                self.room(bytes).max(1)
            }
            n_bytes => n_bytes,
        };
        let now = &bytes[..n_bytes];
        let (n_written, written) = self.write(now);
        self.position += self.log.unit.count(&now[..n_written]);
        self.drop_old();
        written.map_err(|error| (n_written, error))?;
        Ok(n_written)
    }

    /// How many of these bytes go into the last segment. Characters are not cut.
    fn room(&self, bytes: &[u8]) -> usize {
        let Some(last) = self.kept.back().filter(|_| self.file.is_some()) else { return 0 };
        let room = usize::try_from(self.segment_bytes.saturating_sub(last.n_bytes)).unwrap_or(usize::MAX);
        let n_bytes = bytes.len().min(room);
        match self.log.unit {
            Unit::Bytes => n_bytes,
            Unit::Chars => complete_len(&bytes[..n_bytes]),
        }
    }

    /// Writes to the last segment. What was written of a character that is not complete does not count.
    fn write(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let Some((file, last)) = self.file.as_mut().zip(self.kept.back_mut()) else {
            return (0, Err(io::ErrorKind::NotFound.into()));
        };
        let mut n_written = 0;
        let mut result = Ok(());
        while n_written < bytes.len() && result.is_ok() {
            #[cfg(test)]
            let wrote = self.disk.write(file, &bytes[n_written..]);
            #[cfg(not(test))]
            let wrote = file.write(&bytes[n_written..]);
            match wrote {
                Ok(0) => result = Err(io::ErrorKind::WriteZero.into()),
                Ok(n_bytes) => n_written += n_bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => result = Err(error),
            }
        }
        last.n_bytes += n_written as u64;
        if self.log.unit == Unit::Chars {
            n_written = complete_len(&bytes[..n_written]);
        }
        (n_written, result)
    }

    /// Goes on after output that could not be written. The empty segment there tells readers of the loss; if there can
    /// be none, the next append tries again.
    fn lose(&mut self, bytes: &[u8]) {
        self.position += self.log.unit.count(bytes);
        if self.file.take().is_some()
            && self.kept.back().is_some_and(|last| last.n_bytes == 0)
            && let Some(empty) = self.kept.pop_back()
        {
            let _ = fs::remove_file(self.log.path(empty.position)); // it would say nothing that the next does not
        }
        let _ = self.begin();
    }

    /// Begins a segment at the present position.
    fn begin(&mut self) -> io::Result<()> {
        self.file = None;
        let path = self.log.path(self.position);
        // What is there under this name holds nothing that counts, else the position would be another.
        let create = || File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let file = match create() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.kept.is_empty() => {
                make_private_dir(&self.log.folder).map_err(io::Error::other)?;
                create()?
            }
            file => file?,
        };
        self.kept.retain(|segment| segment.position != self.position);
        self.kept.push_back(Segment { position: self.position, n_bytes: 0 });
        self.file = Some(file);
        Ok(())
    }

    /// Deletes the oldest segments that need not be kept.
    fn drop_old(&mut self) {
        let mut n_bytes: u64 = self.kept.iter().map(|segment| segment.n_bytes).sum();
        while let Some(oldest) = self.kept.front()
            && self.kept.len() > 1
            && n_bytes - oldest.n_bytes >= self.keep_bytes
        {
            match fs::remove_file(self.log.path(oldest.position)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return,
                _ => n_bytes -= oldest.n_bytes,
            }
            self.kept.pop_front();
        }
    }

    fn lost(&self, error: io::Error) -> Error {
        let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let kind = if is_full { ErrorKind::DiskFull } else { ErrorKind::Io };
        let message = format!("could not keep all output in `{}`", self.log.folder.display());
        Error::new(kind, message).with_source(error).with_hint("free some space on the host's disk")
    }
}
