//! What is between a machine and everything outside of it, beyond its shape: whom its guest may talk to, and how well its
//! QEMU has to be confined.

use super::confinement::RequireIsolation;
use crate::error::{Error, Result};
use pyro_network::gateway::Gateway;
use pyro_network::guard::Guard;
use pyro_network::policy::Policy;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// What is wanted. By default: whoever is at the other end of a network device says nothing, and any isolation will do.
#[derive(Debug, Clone, Default)]
pub struct Border {
    /// Whom the guest may talk to, where its machine has a network device. Without it the device leads nowhere.
    pub policy: Option<Policy>,
    /// The isolation without which the machine is not started.
    pub require_isolation: RequireIsolation,
}

impl Border {
    /// Refuses what the host, which may stand in for a machine, could not keep.
    ///
    /// # Errors
    /// `invalid_argument`.
    pub fn validate(&self, allow_host_compat: bool) -> Result<()> {
        if !allow_host_compat {
            return Ok(());
        }
        if self.require_isolation == RequireIsolation::Full {
            return Err(Error::invalid("full isolation is required, and the host is allowed to stand in")
                .with_hint(
                    "leave out --allow-host-compat or --require-isolation: the host isolates nothing",
                ));
        }
        if self.policy.as_ref().is_some_and(|policy| !policy.is_open()) {
            return Err(Error::invalid(
                "rules of the network are given, and the host is allowed to stand in",
            )
            .with_hint(
                "leave out --allow-host-compat or --allow: a command on the host has its whole network",
            ));
        }
        Ok(())
    }
}

/// What a machine's network device leads to.
#[derive(Debug)]
pub(super) enum NetworkEnd {
    /// There is no device.
    None,
    /// Nobody: what the guest sends stays unread.
    Nobody { _held_open: UnixStream },
    /// A gateway.
    Gateway(Arc<Gateway>),
}

impl NetworkEnd {
    /// Puts somebody at the end of the device, where there is one.
    pub(super) fn begin(device: Option<UnixStream>, policy: Option<&Policy>) -> io::Result<Self> {
        Ok(match (device, policy) {
            (None, _) => Self::None,
            (Some(device), None) => Self::Nobody { _held_open: device },
            (Some(device), Some(policy)) => {
                Self::Gateway(Arc::new(Gateway::start(device, Guard::new(policy.clone()))?))
            }
        })
    }

    pub(super) fn gateway(&self) -> Option<&Arc<Gateway>> {
        match self {
            Self::Gateway(gateway) => Some(gateway),
            Self::None | Self::Nobody { .. } => None,
        }
    }
}
