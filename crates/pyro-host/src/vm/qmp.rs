//! QEMU's control channel (`docs/interop/qmp-spec.rst` of QEMU): one JSON object a line, over a socket pair.
//!
//! Commands are written without waiting: QEMU answers them in order, and the few that a clone needs stand in the
//! socket before QEMU runs. QEMU is not trusted more than its guest: lines are bounded.

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::UnixStream;

/// Longer lines than this are none that we asked for.
const MAX_LINE: u64 = 1024 * 1024;

/// How many events may wait for somebody to ask for them; the oldest are dropped.
const MAX_UNTOLD: usize = 256;

/// Why a command had no effect.
#[derive(Debug, Error)]
pub enum QmpError {
    /// QEMU refused it.
    #[error("QEMU refused `{command}`: {description}")]
    Refused {
        /// The command.
        command: &'static str,
        /// QEMU's reason.
        description: String,
    },
    /// The channel is closed: QEMU is gone.
    #[error("QEMU closed its control channel")]
    Closed,
    /// The channel failed.
    #[error("QEMU's control channel failed: {0}")]
    Channel(#[from] io::Error),
    /// What came is not QMP.
    #[error("QEMU sent something on its control channel that is not QMP: {0}")]
    NotQmp(String),
}

/// Something that QEMU tells unasked.
#[derive(Debug)]
pub struct Event {
    /// Its name, such as `RESUME`.
    pub name: String,
    /// What belongs to it.
    pub data: Value,
}

/// A line from QEMU.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(rename = "return")]
    answer: Option<Value>,
    error: Option<Refusal>,
    event: Option<String>,
    #[serde(default)]
    data: Value,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    desc: String,
}

/// The host end of the channel. One owner; commands are answered in order.
#[derive(Debug)]
pub struct Qmp {
    stream: BufReader<UnixStream>,
    line: Vec<u8>,
    unanswered: VecDeque<&'static str>,
    /// Events that came while an answer was waited for.
    untold: VecDeque<Event>,
}

impl Qmp {
    /// Opens the channel. The answer to the first command tells whether QEMU runs.
    pub fn over(stream: UnixStream) -> Self {
        Self { stream: BufReader::new(stream), line: Vec::new(), unanswered: [].into(), untold: [].into() }
    }

    /// Sends a command without waiting for its answer.
    pub async fn send(&mut self, command: &'static str, arguments: Value) -> Result<(), QmpError> {
        let mut line = json!({"execute": command, "arguments": arguments}).to_string();
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes()).await?;
        self.unanswered.push_back(command);
        Ok(())
    }

    /// Gives QEMU a descriptor under a name that later commands use (`getfd`), and waits until it has it.
    pub async fn give_fd(&mut self, name: &str, fd: BorrowedFd<'_>) -> Result<(), QmpError> {
        let mut line = json!({"execute": "getfd", "arguments": {"fdname": name}}).to_string();
        line.push('\n');
        let stream = self.stream.get_ref();
        // The descriptor goes with the first byte; a line this short goes whole or not at all.
        stream
            .async_io(Interest::WRITABLE, || Ok(send_with_fd(stream.as_fd(), line.as_bytes(), fd)?))
            .await?;
        self.unanswered.push_back("getfd");
        while !self.unanswered.is_empty() {
            let line = self.read_line().await?;
            self.keep_event(line.event, line.data);
        }
        Ok(())
    }

    /// Sends a command and waits for its answer. Events that come meanwhile are kept for [`Qmp::event`].
    pub async fn ask(&mut self, command: &'static str, arguments: Value) -> Result<Value, QmpError> {
        self.send(command, arguments).await?;
        loop {
            let line = self.read_line().await?;
            if let (Some(answer), true) = (line.answer, self.unanswered.is_empty()) {
                return Ok(answer);
            }
            self.keep_event(line.event, line.data);
        }
    }

    /// Waits for the next event. Answers that come in between are taken as such. May be dropped half-way.
    pub async fn event(&mut self) -> Result<Event, QmpError> {
        if let Some(event) = self.untold.pop_front() {
            return Ok(event);
        }
        loop {
            let line = self.read_line().await?;
            if let Some(name) = line.event {
                return Ok(Event { name, data: line.data });
            }
        }
    }

    fn keep_event(&mut self, name: Option<String>, data: Value) {
        let Some(name) = name else { return };
        if self.untold.len() == MAX_UNTOLD {
            self.untold.pop_front();
        }
        self.untold.push_back(Event { name, data });
    }

    /// Reads one line. May be dropped half-way: what was read of a line is kept.
    async fn read_line(&mut self) -> Result<Line, QmpError> {
        let room = MAX_LINE.saturating_sub(self.line.len() as u64);
        let mut bounded = (&mut self.stream).take(room);
        bounded.read_until(b'\n', &mut self.line).await?;
        if self.line.last() != Some(&b'\n') {
            let endless = self.line.len() as u64 >= MAX_LINE;
            return Err(if endless { QmpError::NotQmp("an endless line".into()) } else { QmpError::Closed });
        }
        let line = std::mem::take(&mut self.line);
        let line: Line =
            serde_json::from_slice(&line).map_err(|error| QmpError::NotQmp(error.to_string()))?;
        if line.answer.is_some() || line.error.is_some() {
            let command =
                self.unanswered.pop_front().ok_or_else(|| QmpError::NotQmp("an answer to nothing".into()))?;
            if let Some(Refusal { desc }) = line.error {
                return Err(QmpError::Refused { command, description: desc });
            }
        }
        Ok(line)
    }
}

fn send_with_fd(socket: BorrowedFd<'_>, bytes: &[u8], fd: BorrowedFd<'_>) -> rustix::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)
}
