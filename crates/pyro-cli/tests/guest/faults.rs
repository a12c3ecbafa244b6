//! Starts that fail: clear errors, and nothing left.

use crate::home::{BASE, Home, PYRO, report};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn a_qemu_that_fails_is_quoted() {
    let home = Home::new();
    let qemu = fake_qemu(&home, "echo 'it hurts' >&2; exit 3");
    let output = home.pyro(&["run", BASE, "--", "true"]).env("PYRO_QEMU", &qemu).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{}", report(&output));
    assert!(stderr.contains("it hurts") && stderr.contains("hint: "), "{stderr}");
    home.assert_nothing_left();
}

#[test]
fn a_guest_that_never_answers_is_given_up_with_its_phase() {
    let home = Home::new();
    let qemu = fake_qemu(&home, "exec sleep 1000");
    let output = home
        .pyro(&["run", BASE, "--cold", "--", "true"])
        .env("PYRO_QEMU", &qemu)
        .env("PYRO_START_TIMEOUT_SECONDS", "2")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{}", report(&output));
    assert!(stderr.contains("in the phase `kernel`") && stderr.contains("no answer within 2 s"), "{stderr}");
    home.assert_nothing_left();
}

#[test]
fn no_way_onto_the_host_but_the_one_that_was_asked_for() {
    let home = Home::new();
    let run = |words: &[&str]| home.pyro(words).env("PYRO_QEMU", "/nonexistent/qemu").output().unwrap();
    let refused = run(&["run", BASE, "--", "echo", "on the host"]);
    assert_eq!(
        (refused.status.code(), refused.stdout.as_slice()),
        (Some(125), b"".as_slice()),
        "{}",
        report(&refused)
    );
    let script = "pwd; env; cat; exit 5";
    let allowed = run(&["run", BASE, "--allow-host-compat", "--", "sh", "-c", script]);
    assert_eq!(allowed.status.code(), Some(5), "{}", report(&allowed));
    let (stdout, stderr) =
        (String::from_utf8_lossy(&allowed.stdout), String::from_utf8_lossy(&allowed.stderr));
    assert!(
        stderr.contains("WITHOUT ISOLATION") && stderr.contains("execution_mode=host_compat"),
        "{stderr}"
    );
    assert!(stdout.contains("pyro-host-compat-") && !stdout.contains("PYRO_HOME"), "{stdout}");
    home.assert_nothing_left();
}

#[test]
fn a_guest_that_lies_is_given_up_within_the_limits() {
    for (lie, options, code, says) in [
        ("silent_after_welcome", &["--cold"][..], 125, "in the phase `identify`"),
        ("silent_after_welcome", &[], 125, "in the phase `warm-up`"),
        ("silent_after_started", &["--cold", "--timeout-seconds", "1"], 124, "timed_out=true"),
        ("garbage", &["--cold"], 125, "error: "),
        ("endless_output", &["--cold", "--timeout-seconds", "3"], 125, "error: "),
        ("endless_frames", &["--cold", "--timeout-seconds", "3"], 125, "error: "),
    ] {
        let home = Home::new();
        let qemu = fake_qemu(&home, &format!("exec python3 -c '{LIAR}' {lie}"));
        let mut command = home.pyro(&[&["run", BASE], options, &["--", "true"]].concat());
        let begun = Instant::now();
        let command = command.env("PYRO_QEMU", &qemu).env("PYRO_START_TIMEOUT_SECONDS", "5");
        let output = command.output().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(60), "{lie}: {:?}", begun.elapsed());
        assert_eq!(output.status.code(), Some(code), "{lie}: {}", report(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains(says), "{lie}: {}", report(&output));
        home.assert_nothing_left();
    }
}

/// Stands in for QEMU and its guest: answers QMP on descriptor 3 and the `hello` on descriptor 4, then lies.
const LIAR: &str = r#"
import os, struct, sys, threading
lie = sys.argv[1]
def qmp():
    os.write(3, b"{\"QMP\": {}}\n")
    while True:
        data = os.read(3, 65536)
        if not data: os._exit(0)
        for _ in range(data.count(b"\n")): os.write(3, b"{\"return\": {}}\n")
