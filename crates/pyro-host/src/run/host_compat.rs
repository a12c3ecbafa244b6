//! The command on the host itself: only where the caller allowed it and no guest can be started.
//!
//! There is no isolation. The command gets a private, empty folder, which is deleted afterwards, an environment
//! of a handful of variables, and its process group is ended with it.

use super::{Limits, Printed, RunEvent, RunEvents, RunSpec};
use crate::conversation::{Outcome, Stdin};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::guest::ExecNotStarted;
use crate::limits::TIMEOUT_EXIT_CODE;
use crate::output::{Capture, OutputChannel};
use crate::state_dir::{DirLock, StateDir, make_private_dir};
use crate::vm::spawn::die_with_owner;
use pyro_protocol::exec::ExecFailure;
use rustix::process::{Pid, Signal, kill_process_group};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStdin, Command};

/// How long the end of the output may take to arrive once the command has ended.
const LAST_OUTPUT: Duration = Duration::from_millis(200);

/// Runs the command on the host. Gives back what came of it and what it printed.
pub(super) async fn run(
    state_dir: &StateDir,
    spec: &RunSpec,
    limits: Limits,
    stdin: Option<Stdin>,
    events: Option<&RunEvents>,
) -> Result<(Outcome, Printed)> {
    let timeout = limits.timeout.min(limits.ttl);
    let folder = PrivateFolder::make(state_dir)?;
    let mut group = Group::of(start(spec, timeout, folder.path(), stdin.is_some())?);
    let begun = Instant::now();
    let mut printed = Printed::new(spec.capture_bytes, None);
    let ended = {
        let child = &mut group.leader;
        let (from_stdout, from_stderr) = (child.stdout.take(), child.stderr.take());
        let mut feeding = std::pin::pin!(feed(stdin, child.stdin.take()));
        let outputs = async {
            tokio::join!(
                pass_on(from_stdout, OutputChannel::Stdout, &mut printed.stdout, events),
                pass_on(from_stderr, OutputChannel::Stderr, &mut printed.stderr, events),
            )
        };
        let mut outputs = std::pin::pin!(outputs);
        let (mut fed, mut read) = (false, false);
        let talk = async {
            loop {
                tokio::select! {
                    status = child.wait() => return status,
                    () = &mut feeding, if !fed => fed = true,
                    _ = &mut outputs, if !read => read = true,
                }
            }
        };
        let ended = tokio::time::timeout(timeout, talk).await;
        if !read {
            // What is in the pipes now belongs to the command; what its children print later does not.
            let _ = tokio::time::timeout(LAST_OUTPUT, outputs).await;
        }
        ended
    };
    let (exit_code, timed_out) = match ended {
        Ok(status) => {
            (shell_code(status.doing(|| "could not wait for the command on the host".into())?), false)
        }
        Err(_) => (TIMEOUT_EXIT_CODE, true),
    };
    Ok((Outcome { exit_code, timed_out, duration: begun.elapsed() }, printed))
}

fn start(spec: &RunSpec, timeout: Duration, folder: &Path, stdin: bool) -> Result<Child> {
    let exec = spec.command.to_exec(timeout, stdin);
    let mut command = Command::new(&exec.argv[0]);
    command.args(&exec.argv[1..]).current_dir(folder).env_clear();
    command.env("HOME", folder).env("LANG", "C.UTF-8").env("PATH", &exec.env["PATH"]);
    command
        .stdin(if stdin { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.process_group(0);
    die_with_owner(command.as_std_mut());
    command.spawn().map_err(|error| {
        let failure = match error.kind() {
            std::io::ErrorKind::NotFound => ExecFailure::NotFound,
            _ => ExecFailure::NotExecutable,
        };
        let message = format!("could not start `{}` on the host", exec.argv[0]);
        let source = ExecNotStarted { failure, message: error.to_string() };
        Error::new(ErrorKind::ExecNotStarted, message).with_source(source)
    })
}

async fn feed(stdin: Option<Stdin>, to: Option<ChildStdin>) {
    if let (Some(mut from), Some(mut to)) = (stdin, to) {
        // A command that does not read its input to the end is no failure.
        let _ = tokio::io::copy(&mut from, &mut to).await;
    }
}

async fn pass_on(
    from: Option<impl AsyncRead + Unpin>,
    channel: OutputChannel,
    capture: &mut Capture,
    events: Option<&RunEvents>,
) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; 32 * 1024];
    while let Ok(n_read @ 1..) = from.read(&mut buffer).await {
        capture.push(&buffer[..n_read]);
        if let Some(events) = events {
            let _ = events.send(RunEvent::Output(channel, buffer[..n_read].to_vec())).await;
        }
    }
}

fn shell_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

/// The empty folder of one command, locked while it is used and deleted with its content.
struct PrivateFolder {
    folder: tempfile::TempDir,
    _lock: DirLock,
}

impl PrivateFolder {
    /// Makes it, and deletes those that killed processes left.
    fn make(state_dir: &StateDir) -> Result<Self> {
        let parent = state_dir.host_compat();
        let doing = || format!("could not make a private folder in `{}`", parent.display());
        make_private_dir(&parent)?;
        for entry in std::fs::read_dir(&parent).doing(doing)?.flatten() {
            if let Some(_lock) = DirLock::try_now(&entry.path())? {
                std::fs::remove_dir_all(entry.path()).doing(doing)?;
            }
        }
        let folder = tempfile::Builder::new().prefix("pyro-host-compat-").tempdir_in(&parent).doing(doing)?;
        let lock = DirLock::wait(folder.path())?;
        Ok(Self { folder, _lock: lock })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A process group, killed when dropped: with the command goes all that it left behind.
struct Group {
    leader: Child,
    id: Option<Pid>,
}

impl Group {
    fn of(leader: Child) -> Self {
        let id = leader.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Self { leader, id }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.id {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
