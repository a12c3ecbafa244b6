//! Many workspaces, many processes at each, and the limits of how many there may be.

use crate::home::{Home, report};
use crate::trees::write;
use crate::workspace::{Workspace, text};
use std::path::Path;

const N_WORKSPACES: usize = 10;
const N_TURNS: usize = 3;

#[test]
fn ten_workspaces_are_used_by_four_processes_each() {
    let home = Home::new();
    let scratch = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for number in 0..N_WORKSPACES {
            let (home, folder) = (&home, scratch.path().join(number.to_string()));
            scope.spawn(move || use_one(home, number, &folder));
        }
    });
    home.assert_nothing_left();
}

fn use_one(home: &Home, number: usize, folder: &Path) {
    let seed = folder.join("seed");
    write(&seed.join("who"), format!("{number}\n"), 0o644);
    for turn in 0..N_TURNS {
        write(&folder.join(format!("update-{turn}/synced-{turn}")), format!("{number} {turn}\n"), 0o644);
    }
    let workspace = home.workspace_with(&["--mem-mib", "256", "--seed-path", text(&seed)]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0..N_TURNS {
                let written = workspace.sh(&format!("cat who; echo {turn} > exec-{turn}; cat exec-{turn}"));
                assert_eq!(written, format!("{number}\n{turn}\n"));
            }
        });
        scope.spawn(|| {
            for turn in 0..N_TURNS {
                assert_eq!(workspace.sync(&folder.join(format!("update-{turn}")), &[])["entry_count"], 1);
            }
        });
        scope.spawn(|| {
            for _ in 0..N_TURNS {
                let diff = workspace.diff();
                let paths = diff["entries"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap());
                assert!(
                    { paths }.all(|path| path.starts_with("exec-") || path.starts_with("synced-")),
                    "{diff:#}"
                );
            }
        });
        scope.spawn(|| {
            for turn in 0..N_TURNS {
                assert_eq!(workspace.status()["state"], "started");
                let out = folder.join(format!("out-{turn}"));
                workspace.export("who", &out);
                assert_eq!(std::fs::read_to_string(out).unwrap(), format!("{number}\n"));
            }
        });
    });
    check_one(&workspace, number);
}

fn check_one(workspace: &Workspace<'_>, number: usize) {
    let diff = workspace.diff();
    assert_eq!(diff["summary"]["added"], 2 * N_TURNS, "{diff:#}");
    assert_eq!(diff["summary"]["total"], 2 * N_TURNS, "{diff:#}");
    let expected: String = (0..N_TURNS).map(|turn| format!("{number} {turn}\n")).collect();
    assert_eq!(workspace.sh("cat synced-*"), expected);
    assert_eq!(workspace.status()["command_count"], N_TURNS + 1);
}

#[test]
fn as_many_are_started_as_are_allowed() {
    let home = Home::new();
    let limited = |words: &[&str]| {
        let output = home.pyro(words).env("PYRO_MAX_ACTIVE_VMS", "2").output().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (json, report(&output))
    };
    let first = home.workspace();
    let second = home.workspace();
    let create = ["workspace", "create", crate::home::BASE, "--json"];
    let (refused, words) = limited(&create);
    assert_eq!(refused["error"]["kind"], "limit_reached", "{words}");
    assert!(refused["error"]["hint"].as_str().unwrap().contains("PYRO_MAX_ACTIVE_VMS"), "{words}");
    assert_eq!(home.workspace_ids().len(), 2);
    // A stopped one does not count, and comes back only when there is room.
    first.stop();
    let (third, words) = limited(&create);
    let third = Workspace { home: &home, id: third["workspace_id"].as_str().expect(&words).to_owned() };
    let (refused, words) = limited(&["workspace", "start", &first.id, "--json"]);
    assert_eq!(refused["error"]["kind"], "limit_reached", "{words}");
    assert_eq!(first.state(), "stopped");
    third.delete();
    let (started, words) = limited(&["workspace", "start", &first.id, "--json"]);
    assert_eq!(started["state"], "started", "{words}");
    for owned in [first, second, third] {
        drop(owned);
    }
    check_memory(&home);
    home.assert_nothing_left();
}

/// A machine for which the host has no memory is refused before anything is made.
fn check_memory(home: &Home) {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let kib = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
    let kib: u64 = kib.trim().trim_end_matches(" kB").parse().unwrap();
    let mib = (kib / 1024 + 1024).to_string();
    let output = home.create(&["--json", "--mem-mib", &mib]).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["error"]["kind"], "limit_reached", "{}", report(&output));
    assert!(json["error"]["hint"].as_str().unwrap().contains("--mem-mib"), "{}", report(&output));
    assert!(home.workspace_ids().is_empty());
}
