//! The processes that there are, as `/proc` tells (`proc_pid_stat(5)`).

use std::fs;

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    /// Its process group.
    pub(crate) group: i32,
    pub(crate) session: i32,
    /// Whether anything of it runs: otherwise it holds nothing any more and only waits to be reaped.
    pub(crate) is_alive: bool,
}

/// All of them. Those that come or go meanwhile may be missing.
pub(crate) fn entries() -> impl Iterator<Item = Entry> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        parse(pid, &fs::read_to_string(entry.path().join("stat")).ok()?)
    })
}

/// What a line of `/proc/<pid>/stat` says behind the name, which may hold anything.
fn parse(pid: i32, stat: &str) -> Option<Entry> {
    let mut words = stat.rsplit_once(')')?.1.split_whitespace();
    let state = words.next()?;
    let mut number = || words.next()?.parse::<i32>().ok();
    let (parent, group, session) = (number()?, number()?, number()?);
    let n_threads: u32 = words.nth(13)?.parse().ok()?;
    // The first thread may be gone while others run.
    let is_alive = !matches!(state, "Z" | "X") || n_threads > 1;
    Some(Entry { pid, parent, group, session, is_alive })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str = "34816 12 4194304 1 2 3 4 5 6 7 8 20 0 1 0 99";

    #[test]
    fn the_words_are_found_behind_any_name() {
        let entry = Entry { pid: 12, parent: 7, group: 10, session: 9, is_alive: true };
        assert_eq!(parse(12, &format!("12 (a b) c) S 7 10 9 {REST}")), Some(entry));
        let zombie = parse(12, &format!("12 (a) Z 7 10 9 {REST}")).unwrap();
        assert!(!zombie.is_alive);
        let threads = REST.replace("20 0 1 0", "20 0 2 0");
        assert!(parse(12, &format!("12 (a) Z 7 10 9 {threads}")).unwrap().is_alive);
        assert_eq!(parse(12, "12 (a"), None);
        assert_eq!(parse(12, "12 (a) S 7"), None);
    }

    #[test]
    fn this_process_is_there() {
        let own = std::process::id().cast_signed();
        let entry = entries().find(|entry| entry.pid == own).unwrap();
        assert_eq!(entry.parent, std::os::unix::process::parent_id().cast_signed());
        assert_eq!(entry.group, nix::unistd::getpgrp().as_raw());
        assert!(entry.is_alive);
    }
}
