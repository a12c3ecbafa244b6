//! `pyro workspace shell resize`.

use super::ShellArgs;
use super::summary::closing_line;
use crate::commands::block_on;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::pyro::Pyro;

/// Set the size of a shell's terminal. What runs in it is told.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 sh=$(pyro workspace shell open $id --id-only)\n\
\x20 pyro workspace shell resize $id $sh --cols 80 --rows 24\n\
\x20 pyro workspace shell resize $id $sh --cols 200 --rows 60 --json\n\
\x20 pyro workspace delete $id")]
pub struct Resize {
    #[command(flatten)]
    shell: ShellArgs,

    /// Columns: 2 to 1000.
    #[arg(long, value_name = "N")]
    cols: u16,

    /// Rows: 1 to 1000.
    #[arg(long, value_name = "N")]
    rows: u16,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Resize {
    pub fn execute(self) -> Result<u8, Failure> {
        let ShellArgs { id, shell } = &self.shell;
        let pyro = Pyro::from_environment()?;
        let resized = block_on(pyro.resize_shell(id, shell, self.cols, self.rows))?;
        if self.json {
            output::json(&resized)?;
        } else {
            let more = format!(" cols={} rows={}", resized.cols, resized.rows);
            output::note(&closing_line("workspace-shell-resize", &resized, &more));
        }
        Ok(0)
    }
}
