//! What the end of a service is to its record. Pure.

use super::Stop;
use crate::clock::unix_time;
use crate::conversation::exit_code;
use crate::instance::{ServiceRecord, ServiceState, StopReason};
use pyro_protocol::exec::Exited;

/// Why a service was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Somebody wanted that.
    Stop(Stop),
    /// It was not ready in time.
    NotReady,
    /// Nobody can ask whether it is ready.
    CannotProbe,
}

/// Its processes have ended. `answer` is what its probe said last, for one that did not become ready.
pub(super) fn ended(record: &mut ServiceRecord, exited: &Exited, asked: Option<Asked>, answer: Option<&str>) {
    gone(record);
    match exit_code(exited) {
        Ok(code) => (record.exit_code, record.signal) = (Some(code), exited.signal),
        Err(error) => record.failure = Some(error.message().to_owned()),
    }
    let (state, reason) = match asked {
        None if record.ready_at.is_none() => (ServiceState::Failed, StopReason::ProcessExitedBeforeReady),
        None => (ServiceState::Exited, StopReason::ProcessExited),
        Some(Asked::NotReady) => (ServiceState::Failed, StopReason::ReadinessTimeout),
        Some(Asked::CannotProbe) => (ServiceState::Failed, StopReason::ProbeFailed),
        Some(Asked::Stop(Stop::Workspace)) => (ServiceState::Stopped, StopReason::WorkspaceStopped),
        Some(Asked::Stop(Stop::Service)) if exited.killed => (ServiceState::Stopped, StopReason::Sigkill),
        Some(Asked::Stop(Stop::Service)) => (ServiceState::Stopped, StopReason::Sigterm),
    };
    (record.state, record.stop_reason) = (state, Some(reason));
    let answer = answer.unwrap_or("none yet");
    let failure = match asked {
        None => by_itself(record, exited),
        Some(Asked::NotReady) => Some(format!("it was not ready in time; the probe's last answer: {answer}")),
        Some(Asked::CannotProbe) => Some(format!("the guest could not ask whether it was ready: {answer}")),
        Some(Asked::Stop(_)) => None,
    };
    record.failure = record.failure.take().or(failure);
}

/// Its machine has ended under it.
pub(super) fn lost(record: &mut ServiceRecord, why: String) {
    gone(record);
    (record.state, record.stop_reason) = (ServiceState::Failed, Some(StopReason::MachineEnded));
    record.failure = Some(why);
}

/// It never ran.
pub(super) fn not_started(record: &mut ServiceRecord, why: String) {
    gone(record);
    (record.state, record.stop_reason) = (ServiceState::Failed, Some(StopReason::NotStarted));
    record.failure = Some(why);
}

fn gone(record: &mut ServiceRecord) {
    record.ended_at = Some(unix_time());
    record.pid = None;
}

/// What there is to say of a service that ended without being asked to.
fn by_itself(record: &ServiceRecord, exited: &Exited) -> Option<String> {
    let how = how(record);
    match exited.left_behind {
        0 if record.ready_at.is_none() => Some(format!("it ended {how} before it was ready")),
        0 => None,
        n => {
            let processes = if n == 1 { "a process".to_owned() } else { format!("{n} processes") };
            Some(format!(
                "its main process ended {how} and left {processes} behind, which ended with it: a service has to stay \
                 in the foreground"
            ))
        }
    }
}

fn how(record: &ServiceRecord) -> String {
    match (record.signal, record.exit_code) {
        (Some(signal), _) => format!("by signal {signal}"),
        (None, Some(code)) => format!("with exit code {code}"),
        (None, None) => "in no possible way".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::service::ServiceName;

    fn record(is_ready: bool) -> ServiceRecord {
        ServiceRecord {
            service_name: ServiceName::parse("web").unwrap(),
            command: Command::Shell("serve".into()),
            cwd: "/workspace".into(),
            state: if is_ready { ServiceState::Running } else { ServiceState::Starting },
            started_at: 1.0,
            ready_at: is_ready.then_some(2.0),
            ended_at: None,
            exit_code: None,
            signal: None,
            pid: Some(7),
            readiness: None,
            stop_reason: None,
            failure: None,
            published: Vec::new(),
            log_start: [0, 0],
        }
    }

    fn after(
        is_ready: bool,
        exited: &Exited,
        asked: Option<Asked>,
    ) -> (ServiceRecord, ServiceState, StopReason) {
        let mut record = record(is_ready);
        ended(&mut record, exited, asked, Some("connection refused"));
        assert!(record.ended_at.is_some() && record.pid.is_none());
        (record.clone(), record.state, record.stop_reason.unwrap())
    }

    fn code(code: i32) -> Exited {
        Exited { code: Some(code), ..Exited::default() }
    }

    #[test]
    fn an_end_is_told_by_who_wanted_it() {
        let (record, state, reason) = after(true, &code(0), None);
        assert_eq!(
            (state, reason, record.exit_code),
            (ServiceState::Exited, StopReason::ProcessExited, Some(0))
        );
        assert_eq!(record.failure, None);
        let (record, state, reason) = after(false, &code(3), None);
        assert_eq!((state, reason), (ServiceState::Failed, StopReason::ProcessExitedBeforeReady));
        assert_eq!(record.failure.as_deref(), Some("it ended with exit code 3 before it was ready"));
        let killed = Exited { signal: Some(9), killed: true, ..Exited::default() };
        let (record, state, reason) = after(true, &killed, Some(Asked::Stop(Stop::Service)));
        assert_eq!((state, reason), (ServiceState::Stopped, StopReason::Sigkill));
        assert_eq!((record.exit_code, record.signal), (Some(137), Some(9)));
        let (_, state, reason) = after(true, &code(0), Some(Asked::Stop(Stop::Service)));
        assert_eq!((state, reason), (ServiceState::Stopped, StopReason::Sigterm));
        let (_, state, reason) = after(true, &killed, Some(Asked::Stop(Stop::Workspace)));
        assert_eq!((state, reason), (ServiceState::Stopped, StopReason::WorkspaceStopped));
        let (record, state, reason) = after(false, &code(0), Some(Asked::NotReady));
        assert_eq!((state, reason), (ServiceState::Failed, StopReason::ReadinessTimeout));
        assert!(record.failure.unwrap().ends_with("last answer: connection refused"));
        let (record, state, reason) = after(false, &code(0), Some(Asked::CannotProbe));
        assert_eq!((state, reason), (ServiceState::Failed, StopReason::ProbeFailed));
        assert!(record.failure.unwrap().ends_with("connection refused"));
    }

    #[test]
    fn what_forks_away_is_told_that_it_must_not() {
        for is_ready in [false, true] {
            let (record, ..) = after(is_ready, &Exited { left_behind: 2, ..code(0) }, None);
            let failure = record.failure.unwrap();
            assert!(
                failure.contains("left 2 processes behind") && failure.contains("foreground"),
                "{failure}"
            );
        }
    }
}
