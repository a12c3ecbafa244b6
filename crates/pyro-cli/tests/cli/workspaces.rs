//! `pyro workspace` without a guest: usage, messages, JSON, and workspaces that are not what they should be.

use crate::{fails, json, pyro};
use serde_json::{Value, json as object};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};

pub const ID: &str = "ws-0123456789ab";
pub const SHELL: &str = "sh-0123456789ab";

/// All commands that take an id, with words that are right but for that.
const ON_A_WORKSPACE: &[&[&str]] = &[
    &["status", ID],
    &["exec", ID, "--", "true"],
    &["logs", ID],
    &["logs", ID, "--sequence", "1"],
    &["logs", ID, "--follow"],
    &["sync", "push", ID, "/"],
    &["export", ID, "x", "--output", "/tmp/pyro-nobody-made-this"],
    &["diff", ID],
    &["service", "start", ID, "web", "--", "true"],
    &["service", "list", ID],
    &["service", "status", ID, "web"],
    &["service", "logs", ID, "web"],
    &["service", "logs", ID, "web", "--follow"],
    &["service", "stop", ID, "web"],
    &["shell", "open", ID],
    &["shell", "list", ID],
    &["shell", "read", ID, SHELL],
    &["shell", "write", ID, SHELL, "--input", "x"],
    &["shell", "signal", ID, SHELL],
    &["shell", "resize", ID, SHELL, "--cols", "80", "--rows", "24"],
    &["shell", "close", ID, SHELL],
    &["stop", ID],
    &["start", ID],
    &["delete", ID],
];

pub fn workspace<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&["workspace"], words].concat()
}

pub fn in_home(home: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pyro")).args(words).env("PYRO_HOME", home).output().unwrap()
}

pub fn error_in(home: &Path, words: &[&str], code: i32) -> Value {
    let output = in_home(home, words);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["error"].take()
}

/// Writes the record of a workspace, as its supervisor would have left it.
pub fn plant(home: &Path, state: &str) -> std::path::PathBuf {
    let folder = home.join("data/workspaces").join(ID);
    fs::create_dir_all(&folder).unwrap();
    let record = object!({
        "format": 1, "id": ID, "kind": "workspace", "state": state, "failure": null,
        "environment": "debian:12", "environment_digest": "sha256-0",
        "vm": {"vcpu_count": 1, "mem_mib": 1024, "disk": {"persistent": {"size_mib": 65536}}},
        "accelerator_choice": "auto", "ttl_seconds": 600, "created_at": 1e9, "expires_at": 1e11,
        "last_activity_at": 1e9, "allow_host_compat": false, "network_enabled": false,
        "execution_mode": "guest", "accelerator": "tcg",
        "seed": {"mode": "empty", "seed_path": null, "destination": "/workspace", "entry_count": 0, "bytes_written": 0},
        "start_count": 1,
        "supervisor": {"pid": 1, "socket": home.join("nobody.sock"), "pyro": "0.1.0"},
    });
    fs::write(folder.join("record.json"), record.to_string()).unwrap();
    folder
}

#[test]
fn wrong_usage_says_what_is_missing() {
    let missing = |words: &[&str], what: &str| {
        let stderr = fails(&workspace(words), 2);
        assert!(stderr.contains(what), "{words:?}: {stderr}");
    };
    missing(&["create"], "<ENVIRONMENT>");
    missing(&["status"], "<WORKSPACE_ID>");
    missing(&["exec", ID], "-- <COMMAND>");
    missing(&["exec", ID, "--"], "-- <COMMAND>");
    missing(&["exec", ID, "true"], "-- <COMMAND>");
    missing(&["exec", ID, "--", ""], "there is no command to run");
    missing(&["exec", ID, "--timeout-seconds", "0", "--", "true"], "timeout_seconds is 0");
    missing(&["export", ID, "x"], "--output <HOST_PATH>");
    missing(&["sync", "push", ID], "<SOURCE_PATH>");
    missing(&["logs", ID, "--sequence", "0"], "--sequence");
    missing(&["diff", ID, "--stat", "--name-only"], "cannot be used with");
    for words in [&["create", "debian:12", "--id-only"][..], &["diff", ID, "--stat"]] {
        let error = &json(&[&["workspace"], words, &["--json"]].concat(), 2)["error"];
        assert_eq!(error["kind"], "invalid_argument", "{error}");
        assert!(error["message"].as_str().unwrap().contains("cannot be used with"), "{error}");
    }
}

