//! The root of the command line.

use crate::commands::{completions, doctor, env, man, run};
use clap::{Parser, Subcommand};

/// Disposable Linux machines for coding agents.
///
/// One command in one fresh microVM. Local: no daemon, no account, no network in the guest. Works with and
/// without usable KVM.
#[derive(Debug, Parser)]
#[command(name = "pyro", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Examples:\n  pyro doctor\n  pyro run debian:12 -- git --version\n  pyro env list")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    Run(run::Run),
    /// Environments: what machines are made of.
    #[command(subcommand)]
    Env(env::Env),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Man(man::Man),
}
