//! The addresses that a probe asks. Host and guest read them here, so that what one takes the other takes.

use std::fmt;
use std::net::Ipv6Addr;

/// The port of an `http` URL that names none.
const HTTP_PORT: u16 = 80;

const SCHEME: &str = "http://";

/// Why a text is no address or no URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unusable(&'static str);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Unusable {}

/// `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address. One of IPv6 stands in brackets as text, and without them here.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

impl Address {
    /// Reads `HOST:PORT`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Unusable> {
        Self::parse_or(text, None)
    }

    fn parse_or(text: &str, default_port: Option<u16>) -> Result<Self, Unusable> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => split_brackets(rest)?,
            None => split_name(text)?,
        };
        let port = port.map(parse_port).transpose()?.or(default_port).ok_or(Unusable("it names no port"))?;
        Ok(Self { host: host.to_owned(), port })
    }
}

/// An `http` URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Whom to ask.
    pub address: Address,
    /// Host and port as they were given, for the `Host` of a request.
    pub authority: String,
    /// Path and query, as a request has them: there is always a path. The fragment is nobody's but the asker's.
    pub target: String,
}

impl Url {
    /// Reads `http://HOST[:PORT][/PATH][?QUERY][#FRAGMENT]`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Unusable> {
        // White space and control characters could end the line of a request, or begin another one.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Unusable("it contains something that has to be percent-encoded"));
        }
        let rest = text.split_at_checked(SCHEME.len());
        let rest = rest.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME)).map(|(_, rest)| rest);
        let rest = rest.ok_or(Unusable("it does not begin with `http://`"))?;
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(Unusable("it contains a user name"));
        }
        let address = Address::parse_or(authority, Some(HTTP_PORT))?;
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { address, authority: authority.to_owned(), target: format!("{slash}{target}") })
    }
}

/// Host and port of what follows an opening bracket.
fn split_brackets(rest: &str) -> Result<(&str, Option<&str>), Unusable> {
    let (host, rest) = rest.split_once(']').ok_or(Unusable("its bracket is not closed"))?;
    if host.parse::<Ipv6Addr>().is_err() {
        return Err(Unusable("there is no IPv6 address in its brackets"));
    }
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(Unusable("there is something else than a port after its brackets")),
    }
}

/// Host and port where there are no brackets.
fn split_name(text: &str) -> Result<(&str, Option<&str>), Unusable> {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    if port.is_some_and(|port| port.contains(':')) {
        return Err(Unusable("it has more than one colon, and an IPv6 address belongs into brackets"));
    }
    if host.is_empty() {
        return Err(Unusable("it names no host"));
    }
    if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        return Err(Unusable("its host is neither a name nor an IP address"));
    }
    Ok((host, port))
}

fn parse_port(text: &str) -> Result<u16, Unusable> {
    // A sign would be taken otherwise.
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let port = digits.and_then(|digits| digits.parse().ok()).filter(|port| *port > 0);
    port.ok_or(Unusable("its port is not 1 to 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_a_host_and_a_port() {
        for (text, host, port) in [
            ("localhost:80", "localhost", 80),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("my_db-1.internal.:5432", "my_db-1.internal.", 5432),
            ("[::1]:65535", "::1", 65535),
            ("[::ffff:10.0.0.1]:80", "::ffff:10.0.0.1", 80),
        ] {
            assert_eq!(Address::parse(text), Ok(Address { host: host.into(), port }), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (why, texts) in [
            ("it names no host", &["", ":80", ":"][..]),
            ("it names no port", &["a", "[::1]", "8080"]),
            (
                "its port is not 1 to 65535",
                &["a:", "a:0", "a:65536", "a:+1", "a:-1", "a:1 ", "a:x", "a:1/", "[::1]:"],
            ),
            ("it has more than one colon", &["a:b:80", "::1:80", "::1", "a:1:2", "a::1"]),
            (
                "its host is neither",
                &["a b:1", " a:1", "a\n:1", "a\0:1", "a/b:1", "u@a:1", "a]:1", "a%20:1", "ä:1"],
            ),
            ("its bracket is not closed", &["[", "[::1", "[::1:80"]),
            ("there is no IPv6 address", &["[]:1", "[x]:1", "[127.0.0.1]:1", "[fe80::1%eth0]:1", "[ ::1]:1"]),
            ("there is something else", &["[::1]80", "[::1] :80", "[::1]]:80"]),
        ] {
            for text in texts {
                let said = Address::parse(text).expect_err(text).to_string();
                assert!(said.starts_with(why), "{text:?}: {said}");
            }
        }
    }

    #[test]
    fn urls_are_an_address_and_a_target() {
        for (text, host, port, authority, target) in [
            ("http://127.0.0.1:8000", "127.0.0.1", 8000, "127.0.0.1:8000", "/"),
            ("HTTP://Host/A/b?c=d#e", "Host", 80, "Host", "/A/b?c=d"),
            ("hTTp://[::1]", "::1", 80, "[::1]", "/"),
            ("http://[::1]:8080/x", "::1", 8080, "[::1]:8080", "/x"),
            ("http://a?b=/c", "a", 80, "a", "/?b=/c"),
            ("http://a:1?b#c?d", "a", 1, "a:1", "/?b"),
            ("http://a#/b", "a", 80, "a", "/"),
            ("http://a:1#@b:2", "a", 1, "a:1", "/"),
            ("http://a/@b:c://", "a", 80, "a", "/@b:c://"),
        ] {
            let address = Address { host: host.into(), port };
            let url = Url { address, authority: authority.into(), target: target.into() };
            assert_eq!(Url::parse(text), Ok(url), "{text}");
        }
    }
    #[test]
    fn what_is_no_url_says_why() {
        for (why, texts) in [
            (
                "it does not begin",
                &["", "http", "http:/", "https://a/", "a:80", "//a", "ftp://a/", "xhttp://a"][..],
            ),
            (
                "it contains something",
                &["http://a b/", "http://a/\r\nX:", "http://a/\0", "http://a\t", "http://ä/", "ä"],
            ),
            (
                "it contains something",
                &["http://a/ä", "http://a/#b c", " http://a", "http://a ", "http\u{2028}://a"],
            ),
            ("it contains a user name", &["http://u@a/", "http://u:p@a/", "http://@a", "http://a:1@b:2"]),
            ("it names no host", &["http://", "http:///x", "http://:80/", "http://?a", "http://#a"]),
            (
                "its port is not",
                &["http://a:99999/", "http://a:0", "http://a:/", "http://a:65536?b", "http://[::1]:0/"],
            ),
            ("it has more than one colon", &["http://::1/", "http://::1:80/", "http://a:b:80/"]),
            ("its host is neither", &["http://a\\b/", "http://a%2f/", "http://a]/"]),
            ("there is no IPv6 address", &["http://[a]/", "http://[]/"]),
        ] {
            for text in texts {
                let said = Url::parse(text).expect_err(text).to_string();
                assert!(said.starts_with(why), "{text:?}: {said}");
            }
        }
    }
}
