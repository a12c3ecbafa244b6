//! Which environments are installed, and whether their files are still what was installed.
//!
//! `names/<name>/installed.json` says which digest a name stands for, and how each file looked when it was last
//! hashed. As long as a file looks the same it is the same (`fingerprint.rs`), so that a look costs a few `stat`
//! calls; otherwise it is hashed again. This is on the path of every `pyro run`: it must stay far below a
//! millisecond. It never repairs anything: that is a pull's work.

use super::catalog::CatalogEntry;
use super::manifest::{
    FileRecord, KERNEL_FILE, MANIFEST_FILE, Manifest, ROOT_IMAGE_FILE, digest_of, is_digest, module_path,
};
use crate::error::{Context, Result};
use crate::fingerprint::{Fingerprint, sha256_file};
use crate::state_dir::{StateDir, write_atomically};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;
const INSTALLED_FILE: &str = "installed.json";
/// No record of ours comes near this size; a larger one is damaged.
const MAX_RECORD_BYTES: u64 = 4 * 1024 * 1024;

/// An environment that is installed and undamaged.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The name in the catalogue.
    pub name: String,
    /// The digest of the manifest, `sha256-…`.
    pub digest: String,
    /// What is in it.
    pub manifest: Manifest,
    /// Where it came from.
    pub provenance: Provenance,
    /// The folder of its files.
    pub folder: PathBuf,
    /// The guest kernel.
    pub kernel: PathBuf,
    /// The read-only root image (erofs).
    pub root_image: PathBuf,
    /// The kernel modules that the guest needs at boot, in the order in which they must be loaded.
    pub modules: Vec<PathBuf>,
}

/// Where an environment came from, when and how. Not part of its digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The archives that the packages came from, without credentials, as lines of `sources.list(5)`.
    pub sources: Vec<String>,
    /// When it was pulled, in seconds since the epoch.
    pub pulled_at: f64,
    /// How long the pull took.
    pub pull_seconds: f64,
    /// The version of pyro that built it.
    pub pyro_version: String,
    /// The tools that built it, with their versions.
    pub tools: BTreeMap<String, String>,
}

/// What stands on disk for one name.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct InstalledRecord {
    format: u32,
    pub(super) digest: String,
    provenance: Provenance,
    fingerprints: BTreeMap<String, Fingerprint>,
}

/// What was found for one name.
#[derive(Debug)]
pub(super) enum Installed {
    /// Nothing was ever installed under this name, or it was pruned.
    Absent,
    /// Something is there, but not what was installed. Says what is wrong with it.
    Damaged(String),
    /// Every file is there and matches its digest.
    Intact(Box<Environment>),
}

/// The folder that stands for a name. It is also the lock of pulls of that name.
pub(super) fn name_folder(state_dir: &StateDir, name: &str) -> PathBuf {
    state_dir.environments().join("names").join(name)
}

/// The folder of an installed environment.
pub(super) fn digest_folder(state_dir: &StateDir, digest: &str) -> PathBuf {
    state_dir.environments().join(digest)
}

/// Looks at what is installed under a name of the catalogue.
pub(super) fn look(state_dir: &StateDir, entry: &CatalogEntry) -> Installed {
    let record = match read_record(state_dir, entry.name) {
        Ok(Some(record)) => record,
        Ok(None) => return Installed::Absent,
        Err(damage) => return Installed::Damaged(damage),
    };
    match check(state_dir, entry, record) {
        Ok(environment) => Installed::Intact(Box::new(environment)),
        Err(damage) => Installed::Damaged(damage),
    }
}

/// The environment of this digest, whatever its name stands for by now. Where that is another one, every file is
/// hashed.
pub(super) fn look_at(
    state_dir: &StateDir,
    entry: &CatalogEntry,
    digest: &str,
) -> std::result::Result<Environment, String> {
    if let Installed::Intact(environment) = look(state_dir, entry)
        && environment.digest == digest
    {
        return Ok(*environment);
    }
    let folder = digest_folder(state_dir, digest);
    if !is_digest(digest) || !is_intact(&folder, digest) {
        return Err(format!("`{}` is missing or damaged", folder.display()));
    }
    let manifest = read_manifest(&folder, digest)?;
    let provenance = Provenance {
        sources: Vec::new(),
        pulled_at: 0.0,
        pull_seconds: 0.0,
        pyro_version: String::new(),
        tools: BTreeMap::new(),
    };
    let record =
        InstalledRecord { format: FORMAT, digest: digest.into(), provenance, fingerprints: BTreeMap::new() };
    Ok(environment(folder, record, manifest))
}

/// The record of a name. `None` if there is none; the error says what is wrong with it.
pub(super) fn read_record(
    state_dir: &StateDir,
    name: &str,
) -> std::result::Result<Option<InstalledRecord>, String> {
    let path = name_folder(state_dir, name).join(INSTALLED_FILE);
    let Some(bytes) = read_bounded(&path)? else { return Ok(None) };
    let record: InstalledRecord =
        serde_json::from_slice(&bytes).map_err(|error| format!("`{}`: {error}", path.display()))?;
    if record.format != FORMAT || !is_digest(&record.digest) {
        return Err(format!("`{}` does not name a digest", path.display()));
    }
    Ok(Some(record))
}

