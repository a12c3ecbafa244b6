//! Installs one environment: under the lock of its name, built in a staging folder, put in place in one step.
//!
//! Whenever it stops, by an error, by being dropped or by SIGKILL, what was installed before is still there, and
//! nothing else is: processes and mounts end with their sandbox, the staging folder is removed or swept later.

use super::build::Build;
use super::catalog::{CATALOG_VERSION, CatalogEntry};
use super::installed::{
    Environment, Installed, Provenance, digest_folder, is_intact, look, name_folder, write_record,
};
use super::manifest::{FileRecord, MANIFEST_FILE, Manifest};
use super::mirror::{Mirror, without_credentials};
use super::packages::installed_packages;
use super::progress::{PullPhase, PullProgress};
use super::sandbox::Sandbox;
use super::staging::{Staging, sweep};
use super::{PullOptions, requirements};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::fingerprint::hex;
use crate::state_dir::{DirLock, StateDir, make_private_dir};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often a pull that waits for another one looks again.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

/// Pulls an environment, or finds it installed.
pub(super) async fn pull(
    state_dir: &StateDir,
    name: &str,
    options: PullOptions,
    mut progress: impl FnMut(PullProgress),
) -> Result<Environment> {
    let entry = super::catalog::find(name)?;
    let mirror = Mirror::choose(options.mirror.as_deref())?;
    let folder = name_folder(state_dir, name);
    make_private_dir(&folder)?;
    let _lock = lock(&folder, || progress(entered(entry, PullPhase::Wait))).await?;
    progress(entered(entry, PullPhase::Check));
    sweep(state_dir);
    if !options.refresh
        && let Installed::Intact(environment) = look(state_dir, entry)
        && environment.manifest.catalog_version == CATALOG_VERSION
    {
        return Ok(*environment);
    }
    requirements::check_installed()?;
    requirements::check_sandbox().await?;
    install(state_dir, entry, &mirror, &mut progress).await?;
    match look(state_dir, entry) {
        Installed::Intact(environment) => Ok(*environment),
        Installed::Absent => Err(lost(name, "it was removed in the meantime")),
        Installed::Damaged(damage) => Err(lost(name, &damage)),
    }
}

/// Builds an environment and puts it in place. The caller holds the lock of its name.
async fn install(
    state_dir: &StateDir,
    entry: &'static CatalogEntry,
    mirror: &Mirror,
    progress: &mut impl FnMut(PullProgress),
) -> Result<()> {
    let start = Instant::now();
    let staging = Staging::new(state_dir)?;
    check_space(staging.path(), entry)?;
    let build = Build::new(entry, mirror, staging.path())?;
    progress(entered(entry, PullPhase::Install));
    build.install(progress).await?;
    let (kernel, modules) = build.kernel().await?;
    progress(entered(entry, PullPhase::Image));
    let sources = image_sources(&build.root());
    let packages = installed_packages(&build.root())?;
    build.image(&kernel).await?;
    progress(entered(entry, PullPhase::Verify));
    let files = seal(&build.output()).await?;
    let manifest = Manifest::new(entry, kernel, modules, packages, files);
    let provenance = provenance(sources, start).await;
    progress(entered(entry, PullPhase::Publish));
    publish(state_dir, &staging, &build.output(), &manifest, provenance)
}

fn entered(entry: &CatalogEntry, phase: PullPhase) -> PullProgress {
    PullProgress::Phase { environment: entry.name.into(), phase }
}

fn lost(name: &str, why: &str) -> Error {
    let message = format!("the environment `{name}` was installed but is not usable");
    Error::new(ErrorKind::EnvironmentUnavailable, message).with_source(why.to_owned())
}

/// Waits for the lock without blocking the thread, so that the wait can be cancelled.
async fn lock(folder: &Path, mut on_wait: impl FnMut()) -> Result<DirLock> {
    let mut is_told = false;
    loop {
        if let Some(lock) = DirLock::try_now(folder)? {
            return Ok(lock);
        }
        if !is_told {
            on_wait();
            is_told = true;
        }
        tokio::time::sleep(LOCK_INTERVAL).await;
    }
}

fn check_space(folder: &Path, entry: &CatalogEntry) -> Result<()> {
    let doing = || format!("could not look at the disk of `{}`", folder.display());
    let space = rustix::fs::statvfs(folder).doing(doing)?;
    let free_mib = space.f_bavail.saturating_mul(space.f_frsize) >> 20;
    if free_mib >= entry.pull_mib {
        return Ok(());
    }
    let message = format!(
        "could not pull `{}`: it takes {} MiB on the disk of `{}`, which has {free_mib} MiB left",
        entry.name,
        entry.pull_mib,
        folder.display()
    );
    Err(Error::new(ErrorKind::EnvironmentUnavailable, message)
        .with_hint("free some space, or set PYRO_HOME to a folder elsewhere"))
}

