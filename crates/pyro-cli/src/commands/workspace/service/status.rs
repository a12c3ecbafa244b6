//! `pyro workspace service status`.

use super::ServiceArgs;
use super::summary::{closing_line, describe};
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::pyro::Pyro;

/// Show how a service is: its state, command, probe, and what became of it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 pyro workspace service start $id job -- sleep 1000\n\
\x20 pyro workspace service status $id job\n\
\x20 pyro workspace service status $id job --json\n\
\x20 pyro workspace delete $id")]
pub struct Status {
    #[command(flatten)]
    service: ServiceArgs,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Status {
    pub fn execute(self) -> Result<u8, Failure> {
        let ServiceArgs { id, name } = &self.service;
        let service = Pyro::from_environment()?.status_service(id, name)?;
        if self.json {
            output::json(&service)?;
        } else {
            output::text(&describe(&service))?;
            output::note(&closing_line("workspace-service-status", &service));
        }
        Ok(0)
    }
}
