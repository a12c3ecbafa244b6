//! Every example of every help page, typed as it stands there.

use crate::home::{Home, PYRO, report};
use crate::model_server::{ModelServer, calls, says};
use std::path::Path;
use std::process::{Command, Stdio};

/// All commands with a help page of their own.
const COMMANDS: &[&[&str]] = &[
    &[],
    &["run"],
    &["env", "list"],
    &["env", "pull"],
    &["env", "inspect"],
    &["workspace"],
    &["workspace", "create"],
    &["workspace", "list"],
    &["workspace", "status"],
    &["workspace", "exec"],
    &["workspace", "logs"],
    &["workspace", "sync"],
    &["workspace", "sync", "push"],
    &["workspace", "diff"],
    &["workspace", "export"],
    &["workspace", "service"],
    &["workspace", "service", "start"],
    &["workspace", "service", "list"],
    &["workspace", "service", "status"],
    &["workspace", "service", "logs"],
    &["workspace", "service", "stop"],
    &["workspace", "shell"],
    &["workspace", "shell", "open"],
    &["workspace", "shell", "list"],
    &["workspace", "shell", "read"],
    &["workspace", "shell", "write"],
    &["workspace", "shell", "signal"],
    &["workspace", "shell", "resize"],
    &["workspace", "shell", "attach"],
    &["workspace", "shell", "close"],
    &["workspace", "network"],
    &["workspace", "publish"],
    &["workspace", "stop"],
    &["workspace", "start"],
    &["workspace", "delete"],
    &["mcp"],
    &["mcp", "serve"],
    &["network"],
    &["network", "explain"],
    &["demo"],
    &["demo", "ollama"],
    &["doctor"],
    &["completions"],
    &["man"],
    // Deletes the environments, which would have to be pulled again.
    &["env", "prune"],
];

#[test]
fn the_examples_of_all_help_pages_work() {
    let home = Home::with_own_environments();
    let git = r#"{"environment": "debian:12", "command": "git --version"}"#;
    let conversation = || [calls("vm_run", git), says("It is Debian's.")];
    let model = ModelServer::start(conversation().into_iter().chain(conversation()));
    let mut n_examples = 0;
    for command in COMMANDS {
        let help = Command::new(PYRO).args(*command).arg("--help").output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let (_, examples) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("no examples: {help}"));
        let examples: Vec<&str> = examples.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        run_examples(&home, &model, &examples);
        n_examples += examples.len();
    }
    assert!(n_examples >= 2 * COMMANDS.len(), "{n_examples} examples");
    assert_eq!(model.requests().len(), 4, "the examples of the demo had no conversations");
    home.assert_nothing_left();
}

/// Runs the examples of a page in one shell, since later ones use what earlier ones made.
fn run_examples(home: &Home, model: &ModelServer, examples: &[&str]) {
    let folder = Path::new(PYRO).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let seed = tempfile::tempdir().unwrap(); // some seed a workspace with the current folder
    std::fs::write(seed.path().join("file"), "content\n").unwrap();
    let checked = |example: &&str| {
        assert!(!example.contains("||"), "{example} cannot fail");
        // One example shows how an exit code comes through.
        let expected = if example.contains("exit 3") { 3 } else { 0 };
        format!(
            "{example}\ncode=$?; [ $code = {expected} ] || {{ echo \"ended with $code:\" >&2; exit 1; }}\n"
        )
    };
    let script: String = examples.iter().map(checked).collect();
    let mut shell = Command::new("sh");
    shell.args(["-xc", &script]).current_dir(seed.path());
    shell.env("PATH", path).env("PYRO_HOME", home.path()).env("PYRO_OLLAMA_URL", model.url());
    let output = shell.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{examples:?}: {}", report(&output));
    let prints = !examples.iter().all(|example| example.contains("env pull"));
    assert!(!output.stdout.is_empty() || !prints, "{examples:?} printed nothing");
}
