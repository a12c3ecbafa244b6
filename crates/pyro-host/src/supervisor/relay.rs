//! Work on the files of a workspace for a client: the tree goes through here in pieces, unread.

use super::server::{FromClient, ToClient};
use super::shared::{Phase, Shared};
use super::wire::Kind;
use crate::error::{Error, ErrorKind, Result};
use crate::guest::{ExecEvent, Execution, StdinSender, TaskWords};
use crate::instance::InstanceKind;
use pyro_protocol::task::Task;
use serde_json::Value;
use std::sync::Arc;

/// Has the guest do a piece of work, and passes the tree on in either direction.
pub(super) async fn relay(
    shared: &Arc<Shared>,
    task: Task,
    from: &mut FromClient,
    to: &ToClient,
) -> Result<Value> {
    allow(shared, &task)?;
    let mut execution = shared.guest()?.task(task.clone())?;
    let sender = execution.stdin();
    let done = tokio::select! {
        done = down(execution, &task, to) => done,
        error = up(from, sender) => Err(error),
        error = shared.interrupted() => Err(error),
    };
    if matches!(task, Task::Sync { .. }) {
        shared.touch();
    }
    match done {
        Ok(()) => Ok(Value::Null),
        Err(error) => Err(shared.explain(error).await),
    }
}

/// What is possible when.
fn allow(shared: &Shared, task: &Task) -> Result<()> {
    let is_seeding = *shared.phase.borrow() == Phase::Seeding;
    let is_allowed = match task {
        Task::Seed { .. } => is_seeding,
        Task::Sync { .. } | Task::Export { .. } | Task::Diff { .. } => {
            !is_seeding && shared.instance.kind == InstanceKind::Workspace
        }
        Task::Recover | Task::Flush => false,
    };
    if is_allowed {
        return Ok(());
    }
    Err(Error::new(ErrorKind::WrongState, "this cannot be done with it now")
        .with_hint("a workspace is seeded while it is created, and synced, exported and compared after that"))
}

/// From the client to the guest. Returns when the client is gone.
async fn up(from: &mut FromClient, mut sender: Option<StdinSender>) -> Error {
    loop {
        match from.next().await {
            Ok(Some((Kind::Stdin, bytes))) => {
                if let Some(to_guest) = &mut sender
                    && to_guest.send(&bytes).await.is_err()
                {
                    sender = None; // the task has ended, and says why
                }
            }
            Ok(Some((Kind::End, _))) => sender = None,
            Ok(Some(_)) => return Error::new(ErrorKind::Internal, "a client broke the protocol"),
            Ok(None) | Err(_) => {
                // Without the end of the tree the guest throws away what it has got.
                return Error::new(
                    ErrorKind::OutputClosed,
                    "the client is gone, and what it asked for was given up",
                );
            }
        }
    }
}

/// From the guest to the client, until the work is done.
async fn down(mut execution: Execution, task: &Task, to: &ToClient) -> Result<()> {
    let mut words = TaskWords::default();
    loop {
        match execution.next().await? {
            ExecEvent::Started { .. } => {}
            ExecEvent::Stderr(bytes) => words.push(&bytes),
            ExecEvent::Stdout(bytes) => {
                let sent = to.lock().await.write(Kind::Stdout, &bytes).await;
                sent.map_err(|_| Error::new(ErrorKind::OutputClosed, "the client is gone"))?;
            }
            ExecEvent::Exited(exited) if exited.code == Some(0) => return Ok(()),
            ExecEvent::Exited(_) => return Err(words.into_error(task)),
        }
    }
}

/// Has the guest do a piece of work that needs nothing and gives nothing.
pub(super) async fn alone(shared: &Shared, task: Task) -> Result<()> {
    let guest = shared.guest_now()?;
    let mut execution = guest.task(task.clone())?;
    drop(execution.stdin());
    let mut words = TaskWords::default();
    loop {
        match execution.next().await? {
            ExecEvent::Stderr(bytes) => words.push(&bytes),
            ExecEvent::Exited(exited) if exited.code == Some(0) => return Ok(()),
            ExecEvent::Exited(_) => return Err(words.into_error(&task)),
            ExecEvent::Started { .. } | ExecEvent::Stdout(_) => {}
        }
    }
}
