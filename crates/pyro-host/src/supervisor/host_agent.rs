//! The guest agent as a process of this host, in a folder instead of a machine. There is no isolation.
//!
//! It is the program that machines boot, so that everything that is done with a workspace is done by the same code. It
//! runs from memory, gets one descriptor, and ends with everything that it has started when its socket hangs up: the
//! supervisor may be killed in any way.

use crate::error::{Context, Error, ErrorKind, Result};
use crate::guest::Connection;
use crate::state_dir::make_private_dir;
use crate::vm::initramfs::GUEST_AGENT;
use crate::vm::machine::{MachineEvent, PowerOff};
use crate::vm::process::{HandedOver, OwnedProcess};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::fcntl_dupfd_cloexec;
use std::fs::File;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// The number of the socket in the agent's process.
const SOCKET: i32 = 3;

/// The program gets a number that is out of the way of descriptors that are handed over.
const PROGRAM_FROM: i32 = 100;

/// How long the agent may take to answer. It has nothing to do before.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long it may take to end what it has started: longer than it gives itself.
const END_LIMIT: Duration = Duration::from_secs(10);

/// An agent that serves. Killed when dropped; what it has started is then ended as far as the kernel does it.
#[derive(Debug)]
pub(super) struct HostAgent {
    process: OwnedProcess,
    connection: Connection,
    /// Our end, to hang up whoever still holds the connection.
    socket: UnixStream,
}

impl HostAgent {
    /// Starts the agent in a folder, which is made if it is missing.
    pub(super) async fn start(folder: &Path) -> Result<Self> {
        let doing = || format!("could not start the agent on this host, in `{}`", folder.display());
        make_private_dir(folder)?;
        let (ours, theirs) = UnixStream::pair().doing(doing)?;
        ours.set_nonblocking(true).doing(doing)?;
        let socket = ours.try_clone().doing(doing)?;
        let process = spawn(folder, theirs).failing(ErrorKind::StartFailed, doing)?;
        let connection = Connection::over(tokio::net::UnixStream::from_std(ours).doing(doing)?);
        let mut agent = Self { process, connection, socket };
        match tokio::time::timeout(START_LIMIT, agent.connection.welcome()).await {
            Ok(Ok(_)) => Ok(agent),
            Ok(Err(error)) if error.kind() == ErrorKind::VersionMismatch => Err(error),
            Ok(Err(error)) => Err(agent.why_not(&error).await).failing(ErrorKind::StartFailed, doing),
            Err(late) => Err(late).failing(ErrorKind::StartFailed, doing),
        }
    }

    /// The channel to the agent.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Waits for the agent's end. May be dropped half-way, and called again.
    pub(super) async fn event(&mut self) -> MachineEvent {
        let status = self.process.exited().await;
        MachineEvent::Ended(words(&status))
    }

    /// Asks it to end, with everything that it has started, and ends it when that takes too long.
    pub(super) async fn power_off(&mut self, limit: Duration) -> Result<PowerOff> {
        let ended = async {
            let _ = self.connection.power_off().await; // its end is what tells
            self.process.exited().await
        };
        let why = match tokio::time::timeout(limit, ended).await {
            Ok(Ok(status)) if status.success() => return Ok(PowerOff::Clean),
            Ok(status) => words(&status),
            Err(_) => format!("the agent did not end within {} s", limit.as_secs_f32()),
        };
        self.process.kill().doing(|| "could not end the agent".into())?;
        Ok(PowerOff::Unclean(why))
    }

    /// Ends it, and everything that it has started, at once.
    pub(super) async fn kill(mut self) -> Result<()> {
        let _ = self.socket.shutdown(Shutdown::Both); // fails when it has hung up itself
        if tokio::time::timeout(END_LIMIT, self.process.exited()).await.is_err() {
            self.process.kill().doing(|| "could not end the agent".into())?;
        }
        Ok(())
    }

    /// Why there was no answer: that it has ended says more than that the connection is over.
    async fn why_not(&mut self, error: &Error) -> String {
        match tokio::time::timeout(Duration::from_secs(1), self.process.exited()).await {
            Ok(status) => words(&status),
            Err(_) => error.chain().join(": "),
        }
    }
}

/// Its standard error is our own: the supervisor's log.
fn spawn(folder: &Path, socket: UnixStream) -> io::Result<OwnedProcess> {
    let program = program()?;
    let arguments = ["host".into(), SOCKET.to_string(), folder.display().to_string()];
    let handed_over = vec![HandedOver { number: SOCKET, fd: socket.into() }];
    let stderr = io::stderr().as_fd().try_clone_to_owned()?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", program.as_raw_fd()));
    OwnedProcess::start(&path, &arguments, handed_over, None, stderr)
}

/// The agent as a file without a name, which nobody can change.
fn program() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let name = "pyro-host-agent";
    // Older kernels do not know that such a file may be told to be a program, and take every one for one.
    let file = memfd_create(name, flags | MemfdFlags::EXEC).or_else(|_| memfd_create(name, flags))?;
    let mut file = File::from(file);
    file.write_all(GUEST_AGENT)?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(fcntl_dupfd_cloexec(&file, PROGRAM_FROM)?)
}

fn words(status: &io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("the agent on this host ended ({status})"),
        Err(error) => format!("the agent on this host is lost: {error}"),
    }
}

#[cfg(test)]
mod tests;
