//! Packets that the gateway itself makes for the guest: refusals, echoes, datagrams.

use super::frames::{EtherType, Outbox};
use crate::plan;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, Icmpv6DstUnreachable, Icmpv6Packet, Icmpv6Repr,
    IpProtocol, IpRepr, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, TcpControl, TcpPacket, TcpRepr,
    UDP_HEADER_LEN, UdpPacket, UdpRepr,
};
use std::net::{IpAddr, SocketAddr};

const HOP_LIMIT: u8 = 64;

/// As much of a refused packet is sent back, beside its header: enough to tell whose it was, and the whole stays below
/// what every host must take ([RFC 1812, 4.3.2.3](https://www.rfc-editor.org/rfc/rfc1812#section-4.3.2.3)).
const QUOTED_BYTES: usize = 512;

/// Why a packet did not get to where it was to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreachable {
    /// The policy does not allow it, or it cannot be passed on.
    Prohibited,
    /// There is no way to that network.
    Network,
    /// Nobody is at that address.
    Host,
    /// Nobody listens there.
    Port,
    /// The gateway passes no such protocol on.
    Protocol,
}

impl Unreachable {
    /// [RFC 792](https://www.rfc-editor.org/rfc/rfc792), and 13 of
    /// [RFC 1812](https://www.rfc-editor.org/rfc/rfc1812#section-5.2.7.1).
    fn v4(self) -> Icmpv4DstUnreachable {
        match self {
            Self::Prohibited => Icmpv4DstUnreachable::CommProhibited,
            Self::Network => Icmpv4DstUnreachable::NetUnreachable,
            Self::Host => Icmpv4DstUnreachable::HostUnreachable,
            Self::Port => Icmpv4DstUnreachable::PortUnreachable,
            Self::Protocol => Icmpv4DstUnreachable::ProtoUnreachable,
        }
    }

    /// [RFC 4443, 3.1](https://www.rfc-editor.org/rfc/rfc4443#section-3.1).
    fn v6(self) -> Icmpv6DstUnreachable {
        match self {
            Self::Prohibited | Self::Protocol => Icmpv6DstUnreachable::AdminProhibit,
            Self::Network => Icmpv6DstUnreachable::NoRoute,
            Self::Host => Icmpv6DstUnreachable::AddrUnreachable,
            Self::Port => Icmpv6DstUnreachable::PortUnreachable,
        }
    }
}

/// The guest's address of the same kind.
pub(super) fn guest_for(peer: IpAddr) -> IpAddr {
    if peer.is_ipv4() { IpAddr::V4(plan::GUEST_V4) } else { IpAddr::V6(plan::GUEST_V6) }
}

/// The gateway's address of the same kind.
pub(super) fn gateway_for(peer: IpAddr) -> IpAddr {
    if peer.is_ipv4() { IpAddr::V4(plan::GATEWAY_V4) } else { IpAddr::V6(plan::GATEWAY_V6) }
}

/// Tells the guest that a packet of its own, which is quoted, got nowhere. The gateway says so, whoever it was for.
pub(super) fn unreachable(outbox: &mut Outbox, packet: &[u8], why: Unreachable) {
    let quoted = |payload: &[u8]| payload.len().min(QUOTED_BYTES);
    match packet.first().map(|first| first >> 4) {
        Some(4) => {
            let Ok(packet) = Ipv4Packet::new_checked(packet) else { return };
            let Ok(header) = Ipv4Repr::parse(&packet, &ChecksumCapabilities::ignored()) else { return };
            let data = &packet.payload()[..quoted(packet.payload())];
            icmp_v4(outbox, plan::GATEWAY_V4, &Icmpv4Repr::DstUnreachable { reason: why.v4(), header, data });
        }
        Some(6) => {
            let Ok(packet) = Ipv6Packet::new_checked(packet) else { return };
            let Ok(header) = Ipv6Repr::parse(&packet) else { return };
            let data = &packet.payload()[..quoted(packet.payload())];
            icmp_v6(outbox, plan::GATEWAY_V6, &Icmpv6Repr::DstUnreachable { reason: why.v6(), header, data });
        }
        _ => (),
    }
}

fn icmp_v4(outbox: &mut Outbox, from: std::net::Ipv4Addr, icmp: &Icmpv4Repr<'_>) {
    let header = Ipv4Repr {
        src_addr: from,
        dst_addr: plan::GUEST_V4,
        next_header: IpProtocol::Icmp,
        payload_len: icmp.buffer_len(),
        hop_limit: HOP_LIMIT,
    };
    let checksums = ChecksumCapabilities::default();
    outbox.packet(EtherType::Ipv4, header.buffer_len() + header.payload_len, |bytes| {
        header.emit(&mut Ipv4Packet::new_unchecked(&mut *bytes), &checksums);
        icmp.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes[header.buffer_len()..]), &checksums);
    });
}

