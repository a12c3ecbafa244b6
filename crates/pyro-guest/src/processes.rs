//! Which processes belong to a command, to be signalled, counted and killed together.

use crate::cgroup::Cgroup;
use crate::process_table;
use crate::sys;
use nix::libc::SIGKILL;
use std::collections::BTreeSet;

/// Looks at the process table in a row. Whoever starts processes faster than that is not caught this time.
const LOOKS: usize = 20;

/// The processes of a command, whose main process leads a session and a process group of its own.
#[derive(Debug)]
pub(crate) enum Processes {
    /// Its process group.
    Group(i32),
    /// Its session, and its process group. What makes a session of its own gets away.
    Session(i32),
    /// Everything that it has started.
    Cgroup(Cgroup),
}

impl Processes {
    /// Sends a signal to all of them.
    pub(crate) fn signal(&self, signal: i32) {
        match self {
            Self::Group(leader) => {
                let _ = sys::signal_group(*leader, signal); // fails only when nobody is left to get it
            }
            Self::Session(_) | Self::Cgroup(_) => {
                for pid in self.alive() {
                    let _ = sys::signal_process(pid, signal); // likewise
                }
            }
        }
    }

    /// Kills all of them.
    pub(crate) fn kill(&self) {
        match self {
            Self::Group(_) => self.signal(SIGKILL),
            Self::Session(leader) => {
                let _ = sys::signal_group(*leader, SIGKILL); // at one stroke, unlike what follows
                self.kill_session();
            }
            Self::Cgroup(cgroup) => cgroup.kill(),
        }
    }

    /// Looks again until there is nobody who was not killed before: a look does not see who is started during it.
    fn kill_session(&self) {
        let mut killed = BTreeSet::new();
        for _ in 0..LOOKS {
            let mut found_new = false;
            for pid in self.alive() {
                if killed.insert(pid) {
                    found_new = true;
                    let _ = sys::signal_process(pid, SIGKILL);
                }
            }
            if !found_new {
                return;
            }
        }
    }

    /// Whether none of them is alive.
    pub(crate) fn are_gone(&self) -> bool {
        match self {
            Self::Group(_) | Self::Session(_) => self.alive().is_empty(),
            Self::Cgroup(cgroup) => cgroup.is_empty(),
        }
    }

    /// How many of them are alive.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.alive().len()).unwrap_or(u32::MAX)
    }

    fn alive(&self) -> Vec<i32> {
        let leader = match self {
            Self::Group(leader) | Self::Session(leader) => *leader,
            Self::Cgroup(cgroup) => return cgroup.processes(),
        };
        let session = matches!(self, Self::Session(_)).then_some(leader);
        process_table::entries()
            .filter(|entry| entry.is_alive && (entry.group == leader || Some(entry.session) == session))
            .map(|entry| entry.pid)
            .collect()
    }
}
