//! The end of what something printed, on disk: appended to by one process, read by any other at any time, without locks.
//!
//! ```text
//! stdout.00000000000000000000    a segment: its name is the position of its first unit
//! stdout.00000000000001048576    the next
//! ```
//!
//! A position counts what was ever printed, in bytes or in characters, so that it stays what it is when the beginning is
//! dropped, which is done by deleting whole segments. Segments are only ever appended to. Where one ends before the next
//! begins, output was lost, as when the host's disk was full.
//!
//! What a segment of characters holds is its text, with U+FFFD for what is none (only a crash leaves that), and without
//! a character at its end that is not complete (which may be on its way). Writer and readers agree on that.

mod segment;
mod writer;

#[cfg(test)]
mod tests;

pub use writer::LogWriter;

use crate::error::{Context, Result};
use segment::Content;
use std::fs;
use std::io;
use std::path::PathBuf;

/// What positions count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Characters of UTF-8.
    Chars,
}

/// The log of one output. Knowing where it is, is all that it takes.
#[derive(Debug, Clone)]
pub struct OutputLog {
    folder: PathBuf,
    prefix: &'static str,
    unit: Unit,
}

/// From which position to which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// That of the first unit.
    pub start: u64,
    /// That after the last unit.
    pub end: u64,
}

/// Some of a log, without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The position of its first unit: later than was asked for by as much as is not kept.
    pub from: u64,
    /// The output; of characters, as UTF-8.
    pub bytes: Vec<u8>,
    /// The position after its last unit.
    pub next: u64,
}

/// How often a reader looks again because what it looked at has just been dropped.
const MAX_LOOKS: usize = 100;

impl Unit {
    /// How many there are in what was printed.
    fn count(self, bytes: &[u8]) -> u64 {
        match self {
            Self::Bytes => bytes.len() as u64,
            Self::Chars => String::from_utf8_lossy(bytes).chars().count() as u64,
        }
    }
}

impl OutputLog {
    pub(super) fn at(folder: PathBuf, prefix: &'static str, unit: Unit) -> Self {
        Self { folder, prefix, unit }
    }

    /// Continues it at its end. The newest `keep_bytes` are kept, and at most one segment more. Only for the owner.
    ///
    /// # Errors
    /// `io` when its end cannot be read.
    pub fn writer(&self, keep_bytes: u64) -> Result<LogWriter> {
        LogWriter::open(self, keep_bytes)
    }

    /// From where to where it is kept, gaps included. Both are 0 where nothing was ever printed.
    ///
    /// # Errors
    /// `io`.
    pub fn extent(&self) -> Result<Extent> {
        self.look(|positions| {
            let Some((&start, &last)) = positions.first().zip(positions.last()) else {
                return Ok(Extent { start: 0, end: 0 });
            };
            Ok(Extent { start, end: last.saturating_add(self.units(last)?) })
        })
    }

    /// How many units there were before its end that are not kept: dropped for being old, or lost.
    ///
    /// # Errors
    /// `io`.
    pub fn dropped(&self) -> Result<u64> {
        self.look(|positions| {
            let (mut dropped, mut next) = (0, 0);
            for &position in positions {
                dropped += position.saturating_sub(next);
                next = position.saturating_add(self.units(position)?);
            }
            Ok(dropped)
        })
    }

    /// Reads from the first kept unit at or after `from` up to the next gap, or the end, but at most `max_units`. At the
    /// end, and beyond it, there is nothing, and `next` is `from`.
    ///
    /// # Errors
    /// `io`.
    pub fn read(&self, from: u64, max_units: u64) -> Result<Piece> {
        self.look(|positions| self.read_among(positions, from, max_units))
    }

    fn read_among(&self, positions: &[u64], from: u64, max_units: u64) -> io::Result<Piece> {
        let mut piece = Piece { from, bytes: Vec::new(), next: from };
        let first = positions.partition_point(|&position| position <= from).saturating_sub(1);
        for (index, &position) in positions.iter().enumerate().skip(first) {
            if position > piece.next {
                if !piece.bytes.is_empty() {
                    break; // at a gap
                }
                (piece.from, piece.next) = (position, position);
            }
            let most = positions.get(index + 1).map_or(u64::MAX, |next| next.saturating_sub(piece.next));
            let wanted = max_units.saturating_sub(piece.next - piece.from).min(most);
            if wanted == 0 && most > 0 {
                break;
            }
            let Content { bytes, n_units } = self.content(position, piece.next - position, wanted)?;
            piece.bytes.extend(bytes);
            piece.next = piece.next.saturating_add(n_units);
        }
        Ok(piece)
    }

