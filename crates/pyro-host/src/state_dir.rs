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
//! cache/disks/                                        formatted, empty disks; the folder is the lock
//! cache/host.json                                     what was measured on this host
//! ```

use crate::error::{Context, Error, ErrorKind, Result};
use etcetera::BaseStrategy;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

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

    /// Formatted disks, of which each machine gets a copy.
    pub fn disks(&self) -> PathBuf {
        self.cache.join("disks")
    }

    /// Folders of commands that run on the host.
    pub fn host_compat(&self) -> PathBuf {
        self.cache.join("host-compat")
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
    sweep_unfinished(parent);
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(parent).doing(doing)?;
    std::io::Write::write_all(&mut file, content).doing(doing)?;
    file.as_file().sync_all().doing(doing)?;
    file.persist(path).map_err(|error| error.error).doing(doing)?;
    Ok(())
}

/// Begins the names of files that will be renamed when they are whole.
pub const UNFINISHED: &str = ".new-";

/// Far longer than any such file takes to be whole.
const ABANDONED_AFTER: Duration = Duration::from_secs(600);

/// Deletes what processes that were killed in the middle of writing left in a folder.
pub fn sweep_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        let age = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|time| time.elapsed().ok());
        if is_unfinished && age.is_some_and(|age| age > ABANDONED_AFTER) {
            // Somebody else may have swept it meanwhile.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// An exclusive lock on a folder, held until dropped or until the process ends, however it ends.
///
/// The folder itself is locked (`flock(2)`), so no lock file is left behind.
#[derive(Debug)]
pub struct DirLock {
    _folder: fs::File,
}

impl DirLock {
    /// Makes the folder if it is not there, and waits for its lock. Blocks the thread.
    pub fn wait(path: &Path) -> Result<Self> {
        loop {
            make_private_dir(path)?;
            let folder = open_dir(path)?;
            rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockExclusive)
                .doing(|| format!("could not lock the folder `{}`", path.display()))?;
            // Whoever held the lock before may have deleted the folder: then it is the lock of nothing.
            if is_still_at(&folder, path) {
                return Ok(Self { _folder: folder });
            }
        }
    }

    /// Waits for the lock without blocking the runtime. Dropped half-way, the lock is given back once it was got.
    pub async fn wait_async(path: PathBuf) -> Result<Self> {
        tokio::task::spawn_blocking(move || Self::wait(&path))
            .await
            .failing(ErrorKind::Internal, || "the thread that waits for a lock is gone".into())?
    }

    /// Takes the lock if nobody holds it. `None` if somebody does or the folder is gone.
    pub fn try_now(path: &Path) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let folder = open_dir(path)?;
        match rustix::fs::flock(&folder, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(is_still_at(&folder, path).then_some(Self { _folder: folder })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).doing(|| format!("could not lock the folder `{}`", path.display())),
        }
    }
}

fn is_still_at(folder: &fs::File, path: &Path) -> bool {
    let (Ok(held), Ok(there)) = (folder.metadata(), path.metadata()) else { return false };
    (held.dev(), held.ino()) == (there.dev(), there.ino())
}

fn open_dir(path: &Path) -> Result<fs::File> {
    fs::OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::DIRECTORY.bits().cast_signed())
        .open(path)
        .doing(|| format!("could not open the folder `{}`", path.display()))
}
