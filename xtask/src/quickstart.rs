//! From a fresh clone to a command in a microVM.

use crate::run::{cargo, run, target_dir};
use crate::setup::setup;
use std::process::Command;

pub fn quickstart() -> Result<(), String> {
    setup()?;
    run(cargo().args(["build", "--release", "--package", "pyro-cli"]))?;
    let pyro = target_dir().join("release/pyro");
    run(Command::new(&pyro).args(["env", "pull", "debian:12"]))?;
    run(Command::new(&pyro).args(["run", "debian:12", "--", "git", "--version"]))?;
    println!("\npyro is {}\nTry:\n  {} doctor --boot", pyro.display(), pyro.display());
    Ok(())
}
