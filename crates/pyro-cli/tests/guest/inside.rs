//! What tests of the network have a guest try, and what came of it (`network/inside.py`, `network/frames.py`).
#![allow(clippy::print_stdout, reason = "tests print what was tried, which `--nocapture` shows")]

use crate::home::{feed, report};
use crate::outside::Outside;
use crate::workspace::{LONG, Workspace};
use serde_json::{Value, json};
use std::fmt::Write;
use std::process::{Output, Stdio};

/// A refusal, and any other answer that needs no waiting, comes within as many seconds in an emulated guest.
const QUICK_SECONDS: f64 = 2.0;

/// What came of some attempts.
pub struct Tried {
    attempts: Vec<Value>,
    pub results: Vec<Value>,
    /// `network_denials` of the command that made the attempts.
    pub denials: Vec<Value>,
}

impl Tried {
    /// Asserts something of each attempt, all together so that a failure shows all.
    pub fn assert_each(&self, is_so: impl Fn(usize, &Value) -> bool) {
        let mut lines = String::new();
        let mut failures = 0;
        for (at, (attempt, result)) in self.attempts.iter().zip(&self.results).enumerate() {
            let good = is_so(at, result);
            failures += u32::from(!good);
            let _ = writeln!(lines, "{} {attempt} -> {result}", if good { "  " } else { "->" });
        }
        assert_eq!(failures, 0, "\n{lines}{:#}", json!(self.denials));
    }

    /// The denial that these fields describe.
    pub fn denial(&self, fields: &Value) -> &Value {
        let fits =
            |denial: &&Value| fields.as_object().unwrap().iter().all(|(name, value)| denial[name] == *value);
        self.denials.iter().find(fits).unwrap_or_else(|| panic!("no {fields} in {:#}", json!(self.denials)))
    }
}

impl Workspace<'_> {
    /// Gives the guest what it needs for its attempts.
    pub fn prepare(&self, world: &Outside) {
        self.put("/root/inside.py", include_str!("network/inside.py"));
        self.put("/root/frames.py", include_str!("network/frames.py"));
        self.put("/root/outside.pem", &world.certificate());
    }

    /// Writes a file in the guest.
    pub fn put(&self, path: &str, text: &str) {
        let output = self.fed(&[], &["sh", "-c", &format!("cat > {path}")], text);
        assert!(output.status.success(), "{}", report(&output));
    }

    /// A command with a standard input, to its end.
    fn fed(&self, options: &[&str], words: &[&str], input: &str) -> Output {
        let mut command = self.command(&["exec"], &[&LONG[..], options, &["--"], words].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        feed(command.spawn().unwrap(), input.into())
    }

    /// What a program in the guest makes of a list, and what it was refused.
    fn told(&self, program: &str, list: &[Value]) -> (Vec<Value>, Vec<Value>) {
        let output = self.fed(&["--json"], &["python3", program], &json!(list).to_string());
        let exec: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", report(&output)));
        assert_eq!(exec["exit_code"], 0, "{exec:#}");
        let results: Vec<Value> = serde_json::from_str(exec["stdout"].as_str().unwrap()).unwrap();
        assert_eq!(results.len(), list.len());
        (results, exec["network_denials"].as_array().unwrap().clone())
    }

    /// Makes attempts, several at once.
    pub fn attempt(&self, attempts: Vec<Value>) -> Tried {
        let (results, denials) = self.told("/root/inside.py", &attempts);
        for (attempt, result) in attempts.iter().zip(&results) {
            println!("{attempt} -> {result}");
        }
        Tried { attempts, results, denials }
    }

    /// Makes attempts whose outcomes are known: one of those that `|` separates.
    pub fn expect(&self, wanted: &[(Value, &str)]) -> Tried {
        let tried = self.attempt(wanted.iter().map(|(attempt, _)| attempt.clone()).collect());
        tried.assert_each(|at, result| wanted[at].1.split('|').any(|outcome| result["outcome"] == outcome));
        tried
    }

    /// Asserts that each attempt came to its end at once. Those that did not are made again: what hangs does so twice, and
    /// what had to wait for a busy machine does not.
    pub fn assert_quick(&self, tried: &Tried) {
        let is_quick = |result: &Value| result["seconds"].as_f64().unwrap() < QUICK_SECONDS;
        let slow = tried.attempts.iter().zip(&tried.results).filter(|(_, result)| !is_quick(result));
        let slow: Vec<Value> = slow.map(|(attempt, _)| attempt.clone()).collect();
        if !slow.is_empty() {
            self.attempt(slow).assert_each(|_, result| is_quick(result));
        }
    }

    /// Sends packets in frames of their own, and tells what came back for each.
    pub fn send(&self, packets: &[Value]) -> Vec<String> {
        let (outcomes, _) = self.told("/root/frames.py", packets);
        outcomes.into_iter().map(|outcome| outcome.as_str().unwrap().to_owned()).collect()
    }

    /// `workspace network`, with what is to change.
    pub fn network(&self, change: &[&str]) -> Value {
        self.done(&["network"], change)
    }
}
