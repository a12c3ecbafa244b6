//! The history of a workspace, also of one that is stopped.

use super::Workspaces;
use super::call::Following;
use crate::command::Command;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::execution_mode::ExecutionMode;
use crate::instance::{History, HistoryEntry, Observed};
use crate::output::OutputChannel;
use crate::supervisor::Topic;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use tokio::sync::mpsc;

#[cfg(test)]
mod tests;

/// How much of each output a result holds: of one command, and of each of many.
const ONE_BYTES: usize = crate::output::CAPTURE_BYTES;
const EACH_BYTES: usize = 64 * 1024;

/// How much output of many commands a result holds in all.
const ALL_BYTES: usize = 8 * 1024 * 1024;

/// Output is followed in pieces of this size.
const PIECE: u64 = 64 * 1024;

/// Commands of a workspace.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Logs {
    /// The workspace.
    pub workspace_id: String,
    /// How many there are.
    pub count: usize,
    /// Those, in the order in which they were started.
    pub entries: Vec<LoggedCommand>,
}

/// A command with the beginning of its output.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LoggedCommand {
    /// Its number, from 1.
    pub sequence: u64,
    /// What was run. No words where the entry in the history is damaged: then `error` says so.
    pub command: Command,
    /// Where.
    pub cwd: String,
    /// Its exit code; none while it runs, and where nobody saw its end.
    pub exit_code: Option<i32>,
    /// Milliseconds that it ran.
    pub duration_ms: Option<f64>,
    /// Where it ran.
    pub execution_mode: ExecutionMode,
    /// Whether it was ended for its time-out.
    pub timed_out: bool,
    /// The beginning of its standard output.
    pub stdout: String,
    /// The beginning of its standard error.
    pub stderr: String,
    /// When it was run, in seconds since the epoch; 0 where the entry is damaged.
    pub recorded_at: f64,
    /// Whether `stdout` or `stderr` is only the beginning.
    pub truncated: bool,
    /// Whether it still runs.
    pub running: bool,
    /// Why nobody saw its end, or why it cannot be shown, where that is so.
    pub error: Option<String>,
}

/// Something in a history that is followed.
#[derive(Debug, Clone, PartialEq)]
pub enum LogEvent {
    /// A command.
    Begun(HistoryEntry),
    /// Some of its output.
    Output {
        /// The command's number.
        sequence: u64,
        /// Which output.
        channel: OutputChannel,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The command's end.
    Ended(HistoryEntry),
}

/// Where what happens goes.
pub type LogEvents = mpsc::Sender<LogEvent>;

impl Workspaces {
    /// The commands of a workspace: all of them, or one. Of many the output is cut short sooner, that of older ones first.
    /// One that cannot be read says so in its entry.
    ///
    /// # Errors
    /// `not_found` for the workspace or the command.
    pub fn logs(&self, id: &str, sequence: Option<u64>) -> Result<Logs> {
        let told = Entries::of(&self.control.instances().find(id)?);
        let mut no_limit = usize::MAX;
        let entries = match sequence {
            Some(sequence) => vec![told.logged(sequence, ONE_BYTES, &mut no_limit)?],
            None => told.all(ALL_BYTES)?,
        };
        Ok(Logs { workspace_id: id.to_owned(), count: entries.len(), entries })
    }

    /// The same when nothing can come any more: after the end of the command, or of the workspace's machine.
    ///
    /// # Errors
    /// `not_found` for the workspace, also when it was deleted meanwhile, or the command.
    pub async fn logs_at_end(&self, id: &str, sequence: Option<u64>) -> Result<Logs> {
        let observed = self.control.instances().find(id)?;
        let entries = Entries::of(&observed);
        if let Some(sequence) = sequence {
            entries.read(sequence)?;
        }
        if observed.is_owned {
            let mut following = Following::start(&self.control.socket(id)?, Topic::History).await?;
            let is_over = || sequence.map_or(Ok(false), |sequence| Ok(!entries.read(sequence)?.running));
            following.until(is_over).await?;
        }
        self.logs(id, sequence)
    }

    /// Tells everything that there is in the history, or of one command, whole; with `follow` also what comes, until
    /// the workspace ends, or the command. Dropping the receiver ends it.
    ///
    /// # Errors
    /// `not_found` for the workspace or the command.
    pub async fn tell_logs(
        &self,
        id: &str,
        sequence: Option<u64>,
        follow: bool,
        events: LogEvents,
    ) -> Result<()> {
        let observed = self.control.instances().find(id)?;
        let mut teller = Teller { entries: Entries::of(&observed), told: BTreeMap::new(), only: sequence };
        if let Some(sequence) = sequence {
            teller.entries.read(sequence)?;
        }
        if !follow || !observed.is_owned {
            return teller.tell(&events).await;
        }
        let mut following = Following::start(&self.control.socket(id)?, Topic::History).await?;
        loop {
            let is_over = !following.changed().await.unwrap_or(false);
            teller.entries.is_owned = !is_over;
            teller.tell(&events).await?;
            if is_over || teller.is_done() {
                return Ok(());
            }
        }
    }
}

/// The history as it is told: what is damaged in it is part of it.
struct Entries {
    history: History,
    is_owned: bool,
    execution_mode: ExecutionMode,
}

impl Entries {
    fn of(observed: &Observed) -> Self {
        let Observed { instance, record, is_owned } = observed;
        Self { history: instance.history(), is_owned: *is_owned, execution_mode: record.execution_mode }
    }

