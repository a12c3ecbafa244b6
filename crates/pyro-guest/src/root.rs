//! Where commands run: in the environment of a machine, or (in tests) directly on the host.

use crate::boot::environment::Environment;
use pyro_protocol::message::Identity;
use std::os::fd::BorrowedFd;

/// Where commands run.
#[derive(Debug)]
pub enum Root {
    /// Directly, as what the agent itself runs as. The agent is no process 1 and changes nothing but what its
    /// commands change: `identify` is checked and has no effect.
    Host,
    /// In the environment of a machine whose process 1 the agent is.
    Environment(Environment),
}

impl Root {
    /// The mount namespace of commands, if it is not the agent's own.
    pub(crate) fn namespace(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Host => None,
            Self::Environment(environment) => Some(environment.namespace()),
        }
    }

    /// Whether the agent is process 1 and so has to reap orphans.
    pub(crate) fn is_machine(&self) -> bool {
        matches!(self, Self::Environment(_))
    }

    /// Lets commands see the workspace.
    ///
    /// # Errors
    /// What could not be done, in words.
    pub(crate) fn open_workspace(&mut self) -> Result<(), String> {
        match self {
            Self::Host => Err("there is no machine, and so no workspace".into()),
            Self::Environment(environment) => environment.open_workspace(),
        }
    }

    /// Makes the machine the one that it is told to be.
    ///
    /// # Errors
    /// What is wrong with the identity or could not be set, in words.
    pub(crate) fn identify(&mut self, identity: &Identity) -> Result<(), String> {
        let checked = crate::identity::check(identity)?;
        match self {
            Self::Host => Ok(()),
            Self::Environment(environment) => environment.identify(&checked),
        }
    }
}
