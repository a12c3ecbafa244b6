//! What callers are told of a workspace.

use super::service::services_of;
use crate::command::{Command, WORKSPACE_PATH};
use crate::error::Error;
use crate::execution_mode::ExecutionMode;
use crate::instance::{HistoryEntry, Instance, InstanceState, Observed, SeedRecord};
use crate::publish::PublishSpec;
use crate::vm::accelerator::Accelerator;
use crate::vm::confinement::Isolation;
use serde::Serialize;

/// A workspace as it is.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WorkspaceStatus {
    /// Its id.
    pub workspace_id: String,
    /// The name of its environment.
    pub environment: String,
    /// `started`, `stopped` or `failed`.
    pub state: InstanceState,
    /// Why it failed, or what went wrong when it was stopped.
    pub failure: Option<String>,
    /// Where its files are in the guest.
    pub workspace_path: &'static str,
    /// Virtual CPUs.
    pub vcpu_count: u32,
    /// Memory of the guest.
    pub mem_mib: u32,
    /// Size of its disk.
    pub disk_mib: u64,
    /// Bytes that the disk takes on the host.
    pub disk_used_bytes: u64,
    /// Seconds that it may live.
    pub ttl_seconds: u64,
    /// When it was created, in seconds since the epoch.
    pub created_at: f64,
    /// When its life ends, likewise.
    pub expires_at: f64,
    /// When something was last done with it, likewise.
    pub last_activity_at: f64,
    /// Where its commands run.
    pub execution_mode: ExecutionMode,
    /// What runs its guest; none on the host.
    pub accelerator: Option<Accelerator>,
    /// Whether it may run on the host where no guest can be started.
    pub allow_host_compat: bool,
    /// Whether its guest has a network.
    pub network_enabled: bool,
    /// The rules of that network; none: everything public.
    pub network_allow: Vec<String>,
    /// Ports of the guest that are reachable from the host, or will be when it is started; those of services are told by
    /// the services.
    pub published: Vec<PublishSpec>,
    /// How its machine is confined; none on the host.
    pub isolation: Option<Isolation>,
    /// How `/workspace` was initialised.
    pub workspace_seed: SeedRecord,
    /// Commands that were run in it.
    pub command_count: u64,
    /// The latest of them.
    pub last_command: Option<LastCommand>,
    /// Services that were started in it.
    pub service_count: u64,
    /// Those that run.
    pub running_service_count: u64,
}

/// A command, without its output.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LastCommand {
    /// Its number in the history.
    pub sequence: u64,
    /// What was run.
    pub command: Command,
    /// Where.
    pub cwd: String,
    /// Its exit code; none while it runs, and where nobody saw its end.
    pub exit_code: Option<i32>,
    /// Milliseconds that it ran.
    pub duration_ms: Option<f64>,
    /// When it was run, in seconds since the epoch.
    pub recorded_at: f64,
}

/// All workspaces.
#[derive(Debug, Clone, Serialize)]
pub struct WorkspaceList {
    /// How many can be read.
    pub count: usize,
    /// Those, the oldest first.
    pub workspaces: Vec<WorkspaceStatus>,
    /// Those whose records cannot be read.
    pub damaged: Vec<DamagedWorkspace>,
}

/// A workspace whose record cannot be read.
#[derive(Debug, Clone, Serialize)]
pub struct DamagedWorkspace {
    /// Its id.
    pub workspace_id: String,
    /// What is wrong.
    pub reason: String,
}

/// A workspace that is gone.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeletedWorkspace {
    /// Its id.
    pub workspace_id: String,
    /// What it was; nothing where its record could not be read.
    #[serde(flatten)]
    pub workspace: Option<WorkspaceStatus>,
    /// True.
    pub deleted: bool,
}

impl WorkspaceStatus {
    pub(super) fn of(observed: &Observed) -> Self {
        let Observed { instance, record, is_owned } = observed;
        let (record, services) = (record.clone(), services_of(instance, *is_owned));
        let sequences = instance.history().sequences();
        let last = sequences.last().and_then(|&last| instance.history().read(last, *is_owned).ok());
        Self {
            workspace_id: record.id.to_string(),
            environment: record.environment,
            state: record.state,
            failure: record.failure,
            workspace_path: WORKSPACE_PATH,
            vcpu_count: record.vm.vcpu_count,
            mem_mib: record.vm.mem_mib,
            disk_mib: record.vm.disk.size_mib(),
            disk_used_bytes: disk_used_bytes(instance),
            ttl_seconds: record.ttl_seconds,
            created_at: record.created_at,
            expires_at: record.expires_at,
            last_activity_at: record.last_activity_at,
            execution_mode: record.execution_mode,
            accelerator: record.accelerator,
            allow_host_compat: record.allow_host_compat,
            network_enabled: record.network_enabled,
            network_allow: record.network_allow,
            published: record.published,
            isolation: record.isolation,
            workspace_seed: record.seed,
            command_count: sequences.last().copied().unwrap_or(0),
            last_command: last.map(LastCommand::from),
            service_count: services.len() as u64,
            running_service_count: services.iter().filter(|service| service.state.is_alive()).count() as u64,
        }
    }
}

impl From<HistoryEntry> for LastCommand {
    fn from(entry: HistoryEntry) -> Self {
        let HistoryEntry { sequence, command, cwd, exit_code, duration_ms, recorded_at, .. } = entry;
        Self { sequence, command, cwd, exit_code, duration_ms, recorded_at }
    }
}

impl DamagedWorkspace {
    pub(super) fn of(instance: &Instance, error: &Error) -> Self {
        Self { workspace_id: instance.id.to_string(), reason: error.chain().join(": ") }
    }
}

fn disk_used_bytes(instance: &Instance) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(instance.disk()).map_or(0, |disk| disk.blocks() * 512)
}
