//! The workspaces of the bench, which are all deleted in the end.

use crate::Result;
use crate::executable::Executable;
use crate::host::{ENVIRONMENT, Host};
use pyro_host::instance::{InstanceKind, Instances};
use pyro_host::network::Policy;
use pyro_host::workspace::{WorkspaceSpec, Workspaces};
use std::path::Path;
use std::time::{Duration, Instant};

/// If the bench is killed, its workspaces live as long as this.
const TTL_SECONDS: u64 = 3600;

/// As many as the bench has at a time, and others may have.
const MAX_ACTIVE: usize = 1000;

/// Those that have been made and not been deleted.
pub struct Lot<'a> {
    executable: &'a Executable,
    pub workspaces: Workspaces,
    instances: Instances,
    spec: WorkspaceSpec,
    ids: Vec<String>,
}

impl<'a> Lot<'a> {
    /// None yet.
    pub fn new(host: &Host, executable: &'a Executable) -> Self {
        let path = executable.path().to_owned();
        let mut spec = WorkspaceSpec::new(ENVIRONMENT);
        spec.machine.ttl_seconds = TTL_SECONDS;
        spec.machine.accelerator = host.choice;
        Self {
            executable,
            workspaces: Workspaces::new(host.state_dir.clone(), path, MAX_ACTIVE),
            instances: Instances::new(host.state_dir.clone(), InstanceKind::Workspace),
            spec,
            ids: Vec::new(),
        }
    }

    /// Gives those that are made from now on a network.
    pub fn give_network(&mut self, policy: Policy) {
        self.spec.machine.network = Some(policy);
    }

    /// Creates one, and says how long that took.
    pub async fn create(&mut self, seed: Option<&Path>) -> Result<(String, Duration)> {
        let spec = WorkspaceSpec { seed_path: seed.map(Path::to_owned), ..self.spec.clone() };
        let begun = Instant::now();
        let created = self.workspaces.create(&spec, None).await?;
        let elapsed = begun.elapsed();
        self.ids.push(created.workspace_id.clone());
        Ok((created.workspace_id, elapsed))
    }

    /// Deletes one.
    pub async fn delete(&mut self, id: &str) -> Result<()> {
        self.workspaces.delete(id).await?;
        self.ids.retain(|other| other != id);
        Ok(())
    }

    /// The process of its supervisor.
    pub fn supervisor(&self, id: &str) -> Result<u32> {
        let supervisor = self.instances.find(id)?.record.supervisor;
        Ok(supervisor.ok_or("a started workspace has no supervisor")?.pid)
    }
}

impl Drop for Lot<'_> {
    fn drop(&mut self) {
        for id in &self.ids {
            // What cannot be deleted ends with its time to live.
            let _ = self.executable.command(&["workspace", "delete", id]).status();
        }
    }
}
