//! Runs one program, and whatever it starts, in namespaces that cannot outlive pyro.
//!
//! `unshare(1)` makes a process-id and a mount namespace, and for an ordinary user a user namespace in which he is
//! root over his range of subordinate ids. The first process in it (`script/init.sh`) waits on a pipe whose other
//! end is here. When that end closes, because the work is done, was cancelled, or pyro was killed with SIGKILL,
//! the first process ends and the kernel kills the rest; mounts go with their namespace. Nothing depends on
//! which thread started it (`PR_SET_PDEATHSIG` would), nor on signals to process groups.
//!
//! It is no protection against the program: as root, the program is root.

use crate::program::search_path;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin};

const INIT: &str = include_str!("script/init.sh");
/// What a program may learn from our environment.
const KEPT_VARIABLES: &[&str] =
    &["HOME", "http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY"];
const MAX_TAIL_LINES: usize = 40;
const MAX_LINE_BYTES: usize = 2000;
/// The kernel kills a namespace in milliseconds; only a process stuck in the kernel takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A program to be run.
#[derive(Debug)]
pub(super) struct Sandbox {
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    folder: PathBuf,
}

/// Why a program did not succeed.
#[derive(Debug)]
pub(super) struct Failure {
    /// What happened, as a sentence.
    pub(super) what: String,
    /// The last lines that it printed.
    pub(super) tail: Vec<String>,
}

impl Sandbox {
    /// A program, which runs in this folder.
    pub(super) fn new(program: impl Into<OsString>, folder: &Path) -> Self {
        Self { arguments: vec![program.into()], variables: Vec::new(), folder: folder.into() }
    }

    /// One more argument.
    pub(super) fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// More arguments.
    pub(super) fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// An environment variable.
    pub(super) fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--fork", "--pid", "--mount", "--kill-child=KILL"]);
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--map-root-user", "--map-auto"]);
        }
        command.args(["--", "sh", "-c", INIT, "pyro-sandbox"]).args(&self.arguments);
        command.env_clear().env("PATH", search_path()).env("LC_ALL", "C.UTF-8");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        let kept = KEPT_VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.envs(kept).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.folder);
        // Its own process group: a Ctrl-C at the terminal reaches pyro alone, which then ends the sandbox.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end and hands every line that it prints to `on_line`. When the future is dropped,
    /// no process of the sandbox is left at the end of the drop.
    pub(super) async fn run(self, mut on_line: impl FnMut(&str)) -> Result<(), Failure> {
        let mut child =
            tokio::process::Command::from(self.command()).spawn().map_err(|error| Failure::start(&error))?;
        let (status, output) = (child.stdout.take(), child.stderr.take());
        let running = Running { lifeline: child.stdin.take(), child };
        let (Some(status), Some(output)) = (status, output) else {
            return Err(Failure { what: "the sandbox has no pipes".into(), tail: Vec::new() });
        };
        let mut status = BufReader::new(status.take(MAX_LINE_BYTES as u64));
        let mut output = Lines::new(output);
        let mut answer = String::new();
        {
            // A line, not the end of the pipe: `unshare` holds it open for as long as the sandbox exists.
            let ended = status.read_line(&mut answer);
            tokio::pin!(ended);
            loop {
                tokio::select! {
                    _ = &mut ended => break,
                    more = output.read(&mut on_line) => if !more { let _ = (&mut ended).await; break },
                }
            }
        }
        running.end().await;
        while output.read(&mut on_line).await {}
        judge(&self.arguments[0], &answer, output.tail)
    }

    /// Runs the program to its end and blocks the thread. For clean-up, where there is no one to await.
    pub(super) fn run_blocking(self) -> Result<(), Failure> {
        let mut child =
            self.command().stderr(Stdio::null()).spawn().map_err(|error| Failure::start(&error))?;
        let lifeline = child.stdin.take();
        let mut answer = String::new();
        if let Some(status) = child.stdout.take() {
            let _ = io::BufRead::read_line(&mut io::BufReader::new(status), &mut answer);
        }
        drop(lifeline);
        let _ = child.wait();
        judge(&self.arguments[0], &answer, Vec::new())
    }
}

impl Failure {
    fn start(error: &io::Error) -> Self {
        Self { what: format!("could not start `unshare`: {error}"), tail: Vec::new() }
    }
}

