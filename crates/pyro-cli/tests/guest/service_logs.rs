//! What services print: kept to its end, in bounded room, told to the byte, and while it comes.

use crate::home::{Home, report, wait_until};
use crate::workspace::Workspace;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

const MIB: u64 = 1024 * 1024;

/// Some 200 MB of lines.
const N_LINES: usize = 23_500_000;

/// What `seq` prints.
fn numbers() -> String {
    let mut text = String::with_capacity(210_000_000);
    for number in 1..=N_LINES {
        writeln!(text, "{number}").unwrap();
    }
    text
}

fn logs(workspace: &Workspace<'_>, options: &[&str]) -> Value {
    workspace.done(&["service", "logs"], &[&["big"], options].concat())
}

#[test]
fn two_hundred_megabytes_are_bounded_and_their_end_is_right() {
    let home = Home::new();
    let workspace = home.workspace();
    let script = format!("echo oops >&2; cat /tmp/gate; seq 1 {N_LINES}; echo end >&2");
    workspace.sh("mkfifo /tmp/gate");
    workspace.serve("big", &[], &script);
    // One who reads it as it comes is told of every byte, or that it is not there any more.
    let follower = workspace.command(&["service", "logs"], &["big", "--all", "--follow"]);
    let follower = Follower::of(follower);
    workspace.sh("true > /tmp/gate");
    let expected = numbers();
    let total = expected.len() as u64;
    let followed = follower.end();
    assert_eq!(workspace.service("big")["state"], "exited");
    assert_eq!(followed.dropped + followed.n_bytes, total, "{}", followed.stderr);
    assert!(expected.as_bytes().ends_with(&followed.tail) && followed.tail.len() > 1000);
    assert!(followed.stderr.contains("oops\n") && followed.stderr.contains("end\n"), "{}", followed.stderr);

    let lines = logs(&workspace, &["--tail-lines", "3"]);
    let last: Vec<String> = (N_LINES - 2..=N_LINES).map(|number| format!("{number}\n")).collect();
    assert_eq!((&lines["stdout"], &lines["stderr"]), (&json!(last.concat()), &json!("oops\nend\n")));
    assert_eq!((&lines["truncated"], &lines["tail_lines"]), (&json!(true), &json!(3)));
    assert_eq!(lines["stderr_dropped_bytes"], 0);
    let dropped = lines["stdout_dropped_bytes"].as_u64().unwrap();
    let lines = logs(&workspace, &[]);
    assert_eq!(lines["stdout"].as_str().unwrap().lines().count(), 200);
    assert!(expected.ends_with(lines["stdout"].as_str().unwrap()));
    let all = logs(&workspace, &["--all"]);
    let stdout = all["stdout"].as_str().unwrap();
    assert!(expected.ends_with(stdout) && stdout.len() as u64 > 8 * MIB - 100, "{}", stdout.len());
    assert_eq!((&all["truncated"], &all["tail_lines"]), (&json!(true), &Value::Null));
    // All that is kept comes out where nobody asks for JSON; of the rest it is told how much it was.
    let whole = workspace.command(&["service", "logs"], &["big", "--all"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&whole.stderr);
    assert!(expected.as_bytes().ends_with(&whole.stdout), "{} bytes", whole.stdout.len());
    assert_eq!(whole.stdout.len() as u64 + dropped, total);
    assert_eq!(dropped_in(&stderr), dropped, "{stderr}");
    assert!(whole.stdout.len() as u64 >= 16 * MIB, "{} bytes are kept", whole.stdout.len());
    let folder = workspace.folder().join("services");
    let on_disk = size_of(&folder);
    assert!(on_disk >= whole.stdout.len() as u64 && on_disk < 18 * MIB, "{on_disk} bytes are on disk");
    drop(workspace);
    home.assert_nothing_left();
}

/// The bytes of all files below a folder.
fn size_of(folder: &std::path::Path) -> u64 {
    let sizes = fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            size_of(&entry.path())
        } else {
            entry.metadata().unwrap().len()
        }
    });
    sizes.sum()
}

