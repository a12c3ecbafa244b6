//! What a task of the guest agent says when it fails.

use crate::error::{Error, ErrorKind};
use crate::guest::session::printable;
use pyro_protocol::message;
use pyro_protocol::task::{MAX_TASK_FAILURE, Task, TaskFailure, TaskFailureKind};

/// What a task wrote to its standard error, up to the longest failure there is.
#[derive(Debug, Default)]
pub struct TaskWords {
    bytes: Vec<u8>,
}

impl TaskWords {
    /// Keeps what may belong to a failure.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = MAX_TASK_FAILURE.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Whether it wrote nothing.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The error that they tell.
    pub fn into_error(self, task: &Task) -> Error {
        self.into_error_of(describe(task))
    }

    /// The error that they tell of something that is no task of the protocol.
    pub(super) fn into_error_of(self, doing: String) -> Error {
        match message::decode::<TaskFailure>(&self.bytes) {
            Ok(failure) => of_failure(doing, &failure),
            Err(_) => Error::new(ErrorKind::GuestUnreachable, doing)
                .with_source("the guest agent did not say why; its process was ended")
                .with_hint("a machine that is out of memory ends processes: give it more with --mem-mib"),
        }
    }
}

fn describe(task: &Task) -> String {
    let at =
        |path: &str| if path.is_empty() { "/workspace".to_owned() } else { format!("/workspace/{path}") };
    match task {
        Task::Seed { destination } => format!("could not seed `{}`", at(destination)),
        Task::Sync { destination } => format!("could not sync into `{}`", at(destination)),
        Task::Recover => "could not finish an interrupted sync".into(),
        Task::Export { path } => format!("could not export `{}`", at(path)),
        Task::Diff { .. } => "could not compare the workspace with its baseline".into(),
        Task::Flush => "could not write the workspace to its disk".into(),
    }
}

fn of_failure(doing: String, failure: &TaskFailure) -> Error {
    let (kind, hint) = match failure.kind {
        TaskFailureKind::NoSpace => (
            ErrorKind::DiskFull,
            "the disk of the workspace is full: delete something in it, or create one with a larger --disk-mib",
        ),
        TaskFailureKind::NotFound => (ErrorKind::NotFound, "look with `pyro workspace exec ID -- ls -la`"),
        TaskFailureKind::InTheWay => {
            (ErrorKind::AlreadyExists, "delete or rename what stands there in the workspace, then try again")
        }
        TaskFailureKind::UnsafePath => {
            (ErrorKind::UnsafePath, "name a path inside the workspace that goes through no link")
        }
        TaskFailureKind::NotCarried => (
            ErrorKind::Unsupported,
            "sockets, FIFOs and devices stay where they are: delete it, or export what is beside it",
        ),
        TaskFailureKind::Malformed => (ErrorKind::InvalidArgument, "nothing was changed"),
        TaskFailureKind::Io => (ErrorKind::Io, "`pyro workspace exec ID -- dmesg` may say more"),
    };
    Error::new(kind, doing).with_source(printable(&failure.to_string())).with_hint(hint)
}
