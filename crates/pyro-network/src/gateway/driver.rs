//! Keeps one connection with the guest going: sends what is to be sent, repeats it in time, and gives up when it is
//! late.
//!
//! What runs a connection (a relay, the DNS service) has one. When it is dropped, the connection is no more.

use super::engine::Engine;
use super::flow::{Flow, FlowKey, SharedFlow};
use smoltcp::socket::tcp::{RecvError, State};
use std::cell::RefMut;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// The guest is asked for a connection, or answered, as long.
pub(super) const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);

/// The least time between two looks at what time alone makes due.
const LEAST_WAIT: Duration = Duration::from_millis(5);

/// See the module.
pub(super) struct Driver {
    pub(super) engine: Rc<Engine>,
    flow: SharedFlow,
    key: FlowKey,
    number: u64,
    /// Fires at `armed`, if that is set. It is left as it is when something is due later: to fire once too often costs
    /// less than to be set anew with every packet.
    timer: Pin<Box<Sleep>>,
    armed: Option<Instant>,
    /// When the connection is reset.
    give_up: Option<Instant>,
    /// When whoever has the driver wants to be woken.
    look_again: Option<Instant>,
}

impl Driver {
    pub(super) fn new(engine: Rc<Engine>, key: FlowKey, flow: SharedFlow) -> Self {
        let number = flow.borrow().listed.number();
        let timer = Box::pin(sleep_until(Instant::now()));
        Self { engine, flow, key, number, timer, armed: None, give_up: None, look_again: None }
    }

    pub(super) fn flow(&self) -> RefMut<'_, Flow> {
        self.flow.borrow_mut()
    }

    /// The same, to be held while the driver is used.
    pub(super) fn shared_flow(&self) -> SharedFlow {
        self.flow.clone()
    }

    /// Resets the connection after so long; None: never.
    pub(super) fn give_up_after(&mut self, limit: Option<Duration>) {
        self.give_up = limit.map(|limit| Instant::now() + limit);
    }

    /// Wakes the task at a time; None: there is nothing to look at then.
    pub(super) fn look_again_at(&mut self, time: Option<Instant>) {
        self.look_again = time;
    }

    /// Sends what is to be sent, and arranges for the task to be woken when there is more to do. Gives what became of
    /// the connection.
    pub(super) fn drive(&mut self, flow: &mut Flow, context: &mut Context<'_>) -> State {
        flow.waker = Some(context.waker().clone());
        let Some(endpoint) = &mut flow.endpoint else { return State::Closed };
        let is_late = self.give_up.is_some_and(|limit| limit <= Instant::now());
        if is_late || flow.cancelled {
            endpoint.socket().abort();
        }
        let mut wire = self.engine.wire.borrow_mut();
        let has_room = endpoint.send(&mut wire);
        let state = endpoint.socket().state();
        let mut next = endpoint.next_after(&mut wire).map(|after| Instant::now() + after.max(LEAST_WAIT));
        if !has_room {
            wire.outbox.wait(self.number, context.waker());
            next = None;
        }
        drop(wire);
        self.arm([next, self.give_up, self.look_again].into_iter().flatten().min(), context);
        state
    }

    fn arm(&mut self, at: Option<Instant>, context: &mut Context<'_>) {
        if let Some(at) = at
            && self.armed.is_none_or(|armed| at < armed)
        {
            self.timer.as_mut().reset(at);
            self.armed = Some(at);
        }
        if self.armed.is_some() && self.timer.as_mut().poll(context).is_ready() {
            self.armed = None;
            context.waker().wake_by_ref();
        }
    }

    /// Waits until the guest is connected. False if it refused, or did not answer in time.
    pub(super) async fn connected(&mut self) -> bool {
        poll_fn(|context| {
            let flow = self.shared_flow();
            match self.drive(&mut flow.borrow_mut(), context) {
                State::SynSent | State::SynReceived => Poll::Pending,
                State::Closed | State::Listen => Poll::Ready(false),
                _ => Poll::Ready(true),
            }
        })
        .await
    }

    /// Reads some of what the guest says. 0: it has said its last, or the connection is no more.
    pub(super) async fn read(&mut self, into: &mut [u8]) -> usize {
        poll_fn(|context| {
            let flow = self.shared_flow();
            let mut flow = flow.borrow_mut();
            let read = flow.socket().map_or(Err(RecvError::InvalidState), |socket| socket.recv_slice(into));
            let state = self.drive(&mut flow, context);
            match read {
                Ok(0) => Poll::Pending,
                Ok(bytes) => Poll::Ready(bytes),
                // Before the handshake is done nothing can have been said.
                Err(RecvError::InvalidState) if state == State::SynReceived => Poll::Pending,
                Err(_) => Poll::Ready(0),
            }
        })
        .await
    }

    /// Says something to the guest. False if the connection is no more.
    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> bool {
        poll_fn(|context| {
            let flow = self.shared_flow();
            let mut flow = flow.borrow_mut();
            let Some(Ok(taken)) = flow.socket().map(|socket| socket.send_slice(bytes)) else {
                return Poll::Ready(false);
            };
            bytes = &bytes[taken..];
            self.drive(&mut flow, context);
            if bytes.is_empty() { Poll::Ready(true) } else { Poll::Pending }
        })
        .await
    }

    /// Says that there is no more, and waits until the guest has heard it.
    pub(super) async fn close(&mut self) {
        if let Some(socket) = self.flow().socket() {
            socket.close();
        }
        poll_fn(|context| {
            let flow = self.shared_flow();
            let mut flow = flow.borrow_mut();
            if let Some(socket) = flow.socket() {
                let _ = socket.recv(|heard| (heard.len(), ())); // nobody listens any more
            }
            match self.drive(&mut flow, context) {
                State::Closed | State::Listen | State::TimeWait => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.engine.flows.borrow_mut().remove(&self.key);
        self.engine.wire.borrow_mut().outbox.forget(self.number);
    }
}
