//! VMs of the library: created, started, given one command, stopped, deleted. What they share with workspaces is in
//! `supervisor`; they have no seed, no baseline and no history that anybody asks for.

use crate::command::Command;
use crate::conversation::Stdin;
use crate::error::{ErrorKind, Result};
use crate::execution_mode::ExecutionMode;
use crate::instance::{InstanceKind, InstanceRecord, InstanceState, Observed};
use crate::network::NetworkInfo;
use crate::start::StartEvent;
use crate::state_dir::StateDir;
use crate::supervisor::{Control, PersistentSpec};
use crate::vm::accelerator::Accelerator;
use crate::vm::confinement::Isolation;
use crate::workspace::{ExecResult, ExecSpec, OutputEvents};
use pyro_network::denial::Denial;
use serde::Serialize;
use std::path::PathBuf;
use tokio::sync::mpsc;

/// A VM as it is.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VmStatus {
    /// Its id.
    pub vm_id: String,
    /// The name of its environment.
    pub environment: String,
    /// `created`, `started`, `stopped` or `failed`.
    pub state: InstanceState,
    /// Why it failed, or what went wrong when it was stopped.
    pub failure: Option<String>,
    /// Virtual CPUs.
    pub vcpu_count: u32,
    /// Memory of the guest.
    pub mem_mib: u32,
    /// Seconds that it may live.
    pub ttl_seconds: u64,
    /// When it was created, in seconds since the epoch.
    pub created_at: f64,
    /// When its life ends, likewise.
    pub expires_at: f64,
    /// Where its command runs.
    pub execution_mode: ExecutionMode,
    /// What runs its guest; none before its first start, and on the host.
    pub accelerator: Option<Accelerator>,
    /// Whether it may run on the host where no guest can be started.
    pub allow_host_compat: bool,
    /// Whether its guest has a network.
    pub network_enabled: bool,
    /// How its machine is confined; none before its first start, and on the host.
    pub isolation: Option<Isolation>,
}

/// A VM that is gone.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeletedVm {
    /// Its id.
    pub vm_id: String,
    /// True.
    pub deleted: bool,
}

/// The network of a VM.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VmNetwork {
    /// Its id.
    pub vm_id: String,
    /// Its network.
    #[serde(flatten)]
    pub network: NetworkInfo,
}

/// What a VM's command came to.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VmExecResult {
    /// The VM, which is gone now.
    pub vm_id: String,
    /// What was run.
    pub command: Command,
    /// The beginning of its standard output.
    pub stdout: String,
    /// The beginning of its standard error.
    pub stderr: String,
    /// Its exit code; 128 + n for a signal; 124 for a time-out.
    pub exit_code: i32,
    /// Milliseconds that it ran.
    pub duration_ms: f64,
    /// Where it ran.
    pub execution_mode: ExecutionMode,
    /// Whether it was ended for its time-out.
    pub timed_out: bool,
    /// Whether `stdout` or `stderr` is only the beginning.
    pub truncated: bool,
    /// What the guest wanted of the network and was refused while it ran.
    pub network_denials: Vec<Denial>,
}

/// The VMs of one user.
#[derive(Debug, Clone)]
pub struct Vms {
    control: Control,
}

impl Vms {
    /// `executable` is pyro itself, which becomes the supervisor of each; `max_active` is how many may be started.
    pub fn new(state_dir: StateDir, executable: PathBuf, max_active: usize) -> Self {
        Self { control: Control::new(state_dir, InstanceKind::Vm, executable, max_active) }
    }

    /// Makes a VM that is not started. What its start needs is found, pulled and built now.
    ///
    /// # Errors
    /// `invalid_argument`, and those of the start of a machine.
    pub async fn create(
        &self,
        spec: &PersistentSpec,
        events: Option<&mpsc::Sender<StartEvent>>,
    ) -> Result<VmStatus> {
        let prepared = self.control.prepare(spec, events).await?;
        self.control.create(spec, &prepared).map(VmStatus::of)
    }

    /// Starts a VM. One that is started stays as it is.
    ///
    /// # Errors
    /// `not_found`, `limit_reached`, `start_failed`.
    pub async fn start(&self, id: &str) -> Result<VmStatus> {
        self.control.start(id, None::<&mpsc::Sender<StartEvent>>).await.map(VmStatus::from)
    }

    /// Runs one command in a started VM, and deletes the VM, whatever came of it.
    ///
    /// # Errors
    /// `not_found`, `wrong_state` when it is not started, and those of a command in a workspace.
    pub async fn exec(
        &self,
        id: &str,
        spec: &ExecSpec,
        stdin: Option<Stdin>,
        events: Option<OutputEvents>,
    ) -> Result<VmExecResult> {
        // Only a VM that could have run the command is used up by it.
        self.control.socket(id)?;
        spec.validate()?;
        let result = crate::workspace::exec_in(&self.control, id, spec, stdin, events, true).await;
        let deleted = self.control.delete(id).await;
        let result = result?;
        match deleted {
            // It went by itself, at the end of its time to live, or somebody else deleted it. Its command had ended.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            deleted => drop(deleted?),
        }
        let ExecResult { command, stdout, stderr, exit_code, duration_ms, .. } = result;
        let ExecResult { workspace_id, execution_mode, timed_out, truncated, network_denials, .. } = result;
        Ok(VmExecResult {
            vm_id: workspace_id,
            command,
            stdout,
            stderr,
            exit_code,
            duration_ms,
            execution_mode,
            timed_out,
            truncated,
            network_denials,
        })
    }

    /// Turns a VM off and keeps its disk. One that is not started stays as it is.
    ///
    /// # Errors
    /// `not_found`, `timeout` when its supervisor does not end.
    pub async fn stop(&self, id: &str) -> Result<VmStatus> {
        self.control.stop(id).await.map(VmStatus::from)
    }

    /// Deletes a VM, whatever state it is in.
    ///
    /// # Errors
    /// `not_found`, `wrong_state` while it is being started by somebody.
    pub async fn delete(&self, id: &str) -> Result<DeletedVm> {
        self.control.delete(id).await?;
        Ok(DeletedVm { vm_id: id.to_owned(), deleted: true })
    }

    /// How a VM is.
    ///
    /// # Errors
    /// `not_found`, also when its time to live is over.
    pub fn status(&self, id: &str) -> Result<VmStatus> {
        self.control.instances().find(id).map(VmStatus::from)
    }

    /// The network of a VM.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn network_info(&self, id: &str) -> Result<VmNetwork> {
        let network = self.control.network(id).await?;
        Ok(VmNetwork { vm_id: id.to_owned(), network })
    }
}

impl From<Observed> for VmStatus {
    fn from(observed: Observed) -> Self {
        Self::of(observed.record)
    }
}

impl VmStatus {
    fn of(record: InstanceRecord) -> Self {
        Self {
            vm_id: record.id.to_string(),
            environment: record.environment,
            state: record.state,
            failure: record.failure,
            vcpu_count: record.vm.vcpu_count,
            mem_mib: record.vm.mem_mib,
            ttl_seconds: record.ttl_seconds,
            created_at: record.created_at,
            expires_at: record.expires_at,
            execution_mode: record.execution_mode,
            accelerator: record.accelerator,
            allow_host_compat: record.allow_host_compat,
            network_enabled: record.network_enabled,
            isolation: record.isolation,
        }
    }
}
