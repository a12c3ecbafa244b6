//! Where an export goes: a private directory beside the output while it is written, and from there, in one step, to
//! its place.

use super::ArtifactType;
use super::below::{clear, open_directory, sorted_names};
use super::shown::shown;
use crate::error::{Context, Error, ErrorKind, Result};
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, mkdirat, open, renameat,
    renameat_with, statat,
};
use rustix::io::Errno;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The name of what is written, in the private directory.
pub(super) const STAGED: &str = "staged";

/// The first part of the private directory's name.
const PREFIX: &str = ".pyro-export-";

/// Far longer than it takes from making a private directory to locking it.
const ABANDONED_AFTER_SECONDS: f64 = 60.0;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Checks whether an export can go to a path of the host, before any of it is read.
///
/// # Errors
/// `already_exists` without `force`; `not_found` if the directory it lies in is missing; `unsafe_path`, even with
/// `force`, for the root, the home directory, the current directory, and what they lie in; `invalid_argument` for
/// what is no name.
pub fn check_output(output: &Path, force: bool) -> Result<()> {
    Target::open(output, force).map(drop)
}

/// A place for an export.
pub(super) struct Target {
    shown: String,
    parent: OwnedFd,
    name: OsString,
    force: bool,
}

impl Target {
    /// Opens the directory that the output lies in.
    pub(super) fn open(output: &Path, force: bool) -> Result<Self> {
        let shown = shown(output.as_os_str().as_bytes());
        let parent_path = match output.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => output,
        };
        let parent = match open(parent_path, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!("the directory that `{shown}` is to lie in is missing"),
                )
                .with_hint("make it, or choose another output"));
            }
            other => other.doing(|| format!("could not open the directory that `{shown}` is to lie in"))?,
        };
        refuse_precious(output, parent_path, &shown)?;
        let Some(name) = output.file_name() else {
            return Err(Error::invalid(format!("the output `{shown}` is no name of a file or a directory")));
        };
        let target = Self { shown, parent, name: name.to_owned(), force };
        if target.existing()?.is_some() && !force {
            return Err(target.exists());
        }
        Ok(target)
    }

    /// A private directory beside the output.
    pub(super) fn stage(&self) -> Result<Staging> {
        let doing = || format!("could not make a directory beside `{}`", self.shown);
        let parent = self.parent.try_clone().doing(doing)?;
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).doing(doing)?;
        let name = format!("{PREFIX}{:016x}", u64::from_ne_bytes(random));
        mkdirat(&parent, &*name, Mode::RWXU).doing(doing)?;
        let directory = match super::below::open_directory(&parent, name.as_bytes()) {
            Ok(directory) => directory,
            Err(error) => {
                let _ = rustix::fs::unlinkat(&parent, &*name, AtFlags::REMOVEDIR); // the error is the better news
                return Err(error).doing(doing);
            }
        };
        // Held as long as the descriptor is open, however that ends: by it the next export knows what is abandoned.
        flock(&directory, FlockOperation::NonBlockingLockExclusive).doing(doing)?;
        sweep(&parent);
        Ok(Staging { parent, name, directory, is_removed: false })
    }

    /// Moves what was staged to its place. With force, what is there of the same kind gives way.
    pub(super) fn publish(&self, staging: Staging, new: ArtifactType) -> Result<()> {
        match self.existing()? {
            Some(_) if !self.force => return Err(self.exists()),
            Some(old) => self.replace(&staging, old, new)?,
            None => self.place(&staging)?,
        }
        let path = staging.name.clone();
        staging.remove().doing(|| {
            format!(
                "`{}` is in place, but its private directory `{path}` beside it could not be deleted",
                self.shown
            )
        })
    }

    fn place(&self, staging: &Staging) -> Result<()> {
        let moved =
            renameat_with(&staging.directory, STAGED, &self.parent, &self.name, RenameFlags::NOREPLACE);
        match moved {
            Err(Errno::EXIST) => Err(self.exists()),
            // This file system cannot promise it; that nothing is there was seen just now.
            Err(Errno::INVAL | Errno::NOSYS) => self.rename_over(staging),
            other => other.doing(|| format!("could not put `{}` in its place", self.shown)),
        }
    }

    fn replace(&self, staging: &Staging, old: ArtifactType, new: ArtifactType) -> Result<()> {
        match (old, new) {
            (ArtifactType::Directory, ArtifactType::Directory) => {
                self.make_movable().doing(|| format!("could not replace `{}`", self.shown))?;
                self.exchange(staging)
            }
            (ArtifactType::File | ArtifactType::Symlink, ArtifactType::File | ArtifactType::Symlink) => {
                self.rename_over(staging)
            }
            _ => {
                let (old, new) = (words(old), words(new));
                let message = format!("`{}` is {old}, which is not replaced by {new}", self.shown);
                Err(Error::new(ErrorKind::AlreadyExists, message)
                    .with_hint("delete it first, or choose another output"))
            }
        }
    }

    fn exchange(&self, staging: &Staging) -> Result<()> {
        let (from, to) = (&staging.directory, &self.parent);
        match renameat_with(from, STAGED, to, &self.name, RenameFlags::EXCHANGE) {
            // This file system cannot do it in one step.
            Err(Errno::INVAL | Errno::NOSYS) => {
                renameat(to, &self.name, from, "replaced")
                    .doing(|| format!("could not replace `{}`", self.shown))?;
                self.rename_over(staging).inspect_err(|_| {
                    let _ = renameat(from, "replaced", to, &self.name);
                })
            }
            other => other.doing(|| format!("could not replace `{}`", self.shown)),
        }
    }

    /// A directory that its owner may not write cannot be moved away: its `..` changes. It is about to be deleted.
    fn make_movable(&self) -> std::result::Result<(), Errno> {
        let found = statat(&self.parent, &self.name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mode = Mode::from_raw_mode(found.st_mode);
        if mode.contains(Mode::RWXU) || rustix::process::geteuid().as_raw() != found.st_uid {
            return Ok(());
        }
        match super::below::open_directory(&self.parent, self.name.as_bytes()) {
            Ok(directory) => rustix::fs::fchmod(&directory, mode | Mode::RWXU),
            Err(Errno::ACCESS) => {
                // Not even readable, so that there is no descriptor of it. Only its owner can have swapped it.
                rustix::fs::chmodat(&self.parent, &self.name, mode | Mode::RWXU, AtFlags::empty())
            }
            Err(error) => Err(error),
        }
    }

    fn rename_over(&self, staging: &Staging) -> Result<()> {
        renameat(&staging.directory, STAGED, &self.parent, &self.name)
            .doing(|| format!("could not put `{}` in its place", self.shown))
    }

    fn existing(&self) -> Result<Option<ArtifactType>> {
        match statat(&self.parent, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(match FileType::from_raw_mode(found.st_mode) {
                FileType::RegularFile => ArtifactType::File,
                FileType::Directory => ArtifactType::Directory,
                FileType::Symlink => ArtifactType::Symlink,
                _ => ArtifactType::Other,
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error).doing(|| format!("could not look at `{}`", self.shown)),
        }
    }

    fn exists(&self) -> Error {
        Error::new(ErrorKind::AlreadyExists, format!("`{}` is there already", self.shown))
            .with_hint("choose another output, or replace it with `--force`")
    }
}

/// Deletes the private directories of exports that were killed. That one cannot be is no reason to fail another.
fn sweep(parent: &OwnedFd) {
    for name in sorted_names(parent).unwrap_or_default() {
        if !name.starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let Ok(directory) = open_directory(parent, &name) else { continue };
        if is_abandoned(&directory) && clear(&directory).is_ok() {
            let _ = rustix::fs::unlinkat(parent, &name[..], AtFlags::REMOVEDIR);
        }
    }
}

/// Whether it is ours, nobody holds it, and it is older than the moment between making one and locking it.
fn is_abandoned(directory: &OwnedFd) -> bool {
    let is_ours_and_old = fstat(directory).is_ok_and(|found| {
        let age = crate::clock::unix_time() - found.st_mtime as f64;
        found.st_uid == rustix::process::geteuid().as_raw() && age > ABANDONED_AFTER_SECONDS
    });
    is_ours_and_old && flock(directory, FlockOperation::NonBlockingLockExclusive).is_ok()
}

fn words(kind: ArtifactType) -> &'static str {
    match kind {
        ArtifactType::File => "a file",
        ArtifactType::Directory => "a directory",
        ArtifactType::Symlink => "a symbolic link",
        ArtifactType::Other => "neither a file nor a directory",
    }
}

