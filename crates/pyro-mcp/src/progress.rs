//! How far a call is, in words. Nobody has to listen.

use pyro_host::environment::PullProgress;
use pyro_host::start::StartEvent;
use pyro_host::workspace::{SyncProgress, WorkspaceEvent};
use tokio::sync::mpsc;

const MIB: u64 = 1024 * 1024;

/// Where a call says how far it is.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    told: Option<mpsc::Sender<String>>,
}

impl Progress {
    /// To somebody who takes it.
    pub fn to(told: mpsc::Sender<String>) -> Self {
        Self { told: Some(told) }
    }

    /// Says it. What nobody takes in time is dropped: the next one tells more.
    pub fn say(&self, message: impl Into<String>) {
        if let Some(told) = &self.told {
            let _ = told.try_send(message.into());
        }
    }

    pub(crate) fn start(&self, event: &StartEvent) {
        self.say(match event {
            StartEvent::Pull(progress) => of_pull(progress),
            StartEvent::BuildingTemplate => {
                "booting a machine of this shape for the first time; later ones start in a fraction of it"
                    .into()
            }
            StartEvent::RebuildingTemplate(reason) => {
                format!("booting a machine of this shape again: {reason}")
            }
            StartEvent::HostCompat(reason) => of_host_compat(reason),
        });
    }

    pub(crate) fn workspace(&self, event: &WorkspaceEvent) {
        match event {
            WorkspaceEvent::Start(event) => self.start(event),
            WorkspaceEvent::HostCompat(reason) => self.host_compat(reason),
            WorkspaceEvent::Seed(progress) => self.files(*progress),
        }
    }

    pub(crate) fn host_compat(&self, reason: &str) {
        self.say(of_host_compat(reason));
    }

    pub(crate) fn files(&self, progress: SyncProgress) {
        let SyncProgress { entry_count, bytes } = progress;
        self.say(format!("moving files: {entry_count} entries, {} MiB", bytes / MIB));
    }
}

fn of_pull(progress: &PullProgress) -> String {
    match progress {
        PullProgress::Phase { environment, phase } => format!("pulling {environment}: {}", phase.code()),
        PullProgress::Download { bytes, total_bytes } => {
            format!("downloading packages: {} of {} MiB", bytes / MIB, total_bytes / MIB)
        }
        PullProgress::Packages { done, total } => format!("setting up packages: {done} of {total}"),
    }
}

fn of_host_compat(reason: &str) -> String {
    format!("warning: runs ON THIS HOST, WITHOUT ISOLATION: no guest could be started: {reason}")
}
