//! Which addresses are the host's own at this moment, and whether it reaches IPv6 outside. The kernel is asked each
//! time, so that nothing is known for longer than it is true: both questions cost it some microseconds and send
//! nothing.
//!
//! Two questions, since each sees what the other does not, and an address is the host's own if either says so:
//!
//! - Which route leads there (`RTM_GETROUTE`, [`rtnetlink(7)`])? One of a type such as *local* ends here: every address
//!   of every interface, all of 127.0.0.0/8, and networks that are routed to the loopback device as a whole (AnyIP).
//! - From which address would a datagram be sent there (`connect(2)`, `getsockname(2)`)? From that same address if it
//!   is this host's. This works where netlink is forbidden.
//!
//! [`rtnetlink(7)`]: https://man7.org/linux/man-pages/man7/rtnetlink.7.html

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;

/// Any port does: nothing is sent.
const ANY_PORT: u16 = 9;

/// Addresses that are reached by IPv6 hosts, by a default route or by one for tests.
const OUTSIDE_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)];

// From linux/rtnetlink.h and linux/netlink.h.
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const NLM_F_REQUEST: u16 = 1;
const RTA_DST: u16 = 1;
/// Delivered here: local, and with other hosts as well broadcast, anycast, multicast.
const RTN_HERE: RangeInclusive<u8> = 2..=5;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// `struct nlmsghdr`, and `struct rtmsg` behind it.
const HEADER_LEN: usize = 16;
const ROUTE_LEN: usize = 12;
/// Where the type of a route stands in a message.
const ROUTE_TYPE_AT: usize = HEADER_LEN + 7;

/// Whether an address is one of the host's own.
pub fn is_own(address: IpAddr) -> bool {
    route_is_local(address) == Some(true) || source_towards(address) == Some(address)
}

/// Whether packets to IPv6 hosts outside have a route, and a source that is not for this link only.
pub fn reaches_ipv6() -> bool {
    OUTSIDE_V6.into_iter().filter_map(|outside| source_towards(outside.into())).any(|source| match source {
        IpAddr::V6(source) => !source.is_unicast_link_local() && !source.is_loopback(),
        IpAddr::V4(_) => false,
    })
}

/// From which address something would be sent there. None: it would not be.
fn source_towards(address: IpAddr) -> Option<IpAddr> {
    let unbound: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(unbound, 0)).ok()?;
    socket.connect(SocketAddr::new(address, ANY_PORT)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Whether the route to an address ends here. None: there is none, or the kernel does not say.
fn route_is_local(address: IpAddr) -> Option<bool> {
    // No protocol: that is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None).ok()?;
    send(&socket, &route_question(address), SendFlags::empty()).ok()?;
    let mut answer = [0; 1024];
    // The kernel has answered when `send` returns: there is nothing to wait for.
    let (len, _) = recv(&socket, &mut answer, RecvFlags::DONTWAIT).ok()?;
    let kind = u16::from_ne_bytes([answer[4], answer[5]]);
    (len > ROUTE_TYPE_AT && kind == RTM_NEWROUTE).then(|| RTN_HERE.contains(&answer[ROUTE_TYPE_AT]))
}

fn route_question(address: IpAddr) -> Vec<u8> {
    let (family, octets) = match address {
        IpAddr::V4(address) => (AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (AF_INET6, address.octets().to_vec()),
    };
    let attribute_len = 4 + octets.len();
    let len = HEADER_LEN + ROUTE_LEN + attribute_len;
    let mut question = Vec::with_capacity(len);
    question.extend((len as u32).to_ne_bytes());
    question.extend(RTM_GETROUTE.to_ne_bytes());
    question.extend(NLM_F_REQUEST.to_ne_bytes());
    // Sequence and port: there is one question on this socket.
    question.extend([0; 8]);
    question.extend([family, octets.len() as u8 * 8]);
    question.extend([0; ROUTE_LEN - 2]);
    question.extend((attribute_len as u16).to_ne_bytes());
    question.extend(RTA_DST.to_ne_bytes());
    question.extend(octets);
    question
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(address: &str) -> bool {
        is_own(address.parse().unwrap())
    }

    #[test]
    fn all_of_the_loopback_is_the_hosts_own() {
        assert!(own("127.0.0.1") && own("127.1.2.3"));
        assert_eq!(route_is_local("127.9.9.9".parse().unwrap()), Some(true));
    }

    #[test]
    fn the_address_that_is_used_outside_is_the_hosts_own() {
        if let Some(source) = source_towards("203.0.113.77".parse().unwrap()) {
            assert!(is_own(source), "{source}");
            assert_eq!(route_is_local(source), Some(true));
        }
    }

    #[test]
    fn others_are_not() {
        assert!(!own("203.0.113.77") && !own("2001:db8:77::1") && !own("::ffff:0:1"));
    }
}
