//! What something new is to stand on: a machine, or where none can be started and that is allowed, the host.

use crate::environment::Environments;
use crate::error::{Error, Result};
use crate::execution_mode::{ExecutionMode, may_replace};
use crate::start::{Prepared, StartEvent};
use crate::state_dir::StateDir;
use tokio::sync::mpsc;

/// See the module.
#[derive(Debug)]
pub enum Ground {
    /// A machine, for which everything is there.
    Guest(Box<Prepared>),
    /// The host itself, without isolation.
    Host {
        /// The digest of the environment; empty where it is not installed.
        environment_digest: String,
    },
}

impl Ground {
    /// The host, if it may stand in for a machine that cannot be started. Whoever waits is told.
    ///
    /// # Errors
    /// The error itself, where the host may not; `not_found` for an environment that there is not.
    pub(super) async fn instead<E: From<StartEvent>>(
        error: Error,
        state_dir: &StateDir,
        environment: &str,
        events: Option<&mpsc::Sender<E>>,
    ) -> Result<Self> {
        if !may_replace(&error) {
            return Err(error);
        }
        let installed = Environments::new(state_dir.clone()).installed(environment)?;
        if let Some(events) = events {
            // Nobody listens any more: then there is nobody to tell.
            let _ = events.send(StartEvent::HostCompat(error.chain().join(": ")).into()).await;
        }
        let environment_digest = installed.map(|installed| installed.digest).unwrap_or_default();
        Ok(Self::Host { environment_digest })
    }

    /// The digest of the environment.
    pub(super) fn environment_digest(&self) -> String {
        match self {
            Self::Guest(prepared) => prepared.environment().digest.clone(),
            Self::Host { environment_digest } => environment_digest.clone(),
        }
    }

    /// Where commands will run.
    pub(super) fn execution_mode(&self) -> ExecutionMode {
        match self {
            Self::Guest(_) => ExecutionMode::Guest,
            Self::Host { .. } => ExecutionMode::HostCompat,
        }
    }
}
