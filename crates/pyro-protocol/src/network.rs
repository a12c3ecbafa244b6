//! What host and guest agree on about a guest's network: its addresses are the same in every guest, since nobody but its
//! own gateway ever sees them. A template therefore has them, and a clone has nothing to set.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The guest's address, in a network of two: from the range that is kept for networks behind an address translator (RFC
/// 6598), where neither a host's own network nor the outside is likely to be.
pub const GUEST_V4: Ipv4Addr = Ipv4Addr::new(100, 96, 0, 2);
/// The gateway's address, which is also the name server's.
pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(100, 96, 0, 1);
/// Bits of the network in the IPv4 addresses.
pub const PREFIX_LEN_V4: u8 = 30;

/// The guest's unique local address (RFC 4193).
pub const GUEST_V6: Ipv6Addr = Ipv6Addr::new(0xfd70, 0x7972, 0x6f00, 0, 0, 0, 0, 2);
/// The gateway's.
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd70, 0x7972, 0x6f00, 0, 0, 0, 0, 1);
/// Bits of the network in the IPv6 addresses.
pub const PREFIX_LEN_V6: u8 = 64;

/// Bytes of the largest packet between guest and gateway. Connections end at the gateway, so that it says nothing about
/// the outside; few large packets cost an emulated guest less than many small ones.
pub const MTU: u16 = 65520;

/// The guest's hardware address: locally administered.
pub const GUEST_MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x70, 0x79, 0x72];
/// The gateway's.
pub const GATEWAY_MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x70, 0x79, 0x01];
