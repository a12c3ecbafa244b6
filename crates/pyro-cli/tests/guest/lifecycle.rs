//! The life of a workspace: stopped and started, ended by its time to live, and what others can see of it.

use crate::home::{Home, names_in, report, wait_until};
use crate::trees::write;
use crate::workspace::{Workspace, text};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

#[test]
fn a_stop_and_a_start_keep_everything() {
    let home = Home::new();
    let seed = tempfile::tempdir().unwrap();
    write(&seed.path().join("kept"), "kept\n", 0o644);
    write(&seed.path().join("changed"), "before\n", 0o644);
    let workspace = home.workspace_with(&["--seed-path", text(seed.path())]);
    let script = "echo after > changed; echo new > new; echo x > /root/x; echo y > /usr/local/y; \
                  rm /etc/motd; mkdir -p deep/er; mv kept deep/er/moved; echo done";
    assert_eq!(workspace.sh(script), "done\n");
    let (diff, entries) = (workspace.diff(), workspace.entries());
    assert_eq!(diff["summary"]["total"], 6, "{diff:#}");
    workspace.stop();
    check_stopped(&workspace, seed.path());
    let stopped = workspace.status();
    workspace.start();
    assert_eq!(workspace.diff(), diff);
    assert_eq!(workspace.entries(), entries);
    let see = "cat changed new deep/er/moved /root/x /usr/local/y; test -e /etc/motd || echo gone";
    assert_eq!(workspace.sh(see), "after\nnew\nkept\nx\ny\ngone\n");
    let started = workspace.status();
    for unchanged in ["workspace_id", "created_at", "expires_at", "workspace_seed", "environment"] {
        assert_eq!(started[unchanged], stopped[unchanged], "{unchanged}");
    }
    assert_eq!((&started["state"], &started["command_count"]), (&"started".into(), &2.into()));
    workspace.start(); // nothing to do
    workspace.stop();
    workspace.delete();
    home.assert_nothing_left();
}

/// What is on the host can be seen; what takes a machine is refused with what to do.
fn check_stopped(workspace: &Workspace<'_>, source: &Path) {
    workspace.stop(); // nothing to do
    let status = workspace.status();
    assert_eq!((&status["state"], &status["failure"]), (&"stopped".into(), &Value::Null), "{status:#}");
    assert_eq!(workspace.home.workspace_ids(), [workspace.id.as_str()]);
    assert_eq!(workspace.entries()[0]["stdout"], "done\n");
    let out = source.join("../never");
    for (words, more) in [
        (&["exec"][..], &["--", "true"][..]),
        (&["sync", "push"], &[text(source)]),
        (&["diff"], &[]),
        (&["export"], &["changed", "--output", text(&out)]),
    ] {
        let error = workspace.refused(words, more);
        assert_eq!(error["kind"], "wrong_state", "{words:?}: {error}");
        assert!(error["hint"].as_str().unwrap().contains("pyro workspace start"), "{words:?}: {error}");
    }
    assert!(!out.exists());
    assert!(workspace.home.user().is_none(), "something runs for a workspace that is stopped");
}

#[test]
fn the_time_to_live_ends_a_workspace() {
    let home = Home::new();
    drop(home.workspace()); // from now on a start is quick
    let started = home.workspace_with(&["--ttl-seconds", "20"]);
    let stopped = home.workspace_with(&["--ttl-seconds", "20"]);
    stopped.stop();
    let stopped_ends = stopped.status()["expires_at"].as_f64().unwrap();
    wait_until("the started one is gone by itself", || !started.folder().exists());
    wait_until("and its supervisor", || home.user().is_none());
    assert!(!started.socket().exists());
    wait_until("the stopped one is over", || now() > stopped_ends);
    let folder = stopped.folder();
    assert!(folder.exists(), "nobody has looked yet");
    let gone = stopped.refused(&["status"], &[]);
    assert_eq!(gone["kind"], "not_found", "{gone}");
    assert!(!folder.exists());
    assert!(home.workspace_ids().is_empty());
    home.assert_nothing_left();
}

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn ids_that_do_not_exist_are_told_so() {
    let home = Home::new();
    let out = home.path().join("never");
    for id in ["ws-000000000000", "nonsense", "../ws-000000000000", "vm-000000000000"] {
        for words in [
            &["status", id][..],
            &["exec", id, "--", "true"],
            &["sync", "push", id, "/tmp"],
            &["export", id, "x", "--output", text(&out)],
            &["diff", id],
            &["logs", id],
            &["stop", id],
            &["start", id],
            &["delete", id],
        ] {
            let mut words = [&["workspace"], words].concat();
            words.insert(words.iter().position(|word| *word == "--").unwrap_or(words.len()), "--json");
            let output = home.pyro(&words).output().unwrap();
            let json: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(json["error"]["kind"], "not_found", "{words:?}: {}", report(&output));
            assert_eq!(output.status.code(), Some(125), "{words:?}: {}", report(&output));
        }
    }
    home.assert_nothing_left();
}

