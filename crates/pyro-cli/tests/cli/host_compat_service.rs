//! Services, where commands run on this host: all that one in a machine can do, without a machine.

use crate::home::{Home, eventually, kill};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;

impl Home {
    /// `pyro workspace service WORDS` with `--json`, which must end with this code.
    fn service(&self, words: &[&str], code: i32) -> Value {
        self.json(&[&["workspace", "service", words[0], "--json"], &words[1..]].concat(), code)
    }

    /// Starts a service that is a script, with these options.
    fn start(&self, id: &str, name: &str, options: &[&str], script: &str, code: i32) -> Value {
        let words = [&["start", id, name], options, &["--", "sh", "-c", script]].concat();
        self.service(&words, code)
    }
}

#[test]
fn a_service_runs_until_it_is_stopped_and_starts_again() {
    let home = Home::new();
    let id = home.create(&[]);
    let script = "echo one; echo two >&2; touch up; while :; do sleep 0.1; done";
    let fast = ["--ready-interval-ms", "20"];
    let web = home.start(&id, "web", &[&fast[..], &["--ready-file", "up"]].concat(), script, 0);
    assert_eq!((&web["state"], &web["service_name"]), (&"running".into(), &"web".into()), "{web}");
    assert_eq!(web["readiness"]["type"], "file");
    assert!(web["readiness"]["path"].as_str().unwrap().ends_with("/up"), "{web}");
    assert!(web["ready_at"].as_f64().unwrap() >= web["started_at"].as_f64().unwrap() && web["pid"].is_u64());

    let taken = home.start(&id, "web", &[], "true", 125);
    assert_eq!(taken["error"]["kind"], "already_exists", "{taken}");
    let status = home.status(&id);
    assert_eq!((&status["service_count"], &status["running_service_count"]), (&1.into(), &1.into()));

    let logs = home.service(&["logs", &id, "web"], 0);
    assert_eq!(
        (&logs["stdout"], &logs["stderr"], &logs["truncated"]),
        (&"one\n".into(), &"two\n".into(), &false.into())
    );
    let stopped = home.service(&["stop", &id, "web"], 0);
    assert_eq!(
        (&stopped["state"], &stopped["stop_reason"]),
        (&"stopped".into(), &"sigterm".into()),
        "{stopped}"
    );
    assert_eq!((&stopped["exit_code"], &stopped["pid"]), (&143.into(), &Value::Null));
    assert_eq!(home.service(&["stop", &id, "web"], 0)["state"], "stopped");

    home.start(&id, "web", &[], "echo again; sleep 1000", 0);
    let logs = || home.service(&["logs", &id, "web"], 0)["stdout"].as_str().unwrap().to_owned();
    eventually("the log goes on", || logs() == "one\nagain\n");
    let list = home.service(&["list", &id], 0);
    assert_eq!((&list["count"], &list["running_count"]), (&1.into(), &1.into()), "{list}");
    // The tree of files knows nothing of it, but for what it wrote itself.
    let diff = home.json(&["workspace", "diff", &id, "--json"], 0);
    assert_eq!(diff["summary"]["total"], 1, "{diff}");
}

#[test]
fn probes_that_reach_somebody_make_a_service_ready() {
    let home = Home::new();
    let id = home.create(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let tcp = home.start(&id, "tcp", &["--ready-tcp", &address], "sleep 1000", 0);
    assert_eq!((&tcp["state"], &tcp["readiness"]["address"]), (&"running".into(), &address.as_str().into()));

    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let (mut from, mut to) = (&connection, &connection);
            let _ = from.read(&mut [0; 1024]);
            let _ = to.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        }
    });
    let url = format!("http://{address}/health");
    assert_eq!(home.start(&id, "http", &["--ready-http", &url], "sleep 1000", 0)["readiness"]["url"], url);

    let command = "test -e flag || { touch flag; exit 1; }";
    let options = ["--ready-command", command, "--ready-interval-ms", "10"];
    assert_eq!(home.start(&id, "command", &options, "sleep 1000", 0)["state"], "running");
    let list = home.service(&["list", &id], 0);
    let names: Vec<_> = list["services"].as_array().unwrap().iter().map(|one| &one["service_name"]).collect();
    assert_eq!(names, ["command", "http", "tcp"]);
    assert_eq!(list["running_count"], 3);
}

#[test]
fn a_service_that_fails_to_start_says_why() {
    let home = Home::new();
    let id = home.create(&[]);
    let script = "echo out; printf 'no \\033[2Jconfig\\n' >&2; exit 3";
    let words =
        ["workspace", "service", "start", &id, "bad", "--ready-file", "never", "--", "sh", "-c", script];
    let output = home.run(&words);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(125), Vec::new()), "{stderr}");
    let error = stderr.split_once("error: ").unwrap_or_else(|| panic!("{stderr}")).1;
    assert!(error.contains("bad") && error.contains("out") && error.contains("config"), "{stderr}");
    assert!(!stderr.contains('\x1b'), "{stderr:?}");
    // What is below an error belongs to it, line by line.
    let below = |line: &str| line.starts_with("  ") || line.starts_with("hint: ");
    assert!(error.lines().skip(1).all(below), "{stderr}");

    let error = &home.start(&id, "bad", &["--ready-file", "never"], script, 125)["error"];
    assert_eq!(error["kind"], "service_failed", "{error}");
    let status = home.service(&["status", &id, "bad"], 0);
    let expected = ("failed".into(), "process_exited_before_ready".into(), 3.into());
    assert_eq!(
        (&status["state"], &status["stop_reason"], &status["exit_code"]),
        (&expected.0, &expected.1, &expected.2)
    );

    let late = ["--ready-file", "never", "--ready-timeout-seconds", "1", "--ready-interval-ms", "50"];
    let error = &home.start(&id, "late", &late, "echo waiting; sleep 1000", 125)["error"];
    assert_eq!(error["kind"], "timeout", "{error}");
    assert!(error["message"].as_str().unwrap().contains("waiting"), "{error}");
    assert_eq!(home.service(&["status", &id, "late"], 0)["stop_reason"], "readiness_timeout");

    let missing = home.service(&["start", &id, "missing", "--", "/nonexistent/program"], 127);
    assert_eq!(missing["error"]["kind"], "exec_not_started", "{missing}");
    assert_eq!(home.service(&["status", &id, "missing"], 0)["stop_reason"], "not_started");
    assert_eq!(home.status(&id)["running_service_count"], 0);
}