threading.Thread(target=qmp, daemon=True).start()
def frame(kind, channel, stream, payload):
    return struct.pack("<BBHII", kind, channel, 0, stream, len(payload)) + payload
def send(data):
    while data:
        data = data[os.write(4, data):]
heard = b""
def hear():
    global heard
    while len(heard) < 12 or len(heard) < 12 + struct.unpack_from("<I", heard, 8)[0]:
        heard += os.read(4, 65536)
    stream, length = struct.unpack_from("<II", heard, 4)
    payload, heard = heard[12:12 + length], heard[12 + length:]
    return stream, payload
version_and_session = hear()[1][1:]
if lie == "garbage":
    send(b"\xff" * 100000)
send(frame(1, 0, 0, b"\x00" + version_and_session + b"\x01a\x01k"))
if lie in ("silent_after_started", "endless_output"):
    hear()
    send(frame(1, 0, 0, b"\x01"))
    stream = hear()[0]
    send(frame(1, 0, stream, b"\x03\x05"))
if lie == "endless_output":
    for _ in range(100000): send(frame(2, 1, stream, b"x" * 65536))
if lie == "endless_frames":
    for _ in range(10000000): send(frame(1, 0, 7, b"\x02") * 1000)
threading.Event().wait()
"#;

#[test]
fn qemu_inherits_nothing_that_pyro_was_given() {
    let home = Home::new().warmed();
    let secret = home.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    // The shell opens it without the close-on-exec flag, as careless callers do.
    let script = r#"exec 8<"$1" 9<"$1"; "$2" run debian:12-base -- sh -c 'echo up; sleep 1000'"#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(&secret).arg(PYRO).env("PYRO_HOME", home.path());
    let mut shell = shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "up");
    let holders: Vec<String> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|process| {
            let mut files = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
            files.any(|file| fs::read_link(file.path()).is_ok_and(|link| link == secret))
        })
        .filter_map(|process| fs::read_to_string(process.path().join("comm")).ok())
        .collect();
    assert!(holders.iter().any(|name| name.trim() == "pyro"), "{holders:?}");
    assert!(!holders.iter().any(|name| name.starts_with("qemu")), "{holders:?}");
    end_pyro_of(shell.id());
    shell.wait().unwrap();
    home.assert_nothing_left();
}

/// Ends the child of a shell.
fn end_pyro_of(shell: u32) {
    let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
    // A shell may have become its last command itself.
    let pid = children.split_whitespace().next().map_or(shell.to_string(), str::to_owned);
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
}

#[test]
fn a_full_disk_of_the_host_is_told_to_the_guest() {
    let home = Home::new();
    let small = home.path().join("small");
    fs::create_dir(&small).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=300m", "tmpfs"]).arg(&small).status().unwrap();
    if !mounted.success() {
        println!("NOT RUN: only root can mount a small file system for this");
        return;
    }
    fs::create_dir(small.join("cache")).unwrap();
    symlink(home.path().join("cache/environments"), small.join("cache/environments")).unwrap();
    let mut command = home.pyro(&[
        "run",
        BASE,
        "--cold",
        "--",
        "sh",
        "-c",
        "dd if=/dev/zero of=/workspace/f bs=1M count=500 conv=fsync",
    ]);
    let output = command.env("PYRO_HOME", &small).output().unwrap();
    let unmounted = Command::new("umount").arg(&small).status().unwrap();
    assert!(output.status.code().is_some_and(|code| code != 0 && code != 124), "{}", report(&output));
    assert!(unmounted.success(), "something still uses the small file system");
}

/// A program that answers `--version` as QEMU does, and then does something else.
fn fake_qemu(home: &Home, script: &str) -> std::path::PathBuf {
    let path = home.path().join("qemu");
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && {{ echo 'QEMU emulator version 10.0.0'; exit; }}\n{script}\n"
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}
