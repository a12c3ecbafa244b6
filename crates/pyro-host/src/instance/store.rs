//! All persistent VMs of one user: makes, finds, lists and deletes them.

use super::{
    DOOMED, Instance, InstanceId, InstanceKind, InstanceRecord, InstanceState, doomed, folder_of, not_found,
};
use crate::clock::unix_time;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::state_dir::{DirLock, StateDir, is_locked, make_private_dir};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The persistent VMs of one kind.
#[derive(Debug, Clone)]
pub struct Instances {
    state_dir: StateDir,
    kind: InstanceKind,
}

/// One whose lock is held.
#[derive(Debug)]
pub struct OwnedInstance {
    /// Which.
    pub instance: Instance,
    /// Its lock.
    pub lock: DirLock,
}

/// One as a look from outside shows it.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Which.
    pub instance: Instance,
    /// Its record, with the state that is true now.
    pub record: InstanceRecord,
    /// Whether somebody owns it: a supervisor, or a client that creates it.
    pub is_owned: bool,
}

/// The reason of a failure that nobody was left to record.
const OWNER_GONE: &str = "its supervisor ended without a word: it was killed, or the host went down; the files are kept as they were";

impl Instances {
    /// Those of a kind in a state directory.
    pub fn new(state_dir: StateDir, kind: InstanceKind) -> Self {
        Self { state_dir, kind }
    }

    /// Makes a folder for a new one, unless as many as `max_active` are owned already. The record has to be written by
    /// the caller; if the caller ends without that, the next look clears the folder.
    pub fn create(&self, max_active: usize) -> Result<OwnedInstance> {
        let parent = folder_of(&self.state_dir, self.kind);
        let _counting = DirLock::wait(self.state_dir.data())?;
        self.sweep();
        self.check_limit(max_active)?;
        let id = InstanceId::fresh(self.kind)?;
        let folder = parent.join(id.as_str());
        make_private_dir(&parent)?;
        let lock = DirLock::wait(&folder)?;
        Ok(OwnedInstance { instance: Instance { kind: self.kind, id, folder }, lock })
    }

    /// Takes the lock of one that nobody owns. `None` if somebody does.
    pub fn own(&self, instance: &Instance, max_active: usize) -> Result<Option<OwnedInstance>> {
        let _counting = DirLock::wait(self.state_dir.data())?;
        if is_locked(&instance.folder)? {
            return Ok(None);
        }
        self.check_limit(max_active)?;
        let Some(lock) = DirLock::try_past_askers(&instance.folder)? else { return Ok(None) };
        Ok(Some(OwnedInstance { instance: instance.clone(), lock }))
    }

    /// The one with this id, as it is now. One whose life is over is gone.
    ///
    /// # Errors
    /// `not_found`, or what is wrong with its record.
    pub fn find(&self, id: &str) -> Result<Observed> {
        let instance = self.instance(id)?;
        match self.look(&instance)? {
            Some(observed) => Ok(observed),
            None => Err(instance.not_found()),
        }
    }

    /// Where the one with this id would be.
    ///
    /// # Errors
    /// `not_found` when there is no such folder.
    pub fn instance(&self, id: &str) -> Result<Instance> {
        let Some(id) = InstanceId::parse(self.kind, id) else { return Err(not_found(self.kind, id)) };
        let folder = folder_of(&self.state_dir, self.kind).join(id.as_str());
        let instance = Instance { kind: self.kind, id, folder };
        if instance.folder.is_dir() { Ok(instance) } else { Err(instance.not_found()) }
    }

    /// All of them, the oldest first, and those whose record cannot be read with the reason.
    pub fn list(&self) -> (Vec<Observed>, Vec<(Instance, Error)>) {
        self.sweep();
        let (mut readable, mut damaged) = (Vec::new(), Vec::new());
        for instance in self.instances() {
            match self.look(&instance) {
                Ok(Some(observed)) => readable.push(observed),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => damaged.push((instance, error)),
            }
        }
        readable.sort_by(|a, b| a.record.created_at.total_cmp(&b.record.created_at));
        (readable, damaged)
    }

    /// Deletes one whose lock is held, with all its files. It is gone from the first moment on.
    pub fn delete(state_dir: &StateDir, owned: OwnedInstance) -> Result<()> {
        let OwnedInstance { instance, lock } = owned;
        let _ = fs::remove_file(instance.socket(state_dir)); // which a killed supervisor left
        let doomed = doomed(&instance.folder);
        fs::rename(&instance.folder, &doomed)
            .doing(|| format!("could not delete `{}`", instance.folder.display()))?;
        remove_all(&doomed).doing(|| format!("could not delete `{}`", doomed.display()))?;
        drop(lock);
        Ok(())
    }

    /// Deletes what nobody owns and nobody can use: those whose life is over, those whose record is damaged, those that
    /// were never finished. Gives the ids of the former two.
    pub fn reap(&self) -> Vec<String> {
        self.sweep();
        let gone = |instance: &Instance| match instance.read_record() {
            Ok(record) => is_expired(&record) && matches!(self.look(instance), Ok(None)),
            Err(_) => self.delete_damaged(instance).unwrap_or(false), // who looks next is told why not
        };
        self.instances().into_iter().filter(gone).map(|instance| instance.id.to_string()).collect()
    }

