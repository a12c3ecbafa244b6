//! `pyro demo`: the story as it is told, as JSON, and broken off.

use crate::home::{Home, names_in, report, signal, wait_until};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

const STEPS: [(&str, i64); 15] = [
    ("doctor", 0),
    ("run", 0),
    ("create", 0),
    ("test_fails", 1),
    ("sync", 0),
    ("test_passes", 0),
    ("service", 0),
    ("fetch", 0),
    ("shell_open", 0),
    ("shell_write", 0),
    ("shell_write_again", 0),
    ("shell_read", 0),
    ("diff", 0),
    ("export", 0),
    ("delete", 0),
];

/// `pyro demo` in a home that has `debian:12`, with a folder for its temporary files.
fn demo(home: &Home, options: &[&str]) -> (Command, tempfile::TempDir) {
    let pulled = home.pyro(&["env", "pull", "debian:12"]).output().unwrap();
    assert!(pulled.status.success(), "{}", report(&pulled));
    let folder = tempfile::tempdir().unwrap();
    let mut command = home.pyro(&[&["demo"], options].concat());
    command.env("TMPDIR", folder.path());
    (command, folder)
}

#[test]
fn the_story_is_told_to_its_end() {
    let home = Home::new();
    let (mut command, folder) = demo(&home, &[]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", report(&output));
    let stdout = String::from_utf8(output.stdout).unwrap();
    for (number, (name, _)) in STEPS.iter().enumerate() {
        assert!(stdout.contains(&format!("\n{}. ", number + 1)) || number == 0, "no {name}: {stdout}");
    }
    for said in [
        "$ pyro doctor\n",
        "$ pyro run debian:12 -- sh -c 'uname -srm; git --version'\n   Linux ",
        "AssertionError: 150 != 180",
        "(exit code 1, ",
        "   OK\n",
        "180 cents\n",
        "to pay: 180 cents\n",
        "+    return sum(CENTS[name] * count for name, count in basket.items())\n",
        "What to try next:\n",
    ] {
        assert!(stdout.contains(said), "{said:?} is missing: {stdout}");
    }
    assert_eq!(names_in(folder.path()), [].into(), "left behind");
    home.assert_nothing_left();
}

#[test]
fn the_story_as_json_is_one_object() {
    let home = Home::new();
    let (mut command, folder) = demo(&home, &["--json"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", report(&output));
    let story: Value = serde_json::from_slice(&output.stdout).unwrap();
    let sorted = serde_json::to_string_pretty(&story).unwrap() + "\n";
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        sorted,
        "keys are not sorted, or not indented by 2"
    );
    let keys: Vec<&String> = story.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["accelerator", "duration_ms", "environment", "execution_mode", "steps", "workspace_id"]
    );
    assert_eq!((&story["execution_mode"], &story["environment"]), (&"guest".into(), &"debian:12".into()));
    let steps = story["steps"].as_array().unwrap();
    let came: Vec<(&str, i64)> = steps
        .iter()
        .map(|step| (step["name"].as_str().unwrap(), step["exit_code"].as_i64().unwrap()))
        .collect();
    assert_eq!(came, STEPS);
    let id = story["workspace_id"].as_str().unwrap();
    for step in &steps[3..] {
        assert!(step["command"].as_str().unwrap().contains(id), "{step}");
        assert!(step["duration_ms"].as_f64().unwrap() > 0.0, "{step}");
    }
    assert!(steps[12]["output"].as_str().unwrap().contains("+++ b/prices.py\n"), "{}", steps[12]);
    assert_eq!(names_in(folder.path()), [].into(), "left behind");
    home.assert_nothing_left();
}

#[test]
fn ctrl_c_deletes_the_workspace() {
    let home = Home::new();
    let (mut command, folder) = demo(&home, &[]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let id = workspace_in(&mut stdout);
    signal(child.id(), "INT");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{rest}{}", report(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("[demo] deleted workspace {id}")));
    assert!(!rest.contains("What to try next"));
    assert_eq!(names_in(folder.path()), [].into(), "left behind");
    home.assert_nothing_left();
}

#[test]
fn a_story_that_fails_says_where_and_leaves_nothing() {
    let home = Home::new();
    let (mut command, folder) = demo(&home, &[]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let id = workspace_in(&mut stdout);
    wait_until("the workspace is deleted", || {
        home.pyro(&["workspace", "delete", &id]).output().unwrap().status.success()
    });
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(125), "{rest}{}", report(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error: "), "{}", report(&output));
    assert_eq!(names_in(folder.path()), [].into(), "left behind");
    home.assert_nothing_left();
}

/// The id of the workspace, as soon as it is told.
fn workspace_in(stdout: &mut impl BufRead) -> String {
    let mut lines = stdout.lines().map(Result::unwrap);
    lines
        .find_map(|line| line.trim().strip_prefix("workspace ")?.split(',').next().map(str::to_owned))
        .unwrap()
}
