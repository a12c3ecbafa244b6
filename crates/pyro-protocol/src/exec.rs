//! Running one command in the guest.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The command to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// The program and its arguments. A program without a slash is looked for in `PATH`.
    pub argv: Vec<String>,
    /// The whole environment of the command.
    pub env: BTreeMap<String, String>,
    /// The working directory, absolute in the guest.
    pub cwd: String,
    /// Milliseconds after which the guest ends the command's process group; `None` for no limit.
    pub timeout_ms: Option<u64>,
    /// Whether bytes for its standard input will follow; otherwise that is `/dev/null`. With a terminal they always may.
    pub stdin: bool,
    /// A terminal that the command controls as its session leader: its standard input, output and error. What it prints
    /// comes on the channel of standard output.
    pub terminal: Option<WindowSize>,
    /// Whether everything that it started ends with it, also what has left its process group.
    pub contained: bool,
}

/// How large a terminal is, in characters (`ioctl_tty(2)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

/// What the guest says of a command, on the command's stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// The exit code, where it exited by itself.
    pub code: Option<i32>,
    /// The signal that ended it, where one did.
    pub signal: Option<i32>,
    /// Whether the guest ended it for its time-out.
    pub timed_out: bool,
    /// Microseconds from its start to its end, by the guest's clock.
    pub elapsed_us: u64,
    /// Whether the guest killed it, or something that it had started, because that did not end by itself when it was asked
    /// to (`terminate`).
    pub killed: bool,
    /// How many processes a contained command left behind that did not end soon by themselves, which the guest has killed.
    /// None are counted of a command that was asked to end.
    pub left_behind: u32,
}

/// Why a command never ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecFailure {
    /// No such program, or no such working directory.
    NotFound,
    /// It is there and may not be executed, or is not a program.
    NotExecutable,
    /// The guest has no room for another process or its pipes.
    NoResources,
    /// The request itself is wrong.
    BadRequest,
}
