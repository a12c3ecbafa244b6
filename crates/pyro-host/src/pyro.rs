//! The façade: one short method per operation, the same for every front end.

mod network;
mod service;
mod shell;

use crate::doctor::{DoctorOptions, DoctorReport, examine};
use crate::environment::{
    Environment, EnvironmentInspection, EnvironmentList, Environments, PruneOptions, PullOptions,
    PullProgress, entries,
};
use crate::error::Result;
use crate::instance::{InstanceKind, Instances};
use crate::limits::{DEFAULT_MAX_ACTIVE_VMS, max_active_vms};
use crate::pruned::{Pruned, PrunedCache};
use crate::run::{RunEvents, RunResult, RunSpec, Stdin, run};
use crate::start::StartEvent;
use crate::state_dir::StateDir;
use crate::supervisor::PersistentSpec;
use crate::template::{TemplateStatus, Templates};
use crate::tree::WorkspaceDiff;
use crate::vm::accelerator::AcceleratorChoice;
use crate::vm::disk;
use crate::vm::hypervisor::Hypervisor;
use crate::vms::{DeletedVm, VmExecResult, VmNetwork, VmStatus, Vms};
use crate::workspace::{
    DeletedWorkspace, ExecResult, ExecSpec, ExportResult, LogEvents, Logs, OutputEvents, SyncProgress,
    SyncResult, WorkspaceEvents, WorkspaceList, WorkspaceSpec, WorkspaceStatus, Workspaces,
};
use serde::Serialize;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// Names the executable that becomes a supervisor, where this process is not pyro itself.
pub const EXECUTABLE_VARIABLE: &str = "PYRO_EXECUTABLE";

/// pyro, opened on a state directory.
#[derive(Debug, Clone)]
pub struct Pyro {
    state_dir: StateDir,
    environments: Environments,
    templates: Templates,
    workspaces: Workspaces,
    vms: Vms,
}

/// What was found to be over, and is gone.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reaped {
    /// The ids of workspaces whose time to live was over, or whose record was damaged.
    pub workspaces: Vec<String>,
    /// The ids of VMs, likewise.
    pub vms: Vec<String>,
    /// How many that are.
    pub count: usize,
}

/// All that is known of an environment, with the templates made of it.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedEnvironment {
    /// The environment.
    #[serde(flatten)]
    pub environment: EnvironmentInspection,
    /// The templates of its present digest.
    pub templates: Vec<TemplateStatus>,
}

impl Pyro {
    /// Opens the state directory. Touches nothing yet. As many workspaces and VMs may be started as is usual.
    pub fn new(state_dir: StateDir) -> Self {
        Self::with_limit(state_dir, DEFAULT_MAX_ACTIVE_VMS)
    }

    /// Opens the state directory; `max_active_vms` is how many workspaces and VMs may be started at the same time.
    pub fn with_limit(state_dir: StateDir, max_active_vms: usize) -> Self {
        Self::with_executable(state_dir, max_active_vms, executable())
    }

    /// The same for a process that is not pyro itself: `executable` is pyro, and becomes the supervisors.
    pub fn with_executable(state_dir: StateDir, max_active_vms: usize, executable: PathBuf) -> Self {
        let workspaces = Workspaces::new(state_dir.clone(), executable.clone(), max_active_vms);
        let vms = Vms::new(state_dir.clone(), executable, max_active_vms);
        let (environments, templates) =
            (Environments::new(state_dir.clone()), Templates::new(state_dir.clone()));
        Self { state_dir, environments, templates, workspaces, vms }
    }

    /// Opens the state directory that the process's environment names, with the limit that it names.
    pub fn from_environment() -> Result<Self> {
        Ok(Self::with_limit(StateDir::from_environment()?, max_active_vms()?))
    }

    /// Where the files are.
    pub fn state_dir(&self) -> &StateDir {
        &self.state_dir
    }

    /// Every environment of the catalogue, and whether it is installed.
    pub fn list_environments(&self) -> Result<EnvironmentList> {
        self.environments.list()
    }

    /// Installs an environment, or repairs it.
    pub async fn pull_environment(
        &self,
        name: &str,
        options: PullOptions,
        progress: impl FnMut(PullProgress),
    ) -> Result<Environment> {
        self.environments.pull(name, options, progress).await
    }

