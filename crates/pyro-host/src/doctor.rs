//! `pyro doctor`: what this host can do, by trying it, and what to type where it cannot.

mod checks;

use crate::environment::Environments;
use crate::error::{Error, Result};
use crate::run::{RunSpec, RunTimings, run};
use crate::state_dir::StateDir;
use crate::vm::accelerator::{Accelerator, AcceleratorChoice, AcceleratorStatus, KvmStatus, choose_measured};
use crate::vm::confinement::{self, ConfinementSettings, Isolation};
use crate::vm::host_record::HostRecord;
use crate::vm::qemu::Qemu;
use pyro_network::gateway::can_ping;
use pyro_network::own_addresses::reaches_ipv6;
use serde::Serialize;
use std::path::PathBuf;

/// What to look into.
#[derive(Debug, Clone)]
pub struct DoctorOptions {
    /// The environment that is looked at, and that `boot` boots.
    pub environment: String,
    /// Boots a guest, cold and as a clone.
    pub boot: bool,
    /// What is forced with `--accel`.
    pub accelerator: AcceleratorChoice,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct DoctorReport {
    /// Processor architecture and operating system.
    pub platform: String,
    /// Whether guests can run here.
    pub runtime_ok: bool,
    /// What would run a guest, and why.
    pub accelerator: Option<AcceleratorStatus>,
    /// What there is of KVM.
    pub kvm: KvmStatus,
    /// The QEMU that is used.
    pub qemu: Option<QemuReport>,
    /// Folders and abilities.
    pub runtime: RuntimeReport,
    /// What a guest's network would be.
    pub networking: NetworkingReport,
    /// How well a machine is confined here; none where no program could be started like one.
    pub isolation: Option<Isolation>,
    /// Every check, in order.
    pub checks: Vec<Check>,
    /// The checks that failed, with their remedies.
    pub issues: Vec<Issue>,
    /// What a real boot took, where one was asked for.
    pub boot: Option<BootReport>,
}

/// The QEMU that is used.
#[derive(Debug, Clone, Serialize)]
pub struct QemuReport {
    /// The program.
    pub path: PathBuf,
    /// Its version, as it says it.
    pub version: String,
}

/// Folders and abilities.
#[derive(Debug, Clone, Serialize)]
pub struct RuntimeReport {
    /// Where environments and templates are.
    pub cache_dir: PathBuf,
    /// What can be done here.
    pub capabilities: Capabilities,
}

/// What can be done here.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Capabilities {
    /// A machine can be booted.
    pub supports_vm_boot: bool,
    /// A command can be run in it.
    pub supports_guest_exec: bool,
    /// A guest can have a network.
    pub supports_guest_network: bool,
}

/// What a guest's network would be.
#[derive(Debug, Clone, Serialize)]
pub struct NetworkingReport {
    /// Whether `--network` works.
    pub available: bool,
    /// Why, or why not.
    pub reason: String,
    /// Whether guests reach hosts by IPv6.
    pub ipv6: bool,
    /// Whether pings of guests reach the outside.
    pub ping: bool,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// What came of it.
    pub status: CheckStatus,
    /// What was found, as a sentence without a full stop.
    pub found: String,
    /// What to type, where it is not as it should be.
    pub hint: Option<String>,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// As it should be.
    Ok,
    /// Guests run, and something is slower or less than it could be.
    Degraded,
    /// Guests do not run, or environments cannot be pulled.
    Failed,
}

/// A failed check.
#[derive(Debug, Clone, Serialize)]
pub struct Issue {
    /// What is wrong.
    pub what: String,
    /// What to type.
    pub hint: Option<String>,
}

/// What a real boot took.
#[derive(Debug, Clone, Serialize)]
pub struct BootReport {
    /// The environment that was booted.
    pub environment: String,
    /// What the guest said it is (`uname -srm`).
    pub guest: String,
    /// A boot of the kernel.
    pub cold: RunTimings,
    /// A clone of a template.
    pub warm: RunTimings,
}

