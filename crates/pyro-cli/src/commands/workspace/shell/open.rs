//! `pyro workspace shell open`.

use super::summary::{closing_line, describe};
use crate::commands::block_on;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::command::WORKSPACE_PATH;
use pyro_host::pyro::Pyro;
use pyro_host::shell::{DEFAULT_COLS, DEFAULT_ROWS, ShellSpec};

/// Open a shell in a started workspace: bash, or sh where there is none, on a terminal of its own.
///
/// It stays until it ends by itself or is closed, whoever comes and goes meanwhile.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 sh=$(pyro workspace shell open $id --id-only)\n\
\x20 pyro workspace shell open $id --cwd /tmp --cols 80 --rows 24 --json\n\
\x20 pyro workspace shell close $id $sh\n\
\x20 pyro workspace delete $id")]
pub struct Open {
    /// The workspace.
    #[arg(value_name = "WORKSPACE_ID")]
    id: String,

    /// Where it begins: absolute in the guest, or relative to /workspace.
    #[arg(long, value_name = "DIRECTORY", default_value = WORKSPACE_PATH)]
    cwd: String,

    /// Columns of its terminal: 2 to 1000.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_COLS)]
    cols: u16,

    /// Rows of its terminal: 1 to 1000.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_ROWS)]
    rows: u16,

    /// Print nothing but the id.
    #[arg(long, conflicts_with = "json")]
    id_only: bool,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Open {
    pub fn execute(self) -> Result<u8, Failure> {
        let spec = ShellSpec { cwd: self.cwd, cols: self.cols, rows: self.rows };
        let pyro = Pyro::from_environment()?;
        let opened = block_on(pyro.open_shell(&self.id, &spec))?;
        if self.json {
            output::json(&opened)?;
        } else {
            let id_line = || format!("{}\n", opened.shell_id);
            output::text(&if self.id_only { id_line() } else { describe(&opened) })?;
            output::note(&closing_line("workspace-shell-open", &opened, ""));
        }
        Ok(0)
    }
}
