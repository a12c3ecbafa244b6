//! A process that is owned: QEMU, or the agent on the host. Its start, its end, and who it runs as. It cannot outlive
//! its owner: see `spawn.rs`.

use super::qemu::RunAs;
use super::spawn::{inherit_nothing, spawn_owned, watch};
use command_fds::{CommandFdExt, FdMapping};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
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

/// A running process, killed and reaped when dropped.
#[derive(Debug)]
pub struct OwnedProcess {
    child: Child,
    pidfd: AsyncFd<OwnedFd>,
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
        let mut child = spawn_owned(command)?;
        match watch(&child) {
            Ok(pidfd) => Ok(Self { child, pidfd }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the process has ended. May be called again afterwards, and dropped half-way.
    pub async fn exited(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            self.pidfd.readable().await?.retain_ready();
        }
    }

    /// Kills and reaps the process. Blocks for the milliseconds that the kernel takes to free its memory.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for OwnedProcess {
    fn drop(&mut self) {
        // Fails only where it was reaped already.
        let _ = self.kill();
    }
}
