//! The stream of an export becomes files, in a private directory first.

use super::below::{open_below, open_directory, split};
use super::check::TreeCheck;
use super::publish::{STAGED, Staging, Target};
use super::shown::shown;
use super::{ArtifactType, ReadError};
use crate::error::{Error, ErrorKind};
use pyro_protocol::tree::{Entry, EntryKind, Record, TreeReader};
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};
use rustix::fs::{fchmod, futimens, linkat, mkdirat, openat, symlinkat, utimensat};
use rustix::io::Errno;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

#[cfg(test)]
mod tests;

const BUFFER_SIZE: usize = 256 * 1024;

/// The most bytes that the paths of all directories may have: they are kept until the end.
const MAX_DIRECTORY_PATHS: usize = 256 * 1024 * 1024;

/// What came out of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Unpacked {
    /// What the output is.
    pub artifact_type: ArtifactType,
    /// Files, directories and links: those in a directory, or 1.
    pub entry_count: u64,
    /// The bytes in the files.
    pub bytes_written: u64,
}

/// Reads the stream of an export and makes it the output, all of it or nothing. `limit_bytes` is the most content that
/// is taken. Set-uid, set-gid and sticky bits are dropped; links are made as they are, and never followed.
///
/// # Errors
/// [`ReadError::Stream`] if the stream breaks off. Refused are: what [`check_output`](super::check_output) refuses;
/// `unsafe_path` and `guest_unreachable` for a stream that no guest agent would send; `wrong_state` for more content
/// than `limit_bytes`; `disk_full`; `already_exists`, even with `force`, when a directory would replace what is none,
/// or the reverse; `io`. Whatever the error, the output is as it was (unless the message says otherwise).
pub fn unpack(from: impl Read, output: &Path, force: bool, limit_bytes: u64) -> Result<Unpacked, ReadError> {
    let target = Target::open(output, force)?;
    let staging = target.stage()?;
    let mut reader = TreeReader::new(BufReader::with_capacity(BUFFER_SIZE, from));
    let Record::Entry(root) = reader.record().map_err(ReadError::Stream)? else {
        return Err(malformed("it does not begin with an entry").into());
    };
    let mut unpacker = Unpacker::new(&staging, limit_bytes)?;
    let artifact_type = unpacker.root(&root, &mut reader)?;
    loop {
        match reader.record().map_err(ReadError::Stream)? {
            Record::End => break,
            Record::Entry(entry) if artifact_type == ArtifactType::Directory => {
                unpacker.entry(&entry, &mut reader)?;
            }
            Record::Entry(_) => return Err(malformed("more follows behind what is no directory").into()),
            Record::Change(_) => return Err(malformed("it contains a change").into()),
        }
    }
    unpacker.finish_directories()?;
    let (entry_count, bytes_written) = (unpacker.entry_count, unpacker.bytes_written);
    // The root stays writable until it is in its place: a directory that is not cannot be moved.
    let root = unpacker.directories.pop().map(|entry| Ok((unpacker.open_root()?, entry))).transpose();
    let root = root.map_err(|error: Errno| failed(b"", &error.into()))?;
    target.publish(staging, artifact_type)?;
    if let Some((directory, entry)) = root {
        finish_directory(&directory, &entry).map_err(|error| failed(b"", &error.into()))?;
    }
    Ok(Unpacked { artifact_type, entry_count, bytes_written })
}

struct Unpacker<'a> {
    staging: &'a Staging,
    check: TreeCheck,
    limit_bytes: u64,
    entry_count: u64,
    bytes_written: u64,
    /// The directory that the last entry lies in, below the root, and its path there.
    current: (Vec<u8>, OwnedFd),
    /// What is still to be set, once nothing more is written below: mode and time. The root comes first.
    directories: Vec<Entry>,
    directory_paths: usize,
}

impl<'a> Unpacker<'a> {
    fn new(staging: &'a Staging, limit_bytes: u64) -> Result<Self, Error> {
        let top = staging.directory.try_clone().map_err(|error| failed(b"", &error))?;
        Ok(Self {
            staging,
            check: TreeCheck::export("the export"),
            limit_bytes,
            entry_count: 0,
            bytes_written: 0,
            current: (Vec::new(), top),
            directories: Vec::new(),
            directory_paths: 0,
        })
    }

    fn root<R: Read>(&mut self, root: &Entry, reader: &mut TreeReader<R>) -> Result<ArtifactType, ReadError> {
        if !root.path.is_empty() {
            return Err(malformed("it does not begin with its root").into());
        }
        let artifact_type = match root.kind {
            EntryKind::Directory => ArtifactType::Directory,
            EntryKind::File { .. } => ArtifactType::File,
            EntryKind::Symlink { .. } => ArtifactType::Symlink,
            EntryKind::HardLink { .. } => return Err(malformed("its root is a hard link").into()),
        };
        if let EntryKind::Symlink { .. } = root.kind {
            // The rules for targets are those of any other link.
            self.check.add(&Entry { path: STAGED.into(), ..root.clone() })?;
        }
        let top = self.staging.directory.as_fd().try_clone_to_owned().map_err(|error| failed(b"", &error))?;
        self.make(&top, STAGED.as_bytes(), root, reader)?;
        if artifact_type == ArtifactType::Directory {
            self.current.1 =
                open_directory(&top, STAGED.as_bytes()).map_err(|error| failed(b"", &error.into()))?;
        } else {
            self.entry_count = 1;
        }
        Ok(artifact_type)
    }

