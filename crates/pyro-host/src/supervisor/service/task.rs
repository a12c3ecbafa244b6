//! The life of one service: one task that owns its process in the guest, its logs and its record.

use super::end::{self, Asked};
use super::{GRACE, Stop, failure};
use crate::clock::unix_time;
use crate::command::{Command, WORKSPACE_PATH};
use crate::error::{Error, ErrorKind, Result};
use crate::guest::{ExecEvent, Execution};
use crate::instance::{LogWriter, SERVICE_LOG_BYTES, ServiceRecord, ServiceState};
use crate::output::OutputChannel;
use crate::service::{Readiness, ServiceSpec};
use crate::supervisor::operation::Topic;
use crate::supervisor::shared::Shared;
use pyro_protocol::exec::{Exec, Exited};
use pyro_protocol::probe::{Check, MAX_ANSWER, Probe};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

const SIGTERM: i32 = libc::SIGTERM;

/// See the module.
pub(super) struct Task {
    shared: Arc<Shared>,
    spec: ServiceSpec,
    record: watch::Sender<ServiceRecord>,
    execution: Execution,
    /// Of standard output and standard error.
    logs: [LogWriter; 2],
    probing: Option<Probing>,
    stops: mpsc::UnboundedReceiver<Stop>,
    asked: Option<Asked>,
    /// When it has to be ready.
    deadline: Instant,
    /// Who waits for it to be ready.
    ready: Option<oneshot::Sender<Result<ServiceRecord>>>,
    /// What the probe said last.
    answer: Option<String>,
}

/// Something that happens to a service.
enum Event {
    Process(Result<ExecEvent>),
    Probe(Result<ExecEvent>),
    Stop(Stop),
    NotReady,
}

impl Task {
    /// Sends the command to the guest and makes the record.
    pub(super) fn begin(
        shared: &Arc<Shared>,
        spec: ServiceSpec,
        stops: mpsc::UnboundedReceiver<Stop>,
        ready: oneshot::Sender<Result<ServiceRecord>>,
    ) -> Result<Self> {
        let services = shared.instance.services();
        let log = |channel| services.log(&spec.name, channel).writer(SERVICE_LOG_BYTES);
        let logs = [log(OutputChannel::Stdout)?, log(OutputChannel::Stderr)?];
        let record = beginning(&spec, [logs[0].position(), logs[1].position()]);
        services.write(&record)?;
        let deadline = Instant::now() + spec.ready_timeout()?;
        let execution = shared.guest()?.exec(exec(&spec))?;
        let (record, probing) = (watch::Sender::new(record), None);
        let (shared, ready) = (Arc::clone(shared), Some(ready));
        let (asked, answer) = (None, None);
        Ok(Self { shared, spec, record, execution, logs, probing, stops, asked, deadline, ready, answer })
    }

    /// The record, whenever it changes.
    pub(super) fn subscribe(&self) -> watch::Receiver<ServiceRecord> {
        self.record.subscribe()
    }

    /// Until it has ended.
    pub(super) async fn live(mut self) {
        loop {
            let event = self.event().await;
            if self.shared.is_gone() {
                return;
            }
            let is_over = match event {
                Event::Process(event) => self.process(event).await,
                Event::Probe(event) => self.probed(event),
                Event::Stop(stop) => self.ask(Asked::Stop(stop)),
                Event::NotReady => self.ask(Asked::NotReady),
            };
            if is_over {
                return;
            }
        }
    }

    async fn event(&mut self) -> Event {
        let is_starting = self.record.borrow().state == ServiceState::Starting;
        tokio::select! {
            event = self.execution.next() => Event::Process(event),
            event = next_of(&mut self.probing) => Event::Probe(event),
            Some(stop) = self.stops.recv() => Event::Stop(stop),
            () = tokio::time::sleep_until(self.deadline), if is_starting && self.asked.is_none() => Event::NotReady,
        }
    }

    /// Something happened to its process. Gives whether it is over.
    async fn process(&mut self, event: Result<ExecEvent>) -> bool {
        match event {
            Ok(ExecEvent::Started { pid }) => self.runs(pid),
            Ok(ExecEvent::Stdout(bytes)) => self.keep(OutputChannel::Stdout, &bytes),
            Ok(ExecEvent::Stderr(bytes)) => self.keep(OutputChannel::Stderr, &bytes),
            Ok(ExecEvent::Exited(exited)) => self.ended(&exited),
            Err(error) => self.broken(error).await,
        }
    }

    fn runs(&mut self, pid: u32) -> bool {
        self.record.send_modify(|record| record.pid = Some(pid));
        match self.spec.readiness.clone() {
            None => self.is_ready(),
            Some(readiness) => {
                self.shared.service_changed(&self.spec.name);
                match self.shared.guest_now().and_then(|guest| guest.probe(probe(&self.spec, readiness))) {
                    Ok(execution) => self.probing = Some(Probing { execution, line: Vec::new() }),
                    Err(error) => self.cannot_probe(error.chain().join(": ")),
                }
            }
        }
        false
    }

    /// Who cannot be asked can never become ready.
    fn cannot_probe(&mut self, why: String) {
        self.answer = Some(why);
        self.ask(Asked::CannotProbe);
    }

