//! The history of a workspace, also of one that is stopped.

use super::Workspaces;
use crate::command::Command;
use crate::error::{Error, ErrorKind, Result};
use crate::execution_mode::ExecutionMode;
use crate::instance::{History, HistoryEntry, Observed};
use crate::output::OutputChannel;
use crate::supervisor::{Call, CallEvent, Operation};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use tokio::sync::mpsc;

/// How much of each output a result holds: of one command, and of each of many.
const ONE_BYTES: usize = crate::output::CAPTURE_BYTES;
const EACH_BYTES: usize = 64 * 1024;

/// Output is followed in pieces of this size.
const PIECE: u64 = 64 * 1024;

/// Commands of a workspace.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
pub struct LoggedCommand {
    /// Its number, from 1.
    pub sequence: u64,
    /// What was run.
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
    /// When it was run, in seconds since the epoch.
    pub recorded_at: f64,
    /// Whether `stdout` or `stderr` is only the beginning.
    pub truncated: bool,
    /// Whether it still runs.
    pub running: bool,
    /// Why nobody saw its end, where that is so.
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
    /// The commands of a workspace: all of them, or one. Of many the output is cut short sooner.
    ///
    /// # Errors
    /// `not_found` for the workspace or the command.
    pub fn logs(&self, id: &str, sequence: Option<u64>) -> Result<Logs> {
        let Observed { instance, is_owned, .. } = self.control.instances().find(id)?;
        let history = instance.history();
        let (sequences, limit) = match sequence {
            Some(sequence) => (vec![sequence], ONE_BYTES),
            None => (history.sequences(), EACH_BYTES),
        };
        let logged = |sequence| logged(&history, history.read(sequence, is_owned)?, limit);
        let entries = sequences.into_iter().map(logged).collect::<Result<Vec<_>>>()?;
        Ok(Logs { workspace_id: id.to_owned(), count: entries.len(), entries })
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
        let Observed { instance, is_owned, .. } = self.control.instances().find(id)?;
        let mut teller =
            Teller { history: instance.history(), told: BTreeMap::new(), only: sequence, is_owned };
        if let Some(sequence) = sequence {
            teller.history.read(sequence, is_owned)?;
        }
        if !follow || !is_owned {
            return teller.tell(&events).await;
        }
        let mut call = Call::start(&self.control.socket(id)?, Operation::Follow).await?;
        loop {
            let event = call.next().await;
            let is_over = !matches!(event, Ok(CallEvent::Changed));
            teller.is_owned = !is_over;
            teller.tell(&events).await?;
            if is_over || teller.is_done() {
                return Ok(());
            }
        }
    }
}

fn logged(history: &History, entry: HistoryEntry, limit: usize) -> Result<LoggedCommand> {
    let (stdout, stdout_whole) = history.head(entry.sequence, OutputChannel::Stdout, limit)?;
    let (stderr, stderr_whole) = history.head(entry.sequence, OutputChannel::Stderr, limit)?;
    Ok(LoggedCommand {
        sequence: entry.sequence,
        command: entry.command,
        cwd: entry.cwd,
        exit_code: entry.exit_code,
        duration_ms: entry.duration_ms,
        execution_mode: entry.execution_mode,
        timed_out: entry.timed_out,
        stdout,
        stderr,
        recorded_at: entry.recorded_at,
        truncated: !(stdout_whole && stderr_whole),
        running: entry.running,
        error: entry.error,
    })
}

/// Tells each thing once.
struct Teller {
    history: History,
    told: BTreeMap<u64, Told>,
    only: Option<u64>,
    is_owned: bool,
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
        let sequences = self.only.map_or_else(|| self.history.sequences(), |sequence| vec![sequence]);
        for sequence in sequences {
            let mut told = self.told.remove(&sequence).unwrap_or_default();
            if !told.ended {
                // The entry first: output that is there before the end was written is all there is.
                let entry = self.history.read(sequence, self.is_owned)?;
                tell_command(&self.history, entry, &mut told, events).await?;
            }
            self.told.insert(sequence, told);
        }
        Ok(())
    }
}

async fn tell_command(
    history: &History,
    entry: HistoryEntry,
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
            let bytes = piece(history, sequence, channel, *n_told)?;
            if bytes.is_empty() {
                break;
            }
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
    use crate::error::Context;
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
