//! One command: from its start to its end.
//!
//! A command leads a session and a process group of its own. It has ended when its main process has. Background
//! children are left alone then, unless the command was made to end. A contained command has ended when everything
//! that it started has: what its main process leaves behind is killed after the grace, or after a moment when nobody asked
//! it to end.
//!
//! ```text
//! running --time-out, terminate--> asked to end --grace over--> killed
//!    |                                  |                          |
//!    +------- the main process dies ----+--------------------------+
//!                      |
//!                      v
//!   contained: the rest ends, or is killed when its time is over --> output drained --> exited
//! ```

use crate::job::Job;
use crate::output::Output;
use crate::processes::Processes;
use crate::stdin::Stdin;
use crate::sys::{self, Death};
use crate::terminal::Terminal;
use nix::libc::{SIGCONT, SIGKILL, SIGTERM};
use pyro_protocol::exec::{Exited, WindowSize};
use std::time::{Duration, Instant};

/// How long a command may take to end itself after its time-out, before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// How long what a main process leaves behind may take to end by itself: a `tee` at the end of its output, for example.
const LINGER: Duration = Duration::from_millis(200);

/// How long the kernel may take to get rid of what was killed.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often to look whether it has. Not every death is told to us: that of an orphan is told to whoever adopts it.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A command's input and output.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) stdin: Stdin,
    /// Standard output and error.
    pub(crate) outputs: [Output; 2],
    /// What all of them are, where they are no pipes.
    pub(crate) terminal: Option<Terminal>,
}

/// A command under way.
#[derive(Debug)]
pub(crate) struct Command {
    /// Tells it from another command that had the same stream before.
    pub(crate) serial: u32,
    /// The main process, which is also its process group and its session.
    pub(crate) pid: i32,
    pub(crate) streams: Streams,
    processes: Processes,
    contained: bool,
    started: Instant,
    /// When its time is up, unless it was made to end before.
    time_limit: Option<Instant>,
    /// When it is killed, once it was asked to end.
    kill_at: Option<Instant>,
    timed_out: bool,
    /// The host has made it end.
    terminated: bool,
    /// It was killed because it did not end when the host asked.
    killed: bool,
    death: Option<(Death, Duration)>,
    left_behind: u32,
    /// Its main process has ended, and what it left has not.
    dying: Option<Dying>,
}

/// The wait for processes that were left behind.
#[derive(Debug, Clone, Copy)]
struct Dying {
    look_at: Instant,
    /// Who cannot be killed is not waited for any longer.
    until: Instant,
}

impl Command {
    /// A command whose main process has just been started.
    pub(crate) fn new(
        serial: u32,
        pid: i32,
        processes: Processes,
        streams: Streams,
        job: &Job,
        started: Instant,
    ) -> Self {
        Self {
            serial,
            pid,
            streams,
            processes,
            contained: job.contained,
            started,
            time_limit: job.timeout.and_then(|timeout| started.checked_add(timeout)),
            kill_at: None,
            timed_out: false,
            terminated: false,
            killed: false,
            death: None,
            left_behind: 0,
            dying: None,
        }
    }

    /// Whether its main process has been reaped: then its number is no longer its own.
    pub(crate) fn is_dead(&self) -> bool {
        self.death.is_some()
    }

    /// Sends a signal to its process group, or to the one in the foreground of its terminal.
    pub(crate) fn signal(&self, signal: i32) {
        if self.is_dead() {
            return;
        }
        let foreground = self.streams.terminal.as_ref().and_then(Terminal::foreground);
        let _ = sys::signal_group(foreground.unwrap_or(self.pid), signal); // fails only when nobody is left to get it
    }

    /// Sets the size of its terminal, if it has one.
    pub(crate) fn resize(&self, size: WindowSize) {
        if let Some(terminal) = &self.streams.terminal {
            terminal.resize(size);
        }
    }

