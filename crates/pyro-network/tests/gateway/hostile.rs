//! Whatever a guest sends, its gateway goes on, and remembers no more than it may.

use super::guest::{Guest, start_with};
use proptest::collection::vec;
use proptest::prelude::*;
use pyro_network::gateway::{Rehearsal, hostile_input};
use pyro_network::plan::{GATEWAY_MAC, GATEWAY_V4, GATEWAY_V6, GUEST_MAC, GUEST_V4, GUEST_V6};
use pyro_network::policy::Policy;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, Icmpv6Packet, Icmpv6Repr, IpAddress, IpProtocol,
    IpRepr, Ipv4Packet, NdiscRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr,
};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A frame that a guest may send, before anything is done to it.
fn frame(ethertype: u16, packet: &[u8]) -> Vec<u8> {
    [&GATEWAY_MAC[..], &GUEST_MAC, &ethertype.to_be_bytes(), packet].concat()
}

fn ip_frame(header: &IpRepr, fill: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut packet = vec![0; header.buffer_len()];
    header.emit(&mut packet[..], &ChecksumCapabilities::default());
    fill(&mut packet[header.header_len()..]);
    frame(if matches!(header, IpRepr::Ipv4(_)) { 0x0800 } else { 0x86dd }, &packet)
}

fn addresses(v6: bool, to: u8) -> (IpAddress, IpAddress) {
    if v6 {
        let all =
            [GATEWAY_V6, Ipv6Addr::LOCALHOST, "2001:db8::9".parse().unwrap(), "ff02::fb".parse().unwrap()];
        (GUEST_V6.into(), all[usize::from(to) % all.len()].into())
    } else {
        let all = [GATEWAY_V4, Ipv4Addr::LOCALHOST, Ipv4Addr::new(9, 9, 9, 9), Ipv4Addr::BROADCAST];
        (GUEST_V4.into(), all[usize::from(to) % all.len()].into())
    }
}

fn tcp_frame() -> impl Strategy<Value = Vec<u8>> {
    let flags = prop_oneof![
        Just(TcpControl::None),
        Just(TcpControl::Psh),
        Just(TcpControl::Syn),
        Just(TcpControl::Fin),
        Just(TcpControl::Rst)
    ];
    let numbers = (0..3_u8, 1..4_u16, 1..4_u16, -3..70_000_i32, proptest::option::of(-3..70_000_i32));
    let options =
        (any::<u16>(), proptest::option::of(0..15_u8), proptest::option::of(any::<u16>()), any::<bool>());
    (any::<bool>(), flags, numbers, options, vec(any::<u8>(), 0..600)).prop_map(
        |(
            v6,
            control,
            (to, src_port, dst_port, seq, ack),
            (window_len, window_scale, max_seg_size, sack),
            payload,
        )| {
            let (from, to) = addresses(v6, to);
            let is_syn = control == TcpControl::Syn;
            let segment = TcpRepr {
                src_port,
                dst_port,
                control,
                seq_number: TcpSeqNumber(seq),
                ack_number: ack.map(TcpSeqNumber),
                window_len,
                window_scale: window_scale.filter(|_| is_syn),
                max_seg_size: max_seg_size.filter(|_| is_syn),
                sack_permitted: sack && is_syn,
                sack_ranges: [None; 3],
                timestamp: None,
                payload: if is_syn { &[] } else { &payload },
            };
            let header = IpRepr::new(from, to, IpProtocol::Tcp, segment.buffer_len(), 64);
            ip_frame(&header, |bytes| {
                segment.emit(
                    &mut TcpPacket::new_unchecked(bytes),
                    &from,
                    &to,
                    &ChecksumCapabilities::default(),
                );
            })
        },
    )
}

/// A segment with numbers near those that a connection is at.
#[derive(Debug, Clone)]
struct Near {
    control: TcpControl,
    seq: i32,
    ack: i32,
    window: u16,
    payload: Vec<u8>,
}

