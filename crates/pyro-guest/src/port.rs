//! The agent's end of the channel: one byte stream to the host.
//!
//! A virtio-serial port tells a hang-up of the host by reading as empty, and says so again and again while it
//! lasts. Then the port is watched for changes only, so that waiting for the next host costs nothing. The kernel
//! may show the first bytes of the next host before it knows that this host is there: the port still reads as empty
//! after them, and takes no answer, until it no longer reports a hang-up. A socket (in tests) hangs up once and for
//! all.

use crate::outgoing::{LONG_BYTES, Outgoing};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use std::os::fd::OwnedFd;

/// The channel to the host, and what the event loop watches it for.
#[derive(Debug)]
pub(crate) struct Port {
    fd: OwnedFd,
    token: u64,
    watched_for: EpollFlags,
    /// The host has hung up, and the kernel does not know of another one.
    away: bool,
}

/// What a look at the port gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The host has gone.
    HungUp,
}

impl Port {
    /// Makes the stream non-blocking and begins to watch it. Events carry `token`.
    pub(crate) fn new(fd: OwnedFd, epoll: &Epoll, token: u64) -> nix::Result<Self> {
        let flags = OFlag::from_bits_truncate(fcntl(&fd, FcntlArg::F_GETFL)?);
        fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        let watched_for = EpollFlags::EPOLLIN;
        epoll.add(&fd, EpollEvent::new(watched_for, token))?;
        Ok(Self { fd, token, watched_for, away: false })
    }

    /// An event of the port has come.
    pub(crate) fn noticed(&mut self, events: EpollFlags) {
        self.away &= events.contains(EpollFlags::EPOLLHUP);
    }

    /// Takes bytes from the host.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> nix::Result<Received> {
        match nix::unistd::read(&self.fd, buffer) {
            Ok(0) | Err(Errno::ENODEV | Errno::ECONNRESET | Errno::EPIPE) => {
                let was_away = std::mem::replace(&mut self.away, true);
                Ok(if was_away { Received::Nothing } else { Received::HungUp })
            }
            Ok(n_bytes) => Ok(Received::Bytes(n_bytes)),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Received::Nothing),
            Err(errno) => Err(errno),
        }
    }

    /// Sends as much as the host takes now. What a host that has gone does not take is told by the next read.
    pub(crate) fn send(&mut self, outgoing: &mut Outgoing) {
        while outgoing.len() > 0 {
            match nix::unistd::write(&self.fd, outgoing.waiting()) {
                Ok(n_bytes) => outgoing.sent(n_bytes),
                Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    /// Watches for what is of use now: room when something waits, bytes unless too much waits.
    pub(crate) fn watch(&mut self, epoll: &Epoll, outgoing: &Outgoing) -> nix::Result<()> {
        let wanted = if self.away {
            EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET
        } else if outgoing.len() > LONG_BYTES {
            EpollFlags::EPOLLOUT
        } else if outgoing.len() > 0 {
            EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT
        } else {
            EpollFlags::EPOLLIN
        };
        if wanted != self.watched_for {
            epoll.modify(&self.fd, &mut EpollEvent::new(wanted, self.token))?;
            self.watched_for = wanted;
        }
        Ok(())
    }
}
