//! Moves a staged tree into the workspace, so that it can be done again from the start wherever it was broken off.
//!
//! Each entry is moved by one rename(2): afterwards it is no longer staged, and a second run does not meet it. A
//! directory that the workspace has already is gone through; then it gets the mode and the time of the staged one, and
//! only then is the staged one removed. Its time of change is gone by then, since its entries were moved out of it:
//! its time of access says it (see `import`).
//!
//! What was checked before may have changed since, for commands run on. There is no way back any more, so that what
//! stands in the way is moved aside, and removed with the rest of the sync.

use super::directory::{Directory, Kind, access_time, kind};
use super::failure::{At, Result};
use super::place::{join, names, split};
use super::sync::{fault, step};
use nix::errno::Errno;
use nix::fcntl::renameat;
use nix::sys::stat::{Mode, fchmod, futimens};
use nix::unistd::{UnlinkatFlags, unlinkat};

/// How often a command may put something new in the way of one entry before that is a failure.
const ATTEMPTS: u32 = 100;

/// Where a tree goes.
pub(crate) struct Target<'a> {
    pub(crate) workspace: &'a Directory,
    pub(crate) destination: &'a [u8],
    /// Takes what stands in the way.
    pub(crate) aside: &'a Directory,
}

/// Moves the directory `name` of `staged`, which is open as `tree`, to its target.
pub(crate) fn apply(staged: &Directory, name: &[u8], tree: &Directory, target: &Target<'_>) -> Result<()> {
    let aside = target.aside;
    if target.destination.is_empty() {
        return merge(tree, target.workspace, &mut Vec::new(), aside);
    }
    let (parents, last) = split(target.destination);
    let mut path = Vec::new();
    let mut parent = target.workspace.child(b".").at(b"", "could not open the workspace")?;
    for name in names(parents) {
        path = join(&path, name);
        parent = enter(&parent, name, aside).at(&path, "could not make the destination")?;
    }
    path = join(&path, last);
    match parent.child_if_any(last).at(&path, "could not open the destination")? {
        Some(there) => merge(tree, &there, &mut path, aside),
        None => place(staged, name, &parent, last, aside).at(&path, "could not make the destination"),
    }
}

/// Moves the entries of a staged directory into one that is there.
fn merge(staged: &Directory, target: &Directory, path: &mut Vec<u8>, aside: &Directory) -> Result<()> {
    let doing = "could not bring the entry into the workspace";
    for (name, may_be_directory) in staged.entries().at(path, doing)? {
        let n_bytes = path.len();
        *path = join(path, &name);
        let child = |side: &Directory| if may_be_directory { side.child_if_any(&name) } else { Ok(None) };
        match (child(staged).at(path, doing)?, child(target).at(path, doing)?) {
            (Some(from), Some(to)) => {
                merge(&from, &to, path, aside)?;
                dress(&from, &to).at(path, doing)?;
                step();
                let _ = unlinkat(staged, name.as_slice(), UnlinkatFlags::RemoveDir); // else it goes with the rest
            }
            _ => place(staged, &name, target, &name, aside).at(path, doing)?,
        }
        step();
        path.truncate(n_bytes);
    }
    Ok(())
}

/// Gives a directory that is there the mode and the time of the staged one.
fn dress(staged: &Directory, target: &Directory) -> nix::Result<()> {
    let stat = staged.stat_itself()?;
    fchmod(target, Mode::from_bits_truncate(stat.st_mode & 0o7777))?;
    let time = access_time(&stat);
    futimens(target, &time, &time)
}

/// Renames an entry, and moves aside what does not give way to it.
fn place(
    from: &Directory,
    name: &[u8],
    to: &Directory,
    as_name: &[u8],
    aside: &Directory,
) -> nix::Result<()> {
    fault(as_name)?;
    for attempt in 0.. {
        match renameat(from, name, to, as_name) {
            Err(Errno::ENOTDIR | Errno::EISDIR | Errno::ENOTEMPTY | Errno::EEXIST) if attempt < ATTEMPTS => {
                put_aside(to, as_name, aside)?;
                step();
            }
            result => return result,
        }
    }
    Err(Errno::EAGAIN)
}

/// Opens a directory, and makes it where something else or nothing is.
fn enter(parent: &Directory, name: &[u8], aside: &Directory) -> nix::Result<Directory> {
    for _ in 0..ATTEMPTS {
        match parent.make_or_open(name, 0o755) {
            Err(Errno::ENOTDIR | Errno::ELOOP) => put_aside(parent, name, aside)?,
            entered => return entered,
        }
    }
    Err(Errno::EAGAIN)
}

fn put_aside(directory: &Directory, name: &[u8], aside: &Directory) -> nix::Result<()> {
    match directory.stat(name)? {
        None => return Ok(()),
        Some(stat) if kind(&stat) == Kind::Directory => {}
        // No need to keep it, and without the rename one entry less that must have a name of its own.
        Some(_) => return gone(unlinkat(directory, name, UnlinkatFlags::NoRemoveDir)),
    }
    for number in 0_u32.. {
        let place = format!("aside-{number}").into_bytes();
        if aside.stat(&place)?.is_none() {
            return gone(renameat(directory, name, aside, place.as_slice()));
        }
    }
    Err(Errno::EEXIST)
}

fn gone(result: nix::Result<()>) -> nix::Result<()> {
    match result {
        Err(Errno::ENOENT | Errno::EISDIR) => Ok(()), // somebody was faster: the caller looks again
        result => result,
    }
}
