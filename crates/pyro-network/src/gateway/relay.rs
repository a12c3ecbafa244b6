//! Carries bytes between a connection with the guest and one with the outside, until both sides have said their last.
//!
//! Nothing is queued: bytes go from the one's buffer into the other, and whoever is slow makes the other wait. An end
//! of one direction is passed on as such, a reset as a reset. Where only a name makes a destination allowed, what the
//! guest says goes through the guard's inspector first; what that refuses is answered in the server's place, and the
//! server hears nothing of it.

use super::driver::{Driver, HANDSHAKE_LIMIT};
use super::engine::Place;
use super::flow::{Flow, Origin};
use super::host_socket;
use crate::guard::{Inspector, Refusal};
use crate::status::ConnectionState;
use smoltcp::socket::tcp::{RecvError, State};
use std::future::poll_fn;
use std::io::{Error, ErrorKind};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// As much is given to the inspector at once.
const INSPECTED_BYTES: usize = 16 * 1024;

/// As long a guest may take to hear that it was refused.
const REFUSAL_LIMIT: Duration = Duration::from_secs(10);

/// As long something may be held back because it is not known what it is going to be. Nobody else would end that: the
/// server waits for what the guest has said, and the guest for an answer.
const HELD_LIMIT: Duration = Duration::from_secs(10);

/// See the module.
struct Relay {
    driver: Driver,
    /// The other side. None once nothing more can come from it or go to it.
    host: Option<TcpStream>,
    /// The other side has said its last.
    host_ended: bool,
    /// The guest has, and the other side has been told.
    guest_ended: bool,
    /// Until it has heard enough.
    inspection: Option<Inspection>,
    /// What it has let through and the other side has not taken yet, and how much of that it has.
    passed: Vec<u8>,
    passed_taken: usize,
    /// The handshake with the guest is done.
    is_established: bool,
}

/// Listening to what the guest says.
pub(super) struct Inspection {
    inspector: Inspector,
    /// Until when it may hold back what it holds back.
    held_until: Option<Instant>,
    /// Given back with the end of it.
    _place: Place,
}

impl Inspection {
    pub(super) fn new(inspector: Inspector, place: Place) -> Self {
        Self { inspector, held_until: None, _place: place }
    }

    /// Sets the time that begins when something is held back, and ends when it no longer is. Whether that is over.
    fn is_late(&mut self, now: Instant) -> bool {
        if !self.inspector.is_holding() {
            self.held_until = None;
            return false;
        }
        *self.held_until.get_or_insert_with(|| now + HELD_LIMIT) <= now
    }
}

/// Carries bytes until the end.
pub(super) async fn relay(mut driver: Driver, host: TcpStream, inspection: Option<Inspection>) {
    driver.give_up_after(Some(HANDSHAKE_LIMIT));
    let mut relay = Relay {
        driver,
        host: Some(host),
        host_ended: false,
        guest_ended: false,
        inspection,
        passed: Vec::new(),
        passed_taken: 0,
        is_established: false,
    };
    poll_fn(|context| relay.poll(context)).await;
}

