//! UDP, pings and TCP to an address that a rule names. It is one of the host's own, so that nothing leaves it.

use super::guest::{LIMIT, start};
use pyro_network::gateway::can_ping;
use pyro_network::policy::Policy;
use pyro_network::status::{ConnectionKind, ConnectionState};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

/// An address of the host that is not its loopback. No packet is sent to find it.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let address = socket.connect("192.0.2.254:9").and_then(|()| socket.local_addr()).ok()?.ip();
    if address.is_unspecified() || address.is_loopback() {
        return None;
    }
    Some(address)
}

macro_rules! own_address_or_skip {
    () => {
        match own_address() {
            Some(address) => address,
            None => return eprintln!("skipped: this host has no address but its loopback"),
        }
    };
}

fn server(address: IpAddr) -> (UdpSocket, SocketAddr) {
    let server = UdpSocket::bind((address, 0)).unwrap();
    server.set_read_timeout(Some(LIMIT)).unwrap();
    let at = server.local_addr().unwrap();
    (server, at)
}

#[test]
fn datagrams_go_and_come_back() {
    let (server, at) = server(own_address_or_skip!());
    let echo = thread::spawn(move || {
        let mut bytes = vec![0; 65535];
        let mut sources = Vec::new();
        for _ in 0..4 {
            let (length, from) = server.recv_from(&mut bytes).unwrap();
            bytes[..length].reverse();
            server.send_to(&bytes[..length], from).unwrap();
            sources.push(from);
        }
        sources
    });
    let (mut guest, gateway) = start(&[&at.ip().to_string()]);
    let (one, other) = (guest.udp(5001), guest.udp(5002));
    for (socket, length) in [(one, 1), (one, 1400), (other, 0), (one, 60_000)] {
        let sent: Vec<u8> = (0..length).map(|number: u32| number as u8).collect();
        guest.send_udp(socket, at, &sent);
        let back: Vec<u8> = sent.iter().copied().rev().collect();
        assert!(guest.receive_udp(socket) == back);
    }
    let sources = echo.join().unwrap();
    assert!(sources[0] == sources[1] && sources[1] == sources[3] && sources[0] != sources[2]);
    let status = gateway.status();
    assert_eq!((status.counters.udp_flows, status.connection_count), (2, 2));
    let first = status.connections.iter().find(|connection| connection.sent_bytes > 0).unwrap();
    assert_eq!((first.kind, first.state), (ConnectionKind::Udp, ConnectionState::Open));
    assert_eq!((first.sent_bytes, first.received_bytes), (61_401, 61_401));
    assert_eq!((first.address, first.port), (at.ip(), at.port()));
}

#[test]
fn a_port_where_nobody_receives_is_said_to_be_unreachable() {
    let (unused, at) = server(own_address_or_skip!());
    drop(unused);
    let (mut guest, _gateway) = start(&[&at.ip().to_string()]);
    guest.ping_gateway(1, false);
    guest.watch();
    let socket = guest.udp(5001);
    guest.send_udp(socket, at, b"anybody?");
    let time = guest.until("an answer", |guest| {
        // ICMP, destination unreachable, port; in it the header and the ports of what was sent
        guest
            .seen()
            .iter()
            .any(|frame| frame[23] == 1 && frame[34..36] == [3, 3] && frame[62..64] == 5001_u16.to_be_bytes())
    });
    assert!(time < Duration::from_millis(50), "{time:?}");
}

#[test]
fn the_flow_that_was_used_longest_ago_makes_room() {
    let (server, at) = server(own_address_or_skip!());
    let (mut guest, gateway) = start(&[&at.ip().to_string()]);
    guest.ping_gateway(1, false);
    let socket = guest.udp(1);
    for port in 1..=1100 {
        let socket = if port == 1 { socket } else { guest.udp(port) };
        guest.send_udp(socket, at, &port.to_be_bytes());
        guest.turn();
        server.recv_from(&mut [0; 8]).unwrap();
    }
    assert_eq!(gateway.status().connection_count, 1024);
    assert_eq!(gateway.status().counters.udp_flows, 1100);
}

#[test]
fn another_policy_ends_flows_that_it_does_not_allow() {
    let (server, at) = server(own_address_or_skip!());
    let (mut guest, gateway) = start(&[&at.ip().to_string()]);
    let socket = guest.udp(5001);
    guest.send_udp(socket, at, b"hello");
    guest.until("it is there", |_| gateway.status().connection_count == 1);
    server.recv_from(&mut [0; 8]).unwrap();
    gateway.set_policy(Policy::parse(&["nothing.example"]).unwrap());
    guest.until("it is gone", |_| gateway.status().connection_count == 0);
    let denials = gateway.guard().denials().since(0);
    assert_eq!((denials.len(), denials[0].port), (1, Some(at.port())), "it is told why");
    let position = gateway.guard().denials().position();
    guest.send_udp(socket, at, b"hello");
    guest.until("a denial", |_| !gateway.guard().denials().since(position).is_empty());
}

#[test]
fn pings_go_where_the_host_lets_them() {
    let address = own_address_or_skip!();
    let (mut guest, gateway) = start(&[&address.to_string()]);
    guest.ping_gateway(1, false);
    match can_ping() {
        Ok(()) => {
            guest.ping(address, 0x2345, 9);
            guest.ping(address, 0x2346, 10);
        }
        Err(reason) => {
            assert!(reason.contains("ping_group_range"));
            eprintln!("skipped: {reason}");
        }
    }
    assert_eq!(gateway.status().counters.denials, 0);
}

#[test]
fn tcp_goes_to_exactly_the_address_that_was_asked_for() {
    let address = own_address_or_skip!();
    let listener = TcpListener::bind((address, 0)).unwrap();
    let at = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, from) = listener.accept().unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        stream.write_all(&heard).unwrap();
        from
    });
    let (mut guest, _gateway) = start(&[&at.to_string()]);
    let connection = guest.connected(at);
    guest.say(connection, b"hello");
    guest.tcp(connection).close();
    assert_eq!(guest.hear_all(connection), b"hello");
    assert_eq!(server.join().unwrap().ip(), address);
}
