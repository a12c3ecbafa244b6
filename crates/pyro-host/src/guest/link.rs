//! The socket of a connection, the queue for what it does not take at once, and the task that serves both.
//!
//! Senders write to the socket themselves, in the task that they are called from; only what does not fit waits for
//! the pump. So a request costs one system call and no switch of tasks.

use super::session::{End, Session};
use pyro_protocol::frame::Decoder;
use rustix::net::{SendFlags, Shutdown};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::Notify;

/// Standard input waits when more than this is queued, so that messages do not wait long behind it.
pub(super) const QUEUE_SHORT: usize = 256 * 1024;

/// More than this in the queue means that the guest does not read.
const QUEUE_MAX: usize = 8 * 1024 * 1024;

const READ_BYTES: usize = 128 * 1024;

/// After a read of more than this, others have their turn.
const YIELD_BYTES: usize = 64 * 1024;

/// What the handles of a connection and its pump share.
#[derive(Debug)]
pub(super) struct Link {
    socket: UnixStream,
    queue: Mutex<VecDeque<u8>>,
    /// There is something in the queue again.
    queued: Notify,
    /// The queue has become short again.
    pub(super) room: Notify,
    session: Mutex<Session>,
    /// The guest has welcomed us, or the connection is over.
    pub(super) changed: Notify,
}

impl Link {
    pub(super) fn new(socket: UnixStream, session: Session) -> Self {
        Self {
            socket,
            queue: Mutex::default(),
            queued: Notify::new(),
            room: Notify::new(),
            session: Mutex::new(session),
            changed: Notify::new(),
        }
    }

    /// The state of the connection. Never held across an await.
    pub(super) fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends whole frames, now or as soon as the socket takes them, in the order of the calls. Must not be called
    /// with the session locked.
    pub(super) fn send(&self, frames: &[u8]) {
        let mut queue = self.queue();
        let rest = if queue.is_empty() { self.send_now(frames) } else { frames };
        if rest.is_empty() {
            return;
        }
        let is_stuffed = queue.len() + rest.len() > QUEUE_MAX;
        if !is_stuffed {
            queue.extend(rest);
        }
        drop(queue);
        if is_stuffed {
            self.close(End::Stuffed);
        }
        self.queued.notify_one();
    }

    /// Bytes that wait for the socket.
    pub(super) fn n_queued(&self) -> usize {
        self.queue().len()
    }

    /// The connection is over. The other end is told at once.
    pub(super) fn close(&self, end: End) {
        self.session().close(end);
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
        self.changed.notify_waiters();
        self.room.notify_waiters();
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<u8>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives what the socket did not take. Not by way of tokio, which does not know whether a new socket is
    /// writable before it has looked for the first time. What fails here fails in the pump too, which tells why.
    fn send_now<'a>(&self, frames: &'a [u8]) -> &'a [u8] {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let n_bytes = rustix::net::send(&self.socket, frames, flags).unwrap_or(0);
        frames.get(n_bytes..).unwrap_or_default()
    }

    /// Writes what waits, as far as the socket takes it.
    fn flush(&self) -> io::Result<()> {
        let mut queue = self.queue();
        while !queue.is_empty() {
            match self.socket.try_write(queue.as_slices().0) {
                Ok(n_bytes) => drop(queue.drain(..n_bytes)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if queue.len() <= QUEUE_SHORT {
            self.room.notify_waiters();
        }
        Ok(())
    }

    /// Takes what came, and gives how many bytes that were.
    fn receive(&self, buffer: &mut [u8], decoder: &mut Decoder) -> Result<usize, End> {
        match self.socket.try_read(buffer) {
            Ok(0) => Err(End::HungUp),
            Ok(n_bytes) => {
                decoder.push(&buffer[..n_bytes]);
                self.take_frames(decoder)?;
                Ok(n_bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(of_socket(&error)),
        }
    }

    fn take_frames(&self, decoder: &mut Decoder) -> Result<(), End> {
        let mut replies = Vec::new();
        let mut session = self.session();
        let was_welcome = session.welcome.is_some();
        while let Some(frame) = decoder.next().map_err(|error| End::Violation(error.into()))? {
            session.frame(&frame, &mut replies)?;
        }
        let is_welcome = session.welcome.is_some();
        drop(session);
        if is_welcome != was_welcome {
            self.changed.notify_waiters();
        }
        if !replies.is_empty() {
            self.send(&replies);
        }
        Ok(())
    }
}

/// Serves a connection until it is over.
pub(super) async fn pump(link: Arc<Link>) {
    let Err(end) = serve(&link).await;
    link.close(end);
}

async fn serve(link: &Link) -> Result<std::convert::Infallible, End> {
    let mut buffer = vec![0; READ_BYTES];
    let mut decoder = Decoder::default();
    loop {
        let waits = link.n_queued() > 0;
        let interest = if waits { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        let ready = tokio::select! {
            biased;
            ready = link.socket.ready(interest) => ready.map_err(|error| of_socket(&error))?,
            () = link.queued.notified(), if !waits => continue,
        };
        if waits && ready.is_writable() {
            link.flush().map_err(|error| of_socket(&error))?;
        }
        if ready.is_readable() && link.receive(&mut buffer, &mut decoder)? > YIELD_BYTES {
            // A guest that never stops talking must not keep timers and other tasks from their turn.
            tokio::task::yield_now().await;
        }
    }
}

fn of_socket(error: &io::Error) -> End {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => End::HungUp,
        _ => End::Socket(error.to_string()),
    }
}