#[test]
fn what_cannot_be_created_is_told_before_anything_is_made() {
    let refused = |option: &str, value: &str, words: &str| {
        let stderr = fails(&["workspace", "create", "debian:12", option, value], 2);
        assert!(stderr.contains(words), "{stderr}");
    };
    refused("--mem-mib", "127", "mem_mib is 127");
    refused("--vcpu-count", "0", "vcpu_count is 0");
    refused("--ttl-seconds", "0", "ttl_seconds is 0");
    refused("--disk-mib", "1", "1");
    let create =
        |words: &[&str]| json(&[&["workspace", "create", "debian:12", "--json"], words].concat(), 125);
    assert_eq!(create(&["--seed-path", "/nonexistent"])["error"]["kind"], "not_found");
}

#[test]
fn a_workspace_that_is_not_there_is_not_found() {
    for words in ON_A_WORKSPACE {
        let stderr = fails(&workspace(words), 125);
        assert!(stderr.contains(&format!("there is no workspace `{ID}`")), "{words:?}: {stderr}");
        assert!(stderr.contains("hint: `pyro workspace list`"), "{words:?}: {stderr}");
        let at = words.iter().position(|word| *word == "--").unwrap_or(words.len());
        let (before, after) = words.split_at(at);
        let error = &json(&workspace(&[before, &["--json"], after].concat()), 125)["error"];
        assert_eq!(error["kind"], "not_found", "{words:?}: {error}");
    }
}

#[test]
fn what_is_no_id_is_not_found() {
    for nonsense in ["nonsense", "../../etc", "", "ws-", "WS-0123456789AB"] {
        for verb in ["status", "stop", "start", "delete"] {
            let error = &json(&["workspace", verb, nonsense, "--json"], 125)["error"];
            assert_eq!(error["kind"], "not_found", "{verb} {nonsense}: {error}");
        }
    }
}

