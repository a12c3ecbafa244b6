//! What the new process does between its birth and `exec`.
//!
//! It is a copy of a process with other threads, which may have held any lock: here are system calls on what was
//! prepared, and no allocation. Every step's outcome is told to the owner, who then decides: only its word lets the
//! program run. That word is also the proof that the owner lived after the kernel was asked to kill this process with
//! it; a parent's id would be none, as seen from a pid namespace.

use super::root::{Failure, Root};
use super::system_calls::{self as sys, Errno};
use seccompiler::BpfProgram;
use std::ffi::{CStr, CString, c_char, c_int};
use std::os::fd::RawFd;

/// How long the owner may take for its word. It takes microseconds.
const PATIENCE_MS: c_int = 5_000;
/// Of the securebits: user id 0 is nothing special, and that stays so (`capabilities(7)`).
const NO_ROOT_FOR_GOOD: libc::c_ulong = 0b11;
/// What the host is called inside.
const HOSTNAME: &CStr = c"pyro";

/// The steps whose outcome is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Groups,
    Network,
    Ipc,
    Hostname,
    Mounts,
    /// A `/proc` that shows only what is in its own pid namespace.
    OwnProc,
    Limits,
    BoundingSet,
    User,
    Capabilities,
    NoNewPrivileges,
    Landlock,
    Filter,
    /// To die with the owner. Without it the program does not run.
    Death,
}

pub(super) const N_STEPS: usize = 14;
/// Told of a step that was not wanted.
pub(super) const NOT_TRIED: Errno = -1;
/// Told, as an addition to the error, of mounts that were left half done: the process ends.
pub(super) const BROKEN: Errno = 1 << 16;

/// The outcome of each step: 0, [`NOT_TRIED`] or what went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Report(pub(super) [Errno; N_STEPS]);

impl Report {
    pub(super) fn of(&self, step: Step) -> Errno {
        self.0[step as usize]
    }

    fn set(&mut self, step: Step, done: Result<(), Errno>) {
        self.0[step as usize] = done.err().unwrap_or(0);
    }
}

/// All that the new process needs.
pub(super) struct Prepared<'a> {
    pub(super) program: &'a CStr,
    /// With a null pointer at the end.
    pub(super) arguments: &'a [*const c_char],
    /// Which descriptor becomes which number. No descriptor here has a number that is wanted there.
    pub(super) descriptors: &'a [(RawFd, RawFd)],
    /// The files by which a process moves itself into control groups.
    pub(super) tasks: &'a [RawFd],
    pub(super) user: Option<(u32, u32)>,
    pub(super) namespaces: Namespaces,
    pub(super) root: Option<&'a Root>,
    pub(super) limits: &'a [(u32, u64)],
    pub(super) drops_privileges: bool,
    pub(super) ruleset: Option<RawFd>,
    pub(super) filters: &'a [BpfProgram],
    pub(super) pipes: Pipes,
}

/// Which namespaces are wanted besides those that the process was born into.
#[derive(Debug, Clone, Copy)]
pub(super) struct Namespaces {
    pub(super) network: bool,
    pub(super) ipc: bool,
    pub(super) hostname: bool,
    /// Whether it was born into a pid namespace.
    pub(super) has_own_processes: bool,
}

/// The two ways to the owner. The new process has copies of the owner's ends, too, and closes them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pipes {
    pub(super) report: RawFd,
    pub(super) word: RawFd,
    pub(super) owners: [RawFd; 2],
}

/// Sets up the confinement and becomes the program.
pub(super) fn run(prepared: &Prepared<'_>) -> ! {
    let Pipes { report: out, word, owners } = prepared.pipes;
    owners.into_iter().for_each(sys::close);
    // Asked for at once, and again below: it is forgotten when the user changes.
    let _ = die_with_owner();
    sys::default_sigpipe();
    // The owner has mapped the user.
    if sys::await_byte(word, PATIENCE_MS).is_err() {
        sys::end();
    }
    let mut report = Report([NOT_TRIED; N_STEPS]);
    leave_the_host(prepared, &mut report);
    if report.of(Step::Mounts) < BROKEN {
        give_up_rights(prepared, &mut report);
    }
    let told = sys::tell(out, as_bytes(&report.0));
    let is_lost = report.of(Step::Death) != 0;
    if told.is_err() || is_lost || sys::await_byte(word, PATIENCE_MS).is_err() {
        sys::end();
    }
    let failed = become_program(prepared);
    let _ = sys::tell(out, as_bytes(&[failed]));
    sys::end()
}

