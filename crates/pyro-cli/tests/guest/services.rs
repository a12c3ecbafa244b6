//! Services in a real guest: ready when their probe says so, stopped with all that they have started, started again.

use crate::home::{Home, names_in, report};
use crate::workspace::Workspace;
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// As many services may run at once.
const MAX_RUNNING: usize = 64;

/// Listens on a port, in `perl`, which is in every environment.
fn listener(port: u16) -> String {
    format!(
        "perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(LocalAddr => \"127.0.0.1\", LocalPort => {port}, \
         ReuseAddr => 1, Listen => 5) or die; while (1) {{ $s->accept }}'"
    )
}

fn is_listened_to(workspace: &Workspace<'_>, port: u16) -> bool {
    let connect = format!("exit !IO::Socket::INET->new(\"127.0.0.1:{port}\")");
    workspace.exec(&["perl", "-MIO::Socket::INET", "-e", &connect]).status.success()
}

#[test]
fn services_are_ready_when_their_probes_say_so() {
    let home = Home::new();
    let workspace = home.workspace();
    assert_eq!(workspace.service_counts(), (0, 0));
    check_late_listener(&workspace);
    check_file_and_command(&workspace);
    check_many_at_once(&workspace);
    // None of it is in the files of the workspace, nor in its history.
    let diff = workspace.diff();
    assert_eq!(diff["changed"], false, "{diff:#}");
    let out = tempfile::tempdir().unwrap();
    workspace.export("/workspace", &out.path().join("out"));
    assert_eq!(names_in(&out.path().join("out")), [].into());
    let of_services = |entry: &Value| entry["command"].to_string().contains("sleep 1000");
    assert!(!workspace.entries().iter().any(of_services));
    // All of them end with the workspace, and nothing of them is left.
    drop(workspace);
    home.assert_nothing_left();
}

fn check_late_listener(workspace: &Workspace<'_>) {
    let script = format!("echo soon; sleep 2; {}", listener(7001));
    let address = "127.0.0.1:7001";
    let options = ["--ready-tcp", address, "--ready-timeout-seconds", "300", "--json"];
    let begun = Instant::now();
    let start = workspace.serve_command("late", &options, &script).spawn().unwrap();
    let starting = workspace.service_in("late", "starting");
    assert_eq!((&starting["ready_at"], &starting["exit_code"]), (&Value::Null, &Value::Null), "{starting:#}");
    assert_eq!(workspace.service_counts(), (1, 1));
    let started = start.wait_with_output().unwrap();
    assert!(started.status.success(), "{}", report(&started));
    // Which is only now: it was there two seconds after its start at the earliest.
    assert!(begun.elapsed() >= Duration::from_millis(1900), "{:?}", begun.elapsed());
    assert!(is_listened_to(workspace, 7001));
    let started: Value = serde_json::from_slice(&started.stdout).unwrap();
    assert_eq!(started["state"], "running", "{started:#}");
    assert_eq!(started["readiness"], json!({ "type": "tcp", "address": address }));
    assert_eq!(started["command"], json!(["sh", "-c", script]));
    let times = ["started_at", "ready_at"].map(|field| started[field].as_f64().unwrap());
    assert!(times[1] - times[0] >= 1.9, "{started:#}");
    let status = workspace.service("late");
    assert_eq!(status, started);
    let pid = status["pid"].as_u64().unwrap();
    assert_eq!(workspace.sh(&format!("ps -o args= -p {pid}")).lines().count(), 1);
    workspace.wait_for_service_log("late", "soon\n");
}

