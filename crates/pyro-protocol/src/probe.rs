//! Whether a service is ready, asked again and again in the guest.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod address;

pub use address::{Address, Unusable, Url};

/// What is asked, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What is asked.
    pub check: Check,
    /// Milliseconds from one answer to the next question, at most: the first ones follow sooner, except of commands.
    pub interval_ms: u64,
    /// The environment of a command.
    pub env: BTreeMap<String, String>,
    /// The working directory of a command, absolute in the guest.
    pub cwd: String,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Check {
    /// Whether there is something at an absolute path.
    File {
        /// The path in the guest.
        path: String,
    },
    /// Whether somebody accepts connections.
    Tcp {
        /// `HOST:PORT`, as the guest reaches it: an [`Address`].
        address: String,
    },
    /// Whether a GET is answered with a status from 200 to 399.
    Http {
        /// An `http` URL, as the guest reaches it: a [`Url`].
        url: String,
    },
    /// Whether a line for `/bin/sh -c` exits with 0.
    Command {
        /// The line.
        command: String,
    },
}

/// The longest answer in bytes; longer ones are cut.
pub const MAX_ANSWER: usize = 1024;
