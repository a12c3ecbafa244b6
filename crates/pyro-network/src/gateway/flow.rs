//! The TCP connections with the guest, by who talks to whom, and how much memory they may use.

use super::link::Segment;
use super::shared::Listed;
use super::wire::{Endpoint, Wire};
use crate::host_name::HostName;
use crate::plan;
use smoltcp::socket::tcp;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

/// As many connections at a time.
pub(super) const MAX_FLOWS: usize = 4096;

/// How large each of the two buffers of a new connection is, by how many there are.
///
/// A larger one is only given while there are few, so of 4096 connections at most 32 have 256 KiB, at most 256 have
/// 64 KiB or more, at most 1024 have 16 KiB or more. The worst case is (32 * 256 + 224 * 64 + 768 * 16 + 3072 * 8)
/// KiB, twice: 116 MiB, besides about 2 KiB for each connection. Under an allowlist of names, [`MAX_SAID`] for each
/// comes to that, 16 MiB, and what inspectors hold back, 64 MiB (`tcp.rs`); also the names that each is judged by, at
/// most 16 of 253 bytes, which are 4 KiB for each.
pub(super) fn buffer_bytes(flows: usize) -> usize {
    match flows {
        0..32 => 256 * 1024,
        32..256 => 64 * 1024,
        256..1024 => 16 * 1024,
        _ => 8 * 1024,
    }
}

/// How much of what the guest said first is kept, to be judged again when the policy changes.
const MAX_SAID: usize = 4 * 1024;

/// Who talks to whom. The guest has one address of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FlowKey {
    /// The guest's port.
    pub(super) port: u16,
    /// The other side, as the guest sees it.
    pub(super) peer: SocketAddr,
}

/// How a connection came to be, and so what a change of the policy means for it.
pub(super) enum Origin {
    /// To the gateway's own service, which is always allowed.
    Service,
    /// From a published port of the host.
    Published(u16),
    /// To a destination that the guard allowed.
    Outside {
        to: SocketAddr,
        /// What the guest said first, where that decided.
        said: Option<Said>,
        /// The names by which the destination was allowed when it began. They count as long as it lasts.
        known: Arc<[HostName]>,
    },
}

/// The beginning of what the guest said.
#[derive(Debug, Clone, Default)]
pub(super) struct Said {
    pub(super) bytes: Vec<u8>,
    /// There was more than is kept.
    pub(super) is_cut: bool,
}

impl Said {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let room = MAX_SAID - self.bytes.len();
        self.is_cut |= bytes.len() > room;
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// One connection: what the task that runs it and the frames that come for it both need.
pub(super) struct Flow {
    pub(super) listed: Listed,
    pub(super) origin: Origin,
    /// None until the other side is known to be there.
    pub(super) endpoint: Option<Endpoint>,
    /// Set when the connection must end at once.
    pub(super) cancelled: bool,
    /// The task that runs it.
    pub(super) waker: Option<Waker>,
}

impl Flow {
    pub(super) fn new(listed: Listed, origin: Origin) -> Self {
        Self { listed, origin, endpoint: None, cancelled: false, waker: None }
    }

    /// The socket towards the guest, once there is one.
    pub(super) fn socket(&mut self) -> Option<&mut tcp::Socket<'static>> {
        self.endpoint.as_mut().map(Endpoint::socket)
    }

    /// Takes a segment. Without an endpoint it is a repetition of the first, which will be answered in time.
    pub(super) fn take(&mut self, wire: &mut Wire, segment: &Segment<'_>) {
        if let Some(endpoint) = &mut self.endpoint {
            endpoint.take(wire, segment.packet);
            self.wake();
        }
    }

    /// Ends it at once.
    pub(super) fn cancel(&mut self) {
        self.cancelled = true;
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A connection, shared by its task and the table.
pub(super) type SharedFlow = Rc<RefCell<Flow>>;

/// All connections.
#[derive(Default)]
pub(super) struct Flows {
    flows: HashMap<FlowKey, SharedFlow>,
    last_ephemeral: u16,
}

/// What became of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It belonged to a connection.
    Done,
    /// It asks for one.
    Opening,
    /// It belongs to none.
    Stray,
}

impl Flows {
    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether there may be one more.
    pub(super) fn has_room(&self) -> bool {
        self.flows.len() < MAX_FLOWS
    }

    pub(super) fn take(&self, wire: &mut Wire, segment: &Segment<'_>) -> Taken {
        match self.flows.get(&FlowKey { port: segment.port, peer: segment.to }) {
            Some(flow) => {
                flow.borrow_mut().take(wire, segment);
                Taken::Done
            }
            None if segment.is_opening => Taken::Opening,
            None => Taken::Stray,
        }
    }

    pub(super) fn get(&self, key: &FlowKey) -> Option<SharedFlow> {
        self.flows.get(key).cloned()
    }

    pub(super) fn add(&mut self, key: FlowKey, flow: Flow) -> SharedFlow {
        let flow = Rc::new(RefCell::new(flow));
        self.flows.insert(key, flow.clone());
        flow
    }

    pub(super) fn remove(&mut self, key: &FlowKey) {
        self.flows.remove(key);
        if self.flows.len() < self.flows.capacity() / 8 {
            self.flows.shrink_to(self.flows.len() * 2);
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &SharedFlow> {
        self.flows.values()
    }

    /// A port of the gateway's that no connection to a port of the guest uses, from the range of
    /// [RFC 6335](https://www.rfc-editor.org/rfc/rfc6335#section-6). Not one that was used a moment ago, for which
    /// the guest may still have a memory.
    pub(super) fn ephemeral(&mut self, guest_port: u16, gateway: IpAddr) -> Option<FlowKey> {
        const FIRST: u16 = 49152;
        for _ in FIRST..=u16::MAX {
            self.last_ephemeral = self.last_ephemeral.wrapping_add(1).max(FIRST);
            let key = FlowKey { port: guest_port, peer: SocketAddr::new(gateway, self.last_ephemeral) };
            if !self.flows.contains_key(&key) {
                return Some(key);
            }
        }
        None
    }
}

/// Whether a destination is the gateway's own DNS service.
pub(super) fn is_dns(to: SocketAddr) -> bool {
    plan::is_gateway(to.ip()) && to.port() == plan::DNS_PORT
}