/// Refuses outputs whose replacement would be a disaster.
fn refuse_precious(output: &Path, parent: &Path, shown: &str) -> Result<()> {
    let doing = || format!("could not look at `{shown}`");
    let place: PathBuf = match output.file_name() {
        Some(name) => parent.canonicalize().doing(doing)?.join(name),
        None => output.canonicalize().doing(doing)?, // `..`, `/`
    };
    // Where they are by name and where they really are: either may be given.
    let mut precious: Vec<PathBuf> = vec![PathBuf::from("/")];
    for directory in [std::env::current_dir().ok(), std::env::home_dir()].into_iter().flatten() {
        precious.extend(directory.canonicalize().ok());
        precious.push(directory);
    }
    if precious.iter().any(|directory| directory.starts_with(&place)) {
        let message = format!("`{shown}` is, or contains, the root, the home or the current directory");
        return Err(Error::new(ErrorKind::UnsafePath, message).with_hint("choose a new path as output"));
    }
    Ok(())
}

/// The private directory. It goes with all its content when this is dropped.
pub(super) struct Staging {
    parent: OwnedFd,
    name: String,
    pub(super) directory: OwnedFd,
    is_removed: bool,
}

impl Staging {
    fn remove(mut self) -> std::result::Result<(), Errno> {
        self.is_removed = true;
        self.remove_now()
    }

    fn remove_now(&self) -> std::result::Result<(), Errno> {
        clear(&self.directory)?;
        rustix::fs::unlinkat(&self.parent, &*self.name, AtFlags::REMOVEDIR)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.is_removed
            && let Err(error) = self.remove_now()
        {
            tracing::warn!(directory = self.name, %error, "the private directory of an export was left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn private(folder: &Path, name: &str, age: u64) -> PathBuf {
        let path = folder.join(format!("{PREFIX}{name}"));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("piece"), "x").unwrap();
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
        fs::File::open(&path).unwrap().set_modified(then).unwrap();
        path
    }

    #[test]
    fn what_a_killed_export_left_goes_with_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let (old, held, young) = (
            private(folder.path(), "old", 3600),
            private(folder.path(), "held", 3600),
            private(folder.path(), "young", 0),
        );
        let holder = fs::File::open(&held).unwrap();
        flock(&holder, FlockOperation::NonBlockingLockExclusive).unwrap();
        drop(Target::open(&folder.path().join("output"), false).unwrap().stage().unwrap());
        assert_eq!((old.exists(), held.exists(), young.exists()), (false, true, true));
    }
}
