//! Every example of every help page, typed as it stands there.

use crate::home::{Home, PYRO, report};
use std::path::Path;
use std::process::{Command, Stdio};

/// All commands with a help page of their own.
const COMMANDS: &[&[&str]] = &[
    &[],
    &["run"],
    &["env", "list"],
    &["env", "pull"],
    &["env", "inspect"],
    &["env", "prune"],
    &["doctor"],
    &["completions"],
    &["man"],
];

#[test]
fn the_examples_of_all_help_pages_work() {
    let home = Home::with_own_environments();
    let mut n_examples = 0;
    for command in COMMANDS {
        let help = Command::new(PYRO).args(*command).arg("--help").output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let (_, examples) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("no examples: {help}"));
        for example in examples.lines().map(str::trim).filter(|line| !line.is_empty()) {
            run_example(&home, example);
            n_examples += 1;
        }
    }
    assert!(n_examples >= 2 * COMMANDS.len(), "{n_examples} examples");
    home.assert_nothing_left();
}

fn run_example(home: &Home, example: &str) {
    let folder = Path::new(PYRO).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", example]).env("PATH", path).env("PYRO_HOME", home.path()).stdin(Stdio::null());
    let output = shell.output().unwrap();
    // One example shows how an exit code comes through.
    let expected = if example.contains("exit 3") { 3 } else { 0 };
    assert_eq!(output.status.code(), Some(expected), "{example}: {}", report(&output));
    assert!(!output.stdout.is_empty() || example.contains("env pull"), "{example} printed nothing");
}
