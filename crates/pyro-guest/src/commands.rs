//! The commands of a session, each on its stream, and whose turn it is to be read from.

use crate::cgroup::Cgroup;
use crate::children::Children;
use crate::exec::Command;
use crate::outgoing::{Outgoing, SHORT_BYTES};
use crate::output::{Output, Pumped};
use crate::processes::Processes;
use crate::stdin::Overrun;
use crate::sys::Death;
use crate::token::Token;
use nix::sys::epoll::Epoll;
use pyro_protocol::frame::{Channel, Frame};
use pyro_protocol::message::ToHost;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// The commands that have not ended, or whose end the host has not been told yet.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    running: BTreeMap<u32, Command>,
    /// Output channels with something to read, in the order in which they have their turn.
    readable: VecDeque<Token>,
    /// Groups of commands that have gone, to be removed when the last one in them is dead.
    emptying: Vec<Cgroup>,
}

impl Commands {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    /// Whether a stream has one.
    pub(crate) fn contains(&self, stream: u32) -> bool {
        self.running.contains_key(&stream)
    }

    /// The one of a stream.
    pub(crate) fn get_mut(&mut self, stream: u32) -> Option<&mut Command> {
        self.running.get_mut(&stream)
    }

    /// One more. Its stream must have none.
    pub(crate) fn insert(&mut self, stream: u32, command: Command) {
        self.running.insert(stream, command);
    }

    /// Kills all of them and forgets them.
    pub(crate) fn clear(&mut self) {
        self.readable.clear();
        for (_, command) in std::mem::take(&mut self.running) {
            self.discard(command);
        }
    }

    /// Kills the one of a stream, if there is one, and forgets it.
    pub(crate) fn abandon(&mut self, stream: u32) {
        if let Some(command) = self.running.remove(&stream) {
            self.discard(command);
        }
    }

    /// Kills one that is not, or no longer, among them.
    pub(crate) fn discard(&mut self, command: Command) {
        command.kill();
        self.tidy_up(command);
    }

    fn tidy_up(&mut self, command: Command) {
        if let Processes::Cgroup(cgroup) = command.into_processes()
            && !cgroup.remove()
        {
            self.emptying.push(cgroup);
        }
    }

    /// Bytes for a standard input.
    pub(crate) fn input(
        &mut self,
        frame: &Frame<'_>,
        epoll: &Epoll,
        out: &mut Outgoing,
    ) -> Result<(), Overrun> {
        // A stream that we do not know has just ended, which the host cannot know yet.
        let Some(command) = self.running.get_mut(&frame.stream) else { return Ok(()) };
        command.streams.stdin.receive(frame.payload, epoll, out)
    }

    /// Room for more output.
    pub(crate) fn credit(&mut self, frame: &Frame<'_>) {
        let Some(command) = self.running.get_mut(&frame.stream) else { return };
        let Some(index) = output_index(frame.channel) else { return };
        let output = &mut command.streams.outputs[index];
        if output.grant(frame.credit()) && !output.queued {
            output.queued = true;
            let (stream, serial, channel) = (frame.stream, command.serial, frame.channel);
            self.readable.push_back(Token { stream, serial, channel });
        }
    }

    /// A pipe or a terminal of a command has changed.
    pub(crate) fn changed(&mut self, token: Token, epoll: &Epoll, out: &mut Outgoing) {
        let Some(command) = self.running.get_mut(&token.stream) else { return };
        if command.serial != token.serial {
            return;
        }
        match output_index(token.channel) {
            None => command.streams.stdin.flush(epoll, out),
            Some(index) => {
                let output = &mut command.streams.outputs[index];
                if !output.queued && output.rests_until().is_none() {
                    output.queued = true;
                    self.readable.push_back(token);
                }
            }
        }
    }

    /// Children have died.
    pub(crate) fn bury(&mut self, children: &mut Children, epoll: &Epoll, out: &mut Outgoing) {
        let now = Instant::now();
        children.reap(|pid, death| self.bury_one(pid, death, now, epoll, out));
        let (running, readable) = (&mut self.running, &mut self.readable);
        for (&stream, command) in running {
            if command.look(now) {
                enqueue(stream, command, readable);
            }
        }
        self.emptying.retain(|cgroup| !cgroup.remove());
    }

    fn bury_one(&mut self, pid: i32, death: Death, now: Instant, epoll: &Epoll, out: &mut Outgoing) {
        let found = self.running.iter_mut().find(|(_, command)| command.pid == pid && !command.is_dead());
        let Some((&stream, command)) = found else { return }; // an orphan, or of a session that has ended
        let is_over = command.died(death, now);
        command.streams.stdin.close(epoll, out);
        if is_over {
            enqueue(stream, command, &mut self.readable);
        }
    }

    /// Reads from commands while little waits to be sent. Gives whether there is more to do at once.
    pub(crate) fn pump(&mut self, epoll: &Epoll, out: &mut Outgoing) -> bool {
        while out.len() < SHORT_BYTES {
            let Some(token) = self.readable.pop_front() else { return false };
            let Some(command) = self.running.get_mut(&token.stream) else { continue };
            let Some(index) = output_index(token.channel) else { continue };
            if command.serial != token.serial {
                continue;
            }
            let output = &mut command.streams.outputs[index];
            match output.pump(token.stream, out) {
                Pumped::More => self.readable.push_back(token),
                Pumped::Rest | Pumped::Starved => output.queued = false,
                Pumped::Wait => {
                    output.queued = false;
                    output.watch_again(epoll, token.to_u64());
                }
            }
            if let Some(exited) = command.exited() {
                out.message(token.stream, &ToHost::Exited(exited));
                let ended = self.running.remove(&token.stream);
                ended.into_iter().for_each(|command| self.tidy_up(command));
            }
        }
        !self.readable.is_empty()
    }

    /// When something is to be done about one of them.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.running.values().filter_map(Command::deadline).min()
    }

    /// Does what is due.
    pub(crate) fn expire(&mut self) {
        if self.next_deadline().is_none() {
            return; // saves asking for the time
        }
        let now = Instant::now();
        for (&stream, command) in &mut self.running {
            if command.deadline().is_some_and(|deadline| deadline <= now) && command.expire(now) {
                enqueue(stream, command, &mut self.readable);
            }
            wake(stream, command, now, &mut self.readable);
        }
    }
}

/// Has both outputs of a command read to their end.
fn enqueue(stream: u32, command: &mut Command, readable: &mut VecDeque<Token>) {
    enqueue_if(stream, command, readable, |_| true);
}

/// Has those read whose rest is over.
fn wake(stream: u32, command: &mut Command, now: Instant, readable: &mut VecDeque<Token>) {
    enqueue_if(stream, command, readable, |output| output.wake(now));
}

fn enqueue_if(
    stream: u32,
    command: &mut Command,
    readable: &mut VecDeque<Token>,
    wanted: impl Fn(&mut Output) -> bool,
) {
    let serial = command.serial;
    for (output, channel) in command.streams.outputs.iter_mut().zip([Channel::Stdout, Channel::Stderr]) {
        if wanted(output) && !output.queued {
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
