//! Services that do not come to be: why is told with the probe's last answer and the end of their log, and nothing of
//! them is left in the guest.

use crate::home::{Home, report, signal, wait_until};
use crate::workspace::Workspace;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Answers every request with 503, on a port.
const UNAVAILABLE: &str = r#"perl -MIO::Socket::INET -e '
    my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 7003, Listen => 5) or die;
    while (my $c = $s->accept) { my $r = <$c>; print $c "HTTP/1.0 503 Not Now\r\n\r\n"; close $c }'"#;

#[test]
fn a_service_that_does_not_become_ready_says_why_and_is_gone() {
    let home = Home::new();
    let workspace = home.workspace();
    check_never_ready(&workspace);
    check_dies_first(&workspace);
    check_forks_away(&workspace);
    check_not_started(&workspace);
    // All of these names may be started again.
    for name in ["silent", "sick", "dies", "forks", "missing", "nowhere"] {
        assert_eq!(workspace.serve(name, &[], "exec sleep 1000")["state"], "running", "{name}");
    }
    assert_eq!(workspace.diff()["changed"], false);
    drop(workspace);
    home.assert_nothing_left();
}

fn assert_says(error: &Value, kind: &str, words: &[&str]) {
    assert_eq!(error["kind"], kind, "{error:#}");
    let message = error["message"].as_str().unwrap();
    for words in words {
        assert!(message.contains(words), "`{words}` is not in: {message}");
    }
    assert!(error["hint"].as_str().unwrap().contains("service logs"), "{error:#}");
}

fn check_never_ready(workspace: &Workspace<'_>) {
    let options = ["--ready-timeout-seconds", "3", "--ready-interval-ms", "100"];
    let begun = Instant::now();
    let script = "echo first; seq 100; echo last words >&2; setsid sleep 11111 & exec sleep 22222";
    let error = workspace.serve_refused(
        "silent",
        &[&options[..], &["--ready-tcp", "127.0.0.1:7004"]].concat(),
        script,
    );
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_says(&error, "timeout", &["silent", "127.0.0.1:7004", "efused", "\n99\n100", "last words"]);
    assert!(!error["message"].as_str().unwrap().contains("first"), "more than the end of the log: {error:#}");
    assert_failed(workspace, "silent", "readiness_timeout");
    // One that must be killed, and a probe that is answered, but not well.
    workspace.serve(
        "answers",
        &["--ready-tcp", "127.0.0.1:7003", "--ready-timeout-seconds", "300"],
        UNAVAILABLE,
    );
    let script = "trap '' TERM; echo here; while :; do sleep 22222; done";
    let url = "http://127.0.0.1:7003/health";
    let error = workspace.serve_refused("sick", &[&options[..], &["--ready-http", url]].concat(), script);
    assert_says(&error, "timeout", &["sick", "503", "here"]);
    assert_failed(workspace, "sick", "readiness_timeout");
    workspace.stop_service("answers");
    for left in ["sleep 11111", "sleep 22222", "Socket"] {
        assert!(workspace.processes(left).is_empty(), "{left}");
    }
    assert_eq!(workspace.service_counts(), (3, 0));
}

/// The record of one that failed, with how it ended.
fn assert_failed(workspace: &Workspace<'_>, name: &str, stop_reason: &str) -> Value {
    let status = workspace.service(name);
    assert_eq!(
        (&status["state"], &status["stop_reason"]),
        (&json!("failed"), &json!(stop_reason)),
        "{status:#}"
    );
    assert_eq!((&status["ready_at"], &status["pid"]), (&Value::Null, &Value::Null), "{status:#}");
    assert!(status["ended_at"].is_f64(), "{status:#}");
    status
}

