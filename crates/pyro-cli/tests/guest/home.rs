//! A state directory for one test. Environments are shared between tests, since pulling one takes a minute;
//! everything else is the test's own.

use crate::outside::Outside;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub const PYRO: &str = env!("CARGO_BIN_EXE_pyro");

/// The environment of most tests: the smallest.
pub const BASE: &str = "debian:12-base";

pub struct Home {
    folder: tempfile::TempDir,
    /// A process whose network and mount namespaces pyro is to run in.
    holder: Option<u32>,
}

impl Home {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("pyro-test-").tempdir().unwrap();
        let cache = folder.path().join("cache");
        fs::create_dir_all(&cache).unwrap();
        symlink(shared_environments(), cache.join("environments")).unwrap();
        Self { folder, holder: None }
    }

    /// With a copy of the shared environments, and `debian:12` among them, for tests that change or delete them.
    pub fn with_own_environments() -> Self {
        let shared = shared_environments();
        let home = shared.parent().unwrap().parent().unwrap();
        let pulled =
            Command::new(PYRO).args(["env", "pull", "debian:12"]).env("PYRO_HOME", home).output().unwrap();
        assert!(pulled.status.success(), "{}", report(&pulled));
        let folder = tempfile::Builder::new().prefix("pyro-test-").tempdir().unwrap();
        let cache = folder.path().join("cache");
        fs::create_dir_all(&cache).unwrap();
        let copied =
            Command::new("cp").args(["--archive", "--reflink=auto"]).arg(&shared).arg(&cache).status();
        assert!(copied.unwrap().success());
        Self { folder, holder: None }
    }

    /// Runs pyro, and all that it starts, in the host's namespaces.
    pub fn within(self, world: &Outside) -> Self {
        Self { holder: Some(world.host.pid()), ..self }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `pyro` with this state directory and an empty standard input.
    pub fn pyro(&self, words: &[&str]) -> Command {
        let mut command = match self.holder {
            None => Command::new(PYRO),
            Some(holder) => {
                let mut enter = Command::new("nsenter");
                enter.args([&format!("--target={holder}"), "--net", "--mount", "--", PYRO]);
                enter
            }
        };
        command.args(words).env("PYRO_HOME", self.path()).stdin(Stdio::null());
        command
    }

    /// `pyro run debian:12-base -- …` to its end.
    pub fn run(&self, words: &[&str]) -> Output {
        self.pyro(&[&["run", BASE, "--"], words].concat()).output().unwrap()
    }

    /// The standard output of a run that must succeed.
    pub fn stdout(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", report(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The result of a run as JSON, with options before the command.
    pub fn json(&self, options: &[&str], words: &[&str]) -> serde_json::Value {
        let output =
            self.pyro(&[&["run", BASE, "--json"], options, &["--"], words].concat()).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", report(&output)))
    }

    /// Builds the template of the usual shape, so that what follows are clones.
    pub fn warmed(self) -> Self {
        self.stdout(&["true"]);
        self
    }

    /// Proves that nothing is left but the cache: waits until every process that has a file of this home open is
    /// gone, supervisors among them, then looks at the files and locks.
    pub fn assert_nothing_left(&self) {
        self.assert_nothing_runs();
        for folder in ["data/workspaces", "data/vms", "run"] {
            assert_eq!(names_in(&self.path().join(folder)), BTreeSet::new(), "left behind in {folder}");
        }
        let in_data = names_in(&self.path().join("data"));
        assert!(in_data.is_subset(&["workspaces".into(), "vms".into()].into()), "left behind: {in_data:?}");
        let expected: BTreeSet<&str> =
            ["environments", "templates", "disks", "host-compat", "host.json"].into();
        for entry in fs::read_dir(self.path().join("cache")).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(expected.contains(name.to_str().unwrap()), "left behind: {}", name.display());
        }
        for folder in self.template_folders() {
            let whole = ["disk", "memory", "state", "template.json"].map(str::to_owned);
            let names = names_in(&folder);
            assert!(names.is_empty() || names == whole.into(), "{}: {names:?}", folder.display());
            File::open(&folder)
                .unwrap()
                .try_lock()
                .unwrap_or_else(|_| panic!("{} is locked", folder.display()));
        }
    }

    /// Waits until no process uses this home.
    pub fn assert_nothing_runs(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while let Some(process) = self.user() {
            assert!(Instant::now() < deadline, "still running: {process}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn template_folders(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path().join("cache/templates"));
        entries.map(|entries| entries.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default()
    }

    /// A process that has a file below this home open, or its own environment names it.
    pub fn user(&self) -> Option<String> {
        let own = std::process::id();
        fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let uses = pid != own && self.is_used_by(&entry.path());
            uses.then(|| {
                fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default().replace('\0', " ")
            })
        })
    }

    fn is_used_by(&self, process: &Path) -> bool {
        let files = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        let mut links = files.filter_map(|entry| fs::read_link(entry.path()).ok());
        let variable = format!("PYRO_HOME={}", self.path().display());
        links.any(|link| link.starts_with(self.path()))
            || fs::read(process.join("environ")).is_ok_and(|environ| {
                environ.split(|&byte| byte == 0).any(|entry| entry == variable.as_bytes())
            })
    }
}

/// Where the environments of all tests are; the one that most use is pulled by the first test that asks.
fn shared_environments() -> PathBuf {
    static SHARED: OnceLock<PathBuf> = OnceLock::new();
    SHARED
        .get_or_init(|| {
            let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pyro-home");
            let output =
                Command::new(PYRO).args(["env", "pull", BASE]).env("PYRO_HOME", &home).output().unwrap();
            assert!(output.status.success(), "{}", report(&output));
            home.join("cache/environments")
        })
        .clone()
}

/// The names in a folder, which may be missing.
pub fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// Sends a signal, by its name without `SIG`, to a process that may have gone.
pub fn signal(pid: u32, name: &str) {
    let pid = pid.to_string();
    Command::new("kill").args(["-s", name, &pid]).stderr(Stdio::null()).status().unwrap();
}

/// Longer than anything takes on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(180);

/// Waits for something that will come true.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Says why a test does not run, past the capture of what tests print: it is to be seen, and counted (`xtask test`).
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    std::io::stdout().write_all(format!("\nskipped: {test}: {why}\n").as_bytes()).unwrap();
}

/// What a process printed, for the message of a failed test.
pub fn report(output: &Output) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let head: String = stdout.chars().take(2000).collect();
    format!("{}\n--- stdout\n{head}\n--- stderr\n{stderr}", output.status)
}

/// Gives a child its standard input and waits for its end.
pub fn feed(mut child: Child, input: Vec<u8>) -> Output {
    let mut stdin = child.stdin.take().unwrap();
    // A child that stops reading is for the caller to judge.
    let feeder = std::thread::spawn(move || stdin.write_all(&input).is_ok());
    let output = child.wait_with_output().unwrap();
    let _ = feeder.join();
    output
}