impl Default for Near {
    fn default() -> Self {
        Self { control: TcpControl::None, seq: 0, ack: 0, window: 0, payload: Vec::new() }
    }
}

impl Near {
    /// `first` is the number of the gateway's SYN, once that is known.
    fn frame(&self, first: Option<i32>, window_scale: Option<u8>, max_seg_size: Option<u16>) -> Vec<u8> {
        let (from, to) = (GUEST_V4.into(), IpAddress::from(Ipv4Addr::new(9, 9, 9, 9)));
        let segment = TcpRepr {
            src_port: 1,
            dst_port: 1,
            control: self.control,
            seq_number: TcpSeqNumber(if first.is_some() { self.seq.wrapping_add(1) } else { 0 }),
            ack_number: first.map(|first| TcpSeqNumber(first.wrapping_add(1).wrapping_add(self.ack))),
            window_len: self.window,
            window_scale,
            max_seg_size,
            sack_permitted: true,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &self.payload,
        };
        let header = IpRepr::new(from, to, IpProtocol::Tcp, segment.buffer_len(), 64);
        ip_frame(&header, |bytes| {
            segment.emit(&mut TcpPacket::new_unchecked(bytes), &from, &to, &ChecksumCapabilities::default());
        })
    }
}

fn near_segment() -> impl Strategy<Value = Near> {
    let control = prop_oneof![
        6 => Just(TcpControl::None),
        4 => Just(TcpControl::Psh),
        1 => Just(TcpControl::Syn),
        2 => Just(TcpControl::Fin),
        1 => Just(TcpControl::Rst)
    ];
    let number = || prop_oneof![4 => Just(0), 4 => -3..3000_i32, 1 => -20_000..20_000_i32, 1 => any::<i32>()];
    let window = prop_oneof![1 => Just(0), 1 => 1..100_u16, 1 => any::<u16>()];
    (control, number(), number(), window, vec(any::<u8>(), 0..1500))
        .prop_map(|(control, seq, ack, window, payload)| Near { control, seq, ack, window, payload })
}

fn udp_frame() -> impl Strategy<Value = Vec<u8>> {
    let ports = prop_oneof![Just(53_u16), Just(67), Just(5353), Just(5355), Just(443), 1..=u16::MAX];
    (any::<bool>(), 0..4_u8, 1..=u16::MAX, ports, vec(any::<u8>(), 0..300)).prop_map(
        |(v6, to, src_port, dst_port, payload)| {
            let (from, to) = addresses(v6, to);
            let header = IpRepr::new(from, to, IpProtocol::Udp, 8 + payload.len(), 64);
            ip_frame(&header, |bytes| {
                UdpRepr { src_port, dst_port }.emit(
                    &mut UdpPacket::new_unchecked(bytes),
                    &from,
                    &to,
                    payload.len(),
                    |room| room.copy_from_slice(&payload),
                    &ChecksumCapabilities::default(),
                );
            })
        },
    )
}

fn arp_frame() -> impl Strategy<Value = Vec<u8>> {
    (any::<u16>(), any::<[u8; 4]>(), any::<bool>()).prop_map(|(operation, target, of_gateway)| {
        let request = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::from(operation % 3),
            source_hardware_addr: EthernetAddress(GUEST_MAC),
            source_protocol_addr: GUEST_V4,
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: if of_gateway { GATEWAY_V4 } else { target.into() },
        };
        let mut packet = vec![0; request.buffer_len()];
        request.emit(&mut ArpPacket::new_unchecked(&mut packet[..]));
        frame(0x0806, &packet)
    })
}

