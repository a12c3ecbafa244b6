//! Starts child processes that cannot outlive this process, however it ends.
//!
//! The kernel is asked to kill the child when its parent goes (`PR_SET_PDEATHSIG`, `prctl(2)`). "Parent" means
//! the *thread* that started it: one that ends early, as threads of a pool do, would take the machine with it. All
//! children are therefore started by one thread that lives as long as the process.
#![allow(
    unsafe_code,
    reason = "code that runs between fork and exec, and a descriptor given to the event loop"
)]

use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, getppid, pidfd_open, set_parent_process_death_signal,
};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError, mpsc};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

type Job = Box<dyn FnOnce() + Send>;

/// The thread that starts the children of one process.
struct Spawner {
    process: Pid,
    jobs: mpsc::Sender<Job>,
}

static SPAWNER: Mutex<Option<Spawner>> = Mutex::new(None);

/// Starts the command as a child that is killed when this process ends.
pub(super) fn spawn_owned(mut command: Command) -> io::Result<Child> {
    die_with_owner(&mut command);
    on_spawner(
        move || command.spawn(),
        |mut orphan| {
            let _ = orphan.kill();
            let _ = orphan.wait();
        },
    )
}

/// Has the thread that starts children do this. Should whoever asked be gone by then, `give_up` ends what was started.
pub(super) fn on_spawner<T: Send + 'static>(
    start: impl FnOnce() -> io::Result<T> + Send + 'static,
    give_up: impl FnOnce(T) + Send + 'static,
) -> io::Result<T> {
    let (answer, answered) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    let job = move || {
        if let Err(mpsc::SendError(Ok(orphan))) = answer.send(start()) {
            give_up(orphan);
        }
    };
    spawner().send(Box::new(job)).map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

/// The way to this process's thread. A process that was forked off, as Python programs do, has none of the threads of
/// the one that it came from, and starts one of its own.
fn spawner() -> mpsc::Sender<Job> {
    let mut known = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    match &*known {
        Some(spawner) if spawner.process == getpid() => spawner.jobs.clone(),
        _ => {
            let jobs = start_spawner();
            let gone = known.replace(Spawner { process: getpid(), jobs: jobs.clone() });
            // The other end of its channel belongs to a thread that is not there.
            std::mem::forget(gone);
            jobs
        }
    }
}

fn start_spawner() -> mpsc::Sender<Job> {
    let (sender, jobs) = mpsc::channel::<Job>();
    std::thread::spawn(move || {
        jobs.into_iter().for_each(|job| job());
    });
    sender
}

/// Keeps a child from inheriting what its owner was itself given: every descriptor but the standard ones is closed by
/// its `exec`. What it is to have is put in place after this.
pub(crate) fn inherit_nothing(command: &mut Command) {
    let close = move || {
        // SAFETY: three numbers; see close_range(2). Nothing is closed before `exec`, so that std's own pipe works.
        let done =
            unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(close) };
}

/// Has the child killed when the thread that starts it ends. For threads that live as long as what they run, such as
/// the one of an event loop; see [`spawn_owned`] for children that must outlive their thread.
pub(crate) fn die_with_owner(command: &mut Command) {
    let owner = getpid();
    // SAFETY: the closure makes two system calls and allocates nothing, as code between fork and exec must.
    unsafe { command.pre_exec(move || die_with(owner)) };
}

fn die_with(owner: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The owner may have died before the request was made.
    if getppid() != Some(owner) {
        return Err(io::Error::other("the process that asked for this one is gone"));
    }
    Ok(())
}

/// A descriptor that becomes readable when the child has ended (`pidfd_open(2)`).
pub(super) fn watch(child: Pid) -> io::Result<AsyncFd<OwnedFd>> {
    let pidfd = pidfd_open(child, PidfdFlags::empty())?;
    // SAFETY: the descriptor is owned by the value that is registered, and stays open as long as that lives.
    Ok(unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?)
}
