//! UDP from the guest to the outside: one connected socket of the host for each port of the guest and destination.

use super::answer::{self, Unreachable, sent_datagram};
use super::descriptors::Descriptor;
use super::engine::Engine;
use super::flow::is_dns;
use super::link::Datagram;
use super::shared::{Connection, Listed, count};
use super::{dns, host_socket};
use crate::denial::DenialKind;
use crate::guard::Access;
use crate::host_name::HostName;
use crate::plan;
use crate::status::{ConnectionKind, ConnectionState};
use rustix::net::SendFlags;
use std::cell::Cell;
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::Instant;

/// The longest datagram.
pub(super) const MAX_DATAGRAM: usize = 65535;

/// As many flows at a time, and at most half of the sockets that there may be. For one more, the one that was used
/// longest ago ends.
pub(super) const MAX_FLOWS: usize = 1024;

/// A flow ends when nothing has gone through for so long ([RFC 4787,
/// 4.3](https://www.rfc-editor.org/rfc/rfc4787#section-4.3) wants more, but nothing is lost but a port number),
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// or, without ever an answer, for so long.
const UNANSWERED_LIMIT: Duration = Duration::from_secs(30);

/// As many datagrams are passed on to the guest before others get their turn.
const BATCH: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct UdpKey {
    port: u16,
    to: SocketAddr,
}

/// All flows.
#[derive(Default)]
pub(super) struct UdpFlows {
    flows: HashMap<UdpKey, Entry>,
    /// The last one that had to make room. Its socket is closed a moment later.
    leaving: Weak<UdpFlow>,
}

/// Ends its task when dropped.
struct Entry {
    flow: Rc<UdpFlow>,
    task: AbortHandle,
}

struct UdpFlow {
    key: UdpKey,
    socket: UdpSocket,
    /// Given back with the socket.
    _descriptor: Descriptor,
    listed: Listed,
    /// The names by which the destination was allowed when it began. They count as long as it lasts.
    known: Arc<[HostName]>,
    used: Cell<Instant>,
    answered: Cell<bool>,
}

impl UdpFlows {
    /// Ends those whose destination is not to be kept.
    pub(super) fn retain(&mut self, mut is_kept: impl FnMut(SocketAddr, &[HostName]) -> bool) {
        self.flows.retain(|key, entry| is_kept(key.to, &entry.flow.known));
    }

    fn make_room(&mut self, most: usize) {
        if self.flows.len() >= most {
            self.end_oldest();
        }
    }

    /// The same where all sockets are in use, so that the next datagram may find a free one: a whole burst of them ends
    /// one flow only.
    fn make_room_for_next(&mut self) {
        if self.leaving.strong_count() == 0 {
            self.end_oldest();
        }
    }