fn die_with_owner() -> Result<(), Errno> {
    sys::control(libc::PR_SET_PDEATHSIG, libc::SIGKILL.unsigned_abs().into())
}

/// A process group of its own, so that a Ctrl-C at the terminal reaches only the owner, which ends it in order; then
/// control groups and namespaces.
fn leave_the_host(prepared: &Prepared<'_>, report: &mut Report) {
    let _ = sys::own_process_group();
    report.set(Step::Groups, prepared.tasks.iter().try_for_each(|&tasks| sys::tell(tasks, b"0")));
    let namespaces = prepared.namespaces;
    let wanted = [
        (Step::Network, namespaces.network, libc::CLONE_NEWNET),
        (Step::Ipc, namespaces.ipc, libc::CLONE_NEWIPC),
        (Step::Hostname, namespaces.hostname, libc::CLONE_NEWUTS),
        (Step::Mounts, prepared.root.is_some(), libc::CLONE_NEWNS),
    ];
    let wanted = || wanted.iter().filter(|(_, is_wanted, _)| *is_wanted);
    let all = wanted().fold(0, |flags, (.., flag)| flags | flag);
    let at_once = sys::unshare(all);
    for &(step, _, flag) in wanted() {
        // Where all are refused, each for itself may not be.
        report.set(step, at_once.or_else(|_| sys::unshare(flag)));
    }
    if report.of(Step::Hostname) == 0 {
        let _ = sys::set_hostname(HOSTNAME);
    }
    let _ = sys::change_folder(c"/");
    if let Some(root) = prepared.root.filter(|_| report.of(Step::Mounts) == 0) {
        match root.enter(namespaces.has_own_processes) {
            Ok(own_proc) => report.set(Step::OwnProc, own_proc),
            Err(Failure::Refused(error)) => report.set(Step::Mounts, Err(error)),
            Err(Failure::Broken(error)) => report.set(Step::Mounts, Err(error | BROKEN)),
        }
    }
}

fn give_up_rights(prepared: &Prepared<'_>, report: &mut Report) {
    let limits = prepared.limits.iter().try_for_each(|&(resource, value)| sys::set_limit(resource, value));
    report.set(Step::Limits, limits);
    if prepared.drops_privileges {
        // User id 0 would be given all capabilities again by `exec`.
        let _ = sys::control(libc::PR_SET_SECUREBITS, NO_ROOT_FOR_GOOD);
        report.set(Step::BoundingSet, sys::empty_bounding_set());
    }
    if let Some((uid, gid)) = prepared.user {
        report.set(Step::User, sys::become_user(uid, gid));
    }
    if prepared.drops_privileges {
        report.set(Step::Capabilities, sys::drop_capabilities());
        report.set(Step::NoNewPrivileges, sys::control(libc::PR_SET_NO_NEW_PRIVS, 1));
    }
    if let Some(ruleset) = prepared.ruleset {
        report.set(Step::Landlock, sys::restrict_files(ruleset));
    }
    // Later the filter forbids to ask for anything else; nothing before may come after, as it would be forgotten.
    report.set(Step::Death, die_with_owner());
    if !prepared.filters.is_empty() {
        let installed = prepared.filters.iter().try_for_each(|filter| sys::install_filter(filter));
        report.set(Step::Filter, installed);
    }
}

fn become_program(prepared: &Prepared<'_>) -> Errno {
    let placed = sys::close_all_at_exec().and_then(|()| {
        prepared.descriptors.iter().try_for_each(|&(source, target)| sys::place(source, target))
    });
    if let Err(error) = placed {
        return error;
    }
    sys::set_signal_mask(0);
    sys::execute(prepared.program, prepared.arguments, &[std::ptr::null()])
}

fn as_bytes<const N: usize>(numbers: &[Errno; N]) -> &[u8] {
    sys::bytes_of(numbers)
}

/// The texts of a command line, and the pointers to them that the kernel wants.
pub(super) struct CommandLine {
    _texts: Vec<CString>,
    pub(super) pointers: Vec<*const c_char>,
}

impl CommandLine {
    pub(super) fn of(texts: Vec<CString>) -> Self {
        // A text's bytes stay where they are when the vector moves.
        let pointers = texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect();
        Self { _texts: texts, pointers }
    }
}
