//! What a supervisor owns: a machine, or where none can be started and that was allowed, an agent on the host.
//!
//! What it is, is decided once, when something is started for the first time: its files are on a disk of a machine or
//! in a folder of the host from then on.

use super::host_agent::HostAgent;
use super::lifecycle::State;
use super::network;
use super::relay;
use super::shared::Shared;
use crate::error::{Error, ErrorKind, Result};
use crate::execution_mode::{ExecutionMode, may_replace};
use crate::guest::Connection;
use crate::instance::{InstanceKind, InstanceRecord};
use crate::start::{self, MachineDisk, StartEvent, StartSpec, StartedMachine};
use crate::state_dir::StateDir;
use crate::vm::machine::{Machine, MachineEvent, PauseReason, PowerOff};
use pyro_protocol::task::Task;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// See the module.
#[derive(Debug)]
pub(super) enum Backend {
    /// A machine.
    Guest(Box<Machine>),
    /// An agent on the host, without isolation.
    Host(Box<HostAgent>),
}

/// What has been started.
#[derive(Debug)]
pub(super) struct Begun {
    /// It takes commands.
    pub(super) backend: Backend,
    /// Why it is on the host, where a machine was tried first.
    pub(super) instead: Option<String>,
    /// What went wrong on the way, and does not keep it from being used.
    pub(super) warning: Option<String>,
}

/// How long the opening of a workspace may take: to finish a sync of a hundred thousand files, an emulated machine on a
/// busy host needs minutes.
const OPEN_LIMIT: Duration = Duration::from_secs(600);

impl Backend {
    /// The channel to the agent.
    pub(super) fn connection(&self) -> &Connection {
        match self {
            Self::Guest(machine) => machine.connection(),
            Self::Host(agent) => agent.connection(),
        }
    }

    /// Waits for the next thing that happens to it. May be dropped at any time without losing anything.
    pub(super) async fn event(&mut self) -> MachineEvent {
        match self {
            Self::Guest(machine) => machine.event().await,
            Self::Host(agent) => agent.event().await,
        }
    }

    /// Lets it go on where it stands still, which an agent on the host never does.
    pub(super) async fn resume(&mut self) -> Result<()> {
        match self {
            Self::Guest(machine) => machine.resume().await,
            Self::Host(_) => Ok(()),
        }
    }

    /// Has it end everything that runs in it, and itself. It is gone when this returns.
    pub(super) async fn power_off(&mut self, limit: Duration) -> Result<PowerOff> {
        match self {
            Self::Guest(machine) => machine.power_off(limit).await,
            Self::Host(agent) => agent.power_off(limit).await,
        }
    }

    /// Ends it at once, with everything that runs in it.
    pub(super) async fn kill(self) -> Result<()> {
        match self {
            Self::Guest(machine) => machine.kill(),
            Self::Host(agent) => agent.kill().await,
        }
    }
}

/// Starts what the record tells of and, where it was used before, opens its workspace again.
pub(super) async fn begin(state_dir: &StateDir, shared: &Shared, state: State) -> Result<Begun> {
    let record = shared.record().clone();
    let (mut backend, instead) = match record.execution_mode {
        ExecutionMode::HostCompat => (on_host(shared).await?, None),
        ExecutionMode::Guest => match in_guest(state_dir, shared, &record).await {
            Err(error) if is_replaced_by_host(&record, &error) => {
                let why = error.chain().join(": ");
                tracing::warn!("no guest can be started, and what was wanted runs on the host: {why}");
                shared.record().execution_mode = ExecutionMode::HostCompat;
                (on_host(shared).await?, Some(why))
            }
            started => (started?, None),
        },
    };
    shared.connect(backend.connection().clone());
    let is_creating = matches!(state, State::Starting { creating: true });
    let mut warning = None;
    if shared.instance.kind == InstanceKind::Workspace && !is_creating {
        warning = open_again(shared, &mut backend).await?;
        warning = [warning, network::publish_again(shared).await]
            .into_iter()
            .flatten()
            .reduce(|a, b| a + "; " + &b);
    }
    Ok(Begun { backend, instead, warning })
}

/// Opens the workspace of a machine that was used before, and finishes what a sync left. A sync that cannot be finished
/// is a warning: everything else is there.
async fn open_again(shared: &Shared, backend: &mut Backend) -> Result<Option<String>> {
    let opening = async {
        shared.guest_now()?.open_workspace().await?;
        Ok(match relay::alone(shared, Task::Recover).await {
            Ok(None) => None,
            Ok(Some(error)) | Err(error) => Some(error.chain().join(": ")),
        })
    };
    let doing = || "could not open the workspace in its machine".to_owned();
    tokio::select! {
        opened = opening => opened,
        event = backend.event() => Err(match event {
            MachineEvent::Paused { reason: PauseReason::HostDiskFull } => Error::new(ErrorKind::DiskFull, doing())
                .with_source(PauseReason::HostDiskFull.to_string())
                .with_hint(format!("free some space where `{}` is, then start it again", shared.instance.folder.display())),
            MachineEvent::Paused { reason } => Error::new(ErrorKind::StartFailed, doing()).with_source(reason.to_string()),
            MachineEvent::Ended(why) => Error::new(ErrorKind::StartFailed, doing()).with_source(why),
            MachineEvent::Resumed => Error::new(ErrorKind::StartFailed, doing()),
        }),
        () = tokio::time::sleep(OPEN_LIMIT) => Err(Error::new(ErrorKind::StartFailed, doing())
            .with_source(format!("not done within {} s", OPEN_LIMIT.as_secs()))),
    }
}

/// Whether the host may stand in for a machine that could not be started with this error. What was used before has its
/// files in a disk, where the host cannot get at them.
pub(super) fn is_replaced_by_host(record: &InstanceRecord, error: &Error) -> bool {
    record.allow_host_compat && record.start_count == 0 && may_replace(error)
}

async fn on_host(shared: &Shared) -> Result<Backend> {
    let agent = HostAgent::start(&shared.instance.host_files()).await?;
    Ok(Backend::Host(Box::new(agent)))
}

async fn in_guest(state_dir: &StateDir, shared: &Shared, record: &InstanceRecord) -> Result<Backend> {
    let path = shared.instance.disk();
    // Of a first start that was cut short something may be left.
    let is_used = record.start_count > 0;
    if !is_used {
        let _ = std::fs::remove_file(&path);
    }
    let spec = StartSpec {
        environment: record.environment.clone(),
        environment_digest: Some(record.environment_digest.clone()),
        vm: record.vm.clone(),
        accelerator: record.accelerator_choice,
        cold: is_used,
        mirror: None,
        border: record.border()?,
    };
    let disk = if is_used { MachineDisk::UsedAt(path) } else { MachineDisk::NewAt(path) };
    let nobody = None::<&mpsc::Sender<StartEvent>>;
    let prepared = start::prepare(state_dir, &spec, nobody).await?;
    let started = start::start(state_dir, &spec, prepared, &disk, nobody, |_| Ok(())).await?;
    let StartedMachine { machine, accelerator, .. } = started;
    {
        let mut record = shared.record();
        (record.accelerator, record.isolation) = (Some(accelerator), Some(machine.isolation().clone()));
    }
    if let Some(gateway) = machine.gateway() {
        shared.connect_network(Arc::clone(gateway));
    }
    Ok(Backend::Guest(Box::new(machine)))
}
