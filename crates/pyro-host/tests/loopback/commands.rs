//! Commands: how they start, what they are given, how they end.

use crate::guest::{Fifo, Guest, command, finish, shell, within};
use pyro_host::error::ErrorKind;
use pyro_host::guest::{ExecEvent, ExecNotStarted};
use pyro_protocol::exec::{Exec, ExecFailure};
use std::error::Error;
use std::os::unix::fs::PermissionsExt;

#[tokio::test]
async fn every_exit_code_comes_back() {
    let guest = Guest::start();
    for code in 0..=255 {
        let exited = guest.shell(&format!("exit {code}")).await.exited;
        assert_eq!((exited.code, exited.signal, exited.timed_out), (Some(code), None, false));
    }
    guest.stop();
}

#[tokio::test]
async fn the_signal_that_ended_a_command_comes_back() {
    let guest = Guest::start();
    for signal in [1, 2, 6, 9, 10, 13, 15, 34, 64] {
        let mut execution = guest.connection.exec(Exec { stdin: true, ..command(&["cat"]) }).unwrap();
        let _stdin = execution.stdin().unwrap();
        assert!(matches!(within(execution.next()).await.unwrap(), ExecEvent::Started { .. }));
        execution.signal(signal).unwrap();
        let exited = within(finish(&mut execution)).await.exited;
        assert_eq!((exited.code, exited.signal), (None, Some(signal)));
    }
    guest.stop();
}

#[tokio::test]
async fn commands_start_with_default_signals_in_a_session_of_their_own() {
    let guest = Guest::start();
    let status = guest.run(command(&["grep", "^Sig", "/proc/self/status"])).await;
    let mask = |name: &str| {
        let line = status.text().lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim_start(), 16).unwrap()
    };
    assert_eq!(mask("SigBlk:"), 0);
    // This process may itself have been started with real-time signals ignored, which is not the agent's doing.
    assert_eq!(mask("SigIgn:") & 0x7fff_ffff, 0);
    let stat = guest.run(command(&["cut", "-d", " ", "-f", "1,5,6", "/proc/self/stat"])).await;
    let [pid, group, session] = stat.text().trim_end().split(' ').collect::<Vec<_>>()[..] else {
        panic!("{stat:?}")
    };
    assert_eq!((pid, pid), (group, session));
    guest.stop();
}

#[tokio::test]
async fn arguments_keep_their_boundaries() {
    let guest = Guest::start();
    let arguments = ["", " ", "a b", "*", "$HOME", "\"'", "\\", "\n", "-n", "ä\u{10ffff}", "--"];
    let script = r#"for argument in "$@"; do printf '%s\001' "$argument"; done"#;
    let mut argv = vec!["sh", "-c", script, "name"];
    argv.extend(arguments);
    let output = guest.run(command(&argv)).await;
    let expected: String = arguments.iter().map(|argument| format!("{argument}\u{1}")).collect();
    assert_eq!(output.text(), expected);
    guest.stop();
}

