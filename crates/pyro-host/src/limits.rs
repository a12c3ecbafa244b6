//! Ranges of what callers may ask for.

use crate::error::{Error, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::Duration;

/// The exit code of a command that ran out of time, as `timeout(1)` has it.
pub const TIMEOUT_EXIT_CODE: i32 = 124;
/// The default time-out of a command, in seconds.
pub const DEFAULT_TIMEOUT_SECONDS: u64 = 30;
/// The default life of a machine, in seconds.
pub const DEFAULT_TTL_SECONDS: u64 = 600;

const LONGEST_SECONDS: u64 = 7 * 24 * 3600;

/// A time-out is 1 second to 7 days.
pub fn validate_timeout(seconds: u64) -> Result<Duration> {
    validate("timeout_seconds", seconds)
}

/// The time that a service has to become ready is 1 second to 7 days.
pub fn validate_ready_timeout(seconds: u64) -> Result<Duration> {
    validate("ready_timeout_seconds", seconds)
}

/// A time to live is 1 second to 7 days.
pub fn validate_ttl(seconds: u64) -> Result<Duration> {
    validate("ttl_seconds", seconds)
}

/// Gives how many workspaces and VMs may be started at the same time.
pub const MAX_ACTIVE_VARIABLE: &str = "PYRO_MAX_ACTIVE_VMS";

/// As many may be started where nothing else is said.
pub const DEFAULT_MAX_ACTIVE_VMS: usize = 32;

/// How many workspaces and VMs may be started, as the environment says.
pub fn max_active_vms() -> Result<usize> {
    let Some(text) = std::env::var_os(MAX_ACTIVE_VARIABLE).filter(|text| !text.is_empty()) else {
        return Ok(DEFAULT_MAX_ACTIVE_VMS);
    };
    let text = text.to_string_lossy();
    text.parse().ok().filter(|&number: &usize| number > 0).ok_or_else(|| {
        Error::invalid(format!("{MAX_ACTIVE_VARIABLE} is `{text}`, which is not a number from 1"))
    })
}

/// Lets this process have as many files and sockets open as it may: a network with thousands of connections needs that.
/// For a process of pyro's own; programs that pyro is a part of decide for themselves.
pub fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    // Where that is refused, fewer connections are made.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn validate(name: &str, seconds: u64) -> Result<Duration> {
    if (1..=LONGEST_SECONDS).contains(&seconds) {
        return Ok(Duration::from_secs(seconds));
    }
    let message = format!("{name} is {seconds}, which is not in 1 to {LONGEST_SECONDS}");
    Err(Error::invalid(message).with_hint("it is given in seconds, at most 7 days"))
}
