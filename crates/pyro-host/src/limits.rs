//! Ranges of what callers may ask for.

use crate::error::{Error, Result};
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

/// A time to live is 1 second to 7 days.
pub fn validate_ttl(seconds: u64) -> Result<Duration> {
    validate("ttl_seconds", seconds)
}

fn validate(name: &str, seconds: u64) -> Result<Duration> {
    if (1..=LONGEST_SECONDS).contains(&seconds) {
        return Ok(Duration::from_secs(seconds));
    }
    let message = format!("{name} is {seconds}, which is not in 1 to {LONGEST_SECONDS}");
    Err(Error::invalid(message).with_hint("it is given in seconds, at most 7 days"))
}
