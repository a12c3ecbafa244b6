//! The networks of workspaces.

use super::Pyro;
use crate::error::Result;
use crate::network::{Explanation, Policy, PolicyChange};
use crate::publish::PublishSpec;
use crate::workspace::{PublishedPort, WorkspaceNetwork};
use pyro_network::explain::explain;
use pyro_network::guard::Guard;

impl Pyro {
    /// The network of a workspace: whom its guest may talk to, its connections, what was refused.
    pub async fn network_workspace(&self, id: &str) -> Result<WorkspaceNetwork> {
        self.workspaces.network(id).await
    }

    /// Changes whom the guest of a workspace may talk to, at once where it runs.
    pub async fn change_network_workspace(
        &self,
        id: &str,
        change: &PolicyChange,
    ) -> Result<WorkspaceNetwork> {
        self.workspaces.change_network(id, change).await
    }

    /// Makes a port of a started workspace's guest reachable at 127.0.0.1, until it is taken back or the workspace is
    /// deleted. Tells the port of the host that was taken.
    pub async fn publish_workspace(&self, id: &str, port: PublishSpec) -> Result<PublishedPort> {
        self.workspaces.publish(id, port).await
    }

    /// Takes a published port back.
    pub async fn unpublish_workspace(&self, id: &str, host_port: u16) -> Result<PublishedPort> {
        self.workspaces.unpublish(id, host_port).await
    }

    /// Tells what would become of a connection under a policy, and why. It is decided by the code that enforces it.
    pub async fn explain_network(&self, policy: Policy, host: &str, port: u16) -> Explanation {
        explain(&Guard::new(policy), host, Some(port)).await
    }
}
