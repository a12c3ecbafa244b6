//! The server name of a TLS connection (RFC 8446, RFC 6066 section 3), from the ClientHello, which may be cut into
//! records at any place.
//!
//! A server may ask for a second ClientHello (HelloRetryRequest), so what follows is looked at until it can be none.

use super::{MAX_HELD, Reason, State, Step};
use crate::denial::DenialKind;
use crate::host_name::HostName;
use crate::policy::Verdict;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const EARLY_DATA: u16 = 42;
const HOST_NAME: u8 = 0;

/// Something else comes first.
pub(super) const NOT_HELLO: &str = "TLS that does not begin with a ClientHello";

const RECORD_HEADER: usize = 5;
const MAX_RECORD: usize = 1 << 14;

/// Most records of a ClientHello: nobody needs more, and each is read again whenever one is added.
const MAX_RECORDS: usize = 64;

/// A fatal alert, and what it says: `access_denied`, `unrecognized_name`.
const FATAL: u8 = 2;
const ACCESS_DENIED: u8 = 49;
const UNRECOGNIZED_NAME: u8 = 112;

/// What is sent instead of an answer of the server.
pub(super) fn alert(verdict: &Verdict) -> [u8; 7] {
    let description = if verdict.name.is_some() { UNRECOGNIZED_NAME } else { ACCESS_DENIED };
    [ALERT, 3, 3, 0, 2, FATAL, description]
}

/// Where in the handshake the guest is.
#[derive(Debug, Default)]
pub(super) struct Tls {
    has_said_hello: bool,
    /// It may send data at once, and have to say hello again behind that.
    has_early_data: bool,
    /// How many bytes there have to be before it is worth while to look.
    needed: usize,
}

/// What is at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
enum Hello {
    /// More is needed: so many bytes in all.
    More(usize),
    Whole(Said),
    Bad(&'static str),
}

/// What a ClientHello says.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    name: HostName,
    has_early_data: bool,
    /// Its length with all its records, in bytes.
    len: usize,
}

impl Tls {
    pub(super) fn step(&mut self, bytes: &[u8]) -> Step {
        if bytes.len() < self.needed {
            return Step::More;
        }
        self.needed = 0;
        if self.has_said_hello
            && let Some(step) = self.after_hello(bytes)
        {
            return step;
        }
        match read_hello(bytes) {
            Hello::More(needed) => {
                self.needed = needed;
                Step::More
            }
            Hello::Whole(said) => {
                self.has_said_hello = true;
                self.has_early_data = said.has_early_data;
                Step::Name(said.name, said.len)
            }
            Hello::Bad(rule) => Step::Refuse(Reason { kind: DenialKind::Tls, rule }),
        }
    }

    /// What to do with a record behind a ClientHello. None: it may be the second one.
    fn after_hello(&self, bytes: &[u8]) -> Option<Step> {
        let Some([kind, _, _, high, low]) = bytes.first_chunk() else {
            return Some(match bytes.first() {
                Some(kind) if !self.may_precede_hello(*kind) && *kind != HANDSHAKE => {
                    Step::Become(State::Done)
                }
                _ => Step::More,
            });
        };
        let record = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind == HANDSHAKE {
            return may_be_hello(&bytes[RECORD_HEADER..], record);
        }
        if !self.may_precede_hello(*kind) {
            return Some(Step::Become(State::Done));
        }
        let end = RECORD_HEADER + record;
        Some(if bytes.len() < end { Step::More } else { Step::Pass(end) })
    }

    /// Whether a second ClientHello can come behind a record of some kind.
    fn may_precede_hello(&self, kind: u8) -> bool {
        matches!(kind, CHANGE_CIPHER_SPEC | ALERT) || (kind == APPLICATION_DATA && self.has_early_data)
    }
}

