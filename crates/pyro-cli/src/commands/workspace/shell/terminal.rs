//! The terminal that a person sits at, as long as it is lent to a shell.

use crate::output;
use crossterm::terminal::{disable_raw_mode, enable_raw_mode, size};
use pyro_host::error::{Context, Error, ErrorKind};

/// Undoes what a program in the shell may have set: the order matters.
///
/// The cursor is saved first, since leaving the alternate screen puts it back, also where it was not in use; keypad and
/// cursor keys, bracketed paste, mouse, focus events, synchronised output, keyboard modifiers and the shape of the cursor
/// are none of what a soft reset resets everywhere; neither is wrapping, which it may turn off.
const SANE: &str = "\x1b7\x1b[?1049l\x1b[!p\x1b[?1l\x1b>\x1b[?7h\x1b[?25h\x1b[?2004l\
\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1004l\x1b[?2026l\x1b[>4m\x1b[0 q\x1b(B\x0f\x1b[0m";

/// The most columns and rows that a shell's terminal has.
const MOST: u16 = 1000;

/// A terminal that is lent. It is given back as it was, however the loan ends.
pub struct LentTerminal {
    is_raw: bool,
    /// Whether it shows what it is sent.
    takes_output: bool,
}

impl LentTerminal {
    /// Of one that is only written to.
    pub fn to_watch() -> Self {
        Self { is_raw: false, takes_output: true }
    }

    /// Of one whose keys are passed on as they are: Ctrl-C is a key.
    ///
    /// # Errors
    /// `io` when it takes no other mode.
    pub fn to_type() -> Result<Self, Error> {
        enable_raw_mode().failing(ErrorKind::Io, || "could not set the terminal to raw mode".into())?;
        Ok(Self { is_raw: true, takes_output: true })
    }

    /// Gives it back. One that does not take output is sent none, so that nobody waits for it.
    pub fn give_back(mut self, takes_output: bool) {
        self.takes_output = takes_output;
    }
}

impl Drop for LentTerminal {
    fn drop(&mut self) {
        // One that has gone away needs neither.
        if self.takes_output {
            let _ = output::text(SANE);
        }
        if self.is_raw {
            let _ = disable_raw_mode();
        }
    }
}

/// The columns and rows of this process's terminal, within what a shell's may have. None where it does not say.
pub fn local_size() -> Option<(u16, u16)> {
    let (cols, rows) = size().ok()?;
    (cols >= 2 && rows >= 1).then(|| (cols.min(MOST), rows.min(MOST)))
}

/// What makes room for a whole screen: what is to be seen scrolls away and can be scrolled back to.
pub fn cleared() -> String {
    let rows = local_size().map_or(0, |(_, rows)| rows);
    format!("{}\x1b[H\x1b[2J", "\r\n".repeat(rows.into()))
}
