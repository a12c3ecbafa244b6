//! What a run gives back: exit codes, output, JSON.

use crate::home::{BASE, Home, feed, report};
use std::process::Stdio;

#[test]
fn a_command_runs_in_a_real_guest() {
    let home = Home::new();
    let kernel = home.stdout(&["uname", "-sr"]);
    assert!(kernel.starts_with("Linux ") && kernel.contains("cloud-amd64"), "{kernel}");
    let host = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_ne!(kernel.trim(), format!("Linux {}", host.trim()));
    home.assert_nothing_left();
}

#[test]
fn exit_codes_and_signals_are_passed_through() {
    let home = Home::new().warmed();
    for code in [0, 1, 2, 7, 124, 125, 126, 127, 255] {
        let output = home.run(&["sh", "-c", &format!("exit {code}")]);
        assert_eq!(output.status.code(), Some(code), "{}", report(&output));
    }
    for (signal, code) in [("TERM", 143), ("KILL", 137), ("SEGV", 139)] {
        let output = home.run(&["sh", "-c", &format!("kill -{signal} $$")]);
        assert_eq!(output.status.code(), Some(code), "{}", report(&output));
    }
    home.assert_nothing_left();
}

#[test]
fn commands_that_cannot_start_are_told_apart() {
    let home = Home::new().warmed();
    let missing = home.run(&["no-such-program"]);
    assert_eq!(missing.status.code(), Some(127), "{}", report(&missing));
    let stderr = String::from_utf8_lossy(&missing.stderr);
    assert!(stderr.contains("no-such-program") && stderr.contains("hint: "), "{stderr}");
    let not_executable = home.run(&["/etc/passwd"]);
    assert_eq!(not_executable.status.code(), Some(126), "{}", report(&not_executable));
    let json = home.json(&[], &["no-such-program"]);
    assert_eq!(json["error"]["kind"], "exec_not_started");
    home.assert_nothing_left();
}

#[test]
fn argument_boundaries_survive() {
    let home = Home::new().warmed();
    let words = ["printf", "<%s>", "a b", "", "c\nd", "$HOME", "'quoted'", "--json", "ü→😀", "\\"];
    assert_eq!(home.stdout(&words), "<a b><><c\nd><$HOME><'quoted'><--json><ü→😀><\\>");
    home.assert_nothing_left();
}

#[test]
fn stdin_stdout_and_stderr_carry_any_bytes_each_on_its_own() {
    let home = Home::new().warmed();
    let every_byte: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut command = home.pyro(&["run", BASE, "--", "sh", "-c", "cat; echo oops >&2"]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = feed(child, every_byte.clone());
    assert!(output.status.success(), "{}", report(&output));
    assert_eq!(output.stdout, every_byte);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("oops\n[run] environment=debian:12-base execution_mode=guest"), "{stderr}");
    home.assert_nothing_left();
}

#[test]
fn json_says_everything_and_nothing_else_is_on_stdout() {
    let home = Home::new().warmed();
    let json = home.json(&[], &["sh", "-c", "echo out; echo err >&2; exit 3"]);
    let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "accelerator",
        "command",
        "duration_ms",
        "environment",
        "execution_mode",
        "exit_code",
        "isolation",
        "network_denials",
        "stderr",
        "stdout",
        "timed_out",
        "timings",
        "truncated",
    ];
    assert_eq!(keys, expected);
    assert_eq!(json["stdout"], "out\n");
    assert_eq!(json["stderr"], "err\n");
    assert_eq!(json["exit_code"], 3);
    assert_eq!(json["execution_mode"], "guest");
    assert_eq!(json["timed_out"], false);
    assert_eq!(json["truncated"], false);
    assert!(["full", "partial"].contains(&json["isolation"].as_str().unwrap()), "{json}");
    assert_eq!(json["network_denials"], serde_json::json!([]));
    assert_eq!(json["command"], serde_json::json!(["sh", "-c", "echo out; echo err >&2; exit 3"]));
    let timings = &json["timings"];
    let parts = [
        "prepare_ms",
        "pull_ms",
        "template_ms",
        "disk_ms",
        "spawn_ms",
        "restore_ms",
        "hello_ms",
        "exec_ms",
        "teardown_ms",
    ];
    let sum: f64 = parts.iter().map(|part| timings[part].as_f64().unwrap()).sum();
    let total = timings["total_ms"].as_f64().unwrap();
    assert!(sum <= total * 1.01 && sum > total * 0.8, "parts {sum}, total {total}: {timings}");
    home.assert_nothing_left();
}

#[test]
fn a_time_out_ends_the_command_and_keeps_its_output() {
    let home = Home::new().warmed();
    let json = home.json(&["--timeout-seconds", "2"], &["sh", "-c", "echo before; sleep 1000; echo after"]);
    assert_eq!(json["exit_code"], 124, "{json}");
    assert_eq!(json["timed_out"], true);
    assert_eq!(json["stdout"], "before\n");
    let stubborn = "trap '' TERM; echo before; while :; do sleep 1; done";
    let json = home.json(&["--timeout-seconds", "2"], &["sh", "-c", stubborn]);
    assert_eq!(
        (json["exit_code"].as_i64(), json["stdout"].as_str()),
        (Some(124), Some("before\n")),
        "{json}"
    );
    home.assert_nothing_left();
}

#[test]
fn the_time_to_live_ends_the_machine() {
    let home = Home::new().warmed();
    let json = home.json(&["--ttl-seconds", "3", "--timeout-seconds", "600"], &["sleep", "1000"]);
    assert_eq!((json["exit_code"].as_i64(), json["timed_out"].as_bool()), (Some(124), Some(true)), "{json}");
    home.assert_nothing_left();
}

#[test]
fn output_comes_while_the_command_runs() {
    use std::io::{BufRead, BufReader, Write};
    let home = Home::new().warmed();
    let mut command = home.pyro(&["run", BASE, "--", "sh", "-c", "while read line; do echo got $line; done"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut stdin, mut lines) =
        (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
    // Each turn of this conversation needs the one before it.
    for turn in 0..5 {
        writeln!(stdin, "{turn}").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), format!("got {turn}"));
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
    home.assert_nothing_left();
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    use std::io::Read;
    let home = Home::new().warmed();
    let mut command = home.pyro(&["run", BASE, "--", "yes"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 100]).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", report(&output));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("error"), "{}", report(&output));
    home.assert_nothing_left();
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let home = Home::new().warmed();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = home.pyro(&["run", BASE, "--", "seq", "1", "1000000"]);
    let output = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(125), "{}", report(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"), "{}", report(&output));
    home.assert_nothing_left();
}

#[test]
fn a_reader_that_never_reads_holds_up_neither_the_time_out_nor_a_signal() {
    let home = Home::new().warmed();
    let begun = std::time::Instant::now();
    let mut command = home.pyro(&["run", BASE, "--timeout-seconds", "2", "--", "yes"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let unread = child.stdout.take();
    assert_eq!(child.wait().unwrap().code(), Some(124));
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    drop(unread);
    let mut command = home.pyro(&["run", BASE, "--", "yes"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    std::io::Read::read_exact(&mut stdout, &mut [0; 100]).unwrap();
    let ended = std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(ended.success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    home.assert_nothing_left();
}
