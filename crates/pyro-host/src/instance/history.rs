//! The commands of a persistent VM, with their whole output: three files for each command.
//!
//! ```text
//! history/000001.json      what was run and what came of it; replaced in one step, so whole at any time
//! history/000001.stdout    everything that it printed
//! history/000001.stderr
//! ```
//!
//! An entry is there from the moment its command is sent to the guest. One without an end whose supervisor has gone
//! was interrupted with it.

use crate::command::Command;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::execution_mode::ExecutionMode;
use crate::output::OutputChannel;
use crate::state_dir::{make_private_dir, write_atomically_unsynced};
use pyro_network::denial::Denial;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// One command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Which it is, from 1.
    pub sequence: u64,
    /// What was run.
    pub command: Command,
    /// Where.
    pub cwd: String,
    /// When it was sent to the guest, in seconds since the epoch.
    pub recorded_at: f64,
    /// Its exit code; 128 + n for a signal, 124 for a time-out. None while it runs, and where nobody saw its end.
    pub exit_code: Option<i32>,
    /// Milliseconds that it ran.
    pub duration_ms: Option<f64>,
    /// Where it ran.
    pub execution_mode: ExecutionMode,
    /// Whether it was ended for its time-out.
    pub timed_out: bool,
    /// Why nobody saw its end, where that is so.
    pub error: Option<String>,
    /// What the guest wanted of the network and was refused while it ran, by this command or by something else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub network_denials: Vec<Denial>,
    /// Whether it may still run.
    pub running: bool,
}

/// The commands of one persistent VM.
#[derive(Debug, Clone)]
pub struct History {
    folder: PathBuf,
}

/// What a command prints, on its way to disk.
#[derive(Debug)]
pub struct Recording {
    history: History,
    /// What is known so far.
    pub entry: HistoryEntry,
    stdout: File,
    stderr: File,
}

/// The reason where a supervisor ended without saying what became of a command.
const INTERRUPTED: &str = "the supervisor ended while the command ran";

impl History {
    pub(super) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The numbers of all commands, in order.
    pub fn sequences(&self) -> Vec<u64> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let number = |name: std::ffi::OsString| name.to_str()?.strip_suffix(".json")?.parse().ok();
        let mut sequences: Vec<u64> = entries.filter_map(|entry| number(entry.file_name())).collect();
        sequences.sort_unstable();
        sequences
    }

    /// One command. `is_owned` says whether a supervisor lives: without one nothing runs.
    ///
    /// # Errors
    /// `not_found` when there is none of this number, `io` when its entry cannot be read.
    pub fn read(&self, sequence: u64, is_owned: bool) -> Result<HistoryEntry> {
        let path = self.path(sequence, "json");
        let doing = || format!("could not read the history entry `{}`", path.display());
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!("there is no command {sequence} in the history"),
                )
                .with_hint("`pyro workspace logs ID` shows all of them"));
            }
            bytes => bytes.doing(doing)?,
        };
        let mut entry: HistoryEntry = serde_json::from_slice(&bytes).doing(doing)?;
        if entry.running && !is_owned {
            entry.running = false;
            entry.error.get_or_insert_with(|| INTERRUPTED.into());
        }
        Ok(entry)
    }

    /// Completes the entries that an earlier supervisor left without an end. For a new one, before its first command.
    pub fn end_interrupted(&self) {
        for sequence in self.sequences() {
            // One that cannot be read or written now is tried again at the next start.
            if let Ok(entry) = self.read(sequence, true)
                && entry.running
                && let Ok(entry) = self.read(sequence, false)
            {
                let _ = self.write(&entry);
            }
        }
    }

    /// Begins a new entry.
    pub fn begin(&self, entry: HistoryEntry) -> Result<Recording> {
        make_private_dir(&self.folder)?;
        let create = |suffix| {
            let path = self.path(entry.sequence, suffix);
            let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
            file.doing(|| format!("could not create `{}`", path.display()))
        };
        let (stdout, stderr) = (create("stdout")?, create("stderr")?);
        self.write(&entry)?;
        Ok(Recording { history: self.clone(), entry, stdout, stderr })
    }

    /// Opens what a command printed.
    pub fn open(&self, sequence: u64, channel: OutputChannel) -> Result<File> {
        let path = self.output_path(sequence, channel);
        File::open(&path).doing(|| format!("could not open `{}`", path.display()))
    }

    /// The beginning of what a command printed, up to `limit` bytes, as text, and whether that is all.
    pub fn head(&self, sequence: u64, channel: OutputChannel, limit: usize) -> Result<(String, bool)> {
        let mut bytes = Vec::new();
        let mut file = self.open(sequence, channel)?.take(limit as u64 + 1);
        file.read_to_end(&mut bytes).doing(|| format!("could not read the output of command {sequence}"))?;
        let is_all = bytes.len() <= limit;
        bytes.truncate(limit);
        Ok((crate::output::text_of(bytes), is_all))
    }

    /// Where the output of a command is.
    pub fn output_path(&self, sequence: u64, channel: OutputChannel) -> PathBuf {
        match channel {
            OutputChannel::Stdout => self.path(sequence, "stdout"),
            OutputChannel::Stderr => self.path(sequence, "stderr"),
        }
    }

    fn write(&self, entry: &HistoryEntry) -> Result<()> {
        let json = serde_json::to_vec_pretty(entry)
            .failing(ErrorKind::Internal, || "could not write a history entry".into())?;
        write_atomically_unsynced(&self.path(entry.sequence, "json"), &json)
    }

    fn path(&self, sequence: u64, suffix: &str) -> PathBuf {
        self.folder.join(format!("{sequence:06}.{suffix}"))
    }
}

