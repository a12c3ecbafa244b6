//! Echo requests: the gateway answers its own, and passes others on where the host lets it.
//!
//! An ICMP socket of the host that needs no privilege is tried first ([icmp(7)]: the group must be in
//! `net.ipv4.ping_group_range`), then a raw one. Where neither is to be had, the guest is told at once that this is
//! prohibited.
//!
//! [icmp(7)]: https://man7.org/linux/man-pages/man7/icmp.7.html

use super::answer::{self, Unreachable};
use super::engine::Engine;
use super::host_socket;
use super::link::Echo;
use crate::denial::DenialKind;
use crate::guard::Access;
use crate::plan;
use rustix::net::{AddressFamily, Protocol, SendFlags, SocketFlags, SocketType, ipproto};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Message, Icmpv6Packet};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::spawn_local;
use tokio::time::timeout;

/// As many wait for their answer at a time. More are dropped.
pub(super) const MAX_PINGS: usize = 64;

/// As long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The longest answer that is read.
const MAX_ANSWER: usize = 65535;

/// Where the sequence number and the data of an echo begin; what a host's ping socket changes, the number of the
/// program and the checksum, is before.
const ECHO_HEADER_LEN: usize = 8;

/// Whether pings of a guest can be passed on to the outside.
///
/// # Errors
/// Why not, and what would change that.
pub fn can_ping() -> Result<(), String> {
    match PingSocket::open(true) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "no ICMP socket can be opened ({error}), so guests cannot ping: let a group of this user send pings with \
             `sysctl net.ipv4.ping_group_range=\"0 2147483647\"`"
        )),
    }
}

/// Takes a request.
pub(super) fn take(engine: &Rc<Engine>, echo: &Echo<'_>) {
    if plan::is_gateway(echo.to) {
        let outbox = &mut engine.wire.borrow_mut().outbox;
        return answer::echo(outbox, echo.to, echo.ident, echo.seq_no, echo.data);
    }
    if engine.guard().check(DenialKind::Icmp, echo.to, None) != Access::Allowed {
        return engine.unreachable(echo.packet, Unreachable::Prohibited);
    }
    let Some(place) = engine.pings.take() else {
        let hint = format!("at most {MAX_PINGS} pings wait for their answer at a time: wait for some first");
        engine.too_many(DenialKind::Icmp, echo.to, None, hint);
        return engine.dropped();
    };
    let Some(descriptor) = engine.descriptor(DenialKind::Icmp, echo.to, None) else {
        return engine.dropped();
    };
    let Ok(socket) = PingSocket::open(echo.to.is_ipv4()) else {
        return engine.unreachable(echo.packet, Unreachable::Prohibited);
    };
    let (engine, packet) = (engine.clone(), echo.packet.to_vec());
    let (to, ident, seq_no, data) = (echo.to, echo.ident, echo.seq_no, echo.data.to_vec());
    spawn_local(async move {
        // Asked again, since an address may have become the host's own.
        if engine.guard().check(DenialKind::Icmp, to, None) != Access::Allowed {
            return engine.unreachable(&packet, Unreachable::Prohibited);
        }
        match timeout(ANSWER_LIMIT, socket.ping(to, seq_no, &data)).await {
            Ok(Ok(back)) => answer::echo(&mut engine.wire.borrow_mut().outbox, to, ident, seq_no, &back),
            Ok(Err(error)) => engine.unreachable(&packet, reason(&error)),
            Err(_) => (), // as if it had been lost on its way, which it may have been
        }
        drop((descriptor, place));
    });
}

fn reason(error: &io::Error) -> Unreachable {
    match error.kind() {
        ErrorKind::HostUnreachable | ErrorKind::ConnectionRefused => Unreachable::Host,
        ErrorKind::NetworkUnreachable => Unreachable::Network,
        _ => Unreachable::Prohibited,
    }
}

/// A socket for one echo.
struct PingSocket {
    socket: OwnedFd,
    is_raw: bool,
    is_v4: bool,
}

impl PingSocket {
    fn open(is_v4: bool) -> io::Result<Self> {
        let open = |kind| {
            let (family, protocol): (_, Protocol) = match is_v4 {
                true => (AddressFamily::INET, ipproto::ICMP),
                false => (AddressFamily::INET6, ipproto::ICMPV6),
            };
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            rustix::net::socket_with(family, kind, flags, Some(protocol))
        };
        if let Ok(socket) = open(SocketType::DGRAM) {
            return Ok(Self { socket, is_raw: false, is_v4 });
        }
        Ok(Self { socket: open(SocketType::RAW)?, is_raw: true, is_v4 })
    }

    /// Sends a request, and waits for what comes back with it.
    async fn ping(self, to: IpAddr, seq_no: u16, data: &[u8]) -> io::Result<Vec<u8>> {
        rustix::net::connect(&self.socket, &SocketAddr::new(to, 0))?;
        let mut number = [0; 2];
        rustix::rand::getrandom(&mut number, rustix::rand::GetRandomFlags::empty())?;
        let ident = u16::from_be_bytes(number);
        rustix::net::send(&self.socket, &self.request(ident, seq_no, data), SendFlags::NOSIGNAL)?;
        let (is_raw, is_v4) = (self.is_raw, self.is_v4);
        // To the event loop, one kind of datagram socket is like another.
        let socket = UdpSocket::from_std(std::net::UdpSocket::from(self.socket))?;
        let mut answer = vec![0; MAX_ANSWER];
        loop {
            host_socket::heard(&socket).await?;
            if let Some(error) = host_socket::error(&socket) {
                return Err(error);
            }
            let length = match socket.try_recv(&mut answer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                received => received?,
            };
            let wanted = is_raw.then_some(ident);
            if let Some(back) = echoed(&answer[..length], is_raw, is_v4, wanted, seq_no) {
                return Ok(back.to_vec());
            }
        }
    }

    /// A request. Of one that is not raw, the kernel sets the number of the program; of IPv6, also the checksum.
    fn request(&self, ident: u16, seq_no: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; ECHO_HEADER_LEN + data.len()];
        if self.is_v4 {
            let request = Icmpv4Repr::EchoRequest { ident, seq_no, data };
            request.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes[..]), &ChecksumCapabilities::default());
        } else {
            let mut packet = Icmpv6Packet::new_unchecked(&mut bytes[..]);
            packet.set_msg_type(Icmpv6Message::EchoRequest);
            packet.set_echo_ident(ident);
            packet.set_echo_seq_no(seq_no);
            packet.payload_mut().copy_from_slice(data);
        }
        bytes
    }
}

/// The data of an answer, if it is one to this request. A raw socket of IPv4 gets the IP header too.
fn echoed(answer: &[u8], is_raw: bool, is_v4: bool, ident: Option<u16>, seq_no: u16) -> Option<&[u8]> {
    let icmp = if is_raw && is_v4 {
        let header_len = usize::from(answer.first()? & 0x0f) * 4;
        answer.get(header_len..)?
    } else {
        answer
    };
    let (header, data) = icmp.split_first_chunk::<ECHO_HEADER_LEN>()?;
    let [kind, code, _, _, id_high, id_low, seq_high, seq_low] = *header;
    let is_reply = code == 0 && kind == if is_v4 { 0 } else { 129 };
    let is_ours = ident.is_none_or(|ident| u16::from_be_bytes([id_high, id_low]) == ident);
    (is_reply && is_ours && u16::from_be_bytes([seq_high, seq_low]) == seq_no).then_some(data)
}