fn check_file_and_command(workspace: &Workspace<'_>) {
    workspace.sh("mkdir /root/app");
    let script = "sleep 1; pwd; mkdir run; touch run/ready; exec sleep 1000";
    let started = workspace.serve("file", &["--cwd", "/root/app", "--ready-file", "run/./ready"], script);
    assert_eq!(started["readiness"], json!({ "type": "file", "path": "/root/app/run/ready" }));
    assert_eq!((&started["cwd"], &started["state"]), (&json!("/root/app"), &json!("running")));
    assert_eq!(workspace.sh("ls /root/app/run"), "ready\n");
    workspace.wait_for_service_log("file", "/root/app\n");
    let line = "test \"$(cat word)\" = ready";
    let script = "sleep 1; echo ready > word; exec sleep 1000";
    let started = workspace.serve("command", &["--cwd", "/root/app", "--ready-command", line], script);
    assert_eq!(started["readiness"], json!({ "type": "command", "command": line }));
    assert_eq!(workspace.sh("cat /root/app/word"), "ready\n");
    let started = workspace.serve("no-probe", &["--cwd", "../srv/."], "pwd; exec sleep 1000");
    assert_eq!((&started["readiness"], &started["state"]), (&Value::Null, &json!("running")));
    assert_eq!(workspace.service_counts(), (4, 4));
}

/// Ten at once from as many processes, a name that many want, and then as many as may be.
fn check_many_at_once(workspace: &Workspace<'_>) {
    let names: Vec<String> = (0..10).map(|number| format!("s{number}")).collect();
    let spawn = |name: &str, script: &str| workspace.serve_command(name, &[], script).spawn().unwrap();
    let starts: Vec<_> =
        names.iter().map(|name| spawn(name, &format!("echo I am {name}; exec sleep 1000"))).collect();
    let rivals: Vec<_> = (0..4).map(|_| spawn("one", "exec sleep 1000")).collect();
    for start in starts {
        let output = start.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", report(&output));
    }
    let outputs: Vec<_> = rivals.into_iter().map(|it| it.wait_with_output().unwrap()).collect();
    assert_eq!(outputs.iter().filter(|output| output.status.success()).count(), 1);
    for output in outputs.iter().filter(|output| !output.status.success()) {
        assert_eq!(output.status.code(), Some(125), "{}", report(output));
        assert!(report(output).contains("runs already"), "{}", report(output));
    }
    assert_eq!(workspace.service_counts(), (15, 15));
    for name in &names {
        workspace.wait_for_service_log(name, &format!("I am {name}\n"));
    }
    let rest: Vec<String> = (15..MAX_RUNNING).map(|number| format!("m{number}")).collect();
    std::thread::scope(|scope| {
        for names in rest.chunks(rest.len().div_ceil(4)) {
            scope.spawn(move || {
                for name in names {
                    workspace.serve(name, &[], "exec sleep 1000");
                }
            });
        }
    });
    let error = workspace.serve_refused("too-many", &[], "exec sleep 1000");
    assert_eq!(error["kind"], "limit_reached", "{error:#}");
    assert!(error["hint"].is_string(), "{error:#}");
    assert_eq!(workspace.stop_service("s1")["state"], "stopped");
    workspace.serve("s1", &[], "exec sleep 1000");
    assert_eq!(workspace.service_counts(), (64, 64));
}

#[test]
fn a_stop_asks_first_and_then_ends_everything() {
    let home = Home::new();
    let workspace = home.workspace();
    check_obedient(&workspace);
    check_asked_once(&workspace);
    check_wrapped(&workspace);
    check_deaf(&workspace);
    check_restart(&workspace);
    check_ends_by_itself(&workspace);
    drop(workspace);
    home.assert_nothing_left();
}

fn check_obedient(workspace: &Workspace<'_>) {
    // With a child, and one in a session of its own, that do as they are told.
    let script = "trap 'echo bye; exit 7' TERM; sleep 11111 & setsid sleep 22222 & touch /tmp/up; \
                  while :; do sleep 0.1; done";
    workspace.serve("obedient", &["--ready-file", "/tmp/up"], script);
    let stopped = workspace.stop_service("obedient");
    assert_eq!((&stopped["state"], &stopped["stop_reason"]), (&json!("stopped"), &json!("sigterm")));
    assert_eq!((&stopped["exit_code"], &stopped["pid"]), (&json!(7), &Value::Null), "{stopped:#}");
    assert!(stopped["ended_at"].as_f64() >= stopped["ready_at"].as_f64(), "{stopped:#}");
    assert_eq!(workspace.service_log("obedient"), "bye\n");
    for left in ["sleep 11111", "sleep 22222"] {
        assert!(workspace.processes(left).is_empty(), "{left}");
    }
    assert_eq!(workspace.stop_service("obedient"), stopped, "one that has ended stays as it is");
    assert_eq!(workspace.service("obedient"), stopped);
    assert_eq!(workspace.service_counts(), (1, 0));
    // One that handles nothing ends by the signal.
    workspace.serve("plain", &[], "exec sleep 33333");
    let stopped = workspace.stop_service("plain");
    assert_eq!((&stopped["stop_reason"], &stopped["exit_code"]), (&json!("sigterm"), &json!(143)));
    assert_eq!(stopped["signal"], 15, "{stopped:#}");
}

