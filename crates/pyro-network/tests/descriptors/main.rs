//! A guest that wants more sockets than its host can give: what it reaches then, and what is left for the host.
//!
//! The limit is that of the whole process, so these tests are a program of their own, and take turns.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

#[allow(dead_code, reason = "other tests use the rest of it")]
#[path = "../gateway/guest.rs"]
mod guest;

use guest::Guest;
use pyro_network::gateway::Gateway;
use pyro_network::guard::{Access, Guard};
use pyro_network::own_addresses::is_own;
use pyro_network::plan::{GATEWAY_MAC, GATEWAY_V4, GUEST_MAC, GUEST_V4};
use pyro_network::policy::Policy;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::tcp::State;
use smoltcp::wire::{IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

static TURN: Mutex<()> = Mutex::new(());

/// Limits how many files this process may open, until it is dropped.
struct Limit {
    before: Rlimit,
    _turn: MutexGuard<'static, ()>,
}

impl Limit {
    /// None: as many as it may.
    fn to(files: Option<u64>) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let before = getrlimit(Resource::Nofile);
        set(Rlimit { current: files.or(before.maximum), maximum: before.maximum });
        Self { before, _turn: turn }
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        set(self.before);
    }
}

fn set(limit: Rlimit) {
    setrlimit(Resource::Nofile, limit).unwrap();
}

fn start(allow: &[&str]) -> (Guest, Gateway, Arc<Guard>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let guard = Guard::new(Policy::parse(allow).unwrap());
    let gateway = Gateway::start(theirs, guard.clone()).unwrap();
    (Guest::new(ours), gateway, guard)
}

/// Whether this process can still open as many files.
fn can_open(files: usize) -> bool {
    (0..files).map(|_| File::open("/dev/null")).collect::<Result<Vec<_>, _>>().is_ok()
}

fn end(guest: Guest, gateway: Gateway) {
    drop(gateway);
    let mut guest = guest;
    guest.until("the device's end", Guest::is_cut_off);
}

#[test]
fn without_descriptors_every_address_counts_as_the_hosts_own() {
    let limit = Limit::to(None);
    let outside = "203.0.113.77".parse().unwrap();
    let (guest, gateway, prepared) = start(&[]);
    let unprepared = Guard::new(Policy::open());
    assert!(!is_own(outside));
    set(Rlimit { current: Some(3), maximum: limit.before.maximum });
    let (is_own, of_prepared, of_unprepared) = (
        is_own(outside),
        prepared.judge(pyro_network::denial::DenialKind::Tcp, outside, Some(80)),
        unprepared.judge(pyro_network::denial::DenialKind::Tcp, outside, Some(80)),
    );
    set(Rlimit { current: limit.before.maximum, maximum: limit.before.maximum });
    assert!(is_own);
    assert_eq!(of_unprepared, Access::Denied);
    assert_eq!(of_prepared, Access::Allowed, "what it asks with was opened before");
    end(guest, gateway);
}

#[test]
fn a_gateway_that_cannot_begin_says_so() {
    let limit = Limit::to(None);
    let (_ours, theirs) = UnixStream::pair().unwrap();
    let guard = Guard::new(Policy::open());
    set(Rlimit { current: Some(3), maximum: limit.before.maximum });
    let started = Gateway::start(theirs, guard).map(drop);
    set(Rlimit { current: limit.before.maximum, maximum: limit.before.maximum });
    assert!(started.is_err());
}

#[test]
fn a_guest_gets_half_of_the_descriptors_for_tcp_and_is_told() {
    let _limit = Limit::to(Some(240));
    // Nobody accepts: the other sides would be descriptors of this process as well.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (mut guest, gateway, guard) = start(&[&format!("host.pyro.internal:{port}")]);
    let connections: Vec<_> = (0..200).map(|_| guest.connect_with((GATEWAY_V4, port).into(), 2048)).collect();
    guest.until("all are answered", |guest| {
        connections
            .iter()
            .all(|connection| matches!(guest.tcp(*connection).state(), State::Established | State::Closed))
    });
    let opened = gateway.status().counters.tcp_opened;
    assert!((64..=120).contains(&opened), "{opened}");
    assert_eq!(gateway.status().counters.tcp_refused, 200 - opened);
    assert!(can_open(80), "the process starves");
    let denials = guard.denials().since(0);
    assert!(denials.iter().all(|denial| denial.rule == "too many connections"));
    assert!(denials[0].hint.contains("ulimit -n"), "{}", denials[0].hint);
    guest.tcp(connections[0]).abort();
    guest.until("one is free", |_| gateway.status().connection_count < opened as usize);
    guest.connected((GATEWAY_V4, port).into());
    end(guest, gateway);
}

