//! A control group for one machine: memory, number of processes, CPU (`cgroups(7)`).
//!
//! Version 2 where a folder that has the controllers for its children may be written to, version 1 for each controller
//! that is mounted so. Nothing is changed but the folder that is made: the controllers of the folders above belong to
//! whoever manages them. Folders are called `pyro-<pid of owner>-<n>`, and those of owners that are gone are swept by
//! the next start.

use rustix::process::Pid;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The length of a turn of the scheduler's, in microseconds, of which a group gets a share.
const PERIOD_US: u64 = 100_000;
const PREFIX: &str = "pyro-";

/// What a machine may use at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caps {
    pub(super) memory_bytes: u64,
    pub(super) n_processes: u64,
    pub(super) n_cpus: u64,
}

/// One of the three controllers that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Controller {
    Memory,
    Pids,
    Cpu,
}

impl Controller {
    pub(super) const ALL: [Self; 3] = [Self::Memory, Self::Pids, Self::Cpu];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        }
    }

    /// Which files get which values.
    fn settings(self, version: Version, caps: Caps) -> Vec<(&'static str, String)> {
        let quota = caps.n_cpus * PERIOD_US;
        match (self, version) {
            (Self::Memory, Version::One) => vec![("memory.limit_in_bytes", caps.memory_bytes.to_string())],
            (Self::Memory, Version::Two) => vec![("memory.max", caps.memory_bytes.to_string())],
            (Self::Pids, _) => vec![("pids.max", caps.n_processes.to_string())],
            // The weight is that of as many ordinary processes: a group otherwise counts as one on a busy host.
            (Self::Cpu, Version::One) => vec![
                ("cpu.cfs_period_us", PERIOD_US.to_string()),
                ("cpu.cfs_quota_us", quota.to_string()),
                ("cpu.shares", (1024 * caps.n_cpus).to_string()),
            ],
            (Self::Cpu, Version::Two) => vec![
                ("cpu.max", format!("{quota} {PERIOD_US}")),
                ("cpu.weight", (100 * caps.n_cpus).min(10_000).to_string()),
            ],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// The way into one folder.
///
/// To write a process's id into `cgroup.procs` stops the forks of the whole host for a grace period of RCU: 10 to 25 ms
/// on an idle host. It is the last resort. A process of one thread moves itself by `tasks`, in version 1, and is born
/// where it is to be, in version 2 (`CLONE_INTO_CGROUP`), at no such cost.
#[derive(Debug)]
struct Door {
    version: Version,
    /// `tasks` in version 1, the folder itself in version 2.
    file: File,
    folder: PathBuf,
    /// What is limited behind it.
    controllers: Vec<Controller>,
}

/// The folders of one machine, removed when dropped, which must be after its end.
#[derive(Debug, Default)]
pub(super) struct Groups {
    folders: Vec<PathBuf>,
    doors: Vec<Door>,
    /// What is limited, and by which version.
    pub(super) given: Vec<(Controller, Version)>,
}

impl Groups {
    /// Makes the folders, wherever that is allowed.
    pub(super) fn make(caps: Caps) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let hierarchies = Hierarchies::of(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"));
        Self::make_in(&hierarchies, caps)
    }

    fn make_in(hierarchies: &Hierarchies, caps: Caps) -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let mut groups = Self::default();
        for (controller, parent) in &hierarchies.first {
            let folder = parent.join(&name);
            if groups.add(&folder, Version::One, &[*controller], caps).is_ok() {
                sweep(parent);
            }
        }
        for (parent, controllers) in hierarchies.second() {
            let wanted: Vec<Controller> =
                controllers.into_iter().filter(|&one| !groups.limits(one)).collect();
            if !wanted.is_empty() && groups.add(&parent.join(&name), Version::Two, &wanted, caps).is_ok() {
                sweep(&parent);
                break;
            }
        }
        groups
    }

    /// Makes one folder. It counts only if everything in it could be set.
    fn add(
        &mut self,
        folder: &Path,
        version: Version,
        controllers: &[Controller],
        caps: Caps,
    ) -> io::Result<()> {
        fs::create_dir(folder)?;
        let set = || -> io::Result<File> {
            for (file, value) in controllers.iter().flat_map(|one| one.settings(version, caps)) {
                File::options().write(true).open(folder.join(file))?.write_all(value.as_bytes())?;
            }
            match version {
                Version::One => File::options().write(true).open(folder.join("tasks")),
                Version::Two => File::open(folder),
            }
        };
        match set() {
            Ok(file) => {
                self.folders.push(folder.to_owned());
                let (folder, controllers_behind) = (folder.to_owned(), controllers.to_owned());
                self.doors.push(Door { version, file, folder, controllers: controllers_behind });
                self.given.extend(controllers.iter().map(|&controller| (controller, version)));
                Ok(())
            }
            Err(error) => {
                let _ = fs::remove_dir(folder);
                Err(error)
            }
        }
    }

    /// Whether this is limited.
    pub(super) fn limits(&self, controller: Controller) -> bool {
        self.given.iter().any(|(given, _)| *given == controller)
    }

    /// The files that a new process of one thread writes `0` to.
    pub(super) fn tasks(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.doors.iter().filter(|door| door.version == Version::One).map(|door| door.file.as_fd())
    }

    /// The folder that a new process is to be born into.
    pub(super) fn cradle(&self) -> Option<BorrowedFd<'_>> {
        self.doors.iter().find(|door| door.version == Version::Two).map(|door| door.file.as_fd())
    }

    /// Moves a process that could not do so itself into the folders of one version. What it cannot be moved into does not
    /// limit it.
    pub(super) fn take_in(&mut self, pid: Pid, version: Version) {
        let Self { doors, given, .. } = self;
        for Door { folder, controllers, .. } in doors.iter().filter(|door| door.version == version) {
            if fs::write(folder.join("cgroup.procs"), pid.as_raw_nonzero().to_string()).is_err() {
                given.retain(|(one, _)| !controllers.contains(one));
            }
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for folder in &self.folders {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Removes what owners that are gone have left. A group in which somebody still is stays, as the kernel refuses it.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|owner| !Path::new(&format!("/proc/{owner}")).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Where this process is in the hierarchies of the host.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hierarchies {
    /// Of version 1, the folder of this process for each controller.
    first: Vec<(Controller, PathBuf)>,
    /// Of version 2, the folder of this process and those above it, up to the mount.
    second: Vec<PathBuf>,
}

impl Hierarchies {
    /// Reads `/proc/self/cgroup` and `/proc/self/mountinfo`.
    fn of(cgroup: &str, mounts: &str) -> Self {
        let mut hierarchies = Self::default();
        for line in cgroup.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(names), Some(own)) = (fields.next(), fields.next()) else { continue };
            if names.is_empty() {
                let mount = mounts.lines().filter_map(Mount::parse).find(|mount| mount.kind == "cgroup2");
                let Some((mount, own)) = mount.and_then(|mount| Some((mount.place, mount.folder(own)?)))
                else {
                    continue;
                };
                hierarchies.second = own
                    .ancestors()
                    .take_while(|above| above.starts_with(mount))
                    .map(Path::to_owned)
                    .collect();
                continue;
            }
            let controllers =
                Controller::ALL.into_iter().filter(|one| names.split(',').any(|name| name == one.name()));
            for controller in controllers {
                let has_it = |mount: &Mount<'_>| {
                    mount.kind == "cgroup"
                        && mount.options.split(',').any(|option| option == controller.name())
                };
                let mount = mounts.lines().filter_map(Mount::parse).find(has_it);
                hierarchies.first.extend(mount.and_then(|mount| Some((controller, mount.folder(own)?))));
            }
        }
        hierarchies
    }

    /// The folders of version 2 that give controllers to their children, the nearest first. One in which processes are
    /// can give none, unless it is the root of all: the kernel sees to that.
    fn second(&self) -> Vec<(PathBuf, Vec<Controller>)> {
        let given = |folder: &PathBuf| {
            let names = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
            let has = |one: &Controller| names.split_whitespace().any(|name| name == one.name());
            (folder.clone(), Controller::ALL.into_iter().filter(has).collect::<Vec<_>>())
        };
        let mut folders: Vec<_> =
            self.second.iter().map(given).filter(|(_, controllers)| !controllers.is_empty()).collect();
        // The sort keeps the order of equals: of those that give most, the nearest.
        folders.sort_by_key(|(_, controllers)| std::cmp::Reverse(controllers.len()));
        folders
    }
}

/// A line of `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).
struct Mount<'a> {
    root: &'a str,
    place: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let mut right = right.split(' ');
        Some(Self { root: left.next()?, place: left.next()?, kind: right.next()?, options: right.nth(1)? })
    }

    /// Where a group is in the file system, if this mount shows it.
    fn folder(&self, group: &str) -> Option<PathBuf> {
        let below = Path::new(group).strip_prefix(self.root).ok()?;
        below
            .components()
            .all(|part| part != std::path::Component::ParentDir)
            .then(|| Path::new(self.place).join(below))
    }
}

#[cfg(test)]
mod tests;
