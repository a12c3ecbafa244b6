//! The shells of a workspace.

use super::Workspaces;
use crate::error::{Error, ErrorKind, Result};
use crate::instance::{Instance, Observed, ShellRecord, ShellState};
use crate::shell::{ShellId, ShellSignal, ShellSpec, checked_size};
use crate::supervisor::{Call, Operation};
use serde::Serialize;

mod attachment;
mod read;

#[cfg(test)]
mod tests;

pub use attachment::ShellAttachment;
pub use read::{DEFAULT_MAX_CHARS, ReadSpec, ShellOutput};

/// How many bytes of input a shell takes at once.
const MAX_INPUT: usize = 1024 * 1024;

/// Input is sent in pieces of this size.
const INPUT_CHUNK: usize = 32 * 1024;

/// A shell as it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ShellStatus {
    /// The workspace.
    pub workspace_id: String,
    /// Its id.
    pub shell_id: ShellId,
    /// Where it began. Empty where the record is damaged: then `failure` says so, and all but the ids is unknown.
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

/// The shells of a workspace.
#[derive(Debug, Clone, Serialize)]
pub struct ShellList {
    /// The workspace.
    pub workspace_id: String,
    /// How many there are.
    pub count: usize,
    /// How many of them run.
    pub running_count: usize,
    /// All of them, the oldest first.
    pub shells: Vec<ShellStatus>,
}

/// What was written to a shell.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ShellWritten {
    /// The shell.
    #[serde(flatten)]
    pub shell: ShellStatus,
    /// How many characters the input has, without the newline.
    pub input_length: u64,
    /// Whether a newline was added.
    pub append_newline: bool,
}

/// What was sent to a shell.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ShellSignalled {
    /// The shell.
    #[serde(flatten)]
    pub shell: ShellStatus,
    /// The signal.
    pub signal: ShellSignal,
}

impl Workspaces {
    /// Opens a shell.
    ///
    /// # Errors
    /// `not_found`, `wrong_state` when the workspace is not started, and what the supervisor fails with.
    pub async fn open_shell(&self, id: &str, spec: &ShellSpec) -> Result<ShellStatus> {
        let operation = Operation::ShellOpen(spec.clone().checked()?);
        Ok(ShellStatus::of(id, self.ask(id, operation).await?))
    }

    /// All shells of a workspace, the oldest first. One whose record cannot be read says so, before the others.
    ///
    /// # Errors
    /// `not_found`.
    pub fn list_shells(&self, id: &str) -> Result<ShellList> {
        let Observed { instance, is_owned, .. } = self.control.instances().find(id)?;
        let shells = shells_of(&instance, is_owned);
        let running_count = shells.iter().filter(|shell| shell.state == ShellState::Running).count();
        Ok(ShellList { workspace_id: id.to_owned(), count: shells.len(), running_count, shells })
    }

    /// How a shell is, also one that has ended.
    ///
    /// # Errors
    /// `not_found` for the workspace or the shell, `io` when its record cannot be read.
    pub fn status_shell(&self, id: &str, shell: &str) -> Result<ShellStatus> {
        let Observed { instance, is_owned, .. } = self.control.instances().find(id)?;
        Ok(ShellStatus::of(id, instance.shells().find(shell, is_owned)?))
    }

    /// Types into a shell: the input, at most 1 MiB of it, and a newline where that is wanted.
    ///
    /// # Errors
    /// `invalid_argument` when it is too long, `not_found` for the workspace or the shell, `wrong_state` when the shell
    /// has ended.
    pub async fn write_shell(
        &self,
        id: &str,
        shell: &str,
        input: &str,
        append_newline: bool,
    ) -> Result<ShellWritten> {
        if input.len() > MAX_INPUT {
            let message =
                format!("the input has {} bytes, and a shell takes {MAX_INPUT} at once", input.len());
            let hint = "put it into a file: pyro workspace sync push ID SOURCE";
            return Err(Error::invalid(message).with_hint(hint));
        }
        let shell_id = self.running(id, shell)?.shell_id;
        let newline = if append_newline { "\n" } else { "" };
        let mut call = Call::start(&self.control.socket(id)?, Operation::ShellWrite(shell_id)).await?;
        for piece in [input.as_bytes(), newline.as_bytes()].concat().chunks(INPUT_CHUNK) {
            call.input(piece).await;
        }
        call.end_input().await;
        call.done().await?;
        let shell = self.status_shell(id, shell)?;
        Ok(ShellWritten { shell, input_length: input.chars().count() as u64, append_newline })
    }

