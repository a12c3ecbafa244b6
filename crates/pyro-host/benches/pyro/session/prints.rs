//! How fast what a program prints comes to the host's logs, and how fast it is read from there.

use super::guest::Guest;
use super::terminal::quiet;
use crate::Result;
use crate::samples::{Samples, megabytes_per_second};
use pyro_host::command::Command;
use pyro_host::instance::{SHELL_LOG_BYTES, ServiceState, ShellState};
use pyro_host::service::{ServiceName, ServiceSpec};
use pyro_host::shell::{ShellId, ShellSpec};
use pyro_host::workspace::{ReadSpec, SyncProgress};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// What is printed: more than a shell's log keeps, and less than a look at a service's log gives.
const N_BYTES: usize = 8_000_000;

/// What is read, at least, for one sample.
const N_READ: usize = 10_000_000;

/// Where what is printed is.
const PATH: &str = "/workspace/text";

/// How often the records on disk are looked at for an end: short beside what is measured.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Longer than printing takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many characters are read at once: the most that one call of most clients asks for, and the default.
const LARGE: u64 = 1_048_576;
const SMALL: u64 = 65536;

/// Megabytes (of a million bytes) a second.
#[derive(Default)]
pub struct Prints {
    pub shell: Samples,
    /// `cat` at a terminal that a program in the guest reads.
    pub guest: Samples,
    pub service: Samples,
    pub read_large: Samples,
    pub read_small: Samples,
    pub read_processes: Samples,
}

impl Prints {
    /// Measures in turns.
    pub async fn measure(guest: &Guest<'_>, n_rounds: usize) -> Result<Self> {
        let text = text();
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("text"), &text)?;
        guest.workspaces.sync(&guest.id, folder.path(), "/workspace", None::<fn(SyncProgress)>).await?;
        let shown = text.replace('\n', "\r\n"); // as a terminal shows it
        let mut prints = Self::default();
        for round in 0..n_rounds {
            let (shell, seconds) = print_in_shell(guest).await?;
            prints.shell.add(megabytes_per_second(shown.len(), seconds));
            prints.guest.add(print_in_guest(guest, shown.len()).await?);
            prints.service.add(print_in_service(guest, round, &text).await?);
            let kept = Kept::find(guest, &shell, &shown).await?;
            prints.read_large.add(kept.read_often(LARGE).await?);
            prints.read_small.add(kept.read_often(SMALL).await?);
            prints.read_processes.add(kept.read_by_processes()?);
        }
        Ok(prints)
    }
}

/// Lines that differ, each with a character that is not ASCII.
fn text() -> String {
    let mut text = String::with_capacity(N_BYTES);
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    while text.len() < N_BYTES {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (module, case, micros) = (state >> 48, state << 16 >> 16, state % 1000);
        text += &format!("test module_{module:04x}::case_{case:012x} … ok, in {micros} µs\n");
    }
    text
}

/// Has a shell print the text, and ends with it. Gives how long that took.
async fn print_in_shell(guest: &Guest<'_>) -> Result<(ShellId, Duration)> {
    let Guest { workspaces, id, .. } = guest;
    let shell = workspaces.open_shell(id, &ShellSpec::default()).await?.shell_id;
    quiet(workspaces, id, &shell, 0).await?;
    let begun = Instant::now();
    workspaces.write_shell(id, shell.as_str(), &format!("exec cat {PATH}"), true).await?;
    let is_over = || Ok(workspaces.status_shell(id, shell.as_str())?.state == ShellState::Exited);
    until(is_over).await?;
    let elapsed = begun.elapsed();
    Ok((shell, elapsed))
}

/// The same without a host.
async fn print_in_guest(guest: &Guest<'_>, expected: usize) -> Result<f64> {
    match guest.program(&["output", PATH, &expected.to_string()]).await?[..] {
        [seconds] => Ok(megabytes_per_second(expected, Duration::from_secs_f64(seconds))),
        ref other => Err(format!("the program in the guest printed {other:?}").into()),
    }
}

