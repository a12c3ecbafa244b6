//! `pyro mcp`: one file per command.

mod serve;

use crate::exit::Failure;
use clap::Subcommand;

/// pyro for AI agents: the Model Context Protocol.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  pyro mcp serve --help\n  pyro mcp serve < /dev/null && echo ended")]
pub enum Mcp {
    Serve(serve::Serve),
}

impl Mcp {
    pub fn execute(self) -> Result<u8, Failure> {
        match self {
            Self::Serve(serve) => serve.execute(),
        }
    }
}
