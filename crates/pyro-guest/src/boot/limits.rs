//! What process 1 sets for itself and for everything that it starts.

use super::{BootError, Doing};
use crate::sys::{self, Priority};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, umask};

/// Descriptors that a process may have open unless it asks for more, and the most it may ask for: as under Debian's
/// own process 1.
const OPEN_FILES: (u64, u64) = (1024, 1_048_576);

/// Sets priority, limits and the loopback interface.
///
/// # Errors
/// When the kernel refuses one of them.
pub fn set() -> Result<(), BootError> {
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    let (soft, hard) = OPEN_FILES;
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard)
        .doing(|| "could not set the limit of open files".into())?;
    sys::set_priority(0, Priority::First).doing(|| "could not set the agent's priority".into())?;
    sys::loopback_up().doing(|| "could not bring the loopback interface up".into())
}
