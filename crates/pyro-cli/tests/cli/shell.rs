//! `pyro workspace shell` without a running workspace: usage, messages, and what is on disk.

use crate::home::Home;
use crate::terminal::Terminal;
use crate::workspaces::{ID, SHELL, error_in, in_home, plant, workspace};
use crate::{fails, json};
use serde_json::{Value, json as object};
use std::fs;
use std::path::Path;

fn refused(words: &[&str], what: &str) -> Value {
    let stderr = fails(&workspace(words), 2);
    assert!(stderr.contains(what), "{words:?}: {stderr}");
    let error = json(&workspace(&[words, &["--json"]].concat()), 2)["error"].take();
    assert_eq!(error["kind"], "invalid_argument", "{error}");
    error
}

#[test]
fn what_no_shell_can_do_is_refused_before_anything_else() {
    let error = refused(&["shell", "signal", ID, SHELL, "--signal", "USR1"], "no signal for a shell");
    assert!(error["hint"].as_str().unwrap().contains("HUP, INT, TERM"), "{error}");
    for size in [["--cols", "1"], ["--cols", "1001"], ["--rows", "0"], ["--rows", "1001"]] {
        refused(&[&["shell", "open", ID][..], &size].concat(), "is not possible");
    }
    refused(&["shell", "resize", ID, SHELL, "--cols", "80", "--rows", "0"], "is not possible");
    refused(&["shell", "open", ID, "--cols", "70000"], "--cols");
    refused(&["shell", "resize", ID, SHELL, "--cols", "80"], "--rows <N>");
    refused(&["shell", "write", ID, SHELL], "--input <TEXT>");
    refused(&["shell", "read", ID, SHELL, "--max-chars", "0"], "max_chars is 0");
    refused(&["shell", "read", ID, SHELL, "--wait-for-idle-ms", "0"], "wait_for_idle_ms is 0");
    let both = json(&workspace(&["shell", "open", ID, "--id-only", "--json"]), 2);
    assert!(both["error"]["message"].as_str().unwrap().contains("cannot be used with"), "{both}");
}

#[test]
fn attach_is_for_terminals() {
    let attach = |more: &[&str], code: i32| {
        let words = [&["shell", "attach", ID, SHELL], more].concat();
        fails(&workspace(&words), code)
    };
    let stderr = attach(&[], 2);
    assert!(
        stderr.contains("must be a terminal") && stderr.contains("pyro workspace shell read"),
        "{stderr}"
    );
    for keys in ["", "ctrl-", "ctrl-A", "xy", "ctrl-p,,x"] {
        assert!(attach(&["--detach-keys", keys], 2).contains("is no key"), "{keys}");
    }
    let refused = json(&workspace(&["shell", "attach", ID, SHELL, "--json"]), 2);
    assert_eq!(refused["error"]["kind"], "invalid_argument");
    assert!(refused["error"]["hint"].as_str().unwrap().contains("shell read"), "{refused}");
    // Who only watches needs none.
    assert!(attach(&["--read-only"], 125).contains(&format!("there is no workspace `{ID}`")));
}

#[test]
fn an_attach_that_fails_leaves_the_terminal_alone() {
    let home = Home::new();
    let mut terminal = Terminal::with(&home.command(&workspace(&["shell", "attach", ID, SHELL])), 80, 24);
    let (status, shown) = terminal.end();
    assert_eq!(status.code(), Some(125), "{shown}");
    assert!(shown.contains("error: there is no workspace") && !shown.contains('\x1b'), "{shown:?}");
    assert!(terminal.is_as_it_was());
}

/// Writes the record of a shell and what it showed, as its supervisor would have left them.
fn plant_shell(folder: &Path, state: &str, code: Option<i32>, shown: &str) {
    let folder = folder.join("shells").join(SHELL);
    fs::create_dir_all(&folder).unwrap();
    let record = object!({
        "shell_id": SHELL, "cwd": "/workspace", "cols": 120, "rows": 30, "state": state, "started_at": 1e9,
        "ended_at": null, "exit_code": code, "failure": null,
    });
    fs::write(folder.join("record.json"), record.to_string()).unwrap();
    fs::write(folder.join(format!("output.{:020}", 0)), shown).unwrap();
}

#[test]
fn shells_of_a_stopped_workspace_can_be_read() {
    let home = tempfile::tempdir().unwrap();
    plant_shell(&plant(home.path(), "stopped"), "exited", Some(7), "# \u{1b}[1mä\u{1b}[0m\r\nend");
    let run = |words: &[&str]| {
        let output = in_home(home.path(), &workspace(words));
        let text = |bytes| String::from_utf8(bytes).unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", text(output.stderr));
        (text(output.stdout), text(output.stderr))
    };
    let (stdout, stderr) = run(&["shell", "read", ID, SHELL]);
    assert_eq!(stdout, "# \u{1b}[1mä\u{1b}[0m\r\nend");
    let state = format!("workspace_id={ID} shell_id={SHELL} state=exited exit_code=7");
    assert_eq!(stderr, format!("[workspace-shell-read] {state} cursor=0 next_cursor=16 truncated=false\n"));
    let (stdout, stderr) = run(&["shell", "read", ID, SHELL, "--cursor", "6", "--max-chars", "1"]);
    assert_eq!(stdout, "ä");
    assert!(stderr.contains("cursor=6 next_cursor=7"), "{stderr}");
    let (stdout, _) = run(&["shell", "read", ID, SHELL, "--plain", "--json"]);
    let read: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&read["output"], &read["next_cursor"]), (&"# ä\nend".into(), &16.into()));
    let (stdout, stderr) = run(&["shell", "list", ID]);
    assert!(stdout.contains("120x30") && stdout.starts_with("SHELL"), "{stdout}");
    assert_eq!(stderr, format!("[workspace-shell-list] workspace_id={ID} count=1 running_count=0\n"));
    for words in
        [&["shell", "read", ID, "sh-000000000000", "--json"][..], &["shell", "read", ID, "x", "--json"]]
    {
        let error = error_in(home.path(), &workspace(words), 125);
        assert_eq!(error["kind"], "not_found", "{error}");
        assert!(error["hint"].as_str().unwrap().contains("shell list"), "{error}");
    }
}
