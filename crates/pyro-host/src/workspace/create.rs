//! Creates a workspace: everything that it needs, its machine, its seed, its baseline.

use super::files::{self, SyncProgress};
use super::{WorkspaceStatus, Workspaces};
use crate::command::WORKSPACE_PATH;
use crate::error::Result;
use crate::instance::{SeedMode, SeedRecord};
use crate::limits::DEFAULT_TTL_SECONDS;
use crate::start::StartEvent;
use crate::supervisor::{Call, Launched, Operation, PersistentSpec};
use crate::tree::TreeSource;
use crate::vm::VmSpec;
use crate::vm::accelerator::AcceleratorChoice;
use crate::vm::confinement::RequireIsolation;
use crate::vm::disk::{DEFAULT_DISK_MIB, DiskSpec};
use pyro_protocol::task::Task;
use std::path::PathBuf;
use tokio::sync::mpsc;

/// The workspace that is wanted.
#[derive(Debug, Clone)]
pub struct WorkspaceSpec {
    /// Its machine.
    pub machine: PersistentSpec,
    /// A directory or an archive of this host to fill `/workspace` with.
    pub seed_path: Option<PathBuf>,
}

/// What happens while a workspace is created.
#[derive(Debug)]
pub enum WorkspaceEvent {
    /// What its machine needs is being made.
    Start(StartEvent),
    /// No guest can be started: its commands will run on this host, without isolation. With the reason.
    HostCompat(String),
    /// Its files are being brought in.
    Seed(SyncProgress),
}

/// Where progress goes.
pub type WorkspaceEvents = mpsc::Sender<WorkspaceEvent>;

impl From<StartEvent> for WorkspaceEvent {
    fn from(event: StartEvent) -> Self {
        match event {
            StartEvent::HostCompat(reason) => Self::HostCompat(reason),
            event => Self::Start(event),
        }
    }
}

impl WorkspaceSpec {
    /// A workspace with the defaults of the contract: 1 vCPU, 1024 MiB, TTL 600 s, no network, empty.
    pub fn new(environment: impl Into<String>) -> Self {
        let machine = PersistentSpec {
            environment: environment.into(),
            vm: VmSpec { disk: DiskSpec::Persistent { size_mib: DEFAULT_DISK_MIB }, ..VmSpec::default() },
            ttl_seconds: DEFAULT_TTL_SECONDS,
            network: None,
            require_isolation: RequireIsolation::default(),
            allow_host_compat: false,
            accelerator: AcceleratorChoice::Auto,
            mirror: None,
        };
        Self { machine, seed_path: None }
    }
}

impl Workspaces {
    /// Creates a workspace and returns when it is ready. On any failure, and when the future is dropped, nothing of it
    /// is left.
    ///
    /// # Errors
    /// Those of the start of a machine, `limit_reached`, and those of [`Workspaces::sync`] for its seed.
    pub async fn create(
        &self,
        spec: &WorkspaceSpec,
        events: Option<&WorkspaceEvents>,
    ) -> Result<WorkspaceStatus> {
        spec.machine.validate()?;
        let source = spec.seed_path.as_deref().map(TreeSource::open).transpose()?;
        let prepared = self.control.prepare(&spec.machine, events).await?;
        let (instance, launched) = self.control.create_started(&spec.machine, &prepared).await?;
        drop(prepared);
        if let (Some(events), Some(reason)) = (events, &launched.host_compat) {
            // Nobody listens any more: then there is nobody to tell.
            let _ = events.send(WorkspaceEvent::HostCompat(reason.clone())).await;
        }
        match seed(&launched, spec, source, events).await {
            Ok(()) => self.status(instance.id.as_str()),
            Err(error) => {
                drop(launched); // which tells the supervisor to end, and to delete everything
                self.control.leave_nothing(&instance).await;
                Err(error)
            }
        }
    }
}

async fn seed(
    launched: &Launched,
    spec: &WorkspaceSpec,
    source: Option<TreeSource>,
    events: Option<&WorkspaceEvents>,
) -> Result<()> {
    let mut record = SeedRecord::default();
    if let Some(source) = source {
        record.mode = match source.mode() {
            "directory" => SeedMode::Directory,
            _ => SeedMode::TarArchive,
        };
        record.seed_path = Some(files::absolute(source.path()));
        let progress = events.cloned().map(|events| {
            move |progress| {
                let _ = events.try_send(WorkspaceEvent::Seed(progress)); // progress that nobody takes in time is dropped
            }
        });
        let limit_bytes = spec.machine.vm.disk.size_mib() * 1024 * 1024;
        let task = Task::Seed { destination: String::new() };
        let target =
            files::Target { socket: &launched.socket, task, destination: WORKSPACE_PATH.into(), limit_bytes };
        let packed = files::import(target, source, progress).await?;
        (record.entry_count, record.bytes_written) = (packed.entry_count, packed.bytes_written);
    }
    Call::start(&launched.socket, Operation::Seeded(record)).await?.done().await.map(drop)
}
