//! Files on their way into a workspace and out of it. The trees are read and written by threads that may block.

use super::Workspaces;
use super::path::{in_guest, in_workspace};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::execution_mode::ExecutionMode;
use crate::supervisor::{Operation, TreeCall, TreeOutput};
use crate::tree::{
    ArtifactType, PackError, Packed, ReadError, TreeSource, Unpacked, WorkspaceDiff, check_output, pack,
    read_diff, unpack,
};
use pyro_protocol::task::Task;
use serde::Serialize;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncProgress {
    /// Files, directories and links so far.
    pub entry_count: u64,
    /// Bytes of files so far.
    pub bytes: u64,
}

/// What a sync brought in.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SyncResult {
    /// The workspace.
    pub workspace_id: String,
    /// `directory` or `tar_archive`.
    pub mode: &'static str,
    /// What was brought in, on this host.
    pub source: String,
    /// Where it went, in the guest.
    pub destination: String,
    /// Files, directories and links.
    pub entry_count: u64,
    /// Bytes of files.
    pub bytes_written: u64,
    /// Where the workspace is.
    pub execution_mode: ExecutionMode,
}

/// What an export brought out.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExportResult {
    /// The workspace.
    pub workspace_id: String,
    /// What was brought out, in the guest.
    pub workspace_path: String,
    /// Where it is now, on this host.
    pub output_path: String,
    /// What it is.
    pub artifact_type: ArtifactType,
    /// Files, directories and links.
    pub entry_count: u64,
    /// Bytes of files.
    pub bytes_written: u64,
    /// Where the workspace is.
    pub execution_mode: ExecutionMode,
}

/// The largest text whose difference is shown; git's own limit is far higher, but nobody reads such a patch.
const MAX_TEXT_BYTES: u64 = 2 * 1024 * 1024;

/// Of a stream that is none, so many more bytes are read for the failure that may stand behind them.
const LEFT_OVER: u64 = 4 * 1024 * 1024;

/// Progress is told this often at most.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Where an import goes.
pub(super) struct Target<'a> {
    pub(super) socket: &'a Path,
    pub(super) task: Task,
    /// The place in the guest, for links that may lead to it.
    pub(super) destination: String,
    /// The size of the guest's disk.
    pub(super) limit_bytes: u64,
}

impl Workspaces {
    /// Brings a directory or an archive of this host into a workspace: all of it, or nothing.
    ///
    /// # Errors
    /// `not_found` for the source, `invalid_argument` and `unsafe_path` for what is refused in it, `already_exists` for
    /// a directory in the way, `disk_full`, `wrong_state` when the workspace is not started.
    pub async fn sync(
        &self,
        id: &str,
        source: &Path,
        destination: &str,
        progress: Option<impl Fn(SyncProgress) + Send + 'static>,
    ) -> Result<SyncResult> {
        let relative = in_workspace(destination)?;
        let socket = self.control.socket(id)?;
        let record = self.control.instances().find(id)?.record;
        let source = TreeSource::open(source)?;
        let (mode, shown) = (source.mode(), absolute(source.path()));
        let target = Target {
            socket: &socket,
            destination: in_guest(&relative),
            task: Task::Sync { destination: relative.clone() },
            limit_bytes: record.vm.disk.size_mib() * 1024 * 1024,
        };
        let Packed { entry_count, bytes_written } = import(target, source, progress).await?;
        Ok(SyncResult {
            workspace_id: id.to_owned(),
            mode,
            source: shown,
            destination: in_guest(&relative),
            entry_count,
            bytes_written,
            execution_mode: record.execution_mode,
        })
    }

    /// Brings a file, a directory or a link out of a workspace. `output` appears in one step, or not at all.
    ///
    /// # Errors
    /// `not_found`, `already_exists` for the output unless `force` allows to replace it, `unsafe_path`, `disk_full`,
    /// `wrong_state` when the workspace is not started.
    pub async fn export(&self, id: &str, path: &str, output: &Path, force: bool) -> Result<ExportResult> {
        let relative = in_workspace(path)?;
        check_output(output, force)?;
        let socket = self.control.socket(id)?;
        let record = self.control.instances().find(id)?.record;
        let limit_bytes = record.vm.disk.size_mib() * 1024 * 1024;
        let to = output.to_owned();
        let read = move |from: &mut TreeOutput| unpack(from, &to, force, limit_bytes);
        let task = Task::Export { path: relative.clone() };
        let Unpacked { artifact_type, entry_count, bytes_written, .. } = receive(&socket, task, read).await?;
        Ok(ExportResult {
            workspace_id: id.to_owned(),
            workspace_path: in_guest(&relative),
            output_path: absolute(output),
            artifact_type,
            entry_count,
            bytes_written,
            execution_mode: record.execution_mode,
        })
    }

