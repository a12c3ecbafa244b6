//! A shell as callers want it: a terminal in the guest, and what may be sent to it.

use crate::command::WORKSPACE_PATH;
use crate::error::{Error, ErrorKind, Result};
use crate::service::absolute;
use pyro_protocol::exec::WindowSize;
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The default size of a terminal.
pub const DEFAULT_COLS: u16 = 120;
/// See [`DEFAULT_COLS`].
pub const DEFAULT_ROWS: u16 = 30;

const COLS: std::ops::RangeInclusive<u16> = 2..=1000;
const ROWS: std::ops::RangeInclusive<u16> = 1..=1000;

/// The id of a shell: `sh-` and twelve hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct ShellId(String);

const ID_DIGITS: usize = 12;

impl ShellId {
    /// An id that nobody has.
    ///
    /// # Errors
    /// `io` when the host has no randomness.
    pub fn fresh() -> Result<Self> {
        let mut bytes = [0; ID_DIGITS / 2];
        getrandom(&mut bytes, GetRandomFlags::empty()).map_err(|errno| {
            Error::new(ErrorKind::Io, "could not get random bytes from the host").with_source(errno)
        })?;
        Ok(Self(format!("sh-{}", crate::fingerprint::hex(&bytes))))
    }

    /// The id that somebody gave, if it can be one.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sh-")?;
        let is_id =
            digits.len() == ID_DIGITS && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_id.then(|| Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ShellId {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is no id of a shell"))
    }
}

impl From<ShellId> for String {
    fn from(id: ShellId) -> Self {
        id.0
    }
}

impl fmt::Display for ShellId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The shell that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShellSpec {
    /// Where it begins: absolute in the guest, or relative to `/workspace`.
    pub cwd: String,
    /// Columns of its terminal: 2 to 1000.
    pub cols: u16,
    /// Rows of its terminal: 1 to 1000.
    pub rows: u16,
}

impl Default for ShellSpec {
    fn default() -> Self {
        Self { cwd: WORKSPACE_PATH.into(), cols: DEFAULT_COLS, rows: DEFAULT_ROWS }
    }
}

impl ShellSpec {
    /// The same with an absolute path.
    ///
    /// # Errors
    /// `invalid_argument` for what no guest could do, and what is out of range.
    pub fn checked(mut self) -> Result<Self> {
        self.cwd = absolute(&self.cwd, WORKSPACE_PATH)?;
        checked_size(self.cols, self.rows)?;
        Ok(self)
    }
}

/// A size that a terminal may have.
///
/// # Errors
/// `invalid_argument` when it is out of range.
pub(crate) fn checked_size(cols: u16, rows: u16) -> Result<WindowSize> {
    if COLS.contains(&cols) && ROWS.contains(&rows) {
        return Ok(WindowSize { cols, rows });
    }
    Err(Error::invalid(format!("a terminal of {cols} columns and {rows} rows is not possible")).with_hint(
        format!(
            "it has {} to {} columns and {} to {} rows",
            COLS.start(),
            COLS.end(),
            ROWS.start(),
            ROWS.end()
        ),
    ))
}

/// A signal for whatever runs in the foreground of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum ShellSignal {
    /// The terminal is gone.
    Hup,
    /// Interrupt, as Ctrl-C.
    Int,
    /// End.
    Term,
    /// End at once.
    Kill,
    /// Quit with a core dump, as Ctrl-\.
    Quit,
    /// Stop, as Ctrl-Z.
    Tstp,
    /// Go on.
    Cont,
    /// The terminal has another size.
    Winch,
}

impl ShellSignal {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Hup, Self::Int, Self::Term, Self::Kill, Self::Quit, Self::Tstp, Self::Cont, Self::Winch];

    /// Its name without `SIG`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hup => "HUP",
            Self::Int => "INT",
            Self::Term => "TERM",
            Self::Kill => "KILL",
            Self::Quit => "QUIT",
            Self::Tstp => "TSTP",
            Self::Cont => "CONT",
            Self::Winch => "WINCH",
        }
    }

    /// Its number on Linux (`signal(7)`).
    pub fn number(self) -> i32 {
        match self {
            Self::Hup => libc::SIGHUP,
            Self::Int => libc::SIGINT,
            Self::Term => libc::SIGTERM,
            Self::Kill => libc::SIGKILL,
            Self::Quit => libc::SIGQUIT,
            Self::Tstp => libc::SIGTSTP,
            Self::Cont => libc::SIGCONT,
            Self::Winch => libc::SIGWINCH,
        }
    }

    /// The signal of a name, with or without `SIG`, in upper or lower case.
    ///
    /// # Errors
    /// `invalid_argument` for any other.
    pub fn parse(text: &str) -> Result<Self> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        Self::ALL.into_iter().find(|signal| signal.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::invalid(format!("{text:?} is no signal for a shell")).with_hint(format!("one of {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names() {
        for signal in ShellSignal::ALL {
            assert_eq!(ShellSignal::parse(signal.name()).unwrap(), signal);
            assert_eq!(serde_json::to_value(signal).unwrap(), signal.name());
        }
        assert_eq!(ShellSignal::parse("sigint").unwrap(), ShellSignal::Int);
        assert_eq!(ShellSignal::parse("USR1").unwrap_err().kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn only_ids_are_ids() {
        let id = ShellId::fresh().unwrap();
        assert_eq!(ShellId::parse(id.as_str()), Some(id));
        for text in ["", "sh-", "sh-../../../..", "sh-0123456789aG", "sh-0123456789abc"] {
            assert_eq!(ShellId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_terminal_has_a_size() {
        assert!(ShellSpec::default().checked().is_ok());
        for (cols, rows) in [(1, 30), (120, 0), (1001, 30), (120, 1001)] {
            let refused = ShellSpec { cols, rows, ..ShellSpec::default() }.checked().unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
        }
    }
}
