//! Persistent workspaces: created from a repository, used by many processes, compared with where they began, exported,
//! stopped and started again, deleted.
//!
//! Everything that only looks (`status`, `list`, `logs`) reads the records on disk; everything that does something goes
//! to the supervisor. Trees of files are read, checked and written by the client, as its own user: the supervisor passes
//! them on unread.

mod call;
mod create;
mod exec;
mod files;
mod logs;
mod network;
mod path;
mod payload;
mod service;
mod shell;

pub(crate) use exec::exec_in;

pub use create::{WorkspaceEvent, WorkspaceEvents, WorkspaceSpec};
pub use exec::{ExecResult, ExecSpec, OutputEvents};
pub use files::{ExportResult, SyncProgress, SyncResult};
pub use logs::{LogEvent, LogEvents, LoggedCommand, Logs};
pub use network::{PublishedPort, WorkspaceNetwork};
pub use payload::{DamagedWorkspace, DeletedWorkspace, LastCommand, WorkspaceList, WorkspaceStatus};
pub use service::{
    DEFAULT_TAIL_LINES, ServiceList, ServiceLogEvent, ServiceLogEvents, ServiceLogs, ServiceStatus,
};
pub use shell::{
    DEFAULT_MAX_CHARS, ReadSpec, ShellAttachment, ShellList, ShellOutput, ShellSignalled, ShellStatus,
    ShellWritten,
};

use crate::error::Result;
use crate::instance::InstanceKind;
use crate::start::StartEvent;
use crate::state_dir::StateDir;
use crate::supervisor::Control;
use std::path::PathBuf;
use tokio::sync::mpsc;

/// The workspaces of one user.
#[derive(Debug, Clone)]
pub struct Workspaces {
    control: Control,
}

impl Workspaces {
    /// `executable` is pyro itself, which becomes the supervisor of each; `max_active` is how many may be started.
    pub fn new(state_dir: StateDir, executable: PathBuf, max_active: usize) -> Self {
        Self { control: Control::new(state_dir, InstanceKind::Workspace, executable, max_active) }
    }

    /// How one is.
    ///
    /// # Errors
    /// `not_found`, also when its time to live is over.
    pub fn status(&self, id: &str) -> Result<WorkspaceStatus> {
        self.control.instances().find(id).map(|observed| WorkspaceStatus::of(&observed))
    }

    /// All of them, the oldest first.
    pub fn list(&self) -> WorkspaceList {
        let (observed, damaged) = self.control.instances().list();
        let workspaces: Vec<WorkspaceStatus> = observed.iter().map(WorkspaceStatus::of).collect();
        let damaged = damaged.iter().map(|(instance, error)| DamagedWorkspace::of(instance, error)).collect();
        WorkspaceList { count: workspaces.len(), workspaces, damaged }
    }

    /// Turns the machine of one off and keeps its files. One that is not started stays as it is.
    ///
    /// # Errors
    /// `not_found`, `timeout` when its supervisor does not end.
    pub async fn stop(&self, id: &str) -> Result<WorkspaceStatus> {
        self.control.stop(id).await.map(|observed| WorkspaceStatus::of(&observed))
    }

    /// Brings one back, with its files, history and baseline. One that is started stays as it is.
    ///
    /// # Errors
    /// `not_found`, `limit_reached`, `start_failed`, `environment_unavailable` when its environment is gone.
    pub async fn start(
        &self,
        id: &str,
        events: Option<&mpsc::Sender<StartEvent>>,
    ) -> Result<WorkspaceStatus> {
        self.control.start(id, events).await.map(|observed| WorkspaceStatus::of(&observed))
    }

    /// Deletes one with all its files, whatever state it is in.
    ///
    /// # Errors
    /// `not_found`, `wrong_state` while it is being started by somebody.
    pub async fn delete(&self, id: &str) -> Result<DeletedWorkspace> {
        // Its history and its disk are told too, which are gone afterwards.
        let workspace = self.control.instances().find(id).ok().map(|observed| WorkspaceStatus::of(&observed));
        self.control.delete(id).await?;
        Ok(DeletedWorkspace { workspace_id: id.to_owned(), workspace, deleted: true })
    }
}
