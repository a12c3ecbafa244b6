//! The event loop: the port, the pipes of commands, the deaths of children and the time-outs, in one thread.
//!
//! It never sleeps but in `epoll_wait(2)` and never polls: under emulation every instruction that runs for the
//! first time is dear.

use crate::children::Children;
use crate::outgoing::{LONG_BYTES, Outgoing};
use crate::port::{Port, Received};
use crate::root::Root;
use crate::session::Session;
use crate::token::{CHILDREN, PORT, Token};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::SigSet;
use pyro_protocol::exec::ExecFailure;
use pyro_protocol::frame::{Decoder, Frame, FrameError, Kind};
use pyro_protocol::message::{self, ToGuest, ToHost};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// What one read from a virtio-serial port gives at most: a page.
const PORT_READ: usize = 4096;

/// What is read at once. A socket may give more than a port.
const READ_BYTES: usize = 16 * 1024;

/// How many full reads in a row are taken before others have their turn.
const READS_IN_A_ROW: usize = 16;

/// Why serving has come to an end.
#[derive(Debug)]
pub enum Ending {
    /// The host has gone, and the stream is of a kind that no other host can come to.
    HungUp,
    /// The host wants the machine turned off.
    PowerOff(Root),
}

/// Everything that the loop works on.
struct Agent {
    epoll: Epoll,
    port: Port,
    out: Outgoing,
    decoder: Decoder,
    /// Something came that is no frame: whatever comes is dropped until it begins with a `hello`.
    lost: bool,
    reconnects: bool,
    session: Session,
    buffer: Vec<u8>,
    last_read: usize,
}

/// Serves the hosts that come, one after the other. See the crate's documentation.
pub(crate) fn run(stream: OwnedFd, root: Root) -> io::Result<Ending> {
    // Signals are taken by descriptor, and no handler may run in a child that still shares our memory.
    SigSet::all().thread_set_mask()?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let port = Port::new(stream, &epoll, PORT)?;
    let reconnects = root.is_machine();
    let adopts = root.adopts_orphans();
    let children = if adopts { Children::everyone(&epoll, CHILDREN)? } else { Children::own() };
    let session = Session::new(root, children)?;
    let (out, decoder) = (Outgoing::default(), Decoder::default());
    let (buffer, last_read) = (vec![0; READ_BYTES], 0);
    Agent { epoll, port, out, decoder, lost: false, reconnects, session, buffer, last_read }.run()
}

impl Agent {
    fn run(mut self) -> io::Result<Ending> {
        let mut events = [EpollEvent::empty(); 32];
        let mut more = false;
        loop {
            let timeout = self.timeout(more);
            let n_events = match self.epoll.wait(&mut events, timeout) {
                Ok(n_events) => n_events,
                Err(Errno::EINTR) => 0,
                Err(errno) => return Err(errno.into()),
            };
            for event in &events[..n_events] {
                if self.event(*event)? == Flow::HungUp && !self.reconnects {
                    self.session.reset();
                    return Ok(Ending::HungUp);
                }
            }
            self.session.expire();
            more = self.session.pump(&self.epoll, &mut self.out);
            self.port.send(&mut self.out);
            if self.session.wants_power_off() {
                return Ok(Ending::PowerOff(self.session.into_root()));
            }
            more &= self.out.len() == 0;
            self.port.watch(&self.epoll, &self.out)?;
        }
    }

    /// How long to wait: not at all when there is work left, else until the next command's time is up.
    fn timeout(&self, more: bool) -> EpollTimeout {
        if more {
            return EpollTimeout::ZERO;
        }
        let Some(deadline) = self.session.next_deadline() else { return EpollTimeout::NONE };
        // One more than the whole milliseconds, so as not to wake up just before the time. Far times are cut.
        let wait = deadline.saturating_duration_since(Instant::now()).min(Duration::from_secs(86_400));
        u32::try_from(wait.as_millis() + 1)
            .ok()
            .and_then(|ms| EpollTimeout::try_from(ms).ok())
            .unwrap_or(EpollTimeout::NONE)
    }

    fn event(&mut self, event: EpollEvent) -> io::Result<Flow> {
        match event.data() {
            PORT => {
                self.port.noticed(event.events());
                // Room alone is no news of the host, but its hang-up is always told.
                if event.events() != EpollFlags::EPOLLOUT {
                    return self.receive();
                }
            }
            CHILDREN => self.session.bury(&self.epoll, &mut self.out),
            token => {
                if let Some(token) = Token::from_u64(token) {
                    self.session.changed(token, &self.epoll, &mut self.out);
                }
            }
        }
        Ok(Flow::On)
    }

    /// Takes what the host sent, as long as its answers find room.
    fn receive(&mut self) -> io::Result<Flow> {
        for _ in 0..READS_IN_A_ROW {
            match self.port.receive(&mut self.buffer)? {
                Received::Bytes(n_bytes) => self.take(n_bytes),
                Received::Nothing => break,
                Received::HungUp => {
                    self.forget_host();
                    return Ok(Flow::HungUp);
                }
            }
            if self.last_read < PORT_READ || self.out.len() > LONG_BYTES {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn forget_host(&mut self) {
        self.session.reset();
        self.out.clear();
        self.decoder = Decoder::default();
        self.lost = false;
    }

    /// Cuts the first bytes of the buffer into frames and handles each.
    fn take(&mut self, n_bytes: usize) {
        self.last_read = n_bytes;
        if self.lost {
            self.decoder = Decoder::default();
        }
        self.decoder.push(&self.buffer[..n_bytes]);
        loop {
            match self.decoder.next() {
                Ok(None) => return,
                Ok(Some(frame)) => {
                    if self.lost && !is_hello(&frame) {
                        return;
                    }
                    self.lost = false;
                    self.session.handle(&frame, &self.epoll, &mut self.out);
                }
                Err(error) => return self.lose_host(&error),
            }
        }
    }

    /// What came is no frame, and nobody can say where the next one begins.
    fn lose_host(&mut self, error: &FrameError) {
        self.session.reset();
        self.lost = true;
        let failed = ToHost::Failed { failure: ExecFailure::BadRequest, message: error.to_string() };
        self.out.message(0, &failed);
    }
}

fn is_hello(frame: &Frame<'_>) -> bool {
    frame.kind == Kind::Message && matches!(message::decode(frame.payload), Ok(ToGuest::Hello { .. }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    HungUp,
}
