//! What the agent does as process 1: the only code that may assume to be that.
//!
//! Everything here happens before the host is answered for the first time, or after it wants the machine turned
//! off. A machine is saved as a template in between, so nothing of the start is left for a clone to do.

pub mod console;
pub mod environment;
pub mod limits;
pub mod modules;
pub mod mounts;
pub mod network;
pub mod port;
pub mod power_off;
pub(crate) mod workspace;

use nix::errno::Errno;
use std::fmt;

/// Why a machine did not start.
#[derive(Debug)]
pub struct BootError {
    doing: String,
    why: String,
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.why)
    }
}

impl std::error::Error for BootError {}

/// Says what was being done when a system call failed.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, BootError>;
}

impl<T> Doing<T> for nix::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, BootError> {
        let why = |errno: Errno| format!("{} (errno {})", errno.desc(), errno as i32);
        self.map_err(|errno| BootError { doing: what(), why: why(errno) })
    }
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, BootError> {
        self.map_err(|error| BootError { doing: what(), why: error.to_string() })
    }
}