    fn end_oldest(&mut self) {
        let oldest = self.flows.iter().min_by_key(|(_, entry)| entry.flow.used.get()).map(|(key, _)| *key);
        if let Some(entry) = oldest.and_then(|oldest| self.flows.remove(&oldest)) {
            self.leaving = Rc::downgrade(&entry.flow);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes a datagram.
pub(super) fn take(engine: &Rc<Engine>, datagram: &Datagram<'_>) {
    if is_dns(datagram.to) {
        return dns::ask(engine, datagram);
    }
    let key = UdpKey { port: datagram.port, to: datagram.to };
    let known = engine.udp.borrow().flows.get(&key).map(|entry| entry.flow.clone());
    let flow = match known {
        Some(flow) => flow,
        None => match begin(engine, datagram, key) {
            Ok(flow) => flow,
            Err(why) => return engine.unreachable(datagram.packet, why),
        },
    };
    if let Err(error) = flow.send(datagram.payload) {
        match reason(&error) {
            Some(why) => engine.unreachable(datagram.packet, why),
            None => engine.dropped(),
        }
    }
}

fn begin(engine: &Rc<Engine>, datagram: &Datagram<'_>, key: UdpKey) -> Result<Rc<UdpFlow>, Unreachable> {
    let to = datagram.to;
    let access = engine.guard().check(DenialKind::Udp, to.ip(), Some(to.port()));
    // The gateway's own address leads nowhere by UDP, and no name can be heard in a datagram.
    if access != Access::Allowed || plan::is_gateway(to.ip()) {
        return Err(Unreachable::Prohibited);
    }
    let Some(descriptor) = engine.descriptor(DenialKind::Udp, to.ip(), Some(to.port())) else {
        engine.udp.borrow_mut().make_room_for_next();
        return Err(Unreachable::Prohibited);
    };
    let failed = |error| reason(&error).unwrap_or(Unreachable::Host);
    let socket = unconnected(to).map_err(failed)?;
    // Asked again, since an address may have become the host's own: nothing comes between this and the connection.
    if engine.guard().check(DenialKind::Udp, to.ip(), Some(to.port())) != Access::Allowed {
        return Err(Unreachable::Prohibited);
    }
    let socket = connected(socket, to).map_err(failed)?;
    let flow = Rc::new(UdpFlow {
        key,
        socket,
        _descriptor: descriptor,
        known: engine.guard().known_names(to),
        listed: engine.shared.list(Connection::new(ConnectionKind::Udp, to, engine.name_of(to))),
        used: Cell::new(Instant::now()),
        answered: Cell::new(false),
    });
    count(&engine.shared.tally.udp_flows);
    let task = spawn_local(receive(engine.clone(), flow.clone())).abort_handle();
    let mut flows = engine.udp.borrow_mut();
    flows.make_room(MAX_FLOWS.min(engine.max_sockets() / 2));
    flows.flows.insert(key, Entry { flow: flow.clone(), task });
    Ok(flow)
}

/// A socket that can be connected to an address of that kind.
fn unconnected(to: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let any =
        if to.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    std::net::UdpSocket::bind((any, 0))
}

/// A socket that hears from that address and port alone.
fn connected(socket: std::net::UdpSocket, to: SocketAddr) -> io::Result<UdpSocket> {
    socket.connect(to)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// What the guest is told of an error.
fn reason(error: &io::Error) -> Option<Unreachable> {
    match error.kind() {
        ErrorKind::ConnectionRefused => Some(Unreachable::Port),
        ErrorKind::HostUnreachable => Some(Unreachable::Host),
        ErrorKind::NetworkUnreachable => Some(Unreachable::Network),
        ErrorKind::PermissionDenied => Some(Unreachable::Prohibited),
        _ => None,
    }
}

impl UdpFlow {
    /// Sends at once or not at all.
    fn send(&self, payload: &[u8]) -> io::Result<()> {
        self.used.set(Instant::now());
        // Not by way of the event loop, which does not know yet that a new socket can be written to.
        rustix::net::send(&self.socket, payload, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
        self.listed.sent(payload.len());
        Ok(())
    }

    fn ends_at(&self) -> Instant {
        self.used.get() + if self.answered.get() { IDLE_LIMIT } else { UNANSWERED_LIMIT }
    }
}

/// Passes on what comes back, until nothing has come or gone for long enough.
async fn receive(engine: Rc<Engine>, flow: Rc<UdpFlow>) {
    loop {
        tokio::select! {
            ready = host_socket::heard(&flow.socket) => {
                if ready.is_err() {
                    break;
                }
                for _ in 0..BATCH {
                    if !receive_one(&engine, &flow) {
                        break;
                    }
                }
                tokio::task::yield_now().await;
            }
            () = tokio::time::sleep_until(flow.ends_at()) => {
                if flow.ends_at() <= Instant::now() {
                    break;
                }
            }
        }
    }
    engine.udp.borrow_mut().flows.remove(&flow.key);
}

/// Passes one datagram on. False if there was none.
fn receive_one(engine: &Engine, flow: &UdpFlow) -> bool {
    let mut scratch = engine.scratch.borrow_mut();
    let received = match host_socket::error(&flow.socket) {
        Some(error) => Err(error),
        None => flow.socket.try_recv(&mut scratch),
    };
    let outbox = &mut engine.wire.borrow_mut().outbox;
    match received {
        Ok(length) => {
            flow.used.set(Instant::now());
            flow.answered.set(true);
            flow.listed.set_state(ConnectionState::Open);
            if outbox.is_full() {
                outbox.drop_one();
            } else {
                flow.listed.received(length);
                answer::datagram(outbox, flow.key.to, flow.key.port, &scratch[..length]);
            }
            true
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => {
            if let Some(why) = reason(&error) {
                answer::unreachable(outbox, &sent_datagram(flow.key.port, flow.key.to), why);
            }
            true
        }
    }
}