/// An encrypted record (TLS 1.2) begins with anything, also with what a ClientHello begins with. It is one if the
/// length that it says is that of the record, or longer.
fn may_be_hello(fragment: &[u8], record: usize) -> Option<Step> {
    match fragment {
        [CLIENT_HELLO, ..] if record <= 4 => None,
        [CLIENT_HELLO, first, second, third, major, ..] => {
            let hello = 4 + (usize::from(*first) << 16 | usize::from(*second) << 8 | usize::from(*third));
            let is_hello = *major == 3 && hello >= record && hello <= MAX_HELD;
            if is_hello { None } else { Some(Step::Become(State::Done)) }
        }
        [] | [CLIENT_HELLO, ..] => Some(Step::More),
        _ => Some(Step::Become(State::Done)),
    }
}

/// Puts the records of a ClientHello together.
fn read_hello(bytes: &[u8]) -> Hello {
    let (mut hello, mut at) = (Vec::new(), 0);
    for _ in 0..MAX_RECORDS {
        let header = bytes.get(at..).and_then(<[u8]>::first_chunk);
        let Some([kind, major, _, high, low]) = header else { return Hello::More(at + RECORD_HEADER) };
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind != HANDSHAKE || *major != 3 || len == 0 || len > MAX_RECORD {
            return Hello::Bad("a TLS ClientHello that is not well-formed");
        }
        let end = at + RECORD_HEADER + len;
        let Some(fragment) = bytes.get(at + RECORD_HEADER..end) else { return Hello::More(end) };
        hello.extend_from_slice(fragment);
        at = end;
        if hello[0] != CLIENT_HELLO {
            return Hello::Bad(NOT_HELLO);
        }
        let [_, first, second, third, body @ ..] = hello.as_slice() else { continue };
        let len = usize::from(*first) << 16 | usize::from(*second) << 8 | usize::from(*third);
        if len > MAX_HELD || body.len() > len {
            return Hello::Bad("a TLS ClientHello that is not well-formed");
        }
        if body.len() == len {
            return named(body, at);
        }
    }
    Hello::Bad("a TLS ClientHello in too many records")
}

fn named(body: &[u8], len: usize) -> Hello {
    let Some((name, has_early_data)) = server_name(body) else {
        return Hello::Bad("a TLS ClientHello that is not well-formed");
    };
    let Some(name) = name else { return Hello::Bad("TLS without a server name") };
    match std::str::from_utf8(name).ok().and_then(HostName::parse) {
        Some(name) => Hello::Whole(Said { name, has_early_data, len }),
        None => Hello::Bad("TLS with a server name that is not the name of a host"),
    }
}

/// The name in the body of a ClientHello, and whether early data is announced. None: it is not well-formed, which
/// includes everything that can be read in two ways.
fn server_name(body: &[u8]) -> Option<(Option<&[u8]>, bool)> {
    let mut rest = Reader(body);
    let _version = rest.take(2)?;
    let _random = rest.take(32)?;
    let _session = rest.short()?;
    let _suites = rest.long()?;
    let _compression = rest.short()?;
    let (mut name, mut has_early_data) = (None, false);
    if rest.0.is_empty() {
        return Some((name, has_early_data));
    }
    let mut extensions = Reader(rest.long()?);
    while !extensions.0.is_empty() {
        let kind = extensions.number()?;
        let data = extensions.long()?;
        if kind == SERVER_NAME && name.replace(host_name(data)?).is_some() {
            return None;
        }
        has_early_data |= kind == EARLY_DATA;
    }
    rest.0.is_empty().then_some((name, has_early_data))
}

/// The one name of the extension.
fn host_name(data: &[u8]) -> Option<&[u8]> {
    let mut data = Reader(data);
    let mut list = Reader(data.long()?);
    let kind = list.take(1)?;
    let name = list.long()?;
    (kind == [HOST_NAME] && list.0.is_empty() && data.0.is_empty()).then_some(name)
}

/// Takes parts from the beginning of bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(part)
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// What has its length before it, in one byte.
    fn short(&mut self) -> Option<&'a [u8]> {
        let len = self.take(1)?[0];
        self.take(len.into())
    }

    /// In two bytes.
    fn long(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.take(len.into())
    }
}