#[test]
fn logs_are_followed_to_the_end() {
    let home = Home::new();
    let id = home.create(&[]);
    home.start(
        &id,
        "job",
        &[],
        "echo 1; until [ -e go ]; do sleep 0.05; done; echo 2; echo e >&2; exit 4",
        0,
    );
    let mut follow = home.command(&["workspace", "service", "logs", &id, "job", "--follow"]);
    let mut follow = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 2];
    follow.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"1\n");
    home.exec(&id, "touch go");
    let output = follow.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(0), b"2\n".to_vec()), "{stderr}");
    assert!(stderr.starts_with("e\n[workspace-service-logs] "), "{stderr}");
    assert!(stderr.contains("state=exited") && stderr.contains("exit_code=4"), "{stderr}");
    let tail = home.service(&["logs", &id, "job", "--tail-lines", "1", "--follow"], 0);
    assert_eq!((&tail["stdout"], &tail["truncated"]), (&"2\n".into(), &true.into()), "{tail}");
}

#[test]
fn a_start_that_is_interrupted_leaves_the_service_starting() {
    let home = Home::new();
    let id = home.create(&[]);
    let words =
        ["workspace", "service", "start", &id, "slow", "--ready-file", "up", "--ready-interval-ms", "20"];
    let script = "until [ -e go ]; do sleep 0.05; done; touch up; sleep 1000";
    let mut start = home.command(&[&words[..], &["--", "sh", "-c", script]].concat());
    let mut start = start.stderr(Stdio::null()).spawn().unwrap();
    let state = || {
        let list = home.service(&["list", &id], 0);
        list["services"][0]["state"].as_str().unwrap_or_default().to_owned()
    };
    eventually("it is starting", || state() == "starting");
    let signalled = std::process::Command::new("kill").args(["-INT", &start.id().to_string()]).status();
    assert!(signalled.unwrap().success());
    assert_eq!(start.wait().unwrap().code(), Some(130));
    assert_eq!(state(), "starting");
    home.exec(&id, "touch go");
    eventually("it is ready all the same", || state() == "running");
}

#[test]
fn what_ends_under_a_service_is_told() {
    let home = Home::new();
    let id = home.create(&[]);
    let service = || home.service(&["status", &id, "job"], 0);
    home.start(&id, "job", &[], "echo 1; setsid sleep 1000 & sleep 1000", 0);
    assert_eq!(home.json(&["workspace", "stop", &id, "--json"], 0)["state"], "stopped");
    assert_eq!(home.processes(), [0; 0]);
    assert_eq!(
        (&service()["state"], &service()["stop_reason"]),
        (&"stopped".into(), &"workspace_stopped".into())
    );

    home.text(&["workspace", "start", &id], 0);
    home.start(&id, "job", &[], "echo 2; sleep 1000", 0);
    kill(home.supervisor(&id));
    eventually("nothing is left of it", || home.processes().is_empty());
    assert_eq!(
        (&service()["state"], &service()["stop_reason"]),
        (&"failed".into(), &"supervisor_ended".into())
    );
    assert_eq!(home.service(&["logs", &id, "job"], 0)["stdout"], "1\n2\n");
    let folder = home.path("home/data/workspaces").join(&id).join("services");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
}

#[test]
fn what_cannot_be_sent_is_no_service() {
    let home = Home::new();
    let id = home.create(&[]);
    home.start(&id, "big", &[], "echo small; sleep 1000", 0);
    home.service(&["stop", &id, "big"], 0);
    let refused = home.start(&id, "big", &[], &format!("true # {}", "x".repeat(100_000)), 2);
    assert_eq!(refused["error"]["kind"], "invalid_argument", "{refused}");
    let before = home.service(&["status", &id, "big"], 0);
    assert_eq!(
        (&before["state"], &before["stop_reason"]),
        (&"stopped".into(), &"sigterm".into()),
        "{before}"
    );
    let refused = home.start(&id, "new", &[], &format!("true # {}", "x".repeat(100_000)), 2);
    assert_eq!(refused["error"]["kind"], "invalid_argument", "{refused}");
    assert_eq!(home.service(&["status", &id, "new"], 125)["error"]["kind"], "not_found");
    assert_eq!(home.status(&id)["running_service_count"], 0);
    // A probe that cannot be sent either makes no service wait for the end of its time.
    let long = format!("true # {}", "x".repeat(100_000));
    let refused = home.start(&id, "probed", &["--ready-command", &long], "sleep 1000", 125);
    assert_eq!(refused["error"]["kind"], "service_failed", "{refused}");
    assert_eq!(home.service(&["status", &id, "probed"], 0)["stop_reason"], "probe_failed");
}
