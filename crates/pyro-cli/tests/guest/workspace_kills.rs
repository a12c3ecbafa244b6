//! SIGKILL of the client, of the supervisor and of QEMU at random moments while commands and syncs run: what was
//! committed stays, a sync is there wholly or not at all, and everybody is told what happened.
//!
//! `PYRO_TEST_SEED` repeats the delays of a run; it is printed.

use crate::home::{Home, report, signal, wait_until};
use crate::trees::write;
use crate::workspace::{Workspace, qemu_of, text};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, SystemTime};

/// Turns for each victim, over all workspaces.
const N_TURNS: [(Victim, u32); 3] = [(Victim::Client, 34), (Victim::Supervisor, 33), (Victim::Qemu, 33)];
const N_WORKSPACES: u32 = 2;

/// Files of the synced tree.
const N_FILES: u32 = 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Client,
    Supervisor,
    Qemu,
}

#[test]
fn a_hundred_kills_lose_nothing_that_was_committed() {
    let seed = seed();
    println!("PYRO_TEST_SEED={seed}");
    let home = Home::new();
    let turns: Vec<Victim> = N_TURNS
        .iter()
        .flat_map(|(victim, n_turns)| std::iter::repeat_n(*victim, *n_turns as usize))
        .collect();
    std::thread::scope(|scope| {
        for number in 0..N_WORKSPACES {
            let (home, turns) = (&home, &turns);
            scope.spawn(move || {
                let mut tester = Tester::new(home, seed + u64::from(number));
                // Each takes every n-th, the victims one after the other.
                let mine = (0..turns.len()).filter(|turn| *turn as u32 % N_WORKSPACES == number);
                for turn in mine {
                    tester.turn(turns[turn * 37 % turns.len()]);
                }
            });
        }
    });
    home.assert_nothing_left();
}

fn seed() -> u64 {
    let fresh = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos().into();
    std::env::var("PYRO_TEST_SEED").map_or_else(|_| fresh(), |text| text.parse().unwrap())
}

/// One workspace, and what is known of it.
struct Tester<'a> {
    workspace: Workspace<'a>,
    source: tempfile::TempDir,
    random: u64,
    /// The last version whose sync was tried.
    version: u32,
    /// The last version whose sync was reported as done.
    synced: u32,
    /// Commands whose end was reported to a client: the number that they printed, by what they were told to print.
    ended: BTreeMap<String, i32>,
    n_commands: u32,
}

