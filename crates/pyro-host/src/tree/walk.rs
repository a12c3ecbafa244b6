//! A directory of the user on its way into a stream.
//!
//! Every directory is opened from the root anew, one component at a time and never through a link, so that one that is
//! swapped for a link meanwhile leads nowhere, and a deep tree needs few descriptors. All entries of a directory come
//! before those of the directories in it.

use super::below::{open_below, sorted_names, split};
use super::check::TreeCheck;
use super::pack::{PackError, Packer};
use super::shown::shown;
use crate::error::{Error, ErrorKind};
use pyro_protocol::tree::{Entry, EntryKind};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

/// The most unreadable files that an error names.
const NAMED: usize = 20;

/// Packs all that lies in a directory, but not the directory itself.
pub(super) fn walk<W: Write>(root: &File, packer: &mut Packer<'_, W>) -> Result<(), PackError> {
    let mut walk = Walk {
        packer,
        root,
        pending: vec![Vec::new()],
        links: HashMap::new(),
        unreadable: Vec::new(),
        n_unreadable: 0,
    };
    while let Some(directory) = walk.pending.pop() {
        walk.directory(&directory)?;
    }
    walk.finish()
}

struct Walk<'a, 'b, W: Write> {
    packer: &'a mut Packer<'b, W>,
    root: &'a File,
    pending: Vec<Vec<u8>>,
    /// The first path of each file that has several names.
    links: HashMap<(u64, u64), Vec<u8>>,
    unreadable: Vec<Vec<u8>>,
    n_unreadable: usize,
}

impl<W: Write> Walk<'_, '_, W> {
    fn directory(&mut self, path: &[u8]) -> Result<(), PackError> {
        let opened = open_below(self.root, path).and_then(|fd| Ok((sorted_names(&fd)?, fd)));
        let (names, fd) = match opened {
            Ok(opened) => opened,
            Err(Errno::ACCESS | Errno::PERM) => {
                self.cannot_read(path);
                return Ok(());
            }
            Err(error) => return Err(self.failed(path, error).into()),
        };
        let first = self.pending.len();
        for name in names {
            let path = if path.is_empty() { name } else { [path, b"/", &name].concat() };
            self.entry(&fd, path)?;
        }
        self.pending[first..].reverse();
        Ok(())
    }

    fn entry(&mut self, directory: &OwnedFd, path: Vec<u8>) -> Result<(), PackError> {
        let name = split(&path).1;
        let found = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => found,
            Err(Errno::NOENT) => return Ok(()), // deleted since the directory was read
            Err(Errno::ACCESS | Errno::PERM) => {
                self.cannot_read(&path);
                return Ok(());
            }
            Err(error) => return Err(self.failed(&path, error).into()),
        };
        let kind = match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => return self.file(directory, path),
            FileType::Directory => {
                self.pending.push(path.clone());
                EntryKind::Directory
            }
            FileType::Symlink => match readlinkat(directory, name, Vec::new()) {
                Ok(target) => EntryKind::Symlink { target: target.into_bytes() },
                Err(Errno::NOENT) => return Ok(()),
                Err(error) => return Err(self.failed(&path, error).into()),
            },
            other => return Err(refuse(&self.packer.check, &path, other).into()),
        };
        self.send(described(path, kind, &found))
    }

    fn file(&mut self, directory: &OwnedFd, path: Vec<u8>) -> Result<(), PackError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file: File = match openat(directory, split(&path).1, flags, Mode::empty()) {
            Ok(file) => file.into(),
            Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ACCESS | Errno::PERM) => {
                self.cannot_read(&path);
                return Ok(());
            }
            Err(error) => return Err(self.failed(&path, error).into()),
        };
        let found = fstat(&file).map_err(|error| self.failed(&path, error))?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(self.failed(&path, Errno::LOOP).into());
        }
        if let Some(first) = self.earlier_name(&path, &found) {
            return self.send(described(path, EntryKind::HardLink { target: first }, &found));
        }
        let size = found.st_size.cast_unsigned();
        self.send(described(path.clone(), EntryKind::File { size }, &found))?;
        if self.n_unreadable > 0 {
            return Ok(());
        }
        let shown_path = shown(&path);
        self.packer.content(&path, &mut &file, &|subject, error| {
            Error::new(ErrorKind::Io, format!("could not read `{shown_path}` of {subject}"))
                .with_source(error)
        })
    }

    /// The path under which the same file was already sent.
    fn earlier_name(&mut self, path: &[u8], found: &Stat) -> Option<Vec<u8>> {
        if found.st_nlink < 2 {
            return None;
        }
        let file = (found.st_dev, found.st_ino);
        let first = self.links.get(&file).cloned();
        if first.is_none() {
            self.links.insert(file, path.to_vec());
        }
        first
    }

    /// Sends an entry, unless it is already known that nothing will come of it.
    fn send(&mut self, entry: Entry) -> Result<(), PackError> {
        if self.n_unreadable > 0 { Ok(()) } else { self.packer.entry(entry) }
    }

    fn cannot_read(&mut self, path: &[u8]) {
        self.n_unreadable += 1;
        if self.unreadable.len() < NAMED {
            self.unreadable.push(path.to_vec());
        }
    }

    fn finish(self) -> Result<(), PackError> {
        if self.n_unreadable == 0 {
            return Ok(());
        }
        let mut names: Vec<String> = Vec::new();
        for path in &self.unreadable {
            names.push(if path.is_empty() {
                "the directory itself".into()
            } else {
                format!("`{}`", shown(path))
            });
        }
        let more = self.n_unreadable - self.unreadable.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let message = format!(
            "nothing was copied from {}: you may not read {}{more}",
            self.packer.subject,
            names.join(", ")
        );
        Err(Error::invalid(message)
            .with_hint("make them readable with chmod, move them away, or name a directory without them")
            .into())
    }

    fn failed(&self, path: &[u8], error: Errno) -> Error {
        let subject = &self.packer.subject;
        let what = if path.is_empty() { subject.clone() } else { format!("`{}` of {subject}", shown(path)) };
        let changed = matches!(error, Errno::LOOP | Errno::NOTDIR | Errno::NOENT);
        if changed {
            return Error::new(ErrorKind::Io, format!("{what} changed its type while it was read"))
                .with_hint("try again when nobody changes the directory");
        }
        Error::new(ErrorKind::Io, format!("could not read {what}")).with_source(error)
    }
}

fn refuse(check: &TreeCheck, path: &[u8], kind: FileType) -> Error {
    let what = match kind {
        FileType::Socket => "a socket",
        FileType::Fifo => "a FIFO",
        FileType::BlockDevice | FileType::CharacterDevice => "a device",
        _ => "of an unknown type",
    };
    check.not_carried(path, what)
}

fn described(path: Vec<u8>, kind: EntryKind, found: &Stat) -> Entry {
    Entry {
        path,
        kind,
        mode: found.st_mode & 0o7777,
        mtime_seconds: found.st_mtime,
        mtime_nanos: u32::try_from(found.st_mtime_nsec).unwrap_or(0),
    }
}
