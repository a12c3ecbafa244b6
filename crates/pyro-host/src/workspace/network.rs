//! The network of a workspace, also of one that is stopped.

use super::Workspaces;
use crate::error::Result;
use crate::network::{NetworkInfo, PolicyChange};
use crate::publish::PublishSpec;
use crate::supervisor::Operation;
use serde::Serialize;

/// The network of a workspace.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WorkspaceNetwork {
    /// The workspace.
    pub workspace_id: String,
    /// Its network.
    #[serde(flatten)]
    pub network: NetworkInfo,
}

/// A port of a workspace that is reachable from the host.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PublishedPort {
    /// The workspace.
    pub workspace_id: String,
    /// Where.
    #[serde(flatten)]
    pub port: PublishSpec,
}

impl Workspaces {
    /// How the network of one is.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn network(&self, id: &str) -> Result<WorkspaceNetwork> {
        let network = self.control.network(id).await?;
        Ok(WorkspaceNetwork { workspace_id: id.to_owned(), network })
    }

    /// Changes whom the guest may talk to: at once where it runs, at its next start elsewhere.
    ///
    /// # Errors
    /// `not_found` for the workspace or a rule to be removed, `invalid_argument` for a rule that is none, `wrong_state`
    /// when it has no network or is just being started or stopped.
    pub async fn change_network(&self, id: &str, change: &PolicyChange) -> Result<WorkspaceNetwork> {
        let network = self.control.change_network(id, change).await?;
        Ok(WorkspaceNetwork { workspace_id: id.to_owned(), network })
    }

    /// Publishes a port of the guest.
    ///
    /// # Errors
    /// `not_found`, `wrong_state` when it is not started or has no network, `already_exists` when the port of the host is
    /// taken, `limit_reached`.
    pub async fn publish(&self, id: &str, port: PublishSpec) -> Result<PublishedPort> {
        let port = self.ask(id, Operation::Publish(port.checked()?)).await?;
        Ok(PublishedPort { workspace_id: id.to_owned(), port })
    }

    /// Takes a published port back.
    ///
    /// # Errors
    /// `not_found` for the workspace or the port, `wrong_state` while it is being started or stopped.
    pub async fn unpublish(&self, id: &str, host_port: u16) -> Result<PublishedPort> {
        let port = self.control.unpublish(id, host_port).await?;
        Ok(PublishedPort { workspace_id: id.to_owned(), port })
    }
}