impl Relay {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let flow = self.driver.shared_flow();
        let mut flow = flow.borrow_mut();
        let is_gone = flow.cancelled || self.hear(&mut flow, context).is_err();
        if is_gone && let Some(socket) = flow.socket() {
            socket.abort();
        }
        let state = self.driver.drive(&mut flow, context);
        if is_gone {
            self.reset_host();
            return Poll::Ready(());
        }
        self.follow(&mut flow, state)
    }

    /// What follows from the state of the connection with the guest.
    fn follow(&mut self, flow: &mut Flow, state: State) -> Poll<()> {
        let all_taken = flow.socket().is_none_or(|socket| socket.recv_queue() == 0) && self.passed.is_empty();
        match state {
            State::SynReceived | State::SynSent => return Poll::Pending,
            // The guest has reset it, or was: its last acknowledgement comes only after both have ended.
            State::Closed if !self.host_ended => self.reset_host(),
            State::Closed | State::TimeWait if all_taken && self.guest_ended => (),
            State::Closed if all_taken => self.reset_host(),
            State::Listen => self.reset_host(), // it has reset it before it was established
            _ => {
                if !self.is_established {
                    self.is_established = true;
                    self.driver.give_up_after(None);
                    if !self.host_ended && !self.guest_ended {
                        flow.listed.set_state(ConnectionState::Open);
                    }
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    fn hear(&mut self, flow: &mut Flow, context: &mut Context<'_>) -> Result<(), Error> {
        self.hear_guest(flow, context)?;
        if self.limit_holding(flow) {
            self.hear_guest(flow, context)?;
        }
        self.hear_host(flow, context)
    }

    /// Ends it where something has been held back for too long. The time does not run while the other side is what
    /// everything waits for. True if there is now something to give it.
    fn limit_holding(&mut self, flow: &mut Flow) -> bool {
        let mut look_again = None;
        let mut has_more = false;
        if let Some(inspection) = &mut self.inspection {
            if !self.passed.is_empty() {
                inspection.held_until = None;
            } else if inspection.is_late(Instant::now()) {
                match inspection.inspector.give_up() {
                    Ok(passed) => {
                        self.passed = passed;
                        self.inspection = None;
                        has_more = true;
                    }
                    Err(refusal) => self.refuse(flow, &refusal),
                }
            } else {
                look_again = inspection.held_until;
            }
        }
        self.driver.look_again_at(look_again);
        has_more
    }

    /// What the guest said goes to the other side.
    fn hear_guest(&mut self, flow: &mut Flow, context: &mut Context<'_>) -> Result<(), Error> {
        loop {
            if !self.passed.is_empty() && !self.give_passed(flow, context)? {
                return Ok(());
            }
            let Some(socket) = flow.socket() else { return Ok(()) };
            if socket.recv_queue() == 0 {
                if !matches!(socket.recv(|_| (0, ())), Err(RecvError::Finished)) {
                    return Ok(());
                }
                if let Some(Inspection { mut inspector, .. }) = self.inspection.take() {
                    self.passed = inspector.finish(); // it is not going to be anything that is looked at
                    continue;
                }
                self.end_of_guest(flow);
                return Ok(());
            }
            if self.host.is_none() {
                let _ = socket.recv(|heard| (heard.len(), ())); // it was refused, or the other side is gone
            } else if self.inspection.is_some() {
                self.inspect(flow);
            } else if !self.give(flow, context)? {
                return Ok(());
            }
        }
    }

    /// Gives the other side some of what the guest said. False if it takes nothing at the moment.
    fn give(&mut self, flow: &mut Flow, context: &mut Context<'_>) -> Result<bool, Error> {
        let Some(host) = &self.host else { return Ok(false) };
        let Poll::Ready(ready) = host.poll_write_ready(context) else { return Ok(false) };
        ready?;
        let Some(socket) = flow.socket() else { return Ok(false) };
        let given = socket.recv(|heard| match host.try_write(heard) {
            Ok(taken) => (taken, Ok(taken)),
            Err(error) => (0, Err(error)),
        });
        match given {
            Ok(Ok(taken)) => flow.listed.sent(taken),
            Ok(Err(error)) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            _ => (), // not ready after all: the next look arranges to be woken
        }
        Ok(true)
    }

    /// The same for what the inspector has let through.
    fn give_passed(&mut self, flow: &mut Flow, context: &mut Context<'_>) -> Result<bool, Error> {
        let Some(host) = &self.host else {
            self.passed.clear();
            return Ok(true);
        };
        let Poll::Ready(ready) = host.poll_write_ready(context) else { return Ok(false) };
        ready?;
        match host.try_write(&self.passed[self.passed_taken..]) {
            Ok(taken) => {
                self.passed_taken += taken;
                flow.listed.sent(taken);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => (),
            Err(error) => return Err(error),
        }
        if self.passed_taken == self.passed.len() {
            self.passed = Vec::new();
            self.passed_taken = 0;
        }
        Ok(true)
    }

    /// Gives some of what the guest said to the inspector.
    fn inspect(&mut self, flow: &mut Flow) {
        let Some(Inspection { inspector, held_until, .. }) = &mut self.inspection else { return };
        let mut said = Vec::new();
        if let Some(socket) = flow.socket() {
            let _ = socket.recv(|heard| {
                said.extend_from_slice(&heard[..heard.len().min(INSPECTED_BYTES)]);
                (said.len(), ())
            });
        }
        if let Origin::Outside { said: Some(beginning), .. } = &mut flow.origin {
            beginning.add(&said);
        }
        match inspector.pass(said) {
            Ok(passed) => {
                if !passed.is_empty() {
                    *held_until = None; // what is held back now came later
                }
                self.passed = passed;
                if inspector.is_done() {
                    self.inspection = None;
                }
            }
            Err(refusal) => self.refuse(flow, &refusal),
        }
    }

    fn refuse(&mut self, flow: &mut Flow, refusal: &Refusal) {
        self.inspection = None;
        self.reset_host();
        self.host_ended = true;
        self.driver.give_up_after(Some(REFUSAL_LIMIT));
        flow.listed.set_state(ConnectionState::Closing);
        if let Some(socket) = flow.socket() {
            let _ = socket.send_slice(&refusal.answer); // what does not fit is lost: the end says enough
            socket.close();
        }
    }

    /// The guest has said its last.
    fn end_of_guest(&mut self, flow: &mut Flow) {
        if self.guest_ended {
            return;
        }
        self.guest_ended = true;
        flow.listed.set_state(ConnectionState::Closing);
        if let Some(host) = &self.host {
            let _ = rustix::net::shutdown(host, rustix::net::Shutdown::Write); // it may be gone by now
        }
        if self.host_ended {
            self.host = None;
        }
    }

    /// What the other side says goes to the guest.
    fn hear_host(&mut self, flow: &mut Flow, context: &mut Context<'_>) -> Result<(), Error> {
        while !self.host_ended {
            let (Some(host), Some(socket)) = (&self.host, flow.socket()) else { return Ok(()) };
            if !socket.can_send() {
                return Ok(());
            }
            let Poll::Ready(ready) = host.poll_read_ready(context) else { return Ok(()) };
            ready?;
            let taken = socket.send(|room| match host.try_read(room) {
                Ok(read) => (read, Ok(read)),
                Err(error) => (0, Err(error)),
            });
            match taken {
                Ok(Ok(0)) => self.end_of_host(flow),
                Ok(Ok(read)) => flow.listed.received(read),
                Ok(Err(error)) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ => (),
            }
        }
        Ok(())
    }

    /// The other side has said its last.
    fn end_of_host(&mut self, flow: &mut Flow) {
        self.host_ended = true;
        flow.listed.set_state(ConnectionState::Closing);
        if let Some(socket) = flow.socket() {
            socket.close(); // after all that is on its way
        }
        if self.guest_ended {
            self.host = None;
        }
    }

    /// The other side is to notice that this was no orderly end.
    fn reset_host(&mut self) {
        if let Some(host) = self.host.take() {
            host_socket::reset(host);
        }
    }
}

#[cfg(test)]
mod tests;
