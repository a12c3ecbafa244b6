//! What a guest says on a TCP connection that it may have because of a name: many names share an address, and a name
//! that is allowed must not open the others. So the name that is spoken of has to be one that is allowed on that port
//! and that the gateway resolved to that very address: the server name of TLS (`tls.rs`), the host of every HTTP
//! request (`http.rs`). Anything else passes unseen: there it is the address that was checked (`first.rs` tells which
//! it is).
//!
//! Only the direction from the guest to the server is looked at. Bytes are held back until it is clear what they are;
//! nothing of what is refused is passed on. Everything held is bounded; for how long is for whoever asks to limit,
//! since nothing here knows the time.

mod body;
mod first;
mod http;
mod request;
mod tls;

use crate::denial::DenialKind;
use crate::guard::{Access, Guard};
use crate::host_name::HostName;
use crate::policy::Verdict;
use first::First;
use http::Http;
use std::net::SocketAddr;
use std::sync::Arc;
use tls::Tls;

/// Most bytes that are held back: of a request's head, of a ClientHello.
pub(crate) const MAX_HELD: usize = 64 * 1024;

/// One direction, from the guest to the server, of one TCP connection.
#[derive(Debug)]
pub struct Inspector {
    guard: Arc<Guard>,
    to: SocketAddr,
    /// What was resolved to the address when the connection began: it counts for as long as that stays open.
    names: Arc<[HostName]>,
    held: Vec<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It is not known yet what it is.
    Start,
    Tls(Tls),
    Http(Http),
    /// There is nothing more to be looked at.
    Done,
    Refused,
}

/// What follows from the bytes at hand.
#[derive(Debug)]
enum Step {
    /// More bytes are needed to tell.
    More,
    /// So many of them may be passed on, at least one.
    Pass(usize),
    /// So many may be passed on, if this name is right.
    Name(HostName, usize),
    /// It is known now what it is.
    Become(State),
    /// They must not be passed on.
    Refuse(Reason),
}

/// Why bytes are refused that say no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reason {
    kind: DenialKind,
    rule: &'static str,
}

/// What a guest said was refused. The denial has been logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is to be sent to the guest before the connection is closed: a TLS alert, an answer of HTTP. May be empty.
    pub answer: Vec<u8>,
}

impl Inspector {
    pub(crate) fn new(guard: Arc<Guard>, to: SocketAddr, names: Arc<[HostName]>) -> Self {
        Self { guard, to, names, held: Vec::new(), state: State::Start }
    }

    /// Takes what the guest said, and gives what may be passed on now. That may be less, since bytes are held back
    /// until it is known what they are, or more.
    ///
    /// # Errors
    /// What was said is refused, and so is everything behind it.
    pub fn pass(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        if self.held.is_empty() {
            self.held = bytes;
        } else {
            self.held.extend(bytes);
        }
        let mut passed = 0;
        loop {
            match self.step(passed) {
                Step::More => break,
                Step::Pass(len) => passed += len,
                Step::Name(name, len) => {
                    let kind =
                        if matches!(self.state, State::Tls(_)) { DenialKind::Tls } else { DenialKind::Http };
                    if let Err(verdict) = self.check(&name) {
                        self.refuse(kind, &verdict)?;
                    }
                    passed += len;
                }
                Step::Become(state) => self.state = state,
                Step::Refuse(reason) => {
                    self.refuse(reason.kind, &Verdict::denied(reason.rule, self.unseen_hint(reason.rule)))?;
                }
            }
        }
        if passed == self.held.len() {
            return Ok(std::mem::take(&mut self.held));
        }
        Ok(self.held.drain(..passed).collect())
    }

    /// The guest says nothing more. Gives what was held back and can no longer become anything that is looked at.
    pub fn finish(&mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        match self.state {
            State::Start if !first::may_be_request(&held) => held,
            _ => Vec::new(),
        }
    }

    /// Whether bytes are held back until more of them have come.
    pub fn is_holding(&self) -> bool {
        !self.held.is_empty() && !matches!(self.state, State::Done | State::Refused)
    }

    /// What is held back has waited for the rest for too long. Gives it where the policy has changed and allows the
    /// address whatever is said.
    ///
    /// # Errors
    /// It is refused, and so is everything behind it.
    pub fn give_up(&mut self) -> Result<Vec<u8>, Refusal> {
        let hint = format!("allow the address whatever is said: `--allow {}`", self.to);
        self.refuse(DenialKind::Tcp, &Verdict::denied("what it says first could not be recognised", hint))?;
        Ok(std::mem::take(&mut self.held))
    }

    /// Whether nothing more has to be looked at: bytes may be passed on unseen. Nothing is held back then.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// What follows from the bytes behind those that have passed.
    fn step(&mut self, passed: usize) -> Step {
        let rest = &self.held[passed..];
        match &mut self.state {
            State::Done if rest.is_empty() => Step::More,
            State::Done => Step::Pass(rest.len()),
            State::Refused => Step::Refuse(first::TOO_LONG),
            State::Tls(tls) => tls.step(rest),
            State::Http(http) => http.step(rest),
            State::Start => match first::classify(rest) {
                First::Unknown if rest.len() > first::MAX_LINE => Step::Refuse(first::TOO_LONG),
                First::Unknown => Step::More,
                First::Tls => Step::Become(State::Tls(Tls::default())),
                First::Http => Step::Become(State::Http(Http::default())),
                First::Other => Step::Become(State::Done),
                First::Refused(reason) => Step::Refuse(reason),
            },
        }
    }

    /// Whether a name may be spoken of on this connection.
    fn check(&self, name: &HostName) -> Result<(), Verdict> {
        let port = self.to.port();
        let verdict = self.guard.in_force().judge_host(name, Some(port));
        if !verdict.is_allowed() {
            return Err(verdict.about(Some(name)));
        }
        if self.names.contains(name) || self.guard.names_of(self.to.ip()).contains(name) {
            return Ok(());
        }
        let hint = format!("look {name} up, and connect to an address that the answer has");
        Err(Verdict::denied("the name was not resolved to this address", hint).about(Some(name)))
    }

    /// Refuses, unless the policy has changed and allows the address whatever is said.
    fn refuse(&mut self, kind: DenialKind, verdict: &Verdict) -> Result<(), Refusal> {
        if matches!(self.state, State::Refused) {
            return Err(Refusal { answer: Vec::new() });
        }
        let (address, port) = (self.to.ip(), self.to.port());
        if self.guard.judge(DenialKind::Tcp, address, Some(port)) == Access::Allowed {
            self.state = State::Done;
            return Ok(());
        }
        self.guard.log(kind, verdict, Some(address), Some(port));
        self.state = State::Refused;
        self.held = Vec::new();
        let answer = match kind {
            DenialKind::Tls => tls::alert(verdict).to_vec(),
            DenialKind::Http => http::forbidden(verdict),
            _ => Vec::new(),
        };
        Err(Refusal { answer })
    }

    /// What to do where no name could be read.
    fn unseen_hint(&self, rule: &str) -> String {
        let first = if rule == request::HTTP_2 { "use HTTP/1.1; " } else { "" };
        format!("{first}to have this address allowed whatever is said, use `--allow {}`", self.to)
    }
}

#[cfg(test)]
mod tests;
