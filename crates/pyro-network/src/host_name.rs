//! The name of a host, in the one form in which names are compared: rules, DNS questions, TLS server names and HTTP
//! hosts all become this before anything is decided, so that no two of them can be read differently.

use std::fmt;

/// Longest name without the dot at its end (RFC 1035, section 2.3.4).
pub const MAX_NAME: usize = 253;

/// Longest part between two dots.
const MAX_LABEL: usize = 63;

/// A host name: lower case, without a dot at its end, only letters, digits, `-` and `_`. Names in other scripts have
/// their punycode form (`xn--…`), as on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(String);

impl HostName {
    /// From text as people and programs write it. None: it is not a host name. Addresses are none either: a name ends
    /// in a label that is not a number (WHATWG URL, "ends in a number").
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        Self::from_labels(text.split('.').map(str::as_bytes))
    }

    /// From the labels of a DNS name. A label with a dot in it, which DNS permits, is no label of a host name: as text
    /// it would be taken for two.
    pub fn from_labels<'a>(labels: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut name = String::new();
        let mut ends_in_number = false;
        for label in labels {
            if label.is_empty() || label.len() > MAX_LABEL || !label.iter().all(|byte| is_plain(*byte)) {
                return None;
            }
            if !name.is_empty() {
                name.push('.');
            }
            ends_in_number = is_number(label);
            name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
            if name.len() > MAX_NAME {
                return None;
            }
        }
        (!name.is_empty() && !ends_in_number).then_some(Self(name))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it lies below another, at any depth, and is not that itself.
    pub fn is_below(&self, parent: &HostName) -> bool {
        self.0.strip_suffix(&parent.0).is_some_and(|rest| rest.ends_with('.'))
    }

    /// Whether it is `localhost` or below it (RFC 6761, section 6.3).
    pub fn is_localhost(&self) -> bool {
        self.0 == "localhost" || self.0.ends_with(".localhost")
    }

    /// What it is about, where it is the name of a service of a host: `_http._tcp.example.org` gives `example.org` (RFC
    /// 2782).
    pub fn without_service(&self) -> Option<Self> {
        let mut rest = self.0.as_str();
        while let Some((label, behind)) = rest.split_once('.')
            && label.starts_with('_')
        {
            rest = behind;
        }
        (rest.len() < self.0.len()).then(|| Self(rest.to_owned()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Decimal, or hexadecimal as `inet_aton(3)` reads it.
fn is_number(label: &[u8]) -> bool {
    let hexadecimal = label.len() > 1 && label[0] == b'0' && label[1].eq_ignore_ascii_case(&b'x');
    label.iter().all(u8::is_ascii_digit) || (hexadecimal && label[2..].iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_the_last_dot_make_no_difference() {
        assert_eq!(HostName::parse("PyPI.org."), HostName::parse("pypi.org"));
        assert_eq!(HostName::parse("a_b.x-y.org").unwrap().as_str(), "a_b.x-y.org");
    }

    #[test]
    fn what_is_no_host_name_is_refused() {
        let long_label = "a".repeat(64);
        let long = ["a".repeat(63).as_str(); 4].join(".");
        for text in [
            "",
            ".",
            "a..b",
            "a.org..",
            ".a",
            "a b",
            "a/b",
            "a:1",
            "bücher.de",
            "1.2.3.4",
            "2130706433",
            "a.0x7f",
        ] {
            assert_eq!(HostName::parse(text), None, "{text}");
        }
        assert_eq!(HostName::parse(&long_label), None);
        assert_eq!(HostName::parse(&long), None);
        assert_eq!(HostName::from_labels([&b"evil.pypi"[..], b"org"].into_iter()), None);
    }

    #[test]
    fn below_means_whole_labels() {
        let parent = HostName::parse("pypi.org").unwrap();
        assert!(HostName::parse("a.b.pypi.org").unwrap().is_below(&parent));
        assert!(!HostName::parse("pypi.org").unwrap().is_below(&parent));
        assert!(!HostName::parse("evilpypi.org").unwrap().is_below(&parent));
    }

    #[test]
    fn services_are_about_their_host() {
        let about =
            |name: &str| HostName::parse(name).unwrap().without_service().map(|name| name.to_string());
        assert_eq!(about("_http._tcp.deb.example.org").as_deref(), Some("deb.example.org"));
        assert_eq!(about("deb.example.org"), None);
    }
}
