//! Whether somebody accepts connections.

use super::words;
use pyro_protocol::probe::Address;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// How long one question over the network may take.
const LIMIT: Duration = Duration::from_secs(5);

/// When a question that is asked now has no answer.
pub(super) fn deadline() -> Instant {
    Instant::now() + LIMIT
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
