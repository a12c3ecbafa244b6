//! `pyro workspace status`.

use super::summary::{closing_line, describe};
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::pyro::Pyro;

/// Show how a workspace is: its state, machine, seed, commands and the end of its life.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 pyro workspace status $id\n\
\x20 pyro workspace status $id --json\n\
\x20 pyro workspace delete $id")]
pub struct Status {
    /// The workspace.
    #[arg(value_name = "WORKSPACE_ID")]
    id: String,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Status {
    pub fn execute(self) -> Result<u8, Failure> {
        let workspace = Pyro::from_environment()?.status_workspace(&self.id)?;
        if self.json {
            output::json(&workspace)?;
        } else {
            output::text(&describe(&workspace))?;
            output::note(&closing_line("workspace-status", &workspace, ""));
        }
        Ok(0)
    }
}
