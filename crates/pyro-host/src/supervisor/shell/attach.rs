//! Somebody at a shell: is told whenever it shows something, and types.

use super::{Handle, INPUT_LIMIT, find, of_shell};
use crate::error::{Error, ErrorKind, Result};
use crate::instance::ShellState;
use crate::shell::{ShellId, checked_size};
use crate::supervisor::operation::Topic;
use crate::supervisor::server::{FromClient, ToClient};
use crate::supervisor::shared::Shared;
use crate::supervisor::wire::{Kind, Reply, STDIN_WINDOW, message, outcome as outcome_of};
use pyro_protocol::exec::WindowSize;
use serde_json::Value;
use std::pin::pin;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

/// Serves one who has come to a shell, until the shell ends or the client goes.
pub(in crate::supervisor) async fn attach(
    shared: &Shared,
    id: &ShellId,
    from: &mut FromClient,
    to: &ToClient,
) -> Result<Value> {
    let handle = find(shared, id)?;
    // What has come and waits: no more than the client has credit for.
    let ((typed, keys), (taken_to, taken)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    let window = Semaphore::new(STDIN_WINDOW as usize);
    let mut typing = pin!(type_all(keys, taken_to, &handle));
    let outcome = tokio::select! {
        told = tell(shared, &handle, to) => told,
        error = listen(from, &handle, typed, &window) => {
            // What was typed before somebody left is typed, unless nothing reads it.
            match timeout(INPUT_LIMIT, typing).await {
                Ok(Err(unheard)) => Err(unheard),
                Ok(Ok(())) | Err(_) => Err(error),
            }
        }
        error = give_credit(taken, &window, to) => Err(error),
        Err(error) = &mut typing => Err(error),
    };
    match outcome {
        Ok(()) => outcome_of(&handle.record()),
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

/// Takes what the client sends, and never waits for it to read. Returns when it has gone, or went wrong.
async fn listen(
    from: &mut FromClient,
    handle: &Handle,
    typed: mpsc::UnboundedSender<Vec<u8>>,
    window: &Semaphore,
) -> Error {
    loop {
        match from.next().await {
            Ok(Some((Kind::Stdin, bytes))) => {
                let n_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                match window.try_acquire_many(n_bytes) {
                    Ok(credit) => credit.forget(),
                    Err(_) => return protocol_broken(),
                }
                let _ = typed.send(bytes); // typing has failed, which is told
            }
            Ok(Some((Kind::Message, payload))) => {
                let size = message::<WindowSize>(&payload).ok();
                match size.map(|size| checked_size(size.cols, size.rows)) {
                    Some(Ok(size)) => drop(handle.wishes.send(super::Wish::Resize(size))),
                    Some(Err(error)) => return error,
                    None => return protocol_broken(),
                }
            }
            Ok(Some((Kind::End, _))) => {}
            Ok(Some(_)) => return protocol_broken(),
            Ok(None) | Err(_) => return client_gone(),
        }
    }
}

/// Types in the order in which it came, until nothing more comes. What runs in the shell may take its time: it is the
/// client who waits. What comes for a shell that has ended, which is told with the last that it showed, goes nowhere.
async fn type_all(
    mut keys: mpsc::UnboundedReceiver<Vec<u8>>,
    taken: mpsc::UnboundedSender<u32>,
    handle: &Handle,
) -> Result<()> {
    while let Some(bytes) = keys.recv().await {
        handle.touch();
        let typed = handle.input.lock().await.send(&bytes).await;
        match typed {
            Err(error) if error.kind() != ErrorKind::WrongState => return Err(error),
            _ => {}
        }
        let _ = taken.send(u32::try_from(bytes.len()).unwrap_or(u32::MAX)); // the client has left
    }
    Ok(())
}

/// Lets the client type as much more as was typed into the shell. Returns when it has gone.
async fn give_credit(mut taken: mpsc::UnboundedReceiver<u32>, window: &Semaphore, to: &ToClient) -> Error {
    while let Some(mut n_bytes) = taken.recv().await {
        while let Ok(more) = taken.try_recv() {
            n_bytes = n_bytes.saturating_add(more);
        }
        // First here, then there: the client may use it at once.
        window.add_permits(n_bytes as usize);
        let told = to.lock().await.write(Kind::Credit, &n_bytes.to_le_bytes()).await;
        if told.is_err() {
            break;
        }
    }
    client_gone()
}

fn protocol_broken() -> Error {
    Error::new(ErrorKind::Internal, "a client broke the protocol")
}

fn client_gone() -> Error {
    Error::new(ErrorKind::OutputClosed, "the client is gone")
}
