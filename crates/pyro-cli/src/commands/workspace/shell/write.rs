//! `pyro workspace shell write`.

use super::ShellArgs;
use super::summary::closing_line;
use crate::commands::block_on;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::pyro::Pyro;

/// Type into a shell: a text, and the enter key.
///
/// It does not wait for what comes of it: `shell read` shows that.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 sh=$(pyro workspace shell open $id --id-only)\n\
\x20 pyro workspace shell write $id $sh --input 'read -p \"sure? \" answer'\n\
\x20 pyro workspace shell write $id $sh --input y --no-newline\n\
\x20 pyro workspace delete $id")]
pub struct Write {
    #[command(flatten)]
    shell: ShellArgs,

    /// What to type.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    input: String,

    /// Do not type enter after it.
    #[arg(long)]
    no_newline: bool,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Write {
    pub fn execute(self) -> Result<u8, Failure> {
        let ShellArgs { id, shell } = &self.shell;
        let pyro = Pyro::from_environment()?;
        let written = block_on(pyro.write_shell(id, shell, &self.input, !self.no_newline))?;
        if self.json {
            output::json(&written)?;
        } else {
            let (length, newline) = (written.input_length, written.append_newline);
            let more = format!(" input_length={length} append_newline={newline}");
            output::note(&closing_line("workspace-shell-write", &written.shell, &more));
        }
        Ok(0)
    }
}