    /// Where its last lines are: `lines` of them, or all, of at most `max_bytes`. A line at the end without a newline is
    /// one. Nothing before the position `not_before` is of them.
    ///
    /// # Errors
    /// `io`.
    pub fn tail(&self, lines: Option<u64>, max_bytes: u64, not_before: u64) -> Result<Extent> {
        self.look(|positions| self.tail_among(positions, lines, max_bytes, not_before))
    }

    fn tail_among(
        &self,
        positions: &[u64],
        lines: Option<u64>,
        max_bytes: u64,
        not_before: u64,
    ) -> io::Result<Extent> {
        let mut tail = Tail { lines: lines.unwrap_or(u64::MAX), n_bytes: max_bytes, is_end: true };
        let (mut start, mut end) = (not_before, None);
        for &position in positions.iter().rev() {
            let Content { bytes, n_units } = self.content(position, 0, u64::MAX)?;
            let end = *end.get_or_insert(position.saturating_add(n_units));
            let offset = tail.take(&bytes);
            start = position.saturating_add(self.unit.count(&bytes[..offset]));
            if tail.is_full() || offset > 0 || start <= not_before {
                return Ok(Extent { start: start.max(not_before).min(end), end });
            }
        }
        let end = end.unwrap_or(0);
        Ok(Extent { start: start.min(end), end })
    }

    /// Looks at the segments that there are, and again if one of them was dropped meanwhile.
    fn look<T>(&self, mut at: impl FnMut(&[u64]) -> io::Result<T>) -> Result<T> {
        let doing = || format!("could not read the output in `{}`", self.folder.display());
        let mut n_looks = 0;
        loop {
            let looked = self.positions().and_then(|positions| at(&positions));
            n_looks += 1;
            match looked {
                Err(error) if error.kind() == io::ErrorKind::NotFound && n_looks < MAX_LOOKS => {}
                looked => return looked.doing(doing),
            }
        }
    }

    /// The positions of all segments, in order. Files of other names are none of ours.
    fn positions(&self) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut positions = Vec::new();
        for entry in entries {
            let entry = entry?;
            if let Some(position) = entry.file_name().to_str().and_then(|name| self.position_of(name))
                && entry.file_type()?.is_file()
            {
                positions.push(position);
            }
        }
        positions.sort_unstable();
        Ok(positions)
    }

    fn position_of(&self, name: &str) -> Option<u64> {
        let digits = name.strip_prefix(self.prefix)?.strip_prefix('.')?;
        let is_ours = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| is_ours)
    }

    fn path(&self, position: u64) -> PathBuf {
        self.folder.join(format!("{}.{position:020}", self.prefix))
    }
}

/// Goes back from the end of an output until enough of it was passed.
struct Tail {
    /// Lines that are still wanted.
    lines: u64,
    /// Bytes that there is still room for.
    n_bytes: u64,
    /// Whether nothing was passed yet.
    is_end: bool,
}

impl Tail {
    /// Takes what belongs to the tail from the end of this, and says where in it that begins.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let room = usize::try_from(self.n_bytes).unwrap_or(usize::MAX);
        let mut first = bytes.len().saturating_sub(room);
        // Not in the middle of a character.
        while first > 0 && bytes.get(first).is_some_and(|byte| byte & 0xc0 == 0x80) {
            first += 1;
        }
        let last = bytes.len().saturating_sub(usize::from(self.is_end && bytes.ends_with(b"\n")));
        self.is_end &= bytes.is_empty();
        let mut offset = if self.lines == 0 { bytes.len() } else { first };
        for (index, _) in bytes[..last].iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            if self.lines == 0 || index + 1 < first {
                break;
            }
            self.lines -= 1;
            if self.lines == 0 {
                offset = index + 1;
            }
        }
        self.n_bytes = self.n_bytes.saturating_sub((bytes.len() - offset) as u64);
        offset
    }

    fn is_full(&self) -> bool {
        self.lines == 0 || self.n_bytes == 0
    }
}
