//! What the services of a workspace print, as far as it is kept.

use super::ServiceStatus;
use crate::error::{Error, ErrorKind, Result};
use crate::instance::{Extent, Instance, Observed, OutputLog, ServiceState, Services};
use crate::output::{CAPTURE_BYTES, OutputChannel, text_of};
use crate::service::ServiceName;
use crate::supervisor::Topic;
use crate::workspace::Workspaces;
use crate::workspace::call::Following;
use serde::Serialize;
use tokio::sync::mpsc;

#[cfg(test)]
mod tests;

/// How many lines of each log are given where nothing else is said.
pub const DEFAULT_TAIL_LINES: u64 = 200;

/// Output is told in pieces of this size.
const PIECE: u64 = 64 * 1024;

/// The end of what a service printed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServiceLogs {
    /// The workspace.
    pub workspace_id: String,
    /// The service.
    pub service_name: ServiceName,
    /// How it is.
    pub state: ServiceState,
    /// The end of its standard output.
    pub stdout: String,
    /// The end of its standard error.
    pub stderr: String,
    /// How many lines of each were asked for; none for all.
    pub tail_lines: Option<u64>,
    /// Whether there was more of one of them than is given.
    pub truncated: bool,
    /// Bytes of standard output that are not kept any more, or never were for want of room.
    pub stdout_dropped_bytes: u64,
    /// The same of standard error.
    pub stderr_dropped_bytes: u64,
}

/// Something in the logs of a service.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "few of them wait at any time")]
pub enum ServiceLogEvent {
    /// Bytes that are not kept any more, where they were.
    Dropped {
        /// Of which output.
        channel: OutputChannel,
        /// How many.
        n_bytes: u64,
    },
    /// Some of its output.
    Output {
        /// Which.
        channel: OutputChannel,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// How the service is when nothing more comes.
    Ended(ServiceStatus),
}

/// Where the logs of a service go.
pub type ServiceLogEvents = mpsc::Sender<ServiceLogEvent>;

impl Workspaces {
    /// The end of what a service printed, in this start or an earlier one: so many lines of each output, or all that is
    /// kept; of each at most the last 8 MiB.
    ///
    /// # Errors
    /// `not_found` for the workspace or the service, `io`.
    pub fn logs_service(&self, id: &str, name: &str, tail_lines: Option<u64>) -> Result<ServiceLogs> {
        // Its state first: output that is there before its end was written is all there is.
        let ServiceStatus { service_name, state, .. } = self.status_service(id, name)?;
        let services = self.control.instances().find(id)?.instance.services();
        let end_of = |channel| End::of(&services.log(&service_name, channel), tail_lines);
        let (stdout, stderr) = (end_of(OutputChannel::Stdout)?, end_of(OutputChannel::Stderr)?);
        Ok(ServiceLogs {
            workspace_id: id.to_owned(),
            service_name,
            state,
            stdout: stdout.text,
            stderr: stderr.text,
            tail_lines,
            truncated: stdout.truncated || stderr.truncated,
            stdout_dropped_bytes: stdout.dropped_bytes,
            stderr_dropped_bytes: stderr.dropped_bytes,
        })
    }

    /// The same when nothing can come any more: after the end of the service, or of the workspace's machine.
    ///
    /// # Errors
    /// `not_found` for the workspace, also when it was deleted meanwhile, or the service; `io`.
    pub async fn logs_service_at_end(
        &self,
        id: &str,
        name: &str,
        tail_lines: Option<u64>,
    ) -> Result<ServiceLogs> {
        if self.status_service(id, name)?.state.is_alive() {
            let topic = Topic::Service(ServiceName::parse(name)?);
            let mut following = Following::start(&self.control.socket(id)?, topic).await?;
            following.until(|| Ok(!self.status_service(id, name)?.state.is_alive())).await?;
        }
        self.logs_service(id, name, tail_lines)
    }

