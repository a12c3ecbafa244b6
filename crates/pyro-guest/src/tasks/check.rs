//! May a tree come into the workspace? Looks, and changes nothing.

use super::directory::{Directory, Kind, kind};
use super::failure::{At, Result, failure};
use super::place::{join, names};
use pyro_protocol::task::TaskFailureKind::{InTheWay, UnsafePath};

/// Checks that a staged tree can be moved to a directory of the workspace.
pub(crate) fn check(staged: &Directory, workspace: &Directory, destination: &[u8]) -> Result<()> {
    let mut path = Vec::new();
    let mut target: Option<Directory> = None;
    for name in names(destination) {
        path = join(&path, name);
        let parent = target.as_ref().unwrap_or(workspace);
        let Some(stat) = parent.stat(name).at(&path, "could not look at the destination")? else {
            return Ok(()); // nothing is there yet
        };
        match kind(&stat) {
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
    check_directory(staged, target.as_ref().unwrap_or(workspace), &mut path)
}

/// Checks the entries of a staged directory against a directory that is there.
fn check_directory(staged: &Directory, target: &Directory, path: &mut Vec<u8>) -> Result<()> {
    let doing = "could not look at the workspace";
    for name in staged.names().at(path, doing)? {
        let n_bytes = path.len();
        *path = join(path, &name);
        let there = target.stat(&name).at(path, doing)?;
        if there.is_some_and(|there| kind(&there) == Kind::Directory) {
            let target = target.child(&name).at(path, doing)?;
            match staged.child_if_any(&name).at(path, doing)? {
                Some(staged) => check_directory(&staged, &target, path)?,
                None if target.names().at(path, doing)?.is_empty() => {}
                None => return Err(failure(InTheWay, path, "a directory that is not empty stands there")),
            }
        }
        path.truncate(n_bytes);
    }
    Ok(())
}
