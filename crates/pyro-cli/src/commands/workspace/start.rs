//! `pyro workspace start`.

use super::summary::{closing_line, describe, warn_of_host};
use crate::commands::block_on;
use crate::commands::machine::accelerator_name;
use crate::commands::printer::Printer;
use crate::commands::progress::StartDisplay;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::pyro::Pyro;

/// Bring a stopped or failed workspace back, with its files, history and baseline.
///
/// Its machine is booted, which takes longer than `create`. One that is started stays as it is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 pyro workspace stop $id\n\
\x20 pyro workspace start $id\n\
\x20 pyro workspace delete $id")]
pub struct Start {
    /// The workspace.
    #[arg(value_name = "WORKSPACE_ID")]
    id: String,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Start {
    pub fn execute(self) -> Result<u8, Failure> {
        let pyro = Pyro::from_environment()?;
        let environment = pyro.status_workspace(&self.id)?.environment;
        let (events, printer) = Printer::start(StartDisplay::new(&environment));
        let started = block_on(pyro.start_workspace(&self.id, Some(&events)));
        drop(events);
        let (started, printer) = printer.outcome(started)?;
        printer.printed()?;
        warn_of_host(&started);
        if self.json {
            output::json(&started)?;
        } else {
            output::text(&describe(&started))?;
            let (mode, accelerator) = (started.execution_mode.name(), accelerator_name(started.accelerator));
            let more = format!(" execution_mode={mode} accelerator={accelerator}");
            output::note(&closing_line("workspace-start", &started, &more));
        }
        Ok(0)
    }
}
