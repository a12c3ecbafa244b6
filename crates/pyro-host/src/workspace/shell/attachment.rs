//! Somebody at a shell: sees what it shows, and may type.
//!
//! The supervisor says that there is something new, and the log on disk has it. So nobody has to wait for somebody who is
//! slow: what is dropped before it was seen is replaced by the screen as it is.

use super::{INPUT_CHUNK, ShellStatus};
use crate::error::{Context, ErrorKind, Result};
use crate::instance::OutputLog;
use crate::output::text_of;
use crate::shell::checked_size;
use crate::supervisor::{Call, CallEvent, Operation};
use crate::terminal;
use crate::workspace::Workspaces;
use pyro_protocol::exec::WindowSize;
use std::os::fd::OwnedFd;
use tokio::io::unix::AsyncFd;

/// Output is shown in pieces of so many characters.
const PIECE: u64 = 64 * 1024;

/// Somebody at a shell: sees what it shows, and may type. Dropping it leaves the shell as it is.
#[derive(Debug)]
pub struct ShellAttachment {
    workspaces: Workspaces,
    workspace_id: String,
    shell_id: String,
    shown: Shown,
    call: Call,
    process: Option<AsyncFd<OwnedFd>>,
    /// Whether there may be something in the log that was not shown yet.
    has_changed: bool,
    is_over: bool,
}

impl Workspaces {
    /// Comes to a shell.
    ///
    /// # Errors
    /// `not_found` for the workspace or the shell, `wrong_state` when the shell has ended.
    pub async fn attach_shell(&self, id: &str, shell: &str) -> Result<ShellAttachment> {
        let shell_id = self.running(id, shell)?.shell_id;
        let log = self.control.instances().find(id)?.instance.shells().log(&shell_id);
        let call = Call::start(&self.control.socket(id)?, Operation::ShellAttach(shell_id)).await?;
        let mut attachment = ShellAttachment {
            workspaces: self.clone(),
            workspace_id: id.to_owned(),
            shell_id: shell.to_owned(),
            shown: Shown { log, cursor: 0 },
            process: call.process(),
            call,
            has_changed: true,
            is_over: false,
        };
        attachment.told().await?; // the first says that it goes on from here
        Ok(attachment)
    }
}

impl ShellAttachment {
    /// How the shell is.
    ///
    /// # Errors
    /// `not_found` when the workspace or the shell was deleted meanwhile, `io`.
    pub fn status(&self) -> Result<ShellStatus> {
        self.workspaces.status_shell(&self.workspace_id, &self.shell_id)
    }

    /// What brings an empty terminal of the shell's size to where the shell's is: text with escape sequences. What comes
    /// after it is what is shown next. Without this, that begins with the first that is kept.
    ///
    /// # Errors
    /// As [`ShellAttachment::status`].
    pub fn screen(&mut self) -> Result<String> {
        let ShellStatus { cols, rows, .. } = self.status()?;
        self.shown.screen(WindowSize { cols, rows })
    }

    /// Waits for what the shell shows next. `None` when it has ended and everything was given. Where output was dropped
    /// before it could be given, this clears the terminal and gives the screen as it is. May be dropped half-way.
    ///
    /// # Errors
    /// What the supervisor fails with, `not_found` when the workspace was deleted meanwhile, `io`.
    pub async fn next(&mut self) -> Result<Option<String>> {
        loop {
            let shown = self.shown()?;
            if shown.is_some() || self.is_over {
                return Ok(shown);
            }
            self.told().await?;
        }
    }

    /// What [`ShellAttachment::next`] gives, without waiting. `None` when there is nothing now.
    ///
    /// # Errors
    /// `not_found` when the workspace was deleted meanwhile, `io`.
    pub fn shown(&mut self) -> Result<Option<String>> {
        if !self.has_changed {
            return Ok(None);
        }
        let ShellStatus { cols, rows, .. } = self.status()?;
        let shown = self.shown.next(WindowSize { cols, rows })?;
        self.has_changed = shown.is_some();
        Ok(shown)
    }

    /// Whether the shell has ended. What it showed last may still be there to be given.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Waits until the supervisor tells something: the shell shows more or has ended, or more may be typed. When it has
    /// told the end this returns at once. May be dropped half-way.
    ///
    /// # Errors
    /// What the supervisor fails with.
    pub async fn told(&mut self) -> Result<()> {
        if self.is_over {
            return Ok(());
        }
        match self.call.next().await {
            Ok(CallEvent::Credit) => return Ok(()),
            Ok(CallEvent::Done(_)) => self.is_over = true,
            Ok(_) => {}
            Err(error) if error.kind() != ErrorKind::GuestUnreachable => return Err(error),
            Err(_) => {
                self.supervisor_ended().await?;
                self.is_over = true;
            }
        }
        self.has_changed = true;
        Ok(())
    }

    /// Waits until the supervisor does not write the records any more.
    async fn supervisor_ended(&self) -> Result<()> {
        let Some(process) = &self.process else { return Ok(()) };
        process.readable().await.map(drop).doing(|| "could not wait for the supervisor".into())
    }

    /// How many bytes can be typed now without waiting. [`ShellAttachment::told`] and [`ShellAttachment::next`] make
    /// more of it.
    pub fn room(&self) -> usize {
        self.call.credit()
    }

    /// Types. The bytes go as they are. Those for which there is no room wait until what runs in the shell has read what
    /// was typed before. To a shell that has ended they go nowhere, which the next [`ShellAttachment::next`] tells.
    /// When this is dropped half-way, some of them may have been typed.
    ///
    /// # Errors
    /// What the supervisor fails with.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() && !self.is_over {
            let (now, rest) = bytes.split_at(bytes.len().min(self.room()).min(INPUT_CHUNK));
            if now.is_empty() {
                self.told().await?;
                continue;
            }
            self.call.input(now).await;
            bytes = rest;
        }
        Ok(())
    }

    /// Sets the size of the terminal: 2 to 1000 columns, 1 to 1000 rows.
    ///
    /// # Errors
    /// `invalid_argument`.
    pub async fn resize(&mut self, cols: u16, rows: u16) -> Result<()> {
        self.call.message(&checked_size(cols, rows)?).await;
        Ok(())
    }
}

/// How far a log was shown.
#[derive(Debug)]
pub(super) struct Shown {
    pub log: OutputLog,
    pub cursor: u64,
}

impl Shown {
    /// The screen as the whole log leaves it.
    pub fn screen(&mut self, size: WindowSize) -> Result<String> {
        let mut text = String::new();
        self.cursor = 0;
        loop {
            let piece = self.log.read(self.cursor, u64::MAX)?;
            self.cursor = piece.next;
            if piece.bytes.is_empty() {
                return Ok(terminal::screen(&text, size));
            }
            text.push_str(&text_of(piece.bytes));
        }
    }

    /// What is to be shown next, if there is something.
    pub fn next(&mut self, size: WindowSize) -> Result<Option<String>> {
        let piece = self.log.read(self.cursor, PIECE)?;
        if piece.from > self.cursor {
            return Ok(Some(format!("{}{}", terminal::CLEAR, self.screen(size)?)));
        }
        self.cursor = piece.next;
        Ok((!piece.bytes.is_empty()).then(|| text_of(piece.bytes)))
    }
}
