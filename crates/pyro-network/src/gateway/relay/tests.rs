//! How long something may be held back.

use super::super::descriptors::Descriptors;
use super::super::engine::{Engine, Places};
use super::super::flow::Said;
use super::super::link::{self, Incoming};
use super::super::shared::Shared;
use super::super::tcp::{accept, add};
use super::*;
use crate::guard::{Guard, Upstream};
use crate::host_name::HostName;
use crate::plan::{GATEWAY_MAC, GUEST_MAC, GUEST_V4};
use crate::policy::Policy;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;

const TO: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);

fn guard() -> Arc<Guard> {
    let guard = Guard::with_upstream(Policy::parse(&["a.org"]).unwrap(), Upstream::from(Vec::new()));
    guard.resolved(&HostName::parse("a.org").unwrap(), &[(TO.into(), 60)]);
    guard
}

#[test]
fn the_time_runs_only_while_something_is_held_back() {
    let place = Places::new(1).take().unwrap();
    let mut inspection = Inspection::new(guard().inspector((TO, 80).into()), place);
    let now = Instant::now();
    assert!(!inspection.is_late(now) && inspection.held_until.is_none());
    assert_eq!(inspection.inspector.pass(b"GET / HT".to_vec()).unwrap(), b"");
    assert!(!inspection.is_late(now));
    assert!(!inspection.is_late(now + HELD_LIMIT - Duration::from_millis(1)));
    assert_eq!(inspection.inspector.pass(b"TP/1.1".to_vec()).unwrap(), b"");
    assert!(inspection.is_late(now + HELD_LIMIT), "more of it does not put it off");
    let rest = b"\r\nHost: a.org\r\n\r\n";
    assert!(!inspection.inspector.pass(rest.to_vec()).unwrap().is_empty());
    assert!(!inspection.is_late(now + HELD_LIMIT) && inspection.held_until.is_none());
}

/// A segment of the guest, as a frame.
fn segment(control: TcpControl, seq: i32, ack: Option<i32>, payload: &[u8]) -> Vec<u8> {
    let segment = TcpRepr {
        src_port: 40000,
        dst_port: 80,
        control,
        seq_number: TcpSeqNumber(seq),
        ack_number: ack.map(TcpSeqNumber),
        window_len: 4000,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload,
    };
    let (from, to) = (GUEST_V4.into(), TO.into());
    let header = IpRepr::new(from, to, IpProtocol::Tcp, segment.buffer_len(), 64);
    let mut packet = vec![0; header.buffer_len()];
    header.emit(&mut packet[..], &ChecksumCapabilities::default());
    let mut tcp = TcpPacket::new_unchecked(&mut packet[header.header_len()..]);
    segment.emit(&mut tcp, &from, &to, &ChecksumCapabilities::default());
    [&GATEWAY_MAC[..], &GUEST_MAC, &[8, 0], &packet].concat()
}

/// A connection of the guest that is inspected, with somebody of this host in the place of the server.
async fn connection(engine: &Rc<Engine>) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let to = SocketAddr::from((TO, 80));
    let opening = segment(TcpControl::Syn, 1, None, b"");
    let Incoming::Tcp(asked) = link::take(&opening, &mut engine.wire.borrow_mut().outbox) else {
        panic!("it is no segment")
    };
    let known = engine.guard().known_names(to);
    let origin = Origin::Outside { to, said: Some(Said::default()), known: known.clone() };
    let driver = add(engine, &asked, origin);
    assert!(accept(&driver, to, asked.packet, 8192));
    let inspector = engine.guard().inspector_knowing(to, known);
    let inspection = Inspection::new(inspector, engine.inspections.take().unwrap());
    spawn_local(relay(driver, host, Some(inspection)));
    server
}

/// What the gateway has sent since the last time.
async fn sent(engine: &Engine) -> Vec<u8> {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    let outbox = &mut engine.wire.borrow_mut().outbox;
    let bytes = outbox.bytes().to_vec();
    outbox.wrote(bytes.len());
    bytes
}

#[tokio::test(start_paused = true)]
async fn what_is_held_back_for_too_long_ends_the_connection_and_is_told() {
    let engine = Engine::new(Shared::new(guard()), 0, Descriptors::reserve());
    let tasks = LocalSet::new();
    tasks
        .run_until(async {
            let mut server = connection(&engine).await;
            // Behind the length, the Ethernet header, the IP header and the ports.
            let answer = sent(&engine).await;
            let theirs = i32::from_be_bytes(*answer[42..].first_chunk().unwrap());
            engine.frame(&segment(TcpControl::None, 2, Some(theirs.wrapping_add(1)), b""));
            sleep(HELD_LIMIT * 6).await;
            assert_eq!(engine.flows.borrow().len(), 1, "nothing is held back yet");
            engine.frame(&segment(TcpControl::Psh, 2, Some(theirs.wrapping_add(1)), b"GET / HT"));
            sleep(HELD_LIMIT - Duration::from_secs(1)).await;
            assert!(engine.guard().denials().since(0).is_empty());
            let _ = sent(&engine).await;
            sleep(Duration::from_secs(2)).await;
            let denials = engine.guard().denials().since(0);
            assert_eq!((denials.len(), denials[0].port), (1, Some(80)));
            assert_eq!(denials[0].rule, "what it says first could not be recognised");
            // The flags: the end, and an acknowledgement.
            assert_eq!(sent(&engine).await[51] & 0x11, 0x11);
            assert_eq!(server.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
            // The guest does not answer any more.
            sleep(REFUSAL_LIMIT * 2).await;
            assert_eq!(engine.flows.borrow().len(), 0);
        })
        .await;
}
