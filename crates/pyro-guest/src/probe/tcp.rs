//! Whether somebody accepts connections.

use super::words;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// How long one question over the network may take.
const LIMIT: Duration = Duration::from_secs(5);

/// When a question that is asked now has no answer.
pub(super) fn deadline() -> Instant {
    Instant::now() + LIMIT
}

/// `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// A name or an address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Self::parse_or(text, None)
    }

    /// An address whose port may be missing.
    pub(super) fn parse_or(text: &str, default_port: Option<u16>) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no HOST:PORT");
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
                (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or_else(wrong)?) })
            }
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"[]/?#@\\".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_plain) {
            return Err(wrong());
        }
        let port = match port {
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok(),
            Some(_) => None,
            None => default_port,
        };
        let port = port.filter(|port| *port > 0).ok_or_else(wrong)?;
        Ok(Self { host: host.into(), port })
    }
}

/// Connects to the first of its addresses that takes a connection.
pub(super) fn connect(address: &Address, deadline: Instant) -> Result<TcpStream, String> {
    let Address { host, port } = address;
    let unknown = |why: &str| format!("could not resolve {host}: {why}");
    let resolved =
        (host.as_str(), *port).to_socket_addrs().map_err(|error| unknown(&resolver_words(&error)))?;
    let mut failures: Vec<String> = Vec::new();
    for address in resolved {
        let failure = match remaining(deadline) {
            Some(left) => match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => return Ok(stream),
                Err(error) => refusal(&error, &address),
            },
            None => no_answer(&address),
        };
        if !failures.contains(&failure) {
            failures.push(failure);
        }
    }
    if failures.is_empty() { Err(unknown("it has no address")) } else { Err(failures.join("; ")) }
}

/// The time that is left, if there is any.
pub(super) fn remaining(deadline: Instant) -> Option<Duration> {
    Some(deadline.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
}

/// What an address has answered.
pub(super) fn refusal(error: &io::Error, address: &SocketAddr) -> String {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => no_answer(address),
        _ => format!("{} ({address})", words(error)),
    }
}

pub(super) fn no_answer(address: &SocketAddr) -> String {
    format!("no answer within {} s ({address})", LIMIT.as_secs())
}

/// The resolver's own words, which the standard library puts its own before.
fn resolver_words(error: &io::Error) -> String {
    let words = error.to_string();
    words.rsplit_once(": ").map_or(words.as_str(), |(_, why)| why).to_owned()
}
