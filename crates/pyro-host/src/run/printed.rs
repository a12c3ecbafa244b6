//! What the command of a run prints: its beginning is kept for the result, all of it goes to whoever listens.

use super::{RunEvent, RunEvents};
use crate::conversation::OutputSink;
use crate::error::{Error, ErrorKind, Result};
use crate::output::{Capture, OutputChannel};

/// The output of one command.
#[derive(Debug)]
pub(super) struct Printed {
    pub(super) stdout: Capture,
    pub(super) stderr: Capture,
    events: Option<RunEvents>,
}

impl Printed {
    /// Keeps so many bytes of each output.
    pub(super) fn new(capture_bytes: usize, events: Option<RunEvents>) -> Self {
        Self { stdout: Capture::new(capture_bytes), stderr: Capture::new(capture_bytes), events }
    }
}

impl OutputSink for Printed {
    async fn take(&mut self, channel: OutputChannel, bytes: Vec<u8>) -> Result<()> {
        match channel {
            OutputChannel::Stdout => self.stdout.push(&bytes),
            OutputChannel::Stderr => self.stderr.push(&bytes),
        }
        let Some(events) = &self.events else { return Ok(()) };
        events
            .send(RunEvent::Output(channel, bytes))
            .await
            .map_err(|_| Error::new(ErrorKind::OutputClosed, "nobody reads the command's output any more"))
    }
}
