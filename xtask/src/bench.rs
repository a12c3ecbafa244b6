//! Times pyro: runs beside a bare QEMU clone of the same guest, workspaces, services and shells.

use crate::run::{cargo, run, target_dir};
use crate::setup::setup;
use std::process::Command;

pub fn bench(words: &[String]) -> Result<(), String> {
    setup()?;
    run(cargo().args(["build", "--release", "--package", "pyro-cli"]))?;
    let pyro = target_dir().join("release/pyro");
    run(Command::new(&pyro).args(["env", "pull", "debian:12"]))?;
    // `cargo xtask bench -- workspace --rounds 5` gives the two dashes too.
    let words = words.strip_prefix(&["--".to_owned()]).unwrap_or(words);
    let mut bench = cargo();
    bench.args(["bench", "--package", "pyro-host", "--bench", "pyro", "--"]).args(words);
    run(bench.env("PYRO_BENCH_EXECUTABLE", &pyro))
}
