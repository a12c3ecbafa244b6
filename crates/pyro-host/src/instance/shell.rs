//! What is on disk about the shells of a persistent VM.
//!
//! ```text
//! shells/sh-…/record.json         what it is and what came of it
//! shells/sh-…/output.<position>   the end of what its terminal showed, as text, see `output_log`
//! ```

use super::output_log::{OutputLog, Unit};
use super::records::{INTERRUPTED, Records, missing};
use crate::error::Result;
use crate::shell::ShellId;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How much of what a shell showed is kept at least, in bytes.
pub const SHELL_LOG_BYTES: u64 = 4 * 1024 * 1024;

/// How a shell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ShellState {
    /// It runs.
    Running,
    /// It ended by itself.
    Exited,
    /// Somebody had it closed.
    Closed,
    /// Its machine ended under it.
    Failed,
}

impl ShellState {
    /// The word in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Exited => "exited",
            Self::Closed => "closed",
            Self::Failed => "failed",
        }
    }
}

/// One shell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShellRecord {
    /// Its id.
    pub shell_id: ShellId,
    /// Where it began.
    pub cwd: String,
    /// Columns of its terminal.
    pub cols: u16,
    /// Rows of its terminal.
    pub rows: u16,
    /// How it is.
    pub state: ShellState,
    /// When it was opened, in seconds since the epoch.
    pub started_at: f64,
    /// When it ended, likewise. None while it runs, and where nobody saw its end.
    pub ended_at: Option<f64>,
    /// Its exit code; 128 + n for a signal. None while it runs, and where nobody saw its end.
    pub exit_code: Option<i32>,
    /// What went wrong, in words.
    pub failure: Option<String>,
}

/// The shells of one persistent VM.
#[derive(Debug, Clone)]
pub struct Shells {
    records: Records<ShellRecord>,
}

impl Shells {
    pub(super) fn at(folder: PathBuf) -> Self {
        Self { records: Records::at(folder) }
    }

    /// The ids of all, in no order that means anything.
    pub fn ids(&self) -> Vec<ShellId> {
        self.records.names().iter().filter_map(|name| ShellId::parse(name)).collect()
    }

    /// One of them. `is_owned` says whether a supervisor lives: without one nothing runs.
    ///
    /// # Errors
    /// `not_found` when there is none of this id, `io` when its record cannot be read.
    pub fn read(&self, id: &ShellId, is_owned: bool) -> Result<ShellRecord> {
        let mut record = self.records.read(id.as_str())?.ok_or_else(|| Self::not_found(id.as_str()))?;
        if record.state == ShellState::Running && !is_owned {
            record.state = ShellState::Failed;
            record.failure.get_or_insert_with(|| INTERRUPTED.into());
        }
        Ok(record)
    }

    /// The one of an id that somebody gave.
    ///
    /// # Errors
    /// As [`Shells::read`].
    pub fn find(&self, id: &str, is_owned: bool) -> Result<ShellRecord> {
        self.read(&ShellId::parse(id).ok_or_else(|| Self::not_found(id))?, is_owned)
    }

    /// The error of who asks for one that is not there.
    pub fn not_found(id: &str) -> crate::error::Error {
        let hint = "`pyro workspace shell list ID` shows those that are there, `pyro workspace shell open ID` opens one";
        missing(&format!("shell `{id}` in the workspace"), hint.into())
    }

    /// Writes one. Only for the owner.
    ///
    /// # Errors
    /// `io`, also for want of room.
    pub fn write(&self, record: &ShellRecord) -> Result<()> {
        self.records.write(record.shell_id.as_str(), record)
    }

    /// Deletes one with what it showed.
    ///
    /// # Errors
    /// `io`.
    pub fn delete(&self, id: &ShellId) -> Result<()> {
        self.records.delete(id.as_str())
    }

    /// What one showed, as far as it is kept. Positions count characters.
    pub fn log(&self, id: &ShellId) -> OutputLog {
        OutputLog::at(self.records.folder(id.as_str()), "output", Unit::Chars)
    }

    /// Completes the records that an earlier supervisor left without an end. For a new one, before its first shell.
    pub fn end_interrupted(&self) {
        for id in self.ids() {
            // One that cannot be read or written now is told right all the same, as long as nobody owns it.
            if let Ok(record) = self.read(&id, false) {
                let _ = self.write(&record);
            }
        }
    }
}
