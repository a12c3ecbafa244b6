//! Every check and every test, real guests included. Says at the end how many tests ran.

use crate::run::{cargo, run};
use crate::setup::{add_check_tools, setup};
use crate::tally::Tally;
use crate::{packages, pytest, users};
use std::process::Command;

/// The compiler whose lints the project keeps.
const KNOWN_COMPILER: &str = "rustc 1.95.";

pub fn test(extra: &[String]) -> Result<(), String> {
    setup()?;
    packages::install_missing_for_tests()?;
    users::ensure_ordinary_user()?;
    add_check_tools();
    let strict = is_known_compiler();
    run(cargo().args(["fmt", "--all", "--check"]))?;
    let lints: &[&str] = if strict { &["--", "--deny", "warnings"] } else { &[] };
    run(cargo().args(["clippy", "--workspace", "--all-targets"]).args(lints))?;
    run(cargo()
        .args(["doc", "--workspace", "--no-deps"])
        .env("RUSTDOCFLAGS", if strict { "--deny warnings" } else { "" }))?;
    let mut tests = cargo();
    tests.args(["test", "--workspace", "--no-fail-fast"]).args(extra);
    let mut tally = Tally::default();
    tally.run(&mut tests)?;
    pytest::run(&mut tally, true)?;
    tally.verdict()
}

/// The tests of the Python package alone.
pub fn test_python() -> Result<(), String> {
    setup()?;
    packages::install_missing_for_tests()?;
    let mut tally = Tally::default();
    pytest::run(&mut tally, false)?;
    tally.verdict()
}

/// Whether warnings are errors: with the compiler whose warnings we know. Other versions have other lints, which are
/// shown and fail nothing.
fn is_known_compiler() -> bool {
    let version =
        Command::new("rustc").arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let version = String::from_utf8_lossy(&version).into_owned();
    let is_known = version.contains(KNOWN_COMPILER);
    if !is_known {
        println!("{}: not {KNOWN_COMPILER}, so that warnings are shown and fail nothing", version.trim());
    }
    is_known
}
