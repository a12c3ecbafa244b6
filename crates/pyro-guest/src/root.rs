//! Where commands run: in the environment of a machine, in a folder of the host, or (in tests) directly on the host.

use crate::boot::environment::Environment;
use crate::folder::Folder;
use crate::tasks::place::Place;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use pyro_protocol::exec::Exec;
use pyro_protocol::message::Identity;
use pyro_protocol::probe::Probe;
use std::borrow::Cow;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Where commands run.
#[derive(Debug)]
pub enum Root {
    /// Directly, as what the agent itself runs as. The agent is no process 1 and changes nothing but what its
    /// commands change: `identify` is checked and has no effect.
    Host,
    /// In the environment of a machine whose process 1 the agent is.
    Environment(Environment),
    /// In a folder of the host, as what the agent itself runs as. The agent is a process of its own, and `identify`
    /// has no effect.
    Folder(Folder),
}

/// What it takes to open a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Nothing more.
    Done,
    /// A process that does it in this folder.
    Process {
        /// The folder.
        folder: String,
    },
}

impl Root {
    /// The mount namespace of commands, if it is not the agent's own.
    pub(crate) fn namespace(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Host | Self::Folder(_) => None,
            Self::Environment(environment) => Some(environment.namespace()),
        }
    }

    /// Whether the agent is process 1.
    pub(crate) fn is_machine(&self) -> bool {
        matches!(self, Self::Environment(_))
    }

    /// Whether every child is one of the agent, which has to reap orphans.
    pub(crate) fn adopts_orphans(&self) -> bool {
        !matches!(self, Self::Host)
    }

    /// Where the files of the workspace are, if there can be one.
    pub(crate) fn place(&self) -> Option<Place> {
        match self {
            Self::Host => None,
            Self::Environment(_) => Some(Place::of_machine()),
            Self::Folder(folder) => Some(Place::Folder(folder.path().into())),
        }
    }

    /// A command as it is to be run here.
    pub(crate) fn adapted<'a>(&self, request: &'a Exec) -> Cow<'a, Exec> {
        match self {
            Self::Host | Self::Environment(_) => Cow::Borrowed(request),
            Self::Folder(folder) => Cow::Owned(folder.adapted(request)),
        }
    }

    /// A probe as it is to be run here.
    pub(crate) fn adapted_probe<'a>(&self, probe: &'a Probe) -> Cow<'a, Probe> {
        match self {
            Self::Host | Self::Environment(_) => Cow::Borrowed(probe),
            Self::Folder(folder) => Cow::Owned(folder.adapted_probe(probe)),
        }
    }

    /// The master end of a new terminal where commands live, non-blocking.
    pub(crate) fn open_terminal(&self) -> nix::Result<OwnedFd> {
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        match self {
            Self::Host | Self::Folder(_) => open("/dev/ptmx", flags, Mode::empty()),
            Self::Environment(environment) => environment.open_terminal(flags),
        }
    }

    /// Where control groups are made, if there are any and they are ours.
    pub(crate) fn cgroups(&self) -> Option<&Arc<OwnedFd>> {
        match self {
            Self::Host | Self::Folder(_) => None,
            Self::Environment(environment) => environment.cgroups(),
        }
    }

    /// Lets commands see the workspace.
    ///
    /// # Errors
    /// What could not be done, in words.
    pub(crate) fn open_workspace(&mut self) -> Result<Opening, String> {
        match self {
            Self::Host => Err("there is no machine, and so no workspace".into()),
            Self::Environment(environment) => environment.open_workspace().map(|()| Opening::Done),
            Self::Folder(folder) => Ok(Opening::Process { folder: folder.path().to_owned() }),
        }
    }

    /// Makes the machine the one that it is told to be.
    ///
    /// # Errors
    /// What is wrong with the identity or could not be set, in words.
    pub(crate) fn identify(&mut self, identity: &Identity) -> Result<(), String> {
        let checked = crate::identity::check(identity)?;
        match self {
            Self::Host | Self::Folder(_) => Ok(()),
            Self::Environment(environment) => environment.identify(&checked),
        }
    }
}
