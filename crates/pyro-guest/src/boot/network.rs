//! The network device, where the machine has one: its addresses, its routes, and the name server. They are the same in
//! every machine, so that all of it is in a template and a clone has nothing to do.

use super::{BootError, Doing};
use crate::sys::Interface;
use pyro_protocol::network::{GATEWAY_V4, GATEWAY_V6, GUEST_V4, GUEST_V6, MTU, PREFIX_LEN_V4, PREFIX_LEN_V6};
use std::fs;
use std::io;
use std::path::Path;

/// The name that the kernel gives to the first one.
const DEVICE: &str = "eth0";

/// Settings of the kernel below `/proc/sys/net/ipv6/conf/eth0`. Nobody else is on the wire: no address is there twice,
/// and no router has anything to say. Each of these would be seconds of waiting, and frames to nobody.
const IPV6_SETTINGS: [(&str, &str); 3] =
    [("accept_dad", "0"), ("accept_ra", "0"), ("router_solicitations", "0")];

/// Whether the machine has one.
fn is_there() -> bool {
    Path::new("/sys/class/net").join(DEVICE).exists()
}

/// Brings the device up with its addresses and routes, where the machine has one.
///
/// # Errors
/// When the kernel refuses one of them. A kernel without IPv6 does without.
pub fn configure() -> Result<(), BootError> {
    if !is_there() {
        return Ok(());
    }
    let doing = |what: &'static str| move || format!("could not set {what} of the network device {DEVICE}");
    for (name, value) in IPV6_SETTINGS {
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{DEVICE}/{name}"), value); // not there without IPv6
    }
    let device = Interface::named(DEVICE).doing(doing("anything"))?;
    device.set_mtu(MTU.into()).doing(doing("the packet size"))?;
    device.set_ipv4(GUEST_V4, PREFIX_LEN_V4).doing(doing("the address"))?;
    device.up().doing(doing("the state"))?;
    device.route_ipv4(GATEWAY_V4).doing(doing("the route"))?;
    if device.set_ipv6(GUEST_V6, PREFIX_LEN_V6).is_ok() {
        device.route_ipv6(GATEWAY_V6).doing(doing("the IPv6 route"))?;
    }
    Ok(())
}

/// Names the gateway as the server that resolves names, where the machine has a network. To be called where the
/// environment is the root. Whatever stood there before, a machine that ran earlier may have put there.
pub(super) fn name_the_server() -> io::Result<()> {
    if !is_there() {
        return Ok(());
    }
    let path = Path::new("/etc/resolv.conf");
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::write(path, format!("nameserver {GATEWAY_V4}\n"))
}
