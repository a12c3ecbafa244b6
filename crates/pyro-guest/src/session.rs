//! One session with the host: every message has one handler here, and every stream its command.
//!
//! Nothing in here waits. What a handler has to say goes to the queue of outgoing frames; the event loop sends it.

use crate::children::Children;
use crate::exec::{Command, Job, NotStarted, Starter};
use crate::outgoing::{Outgoing, SHORT_BYTES};
use crate::output::Pumped;
use crate::root::{Opening, Root};
use crate::spawn::Spawner;
use crate::sys::Death;
use nix::libc::SIGKILL;
use nix::sys::epoll::Epoll;
use pyro_protocol::exec::{Exec, ExecFailure, Exited};
use pyro_protocol::frame::{Channel, Frame, Kind};
use pyro_protocol::message::{self, Identity, ToGuest, ToHost};
use pyro_protocol::task::Task;
use pyro_protocol::{MAX_STREAMS, PROTOCOL_VERSION};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

/// The token of the port's events.
pub(crate) const PORT: u64 = 0;

/// The token of the events that say that a child has died.
pub(crate) const CHILDREN: u64 = 1;

/// Which pipe of which command an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) stream: u32,
    /// The command's [`Command::serial`]: an event of a command that has gone must not reach its successor.
    pub(crate) serial: u32,
    pub(crate) channel: Channel,
}

const PIPE: u64 = 1 << 63;
const SERIAL_BITS: u32 = 24;

impl Token {
    /// As the kernel keeps it.
    pub(crate) fn to_u64(self) -> u64 {
        let channel = match self.channel {
            Channel::Stdin => 0,
            Channel::Stdout => 1,
            Channel::Stderr => 2,
        };
        PIPE | u64::from(self.stream) << (SERIAL_BITS + 2) | u64::from(self.serial) << 2 | channel
    }

    /// The inverse of [`Token::to_u64`]; `None` for tokens of other things.
    pub(crate) fn from_u64(token: u64) -> Option<Self> {
        let channel = match token & 3 {
            0 => Channel::Stdin,
            1 => Channel::Stdout,
            _ => Channel::Stderr,
        };
        let serial = (token >> 2) as u32 & ((1 << SERIAL_BITS) - 1);
        let stream = ((token & !PIPE) >> (SERIAL_BITS + 2)) as u32;
        (token & PIPE != 0).then_some(Self { stream, serial, channel })
    }
}

/// The state of the agent towards its host.
#[derive(Debug)]
pub(crate) struct Session {
    root: Root,
    children: Children,
    spawner: Spawner,
    null: OwnedFd,
    greeted: bool,
    power_off: bool,
    next_serial: u32,
    commands: BTreeMap<u32, Command>,
    /// Output channels with something to read, in the order in which they have their turn.
    readable: VecDeque<Token>,
}

impl Session {
    pub(crate) fn new(root: Root, children: Children) -> io::Result<Self> {
        let spawner = Spawner::new(&root);
        Ok(Self {
            root,
            children,
            spawner,
            null: std::fs::File::open("/dev/null")?.into(),
            greeted: false,
            power_off: false,
            next_serial: 0,
            commands: BTreeMap::new(),
            readable: VecDeque::new(),
        })
    }

    /// Whether the host has asked to turn the machine off.
    pub(crate) fn wants_power_off(&self) -> bool {
        self.power_off
    }

    /// Gives the environment back.
    pub(crate) fn into_root(self) -> Root {
        self.root
    }

    /// Forgets everything that belongs to the host of now, and ends its commands.
    pub(crate) fn reset(&mut self) {
        for command in self.commands.values() {
            command.signal(SIGKILL);
        }
        self.commands.clear();
        self.readable.clear();
        self.greeted = false;
    }

    /// One frame from the host.
    pub(crate) fn handle(&mut self, frame: &Frame<'_>, epoll: &Epoll, out: &mut Outgoing) {
        match frame.kind {
            Kind::Message => self.message(frame.stream, frame.payload, epoll, out),
            Kind::Data if frame.channel == Channel::Stdin => self.stdin(frame, epoll, out),
            Kind::End if frame.channel == Channel::Stdin => {
                if let Some(command) = self.commands.get_mut(&frame.stream) {
                    command.stdin.end();
                }
            }
            Kind::Credit => self.credit(frame),
            Kind::Data | Kind::End => self.abandon(frame.stream, "bytes on an output channel", out),
        }
    }

