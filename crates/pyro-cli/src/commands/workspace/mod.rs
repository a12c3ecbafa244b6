//! `pyro workspace`: one file per command.

mod create;
mod delete;
mod diff;
mod diffstat;
mod exec;
mod export;
mod list;
mod logs;
mod network;
mod publish;
mod service;
mod shell;
mod start;
mod status;
mod stop;
mod summary;
mod sync;

use crate::exit::Failure;
use clap::Subcommand;

/// Workspaces: machines that stay, with files to work on.
///
/// A workspace is a machine with a directory of its own, /workspace, and a disk that keeps it. Any number of commands
/// and processes may use it. It is deleted with all its files when its time to live is over (--ttl-seconds of
/// `create`).
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 pyro workspace exec $id -- uname -r\n\
\x20 pyro workspace list\n\
\x20 pyro workspace delete $id")]
pub enum Workspace {
    Create(create::Create),
    List(list::List),
    Status(status::Status),
    Exec(exec::Exec),
    Logs(logs::Logs),
    #[command(subcommand)]
    Sync(sync::Sync),
    Diff(diff::Diff),
    Export(export::Export),
    #[command(subcommand)]
    Service(service::Service),
    #[command(subcommand)]
    Shell(shell::Shell),
    Network(network::Network),
    Publish(publish::Publish),
    Stop(stop::Stop),
    Start(start::Start),
    Delete(delete::Delete),
}

impl Workspace {
    /// Whether the result is to be JSON.
    pub fn json(&self) -> bool {
        match self {
            Self::Create(create) => create.json,
            Self::List(list) => list.json,
            Self::Status(status) => status.json,
            Self::Exec(exec) => exec.json,
            Self::Logs(logs) => logs.json,
            Self::Sync(sync) => sync.json(),
            Self::Diff(diff) => diff.json,
            Self::Export(export) => export.json,
            Self::Service(service) => service.json(),
            Self::Shell(shell) => shell.json(),
            Self::Network(network) => network.json,
            Self::Publish(publish) => publish.json,
            Self::Stop(stop) => stop.json,
            Self::Start(start) => start.json,
            Self::Delete(delete) => delete.json,
        }
    }

    pub fn execute(self) -> Result<u8, Failure> {
        match self {
            Self::Create(create) => create.execute(),
            Self::List(list) => list.execute(),
            Self::Status(status) => status.execute(),
            Self::Exec(exec) => exec.execute(),
            Self::Logs(logs) => logs.execute(),
            Self::Sync(sync) => sync.execute(),
            Self::Diff(diff) => diff.execute(),
            Self::Export(export) => export.execute(),
            Self::Service(service) => service.execute(),
            Self::Shell(shell) => shell.execute(),
            Self::Network(network) => network.execute(),
            Self::Publish(publish) => publish.execute(),
            Self::Stop(stop) => stop.execute(),
            Self::Start(start) => start.execute(),
            Self::Delete(delete) => delete.execute(),
        }
    }
}