fn neighbor_frame() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(is_solicitation, from_link_local, of_gateway)| {
            let from = if from_link_local { "fe80::1".parse().unwrap() } else { GUEST_V6 };
            let target_addr = if of_gateway { GATEWAY_V6 } else { GUEST_V6 };
            let icmp = Icmpv6Repr::Ndisc(if is_solicitation {
                NdiscRepr::NeighborSolicit { target_addr, lladdr: Some(EthernetAddress(GUEST_MAC).into()) }
            } else {
                NdiscRepr::RouterSolicit { lladdr: Some(EthernetAddress(GUEST_MAC).into()) }
            });
            let to: Ipv6Addr = "ff02::1:ff00:1".parse().unwrap();
            let header = IpRepr::new(from.into(), to.into(), IpProtocol::Icmpv6, icmp.buffer_len(), 255);
            ip_frame(&header, |bytes| {
                icmp.emit(
                    &from,
                    &to,
                    &mut Icmpv6Packet::new_unchecked(bytes),
                    &ChecksumCapabilities::default(),
                );
            })
        },
    )
}

/// IPv4 with options and as a fragment, with a header checksum that is right; and IPv6 with extension headers.
fn odd_ip_frame() -> impl Strategy<Value = Vec<u8>> {
    let v4 = (0..11_usize, any::<u16>(), any::<u8>(), vec(any::<u8>(), 0..100)).prop_map(
        |(option_words, fragment, protocol, payload)| {
            let header_len = 20 + 4 * option_words.min(10);
            let mut packet = vec![1; header_len];
            packet[0] = 0x40 | (header_len / 4) as u8;
            packet[2..4].copy_from_slice(&((header_len + payload.len()) as u16).to_be_bytes());
            packet[6..8].copy_from_slice(&fragment.to_be_bytes());
            packet[9] = [1, 6, 17, protocol][usize::from(protocol % 4)];
            packet[12..16].copy_from_slice(&GUEST_V4.octets());
            packet[16..20].copy_from_slice(&GATEWAY_V4.octets());
            Ipv4Packet::new_unchecked(&mut packet[..]).fill_checksum();
            packet.extend_from_slice(&payload);
            frame(0x0800, &packet)
        },
    );
    let v6 = (any::<u8>(), vec(any::<u8>(), 0..100)).prop_map(|(next, payload)| {
        let mut packet = vec![0x60, 0, 0, 0, 0, payload.len() as u8, 0, 64];
        packet[6] = [0, 43, 44, 60, 58, 6, 17, next][usize::from(next % 8)];
        packet.extend_from_slice(&GUEST_V6.octets());
        packet.extend_from_slice(&GATEWAY_V6.octets());
        packet.extend_from_slice(&payload);
        frame(0x86dd, &packet)
    });
    prop_oneof![v4, v6]
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let valid = prop_oneof![
        8 => tcp_frame(),
        2 => udp_frame(),
        1 => arp_frame(),
        1 => neighbor_frame(),
        2 => odd_ip_frame(),
    ];
    let changes = prop_oneof![
        3 => Just(Vec::new()),
        1 => vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ];
    let mutated = (valid, changes, proptest::option::weighted(0.1, any::<prop::sample::Index>())).prop_map(
        |(mut frame, changes, cut)| {
            for (at, byte) in changes {
                let at = at.index(frame.len());
                frame[at] = byte;
            }
            if let Some(cut) = cut {
                frame.truncate(cut.index(frame.len()));
            }
            frame
        },
    );
    prop_oneof![9 => mutated, 1 => vec(any::<u8>(), 0..200)]
}

