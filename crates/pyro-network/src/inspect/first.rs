//! What a connection is, by its first bytes: TLS, HTTP, or something that passes unseen.
//!
//! Some servers of TLS take what others would not: records of any version, and an alert before the ClientHello. So
//! whatever could be a record of TLS counts as one, and is refused unless it is a ClientHello.
//!
//! What a careless server might take for a request has to count as one, so HTTP is recognised broadly: a word, a space
//! of any kind, and `HTTP/` before the line ends. The decision never depends on how the bytes are cut.

use super::Reason;
use crate::denial::DenialKind;

/// What it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum First {
    /// More bytes are needed to tell.
    Unknown,
    Tls,
    Http,
    Other,
    Refused(Reason),
}

/// It could still be a request, after more than is ever held back.
pub(super) const TOO_LONG: Reason =
    Reason { kind: DenialKind::Http, rule: "an HTTP request line that is too long" };

/// A request without a host (HTTP/0.9).
const HTTP_0_9: Reason = Reason { kind: DenialKind::Http, rule: "an HTTP request without a version" };

/// A hello in the form of SSL 2, which servers of TLS still take (RFC 5246, appendix E.2). It has no server name.
const SSL_2: Reason = Reason { kind: DenialKind::Tls, rule: "TLS without a server name" };

/// A record of TLS of another kind, as an alert, before which a server may still wait for a ClientHello.
const NOT_HELLO: Reason = Reason { kind: DenialKind::Tls, rule: super::tls::NOT_HELLO };

/// What one server takes for the end of the text, another passes over.
const NUL: Reason = Reason { kind: DenialKind::Http, rule: "an HTTP request line with a NUL in it" };

/// The methods that servers know (IANA, HTTP Method Registry).
const METHODS: &[&str] = &[
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// Longest first line, in bytes. It is read again whenever there is more of it.
pub(super) const MAX_LINE: usize = 16 * 1024;

pub(super) fn classify(bytes: &[u8]) -> First {
    match bytes {
        [] => First::Unknown,
        [0x16, ..] => First::Tls,
        // Change of cipher, alert, data, heartbeat. Versions from 0x1000 on no server takes for one.
        [0x14 | 0x15 | 0x17 | 0x18] => First::Unknown,
        [0x14 | 0x15 | 0x17 | 0x18, 0..=0x0f, ..] => First::Refused(NOT_HELLO),
        // Length with its highest bit set, the type 1 (client hello), the version.
        [0x80..=0xff, _, 1, 3, ..] => First::Refused(SSL_2),
        [0x80..=0xff] | [0x80..=0xff, _] | [0x80..=0xff, _, 1] => First::Unknown,
        _ => classify_text(bytes),
    }
}

fn classify_text(bytes: &[u8]) -> First {
    let Some(start) = bytes.iter().position(|byte| !is_space(*byte) && *byte != b'\n') else {
        return First::Unknown;
    };
    let line = &bytes[start..];
    let word = line.iter().take_while(|byte| is_token(**byte)).count();
    match line.get(word) {
        None => return First::Unknown,
        Some(0) if is_method(&line[..word]) => return First::Refused(NUL),
        Some(next) if word == 0 || !is_space(*next) => return First::Other,
        Some(_) => {}
    }
    match line.iter().position(|byte| matches!(byte, b'\n' | 0)) {
        None => First::Unknown,
        Some(end) if line[end] == 0 && is_method(&line[..word]) => First::Refused(NUL),
        // Other protocols have it (git).
        Some(end) if line[end] == 0 => First::Other,
        Some(end) => classify_line(&line[..end], word),
    }
}

fn classify_line(line: &[u8], word: usize) -> First {
    if line.windows(5).any(|part| part.eq_ignore_ascii_case(b"HTTP/")) {
        return First::Http;
    }
    let target = line[word..].trim_ascii();
    if line[..word].eq_ignore_ascii_case(b"GET") && (target.starts_with(b"/") || target.contains(&b':')) {
        return First::Refused(HTTP_0_9);
    }
    First::Other
}

/// Whether what was held back could be taken for a request although it has not ended.
pub(super) fn may_be_request(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| matches!(first, 0x14..=0x18 | 0x80..))
        || bytes.trim_ascii().iter().any(|byte| is_space(*byte))
}

fn is_method(word: &[u8]) -> bool {
    METHODS.iter().any(|method| method.as_bytes().eq_ignore_ascii_case(word))
}

/// What servers take for a space between words (RFC 9112, section 3).
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c | b'\r')
}

/// What a method may consist of (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        let cases: &[(&[u8], First)] = &[
            (b"\x16\x03\x01", First::Tls),
            (b"\x16\x02\x01", First::Tls),
            (b"\x16", First::Tls),
            (b"\x15\x03\x01", First::Refused(NOT_HELLO)),
            (b"\x14\x03", First::Refused(NOT_HELLO)),
            (b"\x17\x00", First::Refused(NOT_HELLO)),
            (b"\x18\x0f", First::Refused(NOT_HELLO)),
            (b"\x15", First::Unknown),
            (b"\x15\x10", First::Other),
            (b"GET /\0 HTTP/1.1\r\n", First::Refused(NUL)),
            (b" post\t\0", First::Refused(NUL)),
            (b"GET\0/ HTTP/1.1\r\n", First::Refused(NUL)),
            (b"FETCH x\0", First::Other),
            (b"GET / HTTP/1.1\r\n", First::Http),
            (b"\r\n\r\nFOO x HTTP/1.0\r\n", First::Http),
            (b" get\t/ http/1.1\n", First::Http),
            (b"PRI * HTTP/2.0\r\n", First::Http),
            (b"GET /\r\n", First::Refused(HTTP_0_9)),
            (b"GET http://other.org/\r\n", First::Refused(HTTP_0_9)),
            (b"\x80\x2e\x01\x03\x01", First::Refused(SSL_2)),
            (b"SSH-2.0-OpenSSH_9.2\r\n", First::Other),
            (b"EHLO me.example.org\r\n", First::Other),
            (b"0032git-upload-pack /x\0host=a\0", First::Other),
            (b"*1\r\n$4\r\nPING\r\n", First::Other),
            (b"\x00\x00\x00\x08", First::Other),
            (b"\xff\xfe\xfd\xfc", First::Other),
            (b"OPTIONS rtsp://a.org RTSP/1.0\r\n", First::Other),
            (b"GET / HTT", First::Unknown),
            (b"S", First::Unknown),
            (b"\x80\x2e", First::Unknown),
            (b"", First::Unknown),
        ];
        for (bytes, is) in cases {
            assert_eq!(classify(bytes), *is, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
