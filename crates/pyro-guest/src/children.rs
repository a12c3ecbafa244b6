//! Who has died: tells the event loop of ended child processes.
//!
//! As a process of its own the agent reaps every child, also the orphans that the kernel gives it. In tests it is one
//! thread of a bigger process: there it must touch no process but those it started, and watches each by itself.

use crate::sys::{self, Death};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

/// The children of the agent.
#[derive(Debug)]
pub(crate) enum Children {
    /// As a process of its own: `SIGCHLD` says that somebody died.
    Everyone(SignalFd),
    /// As a guest among others: one descriptor for each process started.
    Own(BTreeMap<i32, OwnedFd>),
}

impl Children {
    /// As a process of its own. `SIGCHLD` must be blocked. Events carry `token`.
    pub(crate) fn everyone(epoll: &Epoll, token: u64) -> nix::Result<Self> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
        Ok(Self::Everyone(signals))
    }

    /// As a part of another process.
    pub(crate) fn own() -> Self {
        Self::Own(BTreeMap::new())
    }

    /// Begins to watch a child that was just started. Events carry `token`.
    pub(crate) fn watch(&mut self, pid: i32, epoll: &Epoll, token: u64) -> nix::Result<()> {
        if let Self::Own(watched) = self {
            let pidfd = sys::pidfd_open(pid)?;
            epoll.add(&pidfd, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
            watched.insert(pid, pidfd);
        }
        Ok(())
    }

    /// Reaps the dead and gives each to `bury`.
    pub(crate) fn reap(&mut self, mut bury: impl FnMut(i32, Death)) {
        match self {
            Self::Everyone(signals) => {
                // One signal may stand for many deaths; what matters is that it is taken before the look around.
                let _ = signals.read_signal();
                while let Ok(Some((pid, death))) = sys::reap(-1) {
                    bury(pid, death);
                }
            }
            Self::Own(watched) => watched.retain(|pid, _| match sys::reap(*pid) {
                Ok(None) => true,
                Ok(Some((pid, death))) => {
                    bury(pid, death);
                    false
                }
                Err(_) => false,
            }),
        }
    }
}
