//! What happens to a machine after its start, and its orderly end.
//!
//! ```text
//!           ┌──RESUME──┐
//!           v          │
//!  running ──STOP──> paused        both ──QEMU ends──> ended
//! ```
//!
//! All of it comes from two descriptors: QEMU's control channel and the one that tells the end of its process. Nothing
//! is asked for, and no clock runs, while nothing happens.

use super::{LAST_WORDS, Machine};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::vm::qmp::{Event, QmpError};
use crate::vm::start_failure::StartFailure;
use serde::Serialize;
use serde_json::json;
use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// How long QEMU may take to answer a command that it carries out at once.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// QEMU tells the error that stops a machine just before it tells the stop; newer ones hold back errors that follow
/// each other within a second.
const CAUSE_OF_STOP: Duration = Duration::from_secs(2);

/// Why a machine does not run at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseReason {
    /// There is no room on the host for what the guest writes to its disk. Nothing is lost: the guest waits for its
    /// write to be done.
    HostDiskFull,
    /// Something else; in QEMU's words, where it has any.
    Other(String),
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostDiskFull => f.write_str("the host has no room for what the guest writes to its disk"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

/// Something that happened to a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineEvent {
    /// It is gone. With QEMU's exit status and last words, for people.
    Ended(String),
    /// It stands still. Nothing is lost, and nothing goes on until [`Machine::resume`].
    Paused {
        /// Why.
        reason: PauseReason,
    },
    /// It runs again.
    Resumed,
}

/// How an orderly end went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PowerOff {
    /// The guest wrote everything to its disk and turned itself off.
    Clean,
    /// The machine is gone, but not by its own orderly end. With the reason, for people. What the guest had not
    /// flushed is lost; the journal keeps the file system whole.
    Unclean(String),
}

/// What was seen on the control channel.
#[derive(Debug, Default)]
pub(super) struct Watch {
    paused: Option<PauseReason>,
    no_space_at: Option<Instant>,
    other_error: Option<String>,
    /// Why the control channel is of no further use.
    lost: Option<String>,
    /// How it ended, in the words that were told first.
    ended: Option<String>,
}

impl Watch {
    /// What an event of QEMU means for the machine, if it means anything.
    pub(super) fn take(&mut self, event: &Event, now: Instant) -> Option<MachineEvent> {
        match event.name.as_str() {
            "BLOCK_IO_ERROR" if event.data["nospace"] == true => self.no_space_at = Some(now),
            "BLOCK_IO_ERROR" => {
                self.other_error =
                    event.data["reason"].as_str().map(|reason| reason.chars().take(200).collect());
            }
            "STOP" => {
                let reason = self.reason_of_stop(now);
                self.paused = Some(reason.clone());
                return Some(MachineEvent::Paused { reason });
            }
            // The start of every machine is told in the same way.
            "RESUME" => return self.paused.take().map(|_| MachineEvent::Resumed),
            _ => {}
        }
        None
    }

    fn reason_of_stop(&mut self, now: Instant) -> PauseReason {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < CAUSE_OF_STOP;
        if self.no_space_at.is_some_and(is_recent) {
            return PauseReason::HostDiskFull;
        }
        let words = self.other_error.take();
        PauseReason::Other(words.unwrap_or_else(|| "QEMU stopped it and gave no reason".into()))
    }
}

impl Machine {
    /// Waits for the next thing that happens to the machine. May be dropped at any time without losing anything; after
    /// [`MachineEvent::Ended`] it says so again.
    ///
    /// For after [`Machine::ready`]: it takes from the same channel.
    pub async fn event(&mut self) -> MachineEvent {
        loop {
            if let Some(words) = &self.watch.ended {
                return MachineEvent::Ended(words.clone());
            }
            if self.watch.lost.is_some() {
                return self.cut_off().await;
            }
            tokio::select! {
                biased;
                event = self.qmp.event() => match event {
                    Ok(event) => {
                        if let Some(event) = self.watch.take(&event, Instant::now()) {
                            return event;
                        }
                    }
                    // The answer to a command whose sender has gone.
                    Err(QmpError::Refused { .. }) => {}
                    Err(error) => self.watch.lost = Some(error.to_string()),
                },
                status = self.process.exited() => return self.last_words(&status).await,
            }
        }
    }

    /// Why the machine stands still, as far as [`Machine::event`] has told it; `None` while it runs.
    pub fn paused(&self) -> Option<&PauseReason> {
        self.watch.paused.as_ref()
    }

