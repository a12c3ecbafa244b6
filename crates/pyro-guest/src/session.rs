//! One session with the host: every message has one handler here, and every stream its command.
//!
//! Nothing in here waits. What a handler has to say goes to the queue of outgoing frames; the event loop sends it.

use crate::children::Children;
use crate::commands::Commands;
use crate::job::{Job, NotStarted};
use crate::outgoing::Outgoing;
use crate::root::{Opening, Root};
use crate::spawn::Spawner;
use crate::start::Starter;
use crate::token::{CHILDREN, Token};
use nix::sys::epoll::Epoll;
use pyro_protocol::exec::{Exec, ExecFailure, Exited};
use pyro_protocol::frame::{Channel, Frame, Kind};
use pyro_protocol::message::{self, Identity, ToGuest, ToHost};
use pyro_protocol::probe::Probe;
use pyro_protocol::task::Task;
use pyro_protocol::{MAX_STREAMS, PROTOCOL_VERSION};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The state of the agent towards its host.
#[derive(Debug)]
pub(crate) struct Session {
    root: Root,
    children: Children,
    spawner: Spawner,
    null: OwnedFd,
    greeted: bool,
    power_off: bool,
    n_started: u64,
    commands: Commands,
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
            n_started: 0,
            commands: Commands::default(),
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
        self.commands.clear();
        self.greeted = false;
    }

    /// One frame from the host.
    pub(crate) fn handle(&mut self, frame: &Frame<'_>, epoll: &Epoll, out: &mut Outgoing) {
        match frame.kind {
            Kind::Message => self.message(frame.stream, frame.payload, epoll, out),
            Kind::Data if frame.channel == Channel::Stdin => self.stdin(frame, epoll, out),
            Kind::End if frame.channel == Channel::Stdin => {
                if let Some(command) = self.commands.get_mut(frame.stream) {
                    command.streams.stdin.end();
                }
            }
            Kind::Credit => self.commands.credit(frame),
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
            ToGuest::Signal { .. } | ToGuest::Resize(_) | ToGuest::Terminate { .. } => {
                self.tell_command(stream, &message);
            }
            ToGuest::PowerOff => self.power_off = true,
            ToGuest::OpenWorkspace => self.open_workspace(stream, epoll, out),
            ToGuest::Task(task) => self.task(stream, &task, epoll, out),
            ToGuest::Probe(probe) => self.probe(stream, &probe, epoll, out),
        }
    }

    /// A message for a command that runs. One that has just ended does not get it.
    fn tell_command(&mut self, stream: u32, message: &ToGuest) {
        let Some(command) = self.commands.get_mut(stream) else { return };
        match *message {
            ToGuest::Signal { signal } => command.signal(signal),
            ToGuest::Resize(size) => command.resize(size),
            ToGuest::Terminate { signal, grace_ms } => {
                command.terminate(signal, Duration::from_millis(grace_ms));
            }
            _ => {}
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
                return self.start(stream, Job::open(&folder), epoll, out);
            }
            Err(message) => return failed(stream, ExecFailure::BadRequest, message, out),
        }
        let elapsed_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        out.message(stream, &ToHost::Started { pid: 1 });
        let exited = Exited { code: Some(0), signal: None, elapsed_us, ..Exited::default() };
        out.message(stream, &ToHost::Exited(exited));
    }

    fn exec(&mut self, stream: u32, request: &Exec, epoll: &Epoll, out: &mut Outgoing) {
        if self.is_taken(stream) {
            return self.abandon(stream, "a command on a stream that is in use", out);
        }
        let job = Job::command(&self.root.adapted(request));
        self.start(stream, job, epoll, out);
    }

    fn probe(&mut self, stream: u32, probe: &Probe, epoll: &Epoll, out: &mut Outgoing) {
        if self.is_taken(stream) {
            return self.abandon(stream, "a probe on a stream that is in use", out);
        }
        let job = Job::probe(&self.root.adapted_probe(probe));
        self.start(stream, job, epoll, out);
    }

    fn task(&mut self, stream: u32, task: &Task, epoll: &Epoll, out: &mut Outgoing) {
        if self.is_taken(stream) {
            return self.abandon(stream, "a task on a stream that is in use", out);
        }
        let Some(place) = self.root.place() else {
            let message = "there is no machine, and so no workspace".into();
            return failed(stream, ExecFailure::BadRequest, message, out);
        };
        self.start(stream, Job::task(task, &place), epoll, out);
    }

    fn is_taken(&self, stream: u32) -> bool {
        stream == 0 || self.commands.contains(stream)
    }

    fn start(&mut self, stream: u32, job: Result<Job, NotStarted>, epoll: &Epoll, out: &mut Outgoing) {
        if self.commands.len() >= MAX_STREAMS {
            let message = format!("{MAX_STREAMS} commands run already");
            return failed(stream, ExecFailure::NoResources, message, out);
        }
        self.n_started += 1;
        let (root, null, n_started) = (&self.root, &self.null, self.n_started);
        let mut starter = Starter { epoll, spawner: &mut self.spawner, root, null, n_started };
        let command = match job.and_then(|job| starter.start(&job, stream)) {
            Ok(command) => command,
            Err(NotStarted { failure, message }) => return failed(stream, failure, message, out),
        };
        if self.children.watch(command.pid, epoll, CHILDREN).is_err() {
            self.commands.discard(command);
            let message = "no room to watch another process".into();
            return failed(stream, ExecFailure::NoResources, message, out);
        }
        out.message(stream, &ToHost::Started { pid: command.pid.cast_unsigned() });
        self.commands.insert(stream, command);
    }

    fn stdin(&mut self, frame: &Frame<'_>, epoll: &Epoll, out: &mut Outgoing) {
        if self.commands.input(frame, epoll, out).is_err() {
            self.abandon(frame.stream, "more input than there was credit for", out);
        }
    }

    /// The host broke the rules on a stream: the stream is closed, and its command with it.
    fn abandon(&mut self, stream: u32, what: &str, out: &mut Outgoing) {
        self.commands.abandon(stream);
        failed(stream, ExecFailure::BadRequest, format!("not understood: {what}"), out);
    }

    /// A pipe or a terminal of a command has changed.
    pub(crate) fn changed(&mut self, token: Token, epoll: &Epoll, out: &mut Outgoing) {
        self.commands.changed(token, epoll, out);
    }

    /// Children have died.
    pub(crate) fn bury(&mut self, epoll: &Epoll, out: &mut Outgoing) {
        self.commands.bury(&mut self.children, epoll, out);
    }

    /// Reads from commands while little waits to be sent. Gives whether there is more to do at once.
    pub(crate) fn pump(&mut self, epoll: &Epoll, out: &mut Outgoing) -> bool {
        self.commands.pump(epoll, out)
    }

    /// When something is to be done about a command, whatever happens.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.commands.next_deadline()
    }

    /// Does to commands what is due.
    pub(crate) fn expire(&mut self) {
        self.commands.expire();
    }
}

fn failed(stream: u32, failure: ExecFailure, message: String, out: &mut Outgoing) {
    out.message(stream, &ToHost::Failed { failure, message });
}
