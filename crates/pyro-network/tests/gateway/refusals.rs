//! What is refused, and that it is refused quickly.

use super::guest::{Guest, start, start_with};
use pyro_network::denial::DenialKind;
use pyro_network::plan::{GATEWAY_V4, GATEWAY_V6, GUEST_V4};
use pyro_network::policy::Policy;
use smoltcp::socket::tcp::State;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, Icmpv6DstUnreachable,
    Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv4Packet, Ipv6Packet,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const QUICK: Duration = Duration::from_millis(50);

fn ready(guest: &mut Guest) {
    guest.ping_gateway(1, false); // so that the thread has begun, and the addresses of the link are known
    guest.ping_gateway(2, true);
}

#[test]
fn a_denied_connection_is_reset_at_once() {
    let (mut guest, gateway) = start_with(Policy::open());
    ready(&mut guest);
    let denied = ["127.0.0.1:80", "10.1.2.3:443", "192.168.1.1:22", "169.254.169.254:80", "100.96.0.1:22"];
    for to in denied {
        let connection = guest.connect(to.parse().unwrap());
        let time = guest.until("reset", |guest| guest.tcp(connection).state() == State::Closed);
        assert!(time < QUICK, "{to}: {time:?}");
    }
    for to in ["[::1]:80", "[fd70:7972:6f00::1]:22", "[fe80::1]:80", "[::ffff:127.0.0.1]:80"] {
        let connection = guest.connect(to.parse().unwrap());
        let time = guest.until("reset", |guest| guest.tcp(connection).state() == State::Closed);
        assert!(time < QUICK, "{to}: {time:?}");
    }
    let status = gateway.status();
    assert_eq!((status.counters.tcp_refused, status.counters.denials), (9, 9));
    assert_eq!(status.connection_count, 0);
    assert!(gateway.guard().denials().since(0).iter().all(|denial| denial.kind == DenialKind::Tcp));
}

/// The ICMP error among the frames that arrived, as (code, destination of what is quoted, its protocol, its first
/// bytes).
fn prohibited(guest: &Guest) -> Option<(u8, IpAddr, IpProtocol, Vec<u8>)> {
    guest.seen().iter().find_map(|frame| {
        let frame = EthernetFrame::new_checked(&frame[..]).unwrap();
        let checksums = smoltcp::phy::ChecksumCapabilities::default();
        match frame.ethertype() {
            EthernetProtocol::Ipv4 => {
                let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
                assert!(packet.verify_checksum());
                if packet.next_header() != IpProtocol::Icmp {
                    return None;
                }
                let icmp = Icmpv4Packet::new_checked(packet.payload()).unwrap();
                let Ok(Icmpv4Repr::DstUnreachable { reason, header, data }) =
                    Icmpv4Repr::parse(&icmp, &checksums)
                else {
                    return None;
                };
                assert_eq!(packet.src_addr(), GATEWAY_V4);
                assert_eq!(header.src_addr, GUEST_V4);
                assert!(reason == Icmpv4DstUnreachable::CommProhibited || icmp.msg_code() != 13);
                Some((icmp.msg_code(), header.dst_addr.into(), header.next_header, data.to_vec()))
            }
            EthernetProtocol::Ipv6 => {
                let packet = Ipv6Packet::new_checked(frame.payload()).unwrap();
                let icmp = Icmpv6Packet::new_checked(packet.payload()).ok()?;
                let (from, to) = (packet.src_addr(), packet.dst_addr());
                let Ok(Icmpv6Repr::DstUnreachable { reason, header, data }) =
                    Icmpv6Repr::parse(&from, &to, &icmp, &checksums)
                else {
                    return None;
                };
                assert_eq!(packet.src_addr(), GATEWAY_V6);
                assert!(reason == Icmpv6DstUnreachable::AdminProhibit || icmp.msg_code() != 1);
                Some((icmp.msg_code(), header.dst_addr.into(), header.next_header, data.to_vec()))
            }
            _ => None,
        }
    })
}

#[test]
fn a_denied_datagram_is_answered_with_prohibited() {
    for (to, code) in [("10.1.2.3:999", 13), ("100.96.0.1:999", 13), ("[fd00::1]:999", 1)] {
        let (mut guest, gateway) = start_with(Policy::open());
        ready(&mut guest);
        guest.watch();
        let to: SocketAddr = to.parse().unwrap();
        let socket = guest.udp(5000);
        guest.send_udp(socket, to, b"anybody?");
        let time = guest.until("an answer", |guest| prohibited(guest).is_some());
        assert!(time < QUICK, "{to}: {time:?}");
        let (got, quoted, protocol, data) = prohibited(&guest).unwrap();
        assert_eq!((got, quoted, protocol), (code, to.ip(), IpProtocol::Udp));
        assert_eq!(data[..4], [0x13, 0x88, 0x03, 0xe7]); // the ports, 5000 and 999
        assert_eq!(data[8..], *b"anybody?");
        assert_eq!(gateway.status().counters.udp_flows, 0);
        assert_eq!(gateway.guard().denials().since(0)[0].kind, DenialKind::Udp);
    }
}

