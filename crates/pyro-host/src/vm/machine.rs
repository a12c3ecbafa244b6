//! A machine from start to end. The recipe: wires, process, channel; then wait for the guest's welcome.
//!
//! ```text
//!  launch ──> starting ──welcome──> running ──save──> a template
//!                │                     │
//!                └──────── kill <──────┘        dropping does the same
//! ```
//!
//! What may happen to a machine that runs, and its orderly end, is in `watching.rs`.
//!
//! Nothing is waited for that need not be: QMP commands and the `hello` to the guest stand in their sockets
//! before QEMU runs.

mod watching;

use super::VmSpec;
use super::accelerator::Accelerator;
use super::border::{Border, NetworkEnd};
use super::confinement::{self, ConfinementSettings, Isolation, Wanted};
use super::hypervisor::Hypervisor;
use super::process::{HandedOver, OwnedProcess};
use super::qemu::RunAs;
use super::qemu_args::{self, Start, fd};
use super::qmp::{Qmp, QmpError};
use super::start_failure::{StartFailure, boot_phase};
use super::tail::Tail;
use super::wires::Wires;
use super::{initramfs, kernel_cmdline};
use crate::environment::Environment;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::guest::Connection;
use pyro_network::gateway::Gateway;
use serde_json::json;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use watching::Watch;
pub use watching::{MachineEvent, PauseReason, PowerOff};

const KEPT_CONSOLE_BYTES: usize = 64 * 1024;
const KEPT_STDERR_BYTES: usize = 16 * 1024;
/// How long a QEMU whose sockets are closed may take to be gone.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Gives all time limits of starts in seconds, for hosts that are slower than any that we know.
pub const START_LIMIT_VARIABLE: &str = "PYRO_START_TIMEOUT_SECONDS";

/// Where a machine comes from.
#[derive(Debug)]
pub enum Origin {
    /// The kernel boots.
    Boot,
    /// The kernel boots, with this file as its memory.
    BootTemplate {
        /// As large as the machine's memory.
        memory: File,
    },
    /// A template continues.
    Clone {
        /// The template's memory.
        memory: File,
        /// The template's device state.
        state: File,
    },
}

/// How long the parts of a start took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartTimings {
    /// Until the QEMU process was started.
    pub spawn: Duration,
    /// From then until QEMU let the guest run: its own start, and the loading of the template's state.
    pub restore: Duration,
    /// From then until the guest's welcome: a boot, or the first instructions of a clone.
    pub hello: Duration,
}

/// A started machine, killed when dropped.
#[derive(Debug)]
pub struct Machine {
    process: OwnedProcess,
    isolation: Isolation,
    qmp: Qmp,
    watch: Watch,
    console: Tail,
    stderr: Tail,
    connection: Connection,
    network: NetworkEnd,
    is_clone: bool,
    limit: Duration,
    launched: Instant,
    timings: StartTimings,
}

