//! Reads what a shell has shown, by position: readers do not disturb each other.

use super::ShellStatus;
use crate::error::{Error, ErrorKind, Result};
use crate::instance::{Observed, OutputLog, ShellRecord, ShellState};
use crate::output::text_of;
use crate::supervisor::{Operation, ShellWait, Waited};
use crate::terminal;
use crate::workspace::Workspaces;
use pyro_protocol::exec::WindowSize;
use serde::Serialize;
use std::ops::RangeInclusive;

/// How many characters one read gives at most where nothing else is said.
pub const DEFAULT_MAX_CHARS: u64 = 65536;

const MAX_CHARS: RangeInclusive<u64> = 1..=4_194_304;
const IDLE_MS: RangeInclusive<u64> = 1..=60_000;

/// How long a read waits for a quiet terminal.
const WAIT_LIMIT_MS: u64 = 60_000;

/// An escape sequence that is cut in two by a cursor has begun at most so many characters before it.
const LONGEST_SEQUENCE: u64 = 4096;

/// What of a shell's output is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadSpec {
    /// Characters from the start of the session to the first that is wanted.
    pub cursor: u64,
    /// How many characters at most: 1 to 4194304.
    pub max_chars: u64,
    /// Whether to give plain text: without escape sequences, with carriage returns and backspaces applied.
    pub plain: bool,
    /// Wait until the terminal has been quiet for so many milliseconds: 1 to 60000. At most 60 s in all.
    pub wait_for_idle_ms: Option<u64>,
}

/// What a shell has shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ShellOutput {
    /// The shell.
    #[serde(flatten)]
    pub shell: ShellStatus,
    /// The cursor that was asked for.
    pub cursor: u64,
    /// The cursor of what comes next.
    pub next_cursor: u64,
    /// The text.
    pub output: String,
    /// Whether output between the cursor and the beginning of the text is not kept any more.
    pub truncated: bool,
    /// How many characters that is.
    pub dropped_chars: u64,
    /// Whether it was quiet as long as was asked for, or has ended; none where nothing was asked for.
    pub idle: Option<bool>,
}

impl ReadSpec {
    pub(super) fn validate(&self) -> Result<()> {
        in_range("max_chars", self.max_chars, &MAX_CHARS, "it is given in characters")?;
        let idle_ms = self.wait_for_idle_ms.unwrap_or(*IDLE_MS.start());
        in_range("wait_for_idle_ms", idle_ms, &IDLE_MS, "it is given in milliseconds")
    }
}

fn in_range(name: &str, value: u64, range: &RangeInclusive<u64>, hint: &str) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    let message = format!("{name} is {value}, which is not in {} to {}", range.start(), range.end());
    Err(Error::invalid(message).with_hint(hint))
}

impl Workspaces {
    /// Reads what a shell has shown, also of one that has ended. A read stops where output is missing; the next one says
    /// how much. At a cursor beyond the end there is nothing, and `next_cursor` is that cursor.
    ///
    /// # Errors
    /// `invalid_argument` for what is out of range, `not_found` for the workspace or the shell, `io`.
    pub async fn read_shell(&self, id: &str, shell: &str, spec: &ReadSpec) -> Result<ShellOutput> {
        spec.validate()?;
        let idle = match spec.wait_for_idle_ms {
            Some(idle_ms) => Some(self.wait_for_shell(id, shell, spec, idle_ms).await?),
            None => None,
        };
        let Observed { instance, is_owned, .. } = self.control.instances().find(id)?;
        // The record first: output that is there before the end was written is all there is.
        let record = instance.shells().find(shell, is_owned)?;
        let log = instance.shells().log(&record.shell_id);
        read(id, record, &log, spec, idle)
    }

    /// Waits until a shell is quiet, has shown what is to be read, or has ended. Says whether it is quiet or has ended.
    async fn wait_for_shell(&self, id: &str, shell: &str, spec: &ReadSpec, idle_ms: u64) -> Result<bool> {
        let has_ended = || self.status_shell(id, shell).map(|status| status.state != ShellState::Running);
        if has_ended()? {
            return Ok(true);
        }
        let position = spec.cursor.saturating_add(spec.max_chars);
        let wait = ShellWait { idle_ms, position, limit_ms: WAIT_LIMIT_MS };
        let shell_id = self.status_shell(id, shell)?.shell_id;
        match self.ask::<Waited>(id, Operation::ShellWait(shell_id, wait)).await {
            Ok(waited) => Ok(waited.idle),
            // Its workspace was stopped meanwhile.
            Err(error) if is_of_end(&error) && has_ended()? => Ok(true),
            Err(error) => Err(error),
        }
    }
}

fn is_of_end(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::GuestUnreachable | ErrorKind::WrongState)
}

pub(super) fn read(
    id: &str,
    record: ShellRecord,
    log: &OutputLog,
    spec: &ReadSpec,
    idle: Option<bool>,
) -> Result<ShellOutput> {
    let shell = ShellStatus::of(id, record);
    let piece = log.read(spec.cursor, spec.max_chars)?;
    let (from, next_cursor) = (piece.from, piece.next);
    let text = text_of(piece.bytes);
    let size = WindowSize { cols: shell.cols, rows: shell.rows };
    let output = if spec.plain { terminal::plain(&before(log, from)?, &text, size) } else { text };
    let dropped_chars = from - spec.cursor;
    let truncated = dropped_chars > 0;
    Ok(ShellOutput { shell, cursor: spec.cursor, next_cursor, output, truncated, dropped_chars, idle })
}

/// What was shown just before a position, as far as an escape sequence may go on after it.
fn before(log: &OutputLog, position: u64) -> Result<String> {
    let mut start = position.saturating_sub(LONGEST_SEQUENCE);
    while start < position {
        let piece = log.read(start, position - start)?;
        if piece.from == start && piece.next == position {
            return Ok(text_of(piece.bytes));
        }
        // Past what is missing, or to its beginning.
        start = if piece.from > start { piece.from } else { piece.next.max(start + 1) };
    }
    Ok(String::new())
}
