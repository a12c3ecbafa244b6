//! What the gateway's thread knows, and what it does with a frame.

use super::answer::{self, Unreachable};
use super::descriptors::{Descriptor, Descriptors};
use super::flow::{Flows, Origin, SharedFlow, Taken};
use super::link::{self, Incoming};
use super::publish::Listening;
use super::shared::{Shared, count};
use super::udp::UdpFlows;
use super::wire::Wire;
use super::{dns, ping, tcp, udp};
use crate::denial::DenialKind;
use crate::guard::{Access, Guard};
use crate::host_name::HostName;
use crate::policy::Verdict;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// That something is over a limit is told so often for each kind at most: whoever does too much does it fast.
const TOLD_AGAIN: Duration = Duration::from_secs(1);

/// See the module. Borrowed for a moment only, never across an await.
pub(super) struct Engine {
    pub(super) shared: Arc<Shared>,
    pub(super) wire: RefCell<Wire>,
    pub(super) flows: RefCell<Flows>,
    pub(super) udp: RefCell<UdpFlows>,
    /// Ports of the host that are listened on.
    pub(super) listeners: RefCell<HashMap<u16, Listening>>,
    /// The number of the next of them.
    pub(super) next_listener: Cell<u64>,
    /// Sockets that it may hold.
    descriptors: Descriptors,
    /// When it was last told that something is over a limit.
    told: RefCell<HashMap<DenialKind, Instant>>,
    /// What is going on at this moment and is bounded.
    pub(super) dns_queries: Places,
    pub(super) dns_connections: Places,
    pub(super) pings: Places,
    pub(super) inspections: Places,
    /// Where datagrams are read to.
    pub(super) scratch: RefCell<Vec<u8>>,
}

