//! `pyro workspace delete`.

use crate::commands::block_on;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::pyro::Pyro;

/// Delete a workspace with all its files and its history, whatever state it is in.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 pyro workspace delete $id")]
pub struct Delete {
    /// The workspace.
    #[arg(value_name = "WORKSPACE_ID")]
    id: String,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Delete {
    pub fn execute(self) -> Result<u8, Failure> {
        let pyro = Pyro::from_environment()?;
        let deleted = block_on(pyro.delete_workspace(&self.id))?;
        if self.json {
            output::json(&deleted)?;
        } else {
            let id = &deleted.workspace_id;
            output::text(&format!("deleted workspace {id}\n"))?;
            output::note(&format!("[workspace-delete] workspace_id={id} deleted={}", deleted.deleted));
        }
        Ok(0)
    }
}
