//! The standard input of one command: bytes from the host on their way into a pipe or a terminal.
//!
//! At most [`WINDOW_TO_GUEST`] bytes wait here; the host gets credit as the command takes them. When the command
//! closes its input the rest is dropped, with credit, so that the host does not stall.

use crate::outgoing::Outgoing;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use pyro_protocol::WINDOW_TO_GUEST;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

/// Credit is given back in pieces of at least this size, to save messages.
const CREDIT_STEP: u32 = WINDOW_TO_GUEST / 4;

/// One command's input.
#[derive(Debug)]
pub(crate) struct Stdin {
    stream: u32,
    token: u64,
    pipe: Option<OwnedFd>,
    is_terminal: bool,
    watched: bool,
    waiting: VecDeque<u8>,
    ended: bool,
    /// What the host may still send.
    window: u32,
    /// What the command has taken and the host has got no credit for yet.
    owed: u32,
}

/// The host sent more than it had credit for, or something after the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overrun;

impl Stdin {
    /// The writing end of a command's input, non-blocking; `None` for a command that has none. Events carry
    /// `token`.
    pub(crate) fn new(stream: u32, token: u64, pipe: Option<OwnedFd>) -> Self {
        let window = if pipe.is_some() { WINDOW_TO_GUEST } else { 0 };
        let ended = pipe.is_none();
        let (is_terminal, watched, waiting, owed) = (false, false, VecDeque::new(), 0);
        Self { stream, token, pipe, is_terminal, watched, waiting, ended, window, owed }
    }

    /// The master end of a command's terminal, likewise. The kernel tells of new room there as it does for a pipe: when
    /// nearly everything has been read, and also when it was thrown away (`tcflush(3)`).
    pub(crate) fn of_terminal(stream: u32, token: u64, master: OwnedFd) -> Self {
        Self { is_terminal: true, ..Self::new(stream, token, Some(master)) }
    }

    /// Takes bytes from the host.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        epoll: &Epoll,
        outgoing: &mut Outgoing,
    ) -> Result<(), Overrun> {
        let n_bytes = u32::try_from(bytes.len()).map_err(|_| Overrun)?;
        self.window = self.window.checked_sub(n_bytes).ok_or(Overrun)?;
        if self.ended {
            return Err(Overrun);
        }
        let taken = if self.waiting.is_empty() { self.write(bytes) } else { 0 };
        self.waiting.extend(&bytes[taken..]);
        self.settle(taken, epoll, outgoing);
        Ok(())
    }

    /// The host has no more bytes.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        if self.waiting.is_empty() {
            self.pipe = None;
        }
    }

    /// The command has gone: what waits for it is dropped.
    pub(crate) fn close(&mut self, epoll: &Epoll, outgoing: &mut Outgoing) {
        self.pipe = None;
        self.flush(epoll, outgoing);
    }

    /// The pipe may have room again.
    pub(crate) fn flush(&mut self, epoll: &Epoll, outgoing: &mut Outgoing) {
        let mut total = 0;
        loop {
            let waiting = std::mem::take(&mut self.waiting);
            let taken = self.write(waiting.as_slices().0);
            self.waiting = waiting;
            self.waiting.drain(..taken);
            total += taken;
            if taken == 0 || self.waiting.is_empty() {
                break;
            }
        }
        if self.ended && self.waiting.is_empty() {
            self.pipe = None;
        }
        self.settle(total, epoll, outgoing);
    }

    /// Writes until the pipe is full. Gives how many bytes are done with: written, or dropped for want of a reader.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut done = 0;
        while let Some(pipe) = &self.pipe
            && done < bytes.len()
        {
            match nix::unistd::write(pipe, &bytes[done..]) {
                Ok(n_bytes) => done += n_bytes,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return done,
                // Nobody has the terminal open. Who opens it later reads what comes later.
                Err(Errno::EIO) if self.is_terminal => return bytes.len(),
                Err(_) => self.pipe = None,
            }
        }
        bytes.len()
    }

    /// Grants credit for what is done with, and watches the pipe when something waits for it.
    fn settle(&mut self, taken: usize, epoll: &Epoll, outgoing: &mut Outgoing) {
        self.owed += u32::try_from(taken).unwrap_or(0);
        if self.owed >= CREDIT_STEP {
            outgoing.credit(self.stream, self.owed);
            self.window += self.owed;
            self.owed = 0;
        }
        if let Some(pipe) = &self.pipe
            && !self.watched
            && !self.waiting.is_empty()
        {
            let event = EpollEvent::new(EpollFlags::EPOLLOUT | EpollFlags::EPOLLET, self.token);
            if epoll.add(pipe, event).is_ok() {
                self.watched = true;
            } else {
                self.pipe = None; // no memory for the watch: the command sees the end of its input
                self.waiting.clear();
            }
        }
    }
}
