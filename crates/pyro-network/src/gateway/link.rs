//! A frame of the guest: whether it is what the guest may send, and what it is.
//!
//! Only frames from the guest's own address, to the gateway's or to all, are looked at, and only packets from the
//! guest's own IP addresses; everything else is dropped and counted. ARP and neighbour discovery are answered here
//! for the gateway's addresses alone. Dropped without a word, besides: what is for many (multicast, broadcast, so
//! mDNS, LLMNR and DHCP too: there is none, addresses are fixed), router solicitations, IP fragments (with an MTU of
//! nearly 64 KiB nothing sensible is fragmented), IPv6 packets with extension headers. Checksums are verified, except
//! those of TCP segments of connections that exist: `wire.rs` does that.
//!
//! No state, no sockets: a fuzzer can drive it.

use super::frames::{ETHERNET_LEN, EtherType, Outbox};
use crate::plan;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4Packet,
    Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr,
    NdiscNeighborFlags, NdiscRepr, TcpPacket, UdpPacket, UdpRepr,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a frame turned out to be.
#[derive(Debug)]
pub(super) enum Incoming<'a> {
    /// A TCP segment. Its checksum has not been verified.
    Tcp(Segment<'a>),
    /// A UDP datagram.
    Udp(Datagram<'a>),
    /// A request for an echo.
    Echo(Echo<'a>),
    /// A protocol that is not passed on: the IP packet.
    Unknown(&'a [u8]),
    /// Something that has been dealt with.
    Done,
    /// Nothing that anybody has a use for.
    Useless,
}

/// A TCP segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment<'a> {
    /// The IP packet, as long as it says.
    pub(super) packet: &'a [u8],
    /// The guest's port.
    pub(super) port: u16,
    /// Whom it is for.
    pub(super) to: SocketAddr,
    /// Whether it asks for a connection.
    pub(super) is_opening: bool,
}

/// A UDP datagram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Datagram<'a> {
    /// The IP packet, as long as it says.
    pub(super) packet: &'a [u8],
    /// The guest's port.
    pub(super) port: u16,
    /// Whom it is for.
    pub(super) to: SocketAddr,
    /// What it says.
    pub(super) payload: &'a [u8],
}

/// A request for an echo.
#[derive(Debug, Clone, Copy)]
pub(super) struct Echo<'a> {
    /// The IP packet, as long as it says.
    pub(super) packet: &'a [u8],
    /// Whom it is for.
    pub(super) to: IpAddr,
    /// The guest's number of the program.
    pub(super) ident: u16,
    /// The program's number of the request.
    pub(super) seq_no: u16,
    /// What is to come back.
    pub(super) data: &'a [u8],
}

/// Looks at a frame, and answers what is about the link itself.
pub(super) fn take<'a>(frame: &'a [u8], outbox: &mut Outbox) -> Incoming<'a> {
    let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return Incoming::Useless };
    let (from, to) = (ethernet.src_addr(), ethernet.dst_addr());
    if from != EthernetAddress(plan::GUEST_MAC)
        || !(to == EthernetAddress(plan::GATEWAY_MAC) || to.is_multicast())
    {
        return Incoming::Useless; // a broadcast is a multicast to all
    }
    let packet = &frame[ETHERNET_LEN..];
    let taken = match ethernet.ethertype() {
        EthernetProtocol::Arp => arp(packet, outbox),
        EthernetProtocol::Ipv4 => ipv4(packet),
        EthernetProtocol::Ipv6 => ipv6(packet, outbox),
        _ => None,
    };
    taken.unwrap_or(Incoming::Useless)
}

/// Who has the gateway's address ([RFC 826](https://www.rfc-editor.org/rfc/rfc826)).
fn arp(packet: &[u8], outbox: &mut Outbox) -> Option<Incoming<'static>> {
    let packet = ArpPacket::new_checked(packet).ok()?;
    let ArpRepr::EthernetIpv4 { operation, source_protocol_addr, target_protocol_addr, .. } =
        ArpRepr::parse(&packet).ok()?
    else {
        return None;
    };
    let is_for_us = source_protocol_addr == plan::GUEST_V4 && target_protocol_addr == plan::GATEWAY_V4;
    if operation != ArpOperation::Request || !is_for_us {
        return None;
    }
    let answer = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: EthernetAddress(plan::GATEWAY_MAC),
        source_protocol_addr: plan::GATEWAY_V4,
        target_hardware_addr: EthernetAddress(plan::GUEST_MAC),
        target_protocol_addr: plan::GUEST_V4,
    };
    outbox.packet(EtherType::Arp, answer.buffer_len(), |bytes| {
        answer.emit(&mut ArpPacket::new_unchecked(bytes));
    });
    Some(Incoming::Done)
}

fn ipv4(bytes: &[u8]) -> Option<Incoming<'_>> {
    let packet = Ipv4Packet::new_checked(bytes).ok()?;
    let header = Ipv4Repr::parse(&packet, &ChecksumCapabilities::default()).ok()?;
    let is_fragment = packet.more_frags() || packet.frag_offset() != 0;
    if is_fragment || header.src_addr != plan::GUEST_V4 || !is_for_one_v4(header.dst_addr) {
        return None;
    }
    let whole = bytes.get(..packet.total_len().into())?;
    let to = IpAddr::V4(header.dst_addr);
    match header.next_header {
        IpProtocol::Tcp => tcp(whole, packet.payload(), to),
        IpProtocol::Udp => udp(whole, packet.payload(), IpAddr::V4(header.src_addr), to),
        IpProtocol::Icmp => {
            let icmp = Icmpv4Packet::new_checked(packet.payload()).ok()?;
            match Icmpv4Repr::parse(&icmp, &ChecksumCapabilities::default()).ok()? {
                Icmpv4Repr::EchoRequest { ident, seq_no, data } => {
                    Some(Incoming::Echo(Echo { packet: whole, to, ident, seq_no, data }))
                }
                _ => None,
            }
        }
        _ => Some(Incoming::Unknown(whole)),
    }
}

