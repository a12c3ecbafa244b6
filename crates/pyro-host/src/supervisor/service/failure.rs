//! The error of a service that did not become ready: why, the probe's last answer, the end of its log.

use crate::error::{Error, ErrorKind};
use crate::instance::output_log::Extent;
use crate::instance::{Instance, OutputLog, ServiceRecord, StopReason};
use crate::output::{OutputChannel, text_of};

/// How many lines of each output an error holds, and how many bytes.
const TAIL_LINES: u64 = 20;
const TAIL_BYTES: u64 = 8 * 1024;

/// The error of whoever started it.
pub(super) fn of(record: &ServiceRecord, answer: Option<&str>, instance: &Instance) -> Error {
    let (name, id) = (&record.service_name, &instance.id);
    let (kind, what) = match record.stop_reason {
        Some(StopReason::ReadinessTimeout) => (ErrorKind::Timeout, "did not become ready, and was stopped"),
        Some(StopReason::ProbeFailed) => (ErrorKind::ServiceFailed, "could not be probed, and was stopped"),
        Some(StopReason::ProcessExitedBeforeReady) => (ErrorKind::ServiceFailed, "did not become ready"),
        Some(StopReason::Sigterm | StopReason::Sigkill | StopReason::WorkspaceStopped) => {
            (ErrorKind::WrongState, "was stopped before it was ready")
        }
        _ => (ErrorKind::ServiceFailed, "could not be started"),
    };
    let failure = record.failure.clone().map(|failure| Error::new(kind, failure));
    // In the other cases the failure says it.
    let answer = answer.filter(|_| record.stop_reason == Some(StopReason::ProcessExitedBeforeReady));
    let answer = answer.map(|answer| Error::new(kind, format!("the probe's last answer: {answer}")));
    let log = end_of_log(record, instance).map(|log| Error::new(kind, log));
    let chain = [failure, answer, log].into_iter().flatten().rev();
    let source = chain.reduce(|source, error| error.with_source(source));
    let error = Error::new(kind, format!("the service `{name}` {what}")).with_hint(hint(record, id.as_str()));
    match source {
        Some(source) => error.with_source(source),
        None => error,
    }
}

fn hint(record: &ServiceRecord, id: &str) -> String {
    let log = format!("its whole log: pyro workspace service logs {id} {} --all", record.service_name);
    match record.stop_reason {
        Some(StopReason::ReadinessTimeout) => format!("{log}; --ready-timeout-seconds gives it more time"),
        _ => log,
    }
}

/// The end of what it printed since it was started this time.
fn end_of_log(record: &ServiceRecord, instance: &Instance) -> Option<String> {
    let services = instance.services();
    let mut text = String::new();
    let channels = [(OutputChannel::Stdout, "standard output"), (OutputChannel::Stderr, "standard error")];
    for ((channel, noun), start) in channels.into_iter().zip(record.log_start) {
        let tail = tail(&services.log(&record.service_name, channel), start);
        if !tail.trim().is_empty() {
            text += &format!(
                "{}its {noun} ends with:\n{}",
                if text.is_empty() { "" } else { "\n" },
                tail.trim_end()
            );
        }
    }
    Some(text).filter(|text| !text.is_empty())
}

/// The last lines from a position on. A log that cannot be read has nothing to say here.
fn tail(log: &OutputLog, start: u64) -> String {
    let read = || {
        let Extent { start, end } = log.tail(Some(TAIL_LINES), TAIL_BYTES, start)?;
        log.read(start, end.saturating_sub(start))
    };
    read().map(|piece| text_of(piece.bytes)).unwrap_or_default()
}