impl Machine {
    /// Starts QEMU, without waiting for the guest. Messages may be sent to it at once.
    pub async fn launch(
        hypervisor: &Hypervisor,
        spec: &VmSpec,
        environment: &Environment,
        disk: File,
        origin: Origin,
        border: &Border,
    ) -> Result<Self> {
        let begun = Instant::now();
        let accelerator = hypervisor.accelerator.kind;
        let is_clone = matches!(origin, Origin::Clone { .. });
        let doing = || "could not make the sockets of a machine".to_owned();
        let (wires, mut handed_over) = Wires::make(spec.network).doing(doing)?;
        handed_over.push(hand_over(fd::ROOT, open(&environment.root_image)?));
        handed_over.push(hand_over(fd::DISK, disk));
        let cmdline = if is_clone { String::new() } else { kernel_cmdline::build(accelerator) };
        let start = hand_over_origin(origin, &cmdline, environment, &mut handed_over)?;
        let arguments = qemu_args::build(spec, accelerator, hypervisor.qemu.version, start);
        tracing::debug!(qemu = %hypervisor.qemu.path.display(), arguments = arguments.join(" "), "starting QEMU");
        let mut qmp = Qmp::over(wires.qmp);
        negotiate(&mut qmp, is_clone).await.failing(ErrorKind::Internal, doing)?;
        let wanted = Wanted {
            program: &hypervisor.qemu.path,
            arguments: &arguments,
            handed_over,
            opened_by_path: opened_by_path(hypervisor, is_clone),
            stderr: wires.qemu_stderr,
            run_as: RunAs::choose(accelerator)?,
            with_kvm: accelerator == Accelerator::Kvm,
            vcpu_count: spec.vcpu_count,
            mem_mib: spec.mem_mib,
        };
        let settings = ConfinementSettings { require: border.require_isolation, ..hypervisor.confinement };
        let (process, isolation) = confinement::start(wanted, &settings)?;
        let network = NetworkEnd::begin(wires.network, border.policy.as_ref())
            .doing(|| "could not start the gateway of a machine's network".into())?;
        let timings = StartTimings { spawn: begun.elapsed(), ..StartTimings::default() };
        Ok(Self {
            process,
            isolation,
            qmp,
            watch: Watch::default(),
            console: Tail::of(wires.console, KEPT_CONSOLE_BYTES),
            stderr: Tail::of(wires.stderr, KEPT_STDERR_BYTES),
            connection: Connection::over(wires.channel),
            network,
            is_clone,
            limit: start_limit(accelerator, is_clone),
            launched: Instant::now(),
            timings,
        })
    }

    /// The channel to the guest agent.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What its network device leads to, where it has one and that is somebody.
    pub fn gateway(&self) -> Option<&Arc<Gateway>> {
        self.network.gateway()
    }

    /// How long the parts of the start took, as far as they are over.
    pub fn timings(&self) -> StartTimings {
        self.timings
    }

    /// The process id of QEMU.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// How QEMU is confined.
    pub fn isolation(&self) -> &Isolation {
        &self.isolation
    }

