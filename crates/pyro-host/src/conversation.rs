//! What goes to and fro while a command runs: standard input in, output out, until it ends or its time is up.

use crate::error::{Error, ErrorKind, Result};
use crate::guest::{ExecEvent, Execution, StdinSender};
use crate::limits::TIMEOUT_EXIT_CODE;
use crate::output::OutputChannel;
use pyro_protocol::exec::Exited;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes for a command's standard input.
pub type Stdin = Box<dyn AsyncRead + Send + Unpin>;

/// The guest ends a command in time by itself: TERM, and KILL two seconds later. Only a guest that does not gets
/// here, and emulated ones may be slow.
const GRACE: Duration = Duration::from_secs(10);

const STDIN_CHUNK: usize = 32 * 1024;

/// What a command came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Its exit code; 128 + n for a signal; 124 for a time-out.
    pub exit_code: i32,
    /// Whether it was ended for its time-out or the machine's TTL.
    pub timed_out: bool,
    /// How long it ran.
    pub duration: Duration,
}

/// Where the output of a command goes.
pub trait OutputSink {
    /// Takes a piece of output. The command waits meanwhile, if it has more to say.
    fn take(&mut self, channel: OutputChannel, bytes: Vec<u8>) -> impl Future<Output = Result<()>> + Send;
}

/// A command that was sent to a guest.
#[derive(Debug)]
pub struct Conversation {
    execution: Execution,
    begun: Instant,
    until: Instant,
}

impl Conversation {
    /// `timeout` is the command's own, `until` the end of the machine's life.
    pub fn new(execution: Execution, timeout: Duration, until: Option<Instant>) -> Self {
        let begun = Instant::now();
        let latest = begun + timeout + GRACE;
        Self { execution, begun, until: until.map_or(latest, |until| until.min(latest)) }
    }

    /// Passes everything on until the command has ended. Dropped before that, it ends the command.
    pub async fn hold(mut self, stdin: Option<Stdin>, sink: &mut impl OutputSink) -> Result<Outcome> {
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
                    ExecEvent::Started { .. } => {}
                    ExecEvent::Stdout(bytes) => self.pass(OutputChannel::Stdout, bytes, sink).await?,
                    ExecEvent::Stderr(bytes) => self.pass(OutputChannel::Stderr, bytes, sink).await?,
                    ExecEvent::Exited(exited) => {
                        // By the guest's clock, which alone sees when it began; no guest makes it longer than it was.
                        let ran = Duration::from_micros(exited.elapsed_us).min(self.begun.elapsed());
                        return Ok(Outcome { duration: ran, ..self.outcome(exit_code(&exited)?, exited.timed_out) });
                    }
                },
                result = &mut feeding, if !fed => {
                    fed = true;
                    result?;
                }
            }
        }
    }

    /// Time may be up while the reader of the output takes its time: the loop sees to that next.
    async fn pass(&self, channel: OutputChannel, bytes: Vec<u8>, sink: &mut impl OutputSink) -> Result<()> {
        tokio::time::timeout_at(self.until.into(), sink.take(channel, bytes)).await.unwrap_or(Ok(()))
    }

    fn outcome(&self, exit_code: i32, timed_out: bool) -> Outcome {
        Outcome { exit_code, timed_out, duration: self.begun.elapsed() }
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
pub(crate) fn exit_code(exited: &Exited) -> Result<i32> {
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