    /// Sends a signal to what runs in the foreground of a shell.
    ///
    /// # Errors
    /// `not_found` for the workspace or the shell, `wrong_state` when the shell has ended.
    pub async fn signal_shell(&self, id: &str, shell: &str, signal: ShellSignal) -> Result<ShellSignalled> {
        let operation = Operation::ShellSignal(self.running(id, shell)?.shell_id, signal);
        let shell = ShellStatus::of(id, self.ask(id, operation).await?);
        Ok(ShellSignalled { shell, signal })
    }

    /// Sets the size of a shell's terminal: 2 to 1000 columns, 1 to 1000 rows.
    ///
    /// # Errors
    /// `invalid_argument`, `not_found` for the workspace or the shell, `wrong_state` when the shell has ended.
    pub async fn resize_shell(&self, id: &str, shell: &str, cols: u16, rows: u16) -> Result<ShellStatus> {
        let size = checked_size(cols, rows)?;
        let operation = Operation::ShellResize(self.running(id, shell)?.shell_id, size);
        Ok(ShellStatus::of(id, self.ask(id, operation).await?))
    }

    /// Ends a shell with everything that was started in it. One that has ended is closed; where the workspace is not
    /// started it stays as it is.
    ///
    /// # Errors
    /// `not_found` for the workspace or the shell, and what the supervisor fails with.
    pub async fn close_shell(&self, id: &str, shell: &str) -> Result<ShellStatus> {
        let Observed { instance, is_owned, .. } = self.control.instances().find(id)?;
        let record = instance.shells().find(shell, is_owned)?;
        if !is_owned {
            return Ok(ShellStatus::of(id, record));
        }
        Ok(ShellStatus::of(id, self.ask(id, Operation::ShellClose(record.shell_id)).await?))
    }

    /// A shell to which something may be sent.
    fn running(&self, id: &str, shell: &str) -> Result<ShellStatus> {
        let status = self.status_shell(id, shell)?;
        if status.state == ShellState::Running {
            return Ok(status);
        }
        let message = format!("the shell `{shell}` has ended ({})", status.state.name());
        let error = Error::new(ErrorKind::WrongState, message);
        let error = match status.failure {
            Some(failure) => error.with_source(failure),
            None => error,
        };
        let hint = format!("what it showed can still be read; open another: pyro workspace shell open {id}");
        Err(error.with_hint(hint))
    }
}

impl ShellStatus {
    fn of(id: &str, record: ShellRecord) -> Self {
        Self {
            workspace_id: id.to_owned(),
            shell_id: record.shell_id,
            cwd: record.cwd,
            cols: record.cols,
            rows: record.rows,
            state: record.state,
            started_at: record.started_at,
            ended_at: record.ended_at,
            exit_code: record.exit_code,
            failure: record.failure,
        }
    }
    /// One of which only the id is known.
    fn damaged(id: &str, shell_id: ShellId, error: &Error) -> Self {
        Self {
            workspace_id: id.to_owned(),
            shell_id,
            cwd: String::new(),
            cols: 0,
            rows: 0,
            state: ShellState::Failed,
            started_at: 0.0,
            ended_at: None,
            exit_code: None,
            failure: Some(error.chain().join(": ")),
        }
    }
}

/// All shells of a workspace, the oldest first: what is damaged is one of them.
fn shells_of(instance: &Instance, is_owned: bool) -> Vec<ShellStatus> {
    let (id, shells) = (instance.id.as_str(), instance.shells());
    let status = |shell: ShellId| match shells.read(&shell, is_owned) {
        Ok(record) => Some(ShellStatus::of(id, record)),
        // It went after its id was read.
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => Some(ShellStatus::damaged(id, shell, &error)),
    };
    let mut statuses: Vec<ShellStatus> = shells.ids().into_iter().filter_map(status).collect();
    statuses.sort_by(|a, b| a.started_at.total_cmp(&b.started_at).then_with(|| a.shell_id.cmp(&b.shell_id)));
    statuses
}
