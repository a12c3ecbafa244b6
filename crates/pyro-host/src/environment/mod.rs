//! Environments: what is in a guest. An environment is an immutable, content-addressed folder in the cache that
//! holds a guest kernel, the kernel modules needed at boot, one read-only root image and a manifest.
//!
//! Pulling builds it from a Debian mirror with mmdebstrap, which resolves packages and checks the archive's
//! signatures. Installed means that every file is there and matches its digest; anything else is repaired by the
//! next pull, under a lock, in one step. The path of a pull: `pull.rs` → `build.rs` → `sandbox.rs`.
//!
//! It knows nothing of machines and templates. No code of pyro is ever in a root image.

mod build;
mod catalog;
mod diagnosis;
mod installed;
mod kernel;
#[cfg(test)]
mod made_up;
mod manifest;
mod mirror;
mod modules;
mod packages;
mod progress;
mod prune;
mod pull;
mod report;
mod requirements;
mod sandbox;
mod sources;
mod staging;

pub use catalog::{CATALOG_VERSION, CatalogEntry, entries, find};
pub use installed::{Environment, Provenance};
pub use manifest::{FileRecord, KernelKind, KernelRecord, Manifest, PackageRecord};
pub use progress::{PullPhase, PullProgress};
pub use report::{
    EnvironmentInspection, EnvironmentList, EnvironmentPaths, EnvironmentSizes, EnvironmentSummary,
    PruneReport, PrunedEnvironment,
};

use crate::error::Result;
use crate::state_dir::StateDir;
use installed::Installed;

/// The environments of one user.
#[derive(Debug, Clone)]
pub struct Environments {
    state_dir: StateDir,
}

/// How an environment is pulled.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// The Debian mirror: the address of the archive and, if it is not its sibling with `-security` at the end of
    /// its name, that of the archive of security updates, with a blank between them. Without it, what the host's
    /// apt uses, else mmdebstrap's own default.
    pub mirror: Option<String>,
    /// Builds it anew even if it is installed, so that it has the newest packages.
    pub refresh: bool,
}

/// What is removed.
#[derive(Debug, Clone, Default)]
pub struct PruneOptions {
    /// Also what is installed.
    pub all: bool,
    /// Digests that are still needed, such as those of workspaces. They stay whatever `all` says.
    pub keep: Vec<String>,
}

impl Environments {
    /// The environments in this user's cache.
    pub fn new(state_dir: StateDir) -> Self {
        Self { state_dir }
    }

    /// Every environment of the catalogue, and whether it is installed. Sweeps what killed pulls left behind.
    pub fn list(&self) -> Result<EnvironmentList> {
        staging::sweep(&self.state_dir);
        let summaries = entries()
            .iter()
            .map(|entry| EnvironmentSummary::new(entry, &installed::look(&self.state_dir, entry)));
        Ok(EnvironmentList { catalog_version: CATALOG_VERSION, environments: summaries.collect() })
    }

    /// All that is known of an environment, installed or not.
    pub fn inspect(&self, name: &str) -> Result<EnvironmentInspection> {
        let entry = find(name)?;
        Ok(EnvironmentInspection::new(entry, installed::look(&self.state_dir, entry)))
    }

    /// The environment, if it is installed and undamaged. A few `stat` calls.
    pub fn installed(&self, name: &str) -> Result<Option<Environment>> {
        match installed::look(&self.state_dir, find(name)?) {
            Installed::Intact(environment) => Ok(Some(*environment)),
            Installed::Absent => Ok(None),
            Installed::Damaged(damage) => {
                tracing::warn!(name, damage, "the environment is damaged");
                Ok(None)
            }
        }
    }

    /// The environment of this digest, also where its name stands for a newer one by now. Its provenance may be unknown
    /// then.
    ///
    /// # Errors
    /// `environment_unavailable` when it is gone or damaged.
    pub fn pinned(&self, name: &str, digest: &str) -> Result<Environment> {
        installed::look_at(&self.state_dir, find(name)?, digest).map_err(|damage| {
            let message = format!("the environment `{name}` of digest {digest} is not installed any more");
            crate::error::Error::new(crate::error::ErrorKind::EnvironmentUnavailable, message)
                .with_source(damage)
                .with_hint("what was made from it cannot be started; a pull of the same packages would bring it back")
        })
    }

    /// Installs an environment, or repairs it. Returns at once if it is installed and undamaged.
    ///
    /// Dropping the future ends every process of the pull at once and removes what it has written; the drop blocks
    /// for as long as the removal takes. If pyro is killed instead, the next pull or list removes it.
    pub async fn pull(
        &self,
        name: &str,
        options: PullOptions,
        progress: impl FnMut(PullProgress),
    ) -> Result<Environment> {
        pull::pull(&self.state_dir, name, options, progress).await
    }

    /// Removes environments that no name stands for, damaged ones, and what killed pulls left behind.
    pub fn prune(&self, options: PruneOptions) -> Result<PruneReport> {
        let keep = options.keep.into_iter().collect();
        prune::prune(&self.state_dir, options.all, &keep)
    }

    /// Whether this host can pull environments at all. The error says what to install or to switch on.
    pub async fn check_host(&self) -> Result<()> {
        requirements::check_installed()?;
        requirements::check_sandbox().await
    }
}
