//! The addresses of the link between a guest and its gateway: the same for every guest, since no two share a link. Host
//! and guest agree on them in `pyro-protocol`.
//!
//! There is no DHCP and there are no router advertisements: the guest agent sets these addresses before anything runs.

pub use pyro_protocol::network::{
    GATEWAY_MAC, GATEWAY_V4, GATEWAY_V6, GUEST_MAC, GUEST_V4, GUEST_V6, MTU, PREFIX_LEN_V4, PREFIX_LEN_V6,
};
use std::net::IpAddr;

/// Where the gateway answers DNS queries.
pub const DNS_PORT: u16 = 53;

/// Whether an address is the gateway's.
pub fn is_gateway(address: IpAddr) -> bool {
    address == IpAddr::V4(GATEWAY_V4) || address == IpAddr::V6(GATEWAY_V6)
}
