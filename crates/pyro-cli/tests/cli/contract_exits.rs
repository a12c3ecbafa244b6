//! Exit codes, each of them seen.

use crate::home::{Home, eventually};
use crate::model_server::{ModelServer, Reply};
use std::process::{Command, Stdio};

/// What ends with which code, in words that go into the contract.
pub fn lines() -> Vec<String> {
    let home = Home::new();
    let ends = |words: &[&str]| code(&mut home.command(words));
    let runs = |words: &[&str]| {
        ends(&[&["run", "debian:12", "--allow-host-compat", "--timeout-seconds", "1", "--"], words].concat())
    };
    let mut seen = vec![
        (ends(&["env", "list"]), "done"),
        (into_a_closed_pipe(&home), "nobody reads the output any more"),
        (ends(&["doctor"]), "doctor: guests cannot run on this host"),
        (ends(&["frobnicate"]), "wrong usage"),
        (ends(&["run", "debian:12", "--mem-mib", "1", "--", "true"]), "an argument that is out of range"),
        (runs(&["sleep", "1000"]), "the command, or the machine of a run, ran out of time"),
        (ends(&["env", "inspect", "nothing"]), "pyro failed; standard error says why and what to do"),
        (runs(&["/etc/passwd"]), "the command is not executable"),
        (runs(&["no-such-command"]), "the command is not there"),
    ];
    for (signal, what) in
        [("HUP", "ended by SIGHUP"), ("INT", "ended by SIGINT"), ("TERM", "ended by SIGTERM")]
    {
        seen.push((interrupted(&home, signal), what));
    }
    assert_eq!((runs(&["sh", "-c", "exit 77"]), runs(&["sh", "-c", "kill -9 $$"])), (77, 128 + 9));
    let mut lines: Vec<String> = seen.into_iter().map(|(code, what)| format!("{code} {what}")).collect();
    lines.push("0-255 run, workspace exec: the command's own".into());
    lines.push("128+N run, workspace exec: the command was ended by signal N".into());
    lines
}

fn code(command: &mut Command) -> i32 {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().code().unwrap()
}

fn into_a_closed_pipe(home: &Home) -> i32 {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    home.command(&["env", "list"]).stdout(writer).status().unwrap().code().unwrap()
}

/// What pyro ends with when it gets a signal while it waits for somebody.
fn interrupted(home: &Home, signal: &str) -> i32 {
    let server = ModelServer::start([Reply::Nothing]);
    let mut command = home.command(&["demo", "ollama", "--base-url", &server.url()]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("no request comes", || !server.requests().is_empty());
    assert!(Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap().success());
    child.wait().unwrap().code().unwrap()
}