    /// Tells the same in pieces, whole; with `follow` also what comes, until the service ends. Dropping the receiver ends
    /// it.
    ///
    /// # Errors
    /// `not_found` for the workspace or the service, `io`, `output_closed` when nobody takes what is told.
    pub async fn tell_logs_service(
        &self,
        id: &str,
        name: &str,
        tail_lines: Option<u64>,
        follow: bool,
        events: ServiceLogEvents,
    ) -> Result<()> {
        let ServiceStatus { service_name: name, state, .. } = self.status_service(id, name)?;
        let Observed { instance, is_owned, .. } = self.control.instances().find(id)?;
        let mut teller = Teller::new(&instance, is_owned, name.clone(), tail_lines)?;
        if !follow || !state.is_alive() {
            return teller.tell_all(&events).await;
        }
        let mut following = Following::start(&self.control.socket(id)?, Topic::Service(name)).await?;
        while following.changed().await? {
            if !teller.tell(&events).await?.state.is_alive() {
                break;
            }
        }
        teller.is_owned = self.control.instances().find(id).is_ok_and(|observed| observed.is_owned);
        teller.tell_all(&events).await
    }
}

/// The end of one output.
#[derive(Debug, PartialEq)]
struct End {
    text: String,
    truncated: bool,
    dropped_bytes: u64,
}

impl End {
    fn of(log: &OutputLog, lines: Option<u64>) -> Result<Self> {
        let Extent { start, end } = log.tail(lines, CAPTURE_BYTES as u64, 0)?;
        let (mut bytes, mut next, mut truncated) = (Vec::new(), start, start > 0);
        while next < end {
            let piece = log.read(next, end - next)?;
            truncated |= piece.from > next;
            next = piece.next.max(next + 1);
            bytes.extend(piece.bytes);
        }
        Ok(Self { text: text_of(bytes), truncated, dropped_bytes: log.dropped()? })
    }
}

/// Tells each thing once.
struct Teller {
    workspace_id: String,
    services: Services,
    name: ServiceName,
    is_owned: bool,
    /// Of each output what is told next.
    outputs: [(OutputChannel, u64); 2],
}

impl Teller {
    fn new(instance: &Instance, is_owned: bool, name: ServiceName, lines: Option<u64>) -> Result<Self> {
        let services = instance.services();
        let start_of = |channel| match lines {
            // What is dropped before all that is kept is to be told as well.
            None => Ok(0),
            lines => services.log(&name, channel).tail(lines, u64::MAX, 0).map(|tail| tail.start),
        };
        let [stdout, stderr] = [OutputChannel::Stdout, OutputChannel::Stderr];
        let outputs = [(stdout, start_of(stdout)?), (stderr, start_of(stderr)?)];
        let workspace_id = instance.id.to_string();
        Ok(Self { workspace_id, services, name, is_owned, outputs })
    }

    /// Tells what is there, and how the service is: the last.
    async fn tell_all(&mut self, events: &ServiceLogEvents) -> Result<()> {
        let status = self.tell(events).await?;
        send(events, ServiceLogEvent::Ended(status)).await
    }

    /// Tells what is there.
    async fn tell(&mut self, events: &ServiceLogEvents) -> Result<ServiceStatus> {
        // Its record first: output that is there before its end was written is all there is.
        let record = self.services.read(&self.name, self.is_owned)?;
        for (channel, next) in &mut self.outputs {
            let (channel, log) = (*channel, self.services.log(&self.name, *channel));
            let end = log.extent()?.end;
            while *next < end {
                let piece = log.read(*next, PIECE)?;
                let n_bytes = piece.from - *next;
                *next = piece.next;
                if n_bytes > 0 {
                    send(events, ServiceLogEvent::Dropped { channel, n_bytes }).await?;
                }
                if !piece.bytes.is_empty() {
                    send(events, ServiceLogEvent::Output { channel, bytes: piece.bytes }).await?;
                }
            }
        }
        Ok(ServiceStatus::of(&self.workspace_id, record))
    }
}

async fn send(events: &ServiceLogEvents, event: ServiceLogEvent) -> Result<()> {
    let closed = |_| Error::new(ErrorKind::OutputClosed, "nobody reads the logs any more");
    events.send(event).await.map_err(closed)
}
