//! One output channel of a command: bytes from a pipe or a terminal on their way to the host.
//!
//! It is read only while the channel has credit, so memory is bounded and one stalled reader on the host
//! stalls its own command and no other. The event loop tells changes of it once (of a pipe edge-triggered, of a terminal
//! once until that is asked for again); whether there is more to read is remembered here, by the queue of the session.

use crate::outgoing::Outgoing;
use crate::sys;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use pyro_protocol::WINDOW_TO_HOST;
use pyro_protocol::frame::{Channel, HEADER_LEN};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Bytes for one read: with its header a frame is then what the port takes in one write.
const READ_BYTES: usize = 32 * 1024 - HEADER_LEN;

/// More than the kernel keeps of what was written to a terminal (20 KiB at most were seen). How much that is it does not
/// tell: `FIONREAD` counts the first 4 KiB only.
const TERMINAL_BYTES: usize = 64 * 1024;

/// After a small piece a terminal is left alone for as long, without being told of changes, and what comes meanwhile is one
/// piece. The kernel hands on each line, and its end, as they are written: to be woken for each and to carry it by itself
/// costs several times what the terminal does.
const REST: Duration = Duration::from_millis(1);
const SMALL_BYTES: usize = 1024;

/// How long a terminal is left alone that nobody has open. Who lives may open it again.
const CLOSED_REST: Duration = Duration::from_millis(100);

/// One command's standard output or error.
#[derive(Debug)]
pub(crate) struct Output {
    channel: Channel,
    /// What is read, unless there is nothing more to read.
    source: Option<OwnedFd>,
    is_terminal: bool,
    credit: u32,
    /// Whether the session has this channel in its queue.
    pub(crate) queued: bool,
    starved: bool,
    /// Until when a terminal is left alone. Then there may be something to read, whether or not an event said so.
    rests_until: Option<Instant>,
    drain: Drain,
}

/// Whether the command has ended, and how much of what it left is still to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drain {
    /// It runs.
    No,
    /// It has ended, and nothing was read since.
    Begun,
    /// So many bytes at most are still its: they were in the pipe at a time after its end, or fit into a terminal. What
    /// background children write later is not its.
    Left(usize),
}

/// What came of one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// There may be more to read now.
    More,
    /// Nothing to do before the pipe or the host says something.
    Wait,
    /// Nothing to do before [`Output::rests_until`].
    Rest,
    /// Nothing to do before the host gives credit.
    Starved,
}

impl Output {
    /// The reading end of a command's output, non-blocking.
    pub(crate) fn of_pipe(channel: Channel, pipe: OwnedFd) -> Self {
        Self { source: Some(pipe), ..Self::none(channel) }
    }

    /// The master end of a command's terminal, non-blocking.
    pub(crate) fn of_terminal(channel: Channel, master: OwnedFd) -> Self {
        Self { source: Some(master), is_terminal: true, ..Self::none(channel) }
    }

    /// A channel that nothing ever comes on.
    pub(crate) fn none(channel: Channel) -> Self {
        Self {
            channel,
            source: None,
            is_terminal: false,
            credit: WINDOW_TO_HOST,
            queued: false,
            starved: false,
            rests_until: None,
            drain: Drain::No,
        }
    }

    /// Begins to watch for something to read.
    pub(crate) fn watch(&self, epoll: &Epoll, token: u64) -> nix::Result<()> {
        match &self.source {
            Some(source) => epoll.add(source, self.event(token)),
            None => Ok(()),
        }
    }

    /// Asks to be told of the next change, where that is told only once.
    pub(crate) fn watch_again(&self, epoll: &Epoll, token: u64) {
        if let Some(source) = self.source.as_ref().filter(|_| self.is_terminal) {
            let _ = epoll.modify(source, &mut self.event(token)); // it is watched already, which takes no memory
        }
    }

    fn event(&self, token: u64) -> EpollEvent {
        let how = if self.is_terminal { EpollFlags::EPOLLONESHOT } else { EpollFlags::EPOLLET };
        EpollEvent::new(EpollFlags::EPOLLIN | how, token)
    }

    /// Whether everything that there was has been queued for the host.
    pub(crate) fn is_done(&self) -> bool {
        self.source.is_none()
    }

    /// The command has ended: what is there to read now is the last.
    pub(crate) fn finish(&mut self) {
        self.rests_until = None;
        self.drain = if self.is_terminal { Drain::Left(TERMINAL_BYTES) } else { Drain::Begun };
    }

    /// Until when it is not to be read.
    pub(crate) fn rests_until(&self) -> Option<Instant> {
        self.rests_until
    }

    /// Ends the rest that is over by now. Gives whether there was one.
    pub(crate) fn wake(&mut self, now: Instant) -> bool {
        self.rests_until.take_if(|until| *until <= now).is_some()
    }

    /// The host grants room for more. Gives whether a read waited for that.
    pub(crate) fn grant(&mut self, n_bytes: u32) -> bool {
        self.credit = self.credit.saturating_add(n_bytes).min(WINDOW_TO_HOST);
        std::mem::replace(&mut self.starved, false)
    }

    /// Moves one piece to the queue.
    pub(crate) fn pump(&mut self, stream: u32, outgoing: &mut Outgoing) -> Pumped {
        let Some(source) = &self.source else { return Pumped::Wait };
        let mut most = READ_BYTES.min(self.credit as usize);
        if let Drain::Left(left) = self.drain {
            most = most.min(left);
        }
        if most == 0 {
            self.starved = true;
            return Pumped::Starved;
        }
        match outgoing.data(self.channel, stream, most, |place| nix::unistd::read(source, place)) {
            Ok(n_bytes) if n_bytes > 0 => self.took(n_bytes, most),
            Err(Errno::EINTR) => Pumped::More,
            Err(Errno::EAGAIN) if self.drain == Drain::No => Pumped::Wait,
            Err(Errno::EIO) if self.is_terminal && self.drain == Drain::No => self.rest(CLOSED_REST),
            Ok(_) | Err(_) => self.close(),
        }
    }

    fn took(&mut self, n_bytes: usize, most: usize) -> Pumped {
        self.credit -= u32::try_from(n_bytes).unwrap_or(self.credit).min(self.credit);
        let left = match (&self.drain, &self.source) {
            (Drain::Left(left), _) => left.saturating_sub(n_bytes),
            (Drain::Begun, Some(pipe)) => sys::bytes_waiting(pipe).unwrap_or(0),
            (Drain::Begun, None) => 0,
            // A pipe gives what it has. A terminal gives what the kernel has got ready, and has more.
            (Drain::No, _) if n_bytes < most && !self.is_terminal => return Pumped::Wait,
            (Drain::No, _) if n_bytes < SMALL_BYTES => return self.rest(REST),
            (Drain::No, _) => return Pumped::More,
        };
        if left == 0 {
            return self.close();
        }
        self.drain = Drain::Left(left);
        Pumped::More
    }

    fn rest(&mut self, rest: Duration) -> Pumped {
        self.rests_until = Some(Instant::now() + rest);
        Pumped::Rest
    }

    fn close(&mut self) -> Pumped {
        self.source = None;
        Pumped::Wait
    }
}
