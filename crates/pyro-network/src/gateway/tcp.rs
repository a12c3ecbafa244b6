//! A guest asks for a TCP connection.
//!
//! It is answered only when the destination has accepted: so it is refused, or found unreachable, as it would be
//! without a gateway. Repetitions of the question are ignored meanwhile.

use super::answer::Unreachable;
use super::descriptors::Descriptor;
use super::driver::Driver;
use super::engine::Engine;
use super::flow::{Flow, FlowKey, MAX_FLOWS, Origin, Said, buffer_bytes, is_dns};
use super::link::Segment;
use super::relay::{Inspection, relay};
use super::shared::{Connection, count};
use super::wire::Endpoint;
use super::{dns, host_socket};
use crate::denial::DenialKind;
use crate::guard::Access;
use crate::host_name::HostName;
use crate::plan;
use crate::status::ConnectionKind;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Ipv4Packet, Ipv6Packet, TcpPacket, TcpRepr};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use tokio::task::spawn_local;

/// The longest request for a connection: headers with every option, and no data. It is kept until it can be answered.
const MAX_OPENING: usize = 128;

/// As many connections are listened to at a time; more are refused. The inspector of each may hold back up to 64 KiB.
pub(super) const MAX_INSPECTED: usize = 1024;

/// Takes a segment that asks for a connection.
pub(super) fn open(engine: &Rc<Engine>, segment: &Segment<'_>) {
    if segment.packet.len() > MAX_OPENING || !is_intact(segment) {
        return engine.dropped();
    }
    if !engine.flows.borrow().has_room() {
        engine.over_limit(DenialKind::Tcp, segment.to, MAX_FLOWS, "connections");
        return refuse(engine, segment.packet);
    }
    if is_dns(segment.to) {
        return dns::open(engine, segment);
    }
    let to = segment.to;
    let said = match engine.guard().check(DenialKind::Tcp, to.ip(), Some(to.port())) {
        Access::Allowed => None,
        Access::IfNamed => Some(Said::default()),
        Access::Denied => return refuse(engine, segment.packet),
    };
    let known = engine.guard().known_names(to);
    let inspection = match &said {
        Some(_) => match engine.inspections.take() {
            Some(place) => Some(Inspection::new(engine.guard().inspector_knowing(to, known.clone()), place)),
            None => {
                engine.over_limit(DenialKind::Tcp, to, MAX_INSPECTED, "connections by name");
                return refuse(engine, segment.packet);
            }
        },
        None => None,
    };
    let Some(descriptor) = engine.descriptor(DenialKind::Tcp, to.ip(), Some(to.port())) else {
        return refuse(engine, segment.packet);
    };
    let driver = add(engine, segment, Origin::Outside { to, said, known: known.clone() });
    let destination = Destination { to, known, descriptor };
    spawn_local(connect_and_relay(driver, destination, segment.packet.to_vec(), inspection));
}

/// A new connection, not answered yet.
pub(super) fn add(engine: &Rc<Engine>, segment: &Segment<'_>, origin: Origin) -> Driver {
    let key = FlowKey { port: segment.port, peer: segment.to };
    let name = engine.name_of(segment.to);
    let listed = engine.shared.list(Connection::new(ConnectionKind::Tcp, segment.to, name));
    let flow = engine.flows.borrow_mut().add(key, Flow::new(listed, origin));
    Driver::new(engine.clone(), key, flow)
}

/// Answers the guest's request for a connection. False if that cannot be.
pub(super) fn accept(driver: &Driver, to: SocketAddr, opening: &[u8], buffer_bytes: usize) -> bool {
    let Ok(mut endpoint) = Endpoint::listening(to, buffer_bytes) else { return false };
    endpoint.take(&mut driver.engine.wire.borrow_mut(), opening);
    driver.flow().endpoint = Some(endpoint);
    count(&driver.engine.shared.tally.tcp_opened);
    true
}

/// Answers the guest's request for a connection with a reset.
pub(super) fn refuse(engine: &Engine, opening: &[u8]) {
    count(&engine.shared.tally.tcp_refused);
    engine.reset(opening);
}

/// What is connected to, and with what right.
struct Destination {
    to: SocketAddr,
    known: Arc<[HostName]>,
    descriptor: Descriptor,
}

async fn connect_and_relay(
    driver: Driver,
    destination: Destination,
    opening: Vec<u8>,
    inspection: Option<Inspection>,
) {
    let Destination { to, known, descriptor: _held_to_the_end } = destination;
    let engine = driver.engine.clone();
    // Asked again, since an address may have become the host's own: nothing comes between this and the connection.
    if engine.guard().check_knowing(DenialKind::Tcp, to.ip(), Some(to.port()), &known) == Access::Denied {
        return refuse(&engine, &opening);
    }
    let connected = tokio::select! {
        connected = host_socket::connect(host_address(to)) => connected,
        () = cancelled(&driver) => Err(ErrorKind::ConnectionAborted.into()),
    };
    match connected {
        Ok(host) => {
            let size = buffer_bytes(engine.flows.borrow().len());
            if accept(&driver, to, &opening, size) {
                relay(driver, host, inspection).await;
            }
        }
        Err(error) => failed(&engine, &opening, &error),
    }
}

/// Where the host connects to. The gateway's address stands for the host, and for nothing else of it than its loopback.
fn host_address(to: SocketAddr) -> SocketAddr {
    if plan::is_gateway(to.ip()) { SocketAddr::from((Ipv4Addr::LOCALHOST, to.port())) } else { to }
}

async fn cancelled(driver: &Driver) {
    poll_fn(|context| {
        let mut flow = driver.flow();
        flow.waker = Some(context.waker().clone());
        if flow.cancelled { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn failed(engine: &Engine, opening: &[u8], error: &io::Error) {
    let why = match error.kind() {
        ErrorKind::HostUnreachable => Unreachable::Host,
        ErrorKind::NetworkUnreachable => Unreachable::Network,
        ErrorKind::PermissionDenied => Unreachable::Prohibited, // by a firewall of the host
        _ => return refuse(engine, opening),
    };
    count(&engine.shared.tally.tcp_refused);
    engine.unreachable(opening, why);
}

/// Whether the segment is as it was sent.
fn is_intact(segment: &Segment<'_>) -> bool {
    let (from, payload) = match segment.to.ip() {
        IpAddr::V4(_) => {
            let Ok(packet) = Ipv4Packet::new_checked(segment.packet) else { return false };
            (IpAddr::V4(plan::GUEST_V4), packet.payload())
        }
        IpAddr::V6(_) => {
            let Ok(packet) = Ipv6Packet::new_checked(segment.packet) else { return false };
            (IpAddr::V6(plan::GUEST_V6), packet.payload())
        }
    };
    let Ok(packet) = TcpPacket::new_checked(payload) else { return false };
    let checksums = ChecksumCapabilities::default();
    TcpRepr::parse(&packet, &from.into(), &segment.to.ip().into(), &checksums).is_ok()
}
