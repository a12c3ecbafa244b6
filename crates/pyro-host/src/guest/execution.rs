//! One command in the guest, as its caller sees it.

use super::connection::Handle;
use super::link::QUEUE_SHORT;
use super::stream::{Item, Outcome};
use crate::error::{Error, ErrorKind, Result};
use pyro_protocol::exec::{ExecFailure, Exited, WindowSize};
use pyro_protocol::frame::{self, Channel, Kind, MAX_PAYLOAD};
use pyro_protocol::message::ToGuest;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// What happens to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecEvent {
    /// It runs. Comes first, and once.
    Started {
        /// Its process id in the guest.
        pid: u32,
    },
    /// Bytes that it wrote to its standard output.
    Stdout(Vec<u8>),
    /// Bytes that it wrote to its standard error.
    Stderr(Vec<u8>),
    /// It has ended, and everything that it wrote has been read. Comes last.
    Exited(Exited),
}

/// Why a command never ran: the source of an `exec_not_started` error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecNotStarted {
    /// What kind of failure it is.
    pub failure: ExecFailure,
    /// The guest's words for it. Safe to print.
    pub message: String,
}

impl fmt::Display for ExecNotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ExecNotStarted {}

/// A command under way. Dropping it before its end kills the command.
///
/// The guest may have sent as much output as its windows allow before it is read; after that the command waits, and
/// no other command with it.
#[derive(Debug)]
pub struct Execution {
    handle: Arc<Handle>,
    stream: u32,
    stdin: Option<StdinSender>,
    ended: bool,
}

/// What to do about a command that did not start.
fn remedy(failure: ExecFailure) -> &'static str {
    match failure {
        ExecFailure::NotFound => {
            "check the spelling of the program and of its directory, or take an environment that has it: `pyro env list`, \
             `pyro env inspect NAME --json`"
        }
        ExecFailure::NotExecutable => "name a program, or run a script through its interpreter: `sh FILE`",
        ExecFailure::NoResources => "give the machine more memory, or run fewer commands at a time",
        ExecFailure::BadRequest => "check the command's words and its environment",
    }
}

impl Execution {
    pub(super) fn new(handle: Arc<Handle>, stream: u32, stdin: bool) -> Self {
        let sender = StdinSender { handle: Arc::clone(&handle), stream, finished: false };
        Self { handle, stream, stdin: stdin.then_some(sender), ended: false }
    }

    /// Waits for the next thing that happens. May be dropped while it waits, and nothing is lost.
    ///
    /// # Errors
    /// `exec_not_started`, with an [`ExecNotStarted`] as its source, when the command never ran;
    /// `guest_unreachable` when the connection is over; `wrong_state` after the last event.
    pub async fn next(&mut self) -> Result<ExecEvent> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<ExecEvent>> {
        let mut session = self.handle.link.session();
        let over = session.end.clone();
        let Some(stream) = session.streams.get_mut(&self.stream).filter(|_| !self.ended) else {
            let error = Error::new(
                ErrorKind::WrongState,
                "the command has ended, and there is no more of it to read",
            );
            return Poll::Ready(Err(error));
        };
        let Some((item, credit)) = stream.take() else {
            if let Some(end) = over {
                return Poll::Ready(Err(end.to_error()));
            }
            stream.reader = Some(context.waker().clone());
            return Poll::Pending;
        };
        drop(session);
        if let Some((channel, n_bytes)) = credit {
            self.give_credit(channel, n_bytes);
        }
        Poll::Ready(self.event(item))
    }

    fn event(&mut self, item: Item) -> Result<ExecEvent> {
        match item {
            Item::Started(pid) => Ok(ExecEvent::Started { pid }),
            Item::Bytes(Channel::Stderr, bytes) => Ok(ExecEvent::Stderr(bytes)),
            Item::Bytes(_, bytes) => Ok(ExecEvent::Stdout(bytes)),
            Item::Ended(Outcome::Exited(exited)) => {
                self.ended = true;
                Ok(ExecEvent::Exited(exited))
            }
            Item::Ended(Outcome::Failed(failure, message)) => {
                self.ended = true;
                let error =
                    Error::new(ErrorKind::ExecNotStarted, "the command could not be started in the guest");
                Err(error.with_hint(remedy(failure)).with_source(ExecNotStarted { failure, message }))
            }
        }
    }

    /// The sender of its standard input, the first time; `None` later, and for a command without input.
    pub fn stdin(&mut self) -> Option<StdinSender> {
        self.stdin.take()
    }

