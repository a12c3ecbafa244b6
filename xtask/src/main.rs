//! What a contributor types: `cargo xtask quickstart | setup | wheel | test | pytest | bench`.
//!
//! Only the standard library is used, so that the first command on a fresh machine starts within seconds.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

mod bench;
mod packages;
mod pytest;
mod python;
mod quickstart;
mod run;
mod setup;
mod tally;
mod test;
mod users;
mod wheel;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask COMMAND

  quickstart   installs what is missing, builds pyro, pulls debian:12 and runs `git --version` in a microVM
  setup        installs what is missing (Debian packages, the Rust target of the guest agent), and nothing else
  wheel        builds the Python package and prints where it is
  test         the same set-up, then every check and every test, real guests included
  pytest       builds the Python package and runs its tests alone
  bench        times runs, workspaces, services and shells; -- --help says which
";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let rest: Vec<String> = words.collect();
    let done = match command.as_str() {
        "quickstart" => quickstart::quickstart(),
        "setup" => setup::setup(),
        "wheel" => wheel::wheel(),
        "test" => test::test(&rest),
        "pytest" => test::test_python(),
        "bench" => bench::bench(&rest),
        "" | "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(format!("there is no command `{other}`\n\n{HELP}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}