    fn message(&mut self, stream: u32, payload: &[u8], epoll: &Epoll, out: &mut Outgoing) {
        let message = match message::decode::<ToGuest>(payload) {
            Ok(message) => message,
            Err(error) if self.greeted => return self.abandon(stream, &format!("message: {error}"), out),
            Err(_) => return,
        };
        if let ToGuest::Hello { session, .. } = message {
            return self.hello(session, out);
        }
        if !self.greeted {
            return; // belongs to a session that has ended
        }
        match message {
            ToGuest::Hello { .. } => {}
            ToGuest::Identify(identity) => self.identify(stream, &identity, out),
            ToGuest::Ping => out.message(stream, &ToHost::Pong),
            ToGuest::Exec(request) => self.exec(stream, &request, epoll, out),
            ToGuest::Signal { signal } => {
                if let Some(command) = self.commands.get(&stream) {
                    command.signal(signal);
                }
            }
            ToGuest::PowerOff => self.power_off = true,
            ToGuest::OpenWorkspace => self.open_workspace(stream, epoll, out),
            ToGuest::Task(task) => self.task(stream, &task, epoll, out),
        }
    }

    fn hello(&mut self, session: u64, out: &mut Outgoing) {
        self.reset();
        self.greeted = true;
        let kernel = nix::sys::utsname::uname();
        let kernel = kernel.as_ref().map_or("".into(), |names| names.release().to_string_lossy());
        let (kernel, agent) = (kernel.into_owned(), env!("CARGO_PKG_VERSION").into());
        out.message(0, &ToHost::Welcome { version: PROTOCOL_VERSION, session, agent, kernel });
    }

    fn identify(&mut self, stream: u32, identity: &Identity, out: &mut Outgoing) {
        match self.root.identify(identity) {
            Ok(()) => out.message(stream, &ToHost::Identified),
            Err(message) => failed(stream, ExecFailure::BadRequest, message, out),
        }
    }

    fn open_workspace(&mut self, stream: u32, epoll: &Epoll, out: &mut Outgoing) {
        if self.is_taken(stream) {
            return self.abandon(stream, "a workspace on a stream that is in use", out);
        }
        let started = Instant::now();
        match self.root.open_workspace() {
            Ok(Opening::Done) => {}
            Ok(Opening::Process { folder }) => {
                return self.start(stream, Job::open(&folder), Where::WithAgent, epoll, out);
            }
            Err(message) => return failed(stream, ExecFailure::BadRequest, message, out),
        }
        let elapsed_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        out.message(stream, &ToHost::Started { pid: 1 });
        let exited = Exited { code: Some(0), signal: None, timed_out: false, elapsed_us };
        out.message(stream, &ToHost::Exited(exited));
    }

    fn exec(&mut self, stream: u32, request: &Exec, epoll: &Epoll, out: &mut Outgoing) {
        if self.is_taken(stream) {
            return self.abandon(stream, "a command on a stream that is in use", out);
        }
        let job = Job::command(&self.root.adapted(request));
        self.start(stream, job, Where::WithCommands, epoll, out);
    }

    fn task(&mut self, stream: u32, task: &Task, epoll: &Epoll, out: &mut Outgoing) {
        if self.is_taken(stream) {
            return self.abandon(stream, "a task on a stream that is in use", out);
        }
        let Some(place) = self.root.place() else {
            let message = "there is no machine, and so no workspace".into();
            return failed(stream, ExecFailure::BadRequest, message, out);
        };
        self.start(stream, Job::task(task, &place), Where::WithAgent, epoll, out);
    }

    fn is_taken(&self, stream: u32) -> bool {
        stream == 0 || self.commands.contains_key(&stream)
    }

    fn start(
        &mut self,
        stream: u32,
        job: Result<Job, NotStarted>,
        place: Where,
        epoll: &Epoll,
        out: &mut Outgoing,
    ) {
        if self.commands.len() >= MAX_STREAMS {
            let message = format!("{MAX_STREAMS} commands run already");
            return failed(stream, ExecFailure::NoResources, message, out);
        }
        self.next_serial = (self.next_serial + 1) % (1 << SERIAL_BITS);
        let namespace = self.root.namespace().filter(|_| place == Where::WithCommands);
        let mut starter = Starter { epoll, spawner: &mut self.spawner, namespace, null: &self.null };
        let command = match job.and_then(|job| starter.start(&job, stream, self.next_serial)) {
            Ok(command) => command,
            Err(NotStarted { failure, message }) => return failed(stream, failure, message, out),
        };
        if self.children.watch(command.pid, epoll, CHILDREN).is_err() {
            command.signal(SIGKILL);
            let message = "no room to watch another process".into();
            return failed(stream, ExecFailure::NoResources, message, out);
        }
        out.message(stream, &ToHost::Started { pid: command.pid.cast_unsigned() });
        self.commands.insert(stream, command);
    }

    fn stdin(&mut self, frame: &Frame<'_>, epoll: &Epoll, out: &mut Outgoing) {
        // A stream that we do not know has just ended, which the host cannot know yet.
        let Some(command) = self.commands.get_mut(&frame.stream) else { return };
        if command.stdin.receive(frame.payload, epoll, out).is_err() {
            self.abandon(frame.stream, "more input than there was credit for", out);
        }
    }

