//! The services of a workspace, also of one that is stopped.

use super::Workspaces;
use crate::command::Command;
use crate::error::{Error, ErrorKind, Result};
use crate::instance::{Instance, Observed, ServiceRecord, ServiceState, StopReason};
use crate::publish::PublishSpec;
use crate::service::{Readiness, ServiceName, ServiceSpec};
use crate::supervisor::Operation;
use serde::Serialize;

mod logs;

#[cfg(test)]
mod tests;

pub use logs::{DEFAULT_TAIL_LINES, ServiceLogEvent, ServiceLogEvents, ServiceLogs};

/// A service as it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServiceStatus {
    /// The workspace.
    pub workspace_id: String,
    /// Its name.
    pub service_name: ServiceName,
    /// What was run. No words where the record is damaged: then `failure` says so.
    pub command: Command,
    /// Where.
    pub cwd: String,
    /// How it is.
    pub state: ServiceState,
    /// When it was last started, in seconds since the epoch.
    pub started_at: f64,
    /// When it became ready, likewise.
    pub ready_at: Option<f64>,
    /// When it ended, likewise. None while it runs, and where nobody saw its end.
    pub ended_at: Option<f64>,
    /// Its exit code; 128 + n for a signal. None while it runs, and where nobody saw its end.
    pub exit_code: Option<i32>,
    /// The signal that ended its main process, where one did.
    pub signal: Option<i32>,
    /// Its main process in the guest, while it runs.
    pub pid: Option<u32>,
    /// When it is ready.
    pub readiness: Option<Readiness>,
    /// Ports of the guest that are reachable at 127.0.0.1 of the host while it runs.
    pub published: Vec<PublishSpec>,
    /// Why it does not run any more.
    pub stop_reason: Option<StopReason>,
    /// What went wrong, in words.
    pub failure: Option<String>,
}

/// The services of a workspace.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServiceList {
    /// The workspace.
    pub workspace_id: String,
    /// How many there are.
    pub count: usize,
    /// How many of them run.
    pub running_count: usize,
    /// All of them, by name.
    pub services: Vec<ServiceStatus>,
}

impl Workspaces {
    /// Starts a service and waits until it is ready. Dropping the future leaves it starting.
    ///
    /// # Errors
    /// `already_exists` when one of this name runs, `service_failed` when it ended before it was ready, `timeout` when it
    /// was not ready in time, `exec_not_started`; with the end of its log, and the probe's last answer. `not_found`,
    /// `wrong_state` when the workspace is not started.
    pub async fn start_service(&self, id: &str, spec: &ServiceSpec) -> Result<ServiceStatus> {
        let operation = Operation::ServiceStart(spec.clone().checked()?);
        Ok(ServiceStatus::of(id, self.ask(id, operation).await?))
    }

    /// All services of a workspace, by name. One whose record cannot be read says so.
    ///
    /// # Errors
    /// `not_found`.
    pub fn list_services(&self, id: &str) -> Result<ServiceList> {
        let Observed { instance, is_owned, .. } = self.control.instances().find(id)?;
        let services = services_of(&instance, is_owned);
        let running_count = services.iter().filter(|service| service.state.is_alive()).count();
        Ok(ServiceList { workspace_id: id.to_owned(), count: services.len(), running_count, services })
    }

    /// How a service is.
    ///
    /// # Errors
    /// `not_found` for the workspace or the service, `io` when its record cannot be read.
    pub fn status_service(&self, id: &str, name: &str) -> Result<ServiceStatus> {
        let name = ServiceName::parse(name)?;
        let Observed { instance, is_owned, .. } = self.control.instances().find(id)?;
        Ok(ServiceStatus::of(id, instance.services().read(&name, is_owned)?))
    }

    /// Stops a service with everything that it has started. One that has ended stays as it is.
    ///
    /// # Errors
    /// `not_found` for the workspace or the service, and what the supervisor fails with.
    pub async fn stop_service(&self, id: &str, name: &str) -> Result<ServiceStatus> {
        let status = self.status_service(id, name)?;
        if !status.state.is_alive() {
            return Ok(status);
        }
        let operation = Operation::ServiceStop(status.service_name);
        Ok(ServiceStatus::of(id, self.ask(id, operation).await?))
    }
}

impl ServiceStatus {
    fn of(id: &str, record: ServiceRecord) -> Self {
        Self {
            workspace_id: id.to_owned(),
            service_name: record.service_name,
            command: record.command,
            cwd: record.cwd,
            state: record.state,
            started_at: record.started_at,
            ready_at: record.ready_at,
            ended_at: record.ended_at,
            exit_code: record.exit_code,
            signal: record.signal,
            pid: record.pid,
            readiness: record.readiness,
            published: record.published,
            stop_reason: record.stop_reason,
            failure: record.failure,
        }
    }

    /// One of which only the name is known.
    fn damaged(id: &str, service_name: ServiceName, error: &Error) -> Self {
        Self {
            workspace_id: id.to_owned(),
            service_name,
            command: Command::Argv(Vec::new()),
            cwd: String::new(),
            state: ServiceState::Failed,
            started_at: 0.0,
            ready_at: None,
            ended_at: None,
            exit_code: None,
            signal: None,
            pid: None,
            readiness: None,
            published: Vec::new(),
            stop_reason: None,
            failure: Some(error.chain().join(": ")),
        }
    }
}

/// All services of a workspace, by name: what is damaged is one of them.
pub(super) fn services_of(instance: &Instance, is_owned: bool) -> Vec<ServiceStatus> {
    let (id, services) = (instance.id.as_str(), instance.services());
    let status = |name: ServiceName| match services.read(&name, is_owned) {
        Ok(record) => Some(ServiceStatus::of(id, record)),
        // It went after its name was read.
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => Some(ServiceStatus::damaged(id, name, &error)),
    };
    services.names().into_iter().filter_map(status).collect()
}
