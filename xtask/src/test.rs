//! Every check and every test, real guests included. Says at the end how many tests ran.

use crate::run::{cargo, run};
use crate::setup::{add_check_tools, setup};
use crate::tally::Tally;
use crate::{packages, pytest, users};
use std::process::Command;

/// What the test programs of Rust look at.
const TEST_THREADS: &str = "RUST_TEST_THREADS";

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
    if std::env::var_os(TEST_THREADS).is_none() {
        tests.env(TEST_THREADS, test_threads().to_string());
    }
    let mut tally = Tally::default();
    tally.run(&mut tests)?;
    pytest::run(&mut tally, true)?;
    tally.verdict()
}

/// How many tests run at a time: one more than there are processors, since every test waits for something now and then.
fn test_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get) + 1
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