impl Engine {
    pub(super) fn new(shared: Arc<Shared>, seed: u64, descriptors: Descriptors) -> Rc<Self> {
        Rc::new(Self {
            wire: RefCell::new(Wire::new(shared.clone(), seed)),
            shared,
            flows: RefCell::default(),
            udp: RefCell::default(),
            listeners: RefCell::default(),
            next_listener: Cell::default(),
            descriptors,
            told: RefCell::default(),
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

    /// How many sockets of the host there may be.
    pub(super) fn max_sockets(&self) -> usize {
        self.descriptors.limit()
    }

    /// The right to one more socket of the host. None: there are too many, and that has been told.
    pub(super) fn descriptor(
        &self,
        kind: DenialKind,
        address: IpAddr,
        port: Option<u16>,
    ) -> Option<Descriptor> {
        let taken = self.descriptors.take();
        if taken.is_none() {
            let hint = format!(
                "at most {} sockets of the host at a time, as its limit of open files has it: close some first, or \
                 raise that limit (`ulimit -n`)",
                self.max_sockets()
            );
            self.too_many(kind, address, port, hint);
        }
        taken
    }

    /// Tells that something was refused because there may be so many at a time.
    pub(super) fn over_limit(&self, kind: DenialKind, to: SocketAddr, most: usize, what: &str) {
        self.too_many(
            kind,
            to.ip(),
            Some(to.port()),
            format!("at most {most} {what} at a time: close some first"),
        );
    }

    pub(super) fn too_many(&self, kind: DenialKind, address: IpAddr, port: Option<u16>, hint: String) {
        let now = Instant::now();
        let mut told = self.told.borrow_mut();
        if told.get(&kind).is_some_and(|told| now.duration_since(*told) < TOLD_AGAIN) {
            return;
        }
        told.insert(kind, now);
        let names = self.guard().names_of(address);
        let verdict = Verdict::denied("too many connections", hint).about(names.first());
        self.guard().log(kind, &verdict, Some(address), port);
    }

    /// Ends, at once, what the policy no longer allows, and tells it.
    pub(super) fn judge_again(&self) {
        let flows = self.flows.borrow().all().cloned().collect::<Vec<_>>();
        for flow in flows {
            if !self.may_go_on(&flow) {
                flow.borrow_mut().cancel();
            }
        }
        self.udp.borrow_mut().retain(|to, known| {
            self.guard().check_knowing(DenialKind::Udp, to.ip(), Some(to.port()), known) == Access::Allowed
        });
    }

    fn may_go_on(&self, flow: &SharedFlow) -> bool {
        let (to, said, known) = match &flow.borrow().origin {
            Origin::Service | Origin::Published(_) => return true,
            Origin::Outside { to, said, known } => (*to, said.clone(), known.clone()),
        };
        match self.guard().check_knowing(DenialKind::Tcp, to.ip(), Some(to.port()), &known) {
            Access::Allowed => return true,
            Access::Denied => return false,
            Access::IfNamed => (),
        }
        // What nobody listened to when it was said cannot be judged now.
        let may_go_on = said.map(|said| self.was_allowed_to_say(to, known, said.bytes, said.is_cut));
        if let None | Some(Said::Unclear) = may_go_on {
            let hint = format!("connect again, or allow the address whatever is said: `--allow {to}`");
            let verdict = Verdict::denied("which name it is for is not known", hint);
            self.guard().log(DenialKind::Tcp, &verdict, Some(to.ip()), Some(to.port()));
        }
        may_go_on == Some(Said::Allowed)
    }

    /// Whether what a guest has said may still be said. If all that is known of it leaves that open, the inspector that
    /// listens will decide, unless it has stopped listening.
    fn was_allowed_to_say(
        &self,
        to: SocketAddr,
        known: Arc<[HostName]>,
        bytes: Vec<u8>,
        is_cut: bool,
    ) -> Said {
        let mut inspector = self.guard().inspector_knowing(to, known);
        match inspector.pass(bytes) {
            Err(_) => Said::Denied,
            Ok(_) if inspector.is_done() || !is_cut => Said::Allowed,
            Ok(_) => Said::Unclear,
        }
    }
}

/// What the policy says to what a guest has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Allowed,
    /// That has been told.
    Denied,
    Unclear,
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

#[cfg(test)]
mod tests {
    use super::super::flow::{self, Flow, FlowKey};
    use super::super::shared::Connection;
    use super::*;
    use crate::guard::Upstream;
    use crate::policy::Policy;
    use crate::status::ConnectionKind;

    const TO: &str = "203.0.113.5:80";

    fn engine() -> Rc<Engine> {
        let policy = Policy::parse(&["a.org"]).unwrap();
        let guard = Guard::with_upstream(policy, Upstream::from(Vec::new()));
        guard.resolved(&HostName::parse("a.org").unwrap(), &[("203.0.113.5".parse().unwrap(), 60)]);
        Engine::new(Shared::new(guard), 0, Descriptors::reserve())
    }

    /// A connection on which the guest has said something.
    fn add(engine: &Engine, port: u16, said: &[u8]) -> SharedFlow {
        let to = TO.parse().unwrap();
        let mut beginning = flow::Said::default();
        beginning.add(said);
        let known = engine.guard().known_names(to);
        let listed = engine.shared.list(Connection::new(ConnectionKind::Tcp, to, None));
        let flow = Flow::new(listed, Origin::Outside { to, said: Some(beginning), known });
        engine.flows.borrow_mut().add(FlowKey { port, peer: to }, flow)
    }

    #[test]
    fn a_connection_outlives_what_is_known_of_its_name_and_the_end_of_it_is_told() {
        let engine = engine();
        let flow = add(&engine, 1, b"GET / HTTP/1.1\r\nHost: a.org\r\n\r\n");
        engine.guard().forget_names();
        engine.guard().set_policy(Policy::parse(&["a.org", "b.org"]).unwrap());
        engine.judge_again();
        assert!(!flow.borrow().cancelled && engine.guard().denials().since(0).is_empty());
        assert_eq!(
            engine.guard().judge(DenialKind::Tcp, "203.0.113.5".parse().unwrap(), Some(80)),
            Access::Denied
        );
        engine.guard().set_policy(Policy::parse(&["b.org"]).unwrap());
        engine.judge_again();
        assert!(flow.borrow().cancelled);
        let denials = engine.guard().denials().since(0);
        assert_eq!((denials.len(), denials[0].name.as_deref()), (1, Some("a.org")));
    }

    #[test]
    fn a_connection_of_which_it_is_not_known_what_was_said_ends_and_that_is_told() {
        let engine = engine();
        let flow = add(&engine, 1, &[b"GET / HTTP/1.1\r\nX: "[..].to_vec(), vec![b'y'; 8000]].concat());
        engine.judge_again();
        assert!(flow.borrow().cancelled);
        assert_eq!(engine.guard().denials().since(0)[0].rule, "which name it is for is not known");
    }

    #[test]
    fn that_there_are_too_many_is_told_once_a_second() {
        let engine = engine();
        for port in 1..100 {
            engine.over_limit(DenialKind::Tcp, ([203, 0, 113, 5], port).into(), 7, "connections");
            engine.over_limit(DenialKind::Udp, ([203, 0, 113, 5], port).into(), 7, "connections");
        }
        let denials = engine.guard().denials().since(0);
        assert_eq!(denials.len(), 2);
        assert_eq!((denials[0].rule.as_str(), denials[0].port), ("too many connections", Some(1)));
        assert_eq!(denials[0].hint, "at most 7 connections at a time: close some first");
    }
}
