//! How many tests passed, failed and were skipped, from what test programs print.

use crate::run::show;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// The sum over several test programs.
#[derive(Default)]
pub struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
    /// Those that are counted as passed, and have said that they were skipped.
    not_run: u64,
    /// The lines of those that were skipped, with their reasons.
    names: Vec<String>,
    /// Whether a test program ended with another code than 0.
    broken: bool,
}

impl Tally {
    /// Runs tests, passes their output on and adds up the closing line of each test program.
    pub fn run(&mut self, command: &mut Command) -> Result<(), String> {
        let shown = show(command);
        println!("+ {shown}");
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("could not run `{shown}`: {error}"))?;
        self.read(BufReader::new(child.stdout.take().ok_or("the tests have no output")?))?;
        let status = child.wait().map_err(|error| format!("could not wait for `{shown}`: {error}"))?;
        self.broken |= !status.success();
        Ok(())
    }

    /// Passes output on and adds it up, whatever bytes it has.
    fn read(&mut self, mut output: impl BufRead) -> Result<(), String> {
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).map_err(|error| format!("could not read on: {error}"))? > 0
        {
            let text = String::from_utf8_lossy(&line);
            print!("{text}");
            self.add(text.trim_end());
            line.clear();
        }
        Ok(())
    }

    /// Prints the sums, and what was skipped. An error unless every test passed or was skipped.
    pub fn verdict(&self) -> Result<(), String> {
        for name in &self.names {
            println!("skipped: {name}");
        }
        let (passed, skipped) = self.sums();
        println!("\n{passed} passed, {} failed, {skipped} skipped", self.failed);
        if self.failed > 0 || self.broken {
            return Err("some tests failed, see above".into());
        }
        if passed == 0 { Err("no test ran".into()) } else { Ok(()) }
    }

    /// How many passed, and how many were skipped.
    fn sums(&self) -> (u64, u64) {
        (self.passed.saturating_sub(self.not_run), self.skipped + self.not_run)
    }

    /// Of cargo: `test result: ok. 12 passed; 0 failed; 1 ignored; …`. Of pytest: `=== 1 failed, 12 passed in 3.4s ===`.
    fn add(&mut self, line: &str) {
        if line.starts_with("test ") && line.contains(" ... ignored") || line.starts_with("SKIPPED [") {
            self.names.push(line.to_owned());
        }
        // A test that found out by itself that it cannot run. It is counted as passed, which is all that cargo knows.
        if let Some(test) = line.strip_prefix("skipped: ") {
            self.names.push(test.to_owned());
            self.not_run += 1;
        }
        let of_cargo = line.split_once("test result: ").map(|(_, counts)| counts);
        let of_pytest = (line.starts_with("==") && line.contains(" in ")).then(|| line.trim_matches('='));
        let Some(counts) = of_cargo.or(of_pytest) else { return };
        let words: Vec<&str> = counts.split([' ', ';', ',']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u64>() else { continue };
            match pair[1] {
                "passed" => self.passed += number,
                "failed" | "error" | "errors" => self.failed += number,
                "ignored" | "skipped" => self.skipped += number,
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

    #[test]
    fn a_test_that_says_so_was_skipped_and_not_passed() {
        let mut tally = Tally::default();
        let output = "test a ... ok\nskipped: network::b: only root can do that\ntest network::b ... ok\n\
                      test result: ok. 2 passed; 0 failed; 1 ignored;\n";
        tally.read(output.as_bytes()).unwrap();
        assert_eq!(tally.sums(), (1, 2));
        assert_eq!(tally.names, ["network::b: only root can do that"]);
    }

    #[test]
    fn bytes_that_are_no_text_do_not_end_the_reading() {
        let mut tally = Tally::default();
        let output = b"no text: \xff\xfe\n=== 3 passed, 1 skipped in 1.00s ===\r\ntest result: ok. 2 passed;";
        tally.read(&output[..]).unwrap();
        assert_eq!((tally.passed, tally.failed, tally.skipped), (5, 0, 1));
    }

    #[test]
    fn those_of_pytest_too() {
        let mut tally = Tally::default();
        tally.add("================== short test summary info ===================");
        tally.add("SKIPPED [1] python/tests/test_x.py:3: there is no npm here");
        tally.add("==== 1 failed, 20 passed, 1 skipped, 2 warnings, 1 error in 12.34s ====");
        assert_eq!((tally.passed, tally.failed, tally.skipped), (20, 2, 1));
        assert_eq!(tally.names.len(), 1);
    }
}
