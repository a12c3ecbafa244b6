//! The handle of a connection to a guest agent.

use super::execution::{ExecEvent, Execution};
use super::link::{self, Link};
use super::session::{End, Session};
use super::stream::Stream;
use super::task::TaskWords;
use crate::error::{Error, ErrorKind, Result};
use pyro_protocol::exec::Exec;
use pyro_protocol::frame::{self, Channel, Kind, MAX_PAYLOAD};
use pyro_protocol::message::{self, Identity, ToGuest};
use pyro_protocol::probe::Probe;
use pyro_protocol::task::Task;
use pyro_protocol::{MAX_STREAMS, PROTOCOL_VERSION};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// Who the guest says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The version of the guest agent.
    pub agent: String,
    /// The release of the guest kernel, as `uname -r` prints it.
    pub kernel: String,
}

/// One session with a guest agent. Cheap to clone; the session ends when the last clone, [`Execution`] and
/// [`super::StdinSender`] of it is dropped.
///
/// Methods send what they have to say at once, in the task that calls them, and do not wait for earlier answers.
/// None of them puts a limit on its waiting: callers do, with `tokio::time::timeout`. Every future may be dropped
/// at any time.
#[derive(Debug, Clone)]
pub struct Connection {
    handle: Arc<Handle>,
}

/// What ends the session when the last one drops it.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) link: Arc<Link>,
    pump: AbortHandle,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.pump.abort();
        self.link.close(End::Dropped); // the aborted task may keep the socket open for a while
    }
}

impl Connection {
    /// Starts a session on a connected socket: sends `hello` at once, without waiting for anything.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its input and output enabled.
    pub fn over(stream: UnixStream) -> Self {
        let session = session_number();
        let link = Arc::new(Link::new(stream, Session::new(session)));
        let pump = tokio::spawn(link::pump(Arc::clone(&link))).abort_handle();
        let connection = Self { handle: Arc::new(Handle { link, pump }) };
        connection.handle.tell(0, &ToGuest::Hello { version: PROTOCOL_VERSION, session });
        connection
    }

    /// Waits for the guest's answer to the `hello`.
    ///
    /// # Errors
    /// `version_mismatch` when the guest speaks another version, `guest_unreachable` when the connection is over.
    pub async fn welcome(&self) -> Result<Welcome> {
        loop {
            let changed = self.link().changed.notified();
            {
                let session = self.link().session();
                if let Some(end) = &session.end {
                    return Err(end.to_error());
                }
                if let Some(welcome) = &session.welcome {
                    return Ok(welcome.clone());
                }
            }
            changed.await;
        }
    }

    /// Tells the machine who it is. The request is sent by the call itself; the future waits for the answer.
    ///
    /// # Errors
    /// `invalid_argument` when the guest refuses the identity, `guest_unreachable` when the connection is over.
    pub fn identify(&self, identity: Identity) -> impl Future<Output = Result<()>> + use<> {
        let (sender, answer) = oneshot::channel();
        {
            let mut session = self.link().session();
            if session.end.is_none() {
                session.identifications.push_back(sender); // otherwise dropped, which tells the future
            }
        }
        self.handle.tell(0, &ToGuest::Identify(identity));
        let handle = Arc::clone(&self.handle);
        async move {
            match answer.await {
                Ok(None) => Ok(()),
                Ok(Some(refusal)) => {
                    Err(Error::invalid(format!("the guest refused its identity: {refusal}")))
                }
                Err(_) => Err(handle.over()),
            }
        }
    }

    /// Measures how long the guest takes to answer.
    ///
    /// # Errors
    /// `guest_unreachable` when the connection is over.
    pub async fn ping(&self) -> Result<Duration> {
        let (sender, answer) = oneshot::channel();
        {
            let mut session = self.link().session();
            if let Some(end) = &session.end {
                return Err(end.to_error());
            }
            session.pings.push_back(sender);
        }
        let start = Instant::now();
        self.handle.tell(0, &ToGuest::Ping);
        answer.await.map_err(|_| self.handle.over())?;
        Ok(start.elapsed())
    }

    /// Runs a command. The request is sent by the call itself.
    ///
    /// # Errors
    /// `invalid_argument` when arguments and environment together are too long for the protocol, `wrong_state`
    /// when too many commands run, `guest_unreachable` when the connection is over. That the guest cannot start
    /// the command is told by [`Execution::next`].
    pub fn exec(&self, exec: Exec) -> Result<Execution> {
        let stdin = exec.stdin || exec.terminal.is_some();
        self.open(&ToGuest::Exec(exec), stdin)
    }

