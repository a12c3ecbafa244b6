//! What can be told of a gateway at one moment.

use crate::plan;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// As many connections are listed; the newest of them.
pub const MAX_LISTED: usize = 100;

/// A gateway at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NetworkStatus {
    /// The guest's addresses.
    pub guest: Addresses,
    /// The gateway's.
    pub gateway: Addresses,
    /// Whom the guest asks for names.
    pub dns: Vec<IpAddr>,
    /// The longest IP packet, in bytes.
    pub mtu: u16,
    /// The newest connections, at most 100.
    pub connections: Vec<ConnectionStatus>,
    /// How many there are.
    pub connection_count: usize,
    /// The ports of the guest that the host's 127.0.0.1 leads to.
    pub published: Vec<PublishedPort>,
    /// What has gone through since the gateway was started.
    pub counters: NetworkCounters,
}

/// The addresses of one end of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Addresses {
    /// IPv4.
    pub v4: Ipv4Addr,
    /// How many of its bits name the link.
    pub v4_prefix_len: u8,
    /// IPv6.
    pub v6: Ipv6Addr,
    /// How many of its bits name the link.
    pub v6_prefix_len: u8,
}

impl Addresses {
    /// The guest's.
    pub const GUEST: Self = Self::new(plan::GUEST_V4, plan::GUEST_V6);
    /// The gateway's.
    pub const GATEWAY: Self = Self::new(plan::GATEWAY_V4, plan::GATEWAY_V6);

    const fn new(v4: Ipv4Addr, v6: Ipv6Addr) -> Self {
        Self { v4, v4_prefix_len: plan::PREFIX_LEN_V4, v6, v6_prefix_len: plan::PREFIX_LEN_V6 }
    }
}

/// What kind of connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ConnectionKind {
    /// From the guest, TCP.
    Tcp,
    /// From the guest, UDP to one address and port.
    Udp,
    /// From the host to a published port.
    Published,
}

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// Asked for, not answered yet.
    Connecting,
    /// In use.
    Open,
    /// One side, or both, has said its last.
    Closing,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConnectionStatus {
    /// What kind.
    pub kind: ConnectionKind,
    /// Whom the guest talks to; of a published port, who connected to it.
    pub address: IpAddr,
    /// The port of that.
    pub port: u16,
    /// The name that the guest had looked up for it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it stands.
    pub state: ConnectionState,
    /// Bytes that the guest sent.
    pub sent_bytes: u64,
    /// Bytes that it got.
    pub received_bytes: u64,
    /// How long there has been such a connection.
    pub seconds: f64,
}

/// A port of the guest that a port of the host leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PublishedPort {
    /// Of 127.0.0.1.
    pub host_port: u16,
    /// Of the guest.
    pub guest_port: u16,
    /// Connections at this moment.
    pub connections: usize,
}

/// What has gone through a gateway. Bytes are those of frames; `in` is from the guest, `out` is to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NetworkCounters {
    /// Frames from the guest.
    pub frames_in: u64,
    /// Frames to the guest.
    pub frames_out: u64,
    /// Bytes from the guest.
    pub bytes_in: u64,
    /// Bytes to the guest.
    pub bytes_out: u64,
    /// Frames that were malformed, from or for somebody else, of no use, or too many, in either direction.
    pub dropped_frames: u64,
    /// TCP connections that were made.
    pub tcp_opened: u64,
    /// Those that were not: denied, refused, unreachable, too many.
    pub tcp_refused: u64,
    /// UDP flows: a port of the guest and a destination.
    pub udp_flows: u64,
    /// DNS queries.
    pub dns_queries: u64,
    /// What the policy refused; repetitions within a second are counted once.
    pub denials: u64,
}
