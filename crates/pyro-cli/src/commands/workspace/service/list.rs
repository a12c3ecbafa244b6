//! `pyro workspace service list`.

use crate::commands::shown;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::pyro::Pyro;
use pyro_host::workspace::{ServiceList, ServiceStatus};

/// List the services of a workspace by name, also of one that is stopped.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 pyro workspace service start $id job -- sleep 1000\n\
\x20 pyro workspace service list $id\n\
\x20 pyro workspace service list $id --json\n\
\x20 pyro workspace delete $id")]
pub struct List {
    /// The workspace.
    #[arg(value_name = "WORKSPACE_ID")]
    id: String,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// The longest command that is shown whole.
const COMMAND_WIDTH: usize = 60;

impl List {
    pub fn execute(self) -> Result<u8, Failure> {
        let list = Pyro::from_environment()?.list_services(&self.id)?;
        if self.json {
            output::json(&list)?;
            return Ok(0);
        }
        output::text(&table(&list))?;
        output::note(&format!(
            "[workspace-service-list] workspace_id={} count={} running_count={}",
            list.workspace_id, list.count, list.running_count,
        ));
        Ok(0)
    }
}

fn table(list: &ServiceList) -> String {
    let headings = ["SERVICE", "STATE", "AGE", "PID", "EXIT CODE", "STOP REASON", "COMMAND"];
    let mut rows = vec![headings.map(str::to_owned).to_vec()];
    rows.extend(list.services.iter().map(row));
    shown::table(&rows)
}

fn row(service: &ServiceStatus) -> Vec<String> {
    let dash = || "-".to_owned();
    vec![
        service.service_name.to_string(),
        service.state.name().to_owned(),
        shown::age(service.started_at),
        service.pid.map_or_else(dash, |pid| pid.to_string()),
        service.exit_code.map_or_else(dash, |code| code.to_string()),
        service.stop_reason.map_or_else(dash, |reason| reason.name().to_owned()),
        shown::short(&shown::command(&service.command), COMMAND_WIDTH).into_owned(),
    ]
}
