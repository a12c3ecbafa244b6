//! `pyro run`.

use super::machine::{MachineArgs, accelerator_name};
use super::printer::{Printer, Show};
use super::progress::StartDisplay;
use super::{block_on, denials};
use crate::exit::Failure;
use crate::output::{self, Streams};
use clap::Args;
use pyro_host::command::Command;
use pyro_host::error::Error;
use pyro_host::limits::{DEFAULT_TIMEOUT_SECONDS, allow_many_files};
use pyro_host::pyro::Pyro;
use pyro_host::run::{RunEvent, RunResult, RunSpec, Stdin};
use pyro_host::vm::disk::DiskSpec;
use std::io::IsTerminal;

/// Run one command in one fresh microVM, and throw the machine away.
///
/// The command's output is passed on as it is printed, its exit code is pyro's. Standard input is passed in when it
/// is not a terminal. The environment is pulled if it is not installed.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes:\n  the command's own; 124 timed out; 125 pyro failed; 126, 127 command not \
executable, not found; 2 wrong usage\n\nExamples:\n  pyro run debian:12 -- git --version\n  pyro run debian:12 \
--vcpu-count 2 --mem-mib 2048 -- nproc\n  pyro run debian:12 --json -- sh -c 'echo out; echo err >&2; exit 3'\n  \
pyro run debian:12 --allow none -- sh -c '! curl --silent http://example.org'\n  echo hello | pyro run debian:12 -- tr a-z A-Z"
)]
pub struct Run {
    #[command(flatten)]
    machine: MachineArgs,

    /// Seconds after which the command is ended: 1 to 604800.
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_TIMEOUT_SECONDS)]
    timeout_seconds: u64,

    /// Boot a machine instead of cloning a template.
    #[arg(long)]
    cold: bool,

    /// Print one JSON object with the output, the exit code and timings.
    #[arg(long)]
    pub json: bool,

    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Run {
    pub fn execute(self) -> Result<u8, Failure> {
        let (json, spec) = (self.json, self.into_spec()?);
        let pyro = Pyro::from_environment()?;
        if spec.network.is_some() {
            allow_many_files();
        }
        let (events, printer) = Printer::start(Display::new(&spec.environment, json));
        let result = block_on(pyro.run(&spec, piped_stdin(), Some(events)));
        let (result, printer) = printer.outcome(result)?;
        if result.timed_out && !printer.ends_soon() {
            // A reader that has stopped reading must not hold up what ran out of time.
            return Ok(exit_code(&result));
        }
        let display = printer.printed()?;
        if json {
            output::json(&result)?;
        } else {
            display.streams.closing_line(&closing_line(&result));
            denials::note(&result.network_denials);
        }
        Ok(exit_code(&result))
    }

    fn into_spec(self) -> Result<RunSpec, Error> {
        let capture_bytes = if self.json { RunSpec::CAPTURE_BYTES } else { 0 };
        let machine = self.machine;
        Ok(RunSpec {
            vm: machine.vm(DiskSpec::Scratch),
            timeout_seconds: self.timeout_seconds,
            ttl_seconds: machine.ttl_seconds,
            network: machine.network()?,
            require_isolation: machine.require_isolation,
            allow_host_compat: machine.allow_host_compat,
            cold: self.cold,
            accelerator: machine.accel,
            mirror: machine.mirror,
            capture_bytes,
            ..RunSpec::new(machine.environment, Command::Argv(self.command))
        })
    }
}

/// Standard input, unless a person sits there.
pub fn piped_stdin() -> Option<Stdin> {
    (!std::io::stdin().is_terminal()).then(|| Box::new(tokio::io::stdin()) as Stdin)
}

fn exit_code(result: &RunResult) -> u8 {
    u8::try_from(result.exit_code).unwrap_or(u8::MAX)
}

fn closing_line(result: &RunResult) -> String {
    let accelerator = accelerator_name(result.accelerator);
    format!(
        "[run] environment={} execution_mode={} accelerator={accelerator} exit_code={} duration_ms={:.0}{}",
        result.environment,
        result.execution_mode.name(),
        result.exit_code,
        result.duration_ms,
        if result.timed_out { " timed_out=true" } else { "" },
    )
}

/// Shows what happens.
struct Display {
    start: StartDisplay,
    streams: Streams,
    json: bool,
}

impl Display {
    fn new(environment: &str, json: bool) -> Self {
        Self { start: StartDisplay::new(environment), streams: Streams::new(), json }
    }
}

impl Show<RunEvent> for Display {
    fn show(&mut self, event: RunEvent) -> Result<(), Error> {
        match event {
            RunEvent::Start(event) => self.start.show(event)?,
            RunEvent::HostCompat(reason) => output::note(&format!(
                "warning: the command runs ON THIS HOST, WITHOUT ISOLATION (--allow-host-compat): no guest could be \
                 started: {reason}"
            )),
            RunEvent::Output(channel, bytes) if !self.json => self.streams.write(channel, &bytes)?,
            RunEvent::Output(..) => {}
        }
        Ok(())
    }

    fn finish(&mut self) {
        self.start.finish();
    }
}
