//! `pyro workspace shell`: one file per command.

mod attach;
mod close;
mod detach_keys;
mod list;
mod open;
mod read;
mod resize;
mod signal;
mod summary;
mod terminal;
mod write;

use crate::exit::Failure;
use clap::{Args, Subcommand};

/// Shells: terminals in a workspace that stay, whoever looks at them.
///
/// Programs read and write them call by call; people attach to them. What a shell has shown is kept outside of
/// /workspace: the last 4 MiB.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 sh=$(pyro workspace shell open $id --id-only)\n\
\x20 pyro workspace shell write $id $sh --input 'uname -a'\n\
\x20 pyro workspace shell read $id $sh --plain --wait-for-idle-ms 500\n\
\x20 pyro workspace shell close $id $sh\n\
\x20 pyro workspace delete $id")]
pub enum Shell {
    Open(open::Open),
    List(list::List),
    Read(read::Read),
    Write(write::Write),
    Signal(signal::Signal),
    Resize(resize::Resize),
    Attach(attach::Attach),
    Close(close::Close),
}

impl Shell {
    /// Whether the result is to be JSON.
    pub fn json(&self) -> bool {
        match self {
            Self::Open(open) => open.json,
            Self::List(list) => list.json,
            Self::Read(read) => read.json,
            Self::Write(write) => write.json,
            Self::Signal(signal) => signal.json,
            Self::Resize(resize) => resize.json,
            Self::Attach(attach) => attach.json,
            Self::Close(close) => close.json,
        }
    }

    pub fn execute(self) -> Result<u8, Failure> {
        match self {
            Self::Open(open) => open.execute(),
            Self::List(list) => list.execute(),
            Self::Read(read) => read.execute(),
            Self::Write(write) => write.execute(),
            Self::Signal(signal) => signal.execute(),
            Self::Resize(resize) => resize.execute(),
            Self::Attach(attach) => attach.execute(),
            Self::Close(close) => close.execute(),
        }
    }
}

/// A shell of a workspace.
#[derive(Debug, Args)]
pub struct ShellArgs {
    /// The workspace.
    #[arg(value_name = "WORKSPACE_ID")]
    id: String,

    /// The shell.
    #[arg(value_name = "SHELL_ID")]
    shell: String,
}
