//! The end of a machine: how it comes about, and what it is to those who wait for it or were using it.

use super::backend::Backend;
use super::lifecycle::Event;
use super::shared::Shared;
use crate::error::Result;
use crate::vm::machine::PowerOff;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How long a guest may take to end its processes, write everything to its disk and turn itself off.
const POWER_OFF_LIMIT: Duration = Duration::from_secs(30);

/// A machine that turns itself off, and how that went.
pub(super) type Stopping = Pin<Box<dyn Future<Output = (Backend, Result<PowerOff>)> + Send>>;

/// Has what runs in a machine end, and then the machine turn itself off.
pub(super) fn stop(mut machine: Backend, shared: Arc<Shared>) -> Stopping {
    Box::pin(async move {
        tokio::join!(shared.services.stop_all(), shared.shells.close_all());
        let ended = machine.power_off(POWER_OFF_LIMIT).await;
        (machine, ended)
    })
}

/// Waits for the end of a machine that turns itself off, if there is one.
pub(super) async fn stopped(stopping: &mut Option<Stopping>) -> (Backend, Result<PowerOff>) {
    match stopping {
        Some(stopping) => stopping.await,
        None => std::future::pending().await,
    }
}

/// What its end is to the lifecycle.
pub(super) fn powered_off(ended: Result<PowerOff>) -> Event {
    let trouble = match ended {
        Ok(PowerOff::Clean) => None,
        Ok(PowerOff::Unclean(why)) => Some(format!("it did not stop in order: {why}")),
        Err(error) => Some(error.chain().join(": ")),
    };
    Event::PoweredOff { trouble }
}

/// Whether somebody who wanted the one is to hear of the other.
pub(super) fn is_answered_by(wanted: &Event, event: &Event) -> bool {
    wanted == event || *wanted == Event::Stop && matches!(event, Event::PoweredOff { .. })
}

/// What the end of a machine is to those who were using it.
pub(super) fn reason(event: &Event) -> String {
    match event {
        Event::StartFailed(why) => format!("it could not be started: {why}"),
        Event::MachineEnded(why) => why.clone(),
        Event::Stop | Event::PoweredOff { .. } => "it was stopped".into(),
        Event::Delete => "it was deleted".into(),
        Event::Expired => "its time to live is over".into(),
        Event::CreatorGone => "its creator went away before it was ready".into(),
        Event::Ready | Event::Seeded => "it has ended".into(),
    }
}
