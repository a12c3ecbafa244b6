//! One `--allow`: which destinations, and which port of them.
//!
//! | what is typed | what it allows |
//! | --- | --- |
//! | `pypi.org`, `pypi.org:443` | the host of that name, on every port or on one |
//! | `*.example.org[:PORT]` | every host below `example.org`, at any depth, but not `example.org` itself |
//! | `192.0.2.7[:PORT]`, `2001:db8::7`, `[2001:db8::7]:PORT` | an address |
//! | `192.0.2.0/24[:PORT]`, `2001:db8::/32`, `[2001:db8::/32]:PORT` | a network; `[2001:db8::]/32:PORT` as well |
//! | `*[:PORT]` | everything public |
//! | `host.pyro.internal[:PORT]` | the host's own loopback |
//! | `@pypi` | what a package manager needs: see `preset.rs` |
//! | `none` | nothing |
//!
//! Only syntax is known here. What a rule opens is decided in `policy.rs`.

mod error;
mod parse;

pub use error::RuleError;

use crate::host_name::HostName;
use crate::preset::Preset;
use ipnet::IpNet;
use std::fmt;
use std::str::FromStr;

/// The name of the host's own loopback.
pub const HOST_LOOPBACK: &str = "host.pyro.internal";

/// One `--allow`. Displayed in one form, whatever was typed: lower case, without what says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    target: Target,
    port: Option<u16>,
}

/// Which destinations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// None.
    Nothing,
    /// All that is public.
    Everything,
    /// A host.
    Name(HostName),
    /// All hosts below a name.
    Below(HostName),
    /// An address, or a network without host bits.
    Network(IpNet),
    /// The host's own loopback.
    HostLoopback,
    /// A list of rules that has a name. Has no port of its own.
    Preset(Preset),
}

impl Rule {
    /// Which destinations.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Which port of them. None: all, and pings.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether it is about a port. None stands for what has no port, such as a ping: only a rule for all ports is about
    /// it.
    pub fn is_for_port(&self, port: Option<u16>) -> bool {
        self.port.is_none() || self.port == port
    }

    /// Whether it allows a name, whatever the port.
    pub fn allows_name(&self, name: &HostName) -> bool {
        match &self.target {
            Target::Everything => true,
            Target::Name(allowed) => name == allowed,
            Target::Below(parent) => name.is_below(parent),
            Target::Nothing | Target::Network(_) | Target::HostLoopback | Target::Preset(_) => false,
        }
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(given: &str) -> Result<Self, RuleError> {
        parse::parse(given)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.target, self.port) {
            (Target::Network(IpNet::V6(network)), Some(port)) => {
                return write!(f, "[{}]:{port}", shown_network(&IpNet::V6(*network)));
            }
            (Target::Nothing, _) => f.write_str("none")?,
            (Target::Everything, _) => f.write_str("*")?,
            (Target::Name(name), _) => name.fmt(f)?,
            (Target::Below(parent), _) => write!(f, "*.{parent}")?,
            (Target::Network(network), _) => f.write_str(&shown_network(network))?,
            (Target::HostLoopback, _) => f.write_str(HOST_LOOPBACK)?,
            (Target::Preset(preset), _) => preset.fmt(f)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// A network of one address is an address.
fn shown_network(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.to_string()
    }
}

#[cfg(test)]
mod tests;
