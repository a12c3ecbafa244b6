//! `pyro workspace service` without a running workspace: usage, messages, and what is on disk.

use crate::workspaces::{ID, error_in, in_home, plant, workspace};
use crate::{fails, json};
use serde_json::{Value, json as object};
use std::fs;
use std::path::Path;

/// Standard error of a start that must be refused with 2, in both ways of telling.
fn refused(options: &[&str], name: &str, command: &[&str], what: &str) {
    let words = |more: &[&str]| -> Vec<String> {
        let all = [&["service", "start", ID, name], options, more, &["--"], command].concat();
        workspace(&all).into_iter().map(str::to_owned).collect()
    };
    let (plain, as_json) = (words(&[]), words(&["--json"]));
    let text = |words: &[String]| fails(&words.iter().map(String::as_str).collect::<Vec<_>>(), 2);
    let stderr = text(&plain);
    assert!(stderr.contains(what), "{plain:?}: {stderr}");
    let error = &json(&as_json.iter().map(String::as_str).collect::<Vec<_>>(), 2)["error"];
    assert_eq!(error["kind"], "invalid_argument", "{error}");
    assert!(error["message"].as_str().unwrap().contains(what), "{error}");
}

#[test]
fn what_can_be_no_service_is_refused_before_anything_else() {
    for name in ["Web", "", "a/b", "..", "-a", &"a".repeat(64)] {
        if !name.starts_with('-') {
            refused(&[], name, &["true"], "is not the name of a service");
        }
        let error = &json(&workspace(&["service", "status", ID, "--json", "--", name]), 2)["error"];
        assert_eq!(error["kind"], "invalid_argument", "{name}: {error}");
    }
    refused(&["--ready-http", "https://localhost/"], "web", &["true"], "is not an http URL");
    refused(&["--ready-tcp", "8080"], "web", &["true"], "is not HOST:PORT");
    refused(&["--ready-http", "http://localhost:99999/"], "web", &["true"], "its port is not 1 to 65535");
    refused(&["--ready-http", "http://user@localhost/"], "web", &["true"], "it contains a user name");
    for address in ["a:b:80", "::1:80"] {
        refused(&["--ready-tcp", address], "web", &["true"], "is not HOST:PORT: it has more than one colon");
    }
    refused(&["--ready-file", ""], "web", &["true"], "is not a path in the guest");
    refused(&["--ready-command", " "], "web", &["true"], "no command to probe with");
    refused(&["--ready-timeout-seconds", "0"], "web", &["true"], "ready_timeout_seconds is 0");
    refused(&["--ready-interval-ms", "9"], "web", &["true"], "ready_interval_ms is 9");
    refused(&["--cwd", ""], "web", &["true"], "is not a path in the guest");
    refused(&[], "web", &[""], "there is no command");
}

#[test]
fn wrong_usage_says_what_is_missing() {
    let missing = |words: &[&str], what: &str| {
        let stderr = fails(&workspace(words), 2);
        assert!(stderr.contains(what), "{words:?}: {stderr}");
    };
    missing(&["service", "start", ID], "<SERVICE_NAME>");
    missing(&["service", "start", ID, "web"], "-- <COMMAND>");
    missing(&["service", "start", ID, "web", "true"], "-- <COMMAND>");
    missing(&["service", "stop", ID], "<SERVICE_NAME>");
    missing(&["service", "logs", ID, "web", "--all", "--tail-lines", "1"], "cannot be used with");
    let two = ["--ready-file", "x", "--ready-tcp", "localhost:1"];
    missing(&[&["service", "start", ID, "web"], &two[..], &["--", "true"]].concat(), "cannot be used with");
}

#[test]
fn defaults_are_told() {
    let help = String::from_utf8(crate::pyro(&workspace(&["service", "start", "--help"])).stdout).unwrap();
    for default in ["[default: /workspace]", "[default: 30]", "[default: 500]"] {
        assert!(help.contains(default), "{default}: {help}");
    }
    let help = String::from_utf8(crate::pyro(&workspace(&["service", "logs", "--help"])).stdout).unwrap();
    assert!(help.contains("[default: 200]"), "{help}");
}

