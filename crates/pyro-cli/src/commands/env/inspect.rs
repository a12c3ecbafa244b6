//! `pyro env inspect`.

use super::mib;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::pyro::{InspectedEnvironment, Pyro};
use std::fmt::Write;

/// Show what is known of an environment: packages, sizes, where it came from, its templates.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pyro env inspect debian:12\n  pyro env inspect debian:12 --json")]
pub struct Inspect {
    /// The environment, such as debian:12 (see `pyro env list`).
    environment: String,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Inspect {
    pub fn execute(self) -> Result<u8, Failure> {
        let inspected = Pyro::from_environment()?.inspect_environment(&self.environment)?;
        if self.json {
            output::json(&inspected)?;
        } else {
            output::text(&describe(&inspected))?;
        }
        Ok(0)
    }
}

fn describe(inspected: &InspectedEnvironment) -> String {
    let environment = &inspected.environment;
    let mut lines = vec![
        ("name", environment.name.clone()),
        ("description", environment.description.clone()),
        ("version", environment.version.clone()),
        ("installed", if environment.installed { "yes".into() } else { "no".into() }),
    ];
    lines.extend(environment.damage.clone().map(|damage| ("damage", damage)));
    lines.extend(environment.digest.clone().map(|digest| ("digest", digest)));
    lines.extend(
        environment
            .kernel
            .as_ref()
            .map(|kernel| ("kernel", format!("{} ({})", kernel.release, kernel.version))),
    );
    if let Some(sizes) = &environment.sizes {
        let size = format!("{} (root image {})", mib(sizes.total_bytes), mib(sizes.root_image_bytes));
        lines.push(("size", size));
    }
    lines.extend(environment.paths.as_ref().map(|paths| ("folder", paths.folder.display().to_string())));
    lines.push(("packages", format!("{} (--json lists them)", environment.packages.len())));
    for template in &inspected.templates {
        let (facts, size) = (&template.facts, mib(template.size_bytes));
        let shape =
            format!("{} vCPU, {} MiB, {}", facts.spec.vcpu_count, facts.spec.mem_mib, facts.accelerator);
        lines.push(("template", format!("{} ({shape}; {size} on disk)", template.key)));
    }
    lines.into_iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{:13} {value}", format!("{name}:"));
        text
    })
}