    /// Waits for the guest's welcome, within a limit that knows the accelerator. On failure the error says in which
    /// phase the start was, and what QEMU and the console said.
    pub async fn ready(&mut self) -> Result<()> {
        let limit = self.limit;
        let outcome = tokio::time::timeout(limit, self.welcome()).await;
        self.timings.hello = self.launched.elapsed().saturating_sub(self.timings.restore);
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(StartStop::Guest(error))) if error.kind() == ErrorKind::VersionMismatch => Err(error),
            Ok(Err(StartStop::Paused(reason))) => Err(paused_at_start(&reason)),
            Ok(Err(stop)) => {
                let phase = self.phase();
                Err(self.stopped(&phase, stop).await)
            }
            Err(_) => {
                let what = format!("no answer within {} s", limit.as_secs());
                Err(self.failure(&self.phase(), &what))
            }
        }
    }

    /// Waits for a part of the start that follows the welcome, within the same limit.
    pub async fn within_limit(&mut self, phase: &str, part: impl Future<Output = Result<()>>) -> Result<()> {
        match tokio::time::timeout(self.limit, part).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.stopped(phase, StartStop::Guest(error)).await),
            Err(_) => {
                let what = format!("no answer within {} s", self.limit.as_secs());
                Err(self.failure(phase, &what))
            }
        }
    }

    /// Saves the machine as a template: its memory is in the file it was started with, its device state goes to
    /// the other. The machine is of no further use.
    pub async fn save(mut self, state: &File) -> Result<()> {
        let limit = self.limit;
        match tokio::time::timeout(limit, self.migrate(state)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(self.stopped("save", StartStop::Qmp(error)).await),
            Err(_) => return Err(self.failure("save", &format!("not done within {} s", limit.as_secs()))),
        }
        self.process.kill().doing(|| "could not end the machine of a template".into())?;
        Ok(())
    }

    /// Ends the machine at once. Nothing of it remains.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill().doing(|| "could not end QEMU".into())?;
        Ok(())
    }

    /// Adds what QEMU said to an error of a machine that runs.
    pub async fn explain(&mut self, error: Error) -> Error {
        if error.kind() != ErrorKind::GuestUnreachable {
            return error;
        }
        self.stderr.settle().await;
        let what = match tokio::time::timeout(LAST_WORDS, self.process.exited()).await {
            Ok(status @ Ok(_)) => format!("QEMU ended ({})", describe_exit(&status)),
            _ => error.chain().join(": "),
        };
        let failure = StartFailure {
            phase: "running".into(),
            what,
            qemu_stderr: self.stderr.text(),
            console: self.console.text(),
        };
        Error::new(ErrorKind::GuestUnreachable, "the machine stopped answering")
            .with_source(failure)
            .with_hint("run the command again; if it ends the same way each time, the command turns its machine off or takes more than --mem-mib gives it")
    }

    async fn welcome(&mut self) -> std::result::Result<(), StartStop> {
        let connection = self.connection.clone();
        let mut welcome = std::pin::pin!(connection.welcome());
        loop {
            tokio::select! {
                biased;
                welcome = &mut welcome => return welcome.map(|_| ()).map_err(StartStop::Guest),
                event = self.qmp.event() => {
                    let event = event.map_err(StartStop::Qmp)?;
                    if event.name == "RESUME" {
                        self.timings.restore = self.launched.elapsed();
                    }
                    if let Some(MachineEvent::Paused { reason }) = self.watch.take(&event, Instant::now()) {
                        return Err(StartStop::Paused(reason));
                    }
                }
                status = self.process.exited() => return Err(StartStop::Exited(status)),
            }
        }
    }

    async fn migrate(&mut self, state: &File) -> std::result::Result<(), QmpError> {
        let capabilities = json!([{"capability": "x-ignore-shared", "state": true}, {"capability": "events", "state": true}]);
        self.qmp.send("migrate-set-capabilities", json!({"capabilities": capabilities})).await?;
        // For saving, unlike for loading, QEMU takes no number: the descriptor must come with a name.
        self.qmp.give_fd("state", state.as_fd()).await?;
        self.qmp.send("migrate", json!({"uri": "fd:state"})).await?;
        loop {
            let event = self.qmp.event().await?;
            match event.data["status"].as_str() {
                Some("completed") if event.name == "MIGRATION" => return Ok(()),
                Some("failed") if event.name == "MIGRATION" => {
                    let status = self.qmp.ask("query-migrate", json!({})).await?;
                    let description = status["error-desc"].as_str().unwrap_or("it failed").to_owned();
                    return Err(QmpError::Refused { command: "migrate", description });
                }
                _ => {}
            }
        }
    }

    /// The error of a start that something ended. QEMU's end shows first in its closed sockets: it is the end that
    /// counts.
    async fn stopped(&mut self, phase: &str, stop: StartStop) -> Error {
        self.stderr.settle().await;
        let ended = tokio::time::timeout(LAST_WORDS, self.process.exited()).await;
        let stop = ended.map_or(stop, StartStop::Exited);
        self.failure(phase, &stop)
    }

    /// Where a start that did not end well was.
    fn phase(&self) -> String {
        match (self.is_clone, self.timings.restore.is_zero()) {
            (true, true) => "restore".into(),
            (true, false) => "hello".into(),
            (false, _) => boot_phase(&self.console.text()),
        }
    }

    fn failure(&self, phase: &str, what: &dyn std::fmt::Display) -> Error {
        let failure = StartFailure {
            phase: phase.to_owned(),
            what: what.to_string(),
            qemu_stderr: self.stderr.text(),
            console: self.console.text(),
        };
        failure.into_error(
            "`pyro doctor --boot` starts a guest step by step and says what is wrong with this host",
        )
    }
}

