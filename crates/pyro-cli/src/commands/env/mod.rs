//! `pyro env …`.

mod inspect;
mod list;
mod prune;
mod pull;

use crate::exit::Failure;
use clap::Subcommand;

/// Environments: what machines are made of.
#[derive(Debug, Subcommand)]
pub enum Env {
    List(list::List),
    Pull(pull::Pull),
    Inspect(inspect::Inspect),
    Prune(prune::Prune),
}

impl Env {
    /// Whether the result is to be JSON.
    pub fn json(&self) -> bool {
        match self {
            Self::List(list) => list.json,
            Self::Pull(pull) => pull.json,
            Self::Inspect(inspect) => inspect.json,
            Self::Prune(prune) => prune.json,
        }
    }

    pub fn execute(self) -> Result<u8, Failure> {
        match self {
            Self::List(list) => list.execute(),
            Self::Pull(pull) => pull.execute(),
            Self::Inspect(inspect) => inspect.execute(),
            Self::Prune(prune) => prune.execute(),
        }
    }
}

/// Bytes for people, in MiB.
fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1024 * 1024))
}
