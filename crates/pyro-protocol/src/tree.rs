//! A file tree on its way, in either direction: one record for each entry, parents before children.
//!
//! ```text
//! record   u32 length, little endian, at most MAX_RECORD; then that many bytes: a `Record` in postcard
//! content  after the record of a file: pieces, each a u32 length (1 to MAX_PIECE) and that many bytes;
//!          a length of zero ends the file
//! ```
//!
//! The bytes of a file come in pieces, and the size in its record is only what was known at the time: a file may
//! grow or shrink while it is read. The last record is [`Record::End`]; a stream without it was cut off.
//!
//! Paths are relative, of plain components, and have no `.` and no `..`: both sides check that, for neither trusts
//! the other.

use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// The longest record. Paths and link targets are at most 4096 bytes each (`PATH_MAX`).
pub const MAX_RECORD: usize = 16 * 1024;

/// The longest piece of a file.
pub const MAX_PIECE: usize = 256 * 1024;

/// The longest path from the root of a tree, and the longest target of a link.
pub const MAX_PATH: usize = 4096;

/// The longest component of a path (`NAME_MAX`).
pub const MAX_NAME: usize = 255;

/// One record of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// An entry of a tree. Behind that of a file comes its content.
    Entry(Entry),
    /// A difference between the baseline and the workspace. Behind it come the contents that it announces.
    Change(Change),
    /// Nothing comes any more.
    End,
}

/// One file, directory or link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it is below the root of the tree; empty for the root itself, which only an export sends, as its first
    /// entry.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits (`07777`).
    pub mode: u32,
    /// When it was last changed: seconds since the epoch, may be negative.
    pub mtime_seconds: i64,
    /// And nanoseconds, 0 to 999,999,999.
    pub mtime_nanos: u32,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file, whose content follows.
    File {
        /// Its size when it was looked at.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// What it says.
        target: Vec<u8>,
    },
    /// Another name of a file that came before.
    HardLink {
        /// The path of that file, below the root of the tree.
        target: Vec<u8>,
    },
}

/// What a path is on one side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Permission bits (`07777`).
    pub mode: u32,
    /// Whether its content follows the record: that of `before` first, then that of `after`. Contents that are equal
    /// (where only the mode has changed) follow as two empty ones.
    pub content: bool,
}

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Its size.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// What it says.
        target: Vec<u8>,
    },
    /// A socket, a FIFO or a device.
    Other,
}

/// A path that is not what it was. At least one side is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where it is below the workspace.
    pub path: Vec<u8>,
    /// What the baseline has there.
    pub before: Option<Node>,
    /// What the workspace has there.
    pub after: Option<Node>,
}

/// Writes a stream.
#[derive(Debug)]
pub struct TreeWriter<W> {
    to: W,
}

impl<W: Write> TreeWriter<W> {
    /// Writes to something that does not mind small writes.
    pub fn new(to: W) -> Self {
        Self { to }
    }

    /// Writes a record. The content of a file has to follow.
    ///
    /// # Errors
    /// `InvalidInput` when the record is too long, or what the writer says.
    pub fn record(&mut self, record: &Record) -> io::Result<()> {
        let bytes = postcard::to_allocvec(record).map_err(io::Error::other)?;
        if bytes.len() > MAX_RECORD {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a record is too long"));
        }
        self.to.write_all(&length(bytes.len()))?;
        self.to.write_all(&bytes)
    }

    /// Writes one piece of a file's content, which may be of any length. An empty one writes nothing.
    ///
    /// # Errors
    /// What the writer says.
    pub fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(MAX_PIECE) {
            self.to.write_all(&length(piece.len()))?;
            self.to.write_all(piece)?;
        }
        Ok(())
    }

    /// Ends a file's content.
    ///
    /// # Errors
    /// What the writer says.
    pub fn end_of_content(&mut self) -> io::Result<()> {
        self.to.write_all(&length(0))
    }

    /// Ends the stream and gives the writer back, flushed.
    ///
    /// # Errors
    /// What the writer says.
    pub fn finish(mut self) -> io::Result<W> {
        self.record(&Record::End)?;
        self.to.flush()?;
        Ok(self.to)
    }
}

fn length(n_bytes: usize) -> [u8; 4] {
    u32::try_from(n_bytes).unwrap_or(u32::MAX).to_le_bytes() // no caller has more than MAX_PIECE
}

/// Reads a stream. Bytes that break its rules are an error of kind `InvalidData`, a stream that is cut off one of kind
/// `UnexpectedEof`.
#[derive(Debug)]
pub struct TreeReader<R> {
    from: R,
    buffer: Vec<u8>,
}

impl<R: Read> TreeReader<R> {
    /// Reads from something that is best buffered.
    pub fn new(from: R) -> Self {
        Self { from, buffer: Vec::new() }
    }

    /// Reads the next record. The content of the one before must have been read to its end.
    ///
    /// # Errors
    /// See [`TreeReader`].
    pub fn record(&mut self) -> io::Result<Record> {
        let n_bytes = self.length(MAX_RECORD)?;
        self.fill(n_bytes)?;
        postcard::from_bytes(&self.buffer).map_err(|error| invalid(&format!("no record of a tree: {error}")))
    }

