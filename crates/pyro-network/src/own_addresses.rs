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
//! Whoever asks decides by the answer what a guest may reach. So a question that failed counts as if the address were
//! the host's own: a guest may be able to bring that about, as by using up all descriptors. That there is no route is
//! no failure; and a question that this process may never ask is left out, unless it is both.
//!
//! [`rtnetlink(7)`]: https://man7.org/linux/man-pages/man7/rtnetlink.7.html

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, connect_unspec, getsockname, recv,
    send, socket_with,
};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

/// Any port does: nothing is sent.
const ANY_PORT: u16 = 9;

/// Addresses that are reached by IPv6 hosts, by a default route or by one for tests.
const OUTSIDE_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)];

// From linux/rtnetlink.h and linux/netlink.h.
const NLMSG_ERROR: u16 = 2;
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

/// Asks which addresses are the host's own, with sockets that are opened at the first question and kept, so that later
/// ones need no descriptor.
#[derive(Debug, Default)]
pub struct OwnAddresses {
    sockets: Mutex<Sockets>,
}

/// One that has failed is opened anew for the next question.
#[derive(Debug, Default)]
struct Sockets {
    routes: Option<OwnedFd>,
    v4: Option<OwnedFd>,
    v6: Option<OwnedFd>,
    /// The number of the last question about a route.
    number: u32,
}

/// What one of the two questions gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// The address is this host's.
    Here,
    /// It is not, or leads nowhere.
    Elsewhere,
    /// This process may never ask that.
    Silent,
    /// It may be either.
    Failed,
}

/// Whether an address is one of the host's own, or it cannot be told.
pub fn is_own(address: IpAddr) -> bool {
    OwnAddresses::default().contains(address)
}

/// Whether packets to IPv6 hosts outside have a route, and a source that is not for this link only.
pub fn reaches_ipv6() -> bool {
    let mut sockets = Sockets::default();
    OUTSIDE_V6.into_iter().filter_map(|outside| sockets.source_towards(outside.into()).ok()).any(|source| {
        match source {
            IpAddr::V6(source) => !source.is_unicast_link_local() && !source.is_loopback(),
            IpAddr::V4(_) => false,
        }
    })
}

impl OwnAddresses {
    /// Whether an address is one of the host's own, or it cannot be told.
    pub fn contains(&self, address: IpAddr) -> bool {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        is_own_by(sockets.ask_route(address), sockets.ask_source(address))
    }
}

fn is_own_by(route: Answer, source: Answer) -> bool {
    match (route, source) {
        (Answer::Here | Answer::Failed, _) | (_, Answer::Here | Answer::Failed) => true,
        (Answer::Silent, Answer::Silent) => true,
        (Answer::Elsewhere | Answer::Silent, Answer::Elsewhere | Answer::Silent) => false,
    }
}

impl Sockets {
    /// Whether the route to an address ends here.
    fn ask_route(&mut self, address: IpAddr) -> Answer {
        match self.route(address) {
            Ok(Ok(kind)) if RTN_HERE.contains(&kind) => Answer::Here,
            Ok(Ok(_)) => Answer::Elsewhere,
            // A route that prohibits is one as well, and a family that the kernel does not have has no routes.
            Ok(Err(Errno::ACCESS)) => Answer::Elsewhere,
            Ok(Err(Errno::OPNOTSUPP)) => Answer::Silent,
            Ok(Err(error)) if is_no_route(error) => Answer::Elsewhere,
            Err(Errno::PERM | Errno::ACCESS | Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT) => Answer::Silent,
            Ok(Err(_)) | Err(_) => Answer::Failed,
        }
    }

    /// The type of the route to an address, or the error that the kernel answered; or why it could not be asked.
    fn route(&mut self, address: IpAddr) -> Result<Result<u8, Errno>, Errno> {
        let socket = match self.routes.take() {
            Some(socket) => socket,
            // No protocol: that is NETLINK_ROUTE.
            None => socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?,
        };
        self.number = self.number.wrapping_add(1);
        send(&socket, &route_question(address, self.number), SendFlags::empty())?;
        let mut message = [0; 1024];
        // The kernel has answered when `send` returns: there is nothing to wait for.
        let (len, _) = recv(&socket, &mut message, RecvFlags::DONTWAIT)?;
        let answer = read_route(&message[..len], self.number).ok_or(Errno::BADMSG)?;
        self.routes = Some(socket);
        Ok(answer)
    }

    /// Whether something that is sent to an address comes from there.
    fn ask_source(&mut self, address: IpAddr) -> Answer {
        match self.source_towards(address) {
            Ok(source) if source == address => Answer::Here,
            Ok(_) => Answer::Elsewhere,
            // Something other than the routes forbids it, which says nothing about other sockets.
            Err(Errno::PERM | Errno::ACCESS) => Answer::Silent,
            Err(error) if is_no_route(error) => Answer::Elsewhere,
            Err(_) => Answer::Failed,
        }
    }

