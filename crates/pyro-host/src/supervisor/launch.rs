//! The caller's side of a supervisor's start.

use super::detach::{SupervisorDescriptors, spawn_detached};
use crate::error::{Context, Error, ErrorKind, ErrorReport, Result};
use crate::instance::{Instance, OwnedInstance};
use crate::state_dir::StateDir;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// What a supervisor is told by whoever starts it: one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) state_dir: StateDir,
    pub(super) instance: Instance,
    /// Whether it is being created: then it lives only if its creator seeds it.
    pub(super) creating: bool,
}

/// What a supervisor tells whoever started it: one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum News {
    /// The machine takes commands.
    Ready {
        /// Where the supervisor listens.
        socket: PathBuf,
        /// Why it is on the host, where a machine was wanted and tried.
        host_compat: Option<String>,
    },
    /// There will be no machine.
    Failed(ErrorReport),
}

/// The longest line of news.
const MAX_NEWS: u64 = 256 * 1024;

/// The end of a log that an error carries.
const LOG_TAIL: u64 = 2000;

/// A supervisor whose machine takes commands. Dropped, it tells a supervisor that is still being seeded that its creator
/// is gone; to others it means nothing.
#[derive(Debug)]
pub struct Launched {
    /// Where the supervisor listens.
    pub socket: PathBuf,
    /// Why it is on the host, where a machine was tried and could not be started.
    pub host_compat: Option<String>,
    _lifeline: UnixStream,
}

/// Starts a supervisor for an instance that the caller owns, and waits until its machine takes commands. The lock goes
/// to the supervisor without a moment in between.
///
/// # Errors
/// What the supervisor says, or the end of its log when it ends without a word.
pub async fn launch(
    executable: &Path,
    state_dir: &StateDir,
    owned: OwnedInstance,
    creating: bool,
) -> Result<Launched> {
    let OwnedInstance { instance, lock } = owned;
    let doing = || format!("could not start the supervisor of `{}`", instance.id);
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().doing(doing)?;
    ours.set_nonblocking(true).doing(doing)?;
    let mut lifeline = UnixStream::from_std(ours).doing(doing)?;
    let descriptors = SupervisorDescriptors { lifeline: theirs.into(), lock: lock.into_descriptor() };
    let command = command(executable, &instance, &descriptors)?;
    spawn_detached(command, &descriptors).doing(doing).map_err(|error| {
        error.with_hint(format!(
            "`{}` must be the executable `pyro`; PYRO_EXECUTABLE names it",
            executable.display()
        ))
    })?;
    drop(descriptors);
    let order = Order { state_dir: state_dir.clone(), instance: instance.clone(), creating };
    let mut line = serde_json::to_vec(&order).failing(ErrorKind::Internal, doing)?;
    line.push(b'\n');
    // A supervisor that is gone already is told by what comes next.
    let _ = lifeline.write_all(&line).await;
    let mut reader = BufReader::new(lifeline);
    let mut news = Vec::new();
    (&mut reader).take(MAX_NEWS).read_until(b'\n', &mut news).await.doing(doing)?;
    match serde_json::from_slice(&news) {
        Ok(News::Ready { socket, host_compat }) => {
            Ok(Launched { socket, host_compat, _lifeline: reader.into_inner() })
        }
        Ok(News::Failed(report)) => Err(report.into()),
        Err(_) => Err(without_a_word(&instance)),
    }
}

fn command(executable: &Path, instance: &Instance, descriptors: &SupervisorDescriptors) -> Result<Command> {
    use std::os::fd::AsRawFd;
    let log = instance.log();
    let options = File::options().create(true).append(true).mode(0o600).open(&log);
    let log = options.doing(|| format!("could not open the log `{}`", log.display()))?;
    let mut command = Command::new(executable);
    command
        .arg0("pyro")
        .arg("supervise")
        .arg(descriptors.lifeline.as_raw_fd().to_string())
        .arg(descriptors.lock.as_raw_fd().to_string())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    Ok(command)
}

fn without_a_word(instance: &Instance) -> Error {
    let message = format!("the supervisor of `{}` ended before its machine was ready", instance.id);
    let error = Error::new(ErrorKind::StartFailed, message)
        .with_hint("try again; `pyro doctor --boot` says what is wrong with this host");
    match log_tail(&instance.log()) {
        Some(tail) if !tail.is_empty() => error.with_source(tail),
        _ => error.with_source("it left no word; something killed it"),
    }
}

fn log_tail(path: &Path) -> Option<String> {
    let mut log = File::open(path).ok()?;
    let length = log.metadata().ok()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL))).ok()?;
    let mut tail = Vec::new();
    log.take(LOG_TAIL).read_to_end(&mut tail).ok()?;
    Some(crate::output::text_of(tail).trim().to_owned())
}
