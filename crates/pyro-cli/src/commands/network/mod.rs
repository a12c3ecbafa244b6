//! `pyro network`: one file per command.

mod explain;

use crate::exit::Failure;
use clap::Subcommand;

/// Networks of guests: what would be allowed, and why.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n\
\x20 pyro network explain 203.0.113.7:443 --allow 203.0.113.0/24\n\
\x20 pyro workspace network --help")]
pub enum Network {
    Explain(explain::Explain),
}

impl Network {
    /// Whether the result is to be JSON.
    pub fn json(&self) -> bool {
        match self {
            Self::Explain(explain) => explain.json,
        }
    }

    pub fn execute(self) -> Result<u8, Failure> {
        match self {
            Self::Explain(explain) => explain.execute(),
        }
    }
}
