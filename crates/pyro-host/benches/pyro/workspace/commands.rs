//! `pyro workspace exec`, each time from a new process.

use crate::Result;
use crate::executable::Executable;
use crate::samples::milliseconds;
use serde::Deserialize;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a command took.
pub struct ExecTiming {
    /// From before its process was started to after it was reaped.
    pub wall_ms: f64,
    /// By the account of the history.
    pub duration_ms: f64,
}

/// Unpacks what comes, and has everything that was written on the disk at the end, as a seed has.
const UNTAR: &str = "mkdir /workspace/tar && tar x -C /workspace/tar && sync -f /workspace";

/// `pyro workspace exec ID --json -- true`.
pub fn exec_true(executable: &Executable, id: &str) -> Result<ExecTiming> {
    #[derive(Deserialize)]
    struct Report {
        duration_ms: f64,
    }
    let mut command = executable.command(&["workspace", "exec", id, "--json", "--", "true"]);
    let begun = Instant::now();
    let output = command.stdout(Stdio::piped()).output()?;
    let wall_ms = milliseconds(begun.elapsed());
    if !output.status.success() {
        return Err(format!("{command:?} failed ({})", output.status).into());
    }
    let report: Report = serde_json::from_slice(&output.stdout)?;
    Ok(ExecTiming { wall_ms, duration_ms: report.duration_ms })
}

/// Milliseconds until two of them that are started together have both ended.
pub fn exec_two(executable: &Executable, id: &str) -> Result<f64> {
    let mut command = executable.command(&["workspace", "exec", id, "--json", "--", "true"]);
    let begun = Instant::now();
    let mut both = [command.spawn()?, command.spawn()?];
    let ended = both.each_mut().map(Child::wait);
    let elapsed = milliseconds(begun.elapsed());
    for status in ended {
        succeeded(&command, status?)?;
    }
    Ok(elapsed)
}

/// `tar c DIRECTORY | pyro workspace exec ID -- tar x`, until all is on the guest's disk.
pub fn untar(executable: &Executable, id: &str, directory: &Path) -> Result<Duration> {
    let begun = Instant::now();
    let mut tar =
        Command::new("tar").arg("-C").arg(directory).args(["-c", "."]).stdout(Stdio::piped()).spawn()?;
    let words = ["workspace", "exec", id, "--timeout-seconds", "600", "--", "sh", "-c", UNTAR];
    let mut exec = executable.command(&words);
    let unpacked = exec.stdin(tar.stdout.take().ok_or("tar has no output")?).status();
    drop(exec); // and with it the other end of the pipe
    let packed = tar.wait()?;
    let elapsed = begun.elapsed();
    let unpacked = unpacked?;
    if packed.success() && unpacked.success() {
        Ok(elapsed)
    } else {
        Err(format!("tar ended with {packed} here, with {unpacked} in the guest").into())
    }
}

fn succeeded(command: &Command, status: std::process::ExitStatus) -> Result<()> {
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed ({status})").into()) }
}
