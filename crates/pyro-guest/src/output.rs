//! One output channel of a command: bytes from a pipe on their way to the host.
//!
//! A pipe is read only while the channel has credit, so memory is bounded and one stalled reader on the host
//! stalls its own command and no other. The event loop tells changes of a pipe once (edge-triggered); whether
//! there is more to read is remembered here, by the queue of the session.

use crate::outgoing::Outgoing;
use crate::sys;
use nix::errno::Errno;
use pyro_protocol::WINDOW_TO_HOST;
use pyro_protocol::frame::{Channel, HEADER_LEN};
use std::os::fd::OwnedFd;

/// Bytes for one read: with its header a frame is then what the port takes in one write.
const READ_BYTES: usize = 32 * 1024 - HEADER_LEN;

/// One command's standard output or error.
#[derive(Debug)]
pub(crate) struct Output {
    channel: Channel,
    pipe: Option<OwnedFd>,
    credit: u32,
    /// Whether the session has this channel in its queue.
    pub(crate) queued: bool,
    starved: bool,
    drain: Drain,
}

/// Whether the command has ended, and how much of what it left is still to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drain {
    /// It runs.
    No,
    /// It has ended, and nothing was read since.
    Begun,
    /// So many bytes were in the pipe at a time after its end. What background children write later is not its.
    Left(usize),
}

/// What came of one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// There may be more to read now.
    More,
    /// Nothing to do before the pipe or the host says something.
    Wait,
}

impl Output {
    /// The reading end of a command's output, non-blocking.
    pub(crate) fn new(channel: Channel, pipe: OwnedFd) -> Self {
        let drain = Drain::No;
        Self { channel, pipe: Some(pipe), credit: WINDOW_TO_HOST, queued: false, starved: false, drain }
    }

    /// Whether everything that there was has been queued for the host.
    pub(crate) fn is_done(&self) -> bool {
        self.pipe.is_none()
    }

    /// The command has ended: what is in the pipe now is the last.
    pub(crate) fn finish(&mut self) {
        self.drain = Drain::Begun;
    }

    /// The host grants room for more. Gives whether a read waited for that.
    pub(crate) fn grant(&mut self, n_bytes: u32) -> bool {
        self.credit = self.credit.saturating_add(n_bytes).min(WINDOW_TO_HOST);
        std::mem::replace(&mut self.starved, false)
    }

    /// Moves one piece from the pipe to the queue.
    pub(crate) fn pump(&mut self, stream: u32, outgoing: &mut Outgoing) -> Pumped {
        let Some(pipe) = &self.pipe else { return Pumped::Wait };
        let mut most = READ_BYTES.min(self.credit as usize);
        if let Drain::Left(left) = self.drain {
            most = most.min(left);
        }
        if most == 0 {
            self.starved = true;
            return Pumped::Wait;
        }
        match outgoing.data(self.channel, stream, most, |place| nix::unistd::read(pipe, place)) {
            Ok(n_bytes) if n_bytes > 0 => self.took(n_bytes, most),
            Err(Errno::EINTR) => Pumped::More,
            Err(Errno::EAGAIN) if self.drain == Drain::No => Pumped::Wait,
            Ok(_) | Err(_) => self.close(),
        }
    }

    fn took(&mut self, n_bytes: usize, most: usize) -> Pumped {
        self.credit -= u32::try_from(n_bytes).unwrap_or(self.credit).min(self.credit);
        let left = match (&self.drain, &self.pipe) {
            (Drain::Left(left), _) => left.saturating_sub(n_bytes),
            (Drain::Begun, Some(pipe)) => sys::bytes_waiting(pipe).unwrap_or(0),
            (Drain::Begun, None) => 0,
            (Drain::No, _) => return if n_bytes < most { Pumped::Wait } else { Pumped::More },
        };
        if left == 0 {
            return self.close();
        }
        self.drain = Drain::Left(left);
        Pumped::More
    }

    fn close(&mut self) -> Pumped {
        self.pipe = None;
        Pumped::Wait
    }
}
