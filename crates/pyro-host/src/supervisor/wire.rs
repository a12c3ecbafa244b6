//! What clients and a supervisor say to each other: one connection for each operation, frames both ways.
//!
//! ```text
//! byte 0       kind     message 0, stdin 1, stdout 2, stderr 3, end of stdin 4, credit 5
//! byte 1 - 4   length   little endian, at most MAX_FRAME
//! byte 5 -     payload  JSON; raw bytes; nothing; a little-endian u32 of stdin that may follow
//!
//! client                                supervisor
//!   message {version, operation}   ->
//!                                  <-   message started            (exec)
//!   stdin, end of stdin            ->
//!                                  <-   credit                     (exec, attach: as much more as was taken)
//!                                  <-   stdout, stderr
//!                                  <-   message done | failed      the last frame
//! ```
//!
//! A client that closes its end before the last frame has lost interest: what it asked for is ended. The version comes
//! first and its frame never changes, so that an older and a newer pyro can at least tell each other so.

use super::operation::Operation;
use crate::command::ExecFailure;
use crate::error::{Error, ErrorKind, ErrorReport, Result};
use crate::guest::ExecNotStarted;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The version that this build speaks.
pub const VERSION: u32 = 3;

/// The longest payload.
pub const MAX_FRAME: usize = 1024 * 1024;

/// Bytes of standard input that a client may send of a command before it gets credit.
pub const STDIN_WINDOW: u32 = 256 * 1024;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A JSON message.
    Message,
    /// Bytes to a command or task.
    Stdin,
    /// Bytes from it.
    Stdout,
    /// Bytes from it.
    Stderr,
    /// No more bytes to it.
    End,
    /// Room for more bytes to it.
    Credit,
}

/// Bytes before a payload.
pub const HEADER_LEN: usize = 5;

/// What a client wants.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// The version that the client speaks.
    pub version: u32,
    /// The version of pyro that it is.
    pub pyro: String,
    /// What it wants.
    pub operation: Operation,
}

/// The part of a request that every version understands.
#[derive(Debug, Deserialize)]
pub struct RequestVersion {
    /// The version that the client speaks.
    pub version: u32,
    /// The version of pyro that it is.
    #[serde(default)]
    pub pyro: String,
}

/// What a supervisor answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The command was sent to the guest, under this number.
    Started {
        /// Its number in the history.
        sequence: u64,
    },
    /// What is followed has changed.
    Changed,
    /// It is done.
    Done(Value),
    /// It failed.
    Failed(Failure),
}

/// Why something failed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Failure {
    report: ErrorReport,
    /// Where it is a command that could not be started.
    not_started: Option<NotStarted>,
}

#[derive(Debug, Serialize, Deserialize)]
struct NotStarted {
    failure: ExecFailure,
    message: String,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let source =
            std::error::Error::source(error).and_then(|source| source.downcast_ref::<ExecNotStarted>());
        let not_started = source.map(|ExecNotStarted { failure, message }| NotStarted {
            failure: *failure,
            message: message.clone(),
        });
        Self { report: error.into(), not_started }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let error = Self::from(failure.report);
        match failure.not_started {
            Some(NotStarted { failure, message }) => error.with_source(ExecNotStarted { failure, message }),
            None => error,
        }
    }
}

impl Request {
    /// A request of this build.
    pub fn new(operation: Operation) -> Self {
        Self { version: VERSION, pyro: env!("CARGO_PKG_VERSION").into(), operation }
    }
}

impl Kind {
    fn from_byte(byte: u8) -> io::Result<Self> {
        Ok(match byte {
            0 => Self::Message,
            1 => Self::Stdin,
            2 => Self::Stdout,
            3 => Self::Stderr,
            4 => Self::End,
            5 => Self::Credit,
            _ => return Err(invalid("a frame of an unknown kind")),
        })
    }

    fn byte(self) -> u8 {
        match self {
            Self::Message => 0,
            Self::Stdin => 1,
            Self::Stdout => 2,
            Self::Stderr => 3,
            Self::End => 4,
            Self::Credit => 5,
        }
    }
}

/// The bytes before a payload.
pub fn header(kind: Kind, n_bytes: usize) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = u32::try_from(n_bytes).unwrap_or(u32::MAX).to_le_bytes();
    [kind.byte(), a, b, c, d]
}

/// What the bytes before a payload say.
pub fn parse_header(header: [u8; HEADER_LEN]) -> io::Result<(Kind, usize)> {
    let [kind, a, b, c, d] = header;
    let n_bytes = u32::from_le_bytes([a, b, c, d]) as usize;
    if n_bytes > MAX_FRAME {
        return Err(invalid("a frame that is too long"));
    }
    Ok((Kind::from_byte(kind)?, n_bytes))
}

/// Reads frames.
#[derive(Debug)]
pub struct FrameReader<R> {
    from: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads from this.
    pub fn new(from: R) -> Self {
        Self { from, buffer: Vec::new() }
    }