    fn credit(&mut self, frame: &Frame<'_>) {
        let Some(command) = self.commands.get_mut(&frame.stream) else { return };
        let Some(output) = output_index(frame.channel).map(|index| &mut command.outputs[index]) else {
            return;
        };
        if output.grant(frame.credit()) && !output.queued {
            output.queued = true;
            let (stream, serial, channel) = (frame.stream, command.serial, frame.channel);
            self.readable.push_back(Token { stream, serial, channel });
        }
    }

    /// The host broke the rules on a stream: the stream is closed, and its command with it.
    fn abandon(&mut self, stream: u32, what: &str, out: &mut Outgoing) {
        if let Some(command) = self.commands.remove(&stream) {
            command.signal(SIGKILL);
        }
        failed(stream, ExecFailure::BadRequest, format!("not understood: {what}"), out);
    }

    /// A pipe of a command has changed.
    pub(crate) fn pipe_event(&mut self, token: Token, epoll: &Epoll, out: &mut Outgoing) {
        let Some(command) = self.commands.get_mut(&token.stream) else { return };
        if command.serial != token.serial {
            return;
        }
        match output_index(token.channel) {
            None => command.stdin.flush(epoll, out),
            Some(index) if !command.outputs[index].queued => {
                command.outputs[index].queued = true;
                self.readable.push_back(token);
            }
            Some(_) => {}
        }
    }

    /// Children have died.
    pub(crate) fn bury(&mut self, epoll: &Epoll, out: &mut Outgoing) {
        let (commands, readable) = (&mut self.commands, &mut self.readable);
        self.children.reap(|pid, death| bury_one(commands, readable, pid, death, epoll, out));
    }

    /// Reads from commands while little waits to be sent. Gives whether there is more to do at once.
    pub(crate) fn pump(&mut self, out: &mut Outgoing) -> bool {
        while out.len() < SHORT_BYTES {
            let Some(token) = self.readable.pop_front() else { return false };
            let Some(command) = self.commands.get_mut(&token.stream) else { continue };
            let Some(index) = output_index(token.channel) else { continue };
            if command.serial != token.serial {
                continue;
            }
            let output = &mut command.outputs[index];
            match output.pump(token.stream, out) {
                Pumped::More => self.readable.push_back(token),
                Pumped::Wait => output.queued = false,
            }
            if let Some(exited) = command.exited() {
                out.message(token.stream, &ToHost::Exited(exited));
                self.commands.remove(&token.stream);
            }
        }
        !self.readable.is_empty()
    }

    /// When the next command's time is up.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.commands.values().filter_map(|command| command.deadline).min()
    }

    /// Ends the commands whose time is up.
    pub(crate) fn expire(&mut self) {
        if self.next_deadline().is_none() {
            return; // saves asking for the time
        }
        let now = Instant::now();
        for command in self.commands.values_mut() {
            if command.deadline.is_some_and(|deadline| deadline <= now) {
                command.expire(now);
            }
        }
    }
}

/// What a program that is started sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    /// The environment.
    WithCommands,
    /// What the agent itself sees.
    WithAgent,
}

fn bury_one(
    commands: &mut BTreeMap<u32, Command>,
    readable: &mut VecDeque<Token>,
    pid: i32,
    death: Death,
    epoll: &Epoll,
    out: &mut Outgoing,
) {
    let found = commands.iter_mut().find(|(_, command)| command.pid == pid && !command.is_dead());
    let Some((&stream, command)) = found else { return }; // an orphan, or of a session that has ended
    command.died(death);
    command.stdin.close(epoll, out);
    let serial = command.serial;
    for (output, channel) in command.outputs.iter_mut().zip([Channel::Stdout, Channel::Stderr]) {
        if !output.queued {
            output.queued = true;
            readable.push_back(Token { stream, serial, channel });
        }
    }
}

fn output_index(channel: Channel) -> Option<usize> {
    match channel {
        Channel::Stdin => None,
        Channel::Stdout => Some(0),
        Channel::Stderr => Some(1),
    }
}

fn failed(stream: u32, failure: ExecFailure, message: String, out: &mut Outgoing) {
    out.message(stream, &ToHost::Failed { failure, message });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel() {
        for stream in [0, 1, 77, u32::MAX] {
            for serial in [0, 1, (1 << SERIAL_BITS) - 1] {
                for channel in [Channel::Stdin, Channel::Stdout, Channel::Stderr] {
                    let token = Token { stream, serial, channel };
                    assert_eq!(Token::from_u64(token.to_u64()), Some(token));
                }
            }
        }
        assert_eq!(Token::from_u64(PORT), None);
        assert_eq!(Token::from_u64(CHILDREN), None);
    }
}
