//! The life of one service: one task that owns its process in the guest, its logs and its record.

use super::end::{self, Asked};
use super::{GRACE, KILL_LIMIT, PublishedPorts, Stop, failure};
use crate::clock::unix_time;
use crate::command::{Command, WORKSPACE_PATH};
use crate::error::{Error, ErrorKind, Result};
use crate::guest::{ExecEvent, ExecNotStarted, Execution};
use crate::instance::{LogWriter, SERVICE_LOG_BYTES, ServiceRecord, ServiceState};
use crate::output::OutputChannel;
use crate::service::{Readiness, ServiceSpec};
use crate::supervisor::operation::Topic;
use crate::supervisor::shared::{Phase, Shared};
use pyro_protocol::exec::{Exec, ExecFailure, Exited};
use pyro_protocol::probe::{Check, MAX_ANSWER, Probe};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// How soon a deadline is looked at again that passed while the machine stood still.
const PAUSED: Duration = Duration::from_secs(5);

const SIGTERM: i32 = libc::SIGTERM;

/// See the module.
pub(super) struct Task {
    shared: Arc<Shared>,
    spec: ServiceSpec,
    published: PublishedPorts,
    record: watch::Sender<ServiceRecord>,
    execution: Execution,
    /// Of standard output and standard error.
    logs: [LogWriter; 2],
    probing: Option<Probing>,
    stops: mpsc::UnboundedReceiver<Stop>,
    asked: Option<Asked>,
    /// When it has to be ready; once it was asked to end, when it has to have ended.
    deadline: Instant,
    /// When a probe that ended without an answer is begun again.
    probe_at: Option<Instant>,
    /// Who waits for it to be ready.
    ready: Option<oneshot::Sender<Result<ServiceRecord>>>,
    /// What the probe said last.
    answer: Option<String>,
}

/// Something that happens to a service.
enum Event {
    Process(Result<ExecEvent>),
    Probe(Result<ExecEvent>),
    ProbeAgain,
    Stop(Stop),
    Deadline,
}

impl Task {
    /// Sends the command to the guest and makes the record.
    pub(super) fn begin(
        shared: &Arc<Shared>,
        spec: ServiceSpec,
        published: PublishedPorts,
        stops: mpsc::UnboundedReceiver<Stop>,
        ready: oneshot::Sender<Result<ServiceRecord>>,
    ) -> Result<Self> {
        let services = shared.instance.services();
        let log = |channel| services.log(&spec.name, channel).writer(SERVICE_LOG_BYTES);
        let logs = [log(OutputChannel::Stdout)?, log(OutputChannel::Stderr)?];
        let mut record = beginning(&spec, [logs[0].position(), logs[1].position()]);
        record.published = published.ports().to_vec();
        let deadline = Instant::now() + spec.ready_timeout()?;
        // Dropped, it ends what was sent: there is no service without a record, and no record of what was never sent.
        let execution = shared.guest()?.exec(exec(&spec))?;
        services.write(&record)?;
        let (record, probing) = (watch::Sender::new(record), None);
        let (shared, ready) = (Arc::clone(shared), Some(ready));
        let (asked, answer, probe_at) = (None, None, None);
        Ok(Self {
            shared,
            spec,
            published,
            record,
            execution,
            logs,
            probing,
            stops,
            asked,
            deadline,
            probe_at,
            ready,
            answer,
        })
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
                Event::ProbeAgain => self.probe(),
                Event::Deadline => self.late(),
            };
            if is_over {
                return;
            }
        }
    }

    async fn event(&mut self) -> Event {
        let is_awaited = self.ready.is_some();
        tokio::select! {
            event = self.execution.next() => Event::Process(event),
            event = next_of(&mut self.probing) => Event::Probe(event),
            Some(stop) = self.stops.recv() => Event::Stop(stop),
            () = at(self.probe_at) => Event::ProbeAgain,
            () = tokio::time::sleep_until(self.deadline), if is_awaited => Event::Deadline,
        }
    }

    /// Something happened to its process. Gives whether it is over.
    async fn process(&mut self, event: Result<ExecEvent>) -> bool {
        match event {
            Ok(ExecEvent::Started { pid }) => self.runs(pid),
            Ok(ExecEvent::Stdout(bytes)) => self.keep(OutputChannel::Stdout, &bytes),
            Ok(ExecEvent::Stderr(bytes)) => self.keep(OutputChannel::Stderr, &bytes),
            Ok(ExecEvent::Exited(exited)) => {
                self.published.close().await; // before its end is told: its ports may be wanted again then
                self.ended(&exited)
            }
            Err(error) => {
                self.published.close().await;
                self.broken(error).await
            }
        }
    }

    fn runs(&mut self, pid: u32) -> bool {
        self.record.send_modify(|record| record.pid = Some(pid));
        if self.spec.readiness.is_some() {
            self.shared.service_changed(&self.spec.name);
        }
        self.probe()
    }

    /// Has the guest ask whether it is ready.
    fn probe(&mut self) -> bool {
        self.probe_at = None;
        let Some(readiness) = self.spec.readiness.clone() else {
            self.is_ready();
            return false;
        };
        match self.shared.guest_now().and_then(|guest| guest.probe(probe(&self.spec, readiness))) {
            Ok(execution) => self.probing = Some(Probing { execution, line: Vec::new() }),
            Err(error) => self.not_probed(&error),
        }
        false
    }

    /// The guest could not ask. What it refuses it will never ask; anything else may be over soon.
    fn not_probed(&mut self, error: &Error) {
        self.answer = Some(error.chain().join(": "));
        self.probing = None;
        if is_refusal(error) {
            self.ask(Asked::CannotProbe);
        } else if self.asked.is_none() {
            self.probe_at = Some(Instant::now() + Duration::from_millis(self.spec.ready_interval_ms));
        }
    }

    /// It was not ready in time, or has not ended in time.
    fn late(&mut self) -> bool {
        if matches!(*self.shared.phase.borrow(), Phase::Paused(_)) {
            self.deadline = Instant::now() + PAUSED; // its time stands still as well
            return false;
        }
        if self.asked.is_none() {
            return self.ask(Asked::NotReady);
        }
        let name = &self.spec.name;
        let late = format!(
            "the guest does not say that the service `{name}`, which did not become ready, has ended"
        );
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(Err(self.shared.silent(late)));
        }
        false
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
            Ok(ExecEvent::Exited(_)) => {
                self.not_probed(&Error::new(ErrorKind::GuestUnreachable, "the probe itself has ended"));
            }
            Err(error) => self.not_probed(&error),
        }
        false
    }

    /// Asks it to end, once: many programs take a second SIGTERM as a wish to end without tidying up.
    fn ask(&mut self, asked: Asked) -> bool {
        (self.probing, self.probe_at) = (None, None);
        if self.asked.is_some() {
            return false;
        }
        self.asked = Some(asked);
        self.deadline = Instant::now() + GRACE + KILL_LIMIT;
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
        self.shared.printed.notify_one();
        false
    }

    fn ended(&mut self, exited: &Exited) -> bool {
        let (asked, answer) = (self.asked, self.answer.clone());
        self.finish(|record| end::ended(record, exited, asked, answer.as_deref()), None)
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
        record.published.clear();
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

/// Whether the guest will never do what it was asked for.
fn is_refusal(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<ExecNotStarted>());
    error.kind() == ErrorKind::InvalidArgument
        || source.is_some_and(|source| source.failure == ExecFailure::BadRequest)
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
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
        published: Vec::new(),
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
