//! `pyro workspace sync`.

mod push;

use crate::exit::Failure;
use clap::Subcommand;

/// Bring files of this host into a started workspace.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n\
\x20 id=$(pyro workspace create debian:12 --id-only)\n\
\x20 pyro workspace sync push $id . --dest app\n\
\x20 pyro workspace delete $id")]
pub enum Sync {
    Push(push::Push),
}

impl Sync {
    /// Whether the result is to be JSON.
    pub fn json(&self) -> bool {
        match self {
            Self::Push(push) => push.json,
        }
    }

    pub fn execute(self) -> Result<u8, Failure> {
        match self {
            Self::Push(push) => push.execute(),
        }
    }
}
