//! A command for a client: its output goes to the history and to the client, its input comes from there.

use super::operation::{ExecRequest, Topic};
use super::server::{FromClient, ToClient};
use super::shared::Shared;
use super::wire::{self, Kind, Reply, STDIN_WINDOW};
use crate::clock::unix_time;
use crate::command::{ExecFailure, WORKSPACE_PATH};
use crate::conversation::{Conversation, OutputSink, Stdin};
use crate::error::{Error, ErrorKind, Result};
use crate::guest::ExecNotStarted;
use crate::instance::history::Recording;
use crate::instance::{HistoryEntry, InstanceKind};
use crate::limits::validate_timeout;
use crate::output::OutputChannel;
use serde_json::Value;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;

/// Runs a command to its end. Whatever ends it, the history tells.
pub(super) async fn exec(
    shared: &Arc<Shared>,
    request: ExecRequest,
    from: &mut FromClient,
    to: &ToClient,
) -> Result<Value> {
    request.command.validate()?;
    let timeout = validate_timeout(request.timeout_seconds)?;
    let guest = shared.guest()?;
    let denials_from = shared.denial_position();
    let recording = shared.instance.history().begin(beginning(shared, &request))?;
    let sequence = recording.entry.sequence;
    let execution = match guest.exec(request.command.to_exec(timeout, request.stdin)) {
        Ok(execution) => execution,
        Err(error) => return Err(end(shared, recording, Err(error)).await.err().unwrap_or_else(client_gone)),
    };
    shared.topics.changed(&Topic::History);
    let mut sink = Sink { shared: Arc::clone(shared), recording, to: Arc::clone(to) };
    let started = Reply::Started { sequence };
    let (stdin, fed) = if request.stdin { Input::pair() } else { (None, None) };
    let told = to.lock().await.message(&started).await;
    let outcome = match told {
        Err(_) => Err(client_gone()),
        Ok(()) => {
            let conversation = Conversation::new(execution, timeout, None);
            tokio::select! {
                outcome = conversation.hold(stdin, &mut sink) => outcome,
                error = listen(from, fed, to) => Err(error),
                error = shared.interrupted() => Err(error),
            }
        }
    };
    sink.recording.entry.network_denials = shared.denials_since(denials_from);
    let entry = end(shared, sink.recording, outcome).await?;
    wire::outcome(&entry)
}

fn beginning(shared: &Shared, request: &ExecRequest) -> HistoryEntry {
    HistoryEntry {
        sequence: shared.next_sequence(),
        command: request.command.clone(),
        cwd: WORKSPACE_PATH.into(),
        recorded_at: unix_time(),
        exit_code: None,
        duration_ms: None,
        execution_mode: shared.record().execution_mode,
        timed_out: false,
        error: None,
        network_denials: Vec::new(),
        running: true,
    }
}

/// Completes the history entry. The error of a command that was not seen to its end comes back.
async fn end(
    shared: &Arc<Shared>,
    mut recording: Recording,
    outcome: Result<crate::conversation::Outcome>,
) -> Result<HistoryEntry> {
    let entry = &mut recording.entry;
    let failure = match outcome {
        Ok(outcome) => {
            entry.exit_code = Some(outcome.exit_code);
            entry.duration_ms = Some(outcome.duration.as_secs_f64() * 1000.0);
            entry.timed_out = outcome.timed_out;
            None
        }
        Err(error) => {
            let error = shared.explain(error).await;
            entry.exit_code = exit_code_of(&error);
            entry.error = Some(error.chain().join(": "));
            Some(error)
        }
    };
    let entry = recording.entry.clone();
    shared.keep(Topic::History, move |_| recording.end());
    if shared.instance.kind == InstanceKind::Workspace {
        shared.touch();
        shared.written.notify_one();
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(HistoryEntry { running: false, ..entry }),
    }
}

