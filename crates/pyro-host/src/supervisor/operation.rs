//! What a client may want of a supervisor.

use crate::command::Command;
use crate::instance::SeedRecord;
use crate::network::PolicyChange;
use crate::publish::PublishSpec;
use crate::service::{ServiceName, ServiceSpec};
use crate::shell::{ShellId, ShellSignal, ShellSpec};
use pyro_protocol::exec::WindowSize;
use pyro_protocol::task::Task;
use serde::{Deserialize, Serialize};

/// What a client may want.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Run a command. Done with a history entry.
    Exec(ExecRequest),
    /// Work on the files of the workspace. Done with nothing.
    Task(Task),
    /// The creator has seeded the workspace: make it what it is to be.
    Seeded(SeedRecord),
    /// Turn the machine off and keep its files.
    Stop,
    /// End the machine and delete everything.
    Delete,
    /// Tell whenever something changes.
    Follow(Topic),
    /// Tell how the network is. Done with a [`NetworkInfo`](crate::network::NetworkInfo).
    Network,
    /// Change whom the guest may talk to. Done with a [`NetworkInfo`](crate::network::NetworkInfo).
    NetworkChange(PolicyChange),
    /// Publish a port of the guest. Done with a [`PublishSpec`] that names the port of the host.
    Publish(PublishSpec),
    /// Take back a port of the host that is published. Done with its [`PublishSpec`].
    Unpublish(u16),
    /// Start a service and wait until it is ready. Done with its record.
    ServiceStart(ServiceSpec),
    /// Stop a service. Done with its record.
    ServiceStop(ServiceName),
    /// Open a shell. Done with its record.
    ShellOpen(ShellSpec),
    /// Write the standard input that follows to a shell. Done with nothing.
    ShellWrite(ShellId),
    /// Send a signal to what runs in the foreground of a shell. Done with its record.
    ShellSignal(ShellId, ShellSignal),
    /// Set the size of a shell's terminal. Done with its record.
    ShellResize(ShellId, WindowSize),
    /// Wait until a shell has something to be read. Done with a [`Waited`].
    ShellWait(ShellId, ShellWait),
    /// End a shell. Done with its record.
    ShellClose(ShellId),
    /// Tell whenever a shell shows something, and pass on what its user types and how large the user's terminal is
    /// (a [`WindowSize`] as a message). Done when the shell has ended.
    ShellAttach(ShellId),
}

/// What may change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// The history.
    History,
    /// The record of a service, and what it prints.
    Service(ServiceName),
    /// The record of a shell, and what it shows.
    Shell(ShellId),
}

/// How long to wait for a shell. It is over at the first of these, and when the shell ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShellWait {
    /// Nothing was shown, typed or signalled for so many milliseconds.
    pub idle_ms: u64,
    /// What it has shown goes up to this position.
    pub position: u64,
    /// So many milliseconds have gone by.
    pub limit_ms: u64,
}

/// What a wait came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Waited {
    /// Whether the shell was quiet long enough, or has ended.
    pub idle: bool,
}

/// A command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExecRequest {
    /// What to run.
    pub command: Command,
    /// After how many seconds it is ended.
    pub timeout_seconds: u64,
    /// Whether the client sends standard input.
    pub stdin: bool,
    /// Whether everything is deleted afterwards, whatever came of the command and of the client.
    pub then_delete: bool,
}
