//! The gateway's TCP towards the guest: smoltcp, with one interface for all connections and one socket set for each.
//!
//! smoltcp looks through all sockets of a set for each packet. With a set for each connection, found by a table, what a
//! packet costs does not grow with the number of connections. The interface has no state of a connection and is shared.
//! Nothing here touches a socket of the host.

use super::frames::{EtherType, Outbox};
use super::shared::Shared;
use crate::plan;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What all connections share.
pub(super) struct Wire {
    interface: Interface,
    pub(super) outbox: Outbox,
    started: std::time::Instant,
}

impl Wire {
    /// `seed` decides the first sequence numbers.
    pub(super) fn new(shared: Arc<Shared>, seed: u64) -> Self {
        let mut outbox = Outbox::new(shared);
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut port = Port { packet: None, kind: EtherType::Ipv4, outbox: &mut outbox };
        let mut interface = Interface::new(config, &mut port, Instant::ZERO);
        interface.set_any_ip(true); // every address that the guest connects to is played by the gateway
        interface.update_ip_addrs(|addresses| {
            let v4 = IpCidr::new(plan::GATEWAY_V4.into(), plan::PREFIX_LEN_V4);
            let v6 = IpCidr::new(plan::GATEWAY_V6.into(), plan::PREFIX_LEN_V6);
            let _ = addresses.push(v4).and_then(|()| addresses.push(v6)); // there is room for two
        });
        Self { interface, outbox, started: std::time::Instant::now() }
    }

    fn now(&self) -> Instant {
        Instant::from_micros(i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX))
    }
}

/// Nothing can be connected there, as to port 0.
#[derive(Debug, thiserror::Error)]
#[error("not an address and port that can be connected to")]
pub(super) struct Unaddressable;

/// The gateway's end of one connection with the guest.
pub(super) struct Endpoint {
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    kind: EtherType,
}

impl Endpoint {
    fn new(peer: SocketAddr, buffer_bytes: usize) -> Self {
        let buffer = || tcp::SocketBuffer::new(vec![0; buffer_bytes]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None); // several packets of one reading are acknowledged together as it is
        socket.set_keep_alive(Some(KEEP_ALIVE.into()));
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        let kind = if peer.is_ipv4() { EtherType::Ipv4 } else { EtherType::Ipv6 };
        Self { sockets, handle, kind }
    }

    /// Ready for the guest's SYN to an address and a port.
    pub(super) fn listening(at: SocketAddr, buffer_bytes: usize) -> Result<Self, Unaddressable> {
        let mut endpoint = Self::new(at, buffer_bytes);
        endpoint.socket().listen(at).map_err(|_| Unaddressable)?;
        Ok(endpoint)
    }

    /// About to send a SYN to the guest.
    pub(super) fn connecting(
        wire: &mut Wire,
        from: SocketAddr,
        to: SocketAddr,
        buffer_bytes: usize,
    ) -> Result<Self, Unaddressable> {
        let mut endpoint = Self::new(to, buffer_bytes);
        endpoint.socket().connect(wire.interface.context(), to, from).map_err(|_| Unaddressable)?;
        Ok(endpoint)
    }

    pub(super) fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// Takes an IP packet of this connection. What follows from it is sent by [`Endpoint::send`].
    pub(super) fn take(&mut self, wire: &mut Wire, packet: &[u8]) {
        let now = wire.now();
        let mut port = Port { packet: Some(packet), kind: self.kind, outbox: &mut wire.outbox };
        wire.interface.poll_ingress_single(now, &mut port, &mut self.sockets);
    }

    /// Sends what can be sent. False if there was more, and no room for it.
    pub(super) fn send(&mut self, wire: &mut Wire) -> bool {
        let now = wire.now();
        let mut port = Port { packet: None, kind: self.kind, outbox: &mut wire.outbox };
        while wire.interface.poll_egress(now, &mut port, &mut self.sockets)
            == smoltcp::iface::PollResult::SocketStateChanged
        {}
        !port.outbox.is_full()
    }

    /// After how long there is something to send though nothing happened: a repetition, a question whether the guest is
    /// there. None: never.
    pub(super) fn next_after(&mut self, wire: &mut Wire) -> Option<Duration> {
        let now = wire.now();
        wire.interface.poll_delay(now, &self.sockets).map(Into::into)
    }
}

/// How long a connection is idle before the guest is asked whether it still knows of it, as after it was reset. A guest
/// that cannot answer loses nothing: it may be paused for days.
const KEEP_ALIVE: Duration = Duration::from_secs(2 * 60 * 60);

/// One packet in, and any number out.
struct Port<'a> {
    packet: Option<&'a [u8]>,
    kind: EtherType,
    outbox: &'a mut Outbox,
}

struct Rx<'a>(&'a [u8]);

struct Tx<'a> {
    kind: EtherType,
    outbox: &'a mut Outbox,
}

impl Device for Port<'_> {
    type RxToken<'t>
        = Rx<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Tx<'t>
    where
        Self: 't;

    fn receive(&mut self, _now: Instant) -> Option<(Rx<'_>, Tx<'_>)> {
        let packet = self.packet.take()?;
        Some((Rx(packet), Tx { kind: self.kind, outbox: self.outbox }))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Tx<'_>> {
        (!self.outbox.is_full()).then_some(Tx { kind: self.kind, outbox: self.outbox })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default(); // checksums are verified and computed
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = plan::MTU.into();
        capabilities
    }
}

impl RxToken for Rx<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, look: F) -> R {
        look(self.0)
    }
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        self.outbox.packet(self.kind, len, fill)
    }
}
