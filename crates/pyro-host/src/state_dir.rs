//! Where every file of pyro lives. No other module builds a path into these folders by hand.
//!
//! `$PYRO_HOME` puts everything below one folder; without it the XDG base directories are used: what cannot be
//! made again (workspaces) in the data folder, what can (environments, templates) in the cache.
//!
//! ```text
//! cache/environments/names/debian:12/installed.json   which digest the name stands for; the folder is the lock
//! cache/environments/sha256-…/                        one installed environment, immutable
//! cache/environments/staging/…/                       pulls under way, each locked by its owner
//! cache/templates/<key>/                              one template; the folder is the lock
//! cache/host.json                                     what was measured on this host
//! ```

use crate::error::{Context, Error, ErrorKind, Result};
use etcetera::BaseStrategy;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The folders that belong to one user of pyro.
#[derive(Debug, Clone)]
pub struct StateDir {
    cache: PathBuf,
    data: PathBuf,
}

impl StateDir {
    /// The folders that the environment names: `$PYRO_HOME`, else the XDG base directories.
    pub fn from_environment() -> Result<Self> {
        if let Some(home) = std::env::var_os("PYRO_HOME").filter(|home| !home.is_empty()) {
            return Self::below(Path::new(&home));
        }
        let xdg = etcetera::base_strategy::Xdg::new()
            .failing(ErrorKind::Io, || "could not find a home folder for pyro's files".into())
            .map_err(|error| error.with_hint("set HOME or PYRO_HOME"))?;
        Ok(Self { cache: xdg.cache_dir().join("pyro"), data: xdg.data_dir().join("pyro") })
    }

    /// Everything below one folder, which must be absolute.
    pub fn below(home: &Path) -> Result<Self> {
        if !home.is_absolute() {
            let message = format!("PYRO_HOME is `{}`, which is not an absolute path", home.display());
            return Err(Error::invalid(message));
        }
        Ok(Self { cache: home.join("cache"), data: home.join("data") })
    }

    /// What can be made again: environments and templates.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// What cannot be made again.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Installed environments, their names, and pulls under way.
    pub fn environments(&self) -> PathBuf {
        self.cache.join("environments")
    }

    /// Templates of booted machines.
    pub fn templates(&self) -> PathBuf {
        self.cache.join("templates")
    }

    /// What was measured on this host and need not be measured again.
    pub fn host_record(&self) -> PathBuf {
        self.cache.join("host.json")
    }
}

/// Makes a folder that only its owner may enter, and its parents. Not an error if it is there.
pub fn make_private_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .doing(|| format!("could not make the folder `{}`", path.display()))
}

/// Replaces a file in one step, so that a reader sees the old content or the new, never a part.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let doing = || format!("could not write `{}`", path.display());
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(parent).doing(doing)?;
    std::io::Write::write_all(&mut file, content).doing(doing)?;
    file.as_file().sync_all().doing(doing)?;
    file.persist(path).map_err(|error| error.error).doing(doing)?;
    Ok(())
}

/// An exclusive lock on a folder, held until dropped or until the process ends, however it ends.
///
/// The folder itself is locked (`flock(2)`), so no lock file is left behind.
#[derive(Debug)]
pub struct DirLock {
    _folder: fs::File,
}

impl DirLock {
    /// Waits for the lock. Blocks the thread; the folder must exist.
    pub fn wait(path: &Path) -> Result<Self> {
        let folder = open_dir(path)?;
        rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockExclusive)
            .doing(|| format!("could not lock the folder `{}`", path.display()))?;
        Ok(Self { _folder: folder })
    }

    /// Takes the lock if nobody holds it. `None` if somebody does or the folder is gone.
    pub fn try_now(path: &Path) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let folder = open_dir(path)?;
        match rustix::fs::flock(&folder, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _folder: folder })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).doing(|| format!("could not lock the folder `{}`", path.display())),
        }
    }
}

fn open_dir(path: &Path) -> Result<fs::File> {
    fs::OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::DIRECTORY.bits().cast_signed())
        .open(path)
        .doing(|| format!("could not open the folder `{}`", path.display()))
}