    /// All that is known of an environment.
    pub fn inspect_environment(&self, name: &str) -> Result<InspectedEnvironment> {
        let environment = self.environments.inspect(name)?;
        let digest = environment.digest.as_deref();
        let mut templates = self.templates.list();
        templates.retain(|template| Some(template.facts.environment_digest.as_str()) == digest);
        Ok(InspectedEnvironment { environment, templates })
    }

    /// Removes environments that no name stands for, damaged ones, templates that nothing uses any more, and what
    /// killed processes left behind. With `all` also what is installed, and every template.
    pub fn prune_environments(&self, all: bool) -> Result<PrunedCache> {
        let report = self.environments.prune(PruneOptions { all, keep: self.environments_in_use() })?;
        let installed: Vec<String> = entries()
            .iter()
            .filter_map(|entry| self.environments.installed(entry.name).ok().flatten())
            .map(|environment| environment.digest)
            .collect();
        let mut deleted: Vec<Pruned> = report.deleted.into_iter().map(Pruned::from).collect();
        // Where QEMU cannot be found just now, templates of any QEMU may still be wanted.
        let hypervisor = Hypervisor::find(&self.state_dir, AcceleratorChoice::Auto).ok();
        let stale = |template: &TemplateStatus| {
            all || !installed.contains(&template.facts.environment_digest)
                || !template.facts.is_of_this_host(hypervisor.as_ref())
        };
        let templates = self.templates.prune(stale)?;
        if all {
            disk::forget_formatted(&self.state_dir)?;
        }
        let freed_bytes =
            report.freed_bytes + templates.iter().map(|template| template.freed_bytes).sum::<u64>();
        deleted.extend(templates);
        Ok(PrunedCache { count: deleted.len(), deleted, freed_bytes })
    }

    /// Runs a command in a fresh machine. Dropping the future ends the machine.
    pub async fn run(
        &self,
        spec: &RunSpec,
        stdin: Option<Stdin>,
        events: Option<RunEvents>,
    ) -> Result<RunResult> {
        run(&self.state_dir, spec, stdin, events).await
    }

    /// Creates a workspace and returns when it is ready.
    pub async fn create_workspace(
        &self,
        spec: &WorkspaceSpec,
        events: Option<&WorkspaceEvents>,
    ) -> Result<WorkspaceStatus> {
        self.workspaces.create(spec, events).await
    }

    /// All workspaces, the oldest first.
    pub fn list_workspaces(&self) -> WorkspaceList {
        self.workspaces.list()
    }

    /// How a workspace is.
    pub fn status_workspace(&self, id: &str) -> Result<WorkspaceStatus> {
        self.workspaces.status(id)
    }

    /// Runs a command in a workspace. Dropping the future ends the command.
    pub async fn exec_workspace(
        &self,
        id: &str,
        spec: &ExecSpec,
        stdin: Option<Stdin>,
        events: Option<OutputEvents>,
    ) -> Result<ExecResult> {
        self.workspaces.exec(id, spec, stdin, events).await
    }

    /// The commands of a workspace with the beginning of their output: all, or one.
    pub fn logs_workspace(&self, id: &str, sequence: Option<u64>) -> Result<Logs> {
        self.workspaces.logs(id, sequence)
    }

    /// The same after the end of the command, or of the workspace's machine.
    pub async fn logs_workspace_at_end(&self, id: &str, sequence: Option<u64>) -> Result<Logs> {
        self.workspaces.logs_at_end(id, sequence).await
    }

    /// Tells the history of a workspace, whole; with `follow` also what comes.
    pub async fn tell_logs_workspace(
        &self,
        id: &str,
        sequence: Option<u64>,
        follow: bool,
        events: LogEvents,
    ) -> Result<()> {
        self.workspaces.tell_logs(id, sequence, follow, events).await
    }

    /// Brings a directory or an archive of this host into a workspace: all of it, or nothing.
    pub async fn push_workspace_sync(
        &self,
        id: &str,
        source: &Path,
        destination: &str,
        progress: Option<impl Fn(SyncProgress) + Send + 'static>,
    ) -> Result<SyncResult> {
        self.workspaces.sync(id, source, destination, progress).await
    }

