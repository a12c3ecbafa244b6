//! `pyro completions`.

use crate::cli::Cli;
use crate::exit::Failure;
use crate::output;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pyro completions bash\n  pyro completions zsh")]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub fn execute(self) -> Result<u8, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "pyro", &mut script);
        output::data(&script)?;
        Ok(0)
    }
}