    /// A command; of one whose entry is damaged, only its number is known.
    ///
    /// # Errors
    /// `not_found`.
    fn read(&self, sequence: u64) -> Result<HistoryEntry> {
        match self.history.read(sequence, self.is_owned) {
            Err(error) if error.kind() != ErrorKind::NotFound => Ok(self.damaged(sequence, &error)),
            entry => entry,
        }
    }

    fn damaged(&self, sequence: u64, error: &Error) -> HistoryEntry {
        HistoryEntry {
            sequence,
            command: Command::Argv(Vec::new()),
            cwd: String::new(),
            recorded_at: 0.0,
            exit_code: None,
            duration_ms: None,
            execution_mode: self.execution_mode,
            timed_out: false,
            error: Some(reason(error)),
            network_denials: Vec::new(),
            running: false,
        }
    }

    /// All commands with `left` bytes of output in all. The newest take theirs first.
    fn all(&self, mut left: usize) -> Result<Vec<LoggedCommand>> {
        let newest_first = self.history.sequences().into_iter().rev();
        let logged = newest_first.map(|sequence| self.logged(sequence, EACH_BYTES, &mut left));
        let mut entries = logged.collect::<Result<Vec<_>>>()?;
        entries.reverse();
        Ok(entries)
    }

    /// A command with the beginning of its outputs: `each` bytes of each at most, and what is left of `left`.
    fn logged(&self, sequence: u64, each: usize, left: &mut usize) -> Result<LoggedCommand> {
        let mut entry = self.read(sequence)?;
        let mut truncated = false;
        let mut head = |channel| match self.history.head(sequence, channel, each.min(*left)) {
            Ok((text, is_whole)) => {
                *left = left.saturating_sub(text.len());
                truncated |= !is_whole;
                text
            }
            Err(error) => {
                truncated = true;
                entry.error.get_or_insert_with(|| reason(&error));
                String::new()
            }
        };
        let (stdout, stderr) = (head(OutputChannel::Stdout), head(OutputChannel::Stderr));
        Ok(LoggedCommand {
            sequence,
            command: entry.command,
            cwd: entry.cwd,
            exit_code: entry.exit_code,
            duration_ms: entry.duration_ms,
            execution_mode: entry.execution_mode,
            timed_out: entry.timed_out,
            stdout,
            stderr,
            recorded_at: entry.recorded_at,
            truncated,
            running: entry.running,
            error: entry.error,
        })
    }
}

fn reason(error: &Error) -> String {
    error.chain().join(": ")
}

/// Tells each thing once.
struct Teller {
    entries: Entries,
    told: BTreeMap<u64, Told>,
    only: Option<u64>,
}

#[derive(Debug, Default)]
struct Told {
    begun: bool,
    n_bytes: [u64; 2],
    ended: bool,
}

impl Teller {
    /// Whether nothing can come any more.
    fn is_done(&self) -> bool {
        self.only.is_some_and(|sequence| self.told.get(&sequence).is_some_and(|told| told.ended))
    }

    async fn tell(&mut self, events: &LogEvents) -> Result<()> {
        let history = &self.entries.history;
        let sequences = self.only.map_or_else(|| history.sequences(), |sequence| vec![sequence]);
        for sequence in sequences {
            let mut told = self.told.remove(&sequence).unwrap_or_default();
            if !told.ended {
                // The entry first: output that is there before the end was written is all there is.
                let entry = self.entries.read(sequence)?;
                tell_command(history, entry, &mut told, events).await?;
            }
            self.told.insert(sequence, told);
        }
        Ok(())
    }
}

async fn tell_command(
    history: &History,
    mut entry: HistoryEntry,
    told: &mut Told,
    events: &LogEvents,
) -> Result<()> {
    let sequence = entry.sequence;
    if !std::mem::replace(&mut told.begun, true) {
        send(events, LogEvent::Begun(entry.clone())).await?;
    }
    for (channel, n_told) in [OutputChannel::Stdout, OutputChannel::Stderr].into_iter().zip(&mut told.n_bytes)
    {
        loop {
            let bytes = match piece(history, sequence, channel, *n_told) {
                Ok(bytes) if bytes.is_empty() => break,
                Ok(bytes) => bytes,
                // It is told with the end, for which there is still to be waited.
                Err(error) => {
                    entry.error.get_or_insert_with(|| reason(&error));
                    break;
                }
            };
            *n_told += bytes.len() as u64;
            send(events, LogEvent::Output { sequence, channel, bytes }).await?;
        }
    }
    if !entry.running {
        told.ended = true;
        send(events, LogEvent::Ended(entry)).await?;
    }
    Ok(())
}

fn piece(history: &History, sequence: u64, channel: OutputChannel, at: u64) -> Result<Vec<u8>> {
    let doing = || format!("could not read the output of command {sequence}");
    let mut file = history.open(sequence, channel)?;
    file.seek(SeekFrom::Start(at)).doing(doing)?;
    let mut bytes = Vec::new();
    file.take(PIECE).read_to_end(&mut bytes).doing(doing)?;
    Ok(bytes)
}

async fn send(events: &LogEvents, event: LogEvent) -> Result<()> {
    events
        .send(event)
        .await
        .map_err(|_| Error::new(ErrorKind::OutputClosed, "nobody reads the logs any more"))
}