/// Its wrapper ends at once, and the one that matters has its time all the same.
fn check_wrapped(workspace: &Workspace<'_>) {
    let program = "sh -c \"trap 'sleep 1; touch /tmp/tidy; exit' TERM; touch /tmp/wrapped; while :; do sleep 0.1; done\"";
    workspace.serve("wrapped", &["--ready-file", "/tmp/wrapped"], &format!("{program}; true"));
    let stopped = workspace.stop_service("wrapped");
    assert_eq!(stopped["stop_reason"], "sigterm", "{stopped:#}");
    workspace.sh("test -e /tmp/tidy");
}

/// To many programs a second request means that they must not tidy up.
fn check_asked_once(workspace: &Workspace<'_>) {
    let script = "n=0; trap 'n=$((n+1)); echo asked $n' TERM; touch /tmp/asked; until [ -e /tmp/go ]; do sleep 0.1; done";
    workspace.serve("asked", &["--ready-file", "/tmp/asked"], script);
    let stop = || {
        let mut command = workspace.command(&["service", "stop"], &["asked", "--json"]);
        command.stdout(Stdio::piped()).spawn().unwrap()
    };
    let first = stop();
    workspace.wait_for_service_log("asked", "asked 1\n");
    let second = stop();
    // Long enough for it to be asked again, if it is.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) && workspace.service_log("asked") == "asked 1\n" {
        std::thread::sleep(Duration::from_millis(50));
    }
    workspace.sh("touch /tmp/go");
    for stop in [first, second] {
        let stopped: Value = serde_json::from_slice(&stop.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!((&stopped["state"], &stopped["stop_reason"]), (&json!("stopped"), &json!("sigterm")));
    }
    assert_eq!(workspace.service_log("asked"), "asked 1\n");
}

fn check_deaf(workspace: &Workspace<'_>) {
    let script = "trap '' TERM; sleep 44444 & setsid sh -c 'sleep 55555; true' & touch /tmp/deaf; \
                  while :; do sleep 1; done";
    workspace.serve("deaf", &["--ready-file", "/tmp/deaf"], script);
    let begun = Instant::now();
    let stopped = workspace.stop_service("deaf");
    assert!(begun.elapsed() >= Duration::from_secs(9), "it was not given its time: {:?}", begun.elapsed());
    assert_eq!((&stopped["state"], &stopped["stop_reason"]), (&json!("stopped"), &json!("sigkill")));
    assert_eq!((&stopped["exit_code"], &stopped["signal"]), (&json!(137), &json!(9)), "{stopped:#}");
    for left in ["sleep 44444", "sleep 55555", "trap"] {
        assert!(workspace.processes(left).is_empty(), "{left}");
    }
}

/// A name that runs is taken, one that has ended is free, and so is its port.
fn check_restart(workspace: &Workspace<'_>) {
    let options = ["--ready-tcp", "localhost:7002", "--ready-interval-ms", "50"];
    let first = workspace.serve("port", &options, &format!("echo first; {}", listener(7002)));
    let mut again = workspace.command(&["service", "start"], &["port", "--json", "--", "true"]);
    let again = again.stdout(Stdio::piped()).output().unwrap();
    assert_eq!(again.status.code(), Some(125), "{}", report(&again));
    let error: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(error["error"]["kind"], "already_exists", "{error:#}");
    assert!(error["error"]["hint"].as_str().unwrap().contains("service stop"), "{error:#}");
    assert_eq!(workspace.service("port"), first);
    assert!(is_listened_to(workspace, 7002));
    assert_eq!(workspace.stop_service("port")["stop_reason"], "sigterm");
    let second = workspace.serve("port", &options, &format!("echo second; {}", listener(7002)));
    assert_eq!(second["state"], "running", "{second:#}");
    for field in ["ended_at", "exit_code", "signal", "stop_reason", "failure"] {
        assert_eq!(second[field], Value::Null, "{field}: {second:#}");
    }
    assert!(second["started_at"].as_f64() > first["started_at"].as_f64(), "{second:#}");
    workspace.wait_for_service_log("port", "first\nsecond\n");
    workspace.stop_service("port");
}