/// The archives that mmdebstrap used, which it writes into the image.
fn image_sources(root: &Path) -> Vec<String> {
    let text = fs::read_to_string(root.join("etc/apt/sources.list")).unwrap_or_default();
    text.lines().filter(|line| line.starts_with("deb ")).map(without_credentials).collect()
}

async fn provenance(sources: Vec<String>, start: Instant) -> Provenance {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut tools = BTreeMap::new();
    for tool in ["mmdebstrap", "mkfs.erofs", "apt-get"] {
        tools.insert(tool.to_owned(), tool_version(tool).await);
    }
    Provenance {
        sources,
        pulled_at: now.as_secs_f64(),
        pull_seconds: start.elapsed().as_secs_f64(),
        pyro_version: env!("CARGO_PKG_VERSION").into(),
        tools,
    }
}

/// What a tool prints about itself: the word after its name. In a sandbox like everything that a pull starts.
async fn tool_version(tool: &str) -> String {
    let mut version = String::new();
    let sandbox = Sandbox::new(tool, Path::new("/")).argument("--version");
    // How it ends says nothing: not all of them know the option, but all of them tell.
    let _ = sandbox
        .run(|line| {
            let word = line.split_whitespace().nth(1).unwrap_or_default();
            if version.is_empty() && word.starts_with(|letter: char| letter.is_ascii_digit()) {
                word.clone_into(&mut version);
            }
        })
        .await;
    version
}

/// Makes the files of an environment durable and readable, and computes their digests.
async fn seal(output: &Path) -> Result<Vec<FileRecord>> {
    let mut records = Vec::new();
    let mut folders = vec![output.to_owned()];
    while let Some(folder) = folders.pop() {
        let doing = || format!("could not read the folder `{}`", folder.display());
        set_mode(&folder, 0o755)?;
        for entry in fs::read_dir(&folder).doing(doing)? {
            let path = entry.doing(doing)?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            set_mode(&path, 0o644)?;
            let (size, sha256) = hash_and_sync(&path).await?;
            let relative = path.strip_prefix(output).unwrap_or(&path);
            records.push(FileRecord { path: relative.to_string_lossy().into_owned(), size, sha256 });
        }
    }
    Ok(records)
}

/// Hashes a file in steps, between which the pull can be cancelled.
async fn hash_and_sync(path: &Path) -> Result<(u64, String)> {
    let doing = || format!("could not read `{}`", path.display());
    let mut file = fs::File::open(path).doing(doing)?;
    // A file must not look right after a power cut without being so.
    file.sync_all().doing(doing)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let n_read = file.read(&mut buffer).doing(doing)?;
        if n_read == 0 {
            return Ok((size, hex(&hash.finalize())));
        }
        hash.update(&buffer[..n_read]);
        size += n_read as u64;
        tokio::task::yield_now().await;
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .doing(|| format!("could not set the mode of `{}`", path.display()))
}

/// Puts a finished environment in place and makes its name stand for it.
fn publish(
    state_dir: &StateDir,
    staging: &Staging,
    output: &Path,
    manifest: &Manifest,
    provenance: Provenance,
) -> Result<()> {
    let (bytes, digest) = manifest.encode()?;
    let manifest_path = output.join(MANIFEST_FILE);
    fs::write(&manifest_path, bytes).doing(|| format!("could not write `{}`", manifest_path.display()))?;
    set_mode(&manifest_path, 0o644)?;
    sync(&manifest_path)?;
    sync(output)?;
    let target = digest_folder(state_dir, &digest);
    // Between the two steps below, the environment has no name yet: `prune` must not come in between.
    let _lock = DirLock::wait(&state_dir.environments())?;
    if !is_intact(&target, &digest) {
        if target.symlink_metadata().is_ok() {
            move_path(&target, &staging.path().join("damaged"))?;
        }
        move_path(output, &target)?;
        sync(&state_dir.environments())?;
    }
    write_record(state_dir, manifest, &digest, provenance)
}

fn move_path(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).doing(|| format!("could not move `{}` to `{}`", from.display(), to.display()))
}

fn sync(path: &Path) -> Result<()> {
    let doing = || format!("could not write `{}` to the disk", path.display());
    fs::File::open(path).doing(doing)?.sync_all().doing(doing)
}
