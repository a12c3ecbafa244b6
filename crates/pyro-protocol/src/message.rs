//! The messages, in the encoding of [postcard](https://postcard.jamesmunns.com/wire-format).
//!
//! It says nothing about itself, and is decoded in a few instructions: reading the first three messages as JSON took
//! an emulated guest 20 to 40 ms, since each instruction that runs for the first time has to be translated. Variants
//! and fields are told apart by their place alone, so that they are added at the end only.

use crate::exec::{Exec, ExecFailure, Exited, WindowSize};
use crate::frame::MAX_PAYLOAD;
use crate::probe::Probe;
use crate::task::Task;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why bytes are not a message, or a message does not fit into a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageError {
    /// The bytes are not a message that this version knows.
    NotOurs(postcard::Error),
    /// It would be longer than a frame may be.
    TooLong,
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurs(error) => write!(f, "the bytes are no message of ours ({error})"),
            Self::TooLong => write!(f, "the message is longer than {MAX_PAYLOAD} bytes"),
        }
    }
}

impl std::error::Error for MessageError {}

/// The payload of a message's frame.
///
/// # Errors
/// When it is longer than a frame may be.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, MessageError> {
    let bytes = postcard::to_allocvec(message).map_err(MessageError::NotOurs)?;
    if bytes.len() > MAX_PAYLOAD { Err(MessageError::TooLong) } else { Ok(bytes) }
}

/// The message in a frame's payload. Allocates no more than the payload is long.
///
/// # Errors
/// When the bytes are none.
pub fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, MessageError> {
    postcard::from_bytes(payload).map_err(MessageError::NotOurs)
}

/// What the host says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToGuest {
    /// Starts a session (stream 0).
    Hello {
        /// The version that the host speaks.
        version: u32,
        /// A number that the guest gives back, so that an answer to an earlier session is not taken for one to
        /// this.
        session: u64,
    },
    /// Tells a machine who it is (stream 0), before anything of the user's runs in it.
    Identify(Identity),
    /// Asks for a [`ToHost::Pong`] (any stream).
    Ping,
    /// Opens a stream that runs a command.
    Exec(Exec),
    /// Sends a signal to the process group of the stream's command; with a terminal, to the one in its foreground.
    Signal {
        /// The number, as in `signal(7)`.
        signal: i32,
    },
    /// Writes everything to the disk and turns the machine off (stream 0).
    PowerOff,
    /// Opens a stream and on it makes the seeded baseline visible to commands as `/workspace`. Answered like a
    /// command: with `started` and `exited`, or `failed`. A workspace that is open already stays as it is.
    OpenWorkspace,
    /// Opens a stream and runs a piece of the agent's own work on it, with standard input, like a command.
    Task(Task),
    /// Sets the size of the terminal of the stream's command, which is told by `SIGWINCH`.
    Resize(WindowSize),
    /// Asks the stream's command, and of a contained one everything that it started, to end, and kills what has not
    /// after a while. `SIGKILL` does both at once.
    Terminate {
        /// The signal that asks, as in `signal(7)`. Stopped processes are continued to receive it.
        signal: i32,
        /// Milliseconds until the rest is killed.
        grace_ms: u64,
    },
    /// Opens a stream and probes on it until the answer is that it is ready, without standard input, like a command. Each
    /// line of its standard output is an answer; the exit code is 0 when it is ready.
    Probe(Probe),
}

/// What the guest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToHost {
    /// Answers `hello` (stream 0).
    Welcome {
        /// The version that the guest speaks.
        version: u32,
        /// The number of the `hello`.
        session: u64,
        /// The version of the guest agent.
        agent: String,
        /// The release of the guest kernel, as `uname -r` prints it.
        kernel: String,
    },
    /// Answers `identify` (stream 0).
    Identified,
    /// Answers `ping`.
    Pong,
    /// The stream's command runs.
    Started {
        /// Its process id in the guest.
        pid: u32,
    },
    /// The request could not be carried out. The stream is closed.
    Failed {
        /// Why.
        failure: ExecFailure,
        /// What failed, in words.
        message: String,
    },
    /// The stream's command has ended. The stream is closed: everything it printed came before.
    Exited(Exited),
}

/// Who a machine is. Two machines never get the same one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Nanoseconds since the epoch, now.
    pub unix_time_ns: u64,
    /// Fresh random bytes, for the kernel's generator.
    pub entropy: Vec<u8>,
    /// The host name of the machine.
    pub hostname: String,
    /// The content of `/etc/machine-id`: 32 hexadecimal digits (`machine-id(5)`).
    pub machine_id: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("hostname", &self.hostname).finish_non_exhaustive()
    }
}
