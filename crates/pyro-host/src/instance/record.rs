//! What is on disk about a persistent VM.

use super::{InstanceId, InstanceKind};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::execution_mode::ExecutionMode;
use crate::publish::PublishSpec;
use crate::state_dir::write_atomically;
use crate::vm::accelerator::{Accelerator, AcceleratorChoice};
use crate::vm::confinement::{Isolation, RequireIsolation};
use crate::vm::{Border, VmSpec};
use pyro_network::policy::Policy;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// To be raised when records are written or read in another way.
pub const FORMAT: u32 = 1;

/// Longer records than this are none of ours.
const MAX_BYTES: u64 = 1024 * 1024;

/// Everything that is known of a persistent VM beside its files and its history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// The way records are written.
    pub format: u32,
    /// Which it is.
    pub id: InstanceId,
    /// What it is.
    pub kind: InstanceKind,
    /// The state that its owner left it in.
    pub state: InstanceState,
    /// Why it failed, where it did.
    pub failure: Option<String>,
    /// The name of its environment.
    pub environment: String,
    /// The digest of that when it was created.
    pub environment_digest: String,
    /// The machine that is wanted.
    pub vm: VmSpec,
    /// The accelerator that is wanted.
    pub accelerator_choice: AcceleratorChoice,
    /// Seconds that it may live.
    pub ttl_seconds: u64,
    /// When it was created, in seconds since the epoch.
    pub created_at: f64,
    /// When its life ends, likewise.
    pub expires_at: f64,
    /// When something was last done with it, likewise.
    pub last_activity_at: f64,
    /// Whether it may run on the host where no guest can be started.
    pub allow_host_compat: bool,
    /// Whether its guest has a network.
    pub network_enabled: bool,
    /// The rules of that network, as they were given; none: everything public.
    #[serde(default)]
    pub network_allow: Vec<String>,
    /// The ports of the guest that are published as long as its machine runs.
    #[serde(default)]
    pub published: Vec<PublishSpec>,
    /// The isolation without which it is not started.
    #[serde(default)]
    pub require_isolation: RequireIsolation,
    /// How its machine was confined when it was last started; none on the host, and before its first start.
    #[serde(default)]
    pub isolation: Option<Isolation>,
    /// Where its commands run.
    pub execution_mode: ExecutionMode,
    /// What runs its guest; none on the host, and none before its first start.
    pub accelerator: Option<Accelerator>,
    /// What `/workspace` held at the beginning.
    pub seed: SeedRecord,
    /// How many times it was started.
    pub start_count: u64,
    /// Its supervisor, while it has one.
    pub supervisor: Option<SupervisorRecord>,
}

impl InstanceRecord {
    /// What is between its machine and the outside.
    ///
    /// # Errors
    /// `io` when the rules in it are none.
    pub fn border(&self) -> Result<Border> {
        let damaged = || format!("the network rules in the record of `{}` are damaged", self.id);
        let policy = match self.network_enabled {
            true => Some(Policy::parse(&self.network_allow).failing(ErrorKind::Io, damaged)?),
            false => None,
        };
        Ok(Border { policy, require_isolation: self.require_isolation })
    }
}

/// The state that an owner left a persistent VM in. Whether that is still true, its lock tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Somebody is making it. Without an owner: abandoned.
    Creating,
    /// It is there and was never started.
    Created,
    /// Its machine runs. Without an owner: failed.
    Started,
    /// Its machine was ended in order, and its files are kept.
    Stopped,
    /// Its machine ended in another way. Its files are kept.
    Failed,
}

impl InstanceState {
    /// The word in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// The process that owns a started one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisorRecord {
    /// Its process id.
    pub pid: u32,
    /// Where it listens.
    pub socket: PathBuf,
    /// The version of pyro that it is.
    pub pyro: String,
}

/// What a workspace was seeded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SeedMode {
    /// From nothing.
    #[default]
    Empty,
    /// From a directory of the host.
    Directory,
    /// From an archive.
    TarArchive,
}

/// How `/workspace` was initialised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SeedRecord {
    /// From what.
    pub mode: SeedMode,
    /// Where that was on the host.
    pub seed_path: Option<String>,
    /// Where it went.
    pub destination: String,
    /// How many files, directories and links.
    pub entry_count: u64,
    /// How many bytes of files.
    pub bytes_written: u64,
}

impl Default for SeedRecord {
    fn default() -> Self {
        Self {
            mode: SeedMode::Empty,
            seed_path: None,
            destination: crate::command::WORKSPACE_PATH.into(),
            entry_count: 0,
            bytes_written: 0,
        }
    }
}

pub(super) fn read(path: &Path) -> Result<InstanceRecord> {
    let doing = || format!("could not read the record `{}`", path.display());
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::new(ErrorKind::NotFound, doing()).with_source(error));
        }
        metadata => metadata.doing(doing)?,
    };
    if metadata.len() > MAX_BYTES {
        return Err(Error::new(ErrorKind::Io, damaged(path)).with_source("it is too long"));
    }
    parse(path, &fs::read(path).doing(doing)?)
}

/// Whether there is a record that was read and is none, not even one of a newer version: it never will be one.
pub(super) fn is_damaged(path: &Path) -> bool {
    if fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() > MAX_BYTES) {
        return true;
    }
    let is_none =
        |bytes: Vec<u8>| parse(path, &bytes).is_err_and(|error| error.kind() != ErrorKind::VersionMismatch);
    fs::read(path).is_ok_and(is_none)
}

fn damaged(path: &Path) -> String {
    format!("the record `{}` is damaged", path.display())
}

fn parse(path: &Path, bytes: &[u8]) -> Result<InstanceRecord> {
    let damaged = || damaged(path);
    let hint = "delete it with `pyro workspace delete`; what it stood for cannot be started";
    let value: serde_json::Value =
        serde_json::from_slice(bytes).doing(damaged).map_err(|error| error.with_hint(hint))?;
    let format = value["format"].as_u64();
    if format.is_some_and(|format| format > u64::from(FORMAT)) {
        let message = format!("the record `{}` was written by a newer pyro", path.display());
        return Err(Error::new(ErrorKind::VersionMismatch, message).with_hint("use that version of pyro"));
    }
    serde_json::from_value(value).doing(damaged).map_err(|error| error.with_hint(hint))
}

pub(super) fn write(path: &Path, record: &InstanceRecord) -> Result<()> {
    write_atomically(path, &json(record)?)
}

fn json(record: &InstanceRecord) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(record).failing(ErrorKind::Internal, || "could not write a record".into())
}
