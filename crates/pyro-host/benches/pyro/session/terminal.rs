//! Somebody who types at a shell of the bench.

use super::guest::Guest;
use crate::Result;
use crate::samples::milliseconds;
use pyro_host::shell::{ShellId, ShellSpec};
use pyro_host::workspace::{ReadSpec, ShellAttachment, ShellOutput, Workspaces};
use std::time::{Duration, Instant};

/// A shell has shown its prompt when it has shown something, and then nothing for so long.
const QUIET_MS: u64 = 500;

/// Longer than any echo takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many characters are read at once.
const MAX_CHARS: u64 = 65536;

/// A shell, somebody at it, and where in what it shows they are.
pub struct Terminal<'a> {
    workspaces: &'a Workspaces,
    workspace: &'a str,
    shell: ShellId,
    attachment: ShellAttachment,
    cursor: u64,
}

/// By what way something is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By an attachment that is there.
    Attached,
    /// By a call of its own.
    Call,
}

/// Milliseconds from before a key was typed.
pub struct Echoed {
    /// Until somebody at the shell was told.
    pub seen_ms: f64,
    /// Until it was read by its cursor.
    pub readable_ms: f64,
}

impl<'a> Terminal<'a> {
    /// Opens a shell, runs a line in it, and comes to it when it is quiet.
    pub async fn open(guest: &'a Guest<'_>, line: Option<&str>) -> Result<Self> {
        let (workspaces, workspace) = (&guest.workspaces, guest.id.as_str());
        let shell = workspaces.open_shell(workspace, &ShellSpec::default()).await?.shell_id;
        let mut shown = quiet(workspaces, workspace, &shell, 0).await?;
        if let Some(line) = line {
            workspaces.write_shell(workspace, shell.as_str(), line, true).await?;
            shown = quiet(workspaces, workspace, &shell, shown.next_cursor).await?;
        }
        let mut attachment = workspaces.attach_shell(workspace, shell.as_str()).await?;
        attachment.screen()?; // what comes next is what is shown next
        Ok(Self { workspaces, workspace, shell, attachment, cursor: shown.next_cursor })
    }

    /// Types a key that is not at the end of what is shown, and waits until it is.
    pub async fn key(&mut self, key: char, way: Way) -> Result<Echoed> {
        let late = |_| format!("{key:?} was not echoed within {PATIENCE:?}");
        tokio::time::timeout(PATIENCE, self.type_key(key, way)).await.map_err(late)?
    }

    async fn type_key(&mut self, key: char, way: Way) -> Result<Echoed> {
        let shell = self.shell.as_str();
        let begun = Instant::now();
        match way {
            Way::Attached => self.attachment.write(key.to_string().as_bytes()).await?,
            Way::Call => {
                self.workspaces.write_shell(self.workspace, shell, &key.to_string(), false).await?;
            }
        }
        while !self.attachment.next().await?.ok_or("the shell has ended")?.contains(key) {}
        let seen = begun.elapsed();
        let shown = self.workspaces.read_shell(self.workspace, shell, &at(self.cursor)).await?;
        let readable = begun.elapsed();
        self.cursor = shown.next_cursor;
        if shown.output.contains(key) {
            Ok(Echoed { seen_ms: milliseconds(seen), readable_ms: milliseconds(readable) })
        } else {
            Err(format!("{key:?} was told to an attachment, and a read gives {:?}", shown.output).into())
        }
    }

    /// Ends the shell.
    pub async fn close(self) -> Result<()> {
        drop(self.attachment);
        self.workspaces.close_shell(self.workspace, self.shell.as_str()).await?;
        Ok(())
    }
}

/// What is shown from a cursor on, when that is something and nothing more comes.
pub async fn quiet(
    workspaces: &Workspaces,
    workspace: &str,
    shell: &ShellId,
    cursor: u64,
) -> Result<ShellOutput> {
    let wanted = ReadSpec { wait_for_idle_ms: Some(QUIET_MS), ..at(cursor) };
    let begun = Instant::now();
    loop {
        let shown = workspaces.read_shell(workspace, shell.as_str(), &wanted).await?;
        if !shown.output.is_empty() && shown.idle == Some(true) {
            return Ok(shown);
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("the shell shows {:?} and is not quiet", shown.output).into());
        }
    }
}

fn at(cursor: u64) -> ReadSpec {
    ReadSpec { cursor, max_chars: MAX_CHARS, plain: false, wait_for_idle_ms: None }
}
