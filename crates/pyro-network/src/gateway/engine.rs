//! What the gateway's thread knows, and what it does with a frame.

use super::answer::{self, Unreachable};
use super::flow::{Flows, Origin, SharedFlow, Taken};
use super::link::{self, Incoming};
use super::shared::{Shared, count};
use super::udp::UdpFlows;
use super::wire::Wire;
use super::{dns, ping, tcp, udp};
use crate::denial::DenialKind;
use crate::guard::{Access, Guard};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use tokio::task::AbortHandle;

/// See the module. Borrowed for a moment only, never across an await.
pub(super) struct Engine {
    pub(super) shared: Arc<Shared>,
    pub(super) wire: RefCell<Wire>,
    pub(super) flows: RefCell<Flows>,
    pub(super) udp: RefCell<UdpFlows>,
    /// Ports of the host that are listened on.
    pub(super) listeners: RefCell<HashMap<u16, AbortHandle>>,
    /// What is going on at this moment and is bounded.
    pub(super) dns_queries: Places,
    pub(super) dns_connections: Places,
    pub(super) pings: Places,
    pub(super) inspections: Places,
    /// Where datagrams are read to.
    pub(super) scratch: RefCell<Vec<u8>>,
}

impl Engine {
    pub(super) fn new(shared: Arc<Shared>, seed: u64) -> Rc<Self> {
        Rc::new(Self {
            wire: RefCell::new(Wire::new(shared.clone(), seed)),
            shared,
            flows: RefCell::default(),
            udp: RefCell::default(),
            listeners: RefCell::default(),
            dns_queries: Places::new(dns::MAX_QUERIES),
            dns_connections: Places::new(dns::MAX_CONNECTIONS),
            pings: Places::new(ping::MAX_PINGS),
            inspections: Places::new(tcp::MAX_INSPECTED),
            scratch: RefCell::new(vec![0; udp::MAX_DATAGRAM]),
        })
    }

    pub(super) fn guard(&self) -> &Arc<Guard> {
        &self.shared.guard
    }

    /// A name that the guest had looked up and got this address for.
    pub(super) fn name_of(&self, to: SocketAddr) -> Option<String> {
        self.guard().names_of(to.ip()).first().map(ToString::to_string)
    }

    /// Takes a frame of the guest.
    pub(super) fn frame(self: &Rc<Self>, frame: &[u8]) {
        let incoming = link::take(frame, &mut self.wire.borrow_mut().outbox);
        match incoming {
            Incoming::Tcp(segment) => {
                let taken = self.flows.borrow().take(&mut self.wire.borrow_mut(), &segment);
                match taken {
                    Taken::Done => (),
                    Taken::Opening => tcp::open(self, &segment),
                    Taken::Stray => self.reset(segment.packet),
                }
            }
            Incoming::Udp(datagram) => udp::take(self, &datagram),
            Incoming::Echo(echo) => ping::take(self, &echo),
            Incoming::Unknown(packet) => self.unreachable(packet, Unreachable::Protocol),
            Incoming::Done => (),
            Incoming::Useless => self.dropped(),
        }
    }

    /// Answers a segment with a reset.
    pub(super) fn reset(&self, packet: &[u8]) {
        answer::reset(&mut self.wire.borrow_mut().outbox, packet);
    }

    /// Tells the guest that a packet of its own got nowhere.
    pub(super) fn unreachable(&self, packet: &[u8], why: Unreachable) {
        answer::unreachable(&mut self.wire.borrow_mut().outbox, packet, why);
    }

    /// Counts a packet that nothing became of.
    pub(super) fn dropped(&self) {
        count(&self.shared.tally.dropped_frames);
    }

    /// Ends, at once, what the policy no longer allows.
    pub(super) fn judge_again(&self) {
        let flows = self.flows.borrow().all().cloned().collect::<Vec<_>>();
        for flow in flows {
            if !self.may_go_on(&flow) {
                flow.borrow_mut().cancel();
            }
        }
        self.udp
            .borrow_mut()
            .retain(|to| self.guard().judge(DenialKind::Udp, to.ip(), Some(to.port())) == Access::Allowed);
    }

    fn may_go_on(&self, flow: &SharedFlow) -> bool {
        let (to, said) = match &flow.borrow().origin {
            Origin::Service | Origin::Published(_) => return true,
            Origin::Outside(to, said) => (*to, said.clone()),
        };
        match self.guard().judge(DenialKind::Tcp, to.ip(), Some(to.port())) {
            Access::Allowed => true,
            Access::Denied => false,
            // What nobody listened to when it was said cannot be judged now.
            Access::IfNamed => said.is_some_and(|said| self.was_allowed_to_say(to, said.bytes, said.is_cut)),
        }
    }

    /// Whether what a guest has said may still be said. If all that is known of it leaves that open, the inspector that
    /// listens will decide, unless it has stopped listening.
    fn was_allowed_to_say(&self, to: SocketAddr, bytes: Vec<u8>, is_cut: bool) -> bool {
        let mut inspector = self.guard().inspector(to);
        inspector.pass(bytes).is_ok() && (inspector.is_done() || !is_cut)
    }
}

/// A bounded number of places.
#[derive(Debug)]
pub(super) struct Places {
    free: Rc<Cell<usize>>,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place(Rc<Cell<usize>>);

impl Places {
    pub(super) fn new(places: usize) -> Self {
        Self { free: Rc::new(Cell::new(places)) }
    }

    /// One of them, if there is one.
    pub(super) fn take(&self) -> Option<Place> {
        self.free.set(self.free.get().checked_sub(1)?);
        Some(Place(self.free.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}
