//! One open directory, and what is done by name in it.
//!
//! Every call takes one name and follows no link, so that nothing leads out of the directory, however deep it is and
//! whatever a command does to it at the same time. Reading leaves no trace: times of access are not touched.

use crate::sys;
use nix::NixPath;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::libc::{S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, STATX_ATTR_APPEND, STATX_ATTR_IMMUTABLE};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, fstatat, mkdirat};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

const HOW: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The attributes of what may not be changed.
const FIXED: u64 = (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND) as u64;

/// An open directory.
#[derive(Debug)]
pub(crate) struct Directory(OwnedFd);

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Directory> for OwnedFd {
    fn from(directory: Directory) -> Self {
        directory.0
    }
}

impl From<OwnedFd> for Directory {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl Directory {
    /// Opens one by its path.
    pub(crate) fn open(path: &Path) -> nix::Result<Self> {
        open_at(AT_FDCWD, path, HOW).map(Self)
    }

    /// Opens one in this. `ENOTDIR` or `ELOOP` when it is something else.
    pub(crate) fn child(&self, name: &[u8]) -> nix::Result<Self> {
        open_at(&self.0, name, HOW).map(Self)
    }

    /// Opens one in this; `None` when it is something else, or nothing.
    pub(crate) fn child_if_any(&self, name: &[u8]) -> nix::Result<Option<Self>> {
        match self.child(name) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Makes one in this with exactly this mode, and opens it.
    pub(crate) fn make(&self, name: &[u8], mode: u32) -> nix::Result<Self> {
        mkdirat(&self.0, name, Mode::from_bits_truncate(mode))?;
        let made = self.child(name)?;
        if made.stat_itself()?.st_mode & 0o7777 != mode {
            fchmod(&made, Mode::from_bits_truncate(mode))?;
        }
        Ok(made)
    }

    /// Opens one in this, and makes it if it is missing.
    pub(crate) fn make_or_open(&self, name: &[u8], mode: u32) -> nix::Result<Self> {
        match self.make(name, mode) {
            Err(Errno::EEXIST) => self.child(name),
            made => made,
        }
    }

    /// What stands under a name; `None` when nothing does.
    pub(crate) fn stat(&self, name: &[u8]) -> nix::Result<Option<FileStat>> {
        match fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => Ok(None),
            stat => stat.map(Some),
        }
    }

    /// What stands under a name, and whether it may be changed; `None` when nothing does. One system call, as `stat`.
    pub(crate) fn look(&self, name: &[u8]) -> nix::Result<Option<Looked>> {
        let c_name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        match sys::mode_and_attributes(&self.0, &c_name) {
            Ok((mode, attributes)) => {
                Ok(Some(Looked { kind: kind_of(mode), is_fixed: attributes & FIXED != 0 }))
            }
            Err(Errno::ENOENT) => Ok(None),
            // A host may keep the call from us.
            Err(Errno::ENOSYS) => {
                Ok(self.stat(name)?.map(|stat| Looked { kind: kind(&stat), is_fixed: false }))
            }
            Err(errno) => Err(errno),
        }
    }

    /// What the directory itself is.
    pub(crate) fn stat_itself(&self) -> nix::Result<FileStat> {
        fstat(&self.0)
    }

    /// Opens a regular file for reading; `None` when it is something else, or nothing, by now.
    pub(crate) fn file(&self, name: &[u8]) -> nix::Result<Option<(File, FileStat)>> {
        // Without O_NONBLOCK a FIFO that has taken the file's place would keep us waiting for ever.
        let how = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = match open_at(&self.0, name, how) {
            Err(Errno::ENOENT | Errno::ELOOP | Errno::ENXIO) => return Ok(None),
            file => file?,
        };
        let stat = fstat(&file)?;
        Ok((kind(&stat) == Kind::File).then(|| (File::from(file), stat)))
    }

    /// The names in it, sorted.
    pub(crate) fn names(&self) -> nix::Result<Vec<Vec<u8>>> {
        Ok(self.entries()?.into_iter().map(|(name, _)| name).collect())
    }

    /// The names in it, sorted, and whether each may be that of a directory.
    pub(crate) fn entries(&self) -> nix::Result<Vec<(Vec<u8>, bool)>> {
        let mut entries = Vec::new();
        for entry in Dir::from_fd(open_at(&self.0, ".", HOW)?)?.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                let may_be_directory = matches!(entry.file_type(), None | Some(Type::Directory));
                entries.push((name.to_vec(), may_be_directory));
            }
        }
        entries.sort_unstable();
        Ok(entries)
    }

    /// Removes what stands under a name, with everything in it. Nothing there is fine.
    pub(crate) fn remove(&self, name: &[u8]) -> nix::Result<()> {
        match unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir) {
            Err(Errno::EISDIR | Errno::EPERM) => {}
            Err(Errno::ENOENT) => return Ok(()),
            result => return result,
        }
        let child = self.child(name)?;
        child.names()?.iter().try_for_each(|name| child.remove(name))?;
        unlinkat(&self.0, name, UnlinkatFlags::RemoveDir)
    }
}

/// Opens something so that its time of access stays as it is, where we may: who is not root may that with their own
/// files only.
fn open_at<P: NixPath + ?Sized>(at: impl AsFd, path: &P, how: OFlag) -> nix::Result<OwnedFd> {
    match openat(&at, path, how | OFlag::O_NOATIME, Mode::empty()) {
        Err(Errno::EPERM) => openat(&at, path, how, Mode::empty()),
        opened => opened,
    }
}

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
    Symlink,
    Other,
}

/// What a look at something told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Looked {
    pub(crate) kind: Kind,
    /// Even root may not replace it, nor give it another mode: it is immutable or append-only (see `chattr(1)`).
    pub(crate) is_fixed: bool,
}

/// What something is.
pub(crate) fn kind(stat: &FileStat) -> Kind {
    kind_of(stat.st_mode)
}

fn kind_of(mode: u32) -> Kind {
    match mode & S_IFMT {
        S_IFDIR => Kind::Directory,
        S_IFREG => Kind::File,
        S_IFLNK => Kind::Symlink,
        _ => Kind::Other,
    }
}

/// When something was last read.
pub(crate) fn access_time(stat: &FileStat) -> TimeSpec {
    TimeSpec::new(stat.st_atime, stat.st_atime_nsec)
}

/// When something was last changed.
pub(crate) fn change_time(stat: &FileStat) -> TimeSpec {
    TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec)
}
