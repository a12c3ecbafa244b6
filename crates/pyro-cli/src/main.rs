//! The executable `pyro`. Parses what was typed, lets [`pyro_host`] do it, shows what came of it.
//!
//! No decision that another front end would need is taken here, and only [`output`] prints.

mod cli;
mod commands;
mod exit;
mod logging;
mod output;

use std::process::ExitCode;

fn main() -> ExitCode {
    let command = match cli::parse() {
        Ok(command) => command,
        Err(error) => return output::usage(&error),
    };
    logging::start();
    let outcome = commands::run(command);
    exit::code(outcome)
}
