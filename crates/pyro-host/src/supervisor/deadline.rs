//! The end of a time to live: a moment of the wall clock, which also passes while the host sleeps, and which a changed
//! clock moves (`timerfd_create(2)`).

use crate::error::{Context, Result};
use rustix::io::read;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::os::fd::OwnedFd;
use tokio::io::unix::AsyncFd;

/// A moment to wait for.
#[derive(Debug)]
pub(super) struct Deadline {
    timer: AsyncFd<OwnedFd>,
}

impl Deadline {
    /// A moment in seconds since the epoch.
    pub(super) fn at(unix_time: f64) -> Result<Self> {
        let doing = || "could not set a timer for the time to live".to_owned();
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Realtime, flags).doing(doing)?;
        let nothing = Timespec { tv_sec: 0, tv_nsec: 0 };
        // One second at least: a time of zero would never come. What is over is over at once.
        let at = Timespec { tv_sec: unix_time.clamp(1.0, 1e15).ceil() as i64, tv_nsec: 0 };
        let setting = Itimerspec { it_interval: nothing, it_value: at };
        timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &setting).doing(doing)?;
        Ok(Self { timer: super::detach::watch_descriptor(timer).doing(doing)? })
    }

    /// Waits for the moment. May be dropped half-way.
    pub(super) async fn passed(&mut self) {
        loop {
            let Ok(mut ready) = self.timer.readable().await else { return std::future::pending().await };
            let mut count = [0; 8];
            match read(self.timer.get_ref(), &mut count) {
                Ok(_) => return,
                Err(_) => ready.clear_ready(),
            }
        }
    }
}