fn check_dies_first(workspace: &Workspace<'_>) {
    let options = ["--ready-timeout-seconds", "600", "--ready-tcp", "127.0.0.1:7005"];
    let script = "echo starting up; echo it is broken >&2; sleep 1; exit 3";
    let begun = Instant::now();
    let error = workspace.serve_refused("dies", &options, script);
    assert!(begun.elapsed() < Duration::from_secs(60), "told late: {:?}", begun.elapsed());
    assert_says(&error, "service_failed", &["dies", "exit code 3", "starting up", "it is broken"]);
    let status = assert_failed(workspace, "dies", "process_exited_before_ready");
    assert_eq!(status["exit_code"], 3, "{status:#}");
    assert!(status["failure"].as_str().unwrap().contains("exit code 3"), "{status:#}");
    // Again: only what was printed this time is told, though the log has it all.
    let error = workspace.serve_refused("dies", &options, "echo another time; kill -9 $$");
    assert_says(&error, "service_failed", &["signal 9", "another time"]);
    assert!(!error["message"].as_str().unwrap().contains("starting up"), "{error:#}");
    assert_eq!(workspace.service_log("dies"), "starting up\nanother time\n");
    // For people it is on lines of their own.
    let output = workspace.serve_command("dies", &options, script).output().unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(125), &b""[..]), "{}", report(&output));
    let stderr = String::from_utf8_lossy(&output.stderr);
    for line in ["error: ", "hint: "] {
        assert!(stderr.lines().any(|it| it.starts_with(line)), "{stderr}");
    }
    assert!(stderr.contains("it is broken"), "{stderr}");
}

fn check_forks_away(workspace: &Workspace<'_>) {
    let script = "setsid sleep 33333 > /dev/null 2>&1 & exit 0";
    let options = ["--ready-timeout-seconds", "600", "--ready-file", "/tmp/never"];
    let begun = Instant::now();
    let error = workspace.serve_refused("forks", &options, script);
    assert!(begun.elapsed() < Duration::from_secs(60), "told late: {:?}", begun.elapsed());
    assert_says(&error, "service_failed", &["left a process behind", "foreground"]);
    let status = assert_failed(workspace, "forks", "process_exited_before_ready");
    assert_eq!(status["exit_code"], 0, "{status:#}");
    assert!(workspace.processes("sleep 33333").is_empty());
    // Without a probe it is ready as soon as it runs, and what is wrong is told by its record; also of those that hold
    // its output.
    for script in [script, "setsid sleep 33333 & sleep 33333 & sleep 1; exit 0"] {
        workspace.serve("forks", &[], script);
        let status = workspace.service_in("forks", "exited");
        assert_eq!((&status["stop_reason"], &status["exit_code"]), (&json!("process_exited"), &json!(0)));
        let failure = status["failure"].as_str().unwrap();
        assert!(failure.contains("behind") && failure.contains("foreground"), "{failure}");
        assert!(workspace.processes("sleep 33333").is_empty());
    }
}

fn check_not_started(workspace: &Workspace<'_>) {
    let words = ["missing", "--ready-file", "/tmp/never", "--ready-timeout-seconds", "600"];
    let words = [&words[..], &["--", "no-such-program", "--flag"]].concat();
    let output = workspace.command(&["service", "start"], &words).output().unwrap();
    assert_eq!(output.status.code(), Some(127), "{}", report(&output));
    let error = workspace.refused(&["service", "start"], &words);
    assert_eq!(error["kind"], "exec_not_started", "{error:#}");
    assert!(error["message"].as_str().unwrap().contains("no-such-program"), "{error:#}");
    let status = assert_failed(workspace, "missing", "not_started");
    assert!(status["failure"].as_str().unwrap().contains("no-such-program"), "{status:#}");
    let output =
        workspace.command(&["service", "start"], &["missing", "--", "/etc/passwd"]).output().unwrap();
    assert_eq!(output.status.code(), Some(126), "{}", report(&output));
    let error = workspace.serve_refused("nowhere", &["--cwd", "no/such/place"], "true");
    assert_eq!(error["kind"], "exec_not_started", "{error:#}");
    assert!(error["message"].as_str().unwrap().contains("/workspace/no/such/place"), "{error:#}");
    assert_failed(workspace, "nowhere", "not_started");
    assert_eq!(workspace.service_counts(), (7, 0));
}

