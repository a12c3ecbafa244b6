//! Templates: machines that were booted once and saved, so that others start as copies of them.
//!
//! A template is three files: the guest's memory, which a clone maps privately and pays for only where it
//! writes; the device state, some dozen KiB; the disk, of which each clone gets a sparse copy. It was saved when the
//! guest agent was ready and everything mounted, before the machine was told who it is: a clone is told as its
//! first message.
//!
//! Templates are a cache. One that is missing, stale or damaged is built again, under a lock, by the first who
//! needs it; everybody else waits for that. A template's key covers all that it depends on, so that a new agent,
//! kernel, QEMU, processor or shape never meets an old template.

mod build;
pub mod key;

use crate::environment::Environment;
use crate::error::{Context, Result};
use crate::fingerprint::Fingerprint;
use crate::pruned::{Pruned, PrunedKind};
use crate::state_dir::{DirLock, StateDir};
use crate::vm::hypervisor::Hypervisor;
use crate::vm::machine::Origin;
use crate::vm::{VmSpec, disk};
pub use key::{TemplateFacts, TemplateKey};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const RECORD: &str = "template.json";
const MEMORY: &str = "memory";
const STATE: &str = "state";
const DISK: &str = "disk";

/// What is on disk about a template, written last: without it there is no template.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct TemplateRecord {
    facts: TemplateFacts,
    created_at: f64,
    memory: Fingerprint,
    state: Fingerprint,
    disk: Fingerprint,
}

/// A template that is ready to be cloned: its files are open, so that it may be pruned meanwhile.
#[derive(Debug)]
pub struct Template {
    memory: File,
    state: File,
    disk: File,
}

/// A template as `env inspect` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct TemplateStatus {
    /// The key, which is also the name of its folder.
    pub key: String,
    /// What it depends on.
    #[serde(flatten)]
    pub facts: TemplateFacts,
    /// When it was built, in seconds since the epoch.
    pub created_at: f64,
    /// Bytes that it takes on the disk of the host.
    pub size_bytes: u64,
    /// Its folder.
    pub path: PathBuf,
}

impl Template {
    /// A copy of the disk for one clone.
    pub fn disk(&self, state_dir: &StateDir) -> Result<File> {
        disk::private_copy(&self.disk, state_dir)
    }

    /// A copy of the disk under a name that must not be there yet, for a clone whose disk outlives it. It is on the
    /// host's disk when this returns.
    ///
    /// # Errors
    /// `io`, also when the name is taken or the host's disk is full.
    pub fn disk_at(&self, path: &Path) -> Result<File> {
        disk::named_copy(&self.disk, path)
    }

    /// What a machine is started from.
    pub fn into_origin(self) -> Origin {
        Origin::Clone { memory: self.memory, state: self.state }
    }
}

/// The templates of one user.
#[derive(Debug, Clone)]
pub struct Templates {
    state_dir: StateDir,
}

impl Templates {
    /// The templates in this state directory.
    pub fn new(state_dir: StateDir) -> Self {
        Self { state_dir }
    }

    /// The template of this key, if it is there and its files are those that were saved.
    pub fn find(&self, key: &TemplateKey) -> Option<Template> {
        let folder = self.folder(&key.digest);
        let record = read_record(&folder)?;
        let open = |name: &str, saved: &Fingerprint| {
            let file = File::open(folder.join(name)).ok()?;
            let now = Fingerprint::from(&file.metadata().ok()?);
            (now == *saved).then_some(file)
        };
        let template = Template {
            memory: open(MEMORY, &record.memory)?,
            state: open(STATE, &record.state)?,
            disk: open(DISK, &record.disk)?,
        };
        Some(template)
    }

    /// Builds the template of this key, unless somebody else does or did meanwhile.
    pub async fn build(
        &self,
        key: &TemplateKey,
        hypervisor: &Hypervisor,
        spec: &VmSpec,
        environment: &Environment,
    ) -> Result<Template> {
        let folder = self.folder(&key.digest);
        let _lock = DirLock::wait_async(folder.clone()).await?;
        if let Some(template) = self.find(key) {
            return Ok(template);
        }
        clear(&folder)?;
        let built = build::build(&folder, key, &self.state_dir, hypervisor, spec, environment).await;
        if built.is_err() {
            // The error that is reported is the one of the build.
            let _ = clear(&folder);
        }
        built
    }

    /// Throws a template away that turned out not to work.
    pub fn discard(&self, key: &TemplateKey) -> Result<()> {
        let record = self.folder(&key.digest).join(RECORD);
        match fs::remove_file(&record) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).doing(|| format!("could not remove `{}`", record.display()))
            }
            _ => Ok(()),
        }
    }

    /// Every template that is there.
    pub fn list(&self) -> Vec<TemplateStatus> {
        self.folders().into_iter().filter_map(|folder| status(&folder)).collect()
    }

    /// Deletes templates: those for which `stale` holds, and what unfinished builds left. Gives back what was
    /// deleted, with its size. One that is being built is left alone.
    pub fn prune(&self, stale: impl Fn(&TemplateStatus) -> bool) -> Result<Vec<Pruned>> {
        let mut deleted = Vec::new();
        for folder in self.folders() {
            let status = status(&folder);
            if status.as_ref().is_some_and(|status| !stale(status)) {
                continue;
            }
            let Some(_lock) = DirLock::try_now(&folder)? else { continue };
            let freed_bytes = size_on_disk(&folder);
            fs::remove_dir_all(&folder).doing(|| format!("could not delete `{}`", folder.display()))?;
            let digest = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let name = status.map(|status| status.facts.environment);
            deleted.push(Pruned { kind: PrunedKind::Template, digest, name, freed_bytes });
        }
        Ok(deleted)
    }

    fn folder(&self, digest: &str) -> PathBuf {
        self.state_dir.templates().join(digest)
    }

    fn folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.state_dir.templates()).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }
}

fn read_record(folder: &Path) -> Option<TemplateRecord> {
    serde_json::from_slice(&fs::read(folder.join(RECORD)).ok()?).ok()
}

fn status(folder: &Path) -> Option<TemplateStatus> {
    let record = read_record(folder)?;
    Some(TemplateStatus {
        key: folder.file_name()?.to_string_lossy().into_owned(),
        facts: record.facts,
        created_at: record.created_at,
        size_bytes: size_on_disk(folder),
        path: folder.to_owned(),
    })
}

fn size_on_disk(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.blocks() * 512).sum()
}

/// Empties a folder whose lock is held.
fn clear(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        fs::remove_file(&path).doing(|| format!("could not remove `{}`", path.display()))?;
    }
    Ok(())
}
