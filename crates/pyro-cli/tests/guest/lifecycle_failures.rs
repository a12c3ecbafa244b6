//! Workspaces that do not come to be, and machines and supervisors that end in other ways than by a stop.

use crate::home::{BASE, Home, report, signal, wait_until};
use crate::trees::{link, write};
use crate::workspace::{Workspace, qemu_of, text};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

#[test]
fn a_creation_that_fails_leaves_nothing() {
    let home = Home::new();
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    write(&at("evil"), "evil\n", 0o644);
    fs::create_dir(at("inside")).unwrap();
    let made =
        Command::new("tar").args(["-cPf", "../hostile.tar", "../evil"]).current_dir(at("inside")).status();
    assert!(made.unwrap().success());
    link("../../etc/passwd", &at("leads-out/link"));
    fs::create_dir(at("fifo")).unwrap();
    assert!(Command::new("mkfifo").arg(at("fifo/fifo")).status().unwrap().success());
    write(&at("cut.tar.gz"), b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03cut", 0o644);
    for (seed, kind) in [
        ("hostile.tar", "unsafe_path"),
        ("leads-out", "unsafe_path"),
        ("fifo", "invalid_argument"),
        ("cut.tar.gz", "invalid_argument"),
        ("missing", "not_found"),
    ] {
        assert_eq!(fails(&home, &["--seed-path", text(&at(seed))]), kind, "{seed}");
        assert_empty(&home);
    }
    let unknown = home.pyro(&["workspace", "create", "no-such:environment", "--json"]).output().unwrap();
    assert_eq!(kind_of(&unknown.stdout), "not_found", "{}", report(&unknown));
    assert_eq!(fails(&home, &["--disk-mib", "100"]), "invalid_argument");
    assert_eq!(fails(&home, &["--ttl-seconds", "0"]), "invalid_argument");
    assert_empty(&home);
    check_unreadable(&home, scratch.path());
    home.assert_nothing_left();
}

#[allow(clippy::print_stdout, reason = "who runs the tests should know")]
fn check_unreadable(home: &Home, scratch: &std::path::Path) {
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        println!("NOT RUN: root can read every file, so that no seed is unreadable");
        return;
    }
    write(&scratch.join("unreadable/one"), "one", 0o000);
    write(&scratch.join("unreadable/two"), "two", 0o000);
    let output = home.create(&["--json", "--seed-path", text(&scratch.join("unreadable"))]).output().unwrap();
    let words = report(&output);
    assert!(!output.status.success() && words.contains("one") && words.contains("two"), "{words}");
    assert_empty(home);
}

/// The kind of the error of a creation that must fail.
fn fails(home: &Home, options: &[&str]) -> String {
    let output = home.create(&[&["--json"], options].concat()).output().unwrap();
    assert!(!output.status.success(), "{options:?}: {}", report(&output));
    kind_of(&output.stdout)
}

fn kind_of(stdout: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(stdout).unwrap();
    json["error"]["kind"].as_str().unwrap_or_default().to_owned()
}

fn assert_empty(home: &Home) {
    home.assert_nothing_left();
    assert!(home.workspace_ids().is_empty());
}

#[test]
fn a_creator_that_is_killed_leaves_nothing() {
    const N_KILLS: u32 = 15;
    let home = Home::new();
    let seed = tempfile::tempdir().unwrap();
    for file in 0..300 {
        write(&seed.path().join(format!("d{}/f{file}", file % 10)), vec![b'x'; 20_000], 0o644);
    }
    let options = ["--seed-path", text(seed.path())];
    drop(home.workspace_with(&options));
    let begun = Instant::now();
    drop(home.workspace_with(&options));
    let whole = begun.elapsed();
    for turn in 0..N_KILLS {
        let mut creator = home.create(&options).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos();
        std::thread::sleep(whole * (turn * 100 + nanos / 1000 % 100) / (N_KILLS * 100));
        creator.kill().unwrap();
        creator.wait().unwrap();
        wait_until("nothing of it is left", || {
            // One that was made just in time is one; nobody was told its id.
            for id in home.workspace_ids() {
                let _ = home.pyro(&["workspace", "delete", &id]).output().unwrap();
            }
            home.user().is_none() && crate::home::names_in(&home.path().join("data/workspaces")).is_empty()
        });
        home.assert_nothing_left();
    }
    assert_eq!(home.workspace_with(&options).sh("ls | wc -l"), "10\n");
    home.assert_nothing_left();
}