/// Has a service print the text.
async fn print_in_service(guest: &Guest<'_>, round: usize, text: &str) -> Result<f64> {
    let Guest { workspaces, id, .. } = guest;
    // A name of its own: the log of one that was there before goes on.
    let name = ServiceName::parse(&format!("print-{round}"))?;
    let command = Command::Argv(vec!["cat".into(), PATH.into()]);
    let begun = Instant::now();
    workspaces.start_service(id, &ServiceSpec::new(name.clone(), command)).await?;
    let is_over = || Ok(workspaces.status_service(id, name.as_str())?.state == ServiceState::Exited);
    until(is_over).await?;
    let elapsed = begun.elapsed();
    if workspaces.logs_service(id, name.as_str(), None)?.stdout == text {
        Ok(megabytes_per_second(text.len(), elapsed))
    } else {
        Err("the log of a service is not what it printed".into())
    }
}

async fn until(is_over: impl Fn() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !is_over()? {
        if begun.elapsed() > PATIENCE {
            return Err(format!("something was not over within {PATIENCE:?}").into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// What is kept of what a shell has shown.
struct Kept<'a> {
    guest: &'a Guest<'a>,
    shell: &'a ShellId,
    /// The cursor of its beginning.
    start: u64,
    text: &'a str,
}

impl<'a> Kept<'a> {
    /// Looks what is kept; it has to be the end of what was shown.
    async fn find(guest: &'a Guest<'_>, shell: &'a ShellId, shown: &'a str) -> Result<Self> {
        let all = ReadSpec { cursor: 0, max_chars: 1, plain: false, wait_for_idle_ms: None };
        let start = guest.workspaces.read_shell(&guest.id, shell.as_str(), &all).await?.dropped_chars;
        let kept = Kept { guest, shell, start, text: "" };
        let (text, _) = kept.read(LARGE).await?;
        let is_enough = text.len() as u64 >= SHELL_LOG_BYTES;
        let from = shown.len().saturating_sub(text.len());
        match shown.get(from..) {
            Some(end) if is_enough && end == text => Ok(Self { text: end, ..kept }),
            _ => Err(format!("{} bytes of a shell are not the end of what it showed", text.len()).into()),
        }
    }

    /// Reads it by cursor, and says how long the calls took.
    async fn read(&self, max_chars: u64) -> Result<(String, Duration)> {
        let Guest { workspaces, id, .. } = self.guest;
        let mut spec = ReadSpec { cursor: self.start, max_chars, plain: false, wait_for_idle_ms: None };
        let (mut text, mut elapsed) = (String::new(), Duration::ZERO);
        loop {
            let begun = Instant::now();
            let shown = workspaces.read_shell(id, self.shell.as_str(), &spec).await?;
            elapsed += begun.elapsed();
            text += &shown.output;
            if shown.output.is_empty() {
                return Ok((text, elapsed));
            }
            spec.cursor = shown.next_cursor;
        }
    }

    /// Reads it until enough was read.
    async fn read_often(&self, max_chars: u64) -> Result<f64> {
        let (mut n_bytes, mut elapsed) = (0, Duration::ZERO);
        while n_bytes < N_READ {
            let (text, taken) = self.read(max_chars).await?;
            self.check(text.as_bytes())?;
            n_bytes += text.len();
            elapsed += taken;
        }
        Ok(megabytes_per_second(n_bytes, elapsed))
    }

    /// The same by `pyro workspace shell read`, once.
    fn read_by_processes(&self) -> Result<f64> {
        let (mut bytes, mut cursor, mut elapsed) = (Vec::new(), self.start, Duration::ZERO);
        while bytes.len() < self.text.len() {
            let (cursor_word, most) = (cursor.to_string(), LARGE.to_string());
            let words = ["workspace", "shell", "read", &self.guest.id, self.shell.as_str()];
            let mut command = self.guest.executable.command(&words);
            command.args(["--cursor", &cursor_word, "--max-chars", &most]).stdout(Stdio::piped());
            let begun = Instant::now();
            let output = command.output()?;
            elapsed += begun.elapsed();
            if !output.status.success() || output.stdout.is_empty() {
                return Err(format!("{command:?} failed ({})", output.status).into());
            }
            cursor += std::str::from_utf8(&output.stdout)?.chars().count() as u64;
            bytes.extend(output.stdout);
        }
        self.check(&bytes)?;
        Ok(megabytes_per_second(bytes.len(), elapsed))
    }

    fn check(&self, read: &[u8]) -> Result<()> {
        if read == self.text.as_bytes() { Ok(()) } else { Err("what was read is not what was shown".into()) }
    }
}