    /// Reads the next piece of a file's content; `None` at its end.
    ///
    /// # Errors
    /// See [`TreeReader`].
    pub fn piece(&mut self) -> io::Result<Option<&[u8]>> {
        let n_bytes = self.length(MAX_PIECE)?;
        if n_bytes == 0 {
            return Ok(None);
        }
        self.fill(n_bytes)?;
        Ok(Some(&self.buffer))
    }

    fn length(&mut self, most: usize) -> io::Result<usize> {
        let mut bytes = [0; 4];
        self.from.read_exact(&mut bytes)?;
        let n_bytes = u32::from_le_bytes(bytes) as usize;
        if n_bytes > most { Err(invalid("a length is out of range")) } else { Ok(n_bytes) }
    }

    fn fill(&mut self, n_bytes: usize) -> io::Result<()> {
        self.buffer.resize(n_bytes, 0);
        self.from.read_exact(&mut self.buffer)
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Why a path is not one of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathFault {
    /// It has no component.
    Empty,
    /// It begins with a slash.
    Absolute,
    /// One component is `..`.
    Parent,
    /// One component is `.`, or empty (a doubled or trailing slash).
    NotPlain,
    /// It contains a zero byte.
    Zero,
    /// It, or a component of it, is longer than a file system takes.
    TooLong,
}

impl std::fmt::Display for PathFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "the path is empty",
            Self::Absolute => "the path is absolute",
            Self::Parent => "the path contains `..`",
            Self::NotPlain => "the path contains `.` or an empty component",
            Self::Zero => "the path contains a zero byte",
            Self::TooLong => "the path, or a name in it, is too long",
        })
    }
}

/// Checks that a path has the form that a tree demands, and nothing else: what is there is not looked at.
///
/// # Errors
/// The first fault.
pub fn check_path(path: &[u8]) -> Result<(), PathFault> {
    if path.is_empty() {
        return Err(PathFault::Empty);
    }
    if path.len() > MAX_PATH {
        return Err(PathFault::TooLong);
    }
    if path.contains(&0) {
        return Err(PathFault::Zero);
    }
    if path.starts_with(b"/") {
        return Err(PathFault::Absolute);
    }
    path.split(|&byte| byte == b'/').try_for_each(|name| match name {
        b".." => Err(PathFault::Parent),
        b"" | b"." => Err(PathFault::NotPlain),
        name if name.len() > MAX_NAME => Err(PathFault::TooLong),
        _ => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: EntryKind) -> Record {
        Record::Entry(Entry { path: path.into(), kind, mode: 0o644, mtime_seconds: -1, mtime_nanos: 5 })
    }

    #[test]
    fn what_was_written_is_read() {
        let mut writer = TreeWriter::new(Vec::new());
        let large = vec![7; MAX_PIECE + 10];
        writer.record(&entry("a", EntryKind::Directory)).unwrap();
        writer.record(&entry("a/b", EntryKind::File { size: 1 })).unwrap();
        writer.piece(&large).unwrap();
        writer.piece(b"").unwrap();
        writer.end_of_content().unwrap();
        let bytes = writer.finish().unwrap();

        let mut reader = TreeReader::new(&bytes[..]);
        assert_eq!(reader.record().unwrap(), entry("a", EntryKind::Directory));
        assert_eq!(reader.record().unwrap(), entry("a/b", EntryKind::File { size: 1 }));
        let mut content = Vec::new();
        while let Some(piece) = reader.piece().unwrap() {
            content.extend_from_slice(piece);
        }
        assert_eq!(content, large);
        assert_eq!(reader.record().unwrap(), Record::End);
        assert_eq!(reader.record().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        for cut in 0..bytes.len() {
            let mut reader = TreeReader::new(&bytes[..cut]);
            let whole = (|| {
                reader.record()?;
                reader.record()?;
                while reader.piece()?.is_some() {}
                reader.record()
            })();
            assert_eq!(whole.unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{cut}");
        }
    }

    #[test]
    fn claims_of_great_lengths_allocate_nothing() {
        let mut reader = TreeReader::new(&[0xff; 100][..]);
        assert_eq!(reader.record().unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(reader.piece().unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(reader.buffer.is_empty());
    }

    #[test]
    fn paths_are_plain() {
        for good in ["a", "a/b", "..a", "a..", "ü/ö", "-", "a b\n"] {
            assert_eq!(check_path(good.as_bytes()), Ok(()), "{good:?}");
        }
        let faults = [
            ("", PathFault::Empty),
            ("/a", PathFault::Absolute),
            ("a/../b", PathFault::Parent),
            ("..", PathFault::Parent),
            ("a/./b", PathFault::NotPlain),
            ("a//b", PathFault::NotPlain),
            ("a/", PathFault::NotPlain),
            ("a\0", PathFault::Zero),
        ];
        for (path, fault) in faults {
            assert_eq!(check_path(path.as_bytes()), Err(fault), "{path:?}");
        }
        assert_eq!(check_path(&[b'a'; 256]), Err(PathFault::TooLong));
        assert_eq!(check_path(&[b'a'; 255]), Ok(()));
        let deep = b"a/".repeat(2500);
        assert_eq!(check_path(&deep), Err(PathFault::TooLong));
    }
}
