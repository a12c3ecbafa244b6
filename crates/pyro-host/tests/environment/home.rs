//! A home of pyro for one story, and the proof that nothing is left in it.

use crate::ordinary_user::OrdinaryUser;
use pyro_host::environment::Environments;
use pyro_host::state_dir::StateDir;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A home of pyro. Removed when dropped, unless it belongs to the process that started this one.
pub(crate) struct Home {
    path: PathBuf,
    _owned: Option<tempfile::TempDir>,
}

impl Home {
    pub(crate) fn new() -> Self {
        let owned = tempfile::Builder::new().prefix("pyro-env-").tempdir().expect("a folder");
        Self { path: owned.path().to_owned(), _owned: Some(owned) }
    }

    /// One that belongs to another user.
    pub(crate) fn of(user: &OrdinaryUser) -> Self {
        let home = Self::new();
        std::os::unix::fs::chown(&home.path, Some(user.uid), Some(user.gid)).expect("changes the owner");
        home
    }

    /// The one that `helper` was started with.
    pub(crate) fn from_environment() -> Self {
        Self { path: std::env::var_os("PYRO_HOME").expect("set by the story").into(), _owned: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn environments(&self) -> Environments {
        Environments::new(StateDir::below(&self.path).expect("absolute"))
    }

    /// Every process but this one that was told of this home, or works in it.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let entries = fs::read_dir("/proc").expect("mounted").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let is_ours = |pid: &u32| {
            let file = |name: &str| PathBuf::from(format!("/proc/{pid}/{name}"));
            let home = self.path.to_string_lossy();
            let mentions = |name| {
                fs::read(file(name)).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(&*home))
            };
            let below = |name| fs::read_link(file(name)).is_ok_and(|path| path.starts_with(&self.path));
            below("cwd") || below("root") || mentions("cmdline") || mentions("environ")
        };
        pids.filter(|pid| *pid != std::process::id()).filter(is_ours).collect()
    }

    /// How long it took. Half a second is ample: the kernel does it.
    pub(crate) fn wait_until_no_process_is_left(&self) -> Duration {
        let start = Instant::now();
        while !self.processes().is_empty() {
            assert!(start.elapsed() < Duration::from_secs(1), "still there: {:?}", self.processes());
            std::thread::sleep(Duration::from_millis(5));
        }
        start.elapsed()
    }

    /// No process, no mount, and after the sweep of `list` no staging folder.
    pub(crate) fn assert_nothing_is_left(&self) {
        assert_eq!(self.processes(), Vec::<u32>::new());
        let mounts = fs::read_to_string("/proc/self/mounts").expect("mounted");
        assert!(!mounts.contains(&*self.path.to_string_lossy()), "{mounts}");
        self.environments().list().expect("lists");
        let staging = self.path.join("cache/environments/staging");
        let left = fs::read_dir(staging).map(|entries| entries.flatten().count()).unwrap_or_default();
        assert_eq!(left, 0, "staging folders are left");
    }
}
