//! A QEMU process driven in the plainest way: socket pairs, blocking reads and writes. Killed and reaped when
//! dropped. Deliberately none of pyro's own code: this is what pyro is compared with.
#![allow(
    unsafe_code,
    reason = "asks the kernel, between fork and exec, that QEMU must not outlive the bench"
)]

use crate::Result;
use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Signal, set_parent_process_death_signal};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Numbers of the descriptors that QEMU inherits.
pub mod fd {
    /// QMP.
    pub const QMP: i32 = 3;
    /// The virtio-serial port.
    pub const PORT: i32 = 4;
    /// The root image.
    pub const ROOT: i32 = 5;
    /// The disk.
    pub const DISK: i32 = 6;
    /// The guest's memory.
    pub const MEMORY: i32 = 7;
    /// The kernel, for the boot.
    pub const KERNEL: i32 = 8;
    /// The initramfs, for the boot.
    pub const INITRAMFS: i32 = 9;
    /// The device state, for clones.
    pub const STATE: i32 = 10;
}

/// Longer than any answer takes, and shorter than a reader's patience.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running QEMU.
pub struct BareQemu {
    child: Child,
    qmp: BufReader<UnixStream>,
    port: BufReader<UnixStream>,
}

impl BareQemu {
    /// Starts it with these files under these numbers. `commands` are on its control channel and `request` is in
    /// its guest's port before it runs.
    pub fn start(
        program: &Path,
        arguments: &[String],
        files: Vec<(i32, File)>,
        commands: &[&str],
        request: &[u8],
    ) -> Result<Self> {
        let (mut qmp, qemu_qmp) = UnixStream::pair()?;
        let (mut port, qemu_port) = UnixStream::pair()?;
        qmp.write_all(commands.concat().as_bytes())?;
        port.write_all(request)?;
        let sockets = [(fd::QMP, OwnedFd::from(qemu_qmp)), (fd::PORT, OwnedFd::from(qemu_port))];
        let files = files.into_iter().map(|(number, file)| (number, OwnedFd::from(file)));
        let mappings =
            sockets.into_iter().chain(files).map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        // SAFETY: one system call, as code between fork and exec may make.
        unsafe { command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?)) };
        let child = command.fd_mappings(mappings.collect())?.spawn()?;
        for socket in [&qmp, &port] {
            socket.set_read_timeout(Some(PATIENCE))?;
        }
        Ok(Self { child, qmp: BufReader::new(qmp), port: BufReader::new(port) })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a command to QEMU.
    pub fn tell(&mut self, command: &str) -> Result<()> {
        Ok(self.qmp.get_mut().write_all(command.as_bytes())?)
    }

    /// Reads what QEMU says until a line has these words in it.
    pub fn wait_for(&mut self, words: &str) -> Result<()> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.qmp.read_line(&mut line)? == 0 {
                return Err("the bare QEMU ended by itself".into());
            }
            if line.contains("\"error\"") || line.contains("\"failed\"") {
                return Err(format!("the bare QEMU said: {}", line.trim_end()).into());
            }
            if line.contains(words) {
                return Ok(());
            }
        }
    }

    /// Sends a request to the guest.
    pub fn request(&mut self, request: &[u8]) -> Result<()> {
        Ok(self.port.get_mut().write_all(request)?)
    }

    /// Reads one line from the guest.
    pub fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.port.read_line(&mut line) {
            Ok(0) => Err("the floor's guest ended by itself".into()),
            Ok(_) => Ok(line),
            Err(error) => Err(format!("the floor's guest did not answer: {error}").into()),
        }
    }
}

impl Drop for BareQemu {
    fn drop(&mut self) {
        // Fails only where it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