fn check_ends_by_itself(workspace: &Workspace<'_>) {
    workspace.sh("mkfifo /tmp/gate");
    workspace.serve("done", &[], "cat /tmp/gate; exit 5");
    assert_eq!(workspace.service("done")["state"], "running");
    workspace.sh("echo open > /tmp/gate");
    let ended = ended_soon(workspace, "done");
    assert_eq!((&ended["state"], &ended["stop_reason"]), (&json!("exited"), &json!("process_exited")));
    assert_eq!((&ended["exit_code"], &ended["signal"]), (&json!(5), &Value::Null), "{ended:#}");
    assert_eq!(workspace.service_log("done"), "open\n");
    let started = workspace.serve("killed", &[], "exec sleep 66666");
    workspace.sh(&format!("kill -9 {}", started["pid"]));
    let ended = ended_soon(workspace, "killed");
    assert_eq!((&ended["state"], &ended["stop_reason"]), (&json!("exited"), &json!("process_exited")));
    assert_eq!((&ended["exit_code"], &ended["signal"]), (&json!(137), &json!(9)), "{ended:#}");
}

/// It is seen at once: the limit is that of a machine with much else to do.
fn ended_soon(workspace: &Workspace<'_>, name: &str) -> Value {
    let begun = Instant::now();
    let ended = workspace.service_in(name, "exited");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    ended
}

#[test]
fn services_and_shells_end_with_a_stop_and_may_be_started_after_it() {
    let home = Home::new();
    let workspace = home.workspace();
    let script = "trap 'echo saving; sleep 1; echo state > /workspace/saved; exit 0' TERM; echo up; touch /tmp/up; \
                  while :; do sleep 0.1; done";
    workspace.serve("saver", &["--ready-file", "/tmp/up"], script);
    workspace.serve("plain", &[], "echo plain; exec sleep 1000");
    workspace.serve("ended", &[], "exit 3");
    workspace.service_in("ended", "exited");
    assert_eq!(workspace.service_counts(), (3, 2));
    workspace.stop();
    assert_eq!(workspace.service_counts(), (3, 0));
    let saver = workspace.service("saver");
    assert_eq!((&saver["state"], &saver["stop_reason"]), (&json!("stopped"), &json!("workspace_stopped")));
    assert_eq!((&saver["exit_code"], &saver["pid"]), (&json!(0), &Value::Null), "{saver:#}");
    assert_eq!(workspace.service("plain")["stop_reason"], "workspace_stopped");
    assert_eq!(workspace.service("ended")["stop_reason"], "process_exited");
    assert_eq!(workspace.service_log("saver"), "up\nsaving\n");
    let error = workspace.serve_refused("saver", &[], "true");
    assert_eq!(error["kind"], "wrong_state", "{error:#}");
    assert_eq!(workspace.stop_service("saver"), saver);
    workspace.start();
    assert_eq!(workspace.service_counts(), (3, 0), "nothing starts by itself");
    assert_eq!(workspace.service("saver"), saver);
    assert_eq!(workspace.sh("cat saved"), "state\n");
    workspace.sh("rm -f /tmp/up");
    let again = workspace.serve("saver", &["--ready-file", "/tmp/up"], script);
    assert!(again["started_at"].as_f64() > saver["ended_at"].as_f64(), "{again:#}");
    workspace.wait_for_service_log("saver", "up\nsaving\nup\n");
    assert_eq!(workspace.service_counts(), (3, 1));
    drop(workspace);
    home.assert_nothing_left();
}