#[test]
fn a_protocol_that_is_not_passed_on_is_said_to_be_unreachable() {
    let (mut guest, _gateway) = start_with(Policy::open());
    ready(&mut guest);
    guest.watch();
    let sctp = ipv4_frame(Ipv4Addr::new(9, 9, 9, 9), 132, &[0; 12]);
    guest.inject(&sctp);
    guest.until("an answer", |guest| prohibited(guest).is_some_and(|(code, ..)| code == 2));
}

#[test]
fn a_denied_ping_is_answered_with_prohibited() {
    let (mut guest, gateway) = start_with(Policy::open());
    ready(&mut guest);
    guest.watch();
    let mut echo = [8, 0, 0, 0, 1, 2, 3, 4];
    let sum = !u32::from(0x0800_u16 + 0x0102 + 0x0304) as u16;
    echo[2..4].copy_from_slice(&sum.to_be_bytes());
    guest.inject(&ipv4_frame(Ipv4Addr::new(127, 0, 0, 1), 1, &echo));
    let time = guest.until("an answer", |guest| prohibited(guest).is_some());
    assert!(time < QUICK, "{time:?}");
    assert_eq!(prohibited(&guest).unwrap().0, 13);
    assert_eq!(gateway.guard().denials().since(0)[0].kind, DenialKind::Icmp);
}

fn ipv4_frame(to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    use pyro_network::plan::{GATEWAY_MAC, GUEST_MAC};
    use smoltcp::wire::Ipv4Repr;
    let header = Ipv4Repr {
        src_addr: GUEST_V4,
        dst_addr: to,
        next_header: IpProtocol::from(protocol),
        payload_len: payload.len(),
        hop_limit: 64,
    };
    let mut frame = [&GATEWAY_MAC[..], &GUEST_MAC, &[8, 0]].concat();
    let mut packet = vec![0; 20];
    header.emit(
        &mut Ipv4Packet::new_unchecked(&mut packet[..]),
        &smoltcp::phy::ChecksumCapabilities::default(),
    );
    frame.extend_from_slice(&packet);
    frame.extend_from_slice(payload);
    frame
}

/// A query for the A records of `blocked.example`.
const QUERY: &[u8] =
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07blocked\x07example\x00\x00\x01\x00\x01";

#[test]
fn a_name_that_is_not_allowed_is_denied_over_udp_and_tcp() {
    let (mut guest, gateway) = start(&["pypi.org:443"]);
    ready(&mut guest);
    let socket = guest.udp(5000);
    for server in [IpAddr::V4(GATEWAY_V4), IpAddr::V6(GATEWAY_V6)] {
        guest.send_udp(socket, (server, 53).into(), QUERY);
        is_denial(&guest.receive_udp(socket));
    }
    let connection = guest.connected((GATEWAY_V4, 53).into());
    for _ in 0..3 {
        guest.say(connection, &(QUERY.len() as u16).to_be_bytes());
        guest.say(connection, &QUERY[..7]);
        guest.wait(Duration::from_millis(5));
        guest.say(connection, &QUERY[7..]);
        let length = guest.hear(connection, 2);
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        is_denial(&guest.hear(connection, length));
    }
    guest.tcp(connection).close();
    guest.until("the end", |guest| guest.tcp(connection).state() != State::FinWait1);
    guest.until("the connection is forgotten", |_| gateway.status().connection_count == 0);
    assert_eq!(gateway.status().counters.dns_queries, 5);
    assert_eq!(gateway.guard().denials().since(0)[0].kind, DenialKind::Dns);
}

#[test]
fn more_connections_for_dns_than_there_may_be_are_refused_and_told() {
    let (mut guest, gateway) = start(&["pypi.org:443"]);
    ready(&mut guest);
    for _ in 0..32 {
        guest.connected((GATEWAY_V4, 53).into());
    }
    let one_more = guest.connect((GATEWAY_V4, 53).into());
    guest.until("reset", |guest| guest.tcp(one_more).state() == State::Closed);
    let denials = gateway.guard().denials().since(0);
    assert_eq!((denials.len(), denials[0].kind), (1, DenialKind::Dns));
    assert_eq!(denials[0].rule, "too many connections");
}

fn is_denial(answer: &[u8]) {
    assert_eq!(answer[..2], QUERY[..2]);
    assert_eq!(answer[2] & 0x80, 0x80, "not an answer");
    assert_ne!(answer[3] & 0x0f, 0, "no error");
}

#[test]
fn the_gateway_answers_pings() {
    let (mut guest, _gateway) = start_with(Policy::open());
    ready(&mut guest);
    let time = guest.ping_gateway(7, false);
    assert!(time < QUICK, "{time:?}");
}