#[test]
fn a_workspace_comes_back_from_every_end() {
    let home = Home::new();
    let source = tempfile::tempdir().unwrap();
    write(&source.path().join("synced"), "synced\n", 0o644);
    let workspace = home.workspace();
    workspace.sh("echo by command > by-command; echo root > /root/file");
    workspace.sync(source.path(), &[]);
    type End = fn(&Workspace<'_>);
    let ends: [(&str, &str, End); 6] = [
        ("SIGTERM to the supervisor", "stopped", |it| signal(it.supervisor(), "TERM")),
        ("SIGINT to the supervisor", "stopped", |it| signal(it.supervisor(), "INT")),
        ("QEMU killed", "failed", |it| signal(it.qemu(), "KILL")),
        ("supervisor killed", "failed", |it| signal(it.supervisor(), "KILL")),
        ("reset by the guest", "failed", |it| ended_by_itself(it, "echo b > /proc/sysrq-trigger")),
        ("turned off by the guest", "failed", |it| ended_by_itself(it, "echo o > /proc/sysrq-trigger")),
    ];
    for (number, (what, state, end)) in ends.into_iter().enumerate() {
        // What was written in order comes to the disk at an orderly end, or when it is told to.
        let flush = if state == "stopped" { "" } else { "; sync" };
        workspace.sh(&format!("echo {number} > number{flush}"));
        let (supervisor, qemu) = (workspace.supervisor(), workspace.qemu());
        end(&workspace);
        wait_until(what, || workspace.state() != "started");
        let status = workspace.status();
        assert_eq!(status["state"], state, "{what}: {status:#}");
        assert_eq!(status["failure"].is_string(), state == "failed", "{what}: {status:#}");
        for pid in [supervisor, qemu] {
            wait_until("its processes are gone", || !is_alive(pid));
        }
        assert!(workspace.refused(&["exec"], &["--", "true"])["hint"].is_string(), "{what}");
        workspace.start();
        assert_eq!(workspace.status()["failure"], serde_json::Value::Null, "{what}");
        let see = "cat synced by-command /root/file number";
        assert_eq!(workspace.sh(see), format!("synced\nby command\nroot\n{number}\n"), "{what}");
    }
    drop(workspace);
    home.assert_nothing_left();
}

fn ended_by_itself(workspace: &Workspace<'_>, script: &str) {
    let ended = workspace.exec(&["sh", "-c", &format!("{script}; sleep 1000")]);
    assert_eq!(ended.status.code(), Some(125), "{}", report(&ended));
}

fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
}

#[test]
fn a_supervisor_that_is_told_to_end_while_it_starts_does_so() {
    let home = Home::new();
    let workspace = home.workspace();
    workspace.sh("echo kept > kept; sync");
    for delay in [0, 300, 700, 1500] {
        workspace.stop();
        wait_until("the supervisor before it is gone", || home.user().is_none());
        let mut starter = workspace.command(&["start"], &[]);
        let mut starter = starter.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        let supervisor = supervisors(&home).first().copied();
        supervisor.inspect(|&pid| signal(pid, "TERM"));
        starter.wait().unwrap();
        wait_until("it is stopped or started", || {
            ["stopped", "started"].contains(&workspace.state().as_str())
        });
        if supervisor.is_some() {
            wait_until("it has ended", || workspace.state() == "stopped" && home.user().is_none());
        }
        workspace.start();
        assert_eq!(workspace.sh("cat kept"), "kept\n");
    }
    drop(workspace);
    home.assert_nothing_left();
}

/// The supervisors of a home.
fn supervisors(home: &Home) -> Vec<u32> {
    let variable = format!("PYRO_HOME={}", home.path().display());
    let pids =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|it| it.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let has = |name: &str, word: &[u8]| read(name).split(|byte| *byte == 0).any(|it| it == word);
        has("environ", variable.as_bytes()) && has("cmdline", b"supervise")
    })
    .collect()
}

#[test]
fn a_machine_that_does_not_start_again_is_told_and_leaves_the_files() {
    let home = Home::new();
    let workspace = home.workspace();
    workspace.sh("echo kept > kept");
    workspace.stop();
    let qemu = home.path().join("qemu");
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && { echo 'QEMU emulator version 10.0.0'; exit; }\n\
                  echo 'it hurts' >&2; exit 3\n";
    write(&qemu, script, 0o755);
    let output = workspace.command(&["start"], &["--json"]).env("PYRO_QEMU", &qemu).output().unwrap();
    assert_eq!(kind_of(&output.stdout), "start_failed", "{}", report(&output));
    assert!(report(&output).contains("it hurts"), "{}", report(&output));
    let status = workspace.status();
    assert_eq!(status["state"], "failed", "{status:#}");
    assert!(status["failure"].as_str().unwrap().contains("it hurts"), "{status:#}");
    let created =
        home.pyro(&["workspace", "create", BASE, "--json"]).env("PYRO_QEMU", &qemu).output().unwrap();
    assert_eq!(kind_of(&created.stdout), "start_failed", "{}", report(&created));
    assert_eq!(home.workspace_ids(), [workspace.id.as_str()]);
    workspace.start();
    assert_eq!(workspace.sh("cat kept"), "kept\n");
    assert!(qemu_of(workspace.supervisor()).is_some());
    drop(workspace);
    fs::remove_file(qemu).unwrap();
    home.assert_nothing_left();
}
