//! What is on disk about the services of a persistent VM.
//!
//! ```text
//! services/web/record.json         what it is and what came of it
//! services/web/stdout.<position>   the end of what it printed, see `output_log`
//! services/web/stderr.<position>
//! ```
//!
//! They are outside of the guest: nothing in it can change them, and they outlast it.

use super::output_log::{OutputLog, Unit};
use super::records::{INTERRUPTED, Records, missing};
use crate::command::Command;
use crate::error::Result;
use crate::output::OutputChannel;
use crate::publish::PublishSpec;
use crate::service::{Readiness, ServiceName};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How much of each output of a service is kept at least, in bytes.
pub const SERVICE_LOG_BYTES: u64 = 16 * 1024 * 1024;

/// How a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// It runs and is not ready.
    Starting,
    /// It runs and was ready.
    Running,
    /// Somebody had it stopped, or its workspace.
    Stopped,
    /// It ended by itself after it had been ready.
    Exited,
    /// It never became ready, or its machine ended under it.
    Failed,
}

impl ServiceState {
    /// The word in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Exited => "exited",
            Self::Failed => "failed",
        }
    }

    /// Whether its processes are there.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }
}

/// Why a service does not run any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It was stopped, and ended when it was asked to.
    Sigterm,
    /// It was stopped, and had to be killed.
    Sigkill,
    /// Its main process ended by itself.
    ProcessExited,
    /// Its main process ended before it was ready.
    ProcessExitedBeforeReady,
    /// It was not ready in time, and was stopped.
    ReadinessTimeout,
    /// Nobody could ask whether it was ready, and it was stopped.
    ProbeFailed,
    /// It could not be started.
    NotStarted,
    /// Its workspace was stopped.
    WorkspaceStopped,
    /// Its machine ended.
    MachineEnded,
    /// The supervisor of its workspace ended, and with it the machine.
    SupervisorEnded,
}

impl StopReason {
    /// The word in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sigterm => "sigterm",
            Self::Sigkill => "sigkill",
            Self::ProcessExited => "process_exited",
            Self::ProcessExitedBeforeReady => "process_exited_before_ready",
            Self::ReadinessTimeout => "readiness_timeout",
            Self::ProbeFailed => "probe_failed",
            Self::NotStarted => "not_started",
            Self::WorkspaceStopped => "workspace_stopped",
            Self::MachineEnded => "machine_ended",
            Self::SupervisorEnded => "supervisor_ended",
        }
    }
}

/// One service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceRecord {
    /// Its name.
    pub service_name: ServiceName,
    /// What was run.
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
    /// Why it does not run any more.
    pub stop_reason: Option<StopReason>,
    /// What went wrong, in words.
    pub failure: Option<String>,
    /// Where in its logs the output of this start begins: of standard output, of standard error.
    pub log_start: [u64; 2],
    /// Ports of the guest that are reachable from the host while it runs.
    #[serde(default)]
    pub published: Vec<PublishSpec>,
}

/// The services of one persistent VM.
#[derive(Debug, Clone)]
pub struct Services {
    records: Records<ServiceRecord>,
}

impl Services {
    pub(super) fn at(folder: PathBuf) -> Self {
        Self { records: Records::at(folder) }
    }

    /// The names of all, in order.
    pub fn names(&self) -> Vec<ServiceName> {
        self.records.names().iter().filter_map(|name| ServiceName::parse(name).ok()).collect()
    }

    /// One of them. `is_owned` says whether a supervisor lives: without one nothing runs.
    ///
    /// # Errors
    /// `not_found` when there is none of this name, `io` when its record cannot be read.
    pub fn read(&self, name: &ServiceName, is_owned: bool) -> Result<ServiceRecord> {
        let mut record = self.records.read(name.as_str())?.ok_or_else(|| {
            let hint = "`pyro workspace service list ID` shows those that are there".into();
            missing(&format!("service `{name}` in the workspace"), hint)
        })?;
        if record.state.is_alive() && !is_owned {
            (record.state, record.pid, record.published) = (ServiceState::Failed, None, Vec::new());
            record.stop_reason = Some(StopReason::SupervisorEnded);
            record.failure.get_or_insert_with(|| INTERRUPTED.into());
        }
        Ok(record)
    }

    /// Writes one. Only for the owner.
    ///
    /// # Errors
    /// `io`, also for want of room.
    pub fn write(&self, record: &ServiceRecord) -> Result<()> {
        self.records.write(record.service_name.as_str(), record)
    }

    /// Deletes one with what it printed.
    ///
    /// # Errors
    /// `io`.
    pub fn delete(&self, name: &ServiceName) -> Result<()> {
        self.records.delete(name.as_str())
    }

    /// What one printed, as far as it is kept. Positions count bytes.
    pub fn log(&self, name: &ServiceName, channel: OutputChannel) -> OutputLog {
        let prefix = match channel {
            OutputChannel::Stdout => "stdout",
            OutputChannel::Stderr => "stderr",
        };
        OutputLog::at(self.records.folder(name.as_str()), prefix, Unit::Bytes)
    }

    /// Completes the records that an earlier supervisor left without an end. For a new one, before its first service.
    pub fn end_interrupted(&self) {
        for name in self.names() {
            // One that cannot be read or written now is told right all the same, as long as nobody owns it.
            if let Ok(record) = self.read(&name, false) {
                let _ = self.write(&record);
            }
        }
    }
}