/// How many bytes are not kept any more, according to the remarks of `service logs`.
fn dropped_in(stderr: &str) -> u64 {
    let numbers = stderr.lines().filter_map(|line| line.split_once("dropped stdout_bytes=").map(|it| it.1));
    numbers.map(|rest| rest.split(':').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// `service logs --follow` under way, and threads that read what it prints.
struct Follower {
    child: Child,
    stdout: std::thread::JoinHandle<(u64, Vec<u8>)>,
    stderr: std::thread::JoinHandle<String>,
}

struct Followed {
    n_bytes: u64,
    /// The last of standard output.
    tail: Vec<u8>,
    dropped: u64,
    stderr: String,
}

impl Follower {
    fn of(mut command: std::process::Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let stdout = std::thread::spawn(move || {
            let (mut n_bytes, mut tail, mut piece) = (0, Vec::new(), vec![0; 65536]);
            loop {
                match stdout.read(&mut piece).unwrap() {
                    0 => return (n_bytes, tail),
                    n => {
                        n_bytes += n as u64;
                        tail.extend_from_slice(&piece[..n]);
                        tail.drain(..tail.len().saturating_sub(100_000));
                    }
                }
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        Self { child, stdout, stderr }
    }

    fn end(mut self) -> Followed {
        let status = self.child.wait().unwrap();
        let ((n_bytes, tail), stderr) = (self.stdout.join().unwrap(), self.stderr.join().unwrap());
        assert!(status.success(), "{status}: {stderr}");
        Followed { n_bytes, tail, dropped: dropped_in(&stderr), stderr }
    }
}

#[test]
fn logs_are_followed_to_the_end_of_the_service() {
    let home = Home::new();
    let workspace = home.workspace();
    workspace.sh("mkfifo /tmp/gate /tmp/other-gate");
    let script = "echo one; echo err >&2; read word < /tmp/gate; printf '%s\\377\\n' \"$word\"; \
                  read word < /tmp/other-gate; printf 'no newline'; exit 4";
    workspace.serve("big", &[], script);
    wait_until("it has printed", || logs(&workspace, &[])["stdout"] == "one\n");
    let mut following = workspace.command(&["service", "logs"], &["big", "--follow"]);
    let mut follower = following.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let at_end = workspace.command(&["service", "logs"], &["big", "--follow", "--json"]);
    let at_end = { at_end }.stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(follower.stdout.take().unwrap());
    let mut line = Vec::new();
    stdout.read_until(b'\n', &mut line).unwrap();
    assert_eq!(line, b"one\n");
    workspace.sh("echo two > /tmp/gate");
    line.clear();
    stdout.read_until(b'\n', &mut line).unwrap();
    assert_eq!(line, b"two\xff\n", "bytes are passed on as they are");
    assert_eq!(follower.try_wait().unwrap(), None, "it goes on as long as the service runs");
    workspace.sh("echo three > /tmp/other-gate");
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"no newline");
    let output = follower.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.contains("err\n"), "{}", report(&output));
    assert!(stderr.lines().any(|line| line.starts_with("[workspace-service-logs] ")), "{stderr}");
    let at_end = at_end.wait_with_output().unwrap();
    let at_end: Value = serde_json::from_slice(&at_end.stdout).unwrap();
    assert_eq!((&at_end["state"], &at_end["truncated"]), (&json!("exited"), &json!(false)), "{at_end:#}");
    assert_eq!(at_end["stdout"], "one\ntwo\u{fffd}\nno newline");
    assert_eq!(at_end["stdout_dropped_bytes"], 0);
    // Of one that has ended there is nothing to wait for; of one that is deleted with its workspace neither.
    let ended = workspace.command(&["service", "logs"], &["big", "--follow"]).output().unwrap();
    assert_eq!(ended.stdout, b"one\ntwo\xff\nno newline", "{}", report(&ended));
    workspace.serve("other", &[], "echo here; exec sleep 1000");
    let mut followers = [&["other", "--follow"][..], &["other", "--follow", "--json"]].map(|words| {
        let mut command = workspace.command(&["service", "logs"], words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    let mut first = [0; 5];
    followers[0].stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"here\n");
    workspace.delete();
    for follower in followers {
        let output = follower.wait_with_output().unwrap();
        assert!(output.status.code().is_some(), "{}", report(&output));
        assert!(
            output.status.success()
                || report(&output).contains("not_found")
                || report(&output).contains("error: ")
        );
    }
    drop(workspace);
    home.assert_nothing_left();
}
