//! Starts one program in a child process, and tells exactly why if that fails.
//!
//! `clone(CLONE_VM | CLONE_VFORK)`: the child borrows our memory until it has executed the program, so nothing is
//! copied, and a failure is told through that memory without a pipe. Every path, argument and environment string
//! is made before; the child only makes system calls. It must not allocate, lock, unwind or return to our code.
//!
//! The agent waits while the child gets that far. So in a machine the child keeps the agent's priority until then:
//! otherwise a fork bomb would hold up the agent by way of the child, for half a minute when it was tried.
#![allow(
    unsafe_code,
    reason = "a child that shares our memory cannot be made safely; this is the only place"
)]

use crate::root::Root;
use crate::sys::{self, Priority};
use nix::errno::Errno;
use nix::libc;
use nix::sched::CloneFlags;
use std::ffi::{CStr, CString, c_char};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// Enough for the child's few calls; only its top page is ever touched.
const STACK_BYTES: usize = 32 * 1024;

/// What to execute, made ready for `execve(2)`.
#[derive(Debug)]
pub(crate) struct Program {
    /// Where the program may be, in the order to look.
    pub(crate) candidates: Vec<CString>,
    /// The arguments, the program's name first.
    pub(crate) argv: Vec<CString>,
    /// The environment, each `NAME=value`.
    pub(crate) env: Vec<CString>,
    /// The working directory.
    pub(crate) cwd: CString,
}

/// What a child is given.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    /// Standard input, output and error.
    pub(crate) stdio: [BorrowedFd<'a>; 3],
    /// Whether standard input is a terminal that the program is to control.
    pub(crate) terminal: bool,
    /// The mount namespace to enter, if not our own.
    pub(crate) namespace: Option<BorrowedFd<'a>>,
    /// The `cgroup.procs` of the control group to enter, if not our own.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
}

/// Which step of a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Making the process.
    Clone,
    /// Making it ready: control group, session, descriptors, namespace.
    Prepare,
    /// Entering the working directory.
    Directory,
    /// Executing the program.
    Execute,
}

/// Why a program did not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpawnError {
    /// What was being done.
    pub(crate) step: Step,
    /// Why it failed.
    pub(crate) errno: Errno,
}

/// Starts programs. Keeps the stack that a child uses until it has executed its program.
#[derive(Debug)]
pub(crate) struct Spawner {
    stack: Vec<u8>,
    /// Whether we run before others, which programs must not.
    runs_first: bool,
    /// Our own number, where programs are to be killed when we are. In a machine the machine ends then.
    dies_with: Option<i32>,
}

/// What the child leaves in our memory when it fails.
struct Failure {
    step: AtomicI32,
    errno: AtomicI32,
}

impl Spawner {
    /// In a machine the agent has [`Priority::First`].
    pub(crate) fn new(root: &Root) -> Self {
        let dies_with = matches!(root, Root::Folder(_)).then(|| std::process::id().cast_signed());
        Self { stack: vec![0; STACK_BYTES], runs_first: root.is_machine(), dies_with }
    }

    /// Starts a program in a session and process group of its own, with default signal dispositions.
    ///
    /// The caller must have blocked all signals, so that no handler runs in the child while it borrows our memory.
    pub(crate) fn spawn(&mut self, program: &Program, around: &Surroundings<'_>) -> Result<i32, SpawnError> {
        let argv = pointers(&program.argv);
        let env = pointers(&program.env);
        let failure = Failure { step: AtomicI32::new(0), errno: AtomicI32::new(0) };
        let (runs_first, dies_with) = (self.runs_first, self.dies_with);
        let child = || {
            if runs_first {
                let _ = sys::set_priority(0, Priority::FirstAlone); // not worth failing for
            }
            let error = match die_with(dies_with) {
                Ok(()) => become_program(program, around, &argv, &env),
                Err(errno) => SpawnError { step: Step::Prepare, errno },
            };
            failure.errno.store(error.errno as i32, Ordering::Relaxed);
            failure.step.store(error.step as i32 + 1, Ordering::Relaxed);
            127
        };
        // SAFETY: CLONE_VFORK suspends us until the child has executed a program or exited, so what it borrows
        // (our stack frame, `self.stack`) outlives its use; it runs on a stack of its own and makes only system
        // calls.
        let cloned = unsafe {
            nix::sched::clone(
                Box::new(child),
                &mut self.stack,
                CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK,
                Some(libc::SIGCHLD),
            )
        };
        let pid = cloned.map_err(|errno| SpawnError { step: Step::Clone, errno })?.as_raw();
        let step = match failure.step.load(Ordering::Relaxed) {
            0 => {
                if runs_first {
                    let _ = sys::set_priority(pid, Priority::Ordinary); // fails only when it is gone already
                }
                return Ok(pid);
            }
            2 => Step::Prepare,
            3 => Step::Directory,
            _ => Step::Execute,
        };
        // SAFETY: takes only numbers and a null pointer. The child has exited, so this does not wait.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
        Err(SpawnError { step, errno: Errno::from_raw(failure.errno.load(Ordering::Relaxed)) })
    }
}

