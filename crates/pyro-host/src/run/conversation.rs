//! What goes to and fro while a command runs: standard input in, output out, until it ends or its time is up.

use super::{RunEvent, RunEvents, Stdin};
use crate::error::{Error, ErrorKind, Result};
use crate::guest::{ExecEvent, Execution, StdinSender};
use crate::limits::TIMEOUT_EXIT_CODE;
use crate::output::{Capture, OutputChannel};
use pyro_protocol::exec::Exited;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;

/// The guest ends a command in time by itself: TERM, and KILL two seconds later. Only a guest that does not gets
/// here, and emulated ones may be slow.
const GRACE: Duration = Duration::from_secs(10);

const STDIN_CHUNK: usize = 32 * 1024;

/// What a command came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) exit_code: i32,
    pub(super) timed_out: bool,
    pub(super) duration: Duration,
    pub(super) stdout: Capture,
    pub(super) stderr: Capture,
}

/// A command that was sent to a guest.
pub(super) struct Conversation {
    execution: Execution,
    begun: Instant,
    until: Instant,
    stdout: Capture,
    stderr: Capture,
}

impl Conversation {
    /// `timeout` is the command's own, `until` the end of the machine's life.
    pub(super) fn new(execution: Execution, timeout: Duration, until: Instant, capture_bytes: usize) -> Self {
        let begun = Instant::now();
        Self {
            execution,
            begun,
            until: until.min(begun + timeout + GRACE),
            stdout: Capture::new(capture_bytes),
            stderr: Capture::new(capture_bytes),
        }
    }

    /// Passes everything on until the command has ended.
    pub(super) async fn hold(mut self, stdin: Option<Stdin>, events: Option<&RunEvents>) -> Result<Outcome> {
        let sender = self.execution.stdin();
        let mut feeding = std::pin::pin!(feed(stdin, sender));
        let mut fed = false;
        let out_of_time = tokio::time::sleep_until(self.until.into());
        let mut out_of_time = std::pin::pin!(out_of_time);
        loop {
            tokio::select! {
                biased;
                () = &mut out_of_time => return Ok(self.outcome(TIMEOUT_EXIT_CODE, true)),
                event = self.execution.next() => match event? {
                    ExecEvent::Started { .. } => self.begun = Instant::now(),
                    ExecEvent::Stdout(bytes) => self.take(OutputChannel::Stdout, bytes, events).await?,
                    ExecEvent::Stderr(bytes) => self.take(OutputChannel::Stderr, bytes, events).await?,
                    ExecEvent::Exited(exited) => {
                        return Ok(self.outcome(exit_code(&exited)?, exited.timed_out));
                    }
                },
                result = &mut feeding, if !fed => {
                    fed = true;
                    result?;
                }
            }
        }
    }

    async fn take(
        &mut self,
        channel: OutputChannel,
        bytes: Vec<u8>,
        events: Option<&RunEvents>,
    ) -> Result<()> {
        match channel {
            OutputChannel::Stdout => self.stdout.push(&bytes),
            OutputChannel::Stderr => self.stderr.push(&bytes),
        }
        let Some(events) = events else { return Ok(()) };
        let sent =
            tokio::time::timeout_at(self.until.into(), events.send(RunEvent::Output(channel, bytes))).await;
        match sent {
            // Time is up while the reader of the output takes its time: the loop sees to that next.
            Err(_) | Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => {
                Err(Error::new(ErrorKind::OutputClosed, "nobody reads the command's output any more"))
            }
        }
    }

    fn outcome(self, exit_code: i32, timed_out: bool) -> Outcome {
        let duration = self.begun.elapsed();
        Outcome { exit_code, timed_out, duration, stdout: self.stdout, stderr: self.stderr }
    }
}

/// Sends standard input until it ends or the command no longer takes it.
async fn feed(stdin: Option<Stdin>, sender: Option<StdinSender>) -> Result<()> {
    let (Some(mut stdin), Some(mut sender)) = (stdin, sender) else { return Ok(()) };
    let mut buffer = vec![0; STDIN_CHUNK];
    loop {
        let n_read = stdin.read(&mut buffer).await.map_err(|error| {
            Error::new(ErrorKind::Io, "could not read the standard input for the command").with_source(error)
        })?;
        if n_read == 0 || sender.send(&buffer[..n_read]).await.is_err() {
            return Ok(());
        }
    }
}

/// The exit code as a shell tells it: a signal is 128 + n. A guest that says neither lies.
fn exit_code(exited: &Exited) -> Result<i32> {
    match (exited.timed_out, exited.code, exited.signal) {
        (true, _, _) => Ok(TIMEOUT_EXIT_CODE),
        (false, Some(code @ 0..=255), None) => Ok(code),
        (false, None, Some(signal @ 1..=127)) => Ok(128 + signal),
        _ => Err(Error::new(
            ErrorKind::GuestUnreachable,
            "the guest told an end of the command that no command has",
        )),
    }
}
