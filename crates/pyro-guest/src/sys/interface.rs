//! A network interface, set by the old calls: each is one `ioctl(2)`, and there is no message format to be spoken.
//! See `netdevice(7)`, `ipv6(7)` and `route(8)` for what they are.

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

/// `struct in6_ifreq` of `linux/ipv6.h`.
#[repr(C)]
struct Ipv6Request {
    address: libc::in6_addr,
    prefix: u32,
    index: libc::c_int,
}

/// `struct in6_rtmsg` of `linux/ipv6_route.h`.
#[repr(C)]
struct Ipv6Route {
    destination: libc::in6_addr,
    source: libc::in6_addr,
    gateway: libc::in6_addr,
    kind: u32,
    destination_prefix: u16,
    source_prefix: u16,
    metric: u32,
    info: libc::c_ulong,
    flags: u32,
    index: libc::c_int,
}

/// One interface.
pub(crate) struct Interface {
    socket: OwnedFd,
    name: [libc::c_char; libc::IFNAMSIZ],
}

impl Interface {
    /// The one of this name, whether it is there or not.
    pub(crate) fn named(name: &str) -> nix::Result<Self> {
        let mut bytes = [0; libc::IFNAMSIZ];
        if name.len() >= bytes.len() {
            return Err(Errno::ENODEV);
        }
        for (place, byte) in bytes.iter_mut().zip(name.bytes()) {
            *place = byte.cast_signed();
        }
        Ok(Self { socket: inet(AddressFamily::Inet)?, name: bytes })
    }

    /// Brings it up.
    pub(crate) fn up(&self) -> nix::Result<()> {
        let mut request = self.request();
        request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP).unwrap_or(1);
        self.ask(libc::SIOCSIFFLAGS, &mut request)
    }

    /// Sets the bytes of its largest packet.
    pub(crate) fn set_mtu(&self, mtu: i32) -> nix::Result<()> {
        let mut request = self.request();
        request.ifr_ifru.ifru_mtu = mtu;
        self.ask(libc::SIOCSIFMTU, &mut request)
    }

    /// Sets its address.
    pub(crate) fn set_ipv4(&self, address: Ipv4Addr, prefix: u8) -> nix::Result<()> {
        let mask = Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0));
        for (call, value) in [(libc::SIOCSIFADDR, address), (libc::SIOCSIFNETMASK, mask)] {
            let mut request = self.request();
            request.ifr_ifru.ifru_addr = socket_address(value);
            self.ask(call, &mut request)?;
        }
        Ok(())
    }

    /// Sends everything for elsewhere to this neighbour.
    pub(crate) fn route_ipv4(&self, gateway: Ipv4Addr) -> nix::Result<()> {
        // SAFETY: it holds only numbers and null pointers, for which all zeroes is a value.
        let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
        route.rt_dst = socket_address(Ipv4Addr::UNSPECIFIED);
        route.rt_genmask = socket_address(Ipv4Addr::UNSPECIFIED);
        route.rt_gateway = socket_address(gateway);
        route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
        // SAFETY: SIOCADDRT reads one rtentry, whose device is named by none.
        let done = unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCADDRT as _, &raw const route) };
        Errno::result(done).map(drop)
    }

    /// Adds an IPv6 address.
    pub(crate) fn set_ipv6(&self, address: Ipv6Addr, prefix: u8) -> nix::Result<()> {
        let request = Ipv6Request {
            address: libc::in6_addr { s6_addr: address.octets() },
            prefix: prefix.into(),
            index: self.index()?,
        };
        let socket = inet(AddressFamily::Inet6)?;
        // SAFETY: on such a socket SIOCSIFADDR reads one in6_ifreq.
        let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFADDR as _, &raw const request) };
        Errno::result(done).map(drop)
    }

    /// Sends everything for elsewhere to this neighbour, by IPv6.
    pub(crate) fn route_ipv6(&self, gateway: Ipv6Addr) -> nix::Result<()> {
        let any = libc::in6_addr { s6_addr: [0; 16] };
        let route = Ipv6Route {
            destination: any,
            source: any,
            gateway: libc::in6_addr { s6_addr: gateway.octets() },
            kind: 0,
            destination_prefix: 0,
            source_prefix: 0,
            metric: 1024, // as the kernel's own default
            info: 0,
            flags: u32::from(libc::RTF_UP | libc::RTF_GATEWAY),
            index: self.index()?,
        };
        let socket = inet(AddressFamily::Inet6)?;
        // SAFETY: on such a socket SIOCADDRT reads one in6_rtmsg.
        let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCADDRT as _, &raw const route) };
        Errno::result(done).map(drop)
    }

    fn index(&self) -> nix::Result<libc::c_int> {
        let mut request = self.request();
        self.ask(libc::SIOCGIFINDEX, &mut request)?;
        // SAFETY: SIOCGIFINDEX has just written it.
        Ok(unsafe { request.ifr_ifru.ifru_ifindex })
    }

    fn request(&self) -> libc::ifreq {
        // SAFETY: it holds only numbers, for which all zeroes is a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        request.ifr_name = self.name;
        request
    }

    fn ask(&self, call: libc::c_ulong, request: &mut libc::ifreq) -> nix::Result<()> {
        // SAFETY: all of these calls read, and may write, one ifreq.
        let done = unsafe { libc::ioctl(self.socket.as_raw_fd(), call as _, &raw mut *request) };
        Errno::result(done).map(drop)
    }
}

fn inet(family: AddressFamily) -> nix::Result<OwnedFd> {
    socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
}

/// As `struct sockaddr`, in which these calls have them.
fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let address = libc::sockaddr_in {
        sin_family: libc::sa_family_t::try_from(libc::AF_INET).unwrap_or_default(),
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
        sin_zero: [0; 8],
    };
    // SAFETY: both are plain numbers, of the same size.
    unsafe { std::mem::transmute::<libc::sockaddr_in, libc::sockaddr>(address) }
}
