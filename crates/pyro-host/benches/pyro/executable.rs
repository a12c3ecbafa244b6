//! The executable `pyro`, as a caller sees it.

use crate::Result;
use crate::host::ENVIRONMENT;
use crate::samples::milliseconds;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Names the executable.
pub const VARIABLE: &str = "PYRO_BENCH_EXECUTABLE";

/// The built `pyro`.
pub struct Executable(PathBuf);

/// Where the milliseconds of one run went, by its own account, and the whole of the process.
#[derive(Debug, Deserialize)]
pub struct Parts {
    pub prepare_ms: f64,
    pub template_ms: f64,
    pub disk_ms: f64,
    pub spawn_ms: f64,
    pub restore_ms: f64,
    pub hello_ms: f64,
    pub exec_ms: f64,
    pub teardown_ms: f64,
    pub total_ms: f64,
    /// From before the process was started to after it was reaped.
    #[serde(skip)]
    pub wall_ms: f64,
}

impl Parts {
    /// From when the guest continued to the end of its command.
    pub fn in_guest_ms(&self) -> f64 {
        self.hello_ms + self.exec_ms
    }

    /// What neither QEMU (its start, its end) nor the guest took.
    pub fn own_ms(&self) -> f64 {
        self.wall_ms - self.restore_ms - self.in_guest_ms() - self.teardown_ms
    }

    /// The start and the end of pyro's process, before and after the run itself.
    pub fn process_ms(&self) -> f64 {
        self.wall_ms - self.total_ms
    }
}

impl Executable {
    /// The one that the process's environment names.
    pub fn find() -> Result<Self> {
        let path = std::env::var_os(VARIABLE).map(PathBuf::from).filter(|path| path.is_file());
        path.map(Self)
            .ok_or_else(|| format!("{VARIABLE} names no executable: use `cargo xtask bench`").into())
    }

    /// Its version, as it says it.
    pub fn version(&self) -> Result<String> {
        let output = Command::new(&self.0).arg("--version").output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A command line of it that reads and prints nothing, unless that is changed.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.0);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Milliseconds of a whole `pyro run debian:12 -- true`.
    pub fn time_run(&self, options: &[&str]) -> Result<f64> {
        let mut command = self.run(options, &["true"]);
        let begun = Instant::now();
        let status = command.status()?;
        let elapsed = milliseconds(begun.elapsed());
        if status.success() { Ok(elapsed) } else { Err(format!("{command:?} failed ({status})").into()) }
    }

    /// The same with `--json`, for the parts.
    pub fn parts(&self) -> Result<Parts> {
        #[derive(Deserialize)]
        struct Report {
            timings: Parts,
        }
        let mut command = self.run(&["--json"], &["true"]);
        let begun = Instant::now();
        let output = command.stdout(Stdio::piped()).output()?;
        let wall_ms = milliseconds(begun.elapsed());
        if !output.status.success() {
            return Err(format!("{command:?} failed ({})", output.status).into());
        }
        let report: Report = serde_json::from_slice(&output.stdout)?;
        Ok(Parts { wall_ms, ..report.timings })
    }

    /// What a command in a fresh guest prints.
    pub fn output_of(&self, words: &[&str]) -> Result<String> {
        let mut command = self.run(&[], words);
        let output = command.stdout(Stdio::piped()).output()?;
        if !output.status.success() {
            return Err(format!("{command:?} failed ({})", output.status).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts a command in a fresh guest.
    pub fn start(&self, words: &[&str]) -> Result<Child> {
        Ok(self.run(&[], words).spawn()?)
    }

    fn run(&self, options: &[&str], words: &[&str]) -> Command {
        let mut command = self.command(&["run"]);
        command.args(options).args([ENVIRONMENT, "--"]).args(words);
        command
    }
}
