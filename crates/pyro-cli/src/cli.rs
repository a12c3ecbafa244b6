//! The root of the command line.

use crate::commands::{completions, demo, doctor, env, man, mcp, network, run, supervise, workspace};
use clap::{Parser, Subcommand};
use std::ffi::OsString;

/// Disposable Linux machines for coding agents.
///
/// One command in one fresh microVM, or a workspace that stays. Local: no daemon, no account, no network in the guest unless asked for. Works with and
/// without usable KVM.
#[derive(Debug, Parser)]
#[command(name = "pyro", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Examples:\n  pyro doctor\n  pyro run debian:12 -- git --version\n  pyro env list\n  pyro workspace list"
)]
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
    #[command(subcommand)]
    Workspace(workspace::Workspace),
    #[command(subcommand)]
    Mcp(mcp::Mcp),
    #[command(subcommand)]
    Network(network::Network),
    Doctor(doctor::Doctor),
    Demo(demo::Demo),
    Completions(completions::Completions),
    Man(man::Man),
    /// No subcommand of the parser: completions would show it, hidden or not.
    #[command(skip)]
    Supervise(supervise::Supervise),
}

/// What was typed, or what pyro itself asks for.
pub fn parse() -> Result<Command, clap::Error> {
    let words: Vec<OsString> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == "supervise") {
        return supervise::Supervise::try_parse_from(&words[1..]).map(Command::Supervise);
    }
    Cli::try_parse_from(words).map(|cli| cli.command)
}
