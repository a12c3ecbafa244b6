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
///
/// Work that changes the workspace is never cut short from here: a sync that has its whole tree may have been committed,
/// and is finished whatever becomes of its client; without the end of its tree the guest throws it away by itself.
pub(super) async fn relay(
    shared: &Arc<Shared>,
    task: Task,
    from: &mut FromClient,
    to: &ToClient,
) -> Result<Value> {
    allow(shared, &task)?;
    let mut execution = shared.guest()?.task(task.clone())?;
    let sender = execution.stdin();
    let changes_files = matches!(task, Task::Sync { .. } | Task::Seed { .. });
    let mut work = Box::pin(down(execution, task.clone(), Arc::clone(to)));
    let done = tokio::select! {
        done = &mut work => done,
        error = up(from, sender, changes_files) => Err(error),
        error = shared.interrupted() => {
            if changes_files {
                tokio::spawn(work);
            }
            Err(error)
        }
    };
    let is_sync = matches!(task, Task::Sync { .. });
    if is_sync {
        shared.touch();
    }
    match done {
        Ok(()) => Ok(Value::Null),
        Err(error) => {
            if is_sync && *shared.phase.borrow() == Phase::Running {
                tidy_up(shared).await;
            }
            Err(shared.explain(error).await)
        }
    }
}

/// Has the guest finish or remove what a sync left that did not end well.
async fn tidy_up(shared: &Shared) {
    match alone(shared, Task::Recover).await {
        Ok(None) => {}
        Ok(Some(error)) | Err(error) => tracing::warn!("{}", error.chain().join(": ")),
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

/// From the client to the guest. Returns when the client is gone, unless its work is to be ended by its end alone.
async fn up(from: &mut FromClient, mut sender: Option<StdinSender>, ends_by_itself: bool) -> Error {
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
            Ok(None) | Err(_) if ends_by_itself => {
                drop(sender);
                return std::future::pending().await;
            }
            Ok(None) | Err(_) => {
                return Error::new(
                    ErrorKind::OutputClosed,
                    "the client is gone, and what it asked for was given up",
                );
            }
        }
    }
}

/// From the guest to the client, until the work is done.
async fn down(mut execution: Execution, task: Task, to: ToClient) -> Result<()> {
    let mut words = TaskWords::default();
    loop {
        match execution.next().await? {
            ExecEvent::Started { .. } => {}
            ExecEvent::Stderr(bytes) => words.push(&bytes),
            ExecEvent::Stdout(bytes) => {
                let sent = to.lock().await.write(Kind::Stdout, &bytes).await;
                sent.map_err(|_| Error::new(ErrorKind::OutputClosed, "the client is gone"))?;
            }
            ExecEvent::Exited(exited) if exited.code == Some(0) => {
                if !words.is_empty() {
                    tracing::warn!("{}", words.into_error(&task).chain().join(": "));
                }
                return Ok(());
            }
            ExecEvent::Exited(_) => return Err(words.into_error(&task)),
        }
    }
}

/// Has the guest do a piece of work that needs nothing and gives nothing. What it has to say all the same is a warning.
pub(super) async fn alone(shared: &Shared, task: Task) -> Result<Option<Error>> {
    let guest = shared.guest_now()?;
    let mut execution = guest.task(task.clone())?;
    drop(execution.stdin());
    let mut words = TaskWords::default();
    loop {
        match execution.next().await? {
            ExecEvent::Stderr(bytes) => words.push(&bytes),
            ExecEvent::Exited(exited) if exited.code == Some(0) => {
                return Ok((!words.is_empty()).then(|| words.into_error(&task)));
            }
            ExecEvent::Exited(_) => return Err(words.into_error(&task)),
            ExecEvent::Started { .. } | ExecEvent::Stdout(_) => {}
        }
    }
}
