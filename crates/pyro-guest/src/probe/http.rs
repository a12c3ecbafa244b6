//! Whether a GET is answered, and well.

use super::tcp::{self, Address};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::ops::RangeInclusive;
use std::time::Instant;

/// The statuses of a service that is ready.
const READY: RangeInclusive<u16> = 200..=399;

/// A head whose first line has not come within so many bytes is no answer.
const MAX_HEAD: usize = 8192;

/// An `http` URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    address: Address,
    /// Host and port as they were given.
    authority: String,
    /// Path and query.
    target: String,
}

impl Url {
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("the URL `{text}` {what}");
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("contains something that has to be percent-encoded"));
        }
        let rest = text.strip_prefix("http://").ok_or_else(|| wrong("does not begin with `http://`"))?;
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(wrong("contains a user name"));
        }
        let address = Address::parse_or(authority, Some(80)).map_err(|_| wrong("names no host"))?;
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { address, authority: authority.into(), target: format!("{slash}{target}") })
    }
}

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
    let (mut head, mut piece) = (Vec::new(), [0; 1024]);
    while head.len() < MAX_HEAD {
        stream.set_read_timeout(Some(left(deadline)?))?;
        let n_bytes = match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(n_bytes) => n_bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        head.extend_from_slice(&piece[..n_bytes]);
        match parsed(&head) {
            Ok(None) => {}
            Ok(status) => return Ok(status),
            Err(_) => break,
        }
    }
    Ok(None)
}

fn left(deadline: Instant) -> io::Result<std::time::Duration> {
    tcp::remaining(deadline).ok_or_else(|| ErrorKind::TimedOut.into())
}

/// The status, once it is there. The rest of the head does not matter.
fn parsed(head: &[u8]) -> Result<Option<Status>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let outcome = response.parse(head);
    match (response.code, response.reason) {
        (Some(code), Some(reason)) => Ok(Some(Status { code, reason: reason.into() })),
        _ => outcome.map(|_| None),
    }
}
