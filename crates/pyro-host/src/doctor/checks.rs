//! The single checks, each with its remedy.

use super::{BootReport, Check, CheckStatus, NetworkingReport};
use crate::environment::{Environment, Environments};
use crate::error::{Error, ErrorKind, Result};
use crate::instance::{Instance, InstanceKind, InstanceState, Instances, Observed};
use crate::program::find_program;
use crate::state_dir::{DirLock, StateDir, make_private_dir};
use crate::vm::accelerator::{Accelerator, AcceleratorStatus, KvmStatus};
use crate::vm::confinement::{Isolation, IsolationLevel, Layer};
use crate::vm::qemu::Qemu;
use rustix::fs::statvfs;
use std::fs;

/// The name of the check whose failure leaves installed environments usable.
pub(super) const PULLING: &str = "pulling environments";

const MIB: u64 = 1024 * 1024;
/// The memory of a machine of the default size.
const TEMPLATE_BYTES: u64 = 1024 * MIB;
/// An environment, its template, and room for what a guest writes.
const WANTED_DISK_MIB: u64 = 4 * 1024;
const NEEDED_DISK_MIB: u64 = 1024;
/// A machine of the default size, and QEMU.
const WANTED_MEMORY_MIB: u64 = 1280;

fn check(name: &'static str, status: CheckStatus, found: impl Into<String>, hint: Option<&str>) -> Check {
    Check { name, status, found: found.into(), hint: hint.map(str::to_owned) }
}

fn failed(name: &'static str, error: &Error) -> Check {
    check(name, CheckStatus::Failed, error.chain().join(": "), error.hint())
}

pub(super) fn platform() -> Check {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let status = if (os, arch) == ("linux", "x86_64") { CheckStatus::Ok } else { CheckStatus::Failed };
    check("platform", status, format!("{os} {arch}"), Some("use a Linux host with an x86_64 processor"))
}

/// How well a program that is started like a machine's QEMU is confined.
pub(super) fn isolation(isolation: &Result<Isolation>) -> Check {
    const NAME: &str = "isolation";
    let isolation = match isolation {
        Ok(isolation) => isolation,
        Err(error) => return failed(NAME, error),
    };
    let told = |layer: &Layer| {
        let missing = layer.missing.as_deref().unwrap_or("not given");
        format!("{} ({missing})", layer.name)
    };
    let less: Vec<String> = isolation.lacking().map(told).collect();
    match isolation.level {
        IsolationLevel::Full => check(NAME, CheckStatus::Ok, "full: QEMU is confined in every layer", None),
        IsolationLevel::Partial => {
            let found = format!("partial: less in {}", less.join("; "));
            let hint = "guests run all the same; --require-isolation full refuses them here";
            check(NAME, CheckStatus::Degraded, found, Some(hint))
        }
    }
}

pub(super) fn network(networking: &NetworkingReport) -> Check {
    let ipv6 = if networking.ipv6 { "IPv4 and IPv6" } else { "IPv4 alone" };
    let status = if networking.ping { CheckStatus::Ok } else { CheckStatus::Degraded };
    let hint = "sudo sysctl net.ipv4.ping_group_range='0 2147483647' lets guests ping";
    check("guest network", status, format!("{ipv6}; {}", networking.reason), Some(hint))
}

pub(super) fn qemu(qemu: &Result<Qemu>) -> Check {
    match qemu {
        Ok(qemu) => {
            check("QEMU", CheckStatus::Ok, format!("{} at {}", qemu.version_text, qemu.path.display()), None)
        }
        Err(error) => failed("QEMU", error),
    }
}

pub(super) fn accelerator(accelerator: &Result<AcceleratorStatus>, kvm: &KvmStatus) -> Check {
    const NAME: &str = "accelerator";
    match accelerator {
        Ok(AcceleratorStatus { kind: Accelerator::Kvm, reason, .. }) => {
            check(NAME, CheckStatus::Ok, format!("kvm: {reason}"), None)
        }
        Ok(AcceleratorStatus { kind: Accelerator::Tcg, reason, .. }) => {
            let found = format!("tcg (emulation, which is slower): {reason}");
            check(NAME, CheckStatus::Degraded, found, Some(kvm_remedy(kvm)))
        }
        Err(error) => failed(NAME, error),
    }
}

/// What would bring KVM, by what is in its way.
fn kvm_remedy(kvm: &KvmStatus) -> &'static str {
    match kvm {
        KvmStatus { runs_guests: true, .. } => "leave out --accel and PYRO_ACCEL: KVM works here",
        KvmStatus { exists: false, .. } => {
            "switch virtualisation on in the firmware, or nested virtualisation where this host is a guest itself, \
             then: sudo modprobe kvm-intel || sudo modprobe kvm-amd"
        }
        KvmStatus { writable: false, .. } => {
            "join the group that owns it, then log in again: sudo usermod -aG \"$(stat -c %G /dev/kvm)\" \"$USER\""
        }
        kvm if kvm.is_fast() => "chgrp kvm /dev/kvm && chmod 660 /dev/kvm",
        _ => "use a host whose KVM runs on hardware; on this one emulation is the faster of the two",
    }
}

/// Whether a template could be made: a large sparse file without a name is, and the folder is locked for a moment.
pub(super) fn cache(state_dir: &StateDir) -> Check {
    let written = make_private_dir(state_dir.cache()).and_then(|()| {
        use crate::error::Context;
        let doing = || format!("could not write to `{}`", state_dir.cache().display());
        tempfile::tempfile_in(state_dir.cache())
            .and_then(|file| file.set_len(TEMPLATE_BYTES))
            .doing(doing)?;
        DirLock::try_now(state_dir.cache()).map(|_| ())
    });
    match written {
        Ok(()) => check(
            "cache folder",
            CheckStatus::Ok,
            format!("{} can be written", state_dir.cache().display()),
            None,
        ),
        Err(error) => failed(
            "cache folder",
            &error.with_hint("make it writable for this user, or set PYRO_HOME to a folder that is"),
        ),
    }
}

