//! Every check and every test, real guests included. Says at the end how many tests ran.

use crate::packages;
use crate::run::{cargo, run, show};
use crate::setup::{add_check_tools, setup};
use crate::users;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

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
    let tally = run_counting(&mut tests)?;
    for name in &tally.names {
        println!("skipped: {name}");
    }
    println!("\n{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped);
    if tally.failed > 0 || !tally.succeeded {
        return Err("some tests failed, see above".into());
    }
    if tally.passed == 0 { Err("no test ran".into()) } else { Ok(()) }
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

#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
    succeeded: bool,
    /// The lines of those that were skipped, with their reasons.
    names: Vec<String>,
}

/// Runs the tests, passes their output on and adds up the closing line of each test program.
fn run_counting(command: &mut Command) -> Result<Tally, String> {
    let shown = show(command);
    println!("+ {shown}");
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("could not run `{shown}`: {error}"))?;
    let mut tally = Tally::default();
    let lines = BufReader::new(child.stdout.take().ok_or("the tests have no output")?).lines();
    for line in lines.map_while(Result::ok) {
        println!("{line}");
        tally.add(&line);
    }
    let status = child.wait().map_err(|error| format!("could not wait for `{shown}`: {error}"))?;
    tally.succeeded = status.success();
    Ok(tally)
}

impl Tally {
    /// `test result: ok. 12 passed; 0 failed; 1 ignored; …`
    fn add(&mut self, line: &str) {
        if line.starts_with("test ") && line.contains(" ... ignored") {
            self.names.push(line.to_owned());
        }
        let Some((_, counts)) = line.split_once("test result: ") else { return };
        let words: Vec<&str> = counts.split([' ', ';']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u64>() else { continue };
            match pair[1] {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn closing_lines_are_added_up() {
        let mut tally = Tally::default();
        tally.add(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.2s",
        );
        tally.add("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        tally.add("test nothing ... ok");
        assert_eq!((tally.passed, tally.failed, tally.skipped), (15, 2, 1));
    }
}