    fn entry<R: Read>(&mut self, entry: &Entry, reader: &mut TreeReader<R>) -> Result<(), ReadError> {
        self.check.add(entry)?;
        self.entry_count += 1;
        let (parent, name) = split(&entry.path);
        self.enter(parent).map_err(|error| failed(&entry.path, &error.into()))?;
        let parent = self.current.1.try_clone().map_err(|error| failed(&entry.path, &error))?;
        self.make(&parent, name, entry, reader)
    }

    /// Opens the directory that the next entry lies in: from the one before if it is below it, else from the root.
    fn enter(&mut self, path: &[u8]) -> Result<(), Errno> {
        if path == self.current.0 {
            return Ok(());
        }
        let below = match self.current.0.is_empty() {
            true => None, // the root may be another descriptor while it is made
            false => path.strip_prefix(&self.current.0[..]).and_then(|rest| rest.strip_prefix(b"/")),
        };
        let directory = match below {
            Some(rest) => open_below(&self.current.1, rest)?,
            None => open_below(&self.open_root()?, path)?,
        };
        self.current = (path.to_vec(), directory);
        Ok(())
    }

    fn open_root(&self) -> Result<OwnedFd, Errno> {
        open_directory(&self.staging.directory, STAGED.as_bytes())
    }

    fn make<R: Read>(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
        reader: &mut TreeReader<R>,
    ) -> Result<(), ReadError> {
        let made = match &entry.kind {
            EntryKind::File { .. } => return self.file(parent, name, entry, reader),
            EntryKind::Directory => {
                self.remember(entry)?;
                mkdirat(parent, name, Mode::RWXU)
            }
            EntryKind::Symlink { target } => symlinkat(&target[..], parent, name)
                .and_then(|()| utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)),
            EntryKind::HardLink { target } => self.hard_link(target, parent, name),
        };
        made.map_err(|error| failed(&entry.path, &error.into()).into())
    }

    fn hard_link(&self, target: &[u8], parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        let (target_parent, target_name) = split(target);
        let target_parent = open_below(self.open_root()?, target_parent)?;
        linkat(&target_parent, target_name, parent, name, AtFlags::empty())
    }

    fn file<R: Read>(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
        reader: &mut TreeReader<R>,
    ) -> Result<(), ReadError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fail = |error: io::Error| failed(&entry.path, &error);
        let mut file: File =
            openat(parent, name, flags, Mode::RUSR | Mode::WUSR).map_err(|error| fail(error.into()))?.into();
        while let Some(piece) = reader.piece().map_err(ReadError::Stream)? {
            self.bytes_written += piece.len() as u64;
            if self.bytes_written > self.limit_bytes {
                return Err(self.too_large().into());
            }
            file.write_all(piece).map_err(fail)?;
        }
        fchmod(&file, mode(entry)).map_err(|error| fail(error.into()))?;
        futimens(&file, &times(entry)).map_err(|error| fail(error.into()))?;
        Ok(())
    }

    fn remember(&mut self, directory: &Entry) -> Result<(), Error> {
        self.directory_paths += directory.path.len();
        if self.directory_paths > MAX_DIRECTORY_PATHS {
            return Err(malformed("it has too many directories"));
        }
        self.directories.push(directory.clone());
        Ok(())
    }

    /// Sets the modes and times of all directories but the root, the innermost first: after that they may be closed
    /// to us.
    fn finish_directories(&mut self) -> Result<(), Error> {
        for entry in self.directories.iter().skip(1).rev() {
            let set = self
                .open_root()
                .and_then(|root| open_below(&root, &entry.path))
                .and_then(|directory| finish_directory(&directory, entry));
            set.map_err(|error| failed(&entry.path, &error.into()))?;
        }
        self.directories.truncate(1);
        Ok(())
    }

    fn too_large(&self) -> Error {
        let mib = self.limit_bytes / (1024 * 1024);
        let message = format!("the export holds more than {mib} MiB, which is the limit");
        Error::new(ErrorKind::WrongState, message).with_hint("export a part of it")
    }
}

fn finish_directory(directory: &OwnedFd, entry: &Entry) -> Result<(), Errno> {
    futimens(directory, &times(entry))?;
    fchmod(directory, mode(entry))
}

fn mode(entry: &Entry) -> Mode {
    Mode::from_raw_mode(entry.mode & 0o777)
}

fn times(entry: &Entry) -> Timestamps {
    // A time out of range would be an error, and some of its values mean "now" or "leave it".
    let nanos = i64::from(entry.mtime_nanos.min(999_999_999));
    let time = Timespec { tv_sec: entry.mtime_seconds, tv_nsec: nanos };
    Timestamps { last_access: time, last_modification: time }
}

fn malformed(why: &str) -> Error {
    Error::new(ErrorKind::GuestUnreachable, format!("the export is no tree of files: {why}"))
}

fn failed(path: &[u8], error: &io::Error) -> Error {
    let name =
        if path.is_empty() { "the export".to_owned() } else { format!("`{}` of the export", shown(path)) };
    let source = io::Error::from(error.kind());
    let source = error.raw_os_error().map_or(source, io::Error::from_raw_os_error);
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return Error::new(ErrorKind::DiskFull, format!("no room on this host for {name}"))
            .with_source(source)
            .with_hint("free some space, or choose an output on another disk");
    }
    Error::new(ErrorKind::Io, format!("could not write {name}")).with_source(source)
}
