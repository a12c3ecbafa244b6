//! A home of pyro on a host that cannot start guests.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Enough for anything on a busy machine; only a defect makes a test wait so long.
pub const LIMIT: Duration = Duration::from_secs(60);

/// What pyro is told to be QEMU: else it would find the one of this host, whatever PATH is.
pub const NO_QEMU: &str = "/nonexistent/qemu";

/// A home of pyro on a host without QEMU. What is left in it is deleted.
pub struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pyro"));
        command.args(words).env("PYRO_HOME", self.path("home")).env("PYRO_QEMU", NO_QEMU);
        command.stdin(Stdio::null());
        command
    }

    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Standard output of a command that must end with this code.
    pub fn text(&self, words: &[&str], code: i32) -> String {
        let output = self.run(words);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn json(&self, words: &[&str], code: i32) -> Value {
        serde_json::from_str(&self.text(words, code)).unwrap()
    }

    /// Creates a workspace from a seed, on the host.
    pub fn create(&self, options: &[&str]) -> String {
        let allowed = ["workspace", "create", "debian:12", "--allow-host-compat", "--id-only"];
        self.text(&[&allowed, options].concat(), 0).trim().to_owned()
    }

    pub fn status(&self, id: &str) -> Value {
        self.json(&["workspace", "status", id, "--json"], 0)
    }

    pub fn exec(&self, id: &str, script: &str) -> Value {
        self.json(&["workspace", "exec", id, "--json", "--", "sh", "-c", script], 0)
    }

    /// The processes whose command line names this home.
    pub fn processes(&self) -> Vec<i32> {
        let home = self.folder.path().to_str().unwrap();
        pids().filter(|pid| words_of(*pid).contains(home)).collect()
    }

    /// Whether a process has this path in its command line.
    pub fn is_used(&self, path: &Path) -> bool {
        let path = path.to_str().unwrap();
        pids().any(|pid| words_of(pid).contains(path))
    }

    pub fn supervisor(&self, id: &str) -> i32 {
        let record = fs::read(self.path("home/data/workspaces").join(id).join("record.json")).unwrap();
        let record: Value = serde_json::from_slice(&record).unwrap();
        i32::try_from(record["supervisor"]["pid"].as_i64().unwrap()).unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let list = self.run(&["workspace", "list", "--json"]);
        let list: Value = serde_json::from_slice(&list.stdout).unwrap_or_default();
        for workspace in list["workspaces"].as_array().into_iter().flatten() {
            self.run(&["workspace", "delete", workspace["workspace_id"].as_str().unwrap_or_default()]);
        }
    }
}

fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn words_of(pid: i32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ")
}

pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LIMIT, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Kills a process that is none of this one's children.
pub fn kill(pid: i32) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
}
