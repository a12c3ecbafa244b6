//! Where the milliseconds of a run went.

use crate::start::PartTimings;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Durations of the parts of one run, in milliseconds. A part that did not take place is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunTimings {
    /// Finding QEMU, the accelerator and the environment.
    pub prepare_ms: f64,
    /// Pulling the environment.
    pub pull_ms: f64,
    /// Finding the template, or building it.
    pub template_ms: f64,
    /// Making the machine's own disk.
    pub disk_ms: f64,
    /// Starting the QEMU process.
    pub spawn_ms: f64,
    /// QEMU's own start and the loading of the template's state.
    pub restore_ms: f64,
    /// From then to the guest's welcome: a boot, or a clone's first instructions.
    pub hello_ms: f64,
    /// From the welcome to the end of the command: telling the machine who it is, and the command itself.
    pub exec_ms: f64,
    /// Ending the machine.
    pub teardown_ms: f64,
    /// The whole run.
    pub total_ms: f64,
}

impl RunTimings {
    /// Takes over the parts of a machine's start. The command was sent before the start was over.
    pub(super) fn set_start(&mut self, start: &PartTimings) {
        self.prepare_ms = milliseconds(start.prepare);
        self.pull_ms = milliseconds(start.pull);
        self.template_ms = milliseconds(start.template);
        self.disk_ms = milliseconds(start.disk);
        self.spawn_ms = milliseconds(start.machine.spawn);
        self.restore_ms = milliseconds(start.machine.restore);
        self.hello_ms = milliseconds(start.machine.hello);
        self.exec_ms = milliseconds(start.identify);
    }
}

/// Measures one part after the other.
#[derive(Debug)]
pub(super) struct Stopwatch {
    begun: Instant,
    lap: Instant,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        let now = Instant::now();
        Self { begun: now, lap: now }
    }

    /// Milliseconds since the last lap.
    pub(super) fn lap(&mut self) -> f64 {
        let now = Instant::now();
        milliseconds(now.duration_since(std::mem::replace(&mut self.lap, now)))
    }

    /// Milliseconds since the beginning.
    pub(super) fn total(&self) -> f64 {
        milliseconds(self.begun.elapsed())
    }
}

/// A duration in milliseconds, to the microsecond.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