    fn is_ready(&mut self) {
        self.probing = None;
        if self.asked.is_some() {
            return; // too late
        }
        self.record.send_modify(|record| {
            (record.state, record.ready_at) = (ServiceState::Running, Some(unix_time()));
        });
        self.shared.service_changed(&self.spec.name);
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(Ok(self.record.borrow().clone())); // whoever is gone need not know
        }
    }

    fn probed(&mut self, event: Result<ExecEvent>) -> bool {
        match event {
            Ok(ExecEvent::Exited(exited)) if exited.code == Some(0) => self.is_ready(),
            Ok(ExecEvent::Stdout(bytes)) => {
                if let Some(answer) = self.probing.as_mut().and_then(|probing| probing.answer(&bytes)) {
                    self.answer = Some(answer);
                }
            }
            Ok(ExecEvent::Started { .. } | ExecEvent::Stderr(_)) => {}
            Ok(ExecEvent::Exited(_)) => self.cannot_probe("the probe itself has ended".into()),
            Err(error) => self.cannot_probe(error.chain().join(": ")),
        }
        false
    }

    /// Asks it to end, once: many programs take a second SIGTERM as a wish to end without tidying up.
    fn ask(&mut self, asked: Asked) -> bool {
        self.probing = None;
        if self.asked.is_some() {
            return false;
        }
        self.asked = Some(asked);
        if let Err(error) = self.execution.terminate(SIGTERM, GRACE) {
            tracing::debug!("{}", error.chain().join(": ")); // its end comes as an event
        }
        false
    }

    fn keep(&mut self, channel: OutputChannel, bytes: &[u8]) -> bool {
        let log = &mut self.logs[usize::from(channel == OutputChannel::Stderr)];
        if let Err(error) = log.append(bytes) {
            tracing::warn!("{}", error.chain().join(": "));
        }
        self.shared.topics.changed(&Topic::Service(self.spec.name.clone()));
        false
    }

    fn ended(&mut self, exited: &Exited) -> bool {
        let asked = self.asked;
        self.finish(|record| end::ended(record, exited, asked), None)
    }

    /// It could not be started, or its machine is gone.
    async fn broken(&mut self, error: Error) -> bool {
        if error.kind() == ErrorKind::ExecNotStarted {
            let why = error.chain().join(": ");
            return self.finish(|record| end::not_started(record, why), Some(error));
        }
        let why = self.shared.why_ended(&error).await;
        if self.shared.is_gone() {
            return true;
        }
        let error = self.shared.explain(error).await;
        self.finish(|record| end::lost(record, why), Some(error))
    }

    /// Records the end and tells it to whoever waits for it to be ready.
    fn finish(&mut self, change: impl FnOnce(&mut ServiceRecord), error: Option<Error>) -> bool {
        let mut record = self.record.borrow().clone();
        change(&mut record);
        self.record.send_replace(record.clone());
        self.shared.service_changed(&self.spec.name);
        if let Some(ready) = self.ready.take() {
            let of_record = || failure::of(&record, self.answer.as_deref(), &self.shared.instance);
            let _ = ready.send(Err(error.unwrap_or_else(of_record)));
        }
        true
    }
}

/// A probe that is being asked.
struct Probing {
    execution: Execution,
    /// The beginning of an answer.
    line: Vec<u8>,
}

impl Probing {
    /// The last whole answer among bytes of the probe.
    fn answer(&mut self, bytes: &[u8]) -> Option<String> {
        self.line.extend_from_slice(bytes);
        let Some(end) = self.line.iter().rposition(|&byte| byte == b'\n') else {
            self.line.truncate(MAX_ANSWER); // a guest that never ends its line must not fill our memory
            return None;
        };
        let rest = self.line.split_off(end + 1);
        let lines = std::mem::replace(&mut self.line, rest);
        let last = lines[..end].rsplit(|&byte| byte == b'\n').next()?;
        let text = String::from_utf8_lossy(&last[..last.len().min(MAX_ANSWER)]).into_owned();
        Some(text.chars().filter(|c| !c.is_control()).collect())
    }
}

async fn next_of(probing: &mut Option<Probing>) -> Result<ExecEvent> {
    match probing {
        Some(probing) => probing.execution.next().await,
        None => std::future::pending().await,
    }
}

fn beginning(spec: &ServiceSpec, log_start: [u64; 2]) -> ServiceRecord {
    ServiceRecord {
        service_name: spec.name.clone(),
        command: spec.command.clone(),
        cwd: spec.cwd.clone(),
        state: ServiceState::Starting,
        started_at: unix_time(),
        ready_at: None,
        ended_at: None,
        exit_code: None,
        signal: None,
        pid: None,
        readiness: spec.readiness.clone(),
        stop_reason: None,
        failure: None,
        log_start,
    }
}

fn exec(spec: &ServiceSpec) -> Exec {
    Exec {
        timeout_ms: None,
        cwd: spec.cwd.clone(),
        contained: true,
        ..spec.command.to_exec(Duration::ZERO, false)
    }
}

fn probe(spec: &ServiceSpec, readiness: Readiness) -> Probe {
    let check = match readiness {
        Readiness::File { path } => Check::File { path },
        Readiness::Tcp { address } => Check::Tcp { address },
        Readiness::Http { url } => Check::Http { url },
        Readiness::Command { command } => Check::Command { command },
    };
    let env = Command::Argv(Vec::new()).to_exec(Duration::ZERO, false).env;
    let cwd = if matches!(check, Check::Command { .. }) { spec.cwd.clone() } else { WORKSPACE_PATH.into() };
    Probe { check, interval_ms: spec.ready_interval_ms, env, cwd }
}