impl<'a> Tester<'a> {
    fn new(home: &'a Home, seed: u64) -> Self {
        let workspace = home.workspace();
        let source = tempfile::tempdir().unwrap();
        let mut tester = Self {
            workspace,
            source,
            random: seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15),
            version: 0,
            synced: 0,
            ended: BTreeMap::new(),
            n_commands: 0,
        };
        tester.write_version();
        tester.workspace.sync(&tester.source(), &["--dest", "tree"]);
        tester.synced = tester.version;
        tester
    }

    fn source(&self) -> PathBuf {
        self.source.path().join("tree")
    }

    /// The next version of the tree: it is in every file, and in the name of one.
    fn write_version(&mut self) {
        self.version += 1;
        let _ = fs::remove_dir_all(self.source());
        for file in 0..N_FILES {
            let content = format!("{}\n", self.version).repeat(1 + (file as usize % 4) * 4000);
            write(&self.source().join(format!("d{}/e{}/f{file}", file % 5, file % 3)), content, 0o644);
        }
        write(&self.source().join(format!("versions/{}", self.version)), "", 0o644);
    }

    #[allow(clippy::print_stdout, reason = "shown when the test fails")]
    fn turn(&mut self, victim: Victim) {
        self.start_if_needed();
        self.write_version();
        let delay = Duration::from_millis(self.below(match victim {
            Victim::Client => 700,
            _ => 1200,
        }));
        let context =
            format!("workspace {}, version {}, {victim:?} after {delay:?}", self.workspace.id, self.version);
        println!("{context}");
        let (supervisor, qemu) = (self.workspace.supervisor(), self.workspace.qemu());
        let commands = [self.spawn_command(), self.spawn_command()];
        let sync = self.spawn_sync();
        std::thread::sleep(delay);
        match victim {
            // One of the three, and the others must not notice.
            Victim::Client => {
                let clients = [commands[0].1.id(), commands[1].1.id(), sync.id()];
                signal(clients[self.below(3) as usize], "KILL");
            }
            Victim::Supervisor => signal(supervisor, "KILL"),
            Victim::Qemu => signal(qemu, "KILL"),
        }
        for (wanted, child) in commands {
            self.command_ended(wanted, &child.wait_with_output().unwrap(), victim, &context);
        }
        let synced = sync.wait_with_output().unwrap();
        if synced.status.success() {
            self.synced = self.version;
        } else if synced.status.code().is_some() {
            assert!(victim != Victim::Client, "{context}: another client was disturbed: {}", report(&synced));
            assert_explained(&synced, &context);
        }
        self.check_state(victim, [supervisor, qemu], &context);
        self.check_history(&context);
        self.check_files(&context);
    }

    /// Prints its number before and after a little while, and ends with a code of its own.
    fn spawn_command(&mut self) -> (String, Child) {
        self.n_commands += 1;
        let (number, code) = (self.n_commands, self.n_commands % 100);
        let wanted = format!("command {number}\n");
        let script = format!("echo command {number} | tee -a log; sleep 0.{}; exit {code}", number % 7);
        (wanted, self.workspace.spawn(&script))
    }

    fn spawn_sync(&self) -> Child {
        let mut sync = self.workspace.command(&["sync", "push"], &[text(&self.source()), "--dest", "tree"]);
        sync.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn command_ended(&mut self, wanted: String, output: &Output, victim: Victim, context: &str) {
        let code = wanted.trim_start_matches("command ").trim().parse::<i32>().unwrap() % 100;
        if output.status.code() == Some(code)
            && String::from_utf8_lossy(&output.stderr).contains("[workspace-exec] ")
        {
            assert_eq!(output.stdout, wanted.as_bytes(), "{context}");
            self.ended.insert(wanted, code);
        } else if output.status.code().is_some() {
            assert!(victim != Victim::Client, "{context}: another client was disturbed: {}", report(output));
            assert_explained(output, context);
        }
    }

    /// Everybody sees what happened, and no process is left that should not be.
    fn check_state(&self, victim: Victim, processes: [u32; 2], context: &str) {
        if victim == Victim::Client {
            assert_eq!(self.workspace.state(), "started", "{context}");
            return;
        }
        wait_until("it has failed", || self.workspace.state() == "failed");
        assert!(self.workspace.status()["failure"].is_string(), "{context}");
        for pid in processes {
            wait_until("its processes are gone", || !Path::new("/proc").join(pid.to_string()).exists());
        }
    }

    /// Every command whose end was reported is there, whole; nothing is damaged, nothing is there twice.
    fn check_history(&self, context: &str) {
        wait_until("no command runs", || {
            self.workspace.entries().iter().all(|entry| entry["running"] == false)
        });
        let entries = self.workspace.entries();
        let numbers: Vec<u64> = entries.iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{context}: {numbers:?}");
        let stdout = |entry: &Value| entry["stdout"].as_str().unwrap().to_owned();
        let by_stdout: BTreeMap<String, &Value> =
            entries.iter().map(|entry| (stdout(entry), entry)).collect();
        for (wanted, code) in &self.ended {
            let entry = by_stdout.get(wanted).unwrap_or_else(|| panic!("{context}: `{wanted}` is lost"));
            assert_eq!(
                (&entry["exit_code"], &entry["error"]),
                (&(*code).into(), &Value::Null),
                "{context}: {entry:#}"
            );
        }
        for entry in &entries {
            assert!(entry["exit_code"].is_i64() || entry["error"].is_string(), "{context}: {entry:#}");
        }
    }

    /// All files are of one version, which is not older than the last one that was reported.
    fn check_files(&mut self, context: &str) {
        self.start_if_needed();
        let listing = self
            .workspace
            .sh("cd tree; sort -u d*/e*/f*; find d* -type f | wc -l; ls versions | sort -n | tail -n 1");
        let lines: Vec<u32> = listing.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(lines.len(), 3, "{context}: a mix of versions: {lines:?}");
        assert_eq!((lines[0], lines[1]), (lines[2], N_FILES), "{context}: {lines:?}");
        let found = lines[0];
        assert!(found >= self.synced && found <= self.version, "{context}: {found} after {}", self.synced);
        self.synced = found; // once seen it must not go away
    }

    fn start_if_needed(&self) {
        if self.workspace.state() != "started" {
            self.workspace.start();
        }
        assert!(qemu_of(self.workspace.supervisor()).is_some());
    }

    /// A number below this one.
    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }
}

/// Who was cut off is told so, in words.
fn assert_explained(output: &Output, context: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{context}: {}", report(output));
    assert!(stderr.contains("error: ") && stderr.contains("hint: "), "{context}: {}", report(output));
}