    /// Sends a signal to the command's process group; with a terminal, to the one in its foreground. A command that has
    /// ended does not get it.
    ///
    /// # Errors
    /// `guest_unreachable` when the connection is over.
    pub fn signal(&self, signal: i32) -> Result<()> {
        self.tell(&ToGuest::Signal { signal })
    }

    /// Asks the command, and everything that a contained one has started, to end, and has the guest kill what has not
    /// after the grace.
    ///
    /// # Errors
    /// `guest_unreachable` when the connection is over.
    pub fn terminate(&self, signal: i32, grace: Duration) -> Result<()> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.tell(&ToGuest::Terminate { signal, grace_ms })
    }

    /// Sets the size of the command's terminal.
    ///
    /// # Errors
    /// `guest_unreachable` when the connection is over.
    pub fn resize(&self, size: WindowSize) -> Result<()> {
        self.tell(&ToGuest::Resize(size))
    }

    fn tell(&self, message: &ToGuest) -> Result<()> {
        if let Some(end) = &self.handle.link.session().end {
            return Err(end.to_error());
        }
        self.handle.tell(self.stream, message);
        Ok(())
    }

    fn give_credit(&self, channel: Channel, n_bytes: u32) {
        let mut bytes = Vec::with_capacity(frame::HEADER_LEN + 4);
        frame::encode_credit(channel, self.stream, n_bytes, &mut bytes);
        self.handle.link.send(&bytes);
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        let mut session = self.handle.link.session();
        let is_over = session.end.is_some();
        let Some(stream) = session.streams.get_mut(&self.stream) else { return };
        if is_over || stream.is_closed() {
            session.streams.remove(&self.stream);
            return;
        }
        let credit = stream.abandon();
        drop(session);
        self.handle.tell(self.stream, &ToGuest::Terminate { signal: libc::SIGKILL, grace_ms: 0 });
        for (channel, n_bytes) in credit.into_iter().flatten() {
            self.give_credit(channel, n_bytes);
        }
    }
}

/// Sends the standard input of a command. Dropping it ends the input.
#[derive(Debug)]
pub struct StdinSender {
    handle: Arc<Handle>,
    stream: u32,
    finished: bool,
}

impl StdinSender {
    /// Sends bytes, waiting while the command does not take them. When this is dropped while it waits, some of
    /// the bytes may have been sent.
    ///
    /// # Errors
    /// `wrong_state` when the command has ended, `guest_unreachable` when the connection is over.
    pub async fn send(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            self.room().await;
            let n_bytes = poll_fn(|context| self.poll_credit(bytes.len(), context)).await?;
            let (now, rest) = bytes.split_at(n_bytes);
            let mut frames = Vec::with_capacity(frame::HEADER_LEN + n_bytes);
            frame::encode(Kind::Data, Channel::Stdin, self.stream, now, &mut frames);
            self.handle.link.send(&frames);
            bytes = rest;
        }
        Ok(())
    }

    /// Ends the input.
    pub fn finish(self) {
        drop(self);
    }

    /// Waits until little is queued for the socket. A connection that is over is told by what comes next.
    async fn room(&self) {
        loop {
            let room = self.handle.link.room.notified();
            if self.handle.link.n_queued() <= QUEUE_SHORT || self.handle.link.session().end.is_some() {
                return;
            }
            room.await;
        }
    }

    fn poll_credit(&mut self, wanted: usize, context: &mut Context<'_>) -> Poll<Result<usize>> {
        let mut session = self.handle.link.session();
        if let Some(end) = &session.end {
            return Poll::Ready(Err(end.to_error()));
        }
        let Some(stream) = session.streams.get_mut(&self.stream).filter(|stream| !stream.is_closed()) else {
            self.finished = true;
            return Poll::Ready(Err(Error::new(
                ErrorKind::WrongState,
                "the command has ended and takes no more input",
            )));
        };
        let n_bytes = stream.spend(wanted.min(MAX_PAYLOAD));
        if n_bytes == 0 {
            stream.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(n_bytes))
    }
}

impl Drop for StdinSender {
    fn drop(&mut self) {
        let session = self.handle.link.session();
        let is_open = session.streams.get(&self.stream).is_some_and(|stream| !stream.is_closed());
        let is_over = session.end.is_some();
        drop(session);
        if is_open && !is_over && !self.finished {
            let mut frames = Vec::with_capacity(frame::HEADER_LEN);
            frame::encode(Kind::End, Channel::Stdin, self.stream, &[], &mut frames);
            self.handle.link.send(&frames);
        }
    }
}
