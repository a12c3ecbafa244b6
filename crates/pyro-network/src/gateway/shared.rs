//! What the gateway's thread and its callers both see: counters, connections, published ports.
//!
//! Nothing here waits for the other side longer than it takes to copy a table.

use crate::guard::Guard;
use crate::plan;
use crate::status::{
    Addresses, ConnectionKind, ConnectionState, ConnectionStatus, MAX_LISTED, NetworkCounters, NetworkStatus,
    PublishedPort,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// See the module.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) guard: Arc<Guard>,
    pub(super) tally: Tally,
    /// Told when the policy has changed.
    pub(super) policy_changed: Notify,
    connections: Mutex<Connections>,
    /// Ports of the host, and the guest's that they lead to.
    published: Mutex<BTreeMap<u16, u16>>,
}

/// See [`NetworkCounters`].
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) frames_in: AtomicU64,
    pub(super) frames_out: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    pub(super) dropped_frames: AtomicU64,
    pub(super) tcp_opened: AtomicU64,
    pub(super) tcp_refused: AtomicU64,
    pub(super) udp_flows: AtomicU64,
    pub(super) dns_queries: AtomicU64,
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// The connections by number, oldest first.
#[derive(Debug, Default)]
struct Connections {
    next: u64,
    live: BTreeMap<u64, Arc<Connection>>,
}

/// A connection as it is shown.
#[derive(Debug)]
pub(super) struct Connection {
    kind: ConnectionKind,
    peer: SocketAddr,
    name: Option<String>,
    /// Which published port it came by.
    published: Option<u16>,
    since: Instant,
    state: AtomicU8,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Shared {
    pub(super) fn new(guard: Arc<Guard>) -> Arc<Self> {
        Arc::new(Self {
            guard,
            tally: Tally::default(),
            policy_changed: Notify::new(),
            connections: Mutex::default(),
            published: Mutex::default(),
        })
    }

    /// Lists a connection until the answer is dropped.
    pub(super) fn list(self: &Arc<Self>, connection: Connection) -> Listed {
        let connection = Arc::new(connection);
        let mut connections = lock(&self.connections);
        let number = connections.next;
        connections.next += 1;
        connections.live.insert(number, connection.clone());
        Listed { number, connection, shared: self.clone() }
    }

    pub(super) fn publish(&self, host_port: u16, guest_port: u16) {
        lock(&self.published).insert(host_port, guest_port);
    }

    pub(super) fn unpublish(&self, host_port: u16) {
        lock(&self.published).remove(&host_port);
    }

    pub(super) fn status(&self) -> NetworkStatus {
        let (all, connection_count) = {
            let connections = lock(&self.connections);
            let newest = connections.live.values().rev().take(MAX_LISTED).cloned().collect::<Vec<_>>();
            (newest, connections.live.len())
        };
        NetworkStatus {
            guest: Addresses::GUEST,
            gateway: Addresses::GATEWAY,
            dns: vec![IpAddr::V4(plan::GATEWAY_V4), IpAddr::V6(plan::GATEWAY_V6)],
            mtu: plan::MTU,
            connections: all.iter().map(|connection| connection.status()).collect(),
            connection_count,
            published: self.published(),
            counters: self.counters(),
        }
    }

    fn published(&self) -> Vec<PublishedPort> {
        let ports = lock(&self.published).clone();
        let mut used = BTreeMap::<u16, usize>::new();
        if !ports.is_empty() {
            let connections = lock(&self.connections);
            for port in connections.live.values().filter_map(|connection| connection.published) {
                *used.entry(port).or_default() += 1;
            }
        }
        ports
            .into_iter()
            .map(|(host_port, guest_port)| PublishedPort {
                host_port,
                guest_port,
                connections: used.get(&host_port).copied().unwrap_or(0),
            })
            .collect()
    }

    fn counters(&self) -> NetworkCounters {
        let tally = &self.tally;
        NetworkCounters {
            frames_in: tally.frames_in.load(Relaxed),
            frames_out: tally.frames_out.load(Relaxed),
            bytes_in: tally.bytes_in.load(Relaxed),
            bytes_out: tally.bytes_out.load(Relaxed),
            dropped_frames: tally.dropped_frames.load(Relaxed),
            tcp_opened: tally.tcp_opened.load(Relaxed),
            tcp_refused: tally.tcp_refused.load(Relaxed),
            udp_flows: tally.udp_flows.load(Relaxed),
            dns_queries: tally.dns_queries.load(Relaxed),
            denials: self.guard.denials().count(),
        }
    }
}

impl Connection {
    pub(super) fn new(kind: ConnectionKind, peer: SocketAddr, name: Option<String>) -> Self {
        Self {
            kind,
            peer,
            name,
            published: None,
            since: Instant::now(),
            state: AtomicU8::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        }
    }

    pub(super) fn published_as(self, host_port: u16) -> Self {
        Self { published: Some(host_port), ..self }
    }

    fn status(&self) -> ConnectionStatus {
        ConnectionStatus {
            kind: self.kind,
            address: self.peer.ip(),
            port: self.peer.port(),
            name: self.name.clone(),
            state: match self.state.load(Relaxed) {
                0 => ConnectionState::Connecting,
                1 => ConnectionState::Open,
                _ => ConnectionState::Closing,
            },
            sent_bytes: self.sent.load(Relaxed),
            received_bytes: self.received.load(Relaxed),
            seconds: self.since.elapsed().as_secs_f64(),
        }
    }
}

/// A connection that is listed as long as this lives.
#[derive(Debug)]
pub(super) struct Listed {
    number: u64,
    connection: Arc<Connection>,
    shared: Arc<Shared>,
}

impl Listed {
    /// Unique in this gateway.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn set_state(&self, state: ConnectionState) {
        let value = match state {
            ConnectionState::Connecting => 0,
            ConnectionState::Open => 1,
            ConnectionState::Closing => 2,
        };
        self.connection.state.store(value, Relaxed);
    }

    /// The guest sent so many bytes.
    pub(super) fn sent(&self, bytes: usize) {
        self.connection.sent.fetch_add(bytes as u64, Relaxed);
    }

    /// The guest got so many bytes.
    pub(super) fn received(&self, bytes: usize) {
        self.connection.received.fetch_add(bytes as u64, Relaxed);
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        lock(&self.shared.connections).live.remove(&self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
