//! `pyro run`: one command in one fresh machine.
//!
//! The machine belongs to this process and is gone with it, whether the run returns, is dropped half-way, or the
//! process is killed.
//!
//! ```text
//! start: environment, template, disk, machine, identity -> command -> conversation -> end
//! ```

mod host_compat;
mod printed;
mod timings;

use crate::command::Command;
pub use crate::conversation::Stdin;
use crate::conversation::{Conversation, Outcome};
use crate::error::{Error, Result};
pub use crate::execution_mode::ExecutionMode;
use crate::execution_mode::may_replace;
use crate::guest::{Connection, Execution};
use crate::limits::{DEFAULT_TIMEOUT_SECONDS, DEFAULT_TTL_SECONDS, validate_timeout, validate_ttl};
use crate::output::OutputChannel;
use crate::start::{self, MachineDisk, StartEvent, StartSpec, StartedMachine};
use crate::state_dir::StateDir;
use crate::vm::accelerator::{Accelerator, AcceleratorChoice};
use crate::vm::confinement::{IsolationLevel, RequireIsolation};
use crate::vm::{Border, VmSpec};
use printed::Printed;
use pyro_network::denial::Denial;
use pyro_network::policy::Policy;
use serde::Serialize;
use std::time::Duration;
pub use timings::RunTimings;
use timings::Stopwatch;
use tokio::sync::mpsc;

/// Where progress and output go while a run lasts. Output waits until it is taken.
pub type RunEvents = mpsc::Sender<RunEvent>;

/// The run that is wanted.
#[derive(Debug, Clone)]
pub struct RunSpec {
    /// The name of the environment, such as `debian:12`.
    pub environment: String,
    /// The command.
    pub command: Command,
    /// The machine.
    pub vm: VmSpec,
    /// Seconds after which the command is ended: 1 to 7 days.
    pub timeout_seconds: u64,
    /// Seconds after which the machine is ended: 1 to 7 days.
    pub ttl_seconds: u64,
    /// Whom the guest may talk to. Without it, its machine has no network device at all.
    pub network: Option<Policy>,
    /// The isolation without which the machine is not started.
    pub require_isolation: RequireIsolation,
    /// Whether the command may run on the host where no guest can be started.
    pub allow_host_compat: bool,
    /// Boots a machine instead of cloning a template.
    pub cold: bool,
    /// KVM or TCG, where it is not to be decided by measurement.
    pub accelerator: AcceleratorChoice,
    /// The Debian mirror to pull from, where the environment is not installed.
    pub mirror: Option<String>,
    /// How many bytes of each output are kept for the result.
    pub capture_bytes: usize,
}

impl RunSpec {
    /// How much of each output a result holds by default.
    pub const CAPTURE_BYTES: usize = crate::output::CAPTURE_BYTES;

    /// A run with the defaults of the contract: 1 vCPU, 1024 MiB, 30 s, TTL 600 s, no network.
    pub fn new(environment: impl Into<String>, command: Command) -> Self {
        Self {
            environment: environment.into(),
            command,
            vm: VmSpec::default(),
            timeout_seconds: DEFAULT_TIMEOUT_SECONDS,
            ttl_seconds: DEFAULT_TTL_SECONDS,
            network: None,
            require_isolation: RequireIsolation::default(),
            allow_host_compat: false,
            cold: false,
            accelerator: AcceleratorChoice::Auto,
            mirror: None,
            capture_bytes: Self::CAPTURE_BYTES,
        }
    }

    fn validate(&self) -> Result<Limits> {
        self.command.validate()?;
        self.vm.validate()?;
        self.border().validate(self.allow_host_compat)?;
        Ok(Limits { timeout: validate_timeout(self.timeout_seconds)?, ttl: validate_ttl(self.ttl_seconds)? })
    }

    fn start_spec(&self) -> StartSpec {
        StartSpec {
            environment: self.environment.clone(),
            environment_digest: None,
            vm: self.vm.clone(),
            accelerator: self.accelerator,
            cold: self.cold,
            mirror: self.mirror.clone(),
            border: self.border(),
        }
    }

    fn border(&self) -> Border {
        Border { policy: self.network.clone(), require_isolation: self.require_isolation }
    }
}

/// The limits of a run, checked.
#[derive(Debug, Clone, Copy)]
struct Limits {
    timeout: Duration,
    ttl: Duration,
}

/// What happens during a run, in order.
#[derive(Debug)]
pub enum RunEvent {
    /// Something on the way to a machine.
    Start(StartEvent),
    /// The command runs on the host, without isolation. With the reason.
    HostCompat(String),
    /// The command printed something.
    Output(OutputChannel, Vec<u8>),
}

impl From<StartEvent> for RunEvent {
    fn from(event: StartEvent) -> Self {
        match event {
            StartEvent::HostCompat(reason) => Self::HostCompat(reason),
            event => Self::Start(event),
        }
    }
}

