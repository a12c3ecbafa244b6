//! The confinement of QEMU: what remains to one that its guest has taken over.
//!
//! ```text
//!  owner                                     new process
//!  plan: view, rules, filter, groups
//!  fork into user and pid namespaces ──────> asks to be killed with its owner
//!  maps its user, moves it into groups ────> other namespaces, a root of its own, limits, user, capabilities,
//!                                            no_new_privs, Landlock, seccomp
//!  isolation, as it came out <────────────── outcome of each step
//!  is it enough? the last word ────────────> descriptors in place, exec
//! ```
//!
//! Nothing that a host lacks prevents a start, unless all is required; then QEMU never runs. What came out is told layer
//! by layer, for the very process it is about ([`Isolation`]). `full` means: a user of the machine's own (or that of
//! who started it, whose files and processes are out of reach); no capabilities and no way to gain any; no file but
//! its own, by Landlock, or, for a user of the machine's own, by a root folder of its own; its own network, pid, IPC and
//! UTS namespaces; the seccomp filter; memory, number of processes and CPU each limited by a control group.
//!
//! This module knows nothing of QEMU's arguments: it starts whatever program it is given.

mod advice;
mod birth;
mod cgroups;
mod child;
mod examination;
mod files;
mod isolation;
mod layers;
mod limits;
mod mechanisms;
mod root;
mod syscalls;
mod system_calls;
#[cfg(test)]
mod tests;
mod view;

use super::process::{HandedOver, OwnedProcess};
use super::qemu::RunAs;
use super::spawn::on_spawner;
use crate::error::{Context, Error, ErrorKind, Result};
use birth::{Plan, Unborn, raise};
use cgroups::Groups;
use child::Namespaces;
pub use examination::examine;
pub use isolation::{Isolation, IsolationLevel, Layer, LayerName, LayerState, RequireIsolation};
use layers::Means;
use limits::MachineSize;
pub use mechanisms::Mechanisms;
use std::ffi::{CString, c_int};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Keeps what limits a machine for as long as its process is there.
#[derive(Debug)]
pub(super) struct Hold(#[expect(dead_code, reason = "it matters when it is dropped")] Groups);

/// What is insisted on, and what is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConfinementSettings {
    /// Whether less than everything will do.
    pub require: RequireIsolation,
    /// What the host may be asked for.
    pub mechanisms: Mechanisms,
}

/// A program that is to run confined.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// The program.
    pub(super) program: &'a Path,
    /// What follows its name.
    pub(super) arguments: &'a [String],
    /// What it gets, under which numbers.
    pub(super) handed_over: Vec<HandedOver>,
    /// Which of these it opens once more, by their names in `/proc/self/fd`, and whether in order to write.
    pub(super) opened_by_path: Vec<(RawFd, bool)>,
    /// Its standard error.
    pub(super) stderr: OwnedFd,
    /// Whom it is to become.
    pub(super) run_as: Option<RunAs>,
    /// Whether it uses KVM.
    pub(super) with_kvm: bool,
    /// Of its guest.
    pub(super) vcpu_count: u32,
    /// Of its guest.
    pub(super) mem_mib: u32,
}

/// Starts a program in its confinement. Like any [`OwnedProcess`], it has no terminal, no standard input, an empty
/// environment, and cannot outlive its owner.
///
/// # Errors
/// `unsupported_host` where more isolation is required than this host gives; the program has then not run.
/// `start_failed` where it could not be started at all.
pub(super) fn start(wanted: Wanted<'_>, settings: &ConfinementSettings) -> Result<(OwnedProcess, Isolation)> {
    let program = wanted.program.to_owned();
    let doing = || format!("could not start `{}`", program.display());
    let (plan, means) = plan(wanted, &settings.mechanisms).failing(ErrorKind::StartFailed, doing)?;
    let require = settings.require;
    let born = on_spawner(move || bear(plan, &means, require), |born: Born| drop(born));
    match born.failing(ErrorKind::StartFailed, doing)? {
        Born::Runs(process, isolation) => Ok((process, isolation)),
        Born::Refused(error) => Err(error),
    }
}

/// How a birth ended.
enum Born {
    Runs(OwnedProcess, Isolation),
    /// It is gone, and has never run its program.
    Refused(Error),
}