    /// Deletes one whose record is damaged, unless somebody owns it. Whether it is gone by that.
    fn delete_damaged(&self, instance: &Instance) -> Result<bool> {
        if !instance.is_damaged() {
            return Ok(false);
        }
        let Some(lock) = DirLock::try_past_askers(&instance.folder)? else { return Ok(false) };
        // An owner that has just gone may have written it anew.
        if !instance.is_damaged() {
            return Ok(false);
        }
        Self::delete(&self.state_dir, OwnedInstance { instance: instance.clone(), lock })?;
        Ok(true)
    }

    /// The digests of the environments that they stand on, whatever state they are in. `None` if that cannot be told
    /// of one that may still be used: its record was written by a newer pyro, cannot be read just now, or is not there
    /// yet. One that is damaged and has no owner stands on nothing: it can never be started.
    pub fn environment_digests(&self) -> Option<Vec<String>> {
        let mut digests = Vec::new();
        for instance in self.instances() {
            match instance.read_record() {
                Ok(record) => digests.push(record.environment_digest),
                Err(_) if self.stands_on_nothing(&instance) => {}
                Err(_) => return None,
            }
        }
        Some(digests)
    }

    fn stands_on_nothing(&self, instance: &Instance) -> bool {
        let is_none = instance.is_damaged() || !instance.record_path().exists();
        match is_locked(&instance.folder) {
            Ok(is_owned) => is_none && !is_owned,
            Err(_) => !instance.folder.exists(), // it was deleted meanwhile
        }
    }

    /// How one is now. `None` when it is gone, or not there yet.
    fn look(&self, instance: &Instance) -> Result<Option<Observed>> {
        let is_owned = match is_locked(&instance.folder) {
            Ok(is_owned) => is_owned,
            Err(_) if !instance.folder.exists() => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut record = instance.read_record()?;
        if is_owned {
            let is_there = record.state != InstanceState::Creating;
            return Ok(is_there.then(|| Observed { instance: instance.clone(), record, is_owned }));
        }
        if record.state == InstanceState::Creating || is_expired(&record) {
            if let Some(lock) = DirLock::try_past_askers(&instance.folder)? {
                Self::delete(&self.state_dir, OwnedInstance { instance: instance.clone(), lock })?;
            }
            return Ok(None);
        }
        if record.state == InstanceState::Started {
            record.state = InstanceState::Failed;
            record.failure.get_or_insert_with(|| OWNER_GONE.into());
        }
        record.supervisor = None;
        Ok(Some(Observed { instance: instance.clone(), record, is_owned }))
    }

    fn check_limit(&self, max_active: usize) -> Result<()> {
        let is_active = |kind| {
            let all = Self::new(self.state_dir.clone(), kind).instances();
            all.into_iter().filter(|instance| is_locked(&instance.folder).unwrap_or(false)).count()
        };
        let n_active = is_active(InstanceKind::Workspace) + is_active(InstanceKind::Vm);
        if n_active < max_active.max(1) {
            return Ok(());
        }
        let message = format!("{n_active} workspaces and VMs are started, and {max_active} may be");
        Err(Error::new(ErrorKind::LimitReached, message).with_hint(
            "stop or delete one (`pyro workspace list`), or raise the limit: PYRO_MAX_ACTIVE_VMS, max_active_vms",
        ))
    }

    fn instances(&self) -> Vec<Instance> {
        let entries = fs::read_dir(folder_of(&self.state_dir, self.kind)).into_iter().flatten().flatten();
        let instance = |folder: PathBuf| {
            let id = InstanceId::parse(self.kind, folder.file_name()?.to_str()?)?;
            Some(Instance { kind: self.kind, id, folder })
        };
        entries.filter_map(|entry| instance(entry.path())).collect()
    }

    /// Clears what killed processes left: folders that were being deleted, folders without a record.
    fn sweep(&self) {
        let entries = fs::read_dir(folder_of(&self.state_dir, self.kind)).into_iter().flatten().flatten();
        for entry in entries {
            let path = entry.path();
            let is_doomed = entry.file_name().to_string_lossy().starts_with(DOOMED);
            if is_doomed || !path.join("record.json").exists() && is_old(&path) {
                // Somebody may be about to do the same, or to write the record: then the lock is taken.
                if let Ok(Some(_lock)) = DirLock::try_now(&path) {
                    let _ = remove_all(&path);
                }
            }
        }
    }
}

/// Removes a folder with everything in it. What ran on the host itself may have left directories that not even their
/// owner may change.
fn remove_all(folder: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            open_up(folder);
            fs::remove_dir_all(folder)
        }
        removed => removed,
    }
}

/// Lets the owner of directories change them, as far as that is possible. Links are not followed.
fn open_up(folder: &Path) {
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

fn is_expired(record: &InstanceRecord) -> bool {
    record.expires_at <= unix_time()
}

/// Longer than it takes from making a folder to locking it.
fn is_old(folder: &Path) -> bool {
    let modified = fs::metadata(folder).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > Duration::from_secs(2)))
}

#[cfg(test)]
mod tests;
