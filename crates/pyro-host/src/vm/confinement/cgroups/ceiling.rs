//! The limits that a version 2 group would escape by being made further up: those of the folders in between
//! (`cgroup-v2.rst` of the kernel's documentation). A service manager sets them for whoever it starts.

use super::PERIOD_US;
use std::fs;
use std::path::{Path, PathBuf};

/// The least that these folders allow. `None` where none of them says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ceiling {
    /// Above it, processes are killed.
    pub(super) memory_max_bytes: Option<u64>,
    /// Above it, processes are slowed down.
    pub(super) memory_high_bytes: Option<u64>,
    pub(super) n_processes: Option<u64>,
    /// Of each [`PERIOD_US`].
    pub(super) cpu_quota_us: Option<u64>,
}

impl Ceiling {
    /// Reads the limits of folders. A limit that cannot be read is none: the file is missing where its controller is.
    pub(super) fn of(folders: &[PathBuf]) -> Self {
        let least = |file: &str, parse: fn(&str) -> Option<u64>| {
            folders.iter().filter_map(|folder| parse(&read(folder, file)?)).min()
        };
        Self {
            memory_max_bytes: least("memory.max", number),
            memory_high_bytes: least("memory.high", number),
            n_processes: least("pids.max", number),
            cpu_quota_us: least("cpu.max", quota),
        }
    }
}

fn read(folder: &Path, file: &str) -> Option<String> {
    fs::read_to_string(folder.join(file)).ok()
}

/// A number, or `max`.
fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// `QUOTA PERIOD` in microseconds, or `max PERIOD`. The kernel takes no quota below a millisecond.
fn quota(text: &str) -> Option<u64> {
    const LEAST_US: u64 = 1000;
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    Some(quota.saturating_mul(PERIOD_US).checked_div(period)?.max(LEAST_US))
}
