//! A persistent VM on the host's disk: a workspace, or a VM of the library.
//!
//! Each is one folder that only its owner writes: whoever holds the folder's lock. That is the client that creates
//! it, then its supervisor, and nobody while it is stopped. Everybody else reads, and sees by the lock whether the
//! supervisor lives:
//!
//! ```text
//! record.json       what it is and which state it was left in
//! disk              its disk, sparse
//! history/          its commands, with their whole output
//! services/<name>/  its services, with the end of what they printed
//! shells/<id>/      its shells, likewise
//! activity          empty; its time says when something was last done
//! supervisor.log    what its supervisor had to say
//! ```

pub mod history;
pub(crate) mod output_log;
pub(crate) mod record;
mod records;
mod service;
mod shell;
mod store;

pub use history::{History, HistoryEntry};
pub use output_log::{Extent, LogWriter, OutputLog, Piece, Unit};
pub use record::{InstanceRecord, InstanceState, SeedMode, SeedRecord, SupervisorRecord};
pub use service::{SERVICE_LOG_BYTES, ServiceRecord, ServiceState, Services, StopReason};
pub use shell::{SHELL_LOG_BYTES, ShellRecord, ShellState, Shells};
pub use store::{Instances, Observed, OwnedInstance};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::state_dir::StateDir;
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// What a persistent VM is to its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceKind {
    /// A workspace.
    Workspace,
    /// A VM of the library.
    Vm,
}

impl InstanceKind {
    /// The word for it.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::Vm => "VM",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Workspace => "ws-",
            Self::Vm => "vm-",
        }
    }
}

/// The id of a persistent VM: `ws-` or `vm-` and twelve hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(String);

const ID_DIGITS: usize = 12;

impl InstanceId {
    /// An id that nobody has.
    pub fn fresh(kind: InstanceKind) -> Result<Self> {
        let mut bytes = [0; ID_DIGITS / 2];
        getrandom(&mut bytes, GetRandomFlags::empty()).map_err(|errno| {
            Error::new(ErrorKind::Io, "could not get random bytes from the host").with_source(errno)
        })?;
        Ok(Self(format!("{}{}", kind.prefix(), crate::fingerprint::hex(&bytes))))
    }

    /// The id that somebody gave, if it can be one.
    pub fn parse(kind: InstanceKind, text: &str) -> Option<Self> {
        let digits = text.strip_prefix(kind.prefix())?;
        let is_id =
            digits.len() == ID_DIGITS && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_id.then(|| Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for InstanceId {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        [InstanceKind::Workspace, InstanceKind::Vm]
            .into_iter()
            .find_map(|kind| Self::parse(kind, &text))
            .ok_or_else(|| format!("`{text}` is no id"))
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the files of a persistent VM are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Instance {
    /// What it is.
    pub kind: InstanceKind,
    /// Which it is.
    pub id: InstanceId,
    /// Its folder.
    pub folder: PathBuf,
}

impl Instance {
    /// Its disk.
    pub fn disk(&self) -> PathBuf {
        self.folder.join("disk")
    }

    /// Where it keeps its files when it runs on the host itself.
    pub fn host_files(&self) -> PathBuf {
        self.folder.join("host")
    }

    /// Where its supervisor listens.
    pub fn socket(&self, state_dir: &StateDir) -> PathBuf {
        state_dir.runtime().join(format!("{}.sock", self.id))
    }

    /// The log of its supervisor.
    pub fn log(&self) -> PathBuf {
        self.folder.join("supervisor.log")
    }

    /// Its commands.
    pub fn history(&self) -> History {
        History::at(self.folder.join("history"))
    }

    /// Its services.
    pub fn services(&self) -> Services {
        Services::at(self.folder.join("services"))
    }

    /// Its shells.
    pub fn shells(&self) -> Shells {
        Shells::at(self.folder.join("shells"))
    }

    /// Reads its record.
    ///
    /// # Errors
    /// `not_found` when there is none, `io` when it cannot be read or is damaged.
    pub fn read_record(&self) -> Result<InstanceRecord> {
        let mut record = record::read(&self.record_path()).map_err(|error| match error.kind() {
            ErrorKind::NotFound => self.not_found(),
            _ => error,
        })?;
        let touched = std::fs::metadata(self.activity()).and_then(|file| file.modified()).ok();
        let touched = touched.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        if let Some(touched) = touched {
            record.last_activity_at = record.last_activity_at.max(touched.as_secs_f64());
        }
        Ok(record)
    }

    /// Something was done with it just now. The time of an empty file tells, so that the record need not be written.
    pub fn touch(&self) -> Result<()> {
        let path = self.activity();
        let doing = || format!("could not touch `{}`", path.display());
        let file = std::fs::File::options().create(true).append(true).open(&path).doing(doing)?;
        file.set_modified(std::time::SystemTime::now()).doing(doing)
    }

    fn activity(&self) -> PathBuf {
        self.folder.join("activity")
    }

    /// Whether its record can be read by no version of pyro. One that could not be read just now is not damaged.
    pub fn is_damaged(&self) -> bool {
        record::is_damaged(&self.record_path())
    }

    /// Writes its record. Only for its owner.
    pub fn write_record(&self, record: &InstanceRecord) -> Result<()> {
        record::write(&self.record_path(), record)
    }

    /// The error of who asks for one that is not there.
    pub fn not_found(&self) -> Error {
        not_found(self.kind, self.id.as_str())
    }

    fn record_path(&self) -> PathBuf {
        self.folder.join("record.json")
    }
}

fn not_found(kind: InstanceKind, id: &str) -> Error {
    let error = Error::new(ErrorKind::NotFound, format!("there is no {} `{id}`", kind.noun()));
    match kind {
        InstanceKind::Workspace => error.with_hint(
            "`pyro workspace list` shows those that are there; one whose time to live is over is gone",
        ),
        InstanceKind::Vm => {
            error.with_hint("a VM is gone after its command, and when its time to live is over")
        }
    }
}

/// The folder of all that are of a kind.
fn folder_of(state_dir: &StateDir, kind: InstanceKind) -> PathBuf {
    match kind {
        InstanceKind::Workspace => state_dir.workspaces(),
        InstanceKind::Vm => state_dir.vms(),
    }
}

/// What a folder is called while it is being deleted.
fn doomed(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!("{DOOMED}{name}"))
}

const DOOMED: &str = ".deleted-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_are_ids() {
        let id = InstanceId::fresh(InstanceKind::Workspace).unwrap();
        assert_eq!(InstanceId::parse(InstanceKind::Workspace, id.as_str()), Some(id.clone()));
        assert_eq!(InstanceId::parse(InstanceKind::Vm, id.as_str()), None);
        for text in
            ["", "ws-", "ws-0123456789ag", "ws-0123456789abc", "../ws-0123456789ab", "ws-0123456789AB"]
        {
            assert_eq!(InstanceId::parse(InstanceKind::Workspace, text), None, "{text}");
        }
    }
}
