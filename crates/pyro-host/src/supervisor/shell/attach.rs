//! Somebody at a shell: is told whenever it shows something, and types.

use super::{Handle, find, of_shell, reply};
use crate::error::{Error, ErrorKind, Result};
use crate::instance::ShellState;
use crate::shell::{ShellId, checked_size};
use crate::supervisor::operation::Topic;
use crate::supervisor::server::{FromClient, ToClient};
use crate::supervisor::shared::Shared;
use crate::supervisor::wire::{Kind, Reply, message};
use pyro_protocol::exec::WindowSize;
use serde_json::Value;
use std::pin::pin;
use tokio::sync::mpsc;

/// How many pieces of input may wait for what runs in the shell.
const MAX_WAITING: usize = 64;

/// Serves one who has come to a shell, until the shell ends or the client goes.
pub(in crate::supervisor) async fn attach(
    shared: &Shared,
    id: &ShellId,
    from: &mut FromClient,
    to: &ToClient,
) -> Result<Value> {
    let handle = find(shared, id)?;
    let (typed, keys) = mpsc::channel(MAX_WAITING);
    let mut typing = pin!(type_all(keys, &handle));
    let listening = listen(from, &handle, typed);
    let outcome = tokio::select! {
        told = tell(shared, &handle, to) => told,
        error = listening => {
            // What was typed before somebody left is typed.
            typing.await.and(Err(error))
        }
        Err(error) = &mut typing => Err(error),
    };
    match outcome {
        Ok(()) => reply(&handle.record()),
        Err(error) => Err(of_shell(shared, &handle, error).await),
    }
}

/// Tells of every change until the shell has ended. That is told after the last change.
async fn tell(shared: &Shared, handle: &Handle, to: &ToClient) -> Result<()> {
    let id = handle.record().shell_id;
    let mut changes = shared.topics.subscribe(Topic::Shell(id));
    loop {
        let is_running = handle.is_running();
        let told = to.lock().await.message(&Reply::Changed).await;
        told.map_err(|_| client_gone())?;
        if !is_running {
            return Ok(());
        }
        let mut view = handle.view.subscribe();
        let ended = view.wait_for(|view| view.record.state != ShellState::Running);
        tokio::select! {
            changed = changes.changed() => changed.map_err(|_| client_gone())?,
            _ = ended => {}
        }
    }
}

/// Takes what the client sends. Returns when it has gone, or went wrong.
async fn listen(from: &mut FromClient, handle: &Handle, typed: mpsc::Sender<Vec<u8>>) -> Error {
    loop {
        match from.next().await {
            Ok(Some((Kind::Stdin, bytes))) => {
                if typed.try_send(bytes).is_err() {
                    return Error::new(
                        ErrorKind::Timeout,
                        "what runs in the shell does not read its input, which is full",
                    );
                }
            }
            Ok(Some((Kind::Message, payload))) => {
                let size = message::<WindowSize>(&payload).ok();
                match size.map(|size| checked_size(size.cols, size.rows)) {
                    Some(Ok(size)) => drop(handle.wishes.send(super::Wish::Resize(size))),
                    Some(Err(error)) => return error,
                    None => return Error::new(ErrorKind::Internal, "a client broke the protocol"),
                }
            }
            Ok(Some((Kind::End, _))) => {}
            Ok(Some(_)) => return Error::new(ErrorKind::Internal, "a client broke the protocol"),
            Ok(None) | Err(_) => return client_gone(),
        }
    }
}

/// Types in the order in which it came, until nothing more comes. What comes for a shell that has ended, which is told
/// with the last that it showed, goes nowhere.
async fn type_all(mut keys: mpsc::Receiver<Vec<u8>>, handle: &Handle) -> Result<()> {
    while let Some(bytes) = keys.recv().await {
        match handle.type_in(&bytes).await {
            Err(error) if error.kind() != ErrorKind::WrongState => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn client_gone() -> Error {
    Error::new(ErrorKind::OutputClosed, "the client is gone")
}
