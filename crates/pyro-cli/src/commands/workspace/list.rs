//! `pyro workspace list`.

use crate::commands::shown;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::pyro::Pyro;
use pyro_host::workspace::{WorkspaceList, WorkspaceStatus};

/// List the workspaces, the oldest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pyro workspace list\n  pyro workspace list --json")]
pub struct List {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl List {
    pub fn execute(self) -> Result<u8, Failure> {
        let list = Pyro::from_environment()?.list_workspaces();
        if self.json {
            output::json(&list)?;
            return Ok(0);
        }
        output::text(&table(&list))?;
        for one in &list.damaged {
            let id = &one.workspace_id;
            output::note(&format!("warning: {id} is damaged: {}", one.reason));
            output::note(&format!("hint: pyro workspace delete {id}"));
        }
        output::note(&format!("[workspace-list] count={} damaged={}", list.count, list.damaged.len()));
        Ok(0)
    }
}

fn table(list: &WorkspaceList) -> String {
    let headings = ["WORKSPACE", "ENVIRONMENT", "STATE", "AGE", "EXPIRES IN", "COMMANDS", "DISK", "SEED"];
    let mut rows = vec![headings.map(str::to_owned).to_vec()];
    rows.extend(list.workspaces.iter().map(row));
    rows.extend(list.damaged.iter().map(|one| {
        let dash = || "-".to_owned();
        vec![one.workspace_id.clone(), dash(), "damaged".into(), dash(), dash(), dash(), dash(), dash()]
    }));
    shown::table(&rows)
}

fn row(workspace: &WorkspaceStatus) -> Vec<String> {
    let seed = workspace.workspace_seed.seed_path.as_deref().map_or("-".into(), shown::word);
    vec![
        workspace.workspace_id.clone(),
        workspace.environment.clone(),
        workspace.state.name().to_owned(),
        shown::span_from_now(workspace.created_at),
        shown::span_from_now(workspace.expires_at),
        workspace.command_count.to_string(),
        shown::size(workspace.disk_used_bytes),
        seed.into_owned(),
    ]
}
