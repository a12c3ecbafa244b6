//! A workspace on a host that cannot start guests: only for who allows it, loudly, and with everything that one in a
//! machine has.

use crate::home::{Home, NO_QEMU, eventually, kill};
use pyro_host::error::ErrorKind;
use pyro_host::execution_mode::ExecutionMode;
use pyro_host::pyro::Pyro;
use pyro_host::start::StartEvent;
use pyro_host::workspace::{ExecSpec, WorkspaceSpec};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn seed(folder: &Path) {
    fs::create_dir_all(folder.join("d")).unwrap();
    fs::write(folder.join("a.txt"), "one\n").unwrap();
    fs::write(folder.join("d/run"), "#!/bin/sh\necho ran\n").unwrap();
    fs::set_permissions(folder.join("d/run"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("a.txt", folder.join("link")).unwrap();
}

#[test]
fn nobody_gets_the_host_without_asking() {
    let home = Home::new();
    let error = &home.json(&["workspace", "create", "debian:12", "--json"], 125)["error"];
    assert_eq!(error["kind"], "unsupported_host", "{error}");
    // And who asks for something that cannot be has no use of the host either.
    let words = ["workspace", "create", "debian:13", "--allow-host-compat", "--json"];
    assert_eq!(home.json(&words, 125)["error"]["kind"], "not_found");
    assert_eq!(home.json(&["workspace", "list", "--json"], 0)["count"], 0);
}

#[test]
fn a_workspace_on_the_host_has_all_that_one_in_a_machine_has() {
    let home = Home::new();
    seed(&home.path("seed"));
    let seed = home.path("seed");
    let words = ["workspace", "create", "debian:12", "--allow-host-compat", "--json", "--seed-path"];
    let output = home.run(&[&words[..], &[seed.to_str().unwrap()]].concat());
    let warning = String::from_utf8(output.stderr).unwrap();
    assert!(warning.contains("WITHOUT ISOLATION") && warning.contains(NO_QEMU), "{warning}");
    let created: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = ("started", "host_compat", Value::Null, true);
    let (state, mode) = (created["state"].as_str().unwrap(), created["execution_mode"].as_str().unwrap());
    let allowed = created["allow_host_compat"].as_bool().unwrap();
    assert_eq!((state, mode, created["accelerator"].clone(), allowed), expected);
    assert_eq!(created["workspace_seed"]["entry_count"], 4);
    let id = created["workspace_id"].as_str().unwrap();

    let done = home.exec(id, "cat link; d/run; echo two >> a.txt; rm -r d; echo err >&2; exit 0");
    assert_eq!((&done["stdout"], &done["stderr"]), (&"one\nran\n".into(), &"err\n".into()));
    assert_eq!((&done["sequence"], &done["execution_mode"]), (&1.into(), &"host_compat".into()));
    assert_eq!(done["cwd"], "/workspace");

    check_diff(&home, id);
    check_files(&home, id);
    check_commands(&home, id);
}

fn check_diff(home: &Home, id: &str) {
    let diff = home.json(&["workspace", "diff", id, "--json"], 0);
    let entries = diff["entries"].as_array().unwrap().iter();
    let entries: Vec<_> = entries.map(|entry| (&entry["path"], &entry["status"])).collect();
    let text = format!("{entries:?}");
    assert!(text.contains("a.txt") && text.contains("modified") && text.contains("d/run"), "{text}");
    assert!(!text.contains("link"), "{text}");
    assert!(diff["patch"].as_str().unwrap().contains("+two"), "{diff}");
}

fn check_files(home: &Home, id: &str) {
    let more = home.path("more");
    fs::create_dir(&more).unwrap();
    fs::write(more.join("new"), "synced\n").unwrap();
    let push = |source: &Path, destination: &str, code: i32| {
        let words =
            ["workspace", "sync", "push", id, source.to_str().unwrap(), "--json", "--dest", destination];
        home.json(&words, code)
    };
    let pushed = push(&more, "/workspace/x", 0);
    assert_eq!((&pushed["entry_count"], &pushed["execution_mode"]), (&1.into(), &"host_compat".into()));
    assert_eq!(home.exec(id, "cat x/new")["stdout"], "synced\n");
    // All or nothing: what is in the way keeps out everything.
    fs::write(more.join("another"), "").unwrap();
    home.exec(id, "rm x/new; mkdir -p x/new/full");
    assert_eq!(push(&more, "/workspace/x", 125)["error"]["kind"], "already_exists");
    assert_eq!(home.exec(id, "ls x")["stdout"], "new\n");

    let output = home.path("exported");
    let words = ["workspace", "export", id, "a.txt", "--output", output.to_str().unwrap(), "--json"];
    assert_eq!(home.json(&words, 0)["artifact_type"], "file");
    assert_eq!(fs::read_to_string(&output).unwrap(), "one\ntwo\n");
}

fn check_commands(home: &Home, id: &str) {
    let late = ["workspace", "exec", id, "--timeout-seconds", "1", "--json", "--", "sh", "-c"];
    let late = home.json(&[&late[..], &["echo before; sleep 1000 & wait"]].concat(), 124);
    assert_eq!((&late["timed_out"], &late["stdout"]), (&true.into(), &"before\n".into()));
    // Two at once: each waits for what the other does.
    let spawn = |script: &str| -> Child {
        home.command(&["workspace", "exec", id, "--", "sh", "-c", script])
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut both = [("1", "2"), ("2", "1")]
        .map(|(own, other)| spawn(&format!("echo > {own}; until [ -e {other} ]; do sleep 0.01; done")));
    for child in &mut both {
        assert!(child.wait().unwrap().success());
    }
    let logs = home.json(&["workspace", "logs", id, "--json"], 0);
    let entries = logs["entries"].as_array().unwrap();
    assert!(entries.iter().all(|entry| entry["execution_mode"] == "host_compat"), "{logs}");
    assert_eq!(entries[0]["stdout"], "one\nran\n");
}

#[test]
fn a_workspace_on_the_host_survives_its_supervisor_and_its_processes_do_not() {
    let home = Home::new();
    let id = home.create(&[]);
    assert_eq!(home.exec(&id, "echo kept > kept; mkdir d; echo x > d/f; chmod 555 d; pwd")["exit_code"], 0);
    let marker = home.path("marker").display().to_string();
    let background =
        format!("setsid sh -c 'echo > {marker}; while :; do sleep 0.1; done' > /dev/null 2>&1 &");
    home.exec(&id, &background);
    let running = format!("echo > {marker}2; while :; do sleep 0.1; done");
    let mut running = home.command(&["workspace", "exec", &id, "--", "sh", "-c", &running]).spawn().unwrap();
    eventually("both commands run", || home.path("marker").exists() && home.path("marker2").exists());

    kill(home.supervisor(&id));
    assert!(!running.wait().unwrap().success());
    eventually("nothing is left of it", || home.processes().is_empty());
    assert_eq!(home.status(&id)["state"], "failed");

    let started = home.run(&["workspace", "start", &id, "--json"]);
    assert!(String::from_utf8_lossy(&started.stderr).contains("WITHOUT ISOLATION"));
    let started: Value = serde_json::from_slice(&started.stdout).unwrap();
    assert_eq!((&started["state"], &started["execution_mode"]), (&"started".into(), &"host_compat".into()));
    assert_eq!(home.exec(&id, "cat kept")["stdout"], "kept\n");
    let paths = home.json(&["workspace", "diff", &id, "--json"], 0)["entries"].clone();
    assert_eq!(paths.as_array().unwrap().len(), 3, "{paths}");

    home.exec(&id, &background);
    assert_eq!(home.json(&["workspace", "stop", &id, "--json"], 0)["state"], "stopped");
    assert_eq!(home.processes(), [0; 0]);
    assert_eq!(home.status(&id)["failure"], Value::Null);
    home.text(&["workspace", "start", &id], 0);
    home.text(&["workspace", "delete", &id], 0);
    assert_eq!(fs::read_dir(home.path("home/data/workspaces")).unwrap().count(), 0);
    assert_eq!(home.processes(), [0; 0]);
}

#[test]
fn a_workspace_on_the_host_ends_with_its_time_to_live() {
    let home = Home::new();
    let id = home.create(&["--ttl-seconds", "2"]);
    eventually("it is gone, and all of it", || {
        !home.path("home/data/workspaces").join(&id).exists() && home.processes().is_empty()
    });
}

#[test]
fn a_creation_that_fails_leaves_nothing_on_the_host() {
    let home = Home::new();
    let source = home.path("source");
    fs::create_dir(&source).unwrap();
    symlink("/etc", source.join("out")).unwrap();
    std::os::unix::net::UnixListener::bind(source.join("socket")).unwrap();
    let words = ["workspace", "create", "debian:12", "--allow-host-compat", "--json", "--seed-path"];
    home.json(&[&words[..], &[source.to_str().unwrap()]].concat(), 125);
    assert_eq!(home.json(&["workspace", "list", "--json"], 0)["count"], 0);
    assert_eq!(fs::read_dir(home.path("home/data/workspaces")).unwrap().count(), 0);
    assert_eq!(home.processes(), [0; 0]);
}

/// The test below in a process of its own, whose environment says that there is no QEMU.
const WITHOUT_QEMU: &str = "host_compat_workspace::vms_of_the_library_on_a_host_without_qemu";

#[test]
fn vms_of_the_library_may_run_on_the_host_too() {
    let home = Home::new();
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "--ignored", WITHOUT_QEMU]);
    test.env("PYRO_QEMU", NO_QEMU).env("PYRO_HOME", home.path("home"));
    let output = test.env("PYRO_EXECUTABLE", env!("CARGO_BIN_EXE_pyro")).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
    assert_eq!(home.processes(), [0; 0]);
}

#[tokio::test]
#[ignore = "started by the test above"]
async fn vms_of_the_library_on_a_host_without_qemu() {
    let pyro = Pyro::from_environment().unwrap();
    let mut spec = WorkspaceSpec::new("debian:12").machine;
    assert_eq!(pyro.create_vm(&spec, None).await.unwrap_err().kind(), ErrorKind::UnsupportedHost);
    spec.allow_host_compat = true;
    let (events, mut told) = tokio::sync::mpsc::channel(1);
    let created = pyro.create_vm(&spec, Some(&events)).await.unwrap();
    assert!(matches!(told.recv().await, Some(StartEvent::HostCompat(why)) if why.contains("PYRO_QEMU")));
    assert_eq!(created.execution_mode, ExecutionMode::HostCompat);
    let id = created.vm_id.as_str();
    let started = pyro.start_vm(id).await.unwrap();
    assert_eq!((started.execution_mode, started.accelerator), (ExecutionMode::HostCompat, None));
    let command = ExecSpec::new(pyro_host::command::Command::Shell("echo here".into()));
    let done = pyro.exec_vm(id, &command, None, None).await.unwrap();
    assert_eq!((done.stdout.as_str(), done.execution_mode), ("here\n", ExecutionMode::HostCompat));
    assert_eq!(pyro.status_vm(id).unwrap_err().kind(), ErrorKind::NotFound);
}
