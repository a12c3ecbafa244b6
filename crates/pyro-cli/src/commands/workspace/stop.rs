//! `pyro workspace stop`.

use super::summary::{closing_line, describe};
use crate::commands::block_on;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::pyro::Pyro;

/// Turn the machine of a workspace off and keep its files, history and baseline.
///
/// Its processes are ended in order. One that is not started stays as it is. Its time to live goes on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 pyro workspace stop $id\n\
\x20 pyro workspace start $id\n\
\x20 pyro workspace delete $id")]
pub struct Stop {
    /// The workspace.
    #[arg(value_name = "WORKSPACE_ID")]
    id: String,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Stop {
    pub fn execute(self) -> Result<u8, Failure> {
        let pyro = Pyro::from_environment()?;
        let stopped = block_on(pyro.stop_workspace(&self.id))?;
        if self.json {
            output::json(&stopped)?;
        } else {
            output::text(&describe(&stopped))?;
            output::note(&closing_line("workspace-stop", &stopped, ""));
        }
        Ok(0)
    }
}
