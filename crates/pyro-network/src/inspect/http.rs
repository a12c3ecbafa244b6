//! HTTP/1 (RFC 9112): every request of a connection, one after the other. Where a request could be read in two ways, so
//! that the next one would begin somewhere else for the server, it is refused.

use super::body::{Body, Cut};
use super::request::{Framing, Request};
use super::{MAX_HELD, Reason, State, Step};
use crate::denial::DenialKind;
use crate::policy::Verdict;

/// Where in a request the guest is.
#[derive(Debug)]
pub(super) enum Http {
    /// In a head. So many bytes of it have been looked at for its end.
    Head(usize),
    Body(Body),
    /// Behind a request to change to WebSocket, which the server may have declined.
    Upgrade,
}

impl Default for Http {
    fn default() -> Self {
        Self::Head(0)
    }
}

/// What is sent instead of an answer of the server.
pub(super) fn forbidden(verdict: &Verdict) -> Vec<u8> {
    let what = verdict.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    let body =
        format!("refused by the network policy of this machine: {what}{}\n{}\n", verdict.rule, verdict.hint);
    let head = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close";
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

impl Http {
    pub(super) fn step(&mut self, bytes: &[u8]) -> Step {
        match self {
            Self::Head(seen) => match end_of_head(bytes, *seen) {
                Head::More => {
                    *seen = bytes.len();
                    Step::More
                }
                Head::Blank => {
                    *seen = 0;
                    Step::Pass(2)
                }
                Head::Bad(rule) => refuse(rule),
                Head::End(end) => self.request(&bytes[..end]),
            },
            Self::Body(body) => match body.cut(bytes) {
                Cut::More => Step::More,
                Cut::Bad(rule) => refuse(rule),
                Cut::Pass(len, is_end) => {
                    if is_end {
                        *self = Self::Head(0);
                    }
                    Step::Pass(len)
                }
            },
            Self::Upgrade => self.upgrade(bytes),
        }
    }

    fn request(&mut self, head: &[u8]) -> Step {
        match Request::read(head) {
            Err(rule) => refuse(rule),
            Ok(request) => {
                *self = match request.framing {
                    Framing::None => Self::Head(0),
                    Framing::Body(body) => Self::Body(body),
                    Framing::WebSocket => Self::Upgrade,
                };
                Step::Name(request.host, head.len())
            }
        }
    }

    /// Frames of a WebSocket client are masked, which its second byte says (RFC 6455, section 5.2). No request has such
    /// a byte, so a guest cannot pretend to have changed and send requests to a server that has not.
    fn upgrade(&mut self, bytes: &[u8]) -> Step {
        match bytes {
            [] | [_] => Step::More,
            [_, 0x80..=0xff, ..] => Step::Become(State::Done),
            _ => {
                *self = Self::Head(0);
                self.step(bytes)
            }
        }
    }
}

enum Head {
    More,
    /// An empty line before it, which servers skip.
    Blank,
    End(usize),
    Bad(&'static str),
}

/// Looks for the empty line that ends a head. Up to `seen` there is none.
fn end_of_head(bytes: &[u8], seen: usize) -> Head {
    if bytes.starts_with(b"\r\n") {
        return Head::Blank;
    }
    for at in seen..bytes.len().min(MAX_HELD) {
        if bytes[at] != b'\n' {
            continue;
        }
        // Some take it for the end of a line and some do not.
        if at == 0 || bytes[at - 1] != b'\r' {
            return Head::Bad("an HTTP request with a line that does not end in CR LF");
        }
        if bytes[..=at].ends_with(b"\r\n\r\n") {
            return Head::End(at + 1);
        }
    }
    if bytes.len() > MAX_HELD {
        Head::Bad("an HTTP request with a head that is too long")
    } else {
        Head::More
    }
}

fn refuse(rule: &'static str) -> Step {
    Step::Refuse(Reason { kind: DenialKind::Http, rule })
}
