//! `pyro env prune`.

use super::mib;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::pruned::{PrunedCache, PrunedKind};
use pyro_host::pyro::Pyro;
use std::fmt::Write;

/// Delete superseded and damaged environments, and templates that nothing uses any more.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pyro env prune\n  pyro env prune --all")]
pub struct Prune {
    /// Also delete what is installed, and every template: all of it can be made again.
    #[arg(long)]
    all: bool,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Prune {
    pub fn execute(self) -> Result<u8, Failure> {
        let pruned = Pyro::from_environment()?.prune_environments(self.all)?;
        if self.json {
            output::json(&pruned)?;
        } else {
            output::text(&describe(&pruned))?;
        }
        Ok(0)
    }
}

fn describe(pruned: &PrunedCache) -> String {
    let mut text = String::new();
    for one in &pruned.deleted {
        let kind = match one.kind {
            PrunedKind::Environment => "environment",
            PrunedKind::Template => "template",
        };
        let name = one.name.as_deref().unwrap_or("unknown");
        let _ = writeln!(text, "deleted {kind} {name} {} ({})", one.digest, mib(one.freed_bytes));
    }
    let _ = writeln!(text, "{} deleted, {} freed", pruned.count, mib(pruned.freed_bytes));
    text
}
