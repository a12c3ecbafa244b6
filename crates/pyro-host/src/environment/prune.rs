//! Removes what no name stands for, what is damaged, and what killed pulls left behind.
//!
//! It never touches what a running pull is about to publish, and a machine that has the files open keeps them:
//! they are unlinked, not overwritten.

use super::installed::{
    Installed, digest_folder, look, name_folder, read_manifest, read_record, remove_record,
};
use super::manifest::is_digest;
use super::staging::{Staging, bytes_below, sweep};
use super::{PruneReport, PrunedEnvironment, catalog};
use crate::error::{Context, Result};
use crate::state_dir::{DirLock, StateDir};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Removes what is not needed, or everything that is not in use by a pull.
pub(super) fn prune(state_dir: &StateDir, all: bool, keep: &BTreeSet<String>) -> Result<PruneReport> {
    let swept_bytes = sweep(state_dir);
    let environments = state_dir.environments();
    if !environments.exists() {
        return Ok(PruneReport::new(Vec::new(), swept_bytes));
    }
    // A publishing pull holds this lock from the moment the folder is there until its name stands for it.
    let lock = DirLock::wait(&environments)?;
    let mut kept = keep.clone();
    for name in folder_names(&environments.join("names")) {
        kept.extend(release_name(state_dir, &name, all, keep)?);
    }
    let unneeded: Vec<String> = folder_names(&environments)
        .into_iter()
        .filter(|name| is_digest(name) && !kept.contains(name))
        .collect();
    if unneeded.is_empty() {
        return Ok(PruneReport::new(Vec::new(), swept_bytes));
    }
    // Moved out of the way under the lock; the removal itself, which takes longer, comes after it.
    let staging = Staging::new(state_dir)?;
    let deleted = unneeded
        .into_iter()
        .map(|digest| set_aside(state_dir, &staging, digest))
        .collect::<Result<Vec<_>>>()?;
    drop(lock);
    drop(staging);
    Ok(PruneReport::new(deleted, swept_bytes))
}

/// Makes a name stand for nothing if it shall not be kept. Gives the digest that it still stands for.
fn release_name(
    state_dir: &StateDir,
    name: &str,
    all: bool,
    keep: &BTreeSet<String>,
) -> Result<Option<String>> {
    let digest = read_record(state_dir, name).ok().flatten().map(|record| record.digest);
    let Some(_lock) = DirLock::try_now(&name_folder(state_dir, name))? else { return Ok(digest) };
    let is_intact = match catalog::find(name) {
        Ok(entry) => matches!(look(state_dir, entry), Installed::Intact(_) | Installed::Absent),
        Err(_) => false,
    };
    let is_kept_by_caller = digest.as_ref().is_some_and(|digest| keep.contains(digest));
    if is_intact && (!all || is_kept_by_caller) {
        return Ok(digest);
    }
    remove_record(state_dir, name)?;
    Ok(None)
}

fn set_aside(state_dir: &StateDir, staging: &Staging, digest: String) -> Result<PrunedEnvironment> {
    let folder = digest_folder(state_dir, &digest);
    let name = read_manifest(&folder, &digest).ok().map(|manifest| manifest.name);
    let freed_bytes = bytes_below(&folder);
    fs::rename(&folder, staging.path().join(&digest))
        .doing(|| format!("could not remove `{}`", folder.display()))?;
    Ok(PrunedEnvironment { digest, name, freed_bytes })
}

fn folder_names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
