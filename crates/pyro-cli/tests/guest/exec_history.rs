//! Commands of a workspace: several at once, what they come to, and what the history keeps of them.

use crate::home::{Home, feed, report, signal, wait_until};
use crate::trees::noise;
use crate::workspace::Workspace;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Stdio};

#[test]
fn commands_overlap_and_each_is_kept_once() {
    let home = Home::new();
    let workspace = home.workspace();
    workspace.sh("mkfifo one two");
    // Neither ends before the other has begun.
    let first = workspace.spawn("echo from first > one; cat two");
    let second = workspace.spawn("cat one; echo from second > two");
    assert_eq!(first.wait_with_output().unwrap().stdout, b"from second\n");
    assert_eq!(second.wait_with_output().unwrap().stdout, b"from first\n");
    let run = |number: usize| {
        let result =
            workspace.sh_json(&[], &format!("echo out {number}; echo err {number} >&2; exit {number}"));
        (result["sequence"].as_u64().unwrap(), number, result)
    };
    let mut results: Vec<(u64, usize, Value)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|number| scope.spawn(move || run(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    results.sort_by_key(|result| result.0);
    let entries = workspace.entries();
    let numbers: Vec<u64> = entries.iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=11).collect::<Vec<u64>>());
    for ((sequence, number, result), entry) in results.iter().zip(&entries[3..]) {
        assert_eq!((&entry["sequence"], &entry["exit_code"]), (&json!(sequence), &json!(number)));
        assert_eq!(
            (&entry["stdout"], &entry["stderr"]),
            (&json!(format!("out {number}\n")), &json!(format!("err {number}\n")))
        );
        for field in
            ["command", "cwd", "exit_code", "duration_ms", "execution_mode", "stdout", "stderr", "truncated"]
        {
            assert_eq!(entry[field], result[field], "{field}: {entry:#}");
        }
        assert!(entry["recorded_at"].as_f64().unwrap() > 1.0 && entry["running"] == false, "{entry:#}");
    }
    let status = workspace.status();
    assert_eq!((&status["command_count"], &status["last_command"]["sequence"]), (&json!(11), &json!(11)));
    drop(workspace);
    home.assert_nothing_left();
}

#[test]
fn every_end_of_a_command_is_told_and_kept() {
    let home = Home::new();
    let workspace = home.workspace();
    for (script, code) in
        [("true", 0), ("exit 1", 1), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
    {
        let output = workspace.exec(&["sh", "-c", script]);
        assert_eq!(output.status.code(), Some(code), "{}", report(&output));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            stderr.contains("[workspace-exec] ") && stderr.contains(&format!("exit_code={code}")),
            "{stderr}"
        );
        assert_last(&workspace, code);
    }
    let late = workspace.sh_json(&["--timeout-seconds", "2"], "echo before; sleep 1000; echo after");
    assert_eq!((&late["exit_code"], &late["timed_out"]), (&json!(124), &json!(true)), "{late}");
    assert_eq!(late["stdout"], "before\n");
    assert_last(&workspace, 124);
    for (words, code) in [(["no-such-program"], 127), (["/etc/passwd"], 126)] {
        let output = workspace.exec(&words);
        assert_eq!(output.status.code(), Some(code), "{}", report(&output));
        let entry = workspace.entries().pop().unwrap();
        assert_eq!((&entry["exit_code"], entry["error"].is_string()), (&json!(code), true), "{entry:#}");
        let json = workspace.refused(&["exec"], &["--", words[0]]);
        assert_eq!(json["kind"], "exec_not_started", "{json}");
    }
    assert_eq!(workspace.sh("pwd; echo $HOME; id -u"), "/workspace\n/root\n0\n");
    drop(workspace);
    home.assert_nothing_left();
}

fn assert_last(workspace: &Workspace<'_>, exit_code: i32) {
    let entry = workspace.entries().pop().unwrap();
    assert_eq!((&entry["exit_code"], &entry["error"]), (&json!(exit_code), &Value::Null), "{entry:#}");
}

