//! `pyro run`: one command in one fresh machine.
//!
//! The machine belongs to this process and is gone with it, whether the run returns, is dropped half-way, or the
//! process is killed.
//!
//! ```text
//! environment (pulled if missing) -> template (built if missing) -> disk -> machine -> identity, command
//! ```

mod conversation;
mod host_compat;
mod timings;

use crate::command::Command;
use crate::environment::{Environment, Environments, PullOptions, PullProgress};
use crate::error::{Error, ErrorKind, Result};
use crate::guest::Execution;
use crate::identity;
use crate::limits::{DEFAULT_TIMEOUT_SECONDS, DEFAULT_TTL_SECONDS, validate_timeout, validate_ttl};
use crate::output::OutputChannel;
use crate::state_dir::StateDir;
use crate::template::{Template, TemplateKey, Templates};
use crate::vm::accelerator::{Accelerator, AcceleratorChoice};
use crate::vm::hypervisor::Hypervisor;
use crate::vm::machine::{Machine, Origin};
use crate::vm::{VmSpec, disk};
use conversation::{Conversation, Outcome};
use serde::Serialize;
use std::fs::File;
use std::time::{Duration, Instant};
pub use timings::RunTimings;
use timings::Stopwatch;
use tokio::io::AsyncRead;
use tokio::sync::mpsc;

/// Bytes for a command's standard input.
pub type Stdin = Box<dyn AsyncRead + Send + Unpin>;

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
    /// Whether the guest gets a network.
    pub network: bool,
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
    pub const CAPTURE_BYTES: usize = 8 * 1024 * 1024;

    /// A run with the defaults of the contract: 1 vCPU, 1024 MiB, 30 s, TTL 600 s, no network.
    pub fn new(environment: impl Into<String>, command: Command) -> Self {
        Self {
            environment: environment.into(),
            command,
            vm: VmSpec::default(),
            timeout_seconds: DEFAULT_TIMEOUT_SECONDS,
            ttl_seconds: DEFAULT_TTL_SECONDS,
            network: false,
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
        if self.network {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "a guest network is not available in this version",
            )
            .with_hint("run without --network; put what the command needs into the environment"));
        }
        Ok(Limits { timeout: validate_timeout(self.timeout_seconds)?, ttl: validate_ttl(self.ttl_seconds)? })
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
    /// The environment is not installed and is being pulled.
    Pull(PullProgress),
    /// There is no template of this shape yet: one is being built, which takes as long as a boot.
    BuildingTemplate,
    /// The template did not work and is being built again. With the reason.
    RebuildingTemplate(String),
    /// The command runs on the host, without isolation. With the reason.
    HostCompat(String),
    /// The command printed something.
    Output(OutputChannel, Vec<u8>),
}

/// Where a command ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionMode {
    /// In a machine.
    Guest,
    /// On the host, without isolation.
    HostCompat,
}

impl ExecutionMode {
    /// The word in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::HostCompat => "host_compat",
        }
    }
}

/// What a run came to.
#[derive(Debug, Clone, Serialize)]
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
        Err(error) if spec.allow_host_compat && host_compat::may_replace(&error) => {
            run.on_host(limits, stdin, &error).await
        }
        Err(error) => Err(error),
    }
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

/// A machine that was told who it is, and the command that was sent to it.
struct Started {
    machine: Machine,
    execution: Execution,
    launched: Instant,
    accelerator: Accelerator,
}