#[test]
fn an_empty_home_has_no_workspaces() {
    let list = json(&["workspace", "list", "--json"], 0);
    assert_eq!(list, object!({"count": 0, "workspaces": [], "damaged": []}));
    let output = pyro(&["workspace", "list"]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.starts_with("WORKSPACE  ENVIRONMENT  STATE") && stdout.lines().count() == 1, "{stdout}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "[workspace-list] count=0 damaged=0\n");
}

#[test]
fn paths_outside_of_the_workspace_are_unsafe_before_anything_else() {
    for words in [
        &["sync", "push", ID, "/nonexistent", "--dest", "/etc", "--json"][..],
        &["sync", "push", ID, "/nonexistent", "--dest", "../x", "--json"],
        &["export", ID, "/etc/passwd", "--output", "/tmp/pyro-nobody-made-this", "--json"],
        &["export", ID, "/workspace/../etc", "--output", "/tmp/pyro-nobody-made-this", "--json"],
    ] {
        let error = &json(&workspace(words), 125)["error"];
        assert_eq!(error["kind"], "unsafe_path", "{words:?}: {error}");
        assert!(error["hint"].as_str().unwrap().contains("/workspace/"), "{error}");
    }
}

#[test]
fn an_export_does_not_touch_what_is_there() {
    let home = tempfile::tempdir().unwrap();
    // Its lock is held, as if its supervisor lived.
    let lock = File::open(plant(home.path(), "started")).unwrap();
    lock.lock().unwrap();
    let output = home.path().join("output");
    fs::write(&output, "mine").unwrap();
    let words = ["workspace", "export", ID, "x", "--json", "--output"];
    let export = |to: &Path| error_in(home.path(), &[&words[..], &[to.to_str().unwrap()]].concat(), 125);
    let error = export(&output);
    assert_eq!(error["kind"], "already_exists", "{error}");
    assert!(error["hint"].as_str().unwrap().contains("--force"), "{error}");
    assert_eq!(fs::read(&output).unwrap(), b"mine");
    assert_eq!(export(&home.path().join("missing/output"))["kind"], "not_found");
}

#[test]
fn a_workspace_that_is_stopped_says_how_to_start_it() {
    let home = tempfile::tempdir().unwrap();
    plant(home.path(), "stopped");
    for words in [
        &["exec", ID, "--json", "--", "true"][..],
        &["diff", ID, "--json"],
        &["export", ID, "x", "--output", "/tmp/pyro-nobody-made-this", "--json"],
        &["sync", "push", ID, "/", "--json"],
        &["service", "start", ID, "web", "--json", "--", "true"],
        &["shell", "open", ID, "--json"],
    ] {
        let error = error_in(home.path(), &workspace(words), 125);
        assert_eq!(error["kind"], "wrong_state", "{words:?}: {error}");
        assert_eq!(error["hint"], format!("start it: pyro workspace start {ID}"));
    }
    let logs = in_home(home.path(), &["workspace", "logs", ID, "--follow"]);
    assert_eq!(
        String::from_utf8(logs.stderr).unwrap(),
        format!("[workspace-logs] workspace_id={ID} count=0\n")
    );
    let logs = in_home(home.path(), &["workspace", "logs", ID, "--follow", "--json"]);
    assert_eq!(serde_json::from_slice::<Value>(&logs.stdout).unwrap()["count"], 0);
    let stopped = in_home(home.path(), &["workspace", "stop", ID]);
    let line = format!("[workspace-stop] workspace_id={ID} environment=debian:12 state=stopped\n");
    assert_eq!(String::from_utf8(stopped.stderr).unwrap(), line);
    let deleted = in_home(home.path(), &["workspace", "delete", ID]);
    assert_eq!(String::from_utf8(deleted.stdout).unwrap(), format!("deleted workspace {ID}\n"));
    assert_eq!(error_in(home.path(), &["workspace", "status", ID, "--json"], 125)["kind"], "not_found");
}

#[test]
fn the_history_of_a_stopped_workspace_is_printed_whole() {
    let home = tempfile::tempdir().unwrap();
    let history = plant(home.path(), "stopped").join("history");
    fs::create_dir(&history).unwrap();
    let entry = |sequence: u64, command: &[&str], code: i32| {
        let entry = object!({
            "sequence": sequence, "command": command, "cwd": "/workspace", "recorded_at": 1e9, "exit_code": code,
            "duration_ms": 12.3, "execution_mode": "guest", "timed_out": false, "error": null, "running": false,
        });
        fs::write(history.join(format!("{sequence:06}.json")), entry.to_string()).unwrap();
    };
    entry(1, &["sh", "-c", "echo a b"], 0);
    entry(2, &["false"], 1);
    for (name, content) in
        [("1.stdout", "no line feed"), ("1.stderr", "err\n"), ("2.stdout", ""), ("2.stderr", "")]
    {
        fs::write(history.join(format!("00000{name}")), content).unwrap();
    }
    let output = in_home(home.path(), &["workspace", "logs", ID]);
    let expected = "[1] $ sh -c 'echo a b'\nno line feed\n[1] cwd=/workspace execution_mode=guest exit_code=0 \
                    duration_ms=12\n[2] $ false\n[2] cwd=/workspace execution_mode=guest exit_code=1 duration_ms=12\n";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    let expected = format!("err\n[workspace-logs] workspace_id={ID} count=2\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
    let one = in_home(home.path(), &["workspace", "logs", ID, "--sequence", "2", "--json"]);
    let one: Value = serde_json::from_slice(&one.stdout).unwrap();
    assert_eq!((&one["count"], &one["entries"][0]["exit_code"]), (&1.into(), &1.into()));
    let three = error_in(home.path(), &["workspace", "logs", ID, "--sequence", "3", "--json"], 125);
    assert_eq!(three["kind"], "not_found");
}

#[test]
fn doctor_tells_of_workspaces_that_are_not_as_they_should_be() {
    let home = tempfile::tempdir().unwrap();
    let issue = || {
        let output = in_home(home.path(), &["doctor", "--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let issues = report["issues"].as_array().unwrap().iter();
        issues.filter(|issue| issue["what"].as_str().unwrap().contains(ID)).cloned().collect::<Vec<_>>()
    };
    let record = plant(home.path(), "stopped").join("record.json");
    assert!(issue().is_empty());
    plant(home.path(), "started"); // and nobody holds its lock
    let died = issue();
    assert!(died[0]["what"].as_str().unwrap().contains("has failed"), "{died:?}");
    assert!(died[0]["hint"].as_str().unwrap().contains(&format!("pyro workspace start {ID}")), "{died:?}");
    fs::write(record, "{").unwrap();
    let damaged = issue();
    assert!(damaged[0]["what"].as_str().unwrap().contains("cannot be read"), "{damaged:?}");
    assert_eq!(damaged[0]["hint"], format!("pyro workspace delete {ID}"));
    let list = in_home(home.path(), &["workspace", "list"]);
    assert!(String::from_utf8(list.stdout).unwrap().contains("damaged"));
    assert!(String::from_utf8(list.stderr).unwrap().contains(&format!("hint: pyro workspace delete {ID}")));
    assert_eq!(in_home(home.path(), &["workspace", "delete", ID]).status.code(), Some(0));
}

#[test]
fn the_supervisor_is_nothing_to_type() {
    for words in
        [&["supervise"][..], &["supervise", ID], &["supervise", "0", "1"], &["supervise", "1000", "1001"]]
    {
        let stderr = fails(words, 2);
        assert!(
            stderr.contains("started by pyro itself") && stderr.contains("pyro workspace start"),
            "{stderr}"
        );
    }
    for words in [
        &["--help"][..],
        &["completions", "bash"],
        &["completions", "fish"],
        &["completions", "zsh"],
        &["man"],
        &["man", "workspace"],
    ] {
        let text = String::from_utf8(pyro(words).stdout).unwrap();
        assert!(!text.is_empty() && !text.contains("supervise"), "{words:?}");
    }
    assert!(fails(&["man", "supervise"], 2).contains("there is no command"));
}

#[test]
fn every_help_page_says_what_its_flags_mean_and_has_examples() {
    let pages: &[&[&str]] = &[
        &[],
        &["create"],
        &["list"],
        &["status"],
        &["exec"],
        &["logs"],
        &["sync"],
        &["sync", "push"],
        &["diff"],
        &["export"],
        &["service"],
        &["service", "start"],
        &["service", "list"],
        &["service", "status"],
        &["service", "logs"],
        &["service", "stop"],
        &["shell"],
        &["shell", "open"],
        &["shell", "list"],
        &["shell", "read"],
        &["shell", "write"],
        &["shell", "signal"],
        &["shell", "resize"],
        &["shell", "attach"],
        &["shell", "close"],
        &["stop"],
        &["start"],
        &["delete"],
    ];
    for page in pages {
        let help = String::from_utf8(pyro(&[&["workspace"], *page, &["--help"]].concat()).stdout).unwrap();
        let (_, examples) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{page:?}: {help}"));
        assert!(examples.lines().any(|line| line.contains("pyro workspace ")), "{page:?}: {examples}");
        let man = String::from_utf8(pyro(&[&["man", "workspace"], *page].concat()).stdout).unwrap();
        assert!(man.contains(".TH"), "{page:?}");
    }
    let help = String::from_utf8(pyro(&["workspace", "create", "--help"]).stdout).unwrap();
    for default in
        ["[default: 1]", "[default: 1024]", "[default: 600]", "[default: 65536]", "[default: auto]"]
    {
        assert!(help.contains(default), "{default}: {help}");
    }
}