    /// Brings a file, a directory or a link out of a workspace.
    pub async fn export_workspace(
        &self,
        id: &str,
        path: &str,
        output: &Path,
        force: bool,
    ) -> Result<ExportResult> {
        self.workspaces.export(id, path, output, force).await
    }

    /// Compares a workspace with its baseline.
    pub async fn diff_workspace(&self, id: &str) -> Result<WorkspaceDiff> {
        self.workspaces.diff(id).await
    }

    /// Turns the machine of a workspace off and keeps its files.
    pub async fn stop_workspace(&self, id: &str) -> Result<WorkspaceStatus> {
        self.workspaces.stop(id).await
    }

    /// Brings a workspace back.
    pub async fn start_workspace(
        &self,
        id: &str,
        events: Option<&mpsc::Sender<StartEvent>>,
    ) -> Result<WorkspaceStatus> {
        self.workspaces.start(id, events).await
    }

    /// Deletes a workspace with all its files.
    pub async fn delete_workspace(&self, id: &str) -> Result<DeletedWorkspace> {
        self.workspaces.delete(id).await
    }

    /// Makes a VM that is not started.
    pub async fn create_vm(
        &self,
        spec: &PersistentSpec,
        events: Option<&mpsc::Sender<StartEvent>>,
    ) -> Result<VmStatus> {
        self.vms.create(spec, events).await
    }

    /// Starts a VM.
    pub async fn start_vm(&self, id: &str) -> Result<VmStatus> {
        self.vms.start(id).await
    }

    /// Runs one command in a started VM, and deletes the VM.
    pub async fn exec_vm(
        &self,
        id: &str,
        spec: &ExecSpec,
        stdin: Option<Stdin>,
        events: Option<OutputEvents>,
    ) -> Result<VmExecResult> {
        self.vms.exec(id, spec, stdin, events).await
    }

    /// Turns a VM off and keeps its disk.
    pub async fn stop_vm(&self, id: &str) -> Result<VmStatus> {
        self.vms.stop(id).await
    }

    /// Deletes a VM.
    pub async fn delete_vm(&self, id: &str) -> Result<DeletedVm> {
        self.vms.delete(id).await
    }

    /// How a VM is.
    pub fn status_vm(&self, id: &str) -> Result<VmStatus> {
        self.vms.status(id)
    }

    /// The network of a VM.
    pub async fn network_info_vm(&self, id: &str) -> Result<VmNetwork> {
        self.vms.network_info(id).await
    }

    /// Removes workspaces and VMs whose time to live is over, as every look at them does, and those whose record is
    /// damaged.
    pub fn reap_expired(&self) -> Reaped {
        let reap = |kind| Instances::new(self.state_dir.clone(), kind).reap();
        let (workspaces, vms) = (reap(InstanceKind::Workspace), reap(InstanceKind::Vm));
        Reaped { count: workspaces.len() + vms.len(), workspaces, vms }
    }

    /// The digests of environments that workspaces and VMs stand on, or may stand on: of all that there are, where one
    /// of them does not tell.
    fn environments_in_use(&self) -> Vec<String> {
        let digests = |kind| Instances::new(self.state_dir.clone(), kind).environment_digests();
        match (digests(InstanceKind::Workspace), digests(InstanceKind::Vm)) {
            (Some(workspaces), Some(vms)) => [workspaces, vms].concat(),
            _ => {
                let folders =
                    std::fs::read_dir(self.state_dir.environments()).into_iter().flatten().flatten();
                folders.filter_map(|folder| folder.file_name().into_string().ok()).collect()
            }
        }
    }

    /// Examines this host.
    pub async fn doctor(&self, options: &DoctorOptions) -> Result<DoctorReport> {
        examine(&self.state_dir, options).await
    }
}

/// The executable that becomes a supervisor.
fn executable() -> PathBuf {
    let named = std::env::var_os(EXECUTABLE_VARIABLE).filter(|name| !name.is_empty());
    // Not by its path: it may be replaced while this process runs.
    named.map_or_else(|| PathBuf::from("/proc/self/exe"), PathBuf::from)
}
