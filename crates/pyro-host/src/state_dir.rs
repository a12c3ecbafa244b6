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
//! data/workspaces/<id>/                               one workspace; the folder is the lock of its supervisor
//! data/vms/<id>/                                      one VM of the library, likewise
//! runtime/<id>.sock                                   the control socket of a supervisor
//! ```

use crate::error::{Context, Error, ErrorKind, Result};
use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folders that belong to one user of pyro.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StateDir {
    cache: PathBuf,
    data: PathBuf,
    runtime: PathBuf,
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
        let (cache, data) = (xdg.cache_dir().join("pyro"), xdg.data_dir().join("pyro"));
        let runtime = xdg.runtime_dir().map_or_else(|| data.join("run"), |runtime| runtime.join("pyro"));
        Ok(Self { cache, data, runtime })
    }

    /// Everything below one folder, which must be absolute.
    pub fn below(home: &Path) -> Result<Self> {
        if !home.is_absolute() {
            let message = format!("PYRO_HOME is `{}`, which is not an absolute path", home.display());
            return Err(Error::invalid(message));
        }
        Ok(Self { cache: home.join("cache"), data: home.join("data"), runtime: home.join("run") })
    }

    /// The same with another folder for what can be made again, which must be absolute.
    ///
    /// # Errors
    /// `invalid_argument` for a relative one.
    pub fn with_cache(self, cache: &Path) -> Result<Self> {
        if !cache.is_absolute() {
            return Err(Error::invalid(format!("the cache `{}` is not an absolute path", cache.display())));
        }
        Ok(Self { cache: cache.to_owned(), ..self })
    }

    /// What can be made again: environments and templates.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// What cannot be made again.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Workspaces, a folder each.
    pub fn workspaces(&self) -> PathBuf {
        self.data.join("workspaces")
    }

    /// VMs of the library, a folder each.
    pub fn vms(&self) -> PathBuf {
        self.data.join("vms")
    }

    /// The control sockets of supervisors.
    pub fn runtime(&self) -> &Path {
        &self.runtime
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

/// Replaces a file in one step, so that a reader sees the old content or the new, never a part, whatever process is
/// killed meanwhile and also if the host loses its power.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    sweep_unfinished(path.parent().unwrap_or(Path::new("/")));
    replace(path, content, true)
}

/// The same without waiting for the host's disk: the content may be lost, or the file empty, where the host itself
/// loses its power within seconds. For what is written often.
pub fn write_atomically_unsynced(path: &Path, content: &[u8]) -> Result<()> {
    replace(path, content, false)
}

fn replace(path: &Path, content: &[u8], sync: bool) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let doing = || format!("could not write `{}`", path.display());
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(parent).doing(doing)?;
    std::io::Write::write_all(&mut file, content).doing(doing)?;
    if sync {
        file.as_file().sync_all().doing(doing)?;
    }
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
    folder: fs::File,
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
                return Ok(Self { folder });
            }
        }
    }

    /// Takes the lock unless somebody holds it; waits for those who only ask. `None` if somebody does, or the folder
    /// is gone.
    pub fn try_past_askers(path: &Path) -> Result<Option<Self>> {
        loop {
            if let Some(lock) = Self::try_now(path)? {
                return Ok(Some(lock));
            }
            if !path.exists() || is_locked(path)? {
                return Ok(None);
            }
            std::thread::yield_now();
        }
    }

    /// A lock that was inherited as a descriptor: it is the same lock, and is held until both are closed.
    pub fn inherited(folder: std::os::fd::OwnedFd) -> Self {
        Self { folder: folder.into() }
    }

    /// The descriptor that holds the lock, to be inherited by another process.
    pub fn into_descriptor(self) -> std::os::fd::OwnedFd {
        self.folder.into()
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
            Ok(()) => Ok(is_still_at(&folder, path).then_some(Self { folder })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).doing(|| format!("could not lock the folder `{}`", path.display())),
        }
    }
}

/// Whether somebody holds the lock of a folder. Those who only ask do not disturb each other.
pub fn is_locked(path: &Path) -> Result<bool> {
    let folder = open_dir(path)?;
    match rustix::fs::flock(&folder, rustix::fs::FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error).doing(|| format!("could not look at the lock of `{}`", path.display())),
    }
}

/// Waits until nobody holds the lock of a folder, or the folder is gone. Blocks the thread.
pub fn wait_until_unlocked(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let folder = open_dir(path)?;
    rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockShared)
        .doing(|| format!("could not wait for the lock of `{}`", path.display()))
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