fn bear(mut plan: Plan, means: &Means, require: RequireIsolation) -> io::Result<Born> {
    let mut unborn = plan.conceive()?;
    let isolation = layers::isolation(means, &plan, &unborn);
    if let Err(refused) = isolation.check(require) {
        unborn.end();
        return Ok(Born::Refused(refused));
    }
    let spoken = unborn.say_last_word();
    let Unborn { pid, .. } = unborn;
    // Ends and reaps it when dropped, from here on.
    let process = OwnedProcess::adopt(pid, Hold(plan.groups));
    spoken.map(|()| Born::Runs(process, isolation))
}

fn plan(wanted: Wanted<'_>, mechanisms: &Mechanisms) -> io::Result<(Plan, Means)> {
    let size = MachineSize { vcpu_count: wanted.vcpu_count, mem_mib: wanted.mem_mib };
    let run_as = wanted.run_as.filter(|_| mechanisms.own_user);
    let view = view::of(wanted.program, wanted.with_kvm);
    let rules = match mechanisms.landlock {
        true => files::rules(&view, &opened(&wanted)),
        false => Err(NOT_TRIED.to_owned()),
    };
    let filters = match mechanisms.seccomp {
        true => syscalls::filters(),
        false => Err(NOT_TRIED.to_owned()),
    };
    let files = || wanted.handed_over.iter().map(|one| one.fd.as_fd());
    let groups = match mechanisms.cgroups {
        true => Groups::make(size.caps(limits::in_memory_bytes(files()))),
        false => Groups::default(),
    };
    let limits = limits::of_process(size, &groups, run_as.is_some(), limits::largest_file(files()));
    let limits_of_namespace = limits::of_namespace(size, &groups);
    let means = Means::new(mechanisms, run_as, &rules, &filters);
    let program = std::fs::canonicalize(wanted.program)?;
    let plan = Plan {
        arguments: arguments(wanted.program, wanted.arguments)?,
        program: text(program.as_os_str().as_bytes())?,
        descriptors: descriptors(wanted.handed_over, &wanted.stderr)?,
        user: run_as.map(|RunAs { uid, gid }| (uid, gid)),
        wanted: Namespaces {
            network: mechanisms.network_namespace,
            ipc: mechanisms.ipc_namespace,
            hostname: mechanisms.uts_namespace,
            has_own_processes: false,
        },
        root: mechanisms.mount_namespace.then(|| root::Root::plan(&view)).flatten(),
        limits,
        limits_of_namespace,
        drops_privileges: mechanisms.privileges,
        ruleset: rules.ok().map(|rules| raise(&rules.ruleset)).transpose()?,
        filters: filters.unwrap_or_default(),
        groups,
        births: births(mechanisms),
    };
    Ok((plan, means))
}

/// What is told of a means that a test has taken away.
const NOT_TRIED: &str = "it was not tried";

/// The sets of namespaces that are tried at birth, best first. Only a user namespace gives others to an ordinary user,
/// and only a birth gives a pid namespace.
fn births(mechanisms: &Mechanisms) -> Vec<c_int> {
    let pids = if mechanisms.pid_namespace { libc::CLONE_NEWPID } else { 0 };
    let mut births = Vec::new();
    if rustix::process::geteuid().is_root() {
        births.push(pids);
    }
    if mechanisms.user_namespace {
        births.extend([libc::CLONE_NEWUSER | pids, libc::CLONE_NEWUSER]);
    }
    births.push(0);
    births.dedup();
    births
}

fn opened<'a>(wanted: &'a Wanted<'_>) -> Vec<(BorrowedFd<'a>, bool)> {
    let find = |number| wanted.handed_over.iter().find(|one| one.number == number);
    let opened = wanted.opened_by_path.iter();
    opened.filter_map(|&(number, writable)| Some((find(number)?.fd.as_fd(), writable))).collect()
}

fn descriptors(handed_over: Vec<HandedOver>, stderr: &OwnedFd) -> io::Result<Vec<(OwnedFd, RawFd)>> {
    let null = OwnedFd::from(File::options().read(true).write(true).open("/dev/null")?);
    let mut descriptors = vec![(raise(&null)?, 0), (raise(&null)?, 1), (raise(stderr)?, 2)];
    for HandedOver { number, fd } in handed_over {
        if !(3..birth::ABOVE_ALL).contains(&number) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a descriptor's number is out of range"));
        }
        descriptors.push((raise(&fd)?, number));
    }
    Ok(descriptors)
}

fn arguments(program: &Path, arguments: &[String]) -> io::Result<Vec<CString>> {
    let name = std::iter::once(text(program.as_os_str().as_bytes()));
    name.chain(arguments.iter().map(|argument| text(argument.as_bytes()))).collect()
}

fn text(bytes: &[u8]) -> io::Result<CString> {
    Ok(CString::new(bytes)?)
}
