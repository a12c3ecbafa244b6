//! A process that is owned: QEMU, or the agent on the host. Its start, its end, and who it runs as. It cannot outlive
//! its owner: see `spawn.rs`.

use super::confinement::Hold;
use super::qemu::RunAs;
use super::spawn::{inherit_nothing, spawn_owned, watch};
use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use tokio::io::unix::AsyncFd;

/// A descriptor that the process gets, under a number that its arguments name.
#[derive(Debug)]
pub struct HandedOver {
    /// The number in the new process.
    pub number: i32,
    /// The descriptor here.
    pub fd: OwnedFd,
}

/// A running process, killed and reaped when dropped by its owner.
#[derive(Debug)]
pub struct OwnedProcess {
    /// Who started it. A process that was forked off, as Python programs do, has copies of its values, and owns nothing.
    owner: Pid,
    child: Offspring,
    /// Registered with the event loop at the first wait, as the thread that starts processes has none.
    pidfd: Option<AsyncFd<OwnedFd>>,
}

/// A child, by which of the two ways it was started.
#[derive(Debug)]
enum Offspring {
    Plain(Child),
    /// See `confinement/`.
    Confined {
        pid: Pid,
        status: Option<ExitStatus>,
        hold: Option<Hold>,
    },
}

impl OwnedProcess {
    /// Starts a program. Its standard error is `stderr`; it has no terminal, no standard input and an empty
    /// environment.
    pub fn start(
        binary: &Path,
        arguments: &[String],
        handed_over: Vec<HandedOver>,
        run_as: Option<RunAs>,
        stderr: OwnedFd,
    ) -> io::Result<Self> {
        let mut command = Command::new(binary);
        command.args(arguments).env_clear().current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        // A group of its own, so that a Ctrl-C at the terminal reaches only its owner, which ends it in order.
        command.process_group(0);
        if let Some(RunAs { uid, gid }) = run_as {
            command.uid(uid).gid(gid);
        }
        inherit_nothing(&mut command);
        let mappings = handed_over
            .into_iter()
            .map(|HandedOver { number, fd }| FdMapping { parent_fd: fd, child_fd: number })
            .collect();
        command.fd_mappings(mappings).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        Ok(Self::of(Offspring::Plain(spawn_owned(command)?)))
    }

    /// Takes over a child that was confined, with what limits it.
    pub(super) fn adopt(pid: Pid, hold: Hold) -> Self {
        Self::of(Offspring::Confined { pid, status: None, hold: Some(hold) })
    }

    fn of(child: Offspring) -> Self {
        Self { owner: getpid(), child, pidfd: None }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.pid().as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits until the process has ended. May be called again afterwards, and dropped half-way.
    pub async fn exited(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.child.reap(WaitOptions::NOHANG)? {
                return Ok(status);
            }
            let pidfd = match &self.pidfd {
                Some(pidfd) => pidfd,
                None => self.pidfd.insert(watch(self.child.pid())?),
            };
            pidfd.readable().await?.retain_ready();
        }
    }

    /// Kills and reaps the process. Blocks for the milliseconds that the kernel takes to free its memory.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.reap(WaitOptions::empty())?.ok_or_else(|| io::Error::other("the process did not end"))
    }
}

impl Offspring {
    fn pid(&self) -> Pid {
        match self {
            Self::Plain(child) => Pid::from_child(child),
            Self::Confined { pid, .. } => *pid,
        }
    }

    fn kill(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(child) => child.kill(),
            // Nobody else has its id as long as it was not reaped.
            Self::Confined { pid, status: None, .. } => Ok(kill_process(*pid, Signal::KILL)?),
            Self::Confined { .. } => Ok(()),
        }
    }

    /// The status of a child that has ended, which it tells as often as it is asked.
    fn reap(&mut self, options: WaitOptions) -> io::Result<Option<ExitStatus>> {
        match self {
            Self::Plain(child) if options.contains(WaitOptions::NOHANG) => child.try_wait(),
            Self::Plain(child) => child.wait().map(Some),
            Self::Confined { pid, status, hold } => {
                if status.is_none() {
                    let ended = rustix::io::retry_on_intr(|| waitpid(Some(*pid), options))?;
                    *status = ended.map(|(_, status)| ExitStatus::from_raw(status.as_raw()));
                }
                if status.is_some() {
                    // A group can be removed once nobody is in it.
                    drop(hold.take());
                }
                Ok(*status)
            }
        }
    }
}

impl Drop for OwnedProcess {
    fn drop(&mut self) {
        if self.owner != getpid() {
            // What limits the process stays, too.
            if let Offspring::Confined { hold, .. } = &mut self.child {
                std::mem::forget(hold.take());
            }
            return;
        }
        match self.kill() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                tracing::warn!(pid = self.id(), %error, "a process may not be killed, and may outlive its owner");
            }
            // Other failures say that it was reaped already.
            _ => {}
        }
    }
}