#[test]
fn output_is_kept_whole_and_input_goes_in() {
    const N_BYTES: usize = 30_000_000;
    let home = Home::new();
    let workspace = home.workspace();
    let result = workspace.sh_json(&[], &format!("yes 0123456789abcdef | head -c {N_BYTES}; echo oops >&2"));
    assert_eq!((&result["truncated"], &result["stderr"]), (&json!(true), &json!("oops\n")));
    assert_eq!(result["stdout"].as_str().unwrap().len(), 8 * 1024 * 1024);
    let expected: Vec<u8> = b"0123456789abcdef\n".iter().copied().cycle().take(N_BYTES).collect();
    assert!(fs::read(workspace.folder().join("history/000001.stdout")).unwrap() == expected);
    let logs = workspace.done(&["logs"], &[]);
    assert_eq!(logs["entries"][0]["truncated"], true);
    assert!(logs["entries"][0]["stdout"].as_str().unwrap().len() < 1_000_000);
    let whole = workspace.command(&["logs"], &["--sequence", "1"]).output().unwrap();
    assert!(whole.status.success(), "{}", report(&whole));
    assert!(contains(&whole.stdout, &expected), "{} bytes came", whole.stdout.len());

    let input = noise(5_000_000, 5);
    let mut command = workspace.exec_command(&["sh", "-c", "tee copy; cksum copy >&2"]);
    let output = feed(command.stdin(Stdio::piped()).spawn().unwrap(), input.clone());
    assert!(output.status.success(), "{}", report(&output));
    assert!(output.stdout == input, "{} bytes came back", output.stdout.len());
    let binary = workspace.command(&["logs"], &["--sequence", "2"]).output().unwrap();
    assert!(contains(&binary.stdout, &input));
    // A command that does not read is no trouble.
    let mut command = workspace.exec_command(&["true"]);
    let output = feed(command.stdin(Stdio::piped()).spawn().unwrap(), input);
    assert!(output.status.success(), "{}", report(&output));
    let bytes = workspace.sh_json(&[], r"printf 'a\377b'");
    assert_eq!(bytes["stdout"], "a\u{fffd}b");
    drop(workspace);
    home.assert_nothing_left();
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    let Some(start) = bytes.windows(64).position(|window| window == &part[..64]) else { return false };
    bytes[start..].starts_with(part)
}

#[test]
fn logs_are_followed_until_the_workspace_ends() {
    let home = Home::new();
    let workspace = home.workspace();
    workspace.sh("echo earlier");
    let mut follower = workspace.command(&["logs"], &["--follow"]);
    let mut follower = follower.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut followed = BufReader::new(follower.stdout.take().unwrap()).lines();
    wait_for_line(&mut followed, "earlier");
    let mut command = workspace.exec_command(&["sh", "-c", "while read line; do echo got $line; done"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Each turn needs the one before it to have come all the way.
    for turn in 0..5 {
        writeln!(stdin, "{turn}").unwrap();
        wait_for_line(&mut followed, &format!("got {turn}"));
    }
    // One command alone, followed to its end.
    let mut one = workspace.command(&["logs"], &["--sequence", "2", "--follow"]);
    let one = one.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
    let one = one.wait_with_output().unwrap();
    assert!(one.status.success() && contains_text(&one.stdout, "got 4\n"), "{}", report(&one));
    assert!(!contains_text(&one.stdout, "earlier"), "{}", report(&one));
    workspace.stop();
    let rest: Vec<String> = followed.map(Result::unwrap).collect();
    assert!(rest.iter().any(|line| line.contains("exit_code=0")), "{rest:?}");
    assert!(follower.wait().unwrap().success());
    // Of a stopped one there is nothing to wait for.
    let ended = workspace.command(&["logs"], &["--follow"]).output().unwrap();
    assert!(ended.status.success() && contains_text(&ended.stdout, "got 4\n"), "{}", report(&ended));
    drop(workspace);
    home.assert_nothing_left();
}

fn contains_text(bytes: &[u8], part: &str) -> bool {
    String::from_utf8_lossy(bytes).contains(part)
}

fn wait_for_line(lines: &mut Lines<BufReader<ChildStdout>>, wanted: &str) {
    let found = lines.map(Result::unwrap).any(|line| line == wanted);
    assert!(found, "`{wanted}` did not come");
}

#[test]
fn a_client_that_goes_takes_its_command_with_it() {
    let home = Home::new();
    let workspace = home.workspace();
    let script = "echo $$ > pid; trap '' HUP; echo begun; sleep 1000";
    let (mut killed, _lines) = begun(&workspace, script);
    killed.kill().unwrap();
    killed.wait().unwrap();
    check_ended(&workspace);
    let entry = workspace.entries().remove(0);
    assert_eq!((&entry["exit_code"], &entry["stdout"]), (&Value::Null, &json!("begun\n")), "{entry:#}");
    assert!(entry["error"].as_str().unwrap().contains("client"), "{entry:#}");

    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let (mut interrupted, _lines) = begun(&workspace, script);
        signal(interrupted.id(), name);
        assert_eq!(interrupted.wait().unwrap().code(), Some(code));
        check_ended(&workspace);
    }
    // A reader that has enough ends the command, quietly.
    let mut endless = workspace.exec_command(&["sh", "-c", "echo $$ > pid; yes"]).spawn().unwrap();
    let mut first = BufReader::new(endless.stdout.take().unwrap()).lines();
    assert_eq!(first.next().unwrap().unwrap(), "y");
    drop(first);
    let output = endless.wait_with_output().unwrap();
    assert!(output.status.success() && !report(&output).contains("error"), "{}", report(&output));
    check_ended(&workspace);
    drop(workspace);
    home.assert_nothing_left();
}

/// A script that has printed `begun`.
fn begun(workspace: &Workspace<'_>, script: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = workspace.spawn(script);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "begun");
    (child, lines)
}

/// Neither the history nor the guest has a command that runs.
fn check_ended(workspace: &Workspace<'_>) {
    wait_until("the history says that it has ended", || {
        workspace.entries().iter().all(|entry| entry["running"] == false)
    });
    wait_until("its process is gone", || {
        workspace.sh("kill -0 $(cat pid) 2>&1 || echo gone").ends_with("gone\n")
    });
}