/// The null-terminated array of pointers that `execve(2)` wants.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Has this process killed when its parent ends, which may have happened already.
fn die_with(parent: Option<i32>) -> nix::Result<()> {
    let Some(parent) = parent else { return Ok(()) };
    // SAFETY: takes only numbers, and is about the calling process alone.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
    // SAFETY: takes nothing and cannot fail.
    if unsafe { libc::getppid() } == parent { Ok(()) } else { Err(Errno::ESRCH) }
}

/// Everything that happens in the child. Comes back only when it failed.
fn become_program(
    program: &Program,
    around: &Surroundings<'_>,
    argv: &[*const c_char],
    env: &[*const c_char],
) -> SpawnError {
    if let Err(errno) = prepare(around) {
        return SpawnError { step: Step::Prepare, errno };
    }
    // SAFETY: a null-terminated path that outlives the call.
    if unsafe { libc::chdir(program.cwd.as_ptr()) } != 0 {
        return SpawnError { step: Step::Directory, errno: Errno::last() };
    }
    SpawnError { step: Step::Execute, errno: execute(&program.candidates, argv, env) }
}

fn prepare(around: &Surroundings<'_>) -> nix::Result<()> {
    if let Some(cgroup) = around.cgroup {
        // Before anything of the program's own runs: all that it ever starts is then in the group. 0 is the writer.
        // SAFETY: the byte outlives the call.
        Errno::result(unsafe { libc::write(cgroup.as_raw_fd(), c"0".as_ptr().cast(), 1) })?;
    }
    // SAFETY: takes nothing; the new process leads no group, so it may lead a session.
    Errno::result(unsafe { libc::setsid() })?;
    for (target, fd) in (0..).zip(&around.stdio) {
        // SAFETY: both numbers are descriptors; the source is above 2, since 0 to 2 are always open in the agent.
        Errno::result(unsafe { libc::dup2(fd.as_raw_fd(), target) })?;
    }
    if around.terminal {
        // SAFETY: takes only numbers. The process leads a session that has no terminal yet.
        Errno::result(unsafe { libc::ioctl(0, libc::TIOCSCTTY as _, 0) })?;
    }
    if let Some(namespace) = around.namespace {
        // SAFETY: takes only numbers. Moves this process, not its parent: the file system state is not shared.
        Errno::result(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS) })?;
    }
    // SAFETY: SIGPIPE is the one signal that Rust's runtime ignores, and execve(2) keeps ignored what is ignored.
    // The dispositions are the child's own copy.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    // SAFETY: an empty set is all zeroes; the mask is the child's own. execve(2) resets every handler.
    unsafe {
        let empty: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut());
    }
    Ok(())
}

/// Executes the first candidate that is a program, as `execvp(3)` does, but without the fall-back to a shell.
fn execute(candidates: &[CString], argv: &[*const c_char], env: &[*const c_char]) -> Errno {
    let mut reason = Errno::ENOENT;
    for path in candidates {
        // A look before the leap: a failed execve(2) costs far more than a failed access(2).
        let errno = match accessible(path, candidates.len()) {
            // SAFETY: the path and both arrays are null-terminated and outlive the call.
            true => unsafe {
                libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr());
                Errno::last()
            },
            false => Errno::last(),
        };
        match errno {
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => reason = Errno::EACCES,
            other => return other,
        }
    }
    reason
}

/// Whether a path may be executed. With one candidate only, execve(2) itself answers that.
fn accessible(path: &CStr, n_candidates: usize) -> bool {
    // SAFETY: a null-terminated path that outlives the call.
    n_candidates == 1 || unsafe { libc::access(path.as_ptr(), libc::X_OK) } == 0
}