/// Examines this host. Fails only where it cannot even look; what is wrong stands in the report.
pub async fn examine(state_dir: &StateDir, options: &DoctorOptions) -> Result<DoctorReport> {
    let kvm = KvmStatus::measure();
    let mut record = HostRecord::open(state_dir);
    let qemu = Qemu::find(&mut record);
    let accelerator = choose_measured(options.accelerator, &kvm);
    let installed = Environments::new(state_dir.clone()).installed(&options.environment);
    let isolation = examine_isolation(&accelerator);
    let networking = networking();
    let mut checks = vec![
        checks::platform(),
        checks::qemu(&qemu),
        checks::accelerator(&accelerator, &kvm),
        checks::cache(state_dir),
        checks::disk_space(state_dir),
        checks::memory(),
        checks::format_tool(),
        checks::pulling(state_dir).await,
        checks::environment(&options.environment, &installed),
        checks::isolation(&isolation),
        checks::network(&networking),
    ];
    checks.extend(checks::instances(state_dir));
    drop(record);
    let can_start = checks.iter().all(|check| !check.stops_guests());
    let mut boot = None;
    if options.boot && can_start {
        match try_boot(state_dir, options).await {
            Ok(report) => {
                checks.push(checks::booted(&report));
                boot = Some(report);
            }
            Err(error) => checks.push(checks::boot_failed(&error)),
        }
    }
    let has_environment =
        !matches!(installed, Ok(None)) || checks.iter().all(|check| check.status != CheckStatus::Failed);
    let runs = has_environment && checks.iter().all(|check| !check.stops_guests());
    Ok(DoctorReport {
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        runtime_ok: runs,
        accelerator: accelerator.ok(),
        kvm,
        qemu: qemu.ok().map(|qemu| QemuReport { path: qemu.path, version: qemu.version_text }),
        runtime: RuntimeReport {
            cache_dir: state_dir.cache().to_owned(),
            capabilities: Capabilities {
                supports_vm_boot: runs,
                supports_guest_exec: runs,
                supports_guest_network: runs,
            },
        },
        networking,
        isolation: isolation.ok(),
        issues: checks.iter().filter_map(Check::issue).collect(),
        checks,
        boot,
    })
}

/// What a machine of this host would be given, where it could run at all.
fn examine_isolation(accelerator: &Result<AcceleratorStatus>) -> Result<Isolation> {
    let kind = accelerator.as_ref().map_or(Accelerator::Tcg, |accelerator| accelerator.kind);
    confinement::examine(kind, &ConfinementSettings::default())
}

/// What a guest's network would be: it needs nothing of the host but sockets.
fn networking() -> NetworkingReport {
    let ping = can_ping();
    let ipv6 = reaches_ipv6();
    let reason = match &ping {
        Ok(()) => "a gateway in user space, without privileges; off unless it is asked for".to_owned(),
        Err(why) => format!("a gateway in user space, without privileges; pings reach nobody: {why}"),
    };
    NetworkingReport { available: true, reason, ipv6, ping: ping.is_ok() }
}

impl Check {
    fn issue(&self) -> Option<Issue> {
        (self.status != CheckStatus::Ok)
            .then(|| Issue { what: format!("{}: {}", self.name, self.found), hint: self.hint.clone() })
    }

    /// Whether guests cannot run for it. Without the tools for pulling, installed environments still run.
    fn stops_guests(&self) -> bool {
        self.status == CheckStatus::Failed && self.name != checks::PULLING
    }
}

/// Starts a guest twice, as every user does: by a boot, and by a clone of the template.
async fn try_boot(state_dir: &StateDir, options: &DoctorOptions) -> Result<BootReport> {
    let command = crate::command::Command::Argv(["uname", "-srm"].map(str::to_owned).into());
    let mut spec = RunSpec::new(&options.environment, command);
    spec.accelerator = options.accelerator;
    spec.cold = true;
    let cold = run(state_dir, &spec, None, None).await?;
    spec.cold = false;
    // The first clone may have to build its template; the second is what users feel.
    run(state_dir, &spec, None, None).await?;
    let warm = run(state_dir, &spec, None, None).await?;
    if warm.exit_code != 0 {
        let message = format!("`uname` in the guest ended with {}", warm.exit_code);
        return Err(Error::new(crate::error::ErrorKind::StartFailed, message));
    }
    Ok(BootReport {
        environment: options.environment.clone(),
        guest: warm.stdout.trim().to_owned(),
        cold: cold.timings,
        warm: warm.timings,
    })
}
