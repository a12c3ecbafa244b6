//! The caller's end of the control socket: one call for each operation.

use super::detach::watch_descriptor;
use super::operation::Operation;
use super::socket::connect;
use super::wire::{self, FrameReader, FrameWriter, HEADER_LEN, Kind, Reply, Request, STDIN_WINDOW};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::instance::Instance;
use crate::output::OutputChannel;
use rustix::net::Shutdown;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use serde::Serialize;
use serde_json::Value;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// An operation under way. Dropped before its end, it ends what it asked for.
#[derive(Debug)]
pub struct Call {
    from: FrameReader<OwnedReadHalf>,
    to: FrameWriter<OwnedWriteHalf>,
    credit: u32,
}

/// What a supervisor has to say.
#[derive(Debug)]
pub enum CallEvent {
    /// The command was sent to the guest, under this number.
    Started {
        /// Its number in the history.
        sequence: u64,
    },
    /// Output of the command.
    Output(OutputChannel, Vec<u8>),
    /// More input may be sent.
    Credit,
    /// What is followed has changed.
    Changed,
    /// It is done. The last.
    Done(Value),
}

fn lost() -> Error {
    Error::new(ErrorKind::GuestUnreachable, "the supervisor ended before it answered").with_hint(
        "`pyro workspace status ID` tells what became of it, and `pyro workspace start ID` brings it back",
    )
}

impl Call {
    /// Asks for something.
    ///
    /// # Errors
    /// `wrong_state` when nobody listens there.
    pub async fn start(socket: &Path, operation: Operation) -> Result<Self> {
        let doing = || format!("could not reach the supervisor at `{}`", socket.display());
        let stream = connect(socket)?;
        stream.set_nonblocking(true).doing(doing)?;
        let (read, write) = tokio::net::UnixStream::from_std(stream).doing(doing)?.into_split();
        let mut to = FrameWriter::new(write);
        to.message(&Request::new(operation)).await.map_err(|_| lost())?;
        Ok(Self { from: FrameReader::new(read), to, credit: STDIN_WINDOW })
    }

    /// The supervisor's process, to wait for its end. `None` where it has ended already.
    pub fn process(&self) -> Option<AsyncFd<OwnedFd>> {
        let socket = self.to.get_ref().as_ref();
        let peer = rustix::net::sockopt::socket_peercred(socket).ok()?;
        watch_descriptor(pidfd_open(peer.pid, PidfdFlags::empty()).ok()?).ok()
    }

    /// Waits for what the supervisor says next. May be dropped half-way.
    ///
    /// # Errors
    /// What the supervisor failed with, or `guest_unreachable` when it has gone.
    pub async fn next(&mut self) -> Result<CallEvent> {
        let broken = || "could not read the supervisor's answer".to_owned();
        let Some((kind, payload)) = self.from.next().await.doing(broken)? else { return Err(lost()) };
        match kind {
            Kind::Stdout => Ok(CallEvent::Output(OutputChannel::Stdout, payload)),
            Kind::Stderr => Ok(CallEvent::Output(OutputChannel::Stderr, payload)),
            Kind::Credit => {
                let n_bytes = <[u8; 4]>::try_from(&payload[..]).map_or(0, u32::from_le_bytes);
                self.credit = self.credit.saturating_add(n_bytes).min(STDIN_WINDOW);
                Ok(CallEvent::Credit)
            }
            Kind::Message => match wire::message(&payload).failing(ErrorKind::VersionMismatch, broken)? {
                Reply::Started { sequence } => Ok(CallEvent::Started { sequence }),
                Reply::Changed => Ok(CallEvent::Changed),
                Reply::Done(value) => Ok(CallEvent::Done(value)),
                Reply::Failed(failure) => Err(failure.into()),
            },
            Kind::Stdin | Kind::End => {
                Err(Error::new(ErrorKind::Internal, "the supervisor broke the protocol"))
            }
        }
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// As [`Call::next`].
    pub async fn done(mut self) -> Result<Value> {
        loop {
            if let CallEvent::Done(value) = self.next().await? {
                return Ok(value);
            }
        }
    }

    /// How many bytes of standard input may be sent now.
    pub fn credit(&self) -> usize {
        self.credit as usize
    }

    /// Sends standard input, no more than there is credit for.
    pub async fn input(&mut self, bytes: &[u8]) {
        self.credit = self.credit.saturating_sub(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        // A supervisor that has gone is told by the next read.
        let _ = self.to.write(Kind::Stdin, bytes).await;
    }

    /// Sends a message beside standard input.
    pub async fn message(&mut self, message: &impl Serialize) {
        let _ = self.to.message(message).await; // likewise
    }

    /// Ends standard input.
    pub async fn end_input(&mut self) {
        let _ = self.to.write(Kind::End, &[]).await;
    }
}

/// Asks a supervisor of another version, with which nothing else can be said, to stop.
///
/// # Errors
/// `wrong_state` when nobody listens there.
pub fn end_by_signal(socket: &Path) -> Result<()> {
    let stream = connect(socket)?;
    let peer =
        rustix::net::sockopt::socket_peercred(&stream).doing(|| "could not find the supervisor".into())?;
    kill_process(peer.pid, Signal::TERM)
        .doing(|| format!("could not end the supervisor (process {})", peer.pid.as_raw_nonzero()))
}

/// Asks a supervisor that cannot be reached by its socket to stop. `None` where the process that the record names is not
/// the supervisor of this instance: it has the instance's folder open, whose lock it holds.
pub fn end_unheard(instance: &Instance) -> Option<Result<()>> {
    let pid = instance.read_record().ok()?.supervisor?.pid;
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    // First the process, then the look at it: its number cannot become another's in between.
    let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let files = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).ok()?;
    let folder = std::fs::metadata(&instance.folder).ok()?;
    let holds_folder = files.flatten().any(|file| {
        std::fs::metadata(file.path())
            .is_ok_and(|found| (found.dev(), found.ino()) == (folder.dev(), folder.ino()))
    });
    let end = || {
        pidfd_send_signal(&process, Signal::TERM)
            .doing(|| format!("could not end the supervisor (process {pid:?})"))
    };
    holds_folder.then(end)
}

/// The client's end of work on a tree of files, for a thread that may block.
#[derive(Debug)]
pub struct TreeCall {
    stream: UnixStream,
}

impl TreeCall {
    /// Asks for it.
    ///
    /// # Errors
    /// `wrong_state` when nobody listens there.
    pub fn start(socket: &Path, operation: Operation) -> Result<Self> {
        let stream = connect(socket)?;
        let doing = || format!("could not write to the supervisor at `{}`", socket.display());
        let message = serde_json::to_vec(&Request::new(operation)).failing(ErrorKind::Internal, doing)?;
        let mut call = Self { stream };
        call.frame(Kind::Message, &message).map_err(|_| lost())?;
        Ok(call)
    }

