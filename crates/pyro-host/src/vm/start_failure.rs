//! Why a machine did not come up, with all that it said itself.

use crate::error::{Error, ErrorKind};
use pyro_protocol::CONSOLE_PHASE_MARK;
use std::fmt;

/// Lines of the console and of QEMU's standard error that are shown.
const N_LINES: usize = 20;

/// The details behind a `start_failed` error.
#[derive(Debug)]
pub struct StartFailure {
    /// The phase in which it failed: `spawn`, `restore`, `kernel`, `hello`, or a phase of the guest agent.
    pub phase: String,
    /// What happened.
    pub what: String,
    /// The end of QEMU's standard error.
    pub qemu_stderr: String,
    /// The end of the guest's console.
    pub console: String,
}

impl StartFailure {
    /// The public error.
    pub(super) fn into_error(self, hint: &str) -> Error {
        let message = format!("the machine did not come up: it failed in the phase `{}`", self.phase);
        Error::new(ErrorKind::StartFailed, message).with_source(self).with_hint(hint)
    }
}

impl fmt::Display for StartFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        for (name, text) in [("QEMU said", &self.qemu_stderr), ("the console ended with", &self.console)] {
            let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
            if !lines.is_empty() {
                write!(f, "\n  {name}:")?;
            }
            for line in &lines[lines.len().saturating_sub(N_LINES)..] {
                write!(f, "\n    {line}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for StartFailure {}

/// The last phase that the guest agent told on the console; `kernel` where it told none.
pub(super) fn boot_phase(console: &str) -> String {
    let phase = console.lines().rev().find_map(|line| line.split_once(CONSOLE_PHASE_MARK));
    phase.map_or_else(|| "kernel".to_owned(), |(_, phase)| format!("guest agent: {}", phase.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_phase_on_the_console_counts() {
        assert_eq!(boot_phase("[    0.1] Linux\n"), "kernel");
        let console = format!("x\n{CONSOLE_PHASE_MARK}modules\r\nnoise\n{CONSOLE_PHASE_MARK}mounts\r\nmore");
        assert_eq!(boot_phase(&console), "guest agent: mounts");
    }
}