#[test]
fn what_cannot_be_a_service_is_refused() {
    let home = Home::new();
    let workspace = home.workspace();
    let long = "n".repeat(64);
    for name in ["Web", "a b", "a/b", "..", ".a", "ä", "", "a\nb", &long] {
        assert_eq!(workspace.serve_refused(name, &[], "true")["kind"], "invalid_argument", "{name:?}");
    }
    for options in [
        ["--ready-timeout-seconds", "0"],
        ["--ready-timeout-seconds", "604801"],
        ["--ready-interval-ms", "9"],
        ["--ready-interval-ms", "60001"],
        ["--ready-tcp", "7000"],
        ["--ready-tcp", "localhost:0"],
        ["--ready-http", "https://localhost/"],
        ["--ready-http", "ftp://localhost/"],
        ["--ready-file", ""],
        ["--ready-command", " "],
        ["--cwd", ""],
    ] {
        let error = workspace.serve_refused("web", &options, "true");
        assert_eq!(error["kind"], "invalid_argument", "{options:?}: {error:#}");
    }
    for usage in [
        &["web", "--ready-tcp", "a:1", "--ready-file", "x", "--", "true"][..],
        &["web"],
        &["web", "--"],
        &["--", "true"],
    ] {
        let output = workspace.command(&["service", "start"], usage).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{usage:?}: {}", report(&output));
    }
    for verb in ["status", "logs", "stop"] {
        let error = workspace.refused(&["service", verb], &["web"]);
        assert_eq!(error["kind"], "not_found", "{verb}: {error:#}");
        assert!(error["hint"].is_string(), "{verb}: {error:#}");
        let error = workspace.refused(&["service", verb], &["../../record"]);
        assert!(["not_found", "invalid_argument"].contains(&error["kind"].as_str().unwrap()), "{error:#}");
        let gone = home.pyro(&["workspace", "service", verb, "ws-000000000000", "web", "--json"]).output();
        assert!(report(&gone.unwrap()).contains("not_found"), "{verb}");
    }
    assert_eq!(workspace.service_counts(), (0, 0), "nothing is kept of what was refused");
    // The scheme of a URL may be in capital letters.
    let script = "perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(LocalAddr => \"127.0.0.1\", LocalPort => \
                  7006, Listen => 5); while (my $c = $s->accept) { my $r = <$c>; print $c \"HTTP/1.0 200 OK\\r\\n\\r\\n\"; \
                  close $c }'";
    let started = workspace.serve("web", &["--ready-http", "HTTP://127.0.0.1:7006?x#y"], script);
    assert_eq!(started["state"], "running", "{started:#}");
    drop(workspace);
    home.assert_nothing_left();
}

#[test]
fn a_guest_that_does_not_answer_is_not_waited_for_without_end() {
    let home = Home::new();
    let workspace = home.workspace();
    workspace.serve("before", &[], "sleep 1000");
    let qemu = workspace.qemu();
    signal(qemu, "STOP");
    let errors = [
        ("silent", workspace.serve_refused("silent", &["--ready-timeout-seconds", "1"], "true")),
        ("before", workspace.refused(&["service", "stop"], &["before"])),
    ];
    for (name, error) in errors {
        assert_eq!(error["kind"], "timeout", "{error:#}");
        assert!(
            error["message"].as_str().unwrap().contains(&format!("that the service `{name}`")),
            "{error:#}"
        );
        assert!(error["hint"].as_str().unwrap().contains("pyro workspace delete"), "{error:#}");
    }
    signal(qemu, "CONT");
    assert_eq!(workspace.service_in("before", "stopped")["stop_reason"], "sigterm");
    wait_until("the other has ended", || workspace.service("silent")["state"] != "starting");
    drop(workspace);
    home.assert_nothing_left();
}