/// What a run came to.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunResult {
    /// The name of the environment.
    pub environment: String,
    /// The command.
    pub command: Command,
    /// The beginning of its standard output.
    pub stdout: String,
    /// The beginning of its standard error.
    pub stderr: String,
    /// Its exit code; 128 + n for a signal; 124 for a time-out.
    pub exit_code: i32,
    /// Milliseconds that the command ran.
    pub duration_ms: f64,
    /// Where it ran.
    pub execution_mode: ExecutionMode,
    /// What ran the guest; none on the host.
    pub accelerator: Option<Accelerator>,
    /// Whether it was ended for its time-out or the machine's TTL.
    pub timed_out: bool,
    /// Whether `stdout` or `stderr` is only the beginning.
    pub truncated: bool,
    /// How well the machine was confined; none on the host.
    pub isolation: Option<IsolationLevel>,
    /// What the guest wanted of the network and was refused.
    pub network_denials: Vec<Denial>,
    /// Where the time went.
    pub timings: RunTimings,
}

/// Runs a command in a fresh machine. Dropping the future ends the machine.
pub async fn run(
    state_dir: &StateDir,
    spec: &RunSpec,
    stdin: Option<Stdin>,
    events: Option<RunEvents>,
) -> Result<RunResult> {
    let limits = spec.validate()?;
    let mut run = Run {
        state_dir,
        spec,
        has_stdin: stdin.is_some(),
        events,
        watch: Stopwatch::start(),
        timings: RunTimings::default(),
    };
    match run.start(limits).await {
        Ok(started) => run.finish(started, limits, stdin).await,
        Err(error) if spec.allow_host_compat && may_replace(&error) => {
            run.on_host(limits, stdin, &error).await
        }
        Err(error) => Err(error),
    }
}

/// Where a command ran, and what is to be told of that.
enum RanIn {
    Guest { accelerator: Accelerator, isolation: IsolationLevel, denials: Vec<Denial> },
    Host,
}

/// A run under way.
struct Run<'a> {
    state_dir: &'a StateDir,
    spec: &'a RunSpec,
    has_stdin: bool,
    events: Option<RunEvents>,
    watch: Stopwatch,
    timings: RunTimings,
}

impl Run<'_> {
    /// Starts a machine and sends it the command, right behind its identity.
    async fn start(&mut self, limits: Limits) -> Result<StartedMachine<Execution>> {
        let (spec, events) = (self.spec.start_spec(), self.events.as_ref());
        let prepared = start::prepare(self.state_dir, &spec, events).await?;
        let exec = self.spec.command.to_exec(limits.timeout, self.has_stdin);
        let send = |connection: &Connection| connection.exec(exec.clone());
        let disk = MachineDisk::Unnamed;
        let started = start::start(self.state_dir, &spec, prepared, &disk, events, send).await?;
        self.timings.set_start(&started.timings);
        self.watch.lap();
        Ok(started)
    }

    async fn finish(
        mut self,
        started: StartedMachine<Execution>,
        limits: Limits,
        stdin: Option<Stdin>,
    ) -> Result<RunResult> {
        let StartedMachine { mut machine, first: execution, launched, accelerator, .. } = started;
        let conversation = Conversation::new(execution, limits.timeout, Some(launched + limits.ttl));
        let mut printed = Printed::new(self.spec.capture_bytes, self.events.clone());
        let outcome = match conversation.hold(stdin, &mut printed).await {
            Ok(outcome) => outcome,
            Err(error) => return Err(machine.explain(error).await),
        };
        self.timings.exec_ms += self.watch.lap();
        let isolation = machine.isolation().level;
        let denials = machine.gateway().map_or(Vec::new(), |gateway| gateway.guard().denials().since(0));
        machine.kill()?;
        self.timings.teardown_ms = self.watch.lap();
        let ran_in = RanIn::Guest { accelerator, isolation, denials };
        Ok(self.result(outcome, printed, ran_in))
    }

    async fn on_host(mut self, limits: Limits, stdin: Option<Stdin>, why: &Error) -> Result<RunResult> {
        if let Some(events) = &self.events {
            // Nobody listens any more: then there is nobody to tell.
            let _ = events.send(RunEvent::HostCompat(why.chain().join(": "))).await;
        }
        self.watch.lap();
        let (outcome, printed) =
            host_compat::run(self.state_dir, self.spec, limits, stdin, self.events.as_ref()).await?;
        self.timings.exec_ms = self.watch.lap();
        Ok(self.result(outcome, printed, RanIn::Host))
    }

    fn result(mut self, outcome: Outcome, printed: Printed, ran_in: RanIn) -> RunResult {
        self.timings.total_ms = self.watch.total();
        let (execution_mode, accelerator, isolation, network_denials) = match ran_in {
            RanIn::Guest { accelerator, isolation, denials } => {
                (ExecutionMode::Guest, Some(accelerator), Some(isolation), denials)
            }
            RanIn::Host => (ExecutionMode::HostCompat, None, None, Vec::new()),
        };
        RunResult {
            environment: self.spec.environment.clone(),
            command: self.spec.command.clone(),
            truncated: printed.stdout.truncated() || printed.stderr.truncated(),
            stdout: printed.stdout.into_text(),
            stderr: printed.stderr.into_text(),
            exit_code: outcome.exit_code,
            duration_ms: timings::milliseconds(outcome.duration),
            execution_mode,
            accelerator,
            timed_out: outcome.timed_out,
            isolation,
            network_denials,
            timings: self.timings,
        }
    }
}
