//! The agent's own work on the files of a workspace: seed, sync, export, diff.
//!
//! Each task is a process of its own, this same program started as `pyro-guest task <hex> [<folder>]`, so that the event loop
//! never waits for a disk. It runs in the agent's mount namespace, where commands do not see it, and everything that a
//! command does to the workspace meanwhile is met with open directories instead of paths.
//!
//! What is in memory at a time are the names of the directories on the way to one entry, never a whole tree.

mod apply;
mod check;
mod content;
mod diff;
mod directory;
mod export;
mod failure;
mod flush;
mod import;
mod open;
pub(crate) mod place;
mod stuck;
mod sync;

#[cfg(test)]
mod killed;
#[cfg(test)]
mod tests;

use crate::hex;
use failure::{At, Result, failure};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use place::{Place, checked};
use pyro_protocol::message;
use pyro_protocol::task::{MAX_TASK_FAILURE, Task, TaskFailure, TaskFailureKind};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

/// The first argument of a process that is to do a task.
pub const ARGUMENT: &str = "task";

/// The first argument of a process that is to open a workspace in a folder of the host.
pub const OPEN_ARGUMENT: &str = "open";

const BUFFER_BYTES: usize = 64 * 1024;

/// The words that start a task's process. `folder` is that of a workspace on the host.
///
/// # Errors
/// When the task is too long for a message.
pub(crate) fn arguments(
    task: &Task,
    folder: Option<&str>,
) -> std::result::Result<Vec<String>, message::MessageError> {
    let mut words = vec!["pyro-guest".into(), ARGUMENT.into(), hex::encode(&message::encode(task)?)];
    words.extend(folder.map(str::to_owned));
    Ok(words)
}

/// The words that start the process that opens the workspace in a folder of the host.
pub(crate) fn open_arguments(folder: &str) -> Vec<String> {
    vec!["pyro-guest".into(), OPEN_ARGUMENT.into(), folder.into()]
}

/// Does a task as the only work of this process: takes a tree from standard input or gives one on standard output, and
/// says on standard error why it failed, or what to warn of though it did not.
pub fn work(hex: &str, folder: Option<&str>) -> ExitCode {
    let place = folder.map_or_else(Place::of_machine, |folder| Place::Folder(folder.into()));
    exit_code(parsed(hex).and_then(|task| run(&task, &place)))
}

/// Opens the workspace in a folder of the host as the only work of this process. Ends as [`work`] does.
pub fn open_folder(folder: &str) -> ExitCode {
    let prepared = prepare_process().at(b"", "could not prepare the process");
    exit_code(prepared.and_then(|()| open::open(std::path::Path::new(folder))).map(|()| None))
}

/// Tells the failure, or the warning.
fn exit_code(done: Result<Option<TaskFailure>>) -> ExitCode {
    let (told, code) = match done {
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some(warning)) => (warning, ExitCode::SUCCESS),
        Err(failure) => (failure, ExitCode::FAILURE),
    };
    let bytes = message::encode(&told).ok().filter(|bytes| bytes.len() <= MAX_TASK_FAILURE);
    let _ = io::stderr().write_all(&bytes.unwrap_or_default()); // there is nobody else to tell
    code
}

fn parsed(hex: &str) -> Result<Task> {
    let wrong = |what: &str| failure(TaskFailureKind::Malformed, b"", format!("the task is {what}"));
    message::decode(&hex::decode(hex).ok_or_else(|| wrong("not hexadecimal"))?)
        .map_err(|error| wrong(&format!("none: {error}")))
}

/// Gives what there is to warn of.
fn run(task: &Task, place: &Place) -> Result<Option<TaskFailure>> {
    prepare_process().at(b"", "could not prepare the process")?;
    let doing = "could not take the input and the output";
    let file = |fd: io::Result<std::os::fd::OwnedFd>| fd.map(File::from).at(b"", doing);
    let input = file(io::stdin().as_fd().try_clone_to_owned())?;
    let output = file(io::stdout().as_fd().try_clone_to_owned())?;
    let input = BufReader::with_capacity(BUFFER_BYTES, input);
    let output = BufWriter::with_capacity(BUFFER_BYTES, output);
    run_in(task, place, input, output)
}

/// Lets modes be exactly what is asked for, and as many directories be open as a path has names.
fn prepare_process() -> nix::Result<()> {
    umask(Mode::empty());
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)
}

fn run_in(task: &Task, place: &Place, input: impl Read, output: impl Write) -> Result<Option<TaskFailure>> {
    let done = match task {
        Task::Sync { destination } => return sync::sync(input, destination, place),
        Task::Recover => return sync::recover(place),
        Task::Seed { destination } => seed(input, destination, place),
        Task::Export { path } => export::export(path, place, output),
        Task::Diff { max_text_bytes } => diff::diff(*max_text_bytes, place, output),
        Task::Flush => flush::flush(place),
    };
    done.map(|()| None)
}

/// Reads a tree into what becomes the workspace, and its baseline, when it is opened.
fn seed(from: impl Read, destination: &str, place: &Place) -> Result<()> {
    let path = checked(destination)?;
    if place.is_open() {
        return Err(failure(TaskFailureKind::Io, b"", "the workspace is open already"));
    }
    let mut directory = place.make_seeded()?;
    for name in place::names(path) {
        directory = directory.make_or_open(name, 0o755).map_err(|errno| not_a_directory(errno, path))?;
    }
    import::import(from, &directory, path, place.modes())?;
    nix::unistd::syncfs(&directory).at(b"", "could not write to the disk")
}

fn not_a_directory(errno: Errno, path: &[u8]) -> TaskFailure {
    match errno {
        Errno::ENOTDIR | Errno::ELOOP => failure(
            TaskFailureKind::InTheWay,
            path,
            "the destination leads through something that is no directory",
        ),
        errno => failure::refused(errno, path, "could not make the destination"),
    }
}