#[test]
fn only_its_own_user_and_its_own_version_talk_to_a_supervisor() {
    let home = Home::new();
    let workspace = home.workspace();
    workspace.sh("echo out; echo err >&2");
    for folder in ["data", "run"] {
        assert_private(&home.path().join(folder));
    }
    let strange = br#"{"version": 99, "pyro": "99.0.0", "operation": {"dance": {"with": "me"}}}"#;
    let (kind, json) = ask(&workspace, strange);
    assert_eq!((kind, &json["failed"]["report"]["kind"]), (0, &"version_mismatch".into()), "{json}");
    assert!(json.to_string().contains("99.0.0"), "{json}");
    // Whatever else a client says, the workspace lives on.
    for nonsense in
        [&b"no json"[..], b"{}", b"\xff\xff", b"{\"version\": 1, \"pyro\": \"x\", \"operation\": 5}"]
    {
        let (kind, json) = ask(&workspace, nonsense);
        assert!(kind == 0 && json["failed"].is_object(), "{json}");
    }
    for bytes in [&[9, 1, 0, 0, 0, 0][..], &[0, 255, 255, 255, 255], &[0, 10, 0, 0], &[]] {
        let mut socket = UnixStream::connect(workspace.socket()).unwrap();
        socket.write_all(bytes).unwrap();
    }
    assert_eq!(workspace.sh("echo fine"), "fine\n");
    drop(workspace);
    home.assert_nothing_left();
}

/// Nobody but the owner may read or enter anything.
fn assert_private(path: &Path) {
    let metadata = fs::symlink_metadata(path).unwrap();
    assert_eq!(metadata.mode() & 0o077, 0, "{}: {:o}", path.display(), metadata.mode());
    if metadata.is_dir() {
        names_in(path).iter().for_each(|name| assert_private(&path.join(name)));
    }
}

/// Sends one message, and gives the kind and the content of the last frame that comes back.
fn ask(workspace: &Workspace<'_>, message: &[u8]) -> (u8, Value) {
    let mut socket = UnixStream::connect(workspace.socket()).unwrap();
    socket.write_all(&[0]).unwrap();
    socket.write_all(&u32::try_from(message.len()).unwrap().to_le_bytes()).unwrap();
    socket.write_all(message).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let n_bytes = u32::from_le_bytes(answer[1..5].try_into().unwrap()) as usize;
    assert_eq!(answer.len(), 5 + n_bytes, "one frame");
    (answer[0], serde_json::from_slice(&answer[5..]).unwrap())
}

#[test]
fn a_supervisor_keeps_nothing_of_the_client_that_started_it() {
    let home = Home::new();
    let file = home.path().join("id");
    // Careless callers hand down descriptors: here their output, under three more numbers.
    let script = r#"exec 7>&1 8>&1 9>&1; cd "$3"; "$1" workspace create debian:12-base --id-only > "$2""#;
    let elsewhere = tempfile::tempdir().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh", crate::home::PYRO]).arg(&file).arg(elsewhere.path());
    shell.env("PYRO_HOME", home.path()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    let mut pipe = shell.stdout.take().unwrap();
    let name = fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&pipe))).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || tell.send(pipe.read(&mut [0; 1]).unwrap()));
    assert!(shell.wait().unwrap().success());
    let id = fs::read_to_string(&file).unwrap().trim().to_owned();
    let workspace = Workspace { home: &home, id };
    let end = told.recv_timeout(Duration::from_secs(60));
    for pid in [workspace.supervisor(), workspace.qemu()] {
        check_detached(pid, &name);
    }
    drop(workspace);
    assert_eq!(end, Ok(0), "somebody still holds the caller's pipe");
    reader.join().unwrap().unwrap();
    fs::remove_file(file).unwrap();
    home.assert_nothing_left();
}

fn check_detached(pid: u32, pipe: &Path) {
    let process = Path::new("/proc").join(pid.to_string());
    for file in fs::read_dir(process.join("fd")).unwrap().flatten() {
        assert_ne!(
            fs::read_link(file.path()).ok().as_deref(),
            Some(pipe),
            "{pid} has {}",
            file.path().display()
        );
    }
    assert_eq!(fs::read_link(process.join("cwd")).unwrap(), Path::new("/"), "{pid}");
    let session_and_terminal = |process: &Path| {
        let stat = fs::read_to_string(process.join("stat")).unwrap();
        // Behind the name: state, parent, group, session, terminal (`proc_pid_stat(5)`).
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[3].to_owned(), fields[4].to_owned())
    };
    let (session, terminal) = session_and_terminal(&process);
    assert_ne!(session, session_and_terminal(Path::new("/proc/self")).0, "{pid} is in our session");
    assert_eq!(terminal, "0", "{pid} has a terminal");
}

#[test]
fn stopped_and_failed_ones_can_be_deleted_and_others_stay() {
    let home = Home::new();
    let (stays, stopped, failed) = (home.workspace(), home.workspace(), home.workspace());
    stays.sh("echo mine > mine");
    stopped.stop();
    failed.kill(failed.supervisor());
    assert_eq!(home.workspace_ids().len(), 3);
    stopped.delete();
    failed.delete();
    assert!(!failed.socket().exists(), "the socket of one that was killed and deleted");
    assert_eq!(home.workspace_ids(), [stays.id.as_str()]);
    assert_eq!(stays.sh("cat mine"), "mine\n");
    let out = home.path().join("out");
    stays.export("mine", &out);
    assert_eq!(fs::read_to_string(&out).unwrap(), "mine\n");
    fs::remove_file(out).unwrap();
    stays.delete();
    home.assert_nothing_left();
}
