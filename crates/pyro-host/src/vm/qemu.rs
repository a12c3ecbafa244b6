//! Which QEMU is used, which version it is, and as whom it runs.

use super::accelerator::{Accelerator, kvm_group};
use super::host_record::HostRecord;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::fingerprint::Fingerprint;
use crate::program::find_program;
use rustix::thread::CapabilitySet;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program that is looked for in `PATH`.
pub const QEMU_PROGRAM: &str = "qemu-system-x86_64";
/// Names another QEMU.
pub const QEMU_VARIABLE: &str = "PYRO_QEMU";
/// The oldest QEMU that pyro works with.
pub const OLDEST_QEMU: QemuVersion = QemuVersion { major: 7, minor: 2 };
/// What to type where QEMU is missing.
pub const INSTALL_QEMU: &str = "sudo apt-get install qemu-system-x86 seabios";

/// The first of 65536 user ids that nothing hands out: above what SSSD gives to directories by default, below what
/// systemd keeps for foreign images. Each machine started by root runs as one of them.
const FIRST_UNPRIVILEGED_ID: u32 = 2_001_000_000;
const NOBODY: u32 = 65534;

/// A version of QEMU, as far as pyro cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct QemuVersion {
    /// 7 of 7.2.22.
    pub major: u32,
    /// 2 of 7.2.22.
    pub minor: u32,
}

impl QemuVersion {
    /// Whether a guest's memory can be a private view of a file that QEMU may not write: `rom=off`, since 8.2.
    pub fn maps_read_only_files(self) -> bool {
        self >= Self { major: 8, minor: 2 }
    }

    /// Reads the first line of `qemu-system-x86_64 --version`.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("version ")?;
        let mut numbers = rest.split(|c: char| !c.is_ascii_digit());
        let mut number = || numbers.next()?.parse().ok();
        Some(Self { major: number()?, minor: number()? })
    }
}

impl fmt::Display for QemuVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The QEMU of this host.
#[derive(Debug, Clone)]
pub struct Qemu {
    /// The program.
    pub path: PathBuf,
    /// Its version.
    pub version: QemuVersion,
    /// The version as it says it itself.
    pub version_text: String,
    /// The identity of the program file.
    pub fingerprint: Fingerprint,
}

impl Qemu {
    /// Finds QEMU by `$PYRO_QEMU` or in `PATH`, and asks for its version unless the host record knows it.
    pub fn find(host: &mut HostRecord) -> Result<Self> {
        let path = locate()?;
        let fingerprint = Fingerprint::of(&path)?;
        let version_text = host.qemu_version(&path, fingerprint.clone(), || ask_version(&path))?;
        let Some(version) = QemuVersion::parse(&version_text) else {
            let message =
                format!("`{} --version` answered `{version_text}`, which names no version", path.display());
            return Err(Error::new(ErrorKind::UnsupportedHost, message).with_hint(INSTALL_QEMU));
        };
        if version < OLDEST_QEMU {
            let message =
                format!("`{}` is QEMU {version}, and pyro needs {OLDEST_QEMU} or newer", path.display());
            return Err(Error::new(ErrorKind::UnsupportedHost, message)
                .with_hint(format!("install a newer QEMU, or name one with {QEMU_VARIABLE}")));
        }
        Ok(Self { path, version, version_text, fingerprint })
    }
}

fn locate() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(QEMU_VARIABLE).filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        if !path.is_file() {
            let message = format!("{QEMU_VARIABLE} is `{}`, which is not a file", path.display());
            return Err(Error::new(ErrorKind::UnsupportedHost, message)
                .with_hint(format!("unset {QEMU_VARIABLE}, or name the program `{QEMU_PROGRAM}`")));
        }
        return Ok(path);
    }
    find_program(QEMU_PROGRAM).ok_or_else(|| {
        Error::new(ErrorKind::UnsupportedHost, format!("`{QEMU_PROGRAM}` is not in PATH"))
            .with_hint(format!("{INSTALL_QEMU}   # or name one with {QEMU_VARIABLE}"))
    })
}

