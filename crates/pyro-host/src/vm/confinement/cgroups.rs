//! A control group for one machine: memory, number of processes, CPU (`cgroups(7)`).
//!
//! Version 2 where a folder that has the controllers for its children may be written to, version 1 for each controller
//! that is mounted so. Nothing is changed but the folder that is made: the controllers of the folders above belong to
//! whoever manages them. Folders are called `pyro-<pid of owner>-<random>`, and those of owners that are gone are swept
//! by a later start.

mod ceiling;

use ceiling::Ceiling;
use rustix::process::Pid;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The length of a turn of the scheduler's, in microseconds, of which a group gets a share.
const PERIOD_US: u64 = 100_000;
const PREFIX: &str = "pyro-";
/// A folder this young may be of an owner that cannot be seen from here, in another pid namespace, and waits for its
/// process.
const YOUNG: Duration = Duration::from_secs(60);

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

    /// Which files get which values, none of them above the ceiling.
    fn settings(self, version: Version, caps: Caps, ceiling: &Ceiling) -> Vec<(&'static str, String)> {
        let below = |cap: u64, ceiling: Option<u64>| ceiling.map_or(cap, |ceiling| cap.min(ceiling));
        let quota = below(caps.n_cpus * PERIOD_US, ceiling.cpu_quota_us);
        match (self, version) {
            (Self::Memory, Version::One) => vec![("memory.limit_in_bytes", caps.memory_bytes.to_string())],
            (Self::Memory, Version::Two) => {
                let max = ("memory.max", below(caps.memory_bytes, ceiling.memory_max_bytes).to_string());
                let high = ceiling.memory_high_bytes.map(|high| ("memory.high", high.to_string()));
                high.into_iter().chain([max]).collect()
            }
            (Self::Pids, _) => {
                vec![("pids.max", below(caps.n_processes, ceiling.n_processes).to_string())]
            }
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

/// What one folder is to limit.
struct Wanted<'a> {
    version: Version,
    controllers: &'a [Controller],
    caps: Caps,
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
        let name = unique_name();
        let mut groups = Self::default();
        for (controller, parent) in &hierarchies.first {
            sweep(parent);
            let wanted = Wanted { version: Version::One, controllers: &[*controller], caps };
            let _ = groups.add(&parent.join(&name), &wanted, &Ceiling::default());
        }
        for Place { parent, controllers, ceiling } in hierarchies.second() {
            let controllers: Vec<Controller> =
                controllers.into_iter().filter(|&one| !groups.limits(one)).collect();
            if controllers.is_empty() {
                continue;
            }
            sweep(parent);
            let wanted = Wanted { version: Version::Two, controllers: &controllers, caps };
            if groups.add(&parent.join(&name), &wanted, &ceiling).is_ok() {
                break;
            }
        }
        groups
    }

    /// Makes one folder. It counts only if everything in it could be set.
    fn add(&mut self, folder: &Path, wanted: &Wanted<'_>, ceiling: &Ceiling) -> io::Result<()> {
        let Wanted { version, controllers, caps } = *wanted;
        fs::create_dir(folder)?;
        let set = || -> io::Result<File> {
            for (file, value) in controllers.iter().flat_map(|one| one.settings(version, caps, ceiling)) {
                write_setting(folder, file, &value)?;
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

/// The owner's process id may come again before its folders are gone; the rest of the name does not.
fn unique_name() -> String {
    let mut bytes = [0; 8];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    format!("{PREFIX}{}-{:016x}", std::process::id(), u64::from_le_bytes(bytes))
}

fn write_setting(folder: &Path, file: &str, value: &str) -> io::Result<()> {
    let write =
        |value: &str| File::options().write(true).open(folder.join(file))?.write_all(value.as_bytes());
    match write(value) {
        // Version 1 refuses a group more than those above it have (`sched-bwc.rst` of the kernel's documentation).
        // Without a quota of its own it has what they have, which is less than was wanted.
        Err(error) if file == "cpu.cfs_quota_us" && error.raw_os_error() == Some(libc::EINVAL) => write("-1"),
        written => written,
    }
}

/// Removes what owners that are gone have left. A group in which somebody still is stays, as the kernel refuses it.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        let is_gone = |owner: u32| !Path::new(&format!("/proc/{owner}")).exists();
        if owner.is_some_and(is_gone) && is_old(&entry) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn is_old(entry: &fs::DirEntry) -> bool {
    let changed = entry.metadata().and_then(|metadata| metadata.modified());
    changed.is_ok_and(|changed| SystemTime::now().duration_since(changed).is_ok_and(|age| age >= YOUNG))
}

/// The controllers that a folder of version 2 gives to its children. One in which processes are can give none, unless it
/// is the root of all: the kernel sees to that.
fn given_to_children(folder: &Path) -> Vec<Controller> {
    let names = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
    let has = |one: &Controller| names.split_whitespace().any(|name| name == one.name());
    Controller::ALL.into_iter().filter(has).collect()
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

    /// The folders of version 2 in which a group can be limited, the nearest first: it is where this process is left as
    /// little as can be.
    fn second(&self) -> impl Iterator<Item = Place<'_>> {
        self.second.iter().enumerate().filter_map(|(index, parent)| {
            let controllers = given_to_children(parent);
            let is_of_use = !controllers.is_empty();
            is_of_use.then(|| Place { parent, controllers, ceiling: Ceiling::of(&self.second[..index]) })
        })
    }
}

/// Where a group of version 2 might be made.
#[derive(Debug, PartialEq, Eq)]
struct Place<'a> {
    parent: &'a Path,
    /// What can be limited there.
    controllers: Vec<Controller>,
    /// What the group must not exceed, as it leaves the folders that say so.
    ceiling: Ceiling,
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