/// The init process prints `exit <code>` once the program has ended, and something else if it was killed.
fn judge(program: &OsStr, answer: &str, tail: Vec<String>) -> Result<(), Failure> {
    let program = program.to_string_lossy();
    let what = match answer.trim_end().strip_prefix("exit ") {
        Some("0") => return Ok(()),
        Some(code) => format!("`{program}` ended with exit code {code}"),
        None if answer.is_empty() => {
            format!("the sandbox for `{program}` could not be set up, or was killed")
        }
        None => format!("`{program}` was killed"),
    };
    Err(Failure { what, tail })
}

/// A sandbox with something in it. Ends it when dropped.
struct Running {
    lifeline: Option<ChildStdin>,
    child: Child,
}

impl Running {
    async fn end(mut self) {
        self.lifeline = None;
        let _ = tokio::time::timeout(PATIENCE, self.child.wait()).await;
    }
}

impl Drop for Running {
    /// Blocks until `unshare` has ended, which it does only after everything in the sandbox is gone.
    fn drop(&mut self) {
        self.lifeline = None;
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > PATIENCE {
                let _ = self.child.start_kill();
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Splits what a program prints into lines, and keeps the last ones. Holds a bounded amount whatever it prints.
struct Lines<R> {
    source: R,
    partial: Vec<u8>,
    tail: Vec<String>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(source: R) -> Self {
        Self { source, partial: Vec::new(), tail: Vec::new() }
    }

    /// Reads what is there. `false` at the end. Nothing is lost when the future is dropped.
    async fn read(&mut self, on_line: &mut impl FnMut(&str)) -> bool {
        let mut buffer = [0; 8192];
        let n_read = self.source.read(&mut buffer).await.unwrap_or(0);
        for byte in &buffer[..n_read] {
            match byte {
                b'\n' | b'\r' => self.finish_line(on_line),
                _ if self.partial.len() < MAX_LINE_BYTES => self.partial.push(*byte),
                _ => {}
            }
        }
        if n_read == 0 {
            self.finish_line(on_line);
        }
        n_read > 0
    }

    fn finish_line(&mut self, on_line: &mut impl FnMut(&str)) {
        let line = String::from_utf8_lossy(&self.partial).trim_end().to_owned();
        self.partial.clear();
        if line.is_empty() {
            return;
        }
        on_line(&line);
        if self.tail.len() == MAX_TAIL_LINES {
            self.tail.remove(0);
        }
        self.tail.push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_split_bounded_and_remembered() {
        let mut text = b"first\r\nsecond\n\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', 3 * MAX_LINE_BYTES));
        text.extend(b"\nlast \xff without end");
        let mut lines = Lines::new(text.as_slice());
        let mut seen = Vec::new();
        while lines.read(&mut |line: &str| seen.push(line.to_owned())).await {}
        assert_eq!(seen[..2], ["first", "second"]);
        assert_eq!(seen[2].len(), MAX_LINE_BYTES);
        assert_eq!(seen[3], "last \u{fffd} without end");
        assert_eq!(lines.tail, seen);
    }

    #[test]
    fn only_a_plain_zero_is_success() {
        let judge = |answer| judge(OsStr::new("true"), answer, Vec::new());
        assert!(judge("exit 0\n").is_ok());
        for answer in ["", "exit 1\n", "exit 00\n", "exit", "hello"] {
            assert!(judge(answer).is_err(), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_program_runs_to_its_end_or_is_dropped() {
        let shell = |script: &str| Sandbox::new("sh", Path::new("/")).arguments(["-c", script]);
        if let Err(failure) = shell("true").run(|_| {}).await {
            println!("NOT RUN: no sandbox can be made here: {failure:?}");
            return;
        }
        let mut lines = Vec::new();
        let failure = shell("echo out; echo err >&2; exit 7").run(|line| lines.push(line.to_owned())).await;
        assert_eq!(lines, ["out", "err"]);
        assert!(failure.expect_err("fails").what.ends_with("exit code 7"));
        let failure = shell("kill -KILL $PPID; sleep 60").run(|_| {}).await.expect_err("its shell is gone");
        assert!(failure.what.ends_with("was killed"), "{failure:?}");
        shell("sleep 60 & exit 0").run(|_| {}).await.expect("what it leaves behind does not hold it up");
        assert!(shell("exit 3").run_blocking().is_err());
        shell("true").run_blocking().expect("succeeds");
        let start = Instant::now();
        let dropped = tokio::time::timeout(Duration::from_millis(100), shell("sleep 60").run(|_| {})).await;
        assert!(dropped.is_err() && start.elapsed() < Duration::from_secs(5));
    }
}