    /// Asks all of it to end, and kills it after a while. That may be said again, for an earlier end.
    pub(crate) fn terminate(&mut self, signal: i32, grace: Duration) {
        if self.is_dead() && self.dying.is_none() {
            return;
        }
        self.terminated = true;
        self.killed |= signal == SIGKILL;
        self.time_limit = None;
        self.ask(signal, grace);
    }

    fn ask(&mut self, signal: i32, grace: Duration) {
        if signal == SIGKILL {
            return self.processes.kill(); // a group of processes at one stroke
        }
        self.processes.signal(signal);
        self.processes.signal(SIGCONT); // who is stopped takes no other signal
        let kill_at = Instant::now().checked_add(grace);
        self.kill_at = [self.kill_at, kill_at].into_iter().flatten().min();
    }

    /// Kills all of it, for nobody wants to know how it ends.
    pub(crate) fn kill(&self) {
        // The number of its group and session is its own only as long as somebody is there who has it.
        if !self.is_dead() || self.dying.is_some() {
            self.processes.kill();
        }
    }

    /// When something is to be done about it.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let look_at = self.dying.map(|dying| dying.look_at);
        let [stdout, stderr] = self.streams.outputs.each_ref().map(Output::rests_until);
        [self.time_limit, self.kill_at, look_at, stdout, stderr].into_iter().flatten().min()
    }

    /// Does what is due. Gives whether its end may be told now, which it could not before.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.kill_at) {
            self.kill_at = None;
            self.end_rest();
        }
        if is_due(self.time_limit) {
            self.time_limit = None;
            self.timed_out = true;
            self.ask(SIGTERM, GRACE);
        }
        self.look(now)
    }

    /// Its time is over: kills what has not ended.
    fn end_rest(&mut self) {
        if self.terminated {
            self.killed = true;
        } else if self.dying.is_some() && !self.timed_out {
            self.left_behind = self.processes.count();
        }
        self.processes.kill();
    }

    /// Its main process has ended. Gives whether its end may be told, once its output is.
    pub(crate) fn died(&mut self, death: Death, now: Instant) -> bool {
        self.death = Some((death, now.saturating_duration_since(self.started)));
        self.time_limit = None;
        let made_to_end = self.timed_out || self.terminated;
        if self.contained && !self.processes.are_gone() {
            // Who was asked to end keeps the grace. Who was killed at once has none.
            let linger = if made_to_end { Duration::ZERO } else { LINGER };
            let kill_at = *self.kill_at.get_or_insert(now + linger);
            self.dying = Some(Dying { look_at: now, until: kill_at + PATIENCE });
            return self.look(now);
        }
        if made_to_end && !self.contained {
            self.processes.kill(); // its background children; often there are none
        }
        self.finish();
        true
    }

    /// Looks whether all that was killed has gone. Gives whether that was still open and is so now.
    pub(crate) fn look(&mut self, now: Instant) -> bool {
        let Some(dying) = &mut self.dying else { return false };
        if now < dying.until && !self.processes.are_gone() {
            dying.look_at = now + LOOK_AGAIN;
            return false;
        }
        self.dying = None;
        self.finish();
        true
    }

    /// Nobody who belongs to it prints any more.
    fn finish(&mut self) {
        self.kill_at = None;
        for output in &mut self.streams.outputs {
            output.finish();
        }
    }

    /// What to tell the host, once it has ended and everything it printed is on its way.
    pub(crate) fn exited(&self) -> Option<Exited> {
        let (death, elapsed) = self.death.filter(|_| self.dying.is_none())?;
        if !self.streams.outputs.iter().all(Output::is_done) {
            return None;
        }
        let (code, signal) = match death {
            Death::Exited(code) => (Some(code), None),
            Death::Signaled(signal) => (None, Some(signal)),
        };
        Some(Exited {
            code,
            signal,
            timed_out: self.timed_out,
            elapsed_us: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            killed: self.killed,
            left_behind: self.left_behind,
        })
    }

    /// The processes that it had, for whoever has to tidy up after it.
    pub(crate) fn into_processes(self) -> Processes {
        self.processes
    }
}
