//! Folders of pulls under way: `staging/<random>/`, each locked by its owner for as long as the owner lives.
//!
//! What an owner that was killed left behind has no lock and is swept by the next pull or list.

use super::sandbox::Sandbox;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::state_dir::{DirLock, StateDir, make_private_dir};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const MAX_ATTEMPTS: usize = 100;

/// A folder of this process alone. Removed with all its content when dropped.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
    _lock: DirLock,
}

impl Staging {
    /// A new folder.
    pub(super) fn new(state_dir: &StateDir) -> Result<Self> {
        let parent = staging_folder(state_dir);
        make_private_dir(&parent)?;
        for _ in 0..MAX_ATTEMPTS {
            let path = tempfile::Builder::new()
                .prefix("pull-")
                .tempdir_in(&parent)
                .doing(|| format!("could not make a folder in `{}`", parent.display()))?
                .keep();
            // A sweeper may come between the two steps, take the lock and remove the folder: then try another.
            if let Some(lock) = DirLock::try_now(&path).ok().flatten()
                && path.exists()
            {
                return Ok(Self { path, _lock: lock });
            }
        }
        let message = format!("could not keep a folder in `{}` for longer than a moment", parent.display());
        Err(Error::new(ErrorKind::Io, message))
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.path) {
            tracing::warn!(path = %self.path.display(), chain = ?error.chain(), "could not remove a staging folder");
        }
    }
}

/// Removes what owners that no longer live left behind. Returns how many bytes that freed.
pub(super) fn sweep(state_dir: &StateDir) -> u64 {
    let Ok(entries) = fs::read_dir(staging_folder(state_dir)) else { return 0 };
    let mut freed_bytes = 0;
    for path in entries.flatten().map(|entry| entry.path()) {
        match sweep_one(&path) {
            Ok(bytes) => freed_bytes += bytes,
            Err(error) => tracing::debug!(path = %path.display(), chain = ?error.chain(), "could not sweep"),
        }
    }
    freed_bytes
}

fn sweep_one(path: &Path) -> Result<u64> {
    if !path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return fs::remove_file(path).map(|()| 0).doing(|| format!("could not remove `{}`", path.display()));
    }
    let Some(_lock) = DirLock::try_now(path)? else { return Ok(0) };
    let bytes = bytes_below(path);
    remove_tree(path)?;
    Ok(bytes)
}

/// The disk space that a folder takes. What cannot be looked at does not count.
pub(super) fn bytes_below(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries.flatten().fold(0, |sum, entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => sum + bytes_below(&entry.path()),
        Ok(metadata) => sum + metadata.blocks() * 512,
        Err(_) => sum,
    })
}

/// Removes a folder with all its content.
///
/// A root file system built by an ordinary user holds files of his subordinate ids, which he can only remove where
/// he is root: in the same kind of sandbox.
fn remove_tree(path: &Path) -> Result<()> {
    let doing = || format!("could not remove `{}`", path.display());
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let parent = path.parent().unwrap_or(Path::new("/"));
            let removal = Sandbox::new("rm", parent).arguments(["-rf", "--"]).argument(path);
            removal.run_blocking().map_err(|failure| failure.what).doing(doing)
        }
        Err(error) => Err(error).doing(doing),
    }
}

fn staging_folder(state_dir: &StateDir) -> PathBuf {
    state_dir.environments().join("staging")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_abandoned_folders_are_swept() {
        let home = tempfile::tempdir().expect("a folder");
        let state_dir = StateDir::below(home.path()).expect("absolute");
        let kept = Staging::new(&state_dir).expect("a staging folder");
        fs::write(kept.path().join("file"), "content").expect("writes");
        let abandoned = staging_folder(&state_dir).join("abandoned");
        fs::create_dir_all(abandoned.join("deep")).expect("makes");
        fs::write(abandoned.join("deep/file"), vec![0; 10_000]).expect("writes");
        assert!(sweep(&state_dir) >= 10_000);
        assert!(!abandoned.exists());
        assert!(kept.path().join("file").exists());
        let path = kept.path().to_owned();
        drop(kept);
        assert!(!path.exists());
    }
}
