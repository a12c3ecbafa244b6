//! `pyro workspace shell close`.

use super::ShellArgs;
use super::summary::closing_line;
use crate::commands::block_on;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::pyro::Pyro;

/// End a shell with all that was started in it. What it has shown is kept.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 sh=$(pyro workspace shell open $id --id-only)\n\
\x20 pyro workspace shell close $id $sh --json\n\
\x20 pyro workspace delete $id")]
pub struct Close {
    #[command(flatten)]
    shell: ShellArgs,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Close {
    pub fn execute(self) -> Result<u8, Failure> {
        let ShellArgs { id, shell } = &self.shell;
        let pyro = Pyro::from_environment()?;
        let closed = block_on(pyro.close_shell(id, shell))?;
        if self.json {
            output::json(&closed)?;
        } else {
            output::note(&closing_line("workspace-shell-close", &closed, ""));
        }
        Ok(0)
    }
}
