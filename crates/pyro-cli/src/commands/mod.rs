//! One file per command: what may be typed, and what it means. Each has a struct whose doc comment is the help, and a
//! function that does it.

pub mod completions;
pub mod demo;
pub mod denials;
pub mod doctor;
pub mod env;
pub mod interrupt;
pub mod machine;
pub mod man;
pub mod mcp;
pub mod network;
pub mod printer;
pub mod progress;
pub mod run;
pub mod shown;
pub mod supervise;
pub mod workspace;

use crate::cli::Command;
use crate::exit::{Failure, Outcome};
use pyro_host::error::{Context, Error, ErrorKind};
use std::future::Future;
use tokio::runtime::Builder;

/// Does what was typed.
pub fn run(command: Command) -> Outcome {
    match command {
        Command::Run(run) => Outcome { json: run.json, result: run.execute() },
        Command::Env(env) => Outcome { json: env.json(), result: env.execute() },
        Command::Mcp(mcp) => Outcome { json: false, result: mcp.execute() },
        Command::Network(network) => Outcome { json: network.json(), result: network.execute() },
        Command::Doctor(doctor) => Outcome { json: doctor.json, result: doctor.execute() },
        Command::Demo(demo) => Outcome { json: demo.json(), result: demo.execute() },
        Command::Workspace(workspace) => Outcome { json: workspace.json(), result: workspace.execute() },
        Command::Supervise(supervise) => Outcome { json: false, result: supervise.execute() },
        Command::Completions(completions) => Outcome { json: false, result: completions.execute() },
        Command::Man(man) => Outcome { json: false, result: man.execute() },
    }
}

/// Runs a future until it is done or a signal comes; then the future is dropped, which ends all that it started.
pub fn block_on<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    run_in(&mut Builder::new_current_thread(), future)
}

/// The same with a thread for each CPU, for what does many things at once.
pub fn block_on_threads<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    run_in(&mut Builder::new_multi_thread(), future)
}

fn run_in<T>(builder: &mut Builder, future: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    let runtime =
        builder.enable_all().build().failing(ErrorKind::Io, || "could not start the event loop".into())?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = future => result.map_err(Failure::Error),
            signal = interrupt::signal() => Err(Failure::Interrupted(signal?)),
        }
    });
    // Threads that still wait for standard input or a lock must not hold up the end.
    runtime.shutdown_background();
    result
}