/// What a shell says of a command that cannot be started.
fn exit_code_of(error: &Error) -> Option<i32> {
    let source = std::error::Error::source(error)?.downcast_ref::<ExecNotStarted>()?;
    match source.failure {
        ExecFailure::NotFound => Some(127),
        ExecFailure::NotExecutable => Some(126),
        ExecFailure::NoResources | ExecFailure::BadRequest => None,
    }
}

fn client_gone() -> Error {
    Error::new(ErrorKind::OutputClosed, "the client that ran the command is gone, and the command was ended")
}

/// Where the output goes: whole to the disk, and to the client as it comes.
struct Sink {
    shared: Arc<Shared>,
    recording: Recording,
    to: ToClient,
}

impl OutputSink for Sink {
    async fn take(&mut self, channel: OutputChannel, bytes: Vec<u8>) -> Result<()> {
        self.recording.output(channel, &bytes)?;
        self.shared.topics.changed(&Topic::History);
        let kind = match channel {
            OutputChannel::Stdout => Kind::Stdout,
            OutputChannel::Stderr => Kind::Stderr,
        };
        self.to.lock().await.write(kind, &bytes).await.map_err(|_| client_gone())
    }
}

/// Takes what the client sends, and gives credit for what the command takes. Returns when the client is gone.
async fn listen(from: &mut FromClient, mut feed: Option<Feed>, to: &ToClient) -> Error {
    let mut outstanding = 0_u32;
    loop {
        tokio::select! {
            frame = from.next() => match (frame, &mut feed) {
                (Ok(Some((Kind::Stdin, bytes))), Some(feed)) => {
                    outstanding += u32::try_from(bytes.len()).unwrap_or(STDIN_WINDOW);
                    if outstanding > STDIN_WINDOW {
                        return Error::new(ErrorKind::Internal, "a client sent more input than it had credit for");
                    }
                    if let Some(bytes_to) = &feed.bytes {
                        let _ = bytes_to.send(bytes); // the command has closed its input
                    }
                }
                (Ok(Some((Kind::End, _))), Some(feed)) => feed.bytes = None,
                (Ok(Some(_)), _) => return Error::new(ErrorKind::Internal, "a client broke the protocol"),
                (Ok(None) | Err(_), _) => return client_gone(),
            },
            taken = taken(&mut feed) => {
                outstanding = outstanding.saturating_sub(taken);
                let told = to.lock().await.write(Kind::Credit, &taken.to_le_bytes()).await;
                if told.is_err() {
                    return client_gone();
                }
            }
        }
    }
}

async fn taken(feed: &mut Option<Feed>) -> u32 {
    match feed {
        Some(Feed { taken, .. }) => match taken.recv().await {
            Some(n_bytes) => n_bytes,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// The client's side of a command's standard input.
struct Feed {
    bytes: Option<mpsc::UnboundedSender<Vec<u8>>>,
    taken: mpsc::UnboundedReceiver<u32>,
}

/// The command's side: bytes that have come and wait, never more than the window.
struct Input {
    bytes: mpsc::UnboundedReceiver<Vec<u8>>,
    taken: mpsc::UnboundedSender<u32>,
    piece: Vec<u8>,
    at: usize,
}

impl Input {
    fn pair() -> (Option<Stdin>, Option<Feed>) {
        let (bytes_to, bytes) = mpsc::unbounded_channel();
        let (taken_to, taken) = mpsc::unbounded_channel();
        let input = Self { bytes, taken: taken_to, piece: Vec::new(), at: 0 };
        (Some(Box::new(input)), Some(Feed { bytes: Some(bytes_to), taken }))
    }
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.at == self.piece.len() {
            match ready!(self.bytes.poll_recv(context)) {
                Some(piece) => (self.piece, self.at) = (piece, 0),
                None => return Poll::Ready(Ok(())),
            }
        }
        let n_bytes = into.remaining().min(self.piece.len() - self.at);
        into.put_slice(&self.piece[self.at..self.at + n_bytes]);
        self.at += n_bytes;
        let _ = self.taken.send(u32::try_from(n_bytes).unwrap_or(0)); // nobody waits for it any more
        Poll::Ready(Ok(()))
    }
}
