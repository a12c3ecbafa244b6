//! May a tree come into the workspace? Looks, and changes nothing.

use super::directory::{Directory, Kind};
use super::failure::{At, Result, failure};
use super::place::{Modes, join, names};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::unistd::{AccessFlags, faccessat};
use pyro_protocol::task::TaskFailure;
use pyro_protocol::task::TaskFailureKind::{InTheWay, Io, UnsafePath};

/// Checks that a staged tree can be moved to a directory of the workspace.
pub(crate) fn check(
    staged: &Directory,
    workspace: &Directory,
    destination: &[u8],
    modes: Modes,
) -> Result<()> {
    let mut path = Vec::new();
    let mut target: Option<Directory> = None;
    for name in names(destination) {
        let parent = target.as_ref().unwrap_or(workspace);
        let there = parent.look(name).at(&join(&path, name), "could not look at the destination")?;
        let Some(there) = there else {
            check_itself(parent, &path)?; // nothing is there yet
            return check_writable(parent, &path, modes);
        };
        path = join(&path, name);
        match there.kind {
            Kind::Directory => {}
            Kind::Symlink => return Err(failure(UnsafePath, &path, "the destination leads through a link")),
            _ => {
                return Err(failure(
                    InTheWay,
                    &path,
                    "the destination leads through something that is no directory",
                ));
            }
        }
        target = Some(parent.child(name).at(&path, "could not open the destination")?);
    }
    let target = target.as_ref().unwrap_or(workspace);
    if !staged.names().at(&path, "could not look at the tree")?.is_empty() {
        check_itself(target, &path)?;
    }
    check_directory(staged, target, &mut path, modes)
}

/// Checks that a directory that entries come into may be changed.
fn check_itself(directory: &Directory, path: &[u8]) -> Result<()> {
    let looked = directory.look(b".").at(path, "could not look at the directory")?;
    if looked.is_some_and(|looked| looked.is_fixed) { Err(fixed(path)) } else { Ok(()) }
}

/// To be told before the sync is decided: after that there would be no way on, and none back.
fn fixed(path: &[u8]) -> TaskFailure {
    failure(InTheWay, path, "may not be changed: it is immutable or append-only (chattr)")
}

/// Root may write to any directory.
fn check_writable(directory: &Directory, path: &[u8], modes: Modes) -> Result<()> {
    if modes == Modes::Any {
        return Ok(());
    }
    match faccessat(directory, ".", AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::AT_EACCESS) {
        Err(Errno::EACCES) => Err(failure(Io, path, "the directory may not be written to")),
        result => result.at(path, "could not look at the directory"),
    }
}

/// Checks the entries of a staged directory against a directory that is there. Whatever is there under the name of one
/// is replaced, or gets its mode and its time, and so must be free to be changed.
fn check_directory(staged: &Directory, target: &Directory, path: &mut Vec<u8>, modes: Modes) -> Result<()> {
    let doing = "could not look at the workspace";
    let names = staged.names().at(path, doing)?;
    if !names.is_empty() {
        check_writable(target, path, modes)?;
    }
    for name in names {
        let n_bytes = path.len();
        *path = join(path, &name);
        let there = target.look(&name).at(path, doing)?;
        if there.is_some_and(|there| there.is_fixed) {
            return Err(fixed(path));
        }
        if there.is_some_and(|there| there.kind == Kind::Directory) {
            let target = target.child(&name).at(path, doing)?;
            match staged.child_if_any(&name).at(path, doing)? {
                Some(staged) => check_directory(&staged, &target, path, modes)?,
                None if target.names().at(path, doing)?.is_empty() => {}
                None => return Err(failure(InTheWay, path, "a directory that is not empty stands there")),
            }
        }
        path.truncate(n_bytes);
    }
    Ok(())
}