fn icmp_v6(outbox: &mut Outbox, from: std::net::Ipv6Addr, icmp: &Icmpv6Repr<'_>) {
    let header = Ipv6Repr {
        src_addr: from,
        dst_addr: plan::GUEST_V6,
        next_header: IpProtocol::Icmpv6,
        payload_len: icmp.buffer_len(),
        hop_limit: HOP_LIMIT,
    };
    outbox.packet(EtherType::Ipv6, header.buffer_len() + header.payload_len, |bytes| {
        header.emit(&mut Ipv6Packet::new_unchecked(&mut *bytes));
        let mut packet = Icmpv6Packet::new_unchecked(&mut bytes[header.buffer_len()..]);
        icmp.emit(&from, &plan::GUEST_V6, &mut packet, &ChecksumCapabilities::default());
    });
}

/// An echo from somebody.
pub(super) fn echo(outbox: &mut Outbox, from: IpAddr, ident: u16, seq_no: u16, data: &[u8]) {
    match from {
        IpAddr::V4(from) => icmp_v4(outbox, from, &Icmpv4Repr::EchoReply { ident, seq_no, data }),
        IpAddr::V6(from) => icmp_v6(outbox, from, &Icmpv6Repr::EchoReply { ident, seq_no, data }),
    }
}

/// A datagram from somebody. One that is longer than the link takes is dropped.
pub(super) fn datagram(outbox: &mut Outbox, from: SocketAddr, port: u16, payload: &[u8]) {
    let to = guest_for(from.ip());
    let ports = UdpRepr { src_port: from.port(), dst_port: port };
    let header =
        IpRepr::new(from.ip().into(), to.into(), IpProtocol::Udp, UDP_HEADER_LEN + payload.len(), HOP_LIMIT);
    let kind = if from.is_ipv4() { EtherType::Ipv4 } else { EtherType::Ipv6 };
    if header.buffer_len() > plan::MTU.into() {
        return outbox.drop_one();
    }
    let checksums = ChecksumCapabilities::default();
    outbox.packet(kind, header.buffer_len(), |bytes| {
        header.emit(&mut *bytes, &checksums);
        let mut packet = UdpPacket::new_unchecked(&mut bytes[header.header_len()..]);
        let fill = |room: &mut [u8]| room.copy_from_slice(payload);
        ports.emit(&mut packet, &from.ip().into(), &to.into(), payload.len(), fill, &checksums);
    });
}

/// A packet as the guest may have sent it to a destination: what is quoted when the packet itself is gone.
pub(super) fn sent_datagram(port: u16, to: SocketAddr) -> Vec<u8> {
    let from = guest_for(to.ip());
    let header = IpRepr::new(from.into(), to.ip().into(), IpProtocol::Udp, UDP_HEADER_LEN, HOP_LIMIT);
    let mut bytes = vec![0; header.buffer_len()];
    let checksums = ChecksumCapabilities::default();
    header.emit(&mut bytes[..], &checksums);
    let ports = UdpRepr { src_port: port, dst_port: to.port() };
    let mut packet = UdpPacket::new_unchecked(&mut bytes[header.header_len()..]);
    ports.emit(&mut packet, &from.into(), &to.ip().into(), 0, |_| (), &checksums);
    bytes
}

/// Resets the connection that a segment of the guest belongs to
/// ([RFC 9293, 3.5.2](https://www.rfc-editor.org/rfc/rfc9293#section-3.5.2)). A segment that is malformed, or is
/// itself a reset, gets no answer.
pub(super) fn reset(outbox: &mut Outbox, packet: &[u8]) {
    let Some((from, to, payload)) = addresses(packet) else { return };
    let Ok(segment) = TcpPacket::new_checked(payload) else { return };
    let Ok(segment) = TcpRepr::parse(&segment, &from.into(), &to.into(), &ChecksumCapabilities::default())
    else {
        return;
    };
    if segment.control == TcpControl::Rst {
        return;
    }
    let answer = TcpRepr {
        src_port: segment.dst_port,
        dst_port: segment.src_port,
        control: TcpControl::Rst,
        seq_number: segment.ack_number.unwrap_or_default(),
        ack_number: segment.ack_number.is_none().then(|| segment.seq_number + segment.segment_len()),
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let header = IpRepr::new(to.into(), from.into(), IpProtocol::Tcp, answer.buffer_len(), HOP_LIMIT);
    let kind = if to.is_ipv4() { EtherType::Ipv4 } else { EtherType::Ipv6 };
    let checksums = ChecksumCapabilities::default();
    outbox.packet(kind, header.buffer_len(), |bytes| {
        header.emit(&mut *bytes, &checksums);
        let mut packet = TcpPacket::new_unchecked(&mut bytes[header.header_len()..]);
        answer.emit(&mut packet, &to.into(), &from.into(), &checksums);
    });
}

/// Source, destination and payload of an IP packet.
fn addresses(packet: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    match packet.first()? >> 4 {
        4 => {
            let packet = Ipv4Packet::new_checked(packet).ok()?;
            Some((packet.src_addr().into(), packet.dst_addr().into(), packet.payload()))
        }
        6 => {
            let packet = Ipv6Packet::new_checked(packet).ok()?;
            Some((packet.src_addr().into(), packet.dst_addr().into(), packet.payload()))
        }
        _ => None,
    }
}
