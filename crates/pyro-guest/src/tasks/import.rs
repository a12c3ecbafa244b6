//! A tree from a stream, into a directory.
//!
//! Trusts nothing: every name is made in the directory that was opened for it, no link is followed, and nothing that
//! is there is written to. The directories on the way to the last entry stay open, so that a file costs as few system
//! calls as it can: under emulation that is what an import of many small files takes.
//!
//! Directories get their mode and their time when they are left. The time of access is made equal to that of change:
//! a sync reads it there, since its own renames change the other (see `apply`).

use super::directory::{Directory, change_time};
use super::failure::{At, Result, failure, not_read, refused};
use super::place::{Modes, join, names, split};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, UtimensatFlags, fchmod, futimens, mkdirat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{linkat, symlinkat};
use pyro_protocol::task::TaskFailure;
use pyro_protocol::task::TaskFailureKind::{self, Malformed};
use pyro_protocol::tree::{Entry, EntryKind, Record, TreeReader, check_path};
use std::fs::File;
use std::io::{Read, Write};

/// Of a directory that no record told of before an entry in it.
const IMPLIED_MODE: u32 = 0o755;

/// What was imported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) directories: u64,
    pub(crate) others: u64,
}

/// Reads a tree to its end and makes it in a directory. The process must have an empty `umask`. Failures name paths
/// below `prefix`.
pub(crate) fn import(from: impl Read, root: &Directory, prefix: &[u8], modes: Modes) -> Result<Counts> {
    let mut reader = TreeReader::new(from);
    let mut import = Import { root, prefix, modes, open: Vec::new(), counts: Counts::default() };
    loop {
        match reader.record().map_err(|error| not_read(&error))? {
            Record::Entry(entry) => import.entry(&entry, &mut reader)?,
            Record::Change(_) => {
                return Err(failure(Malformed, b"", "a difference where a tree is expected"));
            }
            Record::End => break,
        }
    }
    import.leave(0)?;
    Ok(import.counts)
}

struct Import<'a> {
    root: &'a Directory,
    prefix: &'a [u8],
    modes: Modes,
    /// From the root down to the directory of the last entry.
    open: Vec<Open>,
    counts: Counts,
}

/// A directory on the way to the last entry.
struct Open {
    name: Vec<u8>,
    directory: Directory,
    /// The mode to give it, if it has another.
    mode: Option<u32>,
    /// The time to give it, if something was made in it.
    time: Option<TimeSpec>,
    changed: bool,
}