    /// From which address something would be sent there.
    fn source_towards(&mut self, address: IpAddr) -> Result<IpAddr, Errno> {
        let (kept, family) = match address {
            IpAddr::V4(_) => (&mut self.v4, AddressFamily::INET),
            IpAddr::V6(_) => (&mut self.v6, AddressFamily::INET6),
        };
        let socket = match kept.take() {
            Some(socket) => socket,
            None => socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?,
        };
        let source =
            connect(&socket, &SocketAddr::new(address, ANY_PORT)).and_then(|()| getsockname(&socket));
        // Else it would keep its source.
        if connect_unspec(&socket).is_ok() {
            *kept = Some(socket);
        }
        Ok(SocketAddr::try_from(source?)?.ip())
    }
}

/// Whether an error says that nothing can be sent there. `EINVAL` is that of a route to a black hole.
fn is_no_route(error: Errno) -> bool {
    matches!(
        error,
        Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT | Errno::INVAL
    )
}

/// The answer to a question about a route: the type of the route, or an error. None: it is neither.
fn read_route(message: &[u8], number: u32) -> Option<Result<u8, Errno>> {
    let kind = u16::from_ne_bytes(*message.get(4..)?.first_chunk()?);
    if message.get(8..12)? != number.to_ne_bytes() {
        return None;
    }
    match kind {
        RTM_NEWROUTE => message.get(ROUTE_TYPE_AT).copied().map(Ok),
        NLMSG_ERROR => {
            let error = i32::from_ne_bytes(*message.get(HEADER_LEN..)?.first_chunk()?);
            Some(Err(Errno::from_raw_os_error(error.checked_neg()?)))
        }
        _ => None,
    }
}

fn route_question(address: IpAddr, number: u32) -> Vec<u8> {
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
    question.extend(number.to_ne_bytes());
    question.extend([0; 4]);
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

    fn route(address: &str) -> Answer {
        Sockets::default().ask_route(address.parse().unwrap())
    }

    #[test]
    fn all_of_the_loopback_is_the_hosts_own() {
        assert!(own("127.0.0.1") && own("127.1.2.3"));
        assert_eq!(route("127.9.9.9"), Answer::Here);
    }

    #[test]
    fn the_address_that_is_used_outside_is_the_hosts_own() {
        if let Ok(source) = Sockets::default().source_towards("203.0.113.77".parse().unwrap()) {
            assert!(is_own(source), "{source}");
            assert_eq!(route(&source.to_string()), Answer::Here);
        }
    }

    #[test]
    fn others_are_not() {
        assert!(!own("203.0.113.77") && !own("2001:db8:77::1") && !own("::ffff:0:1"));
    }

    #[test]
    fn sockets_that_are_kept_answer_as_new_ones_do() {
        let kept = OwnAddresses::default();
        let addresses = ["127.0.0.1", "203.0.113.77", "::1", "2001:db8:77::1", "::ffff:0:1", "198.51.100.7"];
        for address in addresses.iter().cycle().take(40) {
            assert_eq!(kept.contains(address.parse().unwrap()), own(address), "{address}");
        }
        let sockets = kept.sockets.lock().unwrap();
        assert!(sockets.routes.is_some() && sockets.v4.is_some());
    }

    #[test]
    fn what_cannot_be_told_counts_as_the_hosts_own() {
        use Answer::{Elsewhere, Failed, Here, Silent};
        for (route, source) in [(Failed, Elsewhere), (Elsewhere, Failed), (Silent, Failed), (Silent, Silent)]
        {
            assert!(is_own_by(route, source), "{route:?} {source:?}");
        }
        assert!(is_own_by(Here, Elsewhere) && is_own_by(Elsewhere, Here));
        for (route, source) in [(Elsewhere, Elsewhere), (Silent, Elsewhere), (Elsewhere, Silent)] {
            assert!(!is_own_by(route, source), "{route:?} {source:?}");
        }
        for error in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::AGAIN] {
            assert!(!is_no_route(error), "{error}");
        }
    }

    #[test]
    fn only_the_answer_to_the_question_is_read() {
        let mut message = vec![0; 64];
        message[4..6].copy_from_slice(&RTM_NEWROUTE.to_ne_bytes());
        message[8..12].copy_from_slice(&7_u32.to_ne_bytes());
        message[ROUTE_TYPE_AT] = 2;
        assert_eq!(read_route(&message, 7), Some(Ok(2)));
        assert_eq!(read_route(&message, 8), None);
        assert_eq!(read_route(&message[..ROUTE_TYPE_AT], 7), None);
        message[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
        message[HEADER_LEN..HEADER_LEN + 4].copy_from_slice(&(-101_i32).to_ne_bytes());
        assert_eq!(read_route(&message, 7), Some(Err(Errno::NETUNREACH)));
    }
}
