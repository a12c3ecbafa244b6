//! The services of workspaces.

use super::Pyro;
use crate::error::Result;
use crate::service::ServiceSpec;
use crate::workspace::{ServiceList, ServiceLogEvents, ServiceLogs, ServiceStatus};

impl Pyro {
    /// Starts a service in a workspace and waits until it is ready.
    pub async fn start_service(&self, id: &str, spec: &ServiceSpec) -> Result<ServiceStatus> {
        self.workspaces.start_service(id, spec).await
    }

    /// All services of a workspace, by name.
    pub fn list_services(&self, id: &str) -> Result<ServiceList> {
        self.workspaces.list_services(id)
    }

    /// How a service is.
    pub fn status_service(&self, id: &str, name: &str) -> Result<ServiceStatus> {
        self.workspaces.status_service(id, name)
    }

    /// The end of what a service printed: so many lines of each output, or all that is kept.
    pub fn logs_service(&self, id: &str, name: &str, tail_lines: Option<u64>) -> Result<ServiceLogs> {
        self.workspaces.logs_service(id, name, tail_lines)
    }

    /// The same after the end of the service, or of the workspace's machine.
    pub async fn logs_service_at_end(
        &self,
        id: &str,
        name: &str,
        tail_lines: Option<u64>,
    ) -> Result<ServiceLogs> {
        self.workspaces.logs_service_at_end(id, name, tail_lines).await
    }

    /// Tells the same in pieces, whole; with `follow` also what comes.
    pub async fn tell_logs_service(
        &self,
        id: &str,
        name: &str,
        tail_lines: Option<u64>,
        follow: bool,
        events: ServiceLogEvents,
    ) -> Result<()> {
        self.workspaces.tell_logs_service(id, name, tail_lines, follow, events).await
    }

    /// Stops a service with everything that it has started.
    pub async fn stop_service(&self, id: &str, name: &str) -> Result<ServiceStatus> {
        self.workspaces.stop_service(id, name).await
    }
}