#[tokio::test]
async fn the_environment_is_exactly_what_was_asked_for() {
    let guest = Guest::start();
    let env = [("A", "1"), ("EMPTY", ""), ("TEXT", "x=y z\n"), ("PATH", "/usr/bin:/bin")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let output = guest.run(Exec { env, ..command(&["env", "-0"]) }).await;
    assert_eq!(output.text(), "A=1\0EMPTY=\0PATH=/usr/bin:/bin\0TEXT=x=y z\n\0");
    guest.stop();
}

#[tokio::test]
async fn the_working_directory_is_the_one_asked_for() {
    let guest = Guest::start();
    let folder = tempfile::tempdir().unwrap();
    let cwd = folder.path().canonicalize().unwrap().to_str().unwrap().to_owned();
    let output = guest.run(Exec { cwd: cwd.clone(), ..command(&["pwd", "-P"]) }).await;
    assert_eq!(output.text().trim_end(), cwd);
    guest.stop();
}

#[tokio::test]
async fn a_command_without_input_reads_an_empty_one() {
    let guest = Guest::start();
    let output = guest.run(command(&["readlink", "/proc/self/fd/0"])).await;
    assert_eq!(output.text(), "/dev/null\n");
    guest.stop();
}

async fn refusal(guest: &Guest, exec: Exec) -> ExecNotStarted {
    let mut execution = guest.connection.exec(exec).unwrap();
    let error = within(execution.next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ExecNotStarted);
    error.source().unwrap().downcast_ref::<ExecNotStarted>().unwrap().clone()
}

#[tokio::test]
async fn what_cannot_be_started_is_told_apart() {
    let guest = Guest::start();
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "text").unwrap();
    let plain = plain.to_str().unwrap().to_owned();
    let path = folder.path().to_str().unwrap().to_owned();

    let missing = refusal(&guest, command(&["no-such-program"])).await;
    assert_eq!(missing.failure, ExecFailure::NotFound);
    assert_eq!(missing.message, "`no-such-program`: No such file or directory");
    assert_eq!(refusal(&guest, command(&["/no/such/program"])).await.failure, ExecFailure::NotFound);
    assert_eq!(refusal(&guest, command(&[""])).await.failure, ExecFailure::NotFound);
    assert_eq!(refusal(&guest, command(&[&plain])).await.failure, ExecFailure::NotExecutable);
    let env = [("PATH".to_owned(), path.clone())].into();
    assert_eq!(
        refusal(&guest, Exec { env, ..command(&["plain"]) }).await.failure,
        ExecFailure::NotExecutable
    );
    assert_eq!(refusal(&guest, command(&[&path])).await.failure, ExecFailure::NotExecutable);
    std::fs::set_permissions(&plain, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(refusal(&guest, command(&[&plain])).await.failure, ExecFailure::NotExecutable);
    let lost = refusal(&guest, Exec { cwd: "/no/such/folder".into(), ..command(&["true"]) }).await;
    assert_eq!(lost.failure, ExecFailure::NotFound);
    assert_eq!(lost.message, "working directory `/no/such/folder`: No such file or directory");
    assert_eq!(refusal(&guest, command(&[])).await.failure, ExecFailure::BadRequest);
    assert_eq!(refusal(&guest, command(&["a\0b"])).await.failure, ExecFailure::BadRequest);
    assert_eq!(guest.shell("exit 3").await.exited.code, Some(3), "the agent goes on");
    guest.stop();
}

#[tokio::test]
async fn a_request_too_long_for_the_protocol_is_refused_here() {
    let guest = Guest::start();
    let error = guest.connection.exec(command(&["echo", &"x".repeat(70_000)])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(guest.run(command(&["echo", &"x".repeat(60_000)])).await.stdout.len(), 60_001);
    guest.stop();
}

#[tokio::test]
async fn a_background_child_does_not_keep_its_command_from_ending() {
    let guest = Guest::start();
    // The child holds all three pipes, and ends when the agent closes the input.
    let mut execution = guest.connection.exec(Exec { stdin: true, ..shell("cat <&0 & echo done") }).unwrap();
    let stdin = execution.stdin();
    let output = within(finish(&mut execution)).await;
    assert_eq!((output.text(), output.exited.code), ("done\n", Some(0)));
    drop(stdin);
    guest.stop();
}

#[tokio::test]
async fn what_a_command_printed_before_its_end_is_all_there() {
    let guest = Guest::start();
    // More than a pipe holds, then a background child that never stops printing until it is not read any more.
    let output = guest.shell("head -c 300000 /dev/zero; yes background & exit 5").await;
    assert_eq!(output.exited.code, Some(5));
    assert_eq!(output.stdout.iter().filter(|byte| **byte == 0).count(), 300_000);
    guest.stop();
}

#[tokio::test]
async fn a_time_out_ends_the_command_and_its_children() {
    let guest = Guest::start();
    for (script, signal) in [("", 15), ("trap '' TERM;", 9)] {
        let fifo = Fifo::new();
        let (opened, closed) = fifo.opened_and_closed();
        let path = fifo.path.display();
        let script = format!(
            "{script} exec 3>{path}; (trap '' TERM; exec cat /dev/zero >/dev/null) & cat /dev/zero >/dev/null; wait"
        );
        let exec = Exec { timeout_ms: Some(300), ..shell(&script) };
        let exited = guest.run(exec).await.exited;
        assert_eq!((exited.code, exited.signal, exited.timed_out), (None, Some(signal), true));
        assert!(exited.elapsed_us >= if signal == 15 { 300_000 } else { 2_300_000 }, "{exited:?}");
        opened.await;
        closed.await;
    }
    guest.stop();
}

#[tokio::test]
async fn a_command_that_ends_in_time_is_not_timed_out() {
    let guest = Guest::start();
    let output = guest.run(Exec { timeout_ms: Some(u64::MAX), ..shell("exit 4") }).await;
    assert_eq!((output.exited.code, output.exited.timed_out), (Some(4), false));
    guest.stop();
}

#[tokio::test]
async fn an_execution_that_is_dropped_takes_its_command_along() {
    let guest = Guest::start();
    let fifo = Fifo::new();
    let (opened, closed) = fifo.opened_and_closed();
    let script = format!("exec 3>{}; trap '' TERM INT HUP; cat /dev/zero", fifo.path.display());
    let execution = guest.connection.exec(shell(&script)).unwrap();
    opened.await;
    drop(execution);
    closed.await;
    assert_eq!(guest.shell("echo next").await.text(), "next\n");
    guest.stop();
}

#[tokio::test]
async fn many_commands_run_at_a_time() {
    let guest = Guest::start();
    let mut executions = Vec::new();
    for n in 0..50 {
        let exec = Exec { stdin: true, ..shell(&format!("read line; echo $line {n}; exit {n}")) };
        let mut execution = guest.connection.exec(exec).unwrap();
        let stdin = execution.stdin().unwrap();
        executions.push((n, execution, stdin));
    }
    for (n, execution, stdin) in executions.iter_mut().rev() {
        within(stdin.send(b"hello\n")).await.unwrap();
        let output = within(finish(execution)).await;
        assert_eq!((output.text(), output.exited.code), (format!("hello {n}\n").as_str(), Some(*n)));
    }
    guest.stop();
}

#[tokio::test]
async fn more_commands_than_the_protocol_allows_are_refused_here() {
    // Four descriptors for each command are more than some users have by default.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    let guest = Guest::start();
    let mut executions = Vec::new();
    for _ in 0..pyro_protocol::MAX_STREAMS {
        let mut execution = guest.connection.exec(Exec { stdin: true, ..command(&["cat"]) }).unwrap();
        let stdin = execution.stdin().unwrap();
        executions.push((execution, stdin));
    }
    assert_eq!(guest.connection.exec(command(&["true"])).unwrap_err().kind(), ErrorKind::WrongState);
    for (execution, stdin) in &mut executions {
        within(stdin.send(b"x")).await.unwrap();
        assert!(matches!(within(execution.next()).await.unwrap(), ExecEvent::Started { .. }));
    }
    let (mut execution, stdin) = executions.pop().unwrap();
    stdin.finish();
    assert_eq!(within(finish(&mut execution)).await.text(), "x");
    assert_eq!(guest.shell("exit 6").await.exited.code, Some(6));
    drop(executions);
    guest.stop();
}