impl Recording {
    /// Keeps what the command printed.
    ///
    /// # Errors
    /// `disk_full` when the host's disk is, `io` for anything else.
    pub fn output(&mut self, channel: OutputChannel, bytes: &[u8]) -> Result<()> {
        let file = match channel {
            OutputChannel::Stdout => &mut self.stdout,
            OutputChannel::Stderr => &mut self.stderr,
        };
        file.write_all(bytes).map_err(|error| {
            let path = self.history.output_path(self.entry.sequence, channel);
            not_written(&path, error)
        })
    }

    /// The command has ended, or nobody will see its end: `self.entry` says how.
    pub fn end(&mut self) -> Result<()> {
        self.entry.running = false;
        self.history.write(&self.entry)
    }
}

fn not_written(path: &Path, error: std::io::Error) -> Error {
    let is_full = error.kind() == std::io::ErrorKind::StorageFull;
    let kind = if is_full { ErrorKind::DiskFull } else { ErrorKind::Io };
    let message = format!("could not keep the command's output in `{}`", path.display());
    Error::new(kind, message).with_source(error).with_hint("free some space on the host's disk")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sequence: u64) -> HistoryEntry {
        HistoryEntry {
            sequence,
            command: Command::Argv(vec!["true".into()]),
            cwd: "/workspace".into(),
            recorded_at: 1.5,
            exit_code: None,
            duration_ms: None,
            execution_mode: ExecutionMode::Guest,
            timed_out: false,
            error: None,
            network_denials: Vec::new(),
            running: true,
        }
    }

    #[test]
    fn a_command_is_kept_from_its_beginning_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::at(folder.path().join("history"));
        assert!(history.sequences().is_empty());
        let mut recording = history.begin(entry(1)).unwrap();
        recording.output(OutputChannel::Stdout, b"abc\xff").unwrap();
        assert!(history.read(1, true).unwrap().running);
        let interrupted = history.read(1, false).unwrap();
        assert_eq!((interrupted.running, interrupted.error.as_deref()), (false, Some(INTERRUPTED)));
        recording.entry.exit_code = Some(3);
        recording.end().unwrap();
        history.end_interrupted();
        let ended = history.read(1, false).unwrap();
        assert_eq!((ended.running, ended.exit_code, ended.error), (false, Some(3), None));
        assert_eq!(history.head(1, OutputChannel::Stdout, 10).unwrap(), ("abc\u{fffd}".into(), true));
        assert_eq!(history.head(1, OutputChannel::Stdout, 2).unwrap(), ("ab".into(), false));
        assert_eq!(history.read(2, false).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(history.sequences(), [1]);
    }
}
