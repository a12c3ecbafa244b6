//! A service as callers want it: a command that stays, and how to tell that it is ready.

use crate::command::{Command, WORKSPACE_PATH};
use crate::error::{Error, Result};
use crate::limits::validate_ready_timeout;
use crate::publish::PublishSpec;
use pyro_protocol::probe::{Address, Url};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// The default time that a service has to become ready, in seconds.
pub const DEFAULT_READY_TIMEOUT_SECONDS: u64 = 30;

/// The default time from one answer of a probe to the next question, in milliseconds.
pub const DEFAULT_READY_INTERVAL_MS: u64 = 500;

/// As many ports of one service may be published.
const MAX_PUBLISHED: usize = 16;

const INTERVALS_MS: std::ops::RangeInclusive<u64> = 10..=60_000;

/// The name of a service, unique in its workspace: `[a-z0-9][a-z0-9._-]{0,62}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName(String);

impl ServiceName {
    /// The name that somebody gave.
    ///
    /// # Errors
    /// `invalid_argument` when it can be none.
    pub fn parse(text: &str) -> Result<Self> {
        let is_first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_later = |byte: u8| is_first(byte) || b"._-".contains(&byte);
        let is_name =
            text.len() <= 63 && text.bytes().next().is_some_and(is_first) && text.bytes().all(is_later);
        if is_name {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::invalid(format!("{text:?} is not the name of a service")).with_hint(
            "a name has 1 to 63 of a-z, 0-9, `.`, `_`, `-`, and begins with a letter or a digit, for example: web",
        ))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ServiceName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<ServiceName> for String {
    fn from(name: ServiceName) -> Self {
        name.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When a service is ready. Asked in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Readiness {
    /// When there is something at a path: absolute in the guest, or relative to the service's directory.
    File {
        /// The path.
        path: String,
    },
    /// When somebody accepts connections.
    Tcp {
        /// `HOST:PORT`, as the guest reaches it.
        address: String,
    },
    /// When a GET is answered with a status from 200 to 399.
    Http {
        /// An `http` URL, as the guest reaches it.
        url: String,
    },
    /// When a line for `/bin/sh -c` exits with 0.
    Command {
        /// The line, which runs in the service's directory.
        command: String,
    },
}

/// The service that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Its name.
    pub name: ServiceName,
    /// What to run. It has to stay in the foreground.
    pub command: Command,
    /// Where: absolute in the guest, or relative to `/workspace`.
    pub cwd: String,
    /// When it is ready; without this it is as soon as it runs.
    pub readiness: Option<Readiness>,
    /// Seconds that it has to become ready: 1 to 7 days.
    pub ready_timeout_seconds: u64,
    /// Milliseconds from one answer to the next question: 10 to 60000. The first questions, except commands, follow each
    /// other sooner.
    pub ready_interval_ms: u64,
    /// Ports of the guest that are reachable from the host as long as it runs; at most 16.
    pub publish: Vec<PublishSpec>,
}

impl ServiceSpec {
    /// A service with the defaults of the contract: in `/workspace`, ready when it runs.
    pub fn new(name: ServiceName, command: Command) -> Self {
        Self {
            name,
            command,
            cwd: WORKSPACE_PATH.into(),
            readiness: None,
            ready_timeout_seconds: DEFAULT_READY_TIMEOUT_SECONDS,
            ready_interval_ms: DEFAULT_READY_INTERVAL_MS,
            publish: Vec::new(),
        }
    }

    /// The same with absolute paths.
    ///
    /// # Errors
    /// `invalid_argument` for what no guest could do, and what is out of range.
    pub fn checked(mut self) -> Result<Self> {
        self.command.validate()?;
        self.cwd = absolute(&self.cwd, WORKSPACE_PATH)?;
        let cwd = &self.cwd;
        self.readiness = self.readiness.map(|readiness| readiness.checked(cwd)).transpose()?;
        self.ready_timeout()?;
        if !INTERVALS_MS.contains(&self.ready_interval_ms) {
            let (first, last) = (INTERVALS_MS.start(), INTERVALS_MS.end());
            let message =
                format!("ready_interval_ms is {}, which is not in {first} to {last}", self.ready_interval_ms);
            return Err(Error::invalid(message).with_hint("it is given in milliseconds"));
        }
        if self.publish.len() > MAX_PUBLISHED {
            let message = format!("{} ports are to be published", self.publish.len());
            return Err(Error::invalid(message).with_hint(format!("a service has at most {MAX_PUBLISHED}")));
        }
        self.publish.iter().try_for_each(|port| port.checked().map(drop))?;
        Ok(self)
    }

    /// How long it has to become ready.
    ///
    /// # Errors
    /// `invalid_argument` when that is out of range.
    pub fn ready_timeout(&self) -> Result<Duration> {
        validate_ready_timeout(self.ready_timeout_seconds)
    }
}

impl Readiness {
    fn checked(self, cwd: &str) -> Result<Self> {
        Ok(match self {
            Self::File { path } => Self::File { path: absolute(&path, cwd)? },
            Self::Tcp { address } => Self::Tcp { address: checked_address(address)? },
            Self::Http { url } => Self::Http { url: checked_url(&url)? },
            Self::Command { command } if command.trim().is_empty() || command.contains('\0') => {
                return Err(Error::invalid(format!("{command:?} is no command to probe with")));
            }
            Self::Command { command } => Self::Command { command },
        })
    }
}

/// A path of the guest as an absolute one. Double slashes and dots are left out.
///
/// # Errors
/// `invalid_argument` for a path that no file can have.
pub(crate) fn absolute(path: &str, base: &str) -> Result<String> {
    if path.is_empty() || path.contains('\0') {
        return Err(Error::invalid(format!("{path:?} is not a path in the guest")));
    }
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{base}/{path}") };
    let names: Vec<&str> = whole.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    Ok(format!("/{}", names.join("/")))
}

/// The guest reads the same text by the same rules, so that it does not refuse a service that has been started.
fn checked_address(address: String) -> Result<String> {
    match Address::parse(&address) {
        Ok(_) => Ok(address),
        Err(why) => Err(Error::invalid(format!("{address:?} is not HOST:PORT: {why}"))
            .with_hint("for example 127.0.0.1:8080, localhost:8080 or [::1]:8080, as the guest reaches it")),
    }
}

/// As [`checked_address`]. The scheme comes back in small letters.
fn checked_url(url: &str) -> Result<String> {
    match Url::parse(url) {
        Ok(_) => Ok(format!("http{}", &url[4..])),
        Err(why) => Err(Error::invalid(format!("{url:?} is not an http URL to probe: {why}")).with_hint(
            "for example http://127.0.0.1:8080/health; for https use a command: curl -kfsS https://…",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn spec() -> ServiceSpec {
        ServiceSpec::new(ServiceName::parse("web").unwrap(), Command::Shell("serve".into()))
    }

    #[test]
    fn names_are_names() {
        for name in ["a", "0", "web-1.x_y", &"a".repeat(63)] {
            assert_eq!(ServiceName::parse(name).unwrap().as_str(), name);
        }
        for name in ["", "-a", ".a", "A", "a/b", "..", "a b", "ä", &"a".repeat(64)] {
            assert_eq!(ServiceName::parse(name).unwrap_err().kind(), ErrorKind::InvalidArgument, "{name}");
        }
    }

    #[test]
    fn relative_paths_come_back_absolute() {
        let readiness = Some(Readiness::File { path: "run/./ready".into() });
        let checked = ServiceSpec { cwd: "app/".into(), readiness, ..spec() }.checked().unwrap();
        assert_eq!(checked.cwd, "/workspace/app");
        assert_eq!(checked.readiness, Some(Readiness::File { path: "/workspace/app/run/ready".into() }));
        assert_eq!(ServiceSpec { cwd: "/srv//x".into(), ..spec() }.checked().unwrap().cwd, "/srv/x");
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let tcp = |address: &str| Readiness::Tcp { address: address.into() };
        let http = |url: &str| Readiness::Http { url: url.into() };
        for wrong in [
            tcp("8080"),
            tcp(":8080"),
            tcp("host:0"),
            tcp("host:65536"),
            tcp("a b:1"),
            tcp("a:b:80"),
            tcp("::1:80"),
            tcp("[::1]"),
            tcp("a\n:1"),
            http("https://localhost/"),
            http("localhost:80"),
            http("http:///x"),
            http("http://a b/"),
            http("http://user@host/"),
            http("http://localhost:99999/"),
            http("http://localhost:0/"),
            http("http://::1/"),
            http("http://a/ä"),
            http("http://a/\r\nX: y"),
            http("ä"),
            Readiness::File { path: String::new() },
            Readiness::Command { command: "  ".into() },
        ] {
            let refused = ServiceSpec { readiness: Some(wrong.clone()), ..spec() }.checked().unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{wrong:?}");
        }
        let loud = ServiceSpec { readiness: Some(http("HTTP://a/B")), ..spec() }.checked().unwrap();
        assert_eq!(loud.readiness, Some(http("http://a/B")));
        for right in [
            tcp("localhost:1"),
            tcp("[::1]:65535"),
            http("http://127.0.0.1:8000"),
            http("http://a/B?c#d"),
            http("http://[::1]:80?a"),
        ] {
            let checked = ServiceSpec { readiness: Some(right.clone()), ..spec() }.checked().unwrap();
            assert_eq!(checked.readiness, Some(right));
        }
        assert!(ServiceSpec { ready_interval_ms: 9, ..spec() }.checked().is_err());
        assert!(ServiceSpec { ready_timeout_seconds: 0, ..spec() }.checked().is_err());
    }
}
