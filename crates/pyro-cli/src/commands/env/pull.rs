//! `pyro env pull`.

use crate::commands::block_on;
use crate::commands::progress::PullDisplay;
use crate::exit::Failure;
use crate::output;
use clap::Args;
use pyro_host::environment::PullOptions;
use pyro_host::pyro::Pyro;

/// Install an environment, or repair one that is damaged.
///
/// It is built on this host from Debian's packages, whose signatures are checked.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pyro env pull debian:12\n  pyro env pull debian:12 --refresh")]
pub struct Pull {
    /// The environment, such as debian:12 (see `pyro env list`).
    environment: String,

    /// The Debian mirror, if not the one that this host's apt uses.
    #[arg(long, value_name = "URL", env = "PYRO_DEBIAN_MIRROR")]
    mirror: Option<String>,

    /// Build it anew with the newest packages, even if it is installed.
    #[arg(long)]
    refresh: bool,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Pull {
    pub fn execute(self) -> Result<u8, Failure> {
        let pyro = Pyro::from_environment()?;
        let mut display = PullDisplay::new(&self.environment);
        let options = PullOptions { mirror: self.mirror, refresh: self.refresh };
        let pulled =
            block_on(pyro.pull_environment(&self.environment, options, |progress| display.show(&progress)));
        display.finish();
        let environment = pulled?;
        if self.json {
            output::json(&pyro.inspect_environment(&self.environment)?)?;
        } else {
            output::note(&format!("[pull] environment={} digest={}", environment.name, environment.digest));
        }
        Ok(0)
    }
}
