//! `pyro run`.

use super::block_on;
use super::progress::PullDisplay;
use crate::exit::Failure;
use crate::output::{self, Streams};
use clap::Args;
use pyro_host::command::Command;
use pyro_host::error::{Error, ErrorKind};
use pyro_host::pyro::Pyro;
use pyro_host::run::{RunEvent, RunResult, RunSpec, Stdin};
use pyro_host::vm::VmSpec;
use pyro_host::vm::accelerator::AcceleratorChoice;
use std::io::IsTerminal;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How many pieces of output may wait for a slow reader.
const WAITING_EVENTS: usize = 16;

/// How long the reader of a command that ran out of time may take for the rest of its output.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// Run one command in one fresh microVM, and throw the machine away.
///
/// The command's output is passed on as it is printed, its exit code is pyro's. Standard input is passed in when it
/// is not a terminal. The environment is pulled if it is not installed.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes:\n  the command's own; 124 timed out; 125 pyro failed; 126, 127 command not \
executable, not found; 2 wrong usage\n\nExamples:\n  pyro run debian:12 -- git --version\n  pyro run debian:12 \
--vcpu-count 2 --mem-mib 2048 -- nproc\n  pyro run debian:12 --json -- sh -c 'echo out; echo err >&2; exit 3'\n  \
echo hello | pyro run debian:12 -- tr a-z A-Z"
)]
pub struct Run {
    /// The environment, such as debian:12 (see `pyro env list`).
    environment: String,

    /// Virtual CPUs.
    #[arg(long, value_name = "N", default_value_t = 1)]
    vcpu_count: u32,

    /// Guest memory in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    mem_mib: u32,

    /// Seconds after which the command is ended.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout_seconds: u64,

    /// Seconds after which the machine is ended, whatever it does.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    ttl_seconds: u64,

    /// Give the guest a network.
    #[arg(long)]
    network: bool,

    /// Run the command on this host, without isolation, if no guest can be started.
    #[arg(long)]
    allow_host_compat: bool,

    /// Boot a machine instead of cloning a template.
    #[arg(long)]
    cold: bool,

    /// What runs the guest: auto (by measurement), kvm or tcg.
    #[arg(long, value_name = "ACCELERATOR", env = "PYRO_ACCEL", default_value = "auto")]
    accel: AcceleratorChoice,

    /// The Debian mirror to pull the environment from, if it is not installed.
    #[arg(long, value_name = "URL", env = "PYRO_DEBIAN_MIRROR")]
    mirror: Option<String>,

    /// Print one JSON object with the output, the exit code and timings.
    #[arg(long)]
    pub json: bool,

    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Run {
    pub fn execute(self) -> Result<u8, Failure> {
        let (json, spec) = (self.json, self.into_spec());
        let pyro = Pyro::from_environment()?;
        let (events, received) = mpsc::channel(WAITING_EVENTS);
        let display = Display::new(&spec.environment, json);
        let printer = std::thread::spawn(move || display.show_all(received));
        let result = block_on(pyro.run(&spec, piped_stdin(), Some(events)));
        let result = match result {
            Ok(result) => result,
            // The display knows why nobody takes the output any more.
            Err(Failure::Error(error)) if error.kind() == ErrorKind::OutputClosed => {
                printed(printer)?;
                return Err(error.into());
            }
            Err(failure) => return Err(failure),
        };
        if result.timed_out && !ends_soon(&printer) {
            // A reader that has stopped reading must not hold up what ran out of time.
            return Ok(exit_code(&result));
        }
        let streams = printed(printer)?;
        if json {
            output::json(&result)?;
        } else {
            streams.closing_line(&closing_line(&result));
        }
        Ok(exit_code(&result))
    }

    fn into_spec(self) -> RunSpec {
        let capture_bytes = if self.json { RunSpec::CAPTURE_BYTES } else { 0 };
        RunSpec {
            vm: VmSpec { vcpu_count: self.vcpu_count, mem_mib: self.mem_mib },
            timeout_seconds: self.timeout_seconds,
            ttl_seconds: self.ttl_seconds,
            network: self.network,
            allow_host_compat: self.allow_host_compat,
            cold: self.cold,
            accelerator: self.accel,
            mirror: self.mirror,
            capture_bytes,
            ..RunSpec::new(self.environment, Command::Argv(self.command))
        }
    }
}

/// Standard input, unless a person sits there.
fn piped_stdin() -> Option<Stdin> {
    (!std::io::stdin().is_terminal()).then(|| Box::new(tokio::io::stdin()) as Stdin)
}

/// Waits until everything was printed.
fn printed(printer: JoinHandle<Result<Streams, Error>>) -> Result<Streams, Error> {
    printer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Whether everything will have been printed within a moment.
fn ends_soon(printer: &JoinHandle<Result<Streams, Error>>) -> bool {
    let deadline = Instant::now() + LAST_OUTPUT;
    while !printer.is_finished() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    printer.is_finished()
}

fn exit_code(result: &RunResult) -> u8 {
    u8::try_from(result.exit_code).unwrap_or(u8::MAX)
}

fn closing_line(result: &RunResult) -> String {
    let accelerator = result.accelerator.map_or("none", |accelerator| accelerator.name());
    format!(
        "[run] environment={} execution_mode={} accelerator={accelerator} exit_code={} duration_ms={:.0}{}",
        result.environment,
        result.execution_mode.name(),
        result.exit_code,
        result.duration_ms,
        if result.timed_out { " timed_out=true" } else { "" },
    )
}

/// Shows what happens, on a thread of its own: a slow reader holds up the command, not the clock.
struct Display {
    pull: PullDisplay,
    streams: Streams,
    environment: String,
    json: bool,
}

impl Display {
    fn new(environment: &str, json: bool) -> Self {
        let environment = environment.to_owned();
        Self { pull: PullDisplay::new(&environment), streams: Streams::default(), environment, json }
    }

    fn show_all(mut self, mut events: mpsc::Receiver<RunEvent>) -> Result<Streams, Error> {
        while let Some(event) = events.blocking_recv() {
            self.show(event)?;
        }
        self.pull.finish();
        Ok(self.streams)
    }

    fn show(&mut self, event: RunEvent) -> Result<(), Error> {
        match event {
            RunEvent::Pull(progress) => self.pull.show(&progress),
            RunEvent::BuildingTemplate => {
                self.pull.finish();
                output::note(&format!(
                    "[template] phase=boot environment={} (first use of this shape: it is booted once, later runs \
                     are clones)",
                    self.environment
                ));
            }
            RunEvent::RebuildingTemplate(reason) => {
                output::note(&format!(
                    "[template] phase=rebuild environment={} reason={reason}",
                    self.environment
                ));
            }
            RunEvent::HostCompat(reason) => output::note(&format!(
                "warning: the command runs ON THIS HOST, WITHOUT ISOLATION (--allow-host-compat): no guest could be \
                 started: {reason}"
            )),
            RunEvent::Output(channel, bytes) if !self.json => self.streams.write(channel, &bytes)?,
            RunEvent::Output(..) => {}
        }
        Ok(())
    }
}
