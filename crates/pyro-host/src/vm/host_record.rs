//! What was measured on this host and holds until it boots again: KVM's speed, the processor's features, the
//! version of each QEMU.
//!
//! A cache: an unreadable record is measured anew, and failing to write it costs time, not correctness.

use super::accelerator::KvmStatus;
use crate::fingerprint::{Fingerprint, sha256_bytes};
use crate::state_dir::{StateDir, make_private_dir, write_atomically};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The measurements, read from disk and written back when something was added.
#[derive(Debug)]
pub struct HostRecord {
    path: PathBuf,
    content: Content,
    changed: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    boot_id: String,
    /// By the device's own fingerprint: access rights may change without a boot.
    kvm: Option<(Option<Fingerprint>, KvmStatus)>,
    cpu_digest: Option<String>,
    qemu_versions: BTreeMap<PathBuf, (Fingerprint, String)>,
}

impl HostRecord {
    /// Reads the record of this boot, or begins one.
    pub fn open(state_dir: &StateDir) -> Self {
        let path = state_dir.host_record();
        let boot_id =
            fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
        let content = fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Content>(&bytes).ok())
            .filter(|content| content.boot_id == boot_id)
            .unwrap_or_else(|| Content { boot_id, ..Content::default() });
        Self { path, content, changed: false }
    }

    /// What there is of KVM, measured at the first call after a boot or a change of the device's rights.
    pub fn kvm(&mut self) -> &KvmStatus {
        let device = Fingerprint::of(Path::new("/dev/kvm")).ok();
        let known = matches!(&self.content.kvm, Some((measured, status)) if *measured == device && status.is_lasting());
        if !known {
            self.content.kvm = None;
        }
        let (_, status) = self.content.kvm.get_or_insert_with(|| (device, KvmStatus::measure()));
        self.changed |= !known && status.is_lasting();
        status
    }

    /// A digest of the processor's model and features and of the host kernel: what a template depends on.
    pub fn cpu_digest(&mut self) -> String {
        if let Some(digest) = &self.content.cpu_digest {
            return digest.clone();
        }
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let first_cpu = cpuinfo.split("\n\n").next().unwrap_or_default();
        let lasting = ["vendor_id", "cpu family", "model", "model name", "stepping", "microcode", "flags"];
        let features: Vec<&str> = first_cpu
            .lines()
            .filter(|line| line.split_once(':').is_some_and(|(name, _)| lasting.contains(&name.trim())))
            .collect();
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let digest = sha256_bytes(format!("{}\n{release}", features.join("\n")).as_bytes());
        self.changed = true;
        self.content.cpu_digest.insert(digest).clone()
    }

    /// The version text of a QEMU, asked for once per binary.
    pub fn qemu_version<E>(
        &mut self,
        path: &Path,
        fingerprint: Fingerprint,
        ask: impl FnOnce() -> Result<String, E>,
    ) -> Result<String, E> {
        match self.content.qemu_versions.get(path) {
            Some((known, version)) if *known == fingerprint => Ok(version.clone()),
            _ => {
                let version = ask()?;
                self.content.qemu_versions.insert(path.to_owned(), (fingerprint, version.clone()));
                self.changed = true;
                Ok(version)
            }
        }
    }
}

impl Drop for HostRecord {
    fn drop(&mut self) {
        if !self.changed {
            return;
        }
        let written = self.path.parent().map_or(Ok(()), make_private_dir).and_then(|()| {
            let content = serde_json::to_vec(&self.content).unwrap_or_default();
            write_atomically(&self.path, &content)
        });
        if let Err(error) = written {
            tracing::debug!(%error, "could not keep what was measured on this host");
        }
    }
}
