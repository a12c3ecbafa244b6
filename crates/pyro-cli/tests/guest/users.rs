//! Who pyro and its QEMU run as.

use crate::home::{BASE, Home, PYRO, report};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn started_by_root_qemu_runs_as_a_user_that_owns_nothing() {
    if !is_root() {
        println!(
            "NOT RUN: only root starts QEMU as somebody else; every other story ran as an ordinary user"
        );
        return;
    }
    let home = Home::new().warmed();
    let mut command = home.pyro(&["run", BASE, "--", "sleep", "1000"]);
    let mut pyro = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let qemu = wait_for_child(pyro.id());
    let status = wait_for_filter(qemu);
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let uids = field("Uid:");
    assert!(uids.iter().all(|uid| uid == &uids[0] && uid != "0"), "{status}");
    assert!(field("Gid:").iter().all(|gid| gid != "0") && field("Groups:").is_empty(), "{status}");
    assert!(field("CapEff:") == ["0000000000000000"], "{status}");
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    assert!(
        !passwd.lines().any(|line| line.split(':').nth(2) == Some(&uids[0])),
        "uid {} is somebody",
        uids[0]
    );
    pyro.kill().unwrap();
    pyro.wait().unwrap();
    home.assert_nothing_left();
}

/// The status of a process once it has a seccomp filter (`proc_pid_status(5)`).
fn wait_for_filter(pid: u32) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        if status.lines().any(|line| line == "Seccomp:\t2") {
            return status;
        }
        assert!(Instant::now() < deadline, "no filter: {status}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The first QEMU that is a child of this process.
fn wait_for_child(parent: u32) -> u32 {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let children = fs::read_dir(format!("/proc/{parent}/task")).unwrap().flatten().flat_map(|task| {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            children.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<u32>>()
        });
        // Between fork and exec it is still called pyro.
        let is_qemu = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("qemu"))
        };
        if let Some(pid) = children.into_iter().find(is_qemu) {
            return pid;
        }
        assert!(Instant::now() < deadline, "no QEMU was started");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_ordinary_user_runs_commands_cold_and_cloned() {
    if !is_root() {
        println!("NOT RUN: this process is an ordinary user already, and so every other story was one");
        return;
    }
    let home = Home::with_own_environments();
    // An id that no account has: nothing about the user need be known to the host.
    give_to(home.path(), 60_606);
    let program = tempfile::tempdir().unwrap();
    fs::set_permissions(program.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(PYRO, program.path().join("pyro")).unwrap();
    for cold in [true, false, false] {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=60606", "--regid=60606", "--clear-groups", "--"])
            .arg(program.path().join("pyro"));
        command.args(["run", BASE]).args(cold.then_some("--cold")).args(["--", "id", "-u"]);
        let output =
            command.env("PYRO_HOME", home.path()).current_dir("/").stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.stdout, b"0\n", "{}", report(&output));
    }
    home.assert_nothing_left();
}

fn give_to(path: &Path, id: u32) {
    chown(path, Some(id), Some(id)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give_to(&entry.unwrap().path(), id);
        }
    }
}