/// Writes the record and the logs of a service, as its supervisor would have left them.
fn plant_service(folder: &Path, name: &str, state: &str, logs: [&str; 2]) {
    let folder = folder.join("services").join(name);
    fs::create_dir_all(&folder).unwrap();
    let record = object!({
        "service_name": name, "command": ["serve", "a b"], "cwd": "/workspace", "state": state, "started_at": 1e9,
        "ready_at": 1e9 + 0.25, "ended_at": 1e9 + 1.0, "exit_code": 3, "signal": null, "pid": null,
        "readiness": {"type": "http", "url": "http://localhost:1/"}, "stop_reason": "process_exited",
        "failure": null, "log_start": [0, 0],
    });
    fs::write(folder.join("record.json"), record.to_string()).unwrap();
    for (output, content) in ["stdout", "stderr"].into_iter().zip(logs) {
        fs::write(folder.join(format!("{output}.{:020}", 0)), content).unwrap();
    }
}

#[test]
fn services_of_a_stopped_workspace_are_told() {
    let home = tempfile::tempdir().unwrap();
    let folder = plant(home.path(), "stopped");
    plant_service(&folder, "web", "exited", ["1\n2\n3", "err\n"]);
    let run = |words: &[&str]| {
        let output = in_home(home.path(), &workspace(words));
        let text = |bytes| String::from_utf8(bytes).unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", text(output.stderr));
        (text(output.stdout), text(output.stderr))
    };
    let closing =
        format!("workspace_id={ID} service=web state=exited ready_after_ms=250 exit_code=3 stop_reason=");

    let (stdout, stderr) = run(&["service", "status", ID, "web"]);
    for line in [
        "state:       exited\n",
        "exit code:   3\n",
        "command:     serve 'a b'\n",
        "ready when:  http://localhost:1/ answers\n",
        "ready after: 250 ms\n",
    ] {
        assert!(stdout.contains(line), "{line}: {stdout}");
    }
    assert_eq!(stderr, format!("[workspace-service-status] {closing}process_exited\n"));

    let (stdout, stderr) = run(&["service", "list", ID]);
    assert!(stdout.starts_with("SERVICE  STATE   AGE") && stdout.contains("serve 'a b'\n"), "{stdout}");
    assert_eq!(stderr, format!("[workspace-service-list] workspace_id={ID} count=1 running_count=0\n"));

    let (stdout, stderr) = run(&["service", "logs", ID, "web", "--tail-lines", "2"]);
    assert_eq!(stdout, "2\n3");
    assert_eq!(stderr, format!("err\n[workspace-service-logs] {closing}process_exited\n"));
    let (stdout, _) = run(&["service", "logs", ID, "web", "--all", "--follow"]);
    assert_eq!(stdout, "1\n2\n3");
    let (stdout, _) = run(&["service", "logs", ID, "web", "--tail-lines", "1", "--json"]);
    let logs: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (&logs["stdout"], &logs["truncated"], &logs["tail_lines"]),
        (&"3".into(), &true.into(), &1.into())
    );

    let (stdout, _) = run(&["status", ID]);
    assert!(stdout.contains("services:    1, of which 0 run\n"), "{stdout}");
    assert_eq!(
        error_in(home.path(), &workspace(&["service", "status", ID, "db", "--json"]), 125)["kind"],
        "not_found"
    );
}

#[test]
fn what_ran_when_the_supervisor_ended_has_failed() {
    let home = tempfile::tempdir().unwrap();
    let folder = plant(home.path(), "started"); // and nobody holds its lock
    plant_service(&folder, "web", "running", ["", ""]);
    let output = in_home(home.path(), &workspace(&["service", "status", ID, "web", "--json"]));
    let service: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&service["state"], &service["stop_reason"]), (&"failed".into(), &"supervisor_ended".into()));
}