impl Import<'_> {
    fn entry<R: Read>(&mut self, entry: &Entry, reader: &mut TreeReader<R>) -> Result<()> {
        let Entry { path, kind, mode, mtime_seconds, mtime_nanos } = entry;
        check_path(path).map_err(|fault| self.fail(Malformed, path, &fault.to_string()))?;
        if mode & !0o7777 != 0 || *mtime_nanos >= 1_000_000_000 {
            return Err(self.fail(Malformed, path, "its mode or its time is out of range"));
        }
        let time = TimeSpec::new(*mtime_seconds, i64::from(*mtime_nanos));
        let (parent, name) = split(path);
        self.enter(parent)?;
        if let Some(open) = self.open.last_mut() {
            open.changed = true;
        }
        match kind {
            EntryKind::Directory => self.directory(path, name, self.modes.of_directory(*mode), time),
            EntryKind::File { .. } => self.file(path, name, self.modes.of_file(*mode), time, reader),
            EntryKind::Symlink { target } => self.symlink(path, name, target, time),
            EntryKind::HardLink { target } => self.hard_link(path, name, target),
        }
    }

    fn directory(&mut self, path: &[u8], name: &[u8], mode: u32, time: TimeSpec) -> Result<()> {
        let first = mode & 0o777 | 0o700; // until it is left it must let us in, and must hand nothing down
        let made = mkdirat(self.parent(), name, bits(first));
        let (directory, has) = match (made, self.parent().child(name)) {
            (Ok(()), Ok(directory)) => {
                self.counts.directories += 1;
                (directory, Some(first))
            }
            // An archive may tell of a directory after what lies in it, by which it was made.
            (Err(Errno::EEXIST), Ok(directory)) => (directory, None),
            (Err(errno), _) | (Ok(()), Err(errno)) => return Err(self.refused(errno, path)),
        };
        let mode = (has != Some(mode)).then_some(mode);
        self.open.push(Open { name: name.to_vec(), directory, mode, time: Some(time), changed: true });
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        path: &[u8],
        name: &[u8],
        mode: u32,
        time: TimeSpec,
        reader: &mut TreeReader<R>,
    ) -> Result<()> {
        let how = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(self.parent(), name, how, bits(mode & 0o777));
        let mut file = File::from(file.map_err(|errno| self.refused(errno, path))?);
        while let Some(piece) = reader.piece().map_err(|error| not_read(&error))? {
            file.write_all(piece).at(&self.full(path), "could not write the file")?;
        }
        if mode & 0o7000 != 0 {
            fchmod(&file, bits(mode)).map_err(|errno| self.refused(errno, path))?;
        }
        futimens(&file, &time, &time).map_err(|errno| self.refused(errno, path))?;
        self.counts.others += 1;
        Ok(())
    }

    fn symlink(&mut self, path: &[u8], name: &[u8], target: &[u8], time: TimeSpec) -> Result<()> {
        if target.is_empty() || target.contains(&0) {
            return Err(self.fail(Malformed, path, "the target of the link is none"));
        }
        symlinkat(target, self.parent(), name)
            .and_then(|()| utimensat(self.parent(), name, &time, &time, UtimensatFlags::NoFollowSymlink))
            .map_err(|errno| self.refused(errno, path))?;
        self.counts.others += 1;
        Ok(())
    }

    fn hard_link(&mut self, path: &[u8], name: &[u8], target: &[u8]) -> Result<()> {
        check_path(target).map_err(|fault| self.fail(Malformed, path, &format!("its target: {fault}")))?;
        let (folder, target) = split(target);
        let folder = if folder.is_empty() { b"." } else { folder };
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        openat2(self.root, folder, how)
            .and_then(|folder| linkat(folder, target, self.parent(), name, AtFlags::empty()))
            .map_err(|errno| match errno {
                Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EPERM => {
                    self.fail(Malformed, path, "its target is no file that came before")
                }
                errno => self.refused(errno, path),
            })?;
        self.counts.others += 1;
        Ok(())
    }

    /// Makes a directory the last of those that are open.
    fn enter(&mut self, path: &[u8]) -> Result<()> {
        let n_shared = names(path).zip(&self.open).take_while(|(name, open)| *name == open.name).count();
        self.leave(n_shared)?;
        for name in names(path).skip(n_shared) {
            self.enter_one(path, name)?;
        }
        Ok(())
    }

    fn enter_one(&mut self, path: &[u8], name: &[u8]) -> Result<()> {
        let open = match self.parent().child(name) {
            Ok(directory) => {
                let stat = directory.stat_itself().map_err(|errno| self.refused(errno, path))?;
                let time = Some(change_time(&stat)); // was left before, and is to keep what it got then
                Open { name: name.to_vec(), directory, mode: None, time, changed: false }
            }
            Err(Errno::ENOENT) => {
                let made = self.parent().make(name, IMPLIED_MODE);
                let directory = made.map_err(|errno| self.refused(errno, path))?;
                self.counts.directories += 1;
                Open { name: name.to_vec(), directory, mode: None, time: None, changed: false }
            }
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                return Err(self.fail(Malformed, path, "leads through an entry that is no directory"));
            }
            Err(errno) => return Err(self.refused(errno, path)),
        };
        if let (Some(parent), None) = (self.open.last_mut(), open.time) {
            parent.changed = true;
        }
        self.open.push(open);
        Ok(())
    }

    /// Closes all but the first directories, and gives each its mode and its time.
    fn leave(&mut self, n_kept: usize) -> Result<()> {
        while self.open.len() > n_kept {
            let Some(Open { name, directory, mode, time, changed }) = self.open.pop() else { break };
            let mode = mode.map_or(Ok(()), |mode| fchmod(&directory, bits(mode)));
            let time = match time.filter(|_| changed) {
                Some(time) => futimens(&directory, &time, &time),
                None => Ok(()),
            };
            mode.and(time).map_err(|errno| self.refused(errno, &name))?;
        }
        Ok(())
    }

    fn parent(&self) -> &Directory {
        self.open.last().map_or(self.root, |open| &open.directory)
    }

    fn full(&self, path: &[u8]) -> Vec<u8> {
        join(self.prefix, path)
    }

    fn fail(&self, kind: TaskFailureKind, path: &[u8], message: &str) -> TaskFailure {
        failure(kind, &self.full(path), message)
    }

    fn refused(&self, errno: Errno, path: &[u8]) -> TaskFailure {
        match errno {
            Errno::EEXIST => self.fail(Malformed, path, "the entry comes twice"),
            Errno::ENAMETOOLONG => self.fail(Malformed, path, "a name or a target is too long"),
            _ => refused(errno, &self.full(path), "could not make the entry"),
        }
    }
}

fn bits(mode: u32) -> Mode {
    Mode::from_bits_truncate(mode)
}
