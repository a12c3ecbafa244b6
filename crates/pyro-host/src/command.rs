//! What is to be run in a guest, as callers give it.

use crate::error::{Error, Result};
use pyro_protocol::exec::Exec;
pub use pyro_protocol::exec::ExecFailure;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where commands start, and where a workspace's files are.
pub const WORKSPACE_PATH: &str = "/workspace";

/// What a login as root would set, as far as a command without a terminal needs it.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
    ("LOGNAME", "root"),
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("SHELL", "/bin/bash"),
    ("USER", "root"),
];

/// A program with its arguments, or a line for the guest's shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Command {
    /// The program and its arguments; their boundaries survive.
    Argv(Vec<String>),
    /// A line for `/bin/sh -c`.
    Shell(String),
}

impl Command {
    /// How many bytes all words have at most: a command goes to the guest in one message.
    const MOST_BYTES: usize = pyro_protocol::frame::MAX_PAYLOAD;

    /// Refuses what no kernel would take, and what no message to the guest could carry.
    pub fn validate(&self) -> Result<()> {
        let words: Vec<&String> = match self {
            Self::Argv(words) => words.iter().collect(),
            Self::Shell(line) => vec![line],
        };
        if words.first().is_none_or(|program| program.is_empty()) {
            return Err(Error::invalid("there is no command to run")
                .with_hint("give one after `--`, for example: -- git --version"));
        }
        if words.iter().any(|word| word.contains('\0')) {
            return Err(Error::invalid("a word of the command contains a NUL byte"));
        }
        // The end of each word counts too.
        let n_bytes: usize = words.iter().map(|word| word.len() + 1).sum();
        if n_bytes > Self::MOST_BYTES {
            let message =
                format!("the command has {n_bytes} bytes, which is longer than {} bytes", Self::MOST_BYTES);
            return Err(Error::invalid(message).with_hint("put it into a file, bring that in, and run it"));
        }
        Ok(())
    }

    /// The request to the guest.
    pub fn to_exec(&self, timeout: Duration, stdin: bool) -> Exec {
        let argv = match self {
            Self::Argv(words) => words.clone(),
            Self::Shell(line) => vec!["/bin/sh".into(), "-c".into(), line.clone()],
        };
        let env: BTreeMap<String, String> =
            ENVIRONMENT.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let timeout_ms = u64::try_from(timeout.as_millis()).ok();
        Exec { argv, env, cwd: WORKSPACE_PATH.into(), timeout_ms, stdin, ..Exec::default() }
    }
}
