//! The one public error of the runtime.
//!
//! Every front end shows the same four things: a `kind` from a closed list (the same codes in `--json`, in MCP
//! results and in Python), a `message` that says what was being done and to what, a `source` that says why it
//! failed, and a `hint` that says what to do next. A message never repeats its source: the edge prints the chain.
//!
//! A guest command that exits non-zero is a result, not an error.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The result of every fallible operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure this is. The `snake_case` codes are public and stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// An argument is malformed or out of range.
    InvalidArgument,
    /// The named environment, workspace, file or command does not exist.
    NotFound,
    /// The thing to be made is there already.
    AlreadyExists,
    /// The operation is not possible in the present state.
    WrongState,
    /// This host cannot run guests (QEMU missing, too old, …).
    UnsupportedHost,
    /// This build of pyro does not offer what was asked for.
    Unsupported,
    /// The environment could not be pulled, or its installed files are damaged.
    EnvironmentUnavailable,
    /// The machine did not come up.
    StartFailed,
    /// The guest stopped answering, or answered with something that is not the protocol.
    GuestUnreachable,
    /// The command could not be started in the guest.
    ExecNotStarted,
    /// A service ended before it was ready.
    ServiceFailed,
    /// pyro itself ran out of time. (A guest command that does is a result.)
    Timeout,
    /// Nobody reads the output any more. (A closed pipe: front ends end quietly.)
    OutputClosed,
    /// A signal asked pyro to end.
    Interrupted,
    /// A path leads where it must not.
    UnsafePath,
    /// Host and guest, or two versions of pyro, do not speak the same protocol.
    VersionMismatch,
    /// As many machines run, or as much memory is taken, as is allowed.
    LimitReached,
    /// A disk, the guest's or the host's, has no room left.
    DiskFull,
    /// An operation of the host's operating system failed.
    Io,
    /// A defect in pyro.
    Internal,
}

impl ErrorKind {
    /// The stable code, as it stands in JSON.
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::WrongState => "wrong_state",
            Self::UnsupportedHost => "unsupported_host",
            Self::Unsupported => "unsupported",
            Self::EnvironmentUnavailable => "environment_unavailable",
            Self::StartFailed => "start_failed",
            Self::GuestUnreachable => "guest_unreachable",
            Self::ExecNotStarted => "exec_not_started",
            Self::ServiceFailed => "service_failed",
            Self::Timeout => "timeout",
            Self::OutputClosed => "output_closed",
            Self::Interrupted => "interrupted",
            Self::UnsafePath => "unsafe_path",
            Self::VersionMismatch => "version_mismatch",
            Self::LimitReached => "limit_reached",
            Self::DiskFull => "disk_full",
            Self::Io => "io",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A failure, with what was being done, why it failed and what to do next.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error that says what was being done. Messages start lower case, name the path or the id, and have no
    /// full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// Says why it failed. Must not be repeated in the message.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says what to do next, as a sentence or a command to type.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An `invalid_argument` error.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What was being done, to what.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do next, where there is something.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The message and every cause below it, outermost first.
    pub fn chain(&self) -> Vec<String> {
        let mut lines = vec![self.message.clone()];
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            lines.push(error.to_string());
            cause = error.source();
        }
        lines
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

/// An error on its way from one process to another. Its causes are words then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReport {
    kind: ErrorKind,
    /// The message and every cause below it, outermost first.
    chain: Vec<String>,
    hint: Option<String>,
}

impl From<&Error> for ErrorReport {
    fn from(error: &Error) -> Self {
        Self { kind: error.kind, chain: error.chain(), hint: error.hint.clone() }
    }
}

impl From<ErrorReport> for Error {
    fn from(report: ErrorReport) -> Self {
        let mut chain = report.chain.into_iter();
        let message = chain.next().unwrap_or_else(|| "an error without words".into());
        let source = chain.rev().fold(None, |source, message| Some(Box::new(Cause { message, source })));
        let source = source.map(|cause| cause as Box<dyn std::error::Error + Send + Sync>);
        Self { kind: report.kind, message, hint: report.hint, source }
    }
}

/// A cause that came from another process.
#[derive(Debug)]
struct Cause {
    message: String,
    source: Option<Box<Cause>>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|cause| cause as &(dyn std::error::Error + 'static))
    }
}

/// Turns the error of a library or a system call into ours by saying what was being done.
pub trait Context<T> {
    /// Wraps the error as `io`.
    fn doing(self, message: impl FnOnce() -> String) -> Result<T>;
    /// Wraps the error as the given kind.
    fn failing(self, kind: ErrorKind, message: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> Context<T> for std::result::Result<T, E> {
    fn doing(self, message: impl FnOnce() -> String) -> Result<T> {
        self.failing(ErrorKind::Io, message)
    }

    fn failing(self, kind: ErrorKind, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::new(kind, message()).with_source(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_way_to_another_process() {
        let inner = Error::new(ErrorKind::Io, "inner").with_source("innermost");
        let error = Error::new(ErrorKind::DiskFull, "outer").with_source(inner).with_hint("do this");
        let json = serde_json::to_string(&ErrorReport::from(&error)).unwrap();
        let arrived = Error::from(serde_json::from_str::<ErrorReport>(&json).unwrap());
        assert_eq!(arrived.chain(), ["outer", "inner", "innermost"]);
        assert_eq!((arrived.kind(), arrived.hint()), (ErrorKind::DiskFull, Some("do this")));
    }
}