fn stream(frames: &[Vec<u8>]) -> Vec<u8> {
    frames.iter().flat_map(|frame| [&(frame.len() as u32).to_be_bytes()[..], frame].concat()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_frames_break_the_state_machine(frames in vec(any_frame(), 1..120)) {
        let mut rehearsal = Rehearsal::default();
        prop_assert!(rehearsal.stream(&stream(&frames)));
        let status = rehearsal.status();
        prop_assert_eq!(status.counters.frames_in, frames.len() as u64);
        prop_assert!(status.connection_count <= frames.len());
        let _ = rehearsal.answers();
    }

    #[test]
    fn no_segments_break_a_connection(
        window_scale in proptest::option::of(0..15_u8),
        mss in proptest::option::of(any::<u16>()),
        segments in vec(near_segment(), 1..60),
    ) {
        let mut rehearsal = Rehearsal::default();
        let opening = Near { control: TcpControl::Syn, window: 1000, ..Near::default() };
        rehearsal.frame(&opening.frame(None, window_scale, mss));
        let answer = rehearsal.answers();
        // The length, Ethernet, IPv4, the ports: then the number of the SYN.
        let first = i32::from_be_bytes(answer[4 + 14 + 20 + 4..][..4].try_into().unwrap());
        let mut is_first = true;
        for segment in &segments {
            if std::mem::take(&mut is_first) {
                rehearsal.frame(&Near { window: 1000, ..Near::default() }.frame(Some(first), None, None));
            }
            rehearsal.frame(&segment.frame(Some(first), None, None));
        }
        prop_assert!(rehearsal.status().connection_count <= 1);
        prop_assert!(rehearsal.answers().len() < 4_000_000);
    }

    #[test]
    fn no_bytes_break_the_state_machine(bytes in vec(any::<u8>(), 0..4000)) {
        hostile_input(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn after_any_frames_the_gateway_still_answers(frames in vec(any_frame(), 1..200)) {
        // Nothing here leads anywhere but to 127.0.0.1:1 to 3, where nobody listens.
        let rules = ["host.pyro.internal:1", "host.pyro.internal:2", "host.pyro.internal:3"];
        let (mut guest, gateway) = start_with(Policy::parse(&rules).unwrap());
        guest.inject_stream(&stream(&frames));
        guest.until("all frames are sent", |guest| !guest.has_unsent());
        guest.ping_gateway(1, false);
        guest.ping_gateway(2, true);
        prop_assert!(gateway.status().connection_count <= 64);
    }
}

/// Otherwise the tests above would show nothing.
#[test]
fn the_segments_above_do_reach_a_connection() {
    let mut rehearsal = Rehearsal::default();
    let opening = Near { control: TcpControl::Syn, window: 1000, ..Near::default() };
    rehearsal.frame(&opening.frame(None, Some(3), Some(1460)));
    let first = i32::from_be_bytes(rehearsal.answers()[4 + 14 + 20 + 4..][..4].try_into().unwrap());
    let hello =
        Near { control: TcpControl::Psh, window: 1000, payload: b"hello".to_vec(), ..Near::default() };
    rehearsal.frame(&hello.frame(Some(first), None, None));
    assert!(rehearsal.answers().ends_with(b"hello"));
    let end = Near { control: TcpControl::Fin, seq: 5, ack: 5, window: 1000, ..Near::default() };
    rehearsal.frame(&end.frame(Some(first), None, None));
    rehearsal.frame(&Near { seq: 6, ack: 6, window: 1000, ..Near::default() }.frame(Some(first), None, None));
    assert_eq!(rehearsal.status().connection_count, 0);
}

#[test]
fn a_length_that_cannot_be_ends_the_device() {
    let (mut guest, gateway) = start_with(Policy::open());
    guest.ping_gateway(1, false);
    guest.inject_stream(&200_000_u32.to_be_bytes());
    guest.until("the gateway hangs up", Guest::is_cut_off);
    drop(gateway);
}

#[test]
fn frames_that_are_too_long_or_too_short_are_passed_over_and_counted() {
    let (mut guest, gateway) = start_with(Policy::open());
    guest.inject(&[1; 13]);
    guest.inject(&[]);
    guest.inject(&vec![1; 65_600]);
    guest.until("it is sent", |guest| !guest.has_unsent());
    guest.ping_gateway(1, false);
    assert_eq!(gateway.status().counters.dropped_frames, 3);
}