pub(super) fn disk_space(state_dir: &StateDir) -> Check {
    const NAME: &str = "disk space";
    let existing = state_dir.cache().ancestors().find(|path| path.exists()).unwrap_or(state_dir.cache());
    let Ok(status) = statvfs(existing) else {
        return check(NAME, CheckStatus::Degraded, format!("unknown for {}", existing.display()), None);
    };
    let free_mib = status.f_bavail.saturating_mul(status.f_frsize) / MIB;
    let verdict = match free_mib {
        free if free < NEEDED_DISK_MIB => CheckStatus::Failed,
        free if free < WANTED_DISK_MIB => CheckStatus::Degraded,
        _ => CheckStatus::Ok,
    };
    let hint = "free some space (`pyro env prune --all` deletes what can be made again), or set PYRO_HOME to another disk";
    check(NAME, verdict, format!("{free_mib} MiB free for {}", existing.display()), Some(hint))
}

pub(super) fn memory() -> Check {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = available.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let mib = kib.unwrap_or_default() / 1024;
    let status = if mib < WANTED_MEMORY_MIB { CheckStatus::Degraded } else { CheckStatus::Ok };
    let hint = "end something, or give machines less with --mem-mib";
    check("memory", status, format!("{mib} MiB available"), Some(hint))
}

pub(super) fn format_tool() -> Check {
    match find_program("mkfs.ext4") {
        Some(path) => check("disk formatting", CheckStatus::Ok, format!("{}", path.display()), None),
        None => check(
            "disk formatting",
            CheckStatus::Failed,
            "mkfs.ext4 is not installed",
            Some("sudo apt-get install e2fsprogs"),
        ),
    }
}

/// The programs for it, Debian's keys, and for an ordinary user the right to make user namespaces.
pub(super) async fn pulling(state_dir: &StateDir) -> Check {
    match Environments::new(state_dir.clone()).check_host().await {
        Ok(()) => check(PULLING, CheckStatus::Ok, "the tools and the namespaces for it are there", None),
        Err(error) => failed(PULLING, &error),
    }
}

/// Whether the environment is there; one that is not is pulled by its first run.
pub(super) fn environment(name: &str, installed: &Result<Option<Environment>>) -> Check {
    const NAME: &str = "environment";
    match installed {
        Ok(Some(environment)) => {
            check(NAME, CheckStatus::Ok, format!("{name} is installed ({})", environment.digest), None)
        }
        Ok(None) => {
            let hint = format!("pyro env pull {name}");
            check(
                NAME,
                CheckStatus::Ok,
                format!("{name} is not installed; its first run pulls it"),
                Some(&hint),
            )
        }
        Err(error) => failed(NAME, error),
    }
}

/// Workspaces and VMs: how many there are, and each that is not as it should be.
pub(super) fn instances(state_dir: &StateDir) -> Vec<Check> {
    let of_kind = |kind, name: &'static str| {
        let (observed, damaged) = Instances::new(state_dir.clone(), kind).list();
        let n_started = observed.iter().filter(|one| one.record.state == InstanceState::Started).count();
        let found = format!("{}, of which {n_started} started", observed.len());
        let failed = observed.iter().filter(|one| one.record.state == InstanceState::Failed);
        let mut checks = vec![check(name, CheckStatus::Ok, found, None)];
        checks.extend(failed.map(|one| failed_instance(name, one)));
        checks.extend(damaged.iter().map(|(instance, error)| damaged_instance(name, instance, error)));
        checks
    };
    let mut checks = of_kind(InstanceKind::Workspace, "workspaces");
    checks.extend(of_kind(InstanceKind::Vm, "VMs"));
    checks
}

fn failed_instance(name: &'static str, observed: &Observed) -> Check {
    let Observed { instance, record, .. } = observed;
    let why = record.failure.as_deref().unwrap_or("nobody knows why");
    let hint = match instance.kind {
        InstanceKind::Workspace => format!(
            "bring it back with its files: pyro workspace start {id}; or: pyro workspace delete {id}",
            id = instance.id
        ),
        InstanceKind::Vm => "start_vm brings it back, delete_vm deletes it".to_owned(),
    };
    let found = format!("`{}` has failed: {why}", instance.id);
    check(name, CheckStatus::Degraded, found, Some(&hint))
}

fn damaged_instance(name: &'static str, instance: &Instance, error: &Error) -> Check {
    let hint = match (error.kind(), instance.kind) {
        (ErrorKind::VersionMismatch, _) => "use the version of pyro that wrote it".to_owned(),
        (_, InstanceKind::Workspace) => format!("pyro workspace delete {}", instance.id),
        (_, InstanceKind::Vm) => "delete_vm deletes it".to_owned(),
    };
    let found = format!("`{}` cannot be read: {}", instance.id, error.chain().join(": "));
    check(name, CheckStatus::Degraded, found, Some(&hint))
}

pub(super) fn booted(report: &BootReport) -> Check {
    let found = format!(
        "{} said `{}`: cold {:.0} ms, as a clone {:.0} ms",
        report.environment, report.guest, report.cold.total_ms, report.warm.total_ms
    );
    check("boot", CheckStatus::Ok, found, None)
}

pub(super) fn boot_failed(error: &Error) -> Check {
    failed("boot", error)
}
