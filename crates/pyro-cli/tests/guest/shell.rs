//! A shell of a workspace for one test, and what it has shown so far.

use crate::home::wait_until;
use crate::workspace::Workspace;
use serde_json::Value;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Longer than anything takes on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(180);

pub struct Shell<'a, 'b> {
    pub workspace: &'a Workspace<'b>,
    pub id: String,
    /// Where what is expected next may begin.
    cursor: Cell<u64>,
}

impl<'b> Workspace<'b> {
    /// Opens a shell, whose lines are so long that nothing of a test is wrapped.
    pub fn shell(&self) -> Shell<'_, 'b> {
        let opened = self.done(&["shell", "open"], &["--cols", "400"]);
        assert_eq!(opened["state"], "running", "{opened:#}");
        self.shell_of(opened["shell_id"].as_str().unwrap())
    }

    /// The shell of an id.
    pub fn shell_of(&self, id: &str) -> Shell<'_, 'b> {
        Shell { workspace: self, id: id.to_owned(), cursor: Cell::new(0) }
    }
}

impl Shell<'_, '_> {
    /// The result of `pyro workspace shell VERB ID SHELL MORE`, which must succeed.
    pub fn done(&self, verb: &str, more: &[&str]) -> Value {
        self.workspace.done(&["shell", verb], &[&[self.id.as_str()], more].concat())
    }

    /// The error of what must fail.
    pub fn refused(&self, verb: &str, more: &[&str]) -> Value {
        self.workspace.refused(&["shell", verb], &[&[self.id.as_str()], more].concat())
    }

    /// How it is, as the list says.
    pub fn status(&self) -> Value {
        let list = self.workspace.done(&["shell", "list"], &[]);
        let found = list["shells"].as_array().unwrap().iter().find(|shell| shell["shell_id"] == self.id);
        found.unwrap_or_else(|| panic!("{} is not in {list:#}", self.id)).clone()
    }

    /// Waits until it is in a state, and gives it.
    pub fn status_in(&self, state: &str) -> Value {
        wait_until(&format!("the shell is {state}"), || self.status()["state"] == state);
        self.status()
    }

    /// Types a line.
    pub fn line(&self, input: &str) {
        self.done("write", &["--input", input]);
    }

    /// Types keys, without enter.
    pub fn keys(&self, input: &str) {
        self.done("write", &["--no-newline", "--input", input]);
    }

    /// Reads from a cursor as much as one read gives.
    pub fn read(&self, cursor: u64, options: &[&str]) -> Value {
        self.done("read", &[&["--cursor", &cursor.to_string()], options].concat())
    }

    /// Waits until it shows something after what was expected last, and gives all from there to its end.
    pub fn expect(&self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let (mut shown, mut next) = (String::new(), self.cursor.get());
        loop {
            let read = self.read(next, &["--max-chars", "1048576"]);
            if read["truncated"] == true {
                // What is not kept any more is not expected either.
                self.cursor.set(next + read["dropped_chars"].as_u64().unwrap());
                shown.clear();
            }
            shown += read["output"].as_str().unwrap();
            next = read["next_cursor"].as_u64().unwrap();
            if let Some(at) = shown.find(words) {
                shown.truncate(at + words.len());
                self.cursor.set(self.cursor.get() + shown.chars().count() as u64);
                return shown;
            }
            assert!(Instant::now() < deadline, "{words:?} is not shown: {:?}", end_of(&shown));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Where what was expected last ends.
    pub fn cursor(&self) -> u64 {
        self.cursor.get()
    }

    /// Runs a line to its end, and gives its exit code and what it showed.
    pub fn run(&self, line: &str) -> (i32, String) {
        self.line(&format!("echo be''gun; {line}; echo \"en\"\"ded [$?]\""));
        self.expect("begun\r\n");
        let shown = self.expect("ended [");
        let code = self.expect("]");
        let shown = shown.trim_end_matches("ended [").replace("\r\n", "\n");
        (code.trim_end_matches(']').parse().unwrap(), shown)
    }

    /// The same of a line that must succeed.
    pub fn sh(&self, line: &str) -> String {
        let (code, shown) = self.run(line);
        assert_eq!(code, 0, "{line}: {shown}");
        shown
    }

    /// Types a line and waits until a process of the guest has these words in its command line.
    pub fn begin(&self, line: &str, words: &str) {
        self.line(line);
        wait_until(&format!("`{words}` runs"), || !self.workspace.processes(words).is_empty());
    }
}

/// As much of a text as fits into the message of a failed test.
fn end_of(text: &str) -> String {
    let n_chars = text.chars().count();
    text.chars().skip(n_chars.saturating_sub(2000)).collect()
}