    /// Compares a workspace with its baseline.
    ///
    /// # Errors
    /// `not_found`, `wrong_state` when the workspace is not started.
    pub async fn diff(&self, id: &str) -> Result<WorkspaceDiff> {
        let socket = self.control.socket(id)?;
        let task = Task::Diff { max_text_bytes: MAX_TEXT_BYTES };
        receive(&socket, task, |from| read_diff(from, MAX_TEXT_BYTES)).await
    }
}

/// A path of this host as it is told: whoever reads it later may be elsewhere.
pub(super) fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
}

/// Packs a source and sends it to the guest. Dropped, it gives up, and the guest throws away what it has got.
pub(super) async fn import(
    target: Target<'_>,
    source: TreeSource,
    progress: Option<impl Fn(SyncProgress) + Send + 'static>,
) -> Result<Packed> {
    let Target { socket, task, destination, limit_bytes } = target;
    let socket = socket.to_owned();
    blocking(socket, task, move |mut call| {
        let mut told = Instant::now();
        let mut tell = |entry_count, bytes| {
            if let Some(progress) = &progress
                && told.elapsed() >= PROGRESS_EVERY
            {
                told = Instant::now();
                progress(SyncProgress { entry_count, bytes });
            }
        };
        match pack(source, &destination, limit_bytes, call.writer(), &mut tell) {
            Ok(packed) => {
                call.end_input();
                call.done().map(|()| packed)
            }
            Err(PackError::Source(error)) => Err(error),
            // The guest has stopped to read: it says why.
            Err(sink @ PackError::Sink(_)) => match call.done() {
                Err(reason) => Err(reason),
                Ok(()) => Err(sink.into()),
            },
        }
    })
    .await
}

/// Has the guest send something, and reads it.
async fn receive<T: Send + 'static>(
    socket: &Path,
    task: Task,
    read: impl FnOnce(&mut TreeOutput) -> std::result::Result<T, ReadError> + Send + 'static,
) -> Result<T> {
    blocking(socket.to_owned(), task, move |mut call| {
        call.end_input();
        let mut from = call.reader();
        match read(&mut from) {
            // A guest that fails after it has sent everything has not sent everything.
            Ok(value) if is_at_end(&mut from, 0) => from.failure().map(|()| value),
            Ok(_) => Err(Error::new(ErrorKind::GuestUnreachable, "the guest sent more than the tree")),
            Err(ReadError::Refused(error)) => Err(error),
            Err(broken @ ReadError::Stream(_)) if is_at_end(&mut from, LEFT_OVER) => match from.failure() {
                Err(reason) => Err(reason),
                Ok(()) => Err(broken.into()),
            },
            Err(broken @ ReadError::Stream(_)) => Err(broken.into()),
        }
    })
    .await
}

/// Whether nothing more comes, after up to `most` bytes that nobody wants.
fn is_at_end(from: &mut impl Read, most: u64) -> bool {
    let skipped = io::copy(&mut from.by_ref().take(most), &mut io::sink());
    // A broken stream is at its end too: it says why.
    skipped.is_err() || !matches!(from.read(&mut [0]), Ok(1..))
}

/// Runs a call on a thread of its own. Dropped half-way, it cuts the connection, which ends the thread.
async fn blocking<T: Send + 'static>(
    socket: PathBuf,
    task: Task,
    work: impl FnOnce(TreeCall) -> Result<T> + Send + 'static,
) -> Result<T> {
    let call = TreeCall::start(&socket, Operation::Task(task))?;
    let _canceller = call.canceller()?;
    let gone = || "the thread that moves files is gone".to_owned();
    tokio::task::spawn_blocking(move || work(call))
        .await
        .failing(ErrorKind::Internal, gone)?
        .map_err(hint_state)
}

/// A connection that broke in the middle is most often a workspace that ended.
fn hint_state(error: Error) -> Error {
    match error.kind() {
        ErrorKind::GuestUnreachable if error.hint().is_none() => {
            error.with_hint("`pyro workspace status ID` tells what became of the workspace")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_sends_for_ever_is_not_listened_to_for_ever() {
        assert!(is_at_end(&mut &b""[..], 0));
        assert!(!is_at_end(&mut &b"a"[..], 0));
        assert!(is_at_end(&mut &b"abc"[..], 3));
        assert!(!is_at_end(&mut &b"abcd"[..], 3));
        assert!(!is_at_end(&mut io::repeat(0), LEFT_OVER));
    }
}
