//! Runs a command in a workspace.

use super::Workspaces;
use crate::command::Command;
use crate::conversation::Stdin;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::execution_mode::ExecutionMode;
use crate::instance::HistoryEntry;
use crate::limits::{DEFAULT_TIMEOUT_SECONDS, validate_timeout};
use crate::output::{CAPTURE_BYTES, Capture, OutputChannel};
use crate::supervisor::{Call, CallEvent, Control, ExecRequest, Operation};
use pyro_network::denial::Denial;
use serde::Serialize;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

/// Where the output of a command goes while it runs. It waits until it is taken.
pub type OutputEvents = mpsc::Sender<(OutputChannel, Vec<u8>)>;

const STDIN_CHUNK: usize = 32 * 1024;

/// The command that is wanted.
#[derive(Debug, Clone)]
pub struct ExecSpec {
    /// What to run.
    pub command: Command,
    /// Seconds after which it is ended: 1 to 7 days.
    pub timeout_seconds: u64,
    /// How many bytes of each output are kept for the result. All of it is in the history.
    pub capture_bytes: usize,
}

impl ExecSpec {
    /// A command with the default time-out of 30 s.
    pub fn new(command: Command) -> Self {
        Self { command, timeout_seconds: DEFAULT_TIMEOUT_SECONDS, capture_bytes: CAPTURE_BYTES }
    }

    /// Refuses what no guest could run, and what is out of range.
    pub(crate) fn validate(&self) -> Result<()> {
        self.command.validate()?;
        validate_timeout(self.timeout_seconds).map(drop)
    }
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExecResult {
    /// The workspace.
    pub workspace_id: String,
    /// Its number in the history, from 1.
    pub sequence: u64,
    /// What was run.
    pub command: Command,
    /// Where.
    pub cwd: String,
    /// The beginning of its standard output.
    pub stdout: String,
    /// The beginning of its standard error.
    pub stderr: String,
    /// Its exit code; 128 + n for a signal; 124 for a time-out.
    pub exit_code: i32,
    /// Milliseconds that it ran.
    pub duration_ms: f64,
    /// Where it ran.
    pub execution_mode: ExecutionMode,
    /// Whether it was ended for its time-out.
    pub timed_out: bool,
    /// Whether `stdout` or `stderr` is only the beginning.
    pub truncated: bool,
    /// What the guest wanted of the network and was refused while it ran.
    pub network_denials: Vec<Denial>,
}

impl Workspaces {
    /// Runs a command in a workspace and waits for its end. Dropping the future ends the command.
    ///
    /// # Errors
    /// `not_found`, `wrong_state` when the workspace is not started or is ended meanwhile, `exec_not_started`,
    /// `guest_unreachable`, `disk_full` when the host cannot keep its output.
    pub async fn exec(
        &self,
        id: &str,
        spec: &ExecSpec,
        stdin: Option<Stdin>,
        events: Option<OutputEvents>,
    ) -> Result<ExecResult> {
        exec_in(&self.control, id, spec, stdin, events, false).await
    }
}

/// Runs a command in whatever has a supervisor, which deletes it afterwards if that is wanted.
pub(crate) async fn exec_in(
    control: &Control,
    id: &str,
    spec: &ExecSpec,
    stdin: Option<Stdin>,
    events: Option<OutputEvents>,
    then_delete: bool,
) -> Result<ExecResult> {
    spec.validate()?;
    let socket = control.socket(id)?;
    let ExecSpec { command, timeout_seconds, capture_bytes } = spec.clone();
    let request = ExecRequest { command, timeout_seconds, stdin: stdin.is_some(), then_delete };
    let call = Call::start(&socket, Operation::Exec(request)).await?;
    let captures = [Capture::new(capture_bytes), Capture::new(capture_bytes)];
    let running = Running { call, captures, events };
    let (entry, [stdout, stderr]) = running.finish(stdin).await?;
    let unseen = || Error::new(ErrorKind::Internal, "the supervisor did not say how the command ended");
    Ok(ExecResult {
        workspace_id: id.to_owned(),
        sequence: entry.sequence,
        command: entry.command,
        cwd: entry.cwd,
        truncated: stdout.truncated() || stderr.truncated(),
        stdout: stdout.into_text(),
        stderr: stderr.into_text(),
        exit_code: entry.exit_code.ok_or_else(unseen)?,
        duration_ms: entry.duration_ms.unwrap_or_default(),
        execution_mode: entry.execution_mode,
        timed_out: entry.timed_out,
        network_denials: entry.network_denials,
    })
}

/// A command under way.
struct Running {
    call: Call,
    captures: [Capture; 2],
    events: Option<OutputEvents>,
}

impl Running {
    async fn finish(mut self, mut stdin: Option<Stdin>) -> Result<(HistoryEntry, [Capture; 2])> {
        let mut buffer = vec![0; STDIN_CHUNK];
        loop {
            let room = self.call.credit().min(STDIN_CHUNK);
            tokio::select! {
                biased;
                event = self.call.next() => match event? {
                    CallEvent::Output(channel, bytes) => self.take(channel, bytes).await?,
                    CallEvent::Done(value) => {
                        let doing = || "could not read what the command came to".to_owned();
                        let entry = serde_json::from_value(value).failing(ErrorKind::Internal, doing)?;
                        return Ok((entry, self.captures));
                    }
                    CallEvent::Started { .. } | CallEvent::Credit | CallEvent::Changed => {}
                },
                read = read(&mut stdin, &mut buffer[..room]), if stdin.is_some() && room > 0 => {
                    let doing = || "could not read the standard input for the command".to_owned();
                    match read.doing(doing)? {
                        0 => {
                            stdin = None;
                            self.call.end_input().await;
                        }
                        n_bytes => self.call.input(&buffer[..n_bytes]).await,
                    }
                }
            }
        }
    }

    async fn take(&mut self, channel: OutputChannel, bytes: Vec<u8>) -> Result<()> {
        self.captures[usize::from(channel == OutputChannel::Stderr)].push(&bytes);
        let Some(events) = &self.events else { return Ok(()) };
        let closed = || Error::new(ErrorKind::OutputClosed, "nobody reads the command's output any more");
        events.send((channel, bytes)).await.map_err(|_| closed())
    }
}

async fn read(stdin: &mut Option<Stdin>, buffer: &mut [u8]) -> std::io::Result<usize> {
    match stdin {
        Some(stdin) => stdin.read(buffer).await,
        None => std::future::pending().await,
    }
}
