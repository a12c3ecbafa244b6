//! The head of one HTTP/1 request: for which host it is, and where it ends.

use super::body::{Body, MAX_DIGITS};
use crate::host_name::HostName;
use httparse::{EMPTY_HEADER, Header, Status};

/// Most fields of a head.
const MAX_FIELDS: usize = 128;

/// What is said of HTTP/2 that is not negotiated by TLS: it is not read here.
pub(super) const HTTP_2: &str = "HTTP/2 without TLS";

/// What has to be known of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) host: HostName,
    pub(super) framing: Framing,
}

/// What follows the head.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// The next request.
    None,
    Body(Body),
    /// Another protocol, if the server agrees (RFC 6455).
    WebSocket,
}

impl Request {
    /// Reads a whole head. The error says what is wrong with it.
    pub(super) fn read(head: &[u8]) -> Result<Self, &'static str> {
        if head.starts_with(b"PRI * HTTP/2") {
            return Err(HTTP_2);
        }
        let mut fields = [EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        if request.parse(head) != Ok(Status::Complete(head.len())) {
            return Err("an HTTP request that is not well-formed");
        }
        let method = request.method.unwrap_or_default();
        let host = host(request.headers)?;
        check_target(method, request.path.unwrap_or_default(), &host)?;
        let framing = framing(request.version == Some(1), request.headers)?;
        let framing = match framing {
            Framing::None if method == "GET" && wants_web_socket(request.headers) => Framing::WebSocket,
            other => other,
        };
        Ok(Self { host, framing })
    }
}

fn values<'a>(fields: &'a [Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name))
        .map(|field| field.value.trim_ascii())
}

/// The one value of a field that may be there once. Err: it is there more than once.
fn single<'a>(fields: &'a [Header<'a>], name: &'a str) -> Result<Option<&'a [u8]>, ()> {
    let mut values = values(fields, name);
    let first = values.next();
    if values.next().is_some() { Err(()) } else { Ok(first) }
}

fn host(fields: &[Header<'_>]) -> Result<HostName, &'static str> {
    let value = single(fields, "Host").map_err(|()| "an HTTP request with several hosts")?;
    let value = value.ok_or("an HTTP request without a host")?;
    authority(value).ok_or("an HTTP request with a host that is not the name of one")
}

/// A name, with or without a port.
fn authority(value: &[u8]) -> Option<HostName> {
    let value = std::str::from_utf8(value).ok()?;
    let name = match value.split_once(':') {
        Some((name, port)) if port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) => return None,
        None => value,
    };
    HostName::parse(name)
}

/// The target may have a host of its own, which counts for more than the field (RFC 9112, section 3.2.2).
fn check_target(method: &str, target: &str, host: &HostName) -> Result<(), &'static str> {
    if method.eq_ignore_ascii_case("CONNECT") {
        return Err("an HTTP request for a tunnel");
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok(());
    }
    let (scheme, rest) = target.split_once("://").ok_or("an HTTP request with an odd target")?;
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err("an HTTP request with an odd target");
    }
    match authority(&rest.as_bytes()[..end]) {
        Some(name) if name == *host => Ok(()),
        _ => Err("an HTTP request with two different hosts"),
    }
}

/// Where the request ends (RFC 9112, section 6.3).
fn framing(is_1_1: bool, fields: &[Header<'_>]) -> Result<Framing, &'static str> {
    let bad = "an HTTP request with a body of unclear length";
    let coding = single(fields, "Transfer-Encoding").map_err(|()| bad)?;
    let len = single(fields, "Content-Length").map_err(|()| bad)?;
    match (coding, len) {
        (None, None) => Ok(Framing::None),
        (Some(coding), None) if is_1_1 && coding.eq_ignore_ascii_case(b"chunked") => {
            Ok(Framing::Body(Body::Chunks))
        }
        (None, Some(len)) if (1..=MAX_DIGITS).contains(&len.len()) && len.iter().all(u8::is_ascii_digit) => {
            let len = len.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
            Ok(if len == 0 { Framing::None } else { Framing::Body(Body::Len(len)) })
        }
        _ => Err(bad),
    }
}

/// Other upgrades are left to the server, too, but what follows has to be HTTP/1 still.
fn wants_web_socket(fields: &[Header<'_>]) -> bool {
    let upgrade = single(fields, "Upgrade").ok().flatten();
    upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}
