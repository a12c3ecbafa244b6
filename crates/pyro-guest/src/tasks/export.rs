//! What is at a path of the workspace, as a stream: parents before children, children sorted by name.
//!
//! Nothing is followed out of the workspace, and nothing that changes meanwhile keeps this from its end: of a file that
//! grows the size of the beginning is sent, and what disappears is left out.

use super::content;
use super::directory::{Directory, Kind, change_time, kind};
use super::failure::{At, Result, failure, not_written, refused};
use super::place::{Place, checked, join, split};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::FileStat;
use pyro_protocol::task::TaskFailure;
use pyro_protocol::task::TaskFailureKind::{NotCarried, NotFound, UnsafePath};
use pyro_protocol::tree::{Entry, EntryKind, MAX_PATH, Record, TreeWriter};
use std::collections::HashMap;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;

/// How many files with several names are remembered; those beyond are sent once for each name.
const LINKED_MAX: usize = 100_000;

/// How often the kernel may say that the way to the path changed while it went it.
const ATTEMPTS: u32 = 100;

/// Writes what is at a path of the workspace.
pub(crate) fn export(path: &str, place: &Place, to: impl Write) -> Result<()> {
    let path = checked(path)?;
    let mut export = Export { base: path, to: TreeWriter::new(to), linked: HashMap::new() };
    let tree = place.tree()?;
    let found = if path.is_empty() {
        let stat = tree.stat_itself().at(path, "could not look at the workspace")?;
        export.directory(&tree, &stat, &[])?;
        true
    } else {
        let (parent, name) = parent_below(&tree, path)?;
        export.entry(&parent, name, &[])?
    };
    if !found {
        return Err(not_found(path));
    }
    export.to.finish().map(drop).map_err(|error| not_written(&error))
}

/// Opens the directory that a path of the workspace ends in, and gives the name in it. Links on the way are followed as
/// long as they stay inside.
fn parent_below<'a>(tree: &Directory, path: &'a [u8]) -> Result<(Directory, &'a [u8])> {
    let (parent, name) = split(path);
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let how = OpenHow::new()
        .flags(flags)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let parent = if parent.is_empty() { b"." } else { parent };
    let mut attempts = 0;
    loop {
        match openat2(tree, parent, how) {
            Ok(fd) => return Ok((fd.into(), name)),
            Err(Errno::EAGAIN) if attempts < ATTEMPTS => attempts += 1,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Err(not_found(path)),
            Err(Errno::EXDEV | Errno::ELOOP) => {
                return Err(failure(UnsafePath, path, "leads out of the workspace"));
            }
            Err(errno) => return Err(refused(errno, path, "could not open the directory")),
        }
    }
}

fn not_found(path: &[u8]) -> TaskFailure {
    failure(NotFound, path, "there is no such file or directory")
}

struct Export<'a, W> {
    /// What is exported, below the workspace.
    base: &'a [u8],
    to: TreeWriter<W>,
    /// The first path of each file that has other names.
    linked: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Export<'_, W> {
    /// Sends the entry `name` of a directory as `path`, with everything in it. Gives whether it was there.
    fn entry(&mut self, parent: &Directory, name: &[u8], path: &[u8]) -> Result<bool> {
        if path.len() > MAX_PATH {
            return Err(self.not_carried(path, "its path is longer than 4096 bytes"));
        }
        let doing = "could not read the entry";
        let Some(stat) = parent.stat(name).at(&self.full(path), doing)? else { return Ok(false) };
        match kind(&stat) {
            Kind::Directory => {
                let Some(directory) = parent.child_if_any(name).at(&self.full(path), doing)? else {
                    return Ok(false);
                };
                self.directory(&directory, &stat, path)?;
            }
            Kind::File => return self.file(parent, name, path),
            Kind::Symlink => match readlinkat(parent, name) {
                Ok(target) => self.record(EntryKind::Symlink { target: target.into_vec() }, &stat, path)?,
                Err(Errno::ENOENT | Errno::EINVAL) => return Ok(false),
                Err(errno) => return Err(refused(errno, &self.full(path), doing)),
            },
            Kind::Other => {
                return Err(self.not_carried(path, "a socket, a FIFO or a device, which is not carried over"));
            }
        }
        Ok(true)
    }

    fn directory(&mut self, directory: &Directory, stat: &FileStat, path: &[u8]) -> Result<()> {
        self.record(EntryKind::Directory, stat, path)?;
        for name in directory.names().at(&self.full(path), "could not list the directory")? {
            self.entry(directory, &name, &join(path, &name))?;
        }
        Ok(())
    }

    fn file(&mut self, parent: &Directory, name: &[u8], path: &[u8]) -> Result<bool> {
        let doing = "could not read the file";
        let Some((file, stat)) = parent.file(name).at(&self.full(path), doing)? else { return Ok(false) };
        if stat.st_nlink > 1 {
            if let Some(target) = self.linked.get(&(stat.st_dev, stat.st_ino)) {
                let target = target.clone();
                self.record(EntryKind::HardLink { target }, &stat, path)?;
                return Ok(true);
            }
            if self.linked.len() < LINKED_MAX {
                self.linked.insert((stat.st_dev, stat.st_ino), path.to_vec());
            }
        }
        let size = stat.st_size.unsigned_abs();
        self.record(EntryKind::File { size }, &stat, path)?;
        content::send(&file, size, &mut self.to, &join(self.base, path))?;
        Ok(true)
    }

    fn record(&mut self, kind: EntryKind, stat: &FileStat, path: &[u8]) -> Result<()> {
        let time = change_time(stat);
        let entry = Entry {
            path: path.to_vec(),
            kind,
            mode: stat.st_mode & 0o7777,
            mtime_seconds: time.tv_sec(),
            mtime_nanos: u32::try_from(time.tv_nsec()).unwrap_or(0),
        };
        self.to.record(&Record::Entry(entry)).map_err(|error| not_written(&error))
    }

    fn not_carried(&self, path: &[u8], message: &str) -> TaskFailure {
        failure(NotCarried, &self.full(path), message)
    }

    fn full(&self, path: &[u8]) -> Vec<u8> {
        if path.is_empty() { self.base.to_vec() } else { join(self.base, path) }
    }
}
