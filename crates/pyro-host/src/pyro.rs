//! The façade: one short method per operation, the same for every front end.

use crate::doctor::{DoctorOptions, DoctorReport, examine};
use crate::environment::{
    Environment, EnvironmentInspection, EnvironmentList, Environments, PruneOptions, PullOptions,
    PullProgress, entries,
};
use crate::error::Result;
use crate::pruned::{Pruned, PrunedCache};
use crate::run::{RunEvents, RunResult, RunSpec, Stdin, run};
use crate::state_dir::StateDir;
use crate::template::{TemplateStatus, Templates};
use crate::vm::accelerator::AcceleratorChoice;
use crate::vm::disk;
use crate::vm::hypervisor::Hypervisor;
use serde::Serialize;

/// pyro, opened on a state directory.
#[derive(Debug, Clone)]
pub struct Pyro {
    state_dir: StateDir,
    environments: Environments,
    templates: Templates,
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
    /// Opens the state directory. Touches nothing yet.
    pub fn new(state_dir: StateDir) -> Self {
        let (environments, templates) =
            (Environments::new(state_dir.clone()), Templates::new(state_dir.clone()));
        Self { state_dir, environments, templates }
    }

    /// Opens the state directory that the process's environment names.
    pub fn from_environment() -> Result<Self> {
        StateDir::from_environment().map(Self::new)
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
        let report = self.environments.prune(PruneOptions { all, keep: Vec::new() })?;
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

    /// Examines this host.
    pub async fn doctor(&self, options: &DoctorOptions) -> Result<DoctorReport> {
        examine(&self.state_dir, options).await
    }
}