    /// Reads the next frame; `None` at the end of the stream. May be dropped half-way.
    pub async fn next(&mut self) -> io::Result<Option<(Kind, Vec<u8>)>> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
            match self.from.read_buf(&mut self.buffer).await {
                Ok(0) if self.buffer.is_empty() => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if is_end(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&mut self) -> io::Result<Option<(Kind, Vec<u8>)>> {
        let Some(header) = self.buffer.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let (kind, n_bytes) = parse_header(*header)?;
        if self.buffer.len() < HEADER_LEN + n_bytes {
            self.buffer.reserve(HEADER_LEN + n_bytes - self.buffer.len());
            return Ok(None);
        }
        let rest = self.buffer.split_off(HEADER_LEN + n_bytes);
        let frame = std::mem::replace(&mut self.buffer, rest);
        Ok(Some((kind, frame[HEADER_LEN..].to_vec())))
    }
}

/// Writes frames.
#[derive(Debug)]
pub struct FrameWriter<W> {
    to: W,
    waiting: Vec<u8>,
    n_written: usize,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes to this.
    pub fn new(to: W) -> Self {
        Self { to, waiting: Vec::new(), n_written: 0 }
    }

    /// Writes a frame. May be dropped half-way: the next write goes on with what is left of it.
    pub async fn write(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        self.flush().await?;
        self.waiting.extend(header(kind, payload.len()));
        self.waiting.extend(payload);
        self.flush().await
    }

    /// Writes a message. May be dropped half-way, likewise.
    pub async fn message(&mut self, message: &impl Serialize) -> io::Result<()> {
        self.write(Kind::Message, &serde_json::to_vec(message)?).await
    }

    /// What it writes to.
    pub fn get_ref(&self) -> &W {
        &self.to
    }

    async fn flush(&mut self) -> io::Result<()> {
        while self.n_written < self.waiting.len() {
            match self.to.write(&self.waiting[self.n_written..]).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n_bytes => self.n_written += n_bytes,
            }
        }
        (self.waiting, self.n_written) = (Vec::new(), 0);
        Ok(())
    }
}

/// What an operation came to, as it is answered.
pub fn outcome(outcome: &impl Serialize) -> Result<Value> {
    serde_json::to_value(outcome).map_err(|error| {
        Error::new(ErrorKind::Internal, "could not tell what was asked for").with_source(error)
    })
}

/// Reads a message from the payload of its frame.
pub fn message<T: DeserializeOwned>(payload: &[u8]) -> io::Result<T> {
    Ok(serde_json::from_slice(payload)?)
}

/// Whether a connection was closed, and not broken.
pub fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

/// The error of a peer of another version.
pub fn version_mismatch(id: &str, theirs: &str, ours: &str) -> Error {
    let message =
        format!("`{id}` is run by pyro {theirs}, and this is pyro {ours}: they do not understand each other");
    Error::new(ErrorKind::VersionMismatch, message).with_hint(format!(
        "use pyro {theirs} for it, or end it with this one: `pyro workspace stop {id}` keeps its files, and \
         `pyro workspace start {id}` brings it back under this version"
    ))
}

/// Refuses a request of another version.
pub fn check_version(payload: &[u8], id: &str) -> Result<()> {
    let request: RequestVersion = message(payload).map_err(|error| {
        Error::new(ErrorKind::Internal, "the request of a client is not understood").with_source(error)
    })?;
    if request.version == VERSION {
        return Ok(());
    }
    Err(version_mismatch(id, env!("CARGO_PKG_VERSION"), &request.pyro))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_whose_write_was_dropped_is_completed_by_the_next() {
        let (ours, theirs) = tokio::io::duplex(16);
        let (mut writer, mut reader) = (FrameWriter::new(ours), FrameReader::new(theirs));
        let long = [7; 100];
        let dropped =
            tokio::time::timeout(std::time::Duration::ZERO, writer.write(Kind::Stdout, &long)).await;
        assert!(dropped.is_err());
        let writing = tokio::spawn(async move { writer.write(Kind::Stderr, b"next").await });
        assert_eq!(reader.next().await.unwrap(), Some((Kind::Stdout, long.to_vec())));
        assert_eq!(reader.next().await.unwrap(), Some((Kind::Stderr, b"next".to_vec())));
        writing.await.unwrap().unwrap();
        assert_eq!(reader.next().await.unwrap(), None);
    }

    #[test]
    fn frames_of_endless_length_or_unknown_kind_are_refused() {
        assert!(parse_header(header(Kind::Stdin, MAX_FRAME)).is_ok());
        assert!(parse_header(header(Kind::Stdin, MAX_FRAME + 1)).is_err());
        assert!(parse_header([6, 0, 0, 0, 0]).is_err());
        for kind in [Kind::Message, Kind::Stdin, Kind::Stdout, Kind::Stderr, Kind::End, Kind::Credit] {
            assert_eq!(parse_header(header(kind, 7)).unwrap(), (kind, 7));
        }
    }

    #[test]
    fn another_version_is_told_so_whatever_else_it_says() {
        let strange = br#"{"version": 99, "pyro": "9.9.9", "operation": {"dance": true}}"#;
        let error = check_version(strange, "ws-0").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::VersionMismatch);
        assert!(error.message().contains("9.9.9"), "{error}");
        let ours = serde_json::to_vec(&Request::new(Operation::Stop)).unwrap();
        check_version(&ours, "ws-0").unwrap();
    }
}
