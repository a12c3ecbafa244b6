//! What to type to have something allowed.

use crate::host_name::HostName;
use crate::preset::PRESETS;
use crate::rule::HOST_LOOPBACK;
use crate::special::{LOOPBACK, MAPPED, UNSPECIFIED};
use std::net::{IpAddr, SocketAddr};

/// Behind a rule that would make an open policy an allowlist.
const KEEP_OPEN: &str = "; with `--allow '*'` everything public stays allowed";

/// To allow one thing.
pub(super) fn allow(what: &str) -> String {
    format!("allow it with `--allow {what}`")
}

/// A name, and the preset that has it.
pub(super) fn allow_name(name: &HostName, port: Option<u16>) -> String {
    let what = port.map_or_else(|| name.to_string(), |port| format!("{name}:{port}"));
    let has = |preset: &&crate::preset::Preset| {
        preset.rules().iter().any(|rule| rule.allows_name(name) && (port.is_none() || rule.is_for_port(port)))
    };
    match PRESETS.iter().find(has) {
        Some(preset) => format!("{}, or with `--allow {preset}`", allow(&what)),
        None => allow(&what),
    }
}

/// The host's own loopback.
pub(super) fn allow_host_loopback(port: Option<u16>, open: bool) -> String {
    let what = port.map_or_else(|| format!("{HOST_LOOPBACK}:PORT"), |port| format!("{HOST_LOOPBACK}:{port}"));
    format!("{}{}", allow(&what), if open { KEEP_OPEN } else { "" })
}

/// An address that is not public.
pub(super) fn allow_address(what: &str, address: IpAddr, port: Option<u16>, open: bool) -> String {
    match (what, address) {
        (LOOPBACK | UNSPECIFIED, _) => {
            format!(
                "the guest has a loopback of its own; for the host's: {}",
                allow_host_loopback(port, open)
            )
        }
        (MAPPED, IpAddr::V6(address)) => {
            let inner = address.to_ipv4_mapped().map(|inner| inner.to_string()).unwrap_or_default();
            format!("use the IPv4 address, {inner}")
        }
        _ => format!("{}{}", allow(&address_and_port(address, port)), if open { KEEP_OPEN } else { "" }),
    }
}

/// As in a rule.
pub(super) fn address_and_port(address: IpAddr, port: Option<u16>) -> String {
    port.map_or_else(|| address.to_string(), |port| SocketAddr::new(address, port).to_string())
}