    /// Runs a piece of the agent's own work. The request is sent by the call itself; what follows is as for a command.
    ///
    /// # Errors
    /// As [`Connection::exec`].
    pub fn task(&self, task: Task) -> Result<Execution> {
        self.open(&ToGuest::Task(task), true)
    }

    /// Probes until the answer is that it is ready. The request is sent by the call itself; each line of standard output is
    /// an answer then, and the exit code 0 says that it is ready.
    ///
    /// # Errors
    /// As [`Connection::exec`].
    pub fn probe(&self, probe: Probe) -> Result<Execution> {
        self.open(&ToGuest::Probe(probe), false)
    }

    /// Makes the seeded baseline visible to commands as the workspace.
    ///
    /// # Errors
    /// As [`Connection::exec`], and `guest_unreachable` or `exec_not_started` when it cannot be done.
    pub async fn open_workspace(&self) -> Result<()> {
        let mut execution = self.open(&ToGuest::OpenWorkspace, false)?;
        let mut words = TaskWords::default();
        loop {
            match execution.next().await? {
                ExecEvent::Exited(exited) if exited.code == Some(0) => return Ok(()),
                ExecEvent::Exited(_) => {
                    return Err(words.into_error_of("could not open the workspace".into()));
                }
                ExecEvent::Stderr(bytes) => words.push(&bytes),
                ExecEvent::Started { .. } | ExecEvent::Stdout(_) => {}
            }
        }
    }

    fn open(&self, request: &ToGuest, stdin: bool) -> Result<Execution> {
        let message = message::encode(request).map_err(|error| {
            Error::invalid("the command and its environment are too long").with_source(error).with_hint(
                format!("at most {MAX_PAYLOAD} bytes can be passed on: use a file or standard input"),
            )
        })?;
        let stream = {
            let mut session = self.link().session();
            if let Some(end) = &session.end {
                return Err(end.to_error());
            }
            if session.n_open() >= MAX_STREAMS {
                let message = format!("{MAX_STREAMS} commands run in the guest already");
                return Err(Error::new(ErrorKind::WrongState, message));
            }
            session.open(Stream::new(stdin))
        };
        self.handle.send_message(stream, &message);
        Ok(Execution::new(Arc::clone(&self.handle), stream, stdin))
    }

    /// Turns the machine off and waits until its end of the connection is closed.
    ///
    /// # Errors
    /// `guest_unreachable` when the connection ends in another way.
    pub async fn power_off(&self) -> Result<()> {
        self.handle.tell(0, &ToGuest::PowerOff);
        self.closed().await;
        match &self.link().session().end {
            None | Some(End::HungUp) => Ok(()),
            Some(end) => Err(end.to_error()),
        }
    }

    /// Waits until the connection is over. [`Connection::failure`] says why.
    pub async fn closed(&self) {
        loop {
            let changed = self.link().changed.notified();
            if self.link().session().end.is_some() {
                return;
            }
            changed.await;
        }
    }

    /// Why the connection is over; `None` while it is not.
    pub fn failure(&self) -> Option<Error> {
        self.link().session().end.as_ref().map(End::to_error)
    }

    fn link(&self) -> &Link {
        &self.handle.link
    }
}

impl Handle {
    /// Sends a message that is known to be short.
    pub(super) fn tell(&self, stream: u32, message: &ToGuest) {
        match message::encode(message) {
            Ok(payload) => self.send_message(stream, &payload),
            Err(error) => self.link.close(End::Refused(error.to_string())),
        }
    }

    fn send_message(&self, stream: u32, payload: &[u8]) {
        let mut bytes = Vec::with_capacity(frame::HEADER_LEN + payload.len());
        frame::encode(Kind::Message, Channel::Stdin, stream, payload, &mut bytes);
        self.link.send(&bytes);
    }

    /// The error of whoever waits on a connection that is over.
    pub(super) fn over(&self) -> Error {
        self.link.session().end.as_ref().unwrap_or(&End::HungUp).to_error()
    }
}

/// A number that no earlier session with the same guest had. Not a secret.
fn session_number() -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(_) => u64::from_ne_bytes(bytes),
        Err(_) => u64::from(std::process::id()),
    }
}
