//! `pyro man`.

use crate::cli::Cli;
use crate::exit::Failure;
use crate::output;
use clap::{Args, CommandFactory};
use pyro_host::error::{Context, Error, ErrorKind};

/// Print a manual page.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pyro man\n  pyro man env pull")]
pub struct Man {
    /// The command whose page is wanted; the page of `pyro` itself without one.
    #[arg(value_name = "COMMAND")]
    path: Vec<String>,
}

impl Man {
    pub fn execute(self) -> Result<u8, Failure> {
        let mut command = Cli::command();
        command.build();
        for name in &self.path {
            let Some(found) = command.find_subcommand(name) else {
                let message = format!("there is no command `{}`", self.path.join(" "));
                return Err(Error::invalid(message).with_hint("pyro --help lists the commands").into());
            };
            command = found.clone();
        }
        let name = command.get_bin_name().unwrap_or("pyro").replace(' ', "-");
        let mut page = Vec::new();
        let failing = || "could not write the manual page".to_owned();
        clap_mangen::Man::new(command).title(name).render(&mut page).failing(ErrorKind::Internal, failing)?;
        output::data(&page)?;
        Ok(0)
    }
}
