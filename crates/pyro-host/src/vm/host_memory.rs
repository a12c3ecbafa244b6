//! How much memory the host could still give to machines.
//!
//! The kernel's own estimate (`MemAvailable`), lowered by the limits of the control groups that this process is in:
//! inside a container the host's memory is not ours. Swap does not count.

use std::fs;
use std::path::{Path, PathBuf};

const MIB: u64 = 1024 * 1024;

/// A limit of this size is none: version 1 of control groups writes the largest number of pages for "no limit".
const NO_LIMIT: u64 = 1 << 60;

/// What the host has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostMemory {
    /// What new processes could take without swapping, in MiB. Where the host does not tell, as much as there can be.
    pub available_mib: u64,
}

/// Looks at the host as it is now.
pub fn host_memory() -> HostMemory {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let in_all = read(Path::new("/proc/meminfo")).and_then(|text| available_of_meminfo(&text));
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let in_groups = memory_groups(&groups).into_iter().filter_map(|group| group.room(read)).min();
    let available = in_all.into_iter().chain(in_groups).min().unwrap_or(u64::MAX);
    HostMemory { available_mib: available / MIB }
}

/// A control group, by the files that tell about its memory.
#[derive(Debug, PartialEq, Eq)]
struct MemoryGroup {
    limit: PathBuf,
    usage: PathBuf,
    statistics: PathBuf,
    /// The line of the statistics that counts cached files, which the kernel drops when memory is short.
    cached: &'static str,
}

impl MemoryGroup {
    fn version_2(folder: &Path) -> Self {
        Self {
            limit: folder.join("memory.max"),
            usage: folder.join("memory.current"),
            statistics: folder.join("memory.stat"),
            cached: "inactive_file",
        }
    }

    fn version_1(folder: &Path) -> Self {
        Self {
            limit: folder.join("memory.limit_in_bytes"),
            usage: folder.join("memory.usage_in_bytes"),
            statistics: folder.join("memory.stat"),
            cached: "total_inactive_file",
        }
    }

    /// Bytes that the group may still take; `None` where it has no limit.
    fn room(&self, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
        let limit = limit_of_group(&read(&self.limit)?)?;
        let usage: u64 = read(&self.usage)?.trim().parse().ok()?;
        let cached = read(&self.statistics).and_then(|text| statistic(&text, self.cached)).unwrap_or(0);
        Some(limit.saturating_sub(usage.saturating_sub(cached)))
    }
}

/// Bytes of the line `MemAvailable` of `/proc/meminfo`, which counts in KiB.
fn available_of_meminfo(meminfo: &str) -> Option<u64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = value.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// A limit in bytes; `max` and numbers that no host has are none.
fn limit_of_group(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|&limit| limit < NO_LIMIT)
}

/// A number of a `memory.stat`, which has a name and a number on each line.
fn statistic(text: &str, name: &str) -> Option<u64> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.find(|(key, _)| *key == name)?.1.trim().parse().ok()
}

/// The groups of a process (`/proc/self/cgroup`, see `cgroups(7)`) that may limit its memory: its own and all above it.
/// Inside a container its own may be the root of what is mounted there, so that the root is looked at as well.
fn memory_groups(text: &str) -> Vec<MemoryGroup> {
    let mut groups = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let relative = Path::new(path.trim_start_matches('/'));
        // A group outside of what this process can see is told with `..`, and cannot be looked at.
        let leads_out = relative.components().any(|part| part == std::path::Component::ParentDir);
        let relative = if leads_out { Path::new("") } else { relative };
        let is_memory = controllers.split(',').any(|controller| controller == "memory");
        for above in relative.ancestors() {
            if controllers.is_empty() {
                groups.push(MemoryGroup::version_2(&Path::new("/sys/fs/cgroup").join(above)));
            } else if is_memory {
                groups.push(MemoryGroup::version_1(&Path::new("/sys/fs/cgroup/memory").join(above)));
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_of_the_kernel_is_found() {
        let meminfo =
            "MemTotal:        8000000 kB\nMemFree:          100000 kB\nMemAvailable:    2048000 kB\n";
        assert_eq!(available_of_meminfo(meminfo), Some(2_048_000 * 1024));
        assert_eq!(available_of_meminfo("MemTotal: 1 kB\n"), None);
        assert_eq!(available_of_meminfo("MemAvailable: many kB\n"), None);
    }

    #[test]
    fn what_is_no_limit_is_none() {
        assert_eq!(limit_of_group("max\n"), None);
        assert_eq!(limit_of_group("9223372036854771712\n"), None);
        assert_eq!(limit_of_group("536870912\n"), Some(512 * MIB));
    }

    #[test]
    fn own_group_and_those_above_it_are_looked_at() {
        let limits = |text| -> Vec<String> {
            memory_groups(text).iter().map(|group| group.limit.display().to_string()).collect()
        };
        let second =
            ["/sys/fs/cgroup/a/b/memory.max", "/sys/fs/cgroup/a/memory.max", "/sys/fs/cgroup/memory.max"];
        assert_eq!(limits("0::/a/b\n"), second);
        let first =
            ["/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
        assert_eq!(limits("5:cpu,cpuacct:/a\n4:memory:/a\n"), first);
        assert_eq!(limits("0::/../x\n"), ["/sys/fs/cgroup/memory.max"]);
        assert_eq!(limits("nonsense\n"), Vec::<String>::new());
    }

    #[test]
    fn the_room_in_a_group_is_its_limit_without_what_it_cannot_drop() {
        let group = MemoryGroup::version_2(Path::new("/g"));
        let read = |limit: &'static str| {
            move |path: &Path| match path.to_str() {
                Some("/g/memory.max") => Some(limit.to_owned()),
                Some("/g/memory.current") => Some("600\n".to_owned()),
                Some("/g/memory.stat") => Some("anon 1\nactive_file 7\ninactive_file 100\n".to_owned()),
                _ => None,
            }
        };
        assert_eq!(group.room(read("1000\n")), Some(500));
        assert_eq!(group.room(read("400\n")), Some(0));
        assert_eq!(group.room(read("max\n")), None);
        assert_eq!(group.room(|_| None), None);
    }

    #[test]
    fn this_host_has_memory() {
        assert!(host_memory().available_mib > 0);
    }
}
