//! A gateway without sockets, thread and clock of its own: what a fuzzer feeds.
//!
//! Everything that looks at bytes of the guest is the real thing. Where the real gateway would connect to somebody,
//! this one acts as if somebody had accepted, said what came, and closed.

use super::answer::{self, Unreachable};
use super::flow::{Flow, FlowKey, Flows, MAX_FLOWS, Origin, Taken, buffer_bytes};
use super::frames::FrameReader;
use super::link::{self, Incoming, Segment};
use super::shared::{Connection, Shared, count};
use super::wire::{Endpoint, Wire};
use crate::guard::Guard;
use crate::policy::Policy;
use crate::status::{ConnectionKind, NetworkStatus};
use std::sync::Arc;

/// See the module.
pub struct Rehearsal {
    shared: Arc<Shared>,
    frames: FrameReader,
    wire: Wire,
    flows: Flows,
}

impl Default for Rehearsal {
    fn default() -> Self {
        let shared = Shared::new(Guard::new(Policy::open()));
        Self {
            frames: FrameReader::new(),
            wire: Wire::new(shared.clone(), 0),
            flows: Flows::default(),
            shared,
        }
    }
}

impl Rehearsal {
    /// Takes bytes of the stream. False when the real gateway would hang up.
    pub fn stream(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let space = self.frames.space();
            let taken = space.len().min(bytes.len());
            space[..taken].copy_from_slice(&bytes[..taken]);
            self.frames.filled(taken);
            bytes = &bytes[taken..];
            loop {
                match self.frames.next(&self.shared) {
                    Ok(Some(frame)) => take(&self.shared, &mut self.wire, &mut self.flows, frame),
                    Ok(None) => break,
                    Err(_) => return false,
                }
            }
        }
        true
    }

    /// Takes one frame.
    pub fn frame(&mut self, frame: &[u8]) {
        take(&self.shared, &mut self.wire, &mut self.flows, frame);
    }

    /// What is for the guest: frames, each with its length before it.
    pub fn answers(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let bytes = self.wire.outbox.bytes();
            if bytes.is_empty() {
                return all;
            }
            all.extend_from_slice(bytes);
            let length = bytes.len();
            self.wire.outbox.wrote(length);
        }
    }

    /// As of a real one.
    pub fn status(&self) -> NetworkStatus {
        self.shared.status()
    }
}

/// Feeds arbitrary bytes as a stream of frames, and as one frame. It must neither panic nor grow.
pub fn hostile_input(bytes: &[u8]) {
    let mut rehearsal = Rehearsal::default();
    rehearsal.frame(bytes);
    rehearsal.stream(bytes);
    let _ = rehearsal.answers();
}

fn take(shared: &Arc<Shared>, wire: &mut Wire, flows: &mut Flows, frame: &[u8]) {
    match link::take(frame, &mut wire.outbox) {
        Incoming::Tcp(segment) => match flows.take(wire, &segment) {
            Taken::Done => converse(wire, flows, &segment),
            Taken::Opening if flows.len() < MAX_FLOWS => open(shared, wire, flows, &segment),
            Taken::Opening | Taken::Stray => answer::reset(&mut wire.outbox, segment.packet),
        },
        Incoming::Udp(datagram) => {
            answer::datagram(&mut wire.outbox, datagram.to, datagram.port, datagram.payload);
            answer::unreachable(&mut wire.outbox, datagram.packet, Unreachable::Prohibited);
        }
        Incoming::Echo(echo) => answer::echo(&mut wire.outbox, echo.to, echo.ident, echo.seq_no, echo.data),
        Incoming::Unknown(packet) => answer::unreachable(&mut wire.outbox, packet, Unreachable::Protocol),
        Incoming::Done => (),
        Incoming::Useless => count(&shared.tally.dropped_frames),
    }
}

fn open(shared: &Arc<Shared>, wire: &mut Wire, flows: &mut Flows, segment: &Segment<'_>) {
    let Ok(mut endpoint) = Endpoint::listening(segment.to, buffer_bytes(MAX_FLOWS)) else { return };
    endpoint.take(wire, segment.packet);
    endpoint.send(wire);
    let listed = shared.list(Connection::new(ConnectionKind::Tcp, segment.to, None));
    let mut flow = Flow::new(listed, Origin::Service);
    flow.endpoint = Some(endpoint);
    flows.add(FlowKey { port: segment.port, peer: segment.to }, flow);
}

/// Says what was heard, closes when the guest has closed, and forgets a connection that is no more.
fn converse(wire: &mut Wire, flows: &mut Flows, segment: &Segment<'_>) {
    let key = FlowKey { port: segment.port, peer: segment.to };
    let Some(flow) = flows.get(&key) else { return };
    let is_over = {
        let mut flow = flow.borrow_mut();
        let Some(endpoint) = &mut flow.endpoint else { return };
        let socket = endpoint.socket();
        let mut heard = Vec::new();
        let _ = socket.recv(|bytes| {
            heard.extend_from_slice(bytes);
            (bytes.len(), ())
        });
        let _ = socket.send_slice(&heard);
        if socket.can_send() && !socket.may_recv() {
            socket.close();
        }
        endpoint.send(wire);
        let _ = endpoint.next_after(wire);
        !endpoint.socket().is_active()
    };
    if is_over {
        flows.remove(&key);
    }
}
