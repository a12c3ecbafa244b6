//! `pyro workspace shell signal`.

use super::ShellArgs;
use super::summary::closing_line;
use crate::commands::block_on;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::pyro::Pyro;
use pyro_host::shell::ShellSignal;

/// Send a signal to what runs in the foreground of a shell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 sh=$(pyro workspace shell open $id --id-only)\n\
\x20 pyro workspace shell write $id $sh --input 'sleep 1000'\n\
\x20 pyro workspace shell signal $id $sh\n\
\x20 pyro workspace shell signal $id $sh --signal TERM --json\n\
\x20 pyro workspace delete $id")]
pub struct Signal {
    #[command(flatten)]
    shell: ShellArgs,

    /// The signal: HUP, INT, TERM, KILL, QUIT, TSTP, CONT or WINCH.
    #[arg(long, value_name = "SIGNAL", default_value = ShellSignal::Int.name())]
    signal: String,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Signal {
    pub fn execute(self) -> Result<u8, Failure> {
        let ShellArgs { id, shell } = &self.shell;
        let signal = ShellSignal::parse(&self.signal)?;
        let pyro = Pyro::from_environment()?;
        let signalled = block_on(pyro.signal_shell(id, shell, signal))?;
        if self.json {
            output::json(&signalled)?;
        } else {
            let more = format!(" signal={}", signalled.signal.name());
            output::note(&closing_line("workspace-shell-signal", &signalled.shell, &more));
        }
        Ok(0)
    }
}