/// Sends what QEMU must be told before its guest runs, into a socket that QEMU does not have yet.
async fn negotiate(qmp: &mut Qmp, is_clone: bool) -> std::result::Result<(), QmpError> {
    qmp.send("qmp_capabilities", json!({})).await?;
    if is_clone {
        let ignore_shared = json!([{"capability": "x-ignore-shared", "state": true}]);
        qmp.send("migrate-set-capabilities", json!({"capabilities": ignore_shared})).await?;
        qmp.send("migrate-incoming", json!({"uri": format!("fd:{}", fd::STATE)})).await?;
    }
    Ok(())
}

/// What ended a start before the guest's welcome.
#[derive(Debug, thiserror::Error)]
enum StartStop {
    #[error("{}", .0.chain().join(": "))]
    Guest(Error),
    #[error("{0}")]
    Qmp(QmpError),
    #[error("the machine was paused: {0}")]
    Paused(PauseReason),
    #[error("QEMU ended: {}", describe_exit(.0))]
    Exited(io::Result<std::process::ExitStatus>),
}

/// No failure of the machine itself: a second start would end in the same way.
fn paused_at_start(reason: &PauseReason) -> Error {
    let kind = match reason {
        PauseReason::HostDiskFull => ErrorKind::DiskFull,
        PauseReason::Other(_) => ErrorKind::Io,
    };
    Error::new(kind, "the machine was paused while it started")
        .with_source(reason.to_string())
        .with_hint("make room where the machine's disk is, and start it again")
}

fn describe_exit(status: &io::Result<std::process::ExitStatus>) -> String {
    match status {
        Ok(status) if status.signal() == Some(libc::SIGKILL) => {
            format!("{status}: somebody killed it, or it met the memory limit of its control group")
        }
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}

/// How long a start may take. An emulated boot takes two to three seconds on an idle host, and many times that on
/// a busy one; a clone a tenth of it.
fn start_limit(accelerator: Accelerator, is_clone: bool) -> Duration {
    let given = std::env::var(START_LIMIT_VARIABLE).ok().and_then(|text| text.parse().ok());
    let usual = match (accelerator, is_clone) {
        (Accelerator::Kvm, true) => 10,
        (Accelerator::Kvm, false) => 20,
        (Accelerator::Tcg, true) => 30,
        (Accelerator::Tcg, false) => 90,
    };
    Duration::from_secs(given.unwrap_or(usual))
}

/// What QEMU opens by its name in `/proc/self/fd`, and whether in order to write. It asks for that also of a template's
/// memory, which it maps privately, before it knows `rom=off`.
fn opened_by_path(hypervisor: &Hypervisor, is_clone: bool) -> Vec<(i32, bool)> {
    let writes_memory = !is_clone || !hypervisor.qemu.version.maps_read_only_files();
    vec![(fd::MEMORY, writes_memory), (fd::KERNEL, false), (fd::INITRAMFS, false)]
}

fn hand_over(number: i32, file: File) -> HandedOver {
    HandedOver { number, fd: file.into() }
}

fn hand_over_origin<'a>(
    origin: Origin,
    cmdline: &'a str,
    environment: &Environment,
    handed_over: &mut Vec<HandedOver>,
) -> Result<Start<'a>> {
    let start = match origin {
        Origin::Clone { memory, state } => {
            handed_over.extend([hand_over(fd::MEMORY, memory), hand_over(fd::STATE, state)]);
            return Ok(Start::Clone);
        }
        Origin::Boot => Start::Boot { cmdline },
        Origin::BootTemplate { memory } => {
            handed_over.push(hand_over(fd::MEMORY, memory));
            Start::BootTemplate { cmdline }
        }
    };
    handed_over.push(hand_over(fd::KERNEL, open(&environment.kernel)?));
    handed_over.push(hand_over(fd::INITRAMFS, initramfs::build(&environment.modules)?));
    Ok(start)
}

fn open(path: &std::path::Path) -> Result<File> {
    File::open(path).doing(|| format!("could not open `{}`", path.display()))
}
