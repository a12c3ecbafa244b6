//! `cargo xtask bench`: times pyro on one machine in one run. `run` times runs beside a bare QEMU clone of the same
//! guest, `workspace` times workspaces, also beside what a user would do without pyro's own means, `session` what stays in
//! them: shells and services, `mcp` what the MCP server adds to a call, and `network` what a guest's network costs.
//!
//! Everything that is compared is measured in turns (cold, warm, floor, cold, warm, floor, …), so that noise hits
//! all alike, and told as medians and ratios. A bar that is missed is printed as missed and fails nothing.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

mod arguments;
mod executable;
mod host;
mod lot;
mod mcp;
mod network;
mod processes;
mod run;
mod samples;
mod session;
mod table;
mod workspace;

use arguments::{Arguments, Part, Wanted};
use executable::Executable;
use host::Host;
use std::process::ExitCode;

/// Whatever keeps the bench from measuring ends it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let done = match arguments::parse(std::env::args().skip(1)) {
        Ok(Wanted::Bench(arguments)) => bench(&arguments),
        Ok(Wanted::Echo) => run::ping::echo(),
        Ok(Wanted::Help) => {
            println!("{}", arguments::HELP);
            Ok(())
        }
        Err(why) => Err(why.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(arguments: &Arguments) -> Result<()> {
    let (host, executable) = (Host::find()?, Executable::find()?);
    for (name, value) in host.conditions() {
        println!("{name:12} {value}");
    }
    println!("{:12} {}", "version", executable.version()?);
    println!("{:12} {}", "load before", host::load());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut tables = Vec::new();
    if arguments.wants(Part::Run) {
        tables.push(run::bench(&runtime, &host, &executable, arguments)?);
    }
    if arguments.wants(Part::Workspace) {
        tables.push(workspace::bench(&runtime, &host, &executable, arguments)?);
    }
    if arguments.wants(Part::Session) {
        tables.push(session::bench(&runtime, &host, &executable, arguments)?);
    }
    if arguments.wants(Part::Mcp) {
        tables.push(mcp::bench(&runtime, &host, &executable, arguments)?);
    }
    if arguments.wants(Part::Network) {
        tables.push(network::bench(&runtime, &host, &executable, arguments)?);
    }
    println!("{:12} {}", "load after", host::load());
    let (mut n_met, mut n_bars) = (0, 0);
    for table in tables {
        let (met, bars) = table.verdict();
        (n_met, n_bars) = (n_met + met, n_bars + bars);
        println!("\n{}", table.to_string().trim_end());
    }
    println!("\n{n_met} of {n_bars} bars met");
    Ok(())
}
