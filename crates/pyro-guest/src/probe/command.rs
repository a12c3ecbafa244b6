//! Whether a line for the shell exits with 0.

use super::words;
use crate::sys;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc::SIGKILL;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a command may take.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// As much of its output is kept: more than an answer takes.
const KEPT_BYTES: usize = 4096;

/// Runs the line to its end, and ends what it leaves in its process group. An error is the answer of a service that is
/// not ready.
pub(super) fn run(line: &str, cwd: &str, limit: Duration) -> Result<(), String> {
    let not_run = |error: std::io::Error| format!("could not run /bin/sh in {cwd}: {}", words(&error));
    let (output, theirs) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| not_run(errno.into()))?;
    let copy = theirs.try_clone().map_err(not_run)?;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).current_dir(cwd).process_group(0);
    command.stdin(Stdio::null()).stdout(theirs).stderr(copy);
    let child = command.spawn().map_err(not_run)?;
    drop(command); // with our copies of its end of the pipe
    let mut running = Running { child, output: output.into(), tail: VecDeque::new() };
    let ended = running.wait(Instant::now() + limit);
    // Before the child is reaped, so that the number is still that of its group.
    let _ = sys::signal_group(running.child.id().cast_signed(), SIGKILL);
    let status = running.child.wait().map_err(not_run)?;
    match ended {
        Ok(true) => running.judge(status),
        Ok(false) => Err(format!("did not end within {} s", limit.as_secs())),
        Err(errno) => Err(not_run(errno.into())),
    }
}

/// A command under way, and the last that it printed.
struct Running {
    child: Child,
    output: File,
    tail: VecDeque<u8>,
}

impl Running {
    /// Reads until it has ended: others may hold the pipe for longer. Gives whether it has ended in time.
    fn wait(&mut self, deadline: Instant) -> nix::Result<bool> {
        fcntl(&self.output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let process = sys::pidfd_open(self.child.id().cast_signed())?;
        let mut is_open = true;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (has_ended, has_output) = wait_for(&process, is_open.then_some(&self.output), left)?;
            if has_output || has_ended {
                is_open = self.read();
            }
            if has_ended || left.is_zero() {
                return Ok(has_ended);
            }
        }
    }

    /// Takes what is there. Gives whether more may come.
    fn read(&mut self) -> bool {
        let mut piece = [0; KEPT_BYTES];
        // Who prints without an end must not keep us from looking at the time.
        for _ in 0..16 {
            match self.output.read(&mut piece) {
                Ok(0) => return false,
                Ok(n_bytes) => self.tail.extend(&piece[..n_bytes]),
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
            let too_many = self.tail.len().saturating_sub(KEPT_BYTES);
            self.tail.drain(..too_many);
        }
        true
    }

    fn judge(&mut self, status: ExitStatus) -> Result<(), String> {
        if status.success() {
            return Ok(());
        }
        let what = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, signal) => format!("ended by signal {}", signal.unwrap_or_default()),
        };
        match last_line(self.tail.make_contiguous()) {
            Some(line) => Err(format!("{what}: {line}")),
            None => Err(what),
        }
    }
}

/// Waits until the process has ended or there is output, but no longer than that. Gives which.
fn wait_for(process: &OwnedFd, output: Option<&File>, patience: Duration) -> nix::Result<(bool, bool)> {
    let watched = |fd| PollFd::new(fd, PollFlags::POLLIN);
    let mut both = [watched(process.as_fd()), watched(output.map_or(process.as_fd(), AsFd::as_fd))];
    let milliseconds = u16::try_from(patience.as_millis() + 1).unwrap_or(u16::MAX);
    match poll(&mut both, PollTimeout::from(milliseconds)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno),
    }
    let [ended, output] = both.map(|fd| fd.any().unwrap_or(false));
    Ok((ended, output))
}

/// The last line that says something.
fn last_line(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
}
