//! `pyro workspace exec`.

use crate::commands::printer::{Printer, Show};
use crate::commands::run::piped_stdin;
use crate::commands::{block_on, denials};
use crate::exit::Failure;
use crate::output::{self, Streams};
use clap::Args;
use pyro_host::command::Command;
use pyro_host::error::Error;
use pyro_host::limits::DEFAULT_TIMEOUT_SECONDS;
use pyro_host::output::OutputChannel;
use pyro_host::pyro::Pyro;
use pyro_host::workspace::{ExecResult, ExecSpec};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// A piece of output.
type Piece = (OutputChannel, Vec<u8>);

/// How long after its time-out a command may take to end.
const END_OF_COMMAND: Duration = Duration::from_secs(3);

/// The most output that is kept for a slow reader then.
const MOST_LATE_BYTES: usize = 64 * 1024 * 1024;

/// Run a command in a started workspace, in /workspace.
///
/// The command's output is passed on as it is printed, its exit code is pyro's. Standard input is passed in when it
/// is not a terminal. All of the output is kept: see `pyro workspace logs`. Several commands may run at once.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes:\n  the command's own; 124 timed out; 125 pyro failed; 126, 127 command not \
executable, not found; 2 wrong usage\n\nExamples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 pyro workspace exec $id -- git --version\n\
\x20 echo hello | pyro workspace exec $id --timeout-seconds 60 --json -- tr a-z A-Z\n\
\x20 pyro workspace delete $id"
)]
pub struct Exec {
    /// The workspace.
    #[arg(value_name = "WORKSPACE_ID")]
    id: String,

    /// Seconds after which the command is ended: 1 to 604800.
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_TIMEOUT_SECONDS)]
    timeout_seconds: u64,

    /// Print one JSON object with the output and the exit code.
    #[arg(long)]
    pub json: bool,

    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Exec {
    pub fn execute(self) -> Result<u8, Failure> {
        let mut spec = ExecSpec::new(Command::Argv(self.command));
        spec.timeout_seconds = self.timeout_seconds;
        let pyro = Pyro::from_environment()?;
        if self.json {
            let result = block_on(pyro.exec_workspace(&self.id, &spec, piped_stdin(), None))?;
            output::json(&result)?;
            return Ok(exit_code(&result));
        }
        spec.capture_bytes = 0;
        let (pieces, printer) = Printer::start(Streams::new());
        let (events, received) = mpsc::channel(1);
        let timeout = Duration::from_secs(self.timeout_seconds).saturating_add(END_OF_COMMAND);
        let result = block_on(async {
            let exec = pyro.exec_workspace(&self.id, &spec, piped_stdin(), Some(events));
            let (result, late) = tokio::join!(exec, pass_on(received, &pieces, timeout));
            let result = result?;
            // A reader that has stopped reading must not hold up what ran out of time. The history has all of it.
            for piece in late.into_iter().filter(|_| !result.timed_out) {
                let _ = pieces.send(piece).await; // the printer tells why it takes no more
            }
            drop(pieces);
            Ok(result)
        });
        let (result, printer) = printer.outcome(result)?;
        if result.timed_out && !printer.ends_soon() {
            return Ok(exit_code(&result));
        }
        printer.printed()?.closing_line(&closing_line(&result));
        denials::note(&result.network_denials);
        Ok(exit_code(&result))
    }
}

impl Show<Piece> for Streams {
    fn show(&mut self, (channel, bytes): Piece) -> Result<(), Error> {
        self.write(channel, &bytes)
    }
}

/// Passes output on to the printer. From the end of the command's time on it waits no longer for a slow reader, so that
/// what the command came to can be heard, and gives back what was not passed on.
async fn pass_on(mut from: mpsc::Receiver<Piece>, to: &mpsc::Sender<Piece>, timeout: Duration) -> Vec<Piece> {
    let begun = Instant::now();
    // Wrong time-outs are refused by whoever runs the command.
    let deadline = begun.checked_add(timeout).unwrap_or(begun);
    let mut late = Vec::new();
    let mut late_bytes = 0;
    loop {
        let piece = tokio::select! {
            piece = from.recv() => piece,
            () = to.closed() => return late,
        };
        let Some(piece) = piece else { return late };
        let room = if late.is_empty() { timeout_at(deadline, to.reserve()).await.ok() } else { None };
        match room {
            Some(Ok(room)) => room.send(piece),
            Some(Err(_)) => return late,
            None if late_bytes < MOST_LATE_BYTES => {
                late_bytes += piece.1.len();
                late.push(piece);
            }
            None => {} // only a command that goes on after its time has so much to say
        }
    }
}

fn exit_code(result: &ExecResult) -> u8 {
    u8::try_from(result.exit_code).unwrap_or(u8::MAX)
}

fn closing_line(result: &ExecResult) -> String {
    format!(
        "[workspace-exec] workspace_id={} sequence={} cwd={} execution_mode={} exit_code={} duration_ms={:.0}{}",
        result.workspace_id,
        result.sequence,
        result.cwd,
        result.execution_mode.name(),
        result.exit_code,
        result.duration_ms,
        if result.timed_out { " timed_out=true" } else { "" },
    )
}
