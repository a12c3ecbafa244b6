//! The gateway: the user-space end of one guest's network device.
//!
//! ```text
//! frames     length-prefixed frames in a byte stream          ┐
//! link       is it the guest's, what is it; ARP, NDP          │ no sockets: whatever the guest sends is decided here,
//! answer     resets, ICMP, echoes, datagrams to the guest     │ and a fuzzer can drive it
//! wire       TCP towards the guest (smoltcp)                  │
//! flow       the table of connections                         ┘
//! engine     what the thread knows; one frame, and what follows
//! tcp        a connection is asked for: may it, is anybody there
//! driver     keeps one connection with the guest going        relay, dns, publish use it
//! relay      bytes between guest and outside
//! udp, ping, dns, publish; descriptors: how many sockets of the host they may have
//! thread     the loop; shared: what callers see
//! ```
//!
//! One guest, one gateway, one thread with an event loop of its own, so that a guest's traffic never delays whoever
//! started it. It wakes when a frame, a socket, an order or a time that is due wakes it, and never otherwise.
//!
//! Nothing of the host is reachable that the guard has not allowed: every address that is connected to is one that the
//! guard was asked about, and the gateway's own address leads to the host's loopback only where a rule says so.
//!
//! Memory is bounded whatever the guest does: about 1.5 MiB of frames to the guest, 320 KiB of frames from it, 116
//! MiB of TCP and under an allowlist of names up to 96 MiB more (`flow.rs` has the arithmetic), 1024 UDP sockets and
//! 64 pings without buffers that outlast a packet. Each connection costs a descriptor, of which a guest gets a share
//! only (`descriptors.rs`): with the usual limit of 1024, somewhat less than 500.

mod answer;
mod descriptors;
mod dns;
mod driver;
mod engine;
mod flow;
mod frames;
mod host_socket;
mod link;
mod ping;
mod publish;
mod rehearsal;
mod relay;
mod shared;
mod tcp;
mod thread;
mod udp;
mod wire;

pub use ping::can_ping;
pub use publish::{PublishError, Published};
pub use rehearsal::{Rehearsal, hostile_input};

use crate::guard::Guard;
use crate::policy::Policy;
use crate::status::NetworkStatus;
use shared::Shared;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use thread::{Beginning, Order};
use tokio::sync::{mpsc, oneshot, watch};

/// As many orders wait for the thread.
const MAX_ORDERS: usize = 16;

/// A running gateway. Dropping it ends its thread, and every connection, within a moment.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    /// Its other half is the thread's, and never sends anything.
    ended: watch::Receiver<()>,
}

impl Gateway {
    /// Takes the other end of the stream that QEMU was given with `-netdev stream,addr.type=fd`. The thread begins its
    /// work as soon as it can; this does not wait for it.
    ///
    /// # Errors
    /// When no event loop or no thread can be made, as without descriptors.
    pub fn start(device: UnixStream, guard: Arc<Guard>) -> io::Result<Self> {
        let shared = Shared::new(guard);
        let (orders, orders_from) = mpsc::channel(MAX_ORDERS);
        let (alive, ended) = watch::channel(());
        let beginning = Beginning::new(device, shared.clone())?;
        std::thread::Builder::new().name("pyro-network".into()).spawn(move || {
            thread::run(beginning, orders_from);
            drop(alive);
        })?;
        Ok(Self { shared, orders, ended })
    }

    /// The policy in force, and what it has refused.
    pub fn guard(&self) -> &Arc<Guard> {
        &self.shared.guard
    }

    /// Puts another policy in force, and resets at once the connections that it does not allow. A connection that was
    /// made when every name was allowed is reset if now only names decide, since nobody knows which one it was for.
    pub fn set_policy(&self, policy: Policy) {
        self.guard().set_policy(policy);
        self.shared.policy_changed.notify_one();
    }

    /// How things are at this moment.
    pub fn status(&self) -> NetworkStatus {
        self.shared.status()
    }

    /// Makes a port of the guest reachable by a port of the host's 127.0.0.1, 0 for any that is free. Whether anybody
    /// listens in the guest is not asked: it may begin to later.
    ///
    /// # Errors
    /// When the port of the host cannot be listened on, is published already, or the network has ended.
    pub async fn publish(&self, host_port: u16, guest_port: u16) -> Result<Published, PublishError> {
        let (reply, answer) = oneshot::channel();
        let order = Order::Publish { host_port, guest_port, reply };
        self.orders.send(order).await.map_err(|_| PublishError::Ended)?;
        answer.await.map_err(|_| PublishError::Ended)?
    }

    /// Takes that back, and resets the connections that came by it. False if the port was not published.
    pub async fn unpublish(&self, host_port: u16) -> bool {
        let (reply, answer) = oneshot::channel();
        let sent = self.orders.send(Order::Unpublish { host_port, reply }).await;
        sent.is_ok() && answer.await.unwrap_or(false)
    }

    /// Whether the network has ended, for whatever reason: the guest is connected with nothing any more. What
    /// [`Gateway::status`] gives is then how things were.
    pub fn is_ended(&self) -> bool {
        self.ended.has_changed().is_err()
    }

    /// Waits until the device has hung up, or has sent what no device sends.
    pub async fn ended(&self) {
        let _ = self.ended.clone().changed().await; // there is never a change, only the end
    }
}