impl Run<'_> {
    async fn start(&mut self, limits: Limits) -> Result<Started> {
        let hypervisor = Hypervisor::find(self.state_dir, self.spec.accelerator)?;
        let environment = self.environment().await?;
        if self.spec.cold {
            let disk = disk::blank(self.state_dir)?;
            self.timings.disk_ms = self.watch.lap();
            return self.launch(&hypervisor, &environment, disk, Origin::Boot, limits).await;
        }
        let key = TemplateKey::new(&hypervisor, &self.spec.vm, &environment)?;
        let templates = Templates::new(self.state_dir.clone());
        let template = match templates.find(&key) {
            Some(template) => template,
            None => self.build_template(&templates, &key, &hypervisor, &environment).await?,
        };
        match self.clone_of(template, &hypervisor, &environment, limits).await {
            Err(error) if error.kind() == ErrorKind::StartFailed => {
                self.tell(RunEvent::RebuildingTemplate(error.chain().join(": "))).await;
                templates.discard(&key)?;
                let template = self.build_template(&templates, &key, &hypervisor, &environment).await?;
                self.clone_of(template, &hypervisor, &environment, limits).await
            }
            started => started,
        }
    }

    /// The installed environment, pulled where it is not.
    async fn environment(&mut self) -> Result<Environment> {
        let environments = Environments::new(self.state_dir.clone());
        let installed = environments.installed(&self.spec.environment)?;
        self.timings.prepare_ms = self.watch.lap();
        if let Some(environment) = installed {
            return Ok(environment);
        }
        let options = PullOptions { mirror: self.spec.mirror.clone(), ..PullOptions::default() };
        let events = self.events.clone();
        // Progress that nobody takes in time is dropped: it must not hold up the pull.
        let progress = |progress| {
            if let Some(events) = &events {
                let _ = events.try_send(RunEvent::Pull(progress));
            }
        };
        let environment = environments.pull(&self.spec.environment, options, progress).await?;
        self.timings.pull_ms = self.watch.lap();
        Ok(environment)
    }

    async fn build_template(
        &mut self,
        templates: &Templates,
        key: &TemplateKey,
        hypervisor: &Hypervisor,
        environment: &Environment,
    ) -> Result<Template> {
        self.tell(RunEvent::BuildingTemplate).await;
        templates.build(key, hypervisor, &self.spec.vm, environment).await
    }

    async fn clone_of(
        &mut self,
        template: Template,
        hypervisor: &Hypervisor,
        environment: &Environment,
        limits: Limits,
    ) -> Result<Started> {
        self.timings.template_ms += self.watch.lap();
        let disk = template.disk(self.state_dir)?;
        self.timings.disk_ms = self.watch.lap();
        self.launch(hypervisor, environment, disk, template.into_origin(), limits).await
    }

    /// Starts the machine, tells it who it is and sends it the command.
    async fn launch(
        &mut self,
        hypervisor: &Hypervisor,
        environment: &Environment,
        disk: File,
        origin: Origin,
        limits: Limits,
    ) -> Result<Started> {
        let mut machine = Machine::launch(hypervisor, &self.spec.vm, environment, disk, origin).await?;
        let launched = Instant::now();
        machine.ready().await?;
        self.timings.set_start(machine.timings());
        self.watch.lap();
        // Only now, since the time of now is a part of the identity. The command follows without waiting.
        let identified = machine.connection().identify(identity::fresh()?);
        let exec = self.spec.command.to_exec(limits.timeout, self.has_stdin);
        let execution = machine.connection().exec(exec)?;
        machine.within_limit("identify", identified).await?;
        Ok(Started { machine, execution, launched, accelerator: hypervisor.accelerator.kind })
    }

    async fn finish(mut self, started: Started, limits: Limits, stdin: Option<Stdin>) -> Result<RunResult> {
        let Started { mut machine, execution, launched, accelerator } = started;
        let until = launched + limits.ttl;
        let conversation = Conversation::new(execution, limits.timeout, until, self.spec.capture_bytes);
        let outcome = match conversation.hold(stdin, self.events.as_ref()).await {
            Ok(outcome) => outcome,
            Err(error) => return Err(machine.explain(error).await),
        };
        self.timings.exec_ms = self.watch.lap();
        machine.kill()?;
        self.timings.teardown_ms = self.watch.lap();
        Ok(self.result(outcome, ExecutionMode::Guest, Some(accelerator)))
    }

    async fn on_host(mut self, limits: Limits, stdin: Option<Stdin>, why: &Error) -> Result<RunResult> {
        self.tell(RunEvent::HostCompat(why.chain().join(": "))).await;
        self.watch.lap();
        let outcome =
            host_compat::run(self.state_dir, self.spec, limits, stdin, self.events.as_ref()).await?;
        self.timings.exec_ms = self.watch.lap();
        Ok(self.result(outcome, ExecutionMode::HostCompat, None))
    }

    fn result(
        mut self,
        outcome: Outcome,
        execution_mode: ExecutionMode,
        accelerator: Option<Accelerator>,
    ) -> RunResult {
        self.timings.total_ms = self.watch.total();
        RunResult {
            environment: self.spec.environment.clone(),
            command: self.spec.command.clone(),
            truncated: outcome.stdout.truncated() || outcome.stderr.truncated(),
            stdout: outcome.stdout.into_text(),
            stderr: outcome.stderr.into_text(),
            exit_code: outcome.exit_code,
            duration_ms: timings::milliseconds(outcome.duration),
            execution_mode,
            accelerator,
            timed_out: outcome.timed_out,
            timings: self.timings,
        }
    }

    async fn tell(&self, event: RunEvent) {
        if let Some(events) = &self.events {
            // Nobody listens any more: then there is nobody to tell.
            let _ = events.send(event).await;
        }
    }
}
