//! `pyro workspace shell list`.

use super::summary::size;
use crate::commands::shown;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::pyro::Pyro;
use pyro_host::workspace::{ShellList, ShellStatus};

/// List the shells of a workspace, the oldest first, also of one that is stopped.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 pyro workspace shell open $id\n\
\x20 pyro workspace shell list $id\n\
\x20 pyro workspace shell list $id --json\n\
\x20 pyro workspace delete $id")]
pub struct List {
    /// The workspace.
    #[arg(value_name = "WORKSPACE_ID")]
    id: String,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl List {
    pub fn execute(self) -> Result<u8, Failure> {
        let list = Pyro::from_environment()?.list_shells(&self.id)?;
        if self.json {
            output::json(&list)?;
            return Ok(0);
        }
        output::text(&table(&list))?;
        output::note(&format!(
            "[workspace-shell-list] workspace_id={} count={} running_count={}",
            list.workspace_id, list.count, list.running_count,
        ));
        Ok(0)
    }
}

fn table(list: &ShellList) -> String {
    let headings = ["SHELL", "STATE", "AGE", "TERMINAL", "EXIT CODE", "DIRECTORY"];
    let mut rows = vec![headings.map(str::to_owned).to_vec()];
    rows.extend(list.shells.iter().map(row));
    shown::table(&rows)
}

fn row(shell: &ShellStatus) -> Vec<String> {
    vec![
        shell.shell_id.to_string(),
        shell.state.name().to_owned(),
        shown::age(shell.started_at),
        size(shell),
        shell.exit_code.map_or_else(|| "-".to_owned(), |code| code.to_string()),
        shown::word(&shell.cwd).into_owned(),
    ]
}