    /// What ends the call from another thread.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn canceller(&self) -> Result<Canceller> {
        let stream = self.stream.try_clone().doing(|| "could not copy a descriptor".into())?;
        Ok(Canceller { stream })
    }

    /// Where the tree for the guest is written to.
    pub fn writer(&mut self) -> TreeInput<'_> {
        TreeInput(self)
    }

    /// The tree for the guest is complete.
    pub fn end_input(&mut self) {
        let _ = self.frame(Kind::End, &[]); // a supervisor that has gone is told by the next read
    }

    /// Where the tree of the guest is read from. It ends when the work is done; a failure of the guest is an error of
    /// the read, which [`TreeOutput::failure`] gives.
    pub fn reader(self) -> TreeOutput {
        TreeOutput { from: BufReader::with_capacity(256 * 1024, self.stream), left: 0, end: None }
    }

    /// Waits for the end of work that gives nothing.
    ///
    /// # Errors
    /// What the guest or the supervisor failed with.
    pub fn done(self) -> Result<()> {
        let mut reader = self.reader();
        let read = reader.read(&mut [0]);
        if matches!(read, Ok(1..)) {
            let message = "the guest sent something where nothing was to come";
            return Err(Error::new(ErrorKind::GuestUnreachable, message));
        }
        reader.failure()?;
        read.map(drop).doing(|| "could not read the supervisor's answer".into())
    }

    fn frame(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        self.stream.write_all(&wire::header(kind, payload.len()))?;
        self.stream.write_all(payload)
    }
}

/// Ends a call when dropped, from whatever thread.
#[derive(Debug)]
pub struct Canceller {
    stream: UnixStream,
}

impl Drop for Canceller {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.stream, Shutdown::Both);
    }
}

/// Writes to the guest. Best behind a buffer.
#[derive(Debug)]
pub struct TreeInput<'a>(&'a mut TreeCall);

impl Write for TreeInput<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let now = &bytes[..bytes.len().min(wire::MAX_FRAME)];
        self.0.frame(Kind::Stdin, now)?;
        Ok(now.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads from the guest.
#[derive(Debug)]
pub struct TreeOutput {
    from: BufReader<UnixStream>,
    left: usize,
    end: Option<Result<()>>,
}

impl TreeOutput {
    /// Whether the guest or the supervisor failed, as far as has been read. To be asked when a read failed or is at its
    /// end.
    ///
    /// # Errors
    /// That failure.
    pub fn failure(&mut self) -> Result<()> {
        match self.end.replace(Ok(())) {
            Some(end) => end,
            None => Err(lost()),
        }
    }

    /// Comes to the next piece of the tree, or to the end.
    fn next_frame(&mut self) -> io::Result<()> {
        let mut header = [0; HEADER_LEN];
        self.from.read_exact(&mut header)?;
        let (kind, n_bytes) = wire::parse_header(header)?;
        match kind {
            Kind::Stdout => self.left = n_bytes,
            Kind::Message => {
                let mut payload = vec![0; n_bytes];
                self.from.read_exact(&mut payload)?;
                self.end = match wire::message(&payload)? {
                    Reply::Done(_) => Some(Ok(())),
                    Reply::Failed(failure) => Some(Err(failure.into())),
                    Reply::Started { .. } | Reply::Changed => None,
                };
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
        Ok(())
    }
}

impl Read for TreeOutput {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            match &self.end {
                Some(Ok(())) => return Ok(0),
                Some(Err(_)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                None => self.next_frame()?,
            }
        }
        let most = into.len().min(self.left);
        let n_bytes = self.from.read(&mut into[..most])?;
        self.left -= n_bytes;
        Ok(n_bytes)
    }
}
