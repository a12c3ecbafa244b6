//! `pyro workspace service stop`.

use super::ServiceArgs;
use super::summary::closing_line;
use crate::commands::block_on;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::pyro::Pyro;

/// Stop a service with all that it has started: TERM, and KILL 10 seconds later.
///
/// Its record and its log are kept. One that has ended stays as it is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 pyro workspace service start $id job -- sleep 1000\n\
\x20 pyro workspace service stop $id job\n\
\x20 pyro workspace service stop $id job --json\n\
\x20 pyro workspace delete $id")]
pub struct Stop {
    #[command(flatten)]
    service: ServiceArgs,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Stop {
    pub fn execute(self) -> Result<u8, Failure> {
        let ServiceArgs { id, name } = &self.service;
        let pyro = Pyro::from_environment()?;
        let stopped = block_on(pyro.stop_service(id, name))?;
        if self.json {
            output::json(&stopped)?;
        } else {
            output::note(&closing_line("workspace-service-stop", &stopped));
        }
        Ok(0)
    }
}
