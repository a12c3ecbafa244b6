//! Workspaces: machines that stay, with files to work on.

use super::vm::{Machine, denials_for_model, timeout_seconds};
use crate::call::{Call, listening};
use crate::cut::{LIMIT, cut, cut_all, cut_list};
use crate::printed::{Piece, Printed, Shown};
use crate::tool::{Effect, Told, Tool};
use pyro_host::command::{Command, WORKSPACE_PATH};
use pyro_host::error::{Error, Result};
use pyro_host::output::OutputChannel;
use pyro_host::tree::WorkspaceDiff;
use pyro_host::workspace::{
    DeletedWorkspace, ExecResult, ExecSpec, ExportResult, LogEvent, Logs, SyncResult, WorkspaceEvent,
    WorkspaceSpec, WorkspaceStatus,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

pub(super) fn tools() -> Vec<Tool> {
    let mut tools = vec![Tool::new(CREATE, workspace_create), Tool::new(SYNC_PUSH, workspace_sync_push)];
    tools.extend([Tool::new(EXEC, workspace_exec), Tool::new(EXPORT, workspace_export)]);
    tools.extend([Tool::new(DIFF, workspace_diff), Tool::new(STATUS, workspace_status)]);
    tools.extend([Tool::new(LOGS, workspace_logs), Tool::new(DELETE, workspace_delete)]);
    tools
}

const CREATE: Told = Told {
    name: "workspace_create",
    effect: Effect::Adds,
    description: "Create and start a workspace: a Linux machine that stays, with files in /workspace. Use it for several \
                  commands on the same files. With seed_path, /workspace is filled with a copy of a directory or archive \
                  of this computer first. Returns workspace_id, which all other workspace, service and shell tools need. \
                  It is deleted with all its files after ttl_seconds (default 600): give more for longer work. Next: \
                  workspace_exec.",
};

const SYNC_PUSH: Told = Told {
    name: "workspace_sync_push",
    effect: Effect::Changes,
    description: "Copy a directory or an archive (.tar, .tar.gz, .tgz, .tar.zst) of this computer into a workspace, over \
                  what is there: all of it or, on any failure, nothing.",
};

const EXEC: Told = Told {
    name: "workspace_exec",
    effect: Effect::Changes,
    description: "Run a command in /workspace of a workspace and wait for its end. Returns stdout, stderr and exit_code; \
                  an exit code other than 0 is a normal result. Files stay for the next call, the shell's variables and \
                  directory do not. For a process that is to stay use service_start; for a program that asks questions \
                  use shell_open.",
};

const EXPORT: Told = Told {
    name: "workspace_export",
    effect: Effect::Adds,
    description: "Copy one file, directory or link of a workspace to this computer. An output_path that exists is an \
                  error.",
};

const DIFF: Told = Told {
    name: "workspace_diff",
    effect: Effect::Reads,
    description: "Compare /workspace with its baseline, which is how it was right after workspace_create. Returns the \
                  changed paths and a patch for `git apply`.",
};

const STATUS: Told = Told {
    name: "workspace_status",
    effect: Effect::Reads,
    description: "Tell how a workspace is: its state, when it expires, its last command, how many services run.",
};

const LOGS: Told = Told {
    name: "workspace_logs",
    effect: Effect::Reads,
    description: "Show the commands that were run in a workspace, with exit codes and the beginning of their output; with \
sequence one of them, with both ends of its output, or from offset on.",
};

const DELETE: Told = Told {
    name: "workspace_delete",
    effect: Effect::Changes,
    description: "Delete a workspace with all its files, services and shells. Export first what is to be kept.",
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    #[serde(flatten)]
    machine: Machine,
    /// An absolute path on this computer: a directory or an archive to fill /workspace with.
    seed_path: Option<PathBuf>,
}

async fn workspace_create(call: Call, create: Create) -> Result<WorkspaceStatus> {
    let spec = WorkspaceSpec { machine: create.machine.into_persistent(&call)?, seed_path: create.seed_path };
    let (events, told) = mpsc::channel(8);
    let (pyro, progress) = (call.pyro, call.progress);
    let source = spec.seed_path.clone();
    let creating = async move { pyro.create_workspace(&spec, Some(&events)).await };
    let created = listening(creating, told, |event: WorkspaceEvent| progress.workspace(&event)).await;
    created.map_err(|error| match source {
        Some(path) => if_relative("seed_path", &path, path.exists(), error),
        None => error,
    })
}

/// Says of a path of this computer that led nowhere what it was relative to: a model does not know where the server is.
fn if_relative(parameter: &str, path: &Path, is_there: bool, error: Error) -> Error {
    let is_about_it = error.chain().iter().any(|words| words.contains(&*path.to_string_lossy()));
    if path.is_absolute() || is_there || !is_about_it {
        return error;
    }
    let from = std::env::current_dir().unwrap_or_default();
    error.with_hint(format!("{parameter} was looked for in `{}`: give an absolute path", from.display()))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SyncPush {
    /// From workspace_create.
    workspace_id: String,
    /// An absolute path on this computer: a directory or an archive.
    source_path: PathBuf,
    /// The directory to copy into: /workspace, or below it.
    #[serde(default = "workspace_path")]
    dest: String,
}

pub(super) fn workspace_path() -> String {
    WORKSPACE_PATH.into()
}

async fn workspace_sync_push(call: Call, push: SyncPush) -> Result<SyncResult> {
    let progress = call.progress;
    let told = move |files| progress.files(files);
    let source = &push.source_path;
    let pushed = call.pyro.push_workspace_sync(&push.workspace_id, source, &push.dest, Some(told)).await;
    pushed.map_err(|error| if_relative("source_path", source, source.exists(), error))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Exec {
    /// From workspace_create.
    workspace_id: String,
    /// A line for the workspace's shell, or a list of a program and its arguments.
    command: Command,
    /// Seconds after which the command is ended. Give more for builds and tests.
    #[serde(default = "timeout_seconds")]
    timeout_seconds: u64,
}

async fn workspace_exec(call: Call, exec: Exec) -> Result<ExecResult> {
    let spec = ExecSpec { command: exec.command, timeout_seconds: exec.timeout_seconds, capture_bytes: 0 };
    let mut printed = Printed::default();
    let (events, told) = mpsc::channel(8);
    let running = call.pyro.exec_workspace(&exec.workspace_id, &spec, None, Some(events));
    let take = |(channel, bytes): (_, Vec<u8>)| call.take(&mut printed, channel, &bytes);
    let result = listening(running, told, take).await?;
    let Shown { stdout, stderr, truncated } = printed.show(&rest_of(result.sequence));
    let network_denials = denials_for_model(result.network_denials);
    Ok(ExecResult { stdout, stderr, truncated, network_denials, ..result })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Export {
    /// From workspace_create.
    workspace_id: String,
    /// What to copy: a path below /workspace.
    path: String,
    /// An absolute path on this computer, which must not exist yet.
    output_path: PathBuf,
}

async fn workspace_export(call: Call, export: Export) -> Result<ExportResult> {
    let output: &Path = &export.output_path;
    let exported = call.pyro.export_workspace(&export.workspace_id, &export.path, output, false).await;
    let is_there = output.parent().is_some_and(|folder| folder == Path::new("") || folder.exists());
    exported.map_err(|error| if_relative("output_path", output, is_there, error))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Workspace {
    /// From workspace_create.
    pub workspace_id: String,
}

/// A list whose middle is left out says so beside it.
#[derive(Debug, Serialize, JsonSchema)]
struct Listed<T> {
    #[serde(flatten)]
    result: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl<T> Listed<T> {
    fn new(result: T, n_left_out: usize, rest: &str) -> Self {
        let note = || format!("{n_left_out} entries in the middle of the list are left out: {rest}");
        Self { result, note: (n_left_out > 0).then(note) }
    }
}

async fn workspace_diff(call: Call, of: Workspace) -> Result<Listed<WorkspaceDiff>> {
    const REST: &str =
        "look at the changed files with workspace_exec, or bring them out with workspace_export";
    let mut diff = call.pyro.diff_workspace(&of.workspace_id).await?;
    let n_left_out = cut_list(&mut diff.entries);
    let mut patches: Vec<&mut String> =
        diff.entries.iter_mut().filter_map(|entry| entry.text_patch.as_mut()).collect();
    // The patch has them all once more, and matters more. Each says itself that it was cut.
    let _ = cut_all(&mut patches, LIMIT / 3, REST);
    diff.patch = cut(diff.patch, LIMIT - LIMIT / 3, REST);
    Ok(Listed::new(diff, n_left_out, "summary counts all of them"))
}

async fn workspace_status(call: Call, of: Workspace) -> Result<WorkspaceStatus> {
    call.pyro.status_workspace(&of.workspace_id)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LogsOf {
    /// From workspace_create.
    workspace_id: String,
    /// Show only the command of this number.
    sequence: Option<u64>,
    /// With sequence: show its outputs from this byte on.
    offset: Option<u64>,
}

async fn workspace_logs(call: Call, of: LogsOf) -> Result<Listed<Logs>> {
    let mut logs = call.pyro.logs_workspace(&of.workspace_id, of.sequence)?;
    if let (Some(sequence), [entry]) = (of.sequence, &mut logs.entries[..]) {
        let rest = rest_of(sequence);
        let shown = match of.offset {
            Some(offset) => {
                let mut piece = Piece::at(offset);
                read(&call, &of, |channel, bytes| piece.push(channel, bytes)).await?;
                piece.show(&rest)
            }
            None => {
                let mut printed = Printed::default();
                read(&call, &of, |channel, bytes| printed.push(channel, bytes)).await?;
                printed.show(&rest)
            }
        };
        (entry.stdout, entry.stderr, entry.truncated) = (shown.stdout, shown.stderr, shown.truncated);
        return Ok(Listed::new(logs, 0, ""));
    }
    if of.offset.is_some() {
        return Err(Error::invalid("offset is without sequence").with_hint("say of which command: sequence"));
    }
    let n_left_out = cut_list(&mut logs.entries);
    let mut outputs: Vec<&mut String> =
        logs.entries.iter_mut().flat_map(|entry| [&mut entry.stdout, &mut entry.stderr]).collect();
    let cut = cut_all(&mut outputs, LIMIT, "give its sequence");
    for (entry, cut) in logs.entries.iter_mut().zip(cut.chunks(2)) {
        entry.truncated |= cut.contains(&true);
    }
    Ok(Listed::new(logs, n_left_out, "give a sequence to see one of them"))
}

/// How to get what is left out of the output of a command: all of it is kept.
fn rest_of(sequence: u64) -> String {
    format!("workspace_logs with sequence={sequence} and that byte as offset shows more of it")
}

/// Reads the outputs of one command from their beginning to their end.
async fn read(call: &Call, of: &LogsOf, mut take: impl FnMut(OutputChannel, &[u8])) -> Result<()> {
    let (events, told) = mpsc::channel(8);
    let telling = call.pyro.tell_logs_workspace(&of.workspace_id, of.sequence, false, events);
    let take = |event| {
        if let LogEvent::Output { channel, bytes, .. } = event {
            take(channel, &bytes);
        }
    };
    listening(telling, told, take).await
}

async fn workspace_delete(call: Call, of: Workspace) -> Result<DeletedWorkspace> {
    call.pyro.delete_workspace(&of.workspace_id).await
}