    /// Lets a paused machine go on. One whose reason to pause still holds pauses again, which is a new event. No effect
    /// on one that runs.
    ///
    /// # Errors
    /// `wrong_state` when QEMU refuses, `guest_unreachable` when it is gone or does not answer within 5 s.
    pub async fn resume(&mut self) -> Result<()> {
        let doing = || "could not let the machine go on".to_owned();
        match tokio::time::timeout(ANSWER_LIMIT, self.qmp.ask("cont", json!({}))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error @ QmpError::Refused { .. })) => Err(error).failing(ErrorKind::WrongState, doing),
            Ok(Err(error)) => Err(error).failing(ErrorKind::GuestUnreachable, doing),
            Err(_) => {
                Err(Error::new(ErrorKind::GuestUnreachable, doing()).with_source("QEMU does not answer"))
            }
        }
    }

    /// Asks the guest to end everything, write everything to its disk and turn itself off; kills the machine when that
    /// takes longer than `limit`, or cannot be because it stands still. A paused machine is let go on first, as there
    /// may be room again. The machine is gone when this returns, unless QEMU cannot be killed, which is the error.
    pub async fn power_off(&mut self, limit: Duration) -> Result<PowerOff> {
        let ended = tokio::time::timeout(limit, self.orderly_end()).await;
        let why = match ended {
            Ok(Ok(status)) if status.as_ref().is_ok_and(ExitStatus::success) => return Ok(PowerOff::Clean),
            Ok(Ok(status)) => self.words(&status),
            Ok(Err(why)) => why,
            Err(_) => format!("the guest did not turn itself off within {} s", limit.as_secs_f32()),
        };
        self.process.kill().doing(|| "could not end QEMU".into())?;
        Ok(PowerOff::Unclean(why))
    }

    /// QEMU's exit status after the guest was asked to turn itself off, or why that is not to be waited for.
    async fn orderly_end(&mut self) -> std::result::Result<io::Result<ExitStatus>, String> {
        if self.paused().is_some() {
            self.resume().await.map_err(|error| error.chain().join(": "))?;
        }
        let connection = self.connection.clone();
        let mut asked = std::pin::pin!(connection.power_off());
        let mut is_asked = false;
        loop {
            tokio::select! {
                biased;
                answer = &mut asked, if !is_asked => {
                    is_asked = true;
                    answer.map_err(|error| error.chain().join(": "))?;
                }
                event = self.event() => match event {
                    MachineEvent::Ended(_) => return Ok(self.process.exited().await),
                    MachineEvent::Paused { reason } => return Err(reason.to_string()),
                    MachineEvent::Resumed => {}
                }
            }
        }
    }

    /// The end of a machine whose control channel is of no further use: a QEMU that cannot be spoken to is not kept.
    async fn cut_off(&mut self) -> MachineEvent {
        let status = match tokio::time::timeout(LAST_WORDS, self.process.exited()).await {
            Ok(status) => status,
            Err(_) => self.process.kill(),
        };
        self.last_words(&status).await
    }

    async fn last_words(&mut self, status: &io::Result<ExitStatus>) -> MachineEvent {
        self.stderr.settle().await;
        let words = self.words(status);
        self.watch.ended = Some(words.clone());
        MachineEvent::Ended(words)
    }

    /// How QEMU ended, and what it and the console said last.
    fn words(&self, status: &io::Result<ExitStatus>) -> String {
        let mut what = format!("QEMU ended ({})", super::describe_exit(status));
        if let Some(problem) = &self.watch.lost {
            what = format!("{what}: {problem}");
        }
        let (qemu_stderr, console) = (self.stderr.text(), self.console.text());
        StartFailure { phase: "running".into(), what, qemu_stderr, console }.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: serde_json::Value) -> Event {
        Event { name: name.into(), data }
    }

    fn paused(reason: PauseReason) -> Option<MachineEvent> {
        Some(MachineEvent::Paused { reason })
    }

    #[test]
    fn a_stop_behind_an_error_for_want_of_room_is_a_full_disk() {
        let (mut watch, now) = (Watch::default(), Instant::now());
        let full = event("BLOCK_IO_ERROR", json!({"nospace": true, "reason": "No space left on device"}));
        assert_eq!(watch.take(&full, now), None);
        assert_eq!(watch.take(&event("STOP", json!({})), now), paused(PauseReason::HostDiskFull));
        assert_eq!(watch.paused, Some(PauseReason::HostDiskFull));
        assert_eq!(watch.take(&event("RESUME", json!({})), now), Some(MachineEvent::Resumed));
        // The next error is held back by QEMU: the one before is its cause.
        let soon = now + Duration::from_millis(300);
        assert_eq!(watch.take(&event("STOP", json!({})), soon), paused(PauseReason::HostDiskFull));
    }

    #[test]
    fn another_stop_is_told_in_the_words_of_qemu() {
        let (mut watch, now) = (Watch::default(), Instant::now());
        watch.take(&event("BLOCK_IO_ERROR", json!({"nospace": true})), now);
        let later = now + Duration::from_secs(60);
        let none = PauseReason::Other("QEMU stopped it and gave no reason".into());
        assert_eq!(watch.take(&event("STOP", json!({})), later), paused(none));
        watch.take(&event("BLOCK_IO_ERROR", json!({"nospace": false, "reason": "bad sector"})), later);
        assert_eq!(
            watch.take(&event("STOP", json!({})), later),
            paused(PauseReason::Other("bad sector".into()))
        );
    }

    #[test]
    fn the_start_of_a_machine_is_not_a_return_from_a_pause() {
        let mut watch = Watch::default();
        assert_eq!(watch.take(&event("RESUME", json!({})), Instant::now()), None);
        assert_eq!(watch.take(&event("JOB_STATUS_CHANGE", json!({})), Instant::now()), None);
    }
}
