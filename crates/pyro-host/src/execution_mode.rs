//! Where commands run.

use crate::error::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

/// Where a command ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExecutionMode {
    /// In a machine.
    Guest,
    /// On the host, without isolation.
    HostCompat,
}

impl ExecutionMode {
    /// The word in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::HostCompat => "host_compat",
        }
    }
}

/// Whether this failure means that the host cannot run guests: everything else stays an error.
pub(crate) fn may_replace(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnsupportedHost | ErrorKind::StartFailed | ErrorKind::EnvironmentUnavailable
    )
}
