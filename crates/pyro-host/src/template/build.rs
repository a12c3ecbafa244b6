//! Builds one template: boots a machine with a file for its memory, warms it up, saves it.

use super::{DISK, MEMORY, RECORD, STATE, Template, TemplateKey, TemplateRecord};
use crate::clock::unix_time;
use crate::environment::Environment;
use crate::error::{Context, Result};
use crate::fingerprint::Fingerprint;
use crate::guest::{Connection, ExecEvent};
use crate::state_dir::{StateDir, write_atomically};
use crate::vm::disk;
use crate::vm::hypervisor::Hypervisor;
use crate::vm::machine::{Machine, Origin};
use crate::vm::{Border, VmSpec};
use pyro_protocol::exec::Exec;
use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// What most commands begin with: run once before the machine is saved, their files are in its page cache and the
/// kernel's structures for a process are laid out. Each may be missing in an environment.
const WARM_UP: &[&[&str]] =
    &[&["true"], &["sh", "-c", "true"], &["git", "--version"], &["python3", "-c", "pass"]];

/// A command of the warm-up that takes longer than this is left to itself: the machine is saved all the same.
const WARM_UP_LIMIT: Duration = Duration::from_secs(20);

/// Builds into an empty folder whose lock is held.
pub(super) async fn build(
    folder: &Path,
    key: &TemplateKey,
    state_dir: &StateDir,
    hypervisor: &Hypervisor,
    spec: &VmSpec,
    environment: &Environment,
) -> Result<Template> {
    let files = Files::create(folder, spec)?;
    disk::copy_sparse(&disk::blank(state_dir, spec.disk)?, &files.disk)
        .doing(|| format!("could not write the disk of a template in `{}`", folder.display()))?;
    let origin = Origin::BootTemplate { memory: files.try_clone(MEMORY)? };
    // Nothing of a user's runs in it: nobody is at the other end of its network device.
    let (disk, border) = (files.try_clone(DISK)?, Border::default());
    let mut machine = Machine::launch(hypervisor, spec, environment, disk, origin, &border).await?;
    machine.ready().await?;
    for argv in WARM_UP {
        let connection = machine.connection().clone();
        machine.within_limit("warm-up", warm_up(&connection, argv)).await?;
    }
    machine.save(&files.state).await?;
    files.publish(key, hypervisor)
}

async fn warm_up(connection: &Connection, argv: &[&str]) -> Result<()> {
    let exec = Exec {
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        env: BTreeMap::from([("PYTHONDONTWRITEBYTECODE".into(), "1".into())]),
        cwd: "/".into(),
        timeout_ms: u64::try_from(WARM_UP_LIMIT.as_millis()).ok(),
        ..Exec::default()
    };
    let mut execution = connection.exec(exec)?;
    loop {
        match execution.next().await {
            Ok(ExecEvent::Exited(_)) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == crate::error::ErrorKind::ExecNotStarted => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// The files of a template that is being built.
struct Files<'a> {
    folder: &'a Path,
    memory: File,
    state: File,
    disk: File,
}

impl<'a> Files<'a> {
    fn create(folder: &'a Path, spec: &VmSpec) -> Result<Self> {
        let create = |name: &str| {
            let path = folder.join(name);
            let options = File::options().read(true).write(true).create_new(true).open(&path);
            options.doing(|| format!("could not create `{}`", path.display()))
        };
        let files = Self { folder, memory: create(MEMORY)?, state: create(STATE)?, disk: create(DISK)? };
        let memory_bytes = u64::from(spec.mem_mib) * 1024 * 1024;
        files.memory.set_len(memory_bytes).doing(|| files.doing("size"))?;
        // QEMU opens this one itself; where root started it, as an unprivileged user. Nobody else can enter the
        // folder.
        if rustix::process::geteuid().is_root() {
            files.set_memory_mode(0o666)?;
        }
        Ok(files)
    }

    fn try_clone(&self, name: &str) -> Result<File> {
        let file = match name {
            MEMORY => &self.memory,
            _ => &self.disk,
        };
        file.try_clone().doing(|| self.doing("hand over"))
    }

    /// Makes the template visible: from now on others clone it.
    fn publish(self, key: &TemplateKey, hypervisor: &Hypervisor) -> Result<Template> {
        if hypervisor.qemu.version.maps_read_only_files() {
            self.set_memory_mode(0o644)?;
        }
        for file in [&self.memory, &self.state, &self.disk] {
            file.sync_all().doing(|| self.doing("write"))?;
        }
        let fingerprint = |file: &File| -> Result<Fingerprint> {
            Ok(Fingerprint::from(&file.metadata().doing(|| self.doing("look at"))?))
        };
        let record = TemplateRecord {
            facts: key.facts.clone(),
            created_at: unix_time(),
            memory: fingerprint(&self.memory)?,
            state: fingerprint(&self.state)?,
            disk: fingerprint(&self.disk)?,
        };
        let json = serde_json::to_vec_pretty(&record).doing(|| self.doing("describe"))?;
        write_atomically(&self.folder.join(RECORD), &json)?;
        let open = |name: &str| File::open(self.folder.join(name)).doing(|| self.doing("open"));
        Ok(Template { memory: open(MEMORY)?, state: open(STATE)?, disk: open(DISK)? })
    }

    fn set_memory_mode(&self, mode: u32) -> Result<()> {
        self.memory.set_permissions(Permissions::from_mode(mode)).doing(|| self.doing("set the mode of"))
    }

    fn doing(&self, what: &str) -> String {
        format!("could not {what} the files of a template in `{}`", self.folder.display())
    }
}