#[test]
fn a_burst_of_datagrams_leaves_descriptors_to_the_host() {
    let _limit = Limit::to(Some(240));
    let finder = UdpSocket::bind("0.0.0.0:0").unwrap();
    let address = match finder.connect("192.0.2.254:9").and_then(|()| finder.local_addr()) {
        Ok(address) if !address.ip().is_unspecified() && !address.ip().is_loopback() => address.ip(),
        _ => return eprintln!("skipped: this host has no address but its loopback"),
    };
    let server = UdpSocket::bind((address, 0)).unwrap();
    let at = server.local_addr().unwrap();
    let (mut guest, gateway, _guard) = start(&[&address.to_string()]);
    guest.ping_gateway(1, false);
    for port in 1..=400 {
        let socket = guest.udp(port);
        guest.send_udp(socket, at, b"burst");
    }
    guest.turn();
    guest.ping_gateway(2, false);
    assert!(can_open(80), "the process starves");
    guest.until("the oldest are gone", |_| gateway.status().connection_count <= 60);
    let socket = guest.udp(1000);
    server.set_nonblocking(true).unwrap();
    let mut bytes = [0; 8];
    while server.recv(&mut bytes).is_ok() {}
    guest.until("there is room for a new one", |guest| {
        guest.send_udp(socket, at, b"new");
        guest.turn();
        server.recv(&mut bytes).is_ok_and(|length| bytes[..length] == *b"new")
    });
    end(guest, gateway);
}

/// A request for a connection that nobody takes part in.
fn opening(from: u16, port: u16) -> Vec<u8> {
    let segment = TcpRepr {
        src_port: from,
        dst_port: port,
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(1),
        ack_number: None,
        window_len: 1000,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let (from, to) = (GUEST_V4.into(), GATEWAY_V4.into());
    let header = IpRepr::new(from, to, IpProtocol::Tcp, segment.buffer_len(), 64);
    let mut packet = vec![0; header.buffer_len()];
    header.emit(&mut packet[..], &ChecksumCapabilities::default());
    let mut tcp = TcpPacket::new_unchecked(&mut packet[header.header_len()..]);
    segment.emit(&mut tcp, &from, &to, &ChecksumCapabilities::default());
    [&GATEWAY_MAC[..], &GUEST_MAC, &[8, 0], &packet].concat()
}

/// Where descriptors are no matter, to a port of the host that accepts them all.
#[test]
fn more_connections_than_there_may_be_are_refused_and_the_rest_goes_on() {
    let limit = Limit::to(None);
    if limit.before.maximum.is_some_and(|maximum| maximum < 12_000) {
        return eprintln!("skipped: this user may not have 12000 open files");
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    let (mut guest, gateway, guard) = start(&[&format!("host.pyro.internal:{port}")]);
    guest.deafen();
    for from in 1..=5000_u16 {
        guest.inject(&opening(10_000 + from, port));
        if from.is_multiple_of(16) {
            guest.wait(Duration::from_micros(200)); // the backlog of the listener is not what is tested
        }
    }
    guest.until("all frames are sent", |guest| !guest.has_unsent());
    guest.until("all are judged", |_| {
        let counters = gateway.status().counters;
        (counters.tcp_refused, counters.tcp_opened) == (5000 - 4096, 4096)
    });
    guest.ping_gateway(1, false);
    assert_eq!(gateway.status().connection_count, 4096);
    let denial = guard.denials().since(0).remove(0);
    assert_eq!(denial.rule, "too many connections");
    assert_eq!(denial.hint, "at most 4096 connections at a time: close some first");
    end(guest, gateway);
}