/// Whether an address can be somebody's, and not everybody's, nobody's, or the guest's own.
fn is_for_one_v4(address: Ipv4Addr) -> bool {
    let last = Ipv4Addr::from_bits(plan::GATEWAY_V4.to_bits() | (u32::MAX >> plan::PREFIX_LEN_V4));
    let nobodys = address.is_unspecified() || address.is_multicast() || address.is_broadcast();
    !nobodys && address != last && address != plan::GUEST_V4
}

fn ipv6<'a>(bytes: &'a [u8], outbox: &mut Outbox) -> Option<Incoming<'a>> {
    let packet = Ipv6Packet::new_checked(bytes).ok()?;
    let header = Ipv6Repr::parse(&packet).ok()?;
    if header.next_header == IpProtocol::Icmpv6 {
        return icmpv6(bytes, &header, packet.payload(), outbox);
    }
    if header.src_addr != plan::GUEST_V6 || !is_for_one_v6(header.dst_addr) {
        return None;
    }
    let whole = bytes.get(..packet.total_len())?;
    let to = IpAddr::V6(header.dst_addr);
    match header.next_header {
        IpProtocol::Tcp => tcp(whole, packet.payload(), to),
        IpProtocol::Udp => udp(whole, packet.payload(), IpAddr::V6(header.src_addr), to),
        _ => None,
    }
}

fn is_for_one_v6(address: Ipv6Addr) -> bool {
    !address.is_unspecified() && !address.is_multicast() && address != plan::GUEST_V6
}

/// An echo, or who has the gateway's address ([RFC 4861](https://www.rfc-editor.org/rfc/rfc4861#section-7.2)). The
/// guest may ask that from its link-local address, which the gateway does not know beforehand.
fn icmpv6<'a>(
    bytes: &'a [u8],
    header: &Ipv6Repr,
    payload: &'a [u8],
    outbox: &mut Outbox,
) -> Option<Incoming<'a>> {
    let packet = Icmpv6Packet::new_checked(payload).ok()?;
    let checksums = ChecksumCapabilities::default();
    match Icmpv6Repr::parse(&header.src_addr, &header.dst_addr, &packet, &checksums).ok()? {
        Icmpv6Repr::EchoRequest { ident, seq_no, data } => {
            if header.src_addr != plan::GUEST_V6 || !is_for_one_v6(header.dst_addr) {
                return None;
            }
            let whole = bytes.get(..header.buffer_len() + header.payload_len)?;
            Some(Incoming::Echo(Echo { packet: whole, to: header.dst_addr.into(), ident, seq_no, data }))
        }
        Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { target_addr, .. }) => {
            let from_guest = header.src_addr == plan::GUEST_V6 || header.src_addr.is_unicast_link_local();
            if target_addr != plan::GATEWAY_V6 || header.hop_limit != 255 || !from_guest {
                return None;
            }
            advertise(header.src_addr, outbox);
            Some(Incoming::Done)
        }
        _ => None,
    }
}

fn advertise(to: Ipv6Addr, outbox: &mut Outbox) {
    let answer = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
        flags: NdiscNeighborFlags::SOLICITED | NdiscNeighborFlags::OVERRIDE,
        target_addr: plan::GATEWAY_V6,
        lladdr: Some(EthernetAddress(plan::GATEWAY_MAC).into()),
    });
    let header = Ipv6Repr {
        src_addr: plan::GATEWAY_V6,
        dst_addr: to,
        next_header: IpProtocol::Icmpv6,
        payload_len: answer.buffer_len(),
        hop_limit: 255,
    };
    outbox.packet(EtherType::Ipv6, header.buffer_len() + header.payload_len, |bytes| {
        header.emit(&mut Ipv6Packet::new_unchecked(&mut *bytes));
        let mut packet = Icmpv6Packet::new_unchecked(&mut bytes[header.buffer_len()..]);
        answer.emit(&plan::GATEWAY_V6, &to, &mut packet, &ChecksumCapabilities::default());
    });
}

fn tcp<'a>(packet: &'a [u8], payload: &'a [u8], to: IpAddr) -> Option<Incoming<'a>> {
    let segment = TcpPacket::new_checked(payload).ok()?;
    let (port, to) = (segment.src_port(), SocketAddr::new(to, segment.dst_port()));
    if port == 0 || to.port() == 0 {
        return None;
    }
    let is_opening = segment.syn() && !segment.ack() && !segment.rst() && !segment.fin();
    Some(Incoming::Tcp(Segment { packet, port, to, is_opening }))
}

fn udp<'a>(packet: &'a [u8], payload: &'a [u8], from: IpAddr, to: IpAddr) -> Option<Incoming<'a>> {
    let datagram = UdpPacket::new_checked(payload).ok()?;
    let ports = UdpRepr::parse(&datagram, &from.into(), &to.into(), &ChecksumCapabilities::default()).ok()?;
    if ports.src_port == 0 {
        return None;
    }
    let to = SocketAddr::new(to, ports.dst_port);
    Some(Incoming::Udp(Datagram { packet, port: ports.src_port, to, payload: datagram.payload() }))
}