fn ask_version(path: &Path) -> Result<String> {
    let doing = || format!("could not run `{} --version`", path.display());
    let output = Command::new(path).arg("--version").output().failing(ErrorKind::UnsupportedHost, doing)?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

/// The unprivileged user that a machine started by root runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunAs {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl RunAs {
    /// Whom to become: nobody else for an ordinary user; for root a user of the machine's own, so that two
    /// machines cannot touch each other's processes either.
    ///
    /// # Errors
    /// When KVM is to be used and that user could not open it.
    pub fn choose(accelerator: Accelerator) -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        if let Some(hindrance) = Self::hindrance() {
            tracing::warn!("QEMU runs as root: {hindrance}");
            return Ok(None);
        }
        let group = match accelerator {
            Accelerator::Tcg => None,
            Accelerator::Kvm => kvm_group().ok_or_else(|| {
                Error::new(
                    ErrorKind::UnsupportedHost,
                    "/dev/kvm is open to root alone, and QEMU is not run as root",
                )
                .with_hint("chgrp kvm /dev/kvm && chmod 660 /dev/kvm")
            })?,
        };
        let own = FIRST_UNPRIVILEGED_ID + random_16_bits();
        let id = [own, NOBODY].into_iter().find(|&id| is_mapped("uid_map", id) && is_mapped("gid_map", id));
        if id.is_none() {
            tracing::warn!(
                "no unprivileged user is mapped into this user namespace: QEMU runs as root of it"
            );
        }
        Ok(id.map(|id| Self { uid: id, gid: group.unwrap_or(id) }))
    }

    /// Why a root that lacks capabilities (`capabilities(7)`) must not become another user, as far as that is known.
    /// Without CAP_KILL neither it nor the kernel in its name could end a process of that user, which would outlive it.
    pub(super) fn hindrance() -> Option<String> {
        // Where it cannot be asked, the steps themselves will tell.
        let effective = rustix::thread::capabilities(None).ok()?.effective;
        let lacking = lacking(effective);
        (!lacking.is_empty()).then(|| {
            let names = lacking.join(", ");
            format!("this root lacks {names}, and cannot run and end another user's process: give it that")
        })
    }
}

/// Which of the capabilities are not among these that it takes to start a process as another user, and to end it.
fn lacking(effective: CapabilitySet) -> Vec<&'static str> {
    [
        (CapabilitySet::KILL, "CAP_KILL"),
        (CapabilitySet::SETUID, "CAP_SETUID"),
        (CapabilitySet::SETGID, "CAP_SETGID"),
    ]
    .into_iter()
    .filter(|(capability, _)| !effective.contains(*capability))
    .map(|(_, name)| name)
    .collect()
}

fn random_16_bits() -> u32 {
    let mut bytes = [0; 2];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u32::from(u16::from_le_bytes(bytes))
}

/// Whether an id exists in this process's user namespace (`user_namespaces(7)`).
fn is_mapped(map: &str, id: u32) -> bool {
    let ranges = std::fs::read_to_string(format!("/proc/self/{map}")).unwrap_or_default();
    ranges.lines().any(|line| {
        let mut numbers = line.split_whitespace().filter_map(|number| number.parse::<u64>().ok());
        let (Some(first), Some(_), Some(length)) = (numbers.next(), numbers.next(), numbers.next()) else {
            return false;
        };
        (first..first + length).contains(&u64::from(id))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_that_could_not_end_another_users_process_is_told_what_it_lacks() {
        let docker = CapabilitySet::SETUID | CapabilitySet::SETGID;
        assert_eq!(lacking(docker), ["CAP_KILL"]);
        assert_eq!(lacking(CapabilitySet::KILL), ["CAP_SETUID", "CAP_SETGID"]);
        assert!(lacking(docker | CapabilitySet::KILL | CapabilitySet::CHOWN).is_empty());
    }

    #[test]
    fn versions_are_read_from_what_qemu_says() {
        let version = |text| QemuVersion::parse(text).map(|version| version.to_string());
        assert_eq!(version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)").as_deref(), Some("7.2"));
        assert_eq!(version("QEMU emulator version 10.0.2").as_deref(), Some("10.0"));
        assert_eq!(version("qemu? no"), None);
        assert!(QemuVersion { major: 10, minor: 0 }.maps_read_only_files());
        assert!(!QemuVersion { major: 7, minor: 2 }.maps_read_only_files());
    }
}
