//! `pyro workspace service`: one file per command.

mod list;
mod logs;
mod start;
mod status;
mod stop;
mod summary;

use crate::exit::Failure;
use clap::{Args, Subcommand};

/// Services: commands that stay, with a name, a log and a way to tell that they are ready.
///
/// A service runs in the workspace's machine until it ends by itself or is stopped, whoever comes and goes meanwhile. Its
/// record and its log are kept outside of /workspace, and outlast it.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 pyro workspace service start $id web --ready-tcp localhost:8080 -- python3 -m http.server 8080\n\
\x20 pyro workspace service list $id\n\
\x20 pyro workspace service logs $id web\n\
\x20 pyro workspace service stop $id web\n\
\x20 pyro workspace delete $id")]
pub enum Service {
    Start(start::Start),
    List(list::List),
    Status(status::Status),
    Logs(logs::Logs),
    Stop(stop::Stop),
}

impl Service {
    /// Whether the result is to be JSON.
    pub fn json(&self) -> bool {
        match self {
            Self::Start(start) => start.json,
            Self::List(list) => list.json,
            Self::Status(status) => status.json,
            Self::Logs(logs) => logs.json,
            Self::Stop(stop) => stop.json,
        }
    }

    pub fn execute(self) -> Result<u8, Failure> {
        match self {
            Self::Start(start) => start.execute(),
            Self::List(list) => list.execute(),
            Self::Status(status) => status.execute(),
            Self::Logs(logs) => logs.execute(),
            Self::Stop(stop) => stop.execute(),
        }
    }
}

/// A service of a workspace.
#[derive(Debug, Args)]
pub struct ServiceArgs {
    /// The workspace.
    #[arg(value_name = "WORKSPACE_ID")]
    id: String,

    /// The service.
    #[arg(value_name = "SERVICE_NAME")]
    name: String,
}
