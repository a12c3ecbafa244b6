//! Calls of a workspace's supervisor that its services and shells have in common: what ends with a record, and what is
//! followed.

use super::Workspaces;
use crate::error::{Context, ErrorKind, Result};
use crate::supervisor::{Call, CallEvent, Operation, Topic};
use serde::de::DeserializeOwned;
use std::os::fd::OwnedFd;
use std::path::Path;
use tokio::io::unix::AsyncFd;

impl Workspaces {
    /// Has the supervisor do something that ends with a record.
    ///
    /// # Errors
    /// `not_found`, `wrong_state` when the workspace is not started, and what the supervisor fails with.
    pub(super) async fn ask<T: DeserializeOwned>(&self, id: &str, operation: Operation) -> Result<T> {
        let answer = Call::start(&self.control.socket(id)?, operation).await?.done().await?;
        let doing = || format!("could not read what the supervisor of `{id}` answers");
        serde_json::from_value(answer).failing(ErrorKind::Internal, doing)
    }
}

/// Changes of something, as the supervisor tells of them.
pub(super) struct Following {
    call: Call,
    process: Option<AsyncFd<OwnedFd>>,
}

impl Following {
    /// The first change is the beginning.
    ///
    /// # Errors
    /// `wrong_state` when nobody listens there.
    pub async fn start(socket: &Path, topic: Topic) -> Result<Self> {
        let call = Call::start(socket, Operation::Follow(topic)).await?;
        let process = call.process();
        Ok(Self { call, process })
    }

    /// Waits for a change. False when nothing can change any more: the supervisor has ended, and what it has not written
    /// down by then it never will.
    ///
    /// # Errors
    /// What the supervisor fails with.
    pub async fn changed(&mut self) -> Result<bool> {
        match self.call.next().await {
            Ok(CallEvent::Changed) => return Ok(true),
            Err(error) if error.kind() != ErrorKind::GuestUnreachable => return Err(error),
            _ => {}
        }
        if let Some(process) = &self.process {
            process.readable().await.map(drop).doing(|| "could not wait for the supervisor".into())?;
        }
        Ok(false)
    }

    /// Waits until something is over, or the supervisor.
    ///
    /// # Errors
    /// As [`Following::changed`], and those of the question.
    pub async fn until(&mut self, is_over: impl Fn() -> Result<bool>) -> Result<()> {
        while self.changed().await? {
            if is_over()? {
                break;
            }
        }
        Ok(())
    }
}
