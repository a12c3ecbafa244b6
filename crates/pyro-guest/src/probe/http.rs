//! Whether a GET is answered, and well.

use super::tcp;
use pyro_protocol::probe::Url;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::ops::RangeInclusive;
use std::time::Instant;

/// The statuses of a service that is ready.
const READY: RangeInclusive<u16> = 200..=399;

/// A head whose first line has not come within so many bytes is no answer. One that is skipped has to end within them.
const MAX_HEAD: usize = 8192;

/// As many answers are skipped until the one that counts has to come.
const MAX_SKIPPED: usize = 16;

/// What an upgrade is answered with, which nobody asked for: no HTTP follows it, so that it cannot be skipped.
const SWITCHING_PROTOCOLS: u16 = 101;

/// Asks for it. An error is the answer of a service that is not ready.
pub(super) fn get(url: &Url, deadline: Instant) -> Result<(), String> {
    let mut stream = tcp::connect(&url.address, deadline)?;
    let peer = stream.peer_addr().map_err(|error| super::words(&error))?;
    match status(&mut stream, url, deadline) {
        Ok(Some(status)) => status.judge(),
        Ok(None) => Err(format!("the answer is no HTTP ({peer})")),
        Err(error) => Err(tcp::refusal(&error, &peer)),
    }
}

/// The first line of an answer.
#[derive(Debug)]
struct Status {
    code: u16,
    reason: String,
}

impl Status {
    /// Whether another answer follows, which is the one to the request: `100 Continue`, `103 Early Hints`.
    fn is_interim(&self) -> bool {
        (100..=199).contains(&self.code) && self.code != SWITCHING_PROTOCOLS
    }

    fn judge(self) -> Result<(), String> {
        if READY.contains(&self.code) {
            return Ok(());
        }
        Err(format!("HTTP {} {}", self.code, self.reason).trim_end().to_owned())
    }
}

/// Sends the request and reads as much of the answer as it takes. `None` for something else than HTTP.
fn status(stream: &mut TcpStream, url: &Url, deadline: Instant) -> io::Result<Option<Status>> {
    let Url { authority, target, .. } = url;
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: pyro/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(request.as_bytes())?;
    let (mut bytes, mut skipped) = (Vec::new(), None);
    for _ in 0..=MAX_SKIPPED {
        match head(stream, &mut bytes, deadline)? {
            Some(Head { status, length: Some(length) }) => {
                bytes.drain(..length);
                skipped = Some(status);
            }
            Some(Head { status, length: None }) => return Ok(Some(status)),
            None => break,
        }
    }
    Ok(skipped) // what came last says more than that nothing followed
}

/// Reads until there is a head, after what was read before. `None` where none comes.
fn head(stream: &mut TcpStream, bytes: &mut Vec<u8>, deadline: Instant) -> io::Result<Option<Head>> {
    loop {
        match parsed(bytes) {
            Ok(None) if bytes.len() < MAX_HEAD => {}
            Ok(head) => return Ok(head),
            Err(_) => return Ok(None),
        }
        if !read(stream, bytes, deadline)? {
            return Ok(None);
        }
    }
}

/// Waits for more of the answer. Gives whether there was any.
fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>, deadline: Instant) -> io::Result<bool> {
    let mut piece = [0; 1024];
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut piece) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            n_bytes => {
                let n_bytes = n_bytes?;
                bytes.extend_from_slice(&piece[..n_bytes]);
                return Ok(n_bytes > 0);
            }
        }
    }
}

fn left(deadline: Instant) -> io::Result<std::time::Duration> {
    tcp::remaining(deadline).ok_or_else(|| ErrorKind::TimedOut.into())
}

/// What begins an answer.
struct Head {
    status: Status,
    /// How long it is, where another one follows.
    length: Option<usize>,
}

/// The head, once enough of it is there: of one that counts, the status, as the rest does not matter.
fn parsed(bytes: &[u8]) -> Result<Option<Head>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let outcome = response.parse(bytes);
    let (Some(code), Some(reason)) = (response.code, response.reason) else {
        return outcome.map(|_| None);
    };
    let status = Status { code, reason: reason.into() };
    if !status.is_interim() {
        return Ok(Some(Head { status, length: None }));
    }
    match outcome? {
        httparse::Status::Complete(length) => Ok(Some(Head { status, length: Some(length) })),
        httparse::Status::Partial => Ok(None),
    }
}
