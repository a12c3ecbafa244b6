//! `pyro env list`.

use super::mib;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::environment::{EnvironmentList, EnvironmentSummary};
use pyro_host::pyro::Pyro;
use std::fmt::Write;

/// List the environments on offer, and which are installed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pyro env list\n  pyro env list --json")]
pub struct List {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl List {
    pub fn execute(self) -> Result<u8, Failure> {
        let list = Pyro::from_environment()?.list_environments()?;
        if self.json {
            output::json(&list)?;
        } else {
            output::text(&table(&list))?;
        }
        Ok(0)
    }
}

fn table(list: &EnvironmentList) -> String {
    let mut text = format!("{:16} {:22} {}\n", "NAME", "INSTALLED", "DESCRIPTION");
    for environment in &list.environments {
        let _ =
            writeln!(text, "{:16} {:22} {}", environment.name, state(environment), environment.description);
    }
    text
}

fn state(environment: &EnvironmentSummary) -> String {
    match (environment.installed, environment.total_bytes, &environment.damage) {
        (true, bytes, _) => format!("yes, {}", mib(bytes.unwrap_or_default())),
        (false, _, Some(_)) => "damaged, pull it again".into(),
        (false, _, None) => "no".into(),
    }
}