/// Makes a name stand for a digest whose files were just hashed and found right.
pub(super) fn write_record(
    state_dir: &StateDir,
    manifest: &Manifest,
    digest: &str,
    provenance: Provenance,
) -> Result<()> {
    let folder = digest_folder(state_dir, digest);
    let paths = manifest.files.iter().map(|file| file.path.as_str()).chain([MANIFEST_FILE]);
    let fingerprints = paths
        .map(|path| Ok((path.to_owned(), Fingerprint::of(&folder.join(path))?)))
        .collect::<Result<BTreeMap<_, _>>>()?;
    let record = InstalledRecord { format: FORMAT, digest: digest.into(), provenance, fingerprints };
    save(state_dir, &manifest.name, &record)
}

/// Makes a name stand for nothing.
pub(super) fn remove_record(state_dir: &StateDir, name: &str) -> Result<()> {
    let path = name_folder(state_dir, name).join(INSTALLED_FILE);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).doing(|| format!("could not remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

fn save(state_dir: &StateDir, name: &str, record: &InstalledRecord) -> Result<()> {
    let bytes = serde_json::to_vec(record).doing(|| format!("could not encode the record of `{name}`"))?;
    write_atomically(&name_folder(state_dir, name).join(INSTALLED_FILE), &bytes)
}

fn check(
    state_dir: &StateDir,
    entry: &CatalogEntry,
    mut record: InstalledRecord,
) -> std::result::Result<Environment, String> {
    let folder = digest_folder(state_dir, &record.digest);
    let manifest = read_manifest(&folder, &record.digest)?;
    if manifest.name != entry.name {
        return Err(format!("`{}` is the environment `{}`", folder.display(), manifest.name.escape_debug()));
    }
    let mut looks_different = false;
    for file in &manifest.files {
        let fingerprint = fingerprint(&folder, &file.path, file.size)?;
        if record.fingerprints.get(&file.path) != Some(&fingerprint) {
            check_digest(&folder, file)?;
            record.fingerprints.insert(file.path.clone(), fingerprint);
            looks_different = true;
        }
    }
    if looks_different {
        // Moved to another disk, or restored from a backup: what was hashed now need not be hashed next time. If
        // this cannot be written, the only loss is time.
        if let Err(error) = save(state_dir, entry.name, &record) {
            tracing::debug!(name = entry.name, %error, "could not renew the fingerprints");
        }
    }
    Ok(environment(folder, record, manifest))
}

/// Whether every file of an environment has its digest, whatever was recorded before. Reads all of it.
pub(super) fn is_intact(folder: &Path, digest: &str) -> bool {
    read_manifest(folder, digest).is_ok_and(|manifest| {
        manifest.files.iter().all(|file| {
            fingerprint(folder, &file.path, file.size).is_ok() && check_digest(folder, file).is_ok()
        })
    })
}

fn environment(folder: PathBuf, record: InstalledRecord, manifest: Manifest) -> Environment {
    Environment {
        name: manifest.name.clone(),
        digest: record.digest,
        provenance: record.provenance,
        kernel: folder.join(KERNEL_FILE),
        root_image: folder.join(ROOT_IMAGE_FILE),
        modules: manifest.modules.iter().map(|module| folder.join(module_path(module))).collect(),
        manifest,
        folder,
    }
}

/// The manifest of a folder. Its digest is computed anew each time: it is small, and everything hangs on it.
pub(super) fn read_manifest(folder: &Path, digest: &str) -> std::result::Result<Manifest, String> {
    let path = folder.join(MANIFEST_FILE);
    let Some(bytes) = read_bounded(&path)? else { return Err(format!("`{}` is missing", path.display())) };
    if digest_of(&bytes) != digest {
        return Err(format!("`{}` does not match its digest", path.display()));
    }
    Manifest::decode(&bytes).map_err(|problem| format!("`{}`: {problem}", folder.display()))
}

/// How a file looks now. It must be a plain file of the right size; a symlink is never followed.
fn fingerprint(folder: &Path, path: &str, size: u64) -> std::result::Result<Fingerprint, String> {
    let path = folder.join(path);
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(format!("`{}` is missing", path.display()));
        }
        Err(error) => return Err(format!("`{}`: {error}", path.display())),
    };
    if !metadata.is_file() || metadata.len() != size {
        return Err(format!("`{}` is not a file of {size} bytes", path.display()));
    }
    Ok(Fingerprint::from(&metadata))
}

fn check_digest(folder: &Path, file: &FileRecord) -> std::result::Result<(), String> {
    let path = folder.join(&file.path);
    match sha256_file(&path) {
        Ok(sha256) if sha256 == file.sha256 => Ok(()),
        Ok(_) => Err(format!("`{}` does not match its digest", path.display())),
        Err(error) => Err(error.chain().join(": ")),
    }
}

/// The content of a record. `None` if it does not exist.
fn read_bounded(path: &Path) -> std::result::Result<Option<Vec<u8>>, String> {
    let problem = |error: std::io::Error| format!("`{}`: {error}", path.display());
    // Neither waits for the other end of a FIFO nor follows a symlink: records are plain files.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let opened = std::fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(problem(error)),
    };
    if !file.metadata().map_err(problem)?.is_file() {
        return Err(format!("`{}` is not a plain file", path.display()));
    }
    let mut bytes = Vec::new();
    file.take(MAX_RECORD_BYTES + 1).read_to_end(&mut bytes).map_err(problem)?;
    if bytes.len() as u64 > MAX_RECORD_BYTES {
        return Err(format!("`{}` is larger than any record", path.display()));
    }
    Ok(Some(bytes))
}
