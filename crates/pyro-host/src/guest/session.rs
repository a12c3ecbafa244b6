//! What the guest may say when. Pure: frames go in, wakers are woken, and what is to be answered comes out.

use super::connection::Welcome;
use super::stream::Stream;
use crate::error::{Error, ErrorKind};
use pyro_protocol::PROTOCOL_VERSION;
use pyro_protocol::frame::{self, Frame, FrameError, Kind};
use pyro_protocol::message::{self, ToHost};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use tokio::sync::oneshot;

/// A rule that the guest broke. The connection is over then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation(String);

impl Violation {
    pub(super) fn new(what: &str) -> Self {
        Self(what.into())
    }
}

impl From<FrameError> for Violation {
    fn from(error: FrameError) -> Self {
        Self(error.to_string())
    }
}

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The guest's end was closed: the machine has gone.
    HungUp,
    /// The socket failed.
    Socket(String),
    /// The guest broke a rule.
    Violation(Violation),
    /// The guest speaks another version.
    Version(u32),
    /// The guest could not make out what it was sent.
    Refused(String),
    /// The guest does not take what it is sent.
    Stuffed,
    /// Nobody holds the connection any more.
    Dropped,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HungUp => f.write_str("the guest has closed the connection"),
            Self::Socket(error) => write!(f, "the connection to the guest failed: {error}"),
            Self::Violation(Violation(what)) => write!(f, "the guest does not keep to the protocol: {what}"),
            Self::Version(version) => {
                write!(f, "the guest agent speaks protocol version {version}, and pyro {PROTOCOL_VERSION}")
            }
            Self::Refused(message) => write!(f, "the guest agent refused what it was sent: {message}"),
            Self::Dropped => f.write_str("the connection to the guest has been given up"),
            Self::Stuffed => f.write_str("the guest does not take what it is sent"),
        }
    }
}

impl End {
    /// As an error for a caller.
    pub(super) fn to_error(&self) -> Error {
        let kind = match self {
            Self::Version(_) => ErrorKind::VersionMismatch,
            _ => ErrorKind::GuestUnreachable,
        };
        Error::new(kind, self.to_string())
    }
}

/// The state of a connection.
#[derive(Debug)]
pub(super) struct Session {
    number: u64,
    pub(super) welcome: Option<Welcome>,
    pub(super) pings: VecDeque<oneshot::Sender<()>>,
    /// Who waits for an answer to `identify`: `None` in the answer says that all is well.
    pub(super) identifications: VecDeque<oneshot::Sender<Option<String>>>,
    pub(super) streams: HashMap<u32, Stream>,
    next_stream: u32,
    pub(super) end: Option<End>,
}

impl Session {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            welcome: None,
            pings: VecDeque::new(),
            identifications: VecDeque::new(),
            streams: HashMap::new(),
            next_stream: 1,
            end: None,
        }
    }

    /// Opens a stream under a number that was not used before.
    pub(super) fn open(&mut self, stream: Stream) -> u32 {
        loop {
            let number = self.next_stream;
            self.next_stream = number.checked_add(1).unwrap_or(1);
            if let Entry::Vacant(place) = self.streams.entry(number) {
                place.insert(stream);
                return number;
            }
        }
    }

    /// How many streams the guest has not closed.
    pub(super) fn n_open(&self) -> usize {
        self.streams.values().filter(|stream| !stream.is_closed()).count()
    }

    /// One frame of the guest. What is to be answered at once is appended to `replies`.
    pub(super) fn frame(&mut self, frame: &Frame<'_>, replies: &mut Vec<u8>) -> Result<(), End> {
        if self.welcome.is_none() {
            return self.first(frame);
        }
        if frame.kind == Kind::Message {
            return self.message(frame);
        }
        let unknown = End::Violation(Violation::new("something came on a stream that is not open"));
        let stream = self.streams.get_mut(&frame.stream).ok_or(unknown)?;
        let done = match frame.kind {
            Kind::Data => stream.data(frame.channel, frame.payload).map(|credit| {
                if let Some(n_bytes) = credit {
                    frame::encode_credit(frame.channel, frame.stream, n_bytes, replies);
                }
            }),
            Kind::Credit => stream.credit(frame.channel, frame.credit()),
            Kind::End => stream.end(frame.channel),
            Kind::Message => Ok(()),
        };
        done.map_err(End::Violation)
    }

    /// Until the guest has welcomed this session, whatever it says belongs to an earlier one.
    fn first(&mut self, frame: &Frame<'_>) -> Result<(), End> {
        if frame.kind != Kind::Message || frame.stream != 0 {
            return Ok(());
        }
        match message::decode(frame.payload) {
            Ok(ToHost::Welcome { version, session, agent, kernel }) if session == self.number => {
                if version != PROTOCOL_VERSION {
                    return Err(End::Version(version));
                }
                self.welcome = Some(Welcome { agent: printable(&agent), kernel: printable(&kernel) });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn message(&mut self, frame: &Frame<'_>) -> Result<(), End> {
        let message: ToHost = message::decode(frame.payload)
            .map_err(|error| End::Violation(Violation(format!("a message is not understood: {error}"))))?;
        if frame.stream == 0 {
            return self.control(message);
        }
        let unknown = End::Violation(Violation::new("a message came on a stream that is not open"));
        let stream = self.streams.get_mut(&frame.stream).ok_or(unknown)?;
        stream.message(message).map_err(End::Violation)?;
        if stream.abandoned && stream.is_closed() {
            self.streams.remove(&frame.stream);
        }
        Ok(())
    }

    /// A message on stream 0. A waiter that has gone still counts: its answer is not the next one's.
    fn control(&mut self, message: ToHost) -> Result<(), End> {
        let unasked = |what| End::Violation(Violation::new(what));
        match message {
            ToHost::Pong => {
                let waiter = self.pings.pop_front().ok_or_else(|| unasked("a pong came without a ping"))?;
                let _ = waiter.send(());
            }
            ToHost::Identified => {
                let waiter = self.identifications.pop_front();
                let waiter = waiter.ok_or_else(|| unasked("it was identified without being asked"))?;
                let _ = waiter.send(None);
            }
            ToHost::Failed { message, .. } => match self.identifications.pop_front() {
                Some(waiter) => drop(waiter.send(Some(printable(&message)))),
                None => return Err(End::Refused(printable(&message))),
            },
            _ => return Err(unasked("a message came on stream 0 that does not belong there")),
        }
        Ok(())
    }

    /// The connection is over: everybody who waits is told. The first reason stays.
    pub(super) fn close(&mut self, end: End) {
        self.end.get_or_insert(end);
        self.pings.clear();
        self.identifications.clear();
        self.streams.values_mut().for_each(Stream::wake);
    }
}

/// Text from a guest that is shown to people: bounded, and without characters that a terminal obeys.
pub(super) fn printable(text: &str) -> String {
    text.chars().take(1000).map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}
