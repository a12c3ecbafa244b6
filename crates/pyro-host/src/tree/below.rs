//! Files below a directory that is already open, reached one component at a time, so that no link is ever followed,
//! and with few descriptors, so that a tree may be deep.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fchmod, openat, renameat, unlinkat};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens the directory with this name in an open one.
pub(super) fn open_directory(parent: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    openat(parent, name, DIRECTORY, Mode::empty())
}

/// Opens the directory at a relative path below an open one; an empty path is that one itself.
pub(super) fn open_below(root: impl AsFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let mut at = open_directory(root, b".")?;
    for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
        at = open_directory(&at, name)?;
    }
    Ok(at)
}

/// The directory part of a path (empty at the top) and its last component.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// The names in an open directory, sorted by their bytes.
pub(super) fn sorted_names(directory: impl AsFd) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Deletes all that lies in a directory of ours, however deep it is and whatever its modes are. A directory's own
/// directories are first moved to the top, so that two descriptors are enough.
pub(super) fn clear(top: impl AsFd) -> Result<(), Errno> {
    let top = top.as_fd();
    let mut moved = 0_u64;
    loop {
        let names = sorted_names(top)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            if !unlinked(top, &name)? {
                clear_directory(top, &name, &mut moved)?;
            }
        }
    }
}

fn clear_directory(top: impl AsFd, name: &[u8], moved: &mut u64) -> Result<(), Errno> {
    let top = top.as_fd();
    let directory = match open_directory(top, name) {
        Err(Errno::ACCESS) => {
            // Nobody else can put a link here: the directory above is private.
            rustix::fs::chmodat(top, name, Mode::RWXU, AtFlags::empty())?;
            open_directory(top, name)?
        }
        other => other?,
    };
    fchmod(&directory, Mode::RWXU)?;
    for child in sorted_names(&directory)? {
        if unlinked(&directory, &child)? {
            continue;
        }
        loop {
            *moved += 1;
            match renameat(&directory, &child[..], top, format!("pyro-removed-{moved}")) {
                // To be moved, a directory must be writable itself: its `..` changes.
                Err(Errno::ACCESS) => {
                    rustix::fs::chmodat(&directory, &child[..], Mode::RWXU, AtFlags::empty())?;
                }
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                other => break other?,
            }
        }
    }
    unlinkat(top, name, AtFlags::REMOVEDIR)
}

/// Deletes what is no directory; `false` if it is one.
fn unlinked(directory: impl AsFd, name: &[u8]) -> Result<bool, Errno> {
    let directory = directory.as_fd();
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(error @ (Errno::ISDIR | Errno::PERM)) => {
            let found = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(found.st_mode) == FileType::Directory { Ok(false) } else { Err(error) }
        }
        Err(error) => Err(error),
    }
}
