//! The owner of a machine: one task that waits for whatever happens, asks the lifecycle what follows, and does it.

use super::backend::{Backend, Begun, begin};
use super::deadline::Deadline;
use super::detach::SupervisorDescriptors;
use super::ending::{Stopping, is_answered_by, powered_off, reason, stop, stopped};
use super::launch::{News, Order};
use super::lifecycle::{Action, Event, State};
use super::server::serve;
use super::shared::{Phase, Shared, Wish};
use super::{relay, socket};
use crate::error::{Context, Error, ErrorKind, ErrorReport, Result};
use crate::instance::{InstanceState, Instances, OwnedInstance, SupervisorRecord};
use crate::limits::allow_many_files;
use crate::state_dir::{DirLock, StateDir, make_private_dir};
use crate::vm::machine::{MachineEvent, PauseReason};
use pyro_protocol::task::Task;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// How long clients may take to hear the last.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// As many clients are served at a time; more wait.
const MAX_CLIENTS: usize = 512;

/// How long to wait where no client can be accepted, as without descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How often a machine that waits for room on the host's disk is given another chance.
const ROOM_CHECK: Duration = Duration::from_secs(1);

/// As much room as makes another chance worth while.
const ROOM_BYTES: u64 = 64 * 1024 * 1024;

/// How long after the last command the guest is told to write what it holds to its disk.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

/// The same after a service or a shell printed something, which may go on for ever.
const FLUSH_AFTER_PRINT: Duration = Duration::from_secs(5);

/// The longest order.
const MAX_ORDER: u64 = 64 * 1024;

/// The whole life of a supervisor.
///
/// # Errors
/// When it could not begin: before there was anybody to be told. Everything later is told to clients and recorded.
pub fn supervise(descriptors: SupervisorDescriptors) -> Result<()> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let _ = rustix::thread::set_name(c"pyro-supervise"); // what process lists show, where it was started as `exe`
    allow_many_files();
    let SupervisorDescriptors { lifeline, lock } = descriptors;
    let (order, lifeline) = read_order(lifeline)?;
    let lock = DirLock::inherited(lock);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing(|| "could not start the event loop".into())?;
    runtime.block_on(async {
        let doing = || "could not talk to the client that started this".to_owned();
        let mut lifeline = UnixStream::from_std(lifeline).doing(doing)?;
        match Owner::new(order, lock) {
            Ok(mut owner) => owner.live(lifeline).await,
            Err(error) => {
                tell(&mut lifeline, &News::Failed((&error).into())).await;
                return Err(error);
            }
        }
        Ok(())
    })
}

fn read_order(lifeline: OwnedFd) -> Result<(Order, std::os::unix::net::UnixStream)> {
    let doing = || "could not read what to supervise".to_owned();
    let stream = std::os::unix::net::UnixStream::from(lifeline);
    let mut line = Vec::new();
    BufReader::new((&stream).take(MAX_ORDER)).read_until(b'\n', &mut line).doing(doing)?;
    let order = serde_json::from_slice(&line).doing(doing)?;
    stream.set_nonblocking(true).doing(doing)?;
    Ok((order, stream))
}

async fn tell(lifeline: &mut UnixStream, news: &News) {
    if let Ok(mut line) = serde_json::to_vec(news) {
        line.push(b'\n');
        let _ = lifeline.write_all(&line).await; // whoever is gone need not know
    }
}

/// See the module.
struct Owner {
    state_dir: StateDir,
    shared: Arc<Shared>,
    state: State,
    lock: Option<DirLock>,
    machine: Option<Backend>,
    /// The machine on its way to its end.
    stopping: Option<Stopping>,
    /// What went wrong on the way to here, and is told with the state.
    warning: Option<String>,
    /// Why it is on the host, where a machine was tried and could not be started.
    host_compat: Option<String>,
    why_not: Option<Error>,
    deadline: Deadline,
    wishes: mpsc::Receiver<Wish>,
    waiting: Vec<(Event, oneshot::Sender<Result<()>>)>,
    listener: UnixListener,
    socket: PathBuf,
    clients: JoinSet<()>,
    signals: [Signal; 3],
}

impl Owner {
    fn new(order: Order, lock: DirLock) -> Result<Self> {
        let Order { state_dir, instance, creating } = order;
        let mut record = instance.read_record()?;
        make_private_dir(state_dir.runtime())?;
        let socket = instance.socket(&state_dir);
        let listener = socket::listen(&socket)?;
        let pyro = env!("CARGO_PKG_VERSION").into();
        record.supervisor = Some(SupervisorRecord { pid: std::process::id(), socket: socket.clone(), pyro });
        let deadline = Deadline::at(record.expires_at)?;
        let (wishes_to, wishes) = mpsc::channel(16);
        let doing = || "could not listen for signals".to_owned();
        let signals = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        let [terminate, interrupt, hangup] = signals;
        let signals = [terminate.doing(doing)?, interrupt.doing(doing)?, hangup.doing(doing)?];
        Ok(Self {
            state_dir,
            shared: Arc::new(Shared::new(instance, record, wishes_to)),
            state: State::Starting { creating },
            lock: Some(lock),
            machine: None,
            stopping: None,
            warning: None,
            host_compat: None,
            why_not: None,
            deadline,
            wishes,
            waiting: Vec::new(),
            listener,
            socket,
            clients: JoinSet::new(),
            signals,
        })
    }

    async fn live(&mut self, mut lifeline: UnixStream) {
        let shared = Arc::clone(&self.shared);
        let state_dir = self.state_dir.clone();
        let mut start = Box::pin(begin(&state_dir, &shared, self.state));
        while matches!(self.state, State::Starting { .. }) {
            let event = tokio::select! {
                started = &mut start => self.started(started),
                event = self.event(&mut lifeline) => event,
            };
            self.happen(event, &mut lifeline).await;
        }
        drop(start); // and with it a machine that was not to be
        let flushing = tokio::spawn(flush_after_commands(Arc::clone(&shared)));
        while self.state != State::Ended {
            let event = self.event(&mut lifeline).await;
            self.happen(event, &mut lifeline).await;
        }
        flushing.abort();
    }

    fn started(&mut self, started: Result<Begun>) -> Event {
        match started {
            Ok(Begun { backend, instead, warning }) => {
                (self.machine, self.host_compat, self.warning) = (Some(backend), instead, warning);
                Event::Ready
            }
            Err(error) => {
                let why = error.chain().join(": ");
                self.why_not = Some(error);
                Event::StartFailed(why)
            }
        }
    }

    /// Waits for the next thing that happens. May be dropped half-way.
    async fn event(&mut self, lifeline: &mut UnixStream) -> Event {
        // Outside of the loop: clients that come all the time must not put it off.
        let mut room_check = std::pin::pin!(tokio::time::sleep(ROOM_CHECK));
        loop {
            let has_creator = matches!(self.state, State::Starting { creating: true } | State::Seeding);
            let is_paused = matches!(*self.shared.phase.borrow(), Phase::Paused(_));
            let [terminate, interrupt, hangup] = &mut self.signals;
            tokio::select! {
                Some(Wish { event, done }) = self.wishes.recv() => {
                    self.waiting.push((event.clone(), done));
                    return event;
                }
                () = self.deadline.passed() => return Event::Expired,
                _ = terminate.recv() => return Event::Stop,
                _ = interrupt.recv() => return Event::Stop,
                _ = hangup.recv() => return Event::Stop,
                () = hung_up(lifeline), if has_creator => return Event::CreatorGone,
                event = machine_event(&mut self.machine) => match event {
                    MachineEvent::Ended(why) => return Event::MachineEnded(why),
                    MachineEvent::Paused { reason } => self.pause(reason),
                    MachineEvent::Resumed => self.go_on(),
                },
                (machine, ended) = stopped(&mut self.stopping) => {
                    (self.machine, self.stopping) = (Some(machine), None);
                    return powered_off(ended);
                }
                accepted = self.listener.accept(), if self.clients.len() < MAX_CLIENTS => match accepted {
                    Ok((stream, _)) => drop(self.clients.spawn(serve(Arc::clone(&self.shared), stream))),
                    Err(error) => {
                        tracing::warn!(%error, "could not accept a client");
                        tokio::time::sleep(ACCEPT_AGAIN).await;
                    }
                },
                Some(_) = self.clients.join_next(), if !self.clients.is_empty() => {}
                () = &mut room_check, if is_paused => {
                    room_check.as_mut().reset(tokio::time::Instant::now() + ROOM_CHECK);
                    self.try_again().await;
                }
            }
        }
    }

    fn go_on(&self) {
        let is_seeding = self.state == State::Seeding;
        self.shared.phase.send_replace(if is_seeding { Phase::Seeding } else { Phase::Running });
    }

    fn pause(&self, reason: PauseReason) {
        tracing::warn!(%reason, "the machine stands still");
        self.shared.phase.send_replace(Phase::Paused(reason));
    }

    /// Lets a machine go on that waits for room, where there is some now.
    async fn try_again(&mut self) {
        let is_worth_it = rustix::fs::statvfs(&self.shared.instance.folder)
            .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= ROOM_BYTES);
        if let (true, Some(machine)) = (is_worth_it, &mut self.machine)
            && let Err(error) = machine.resume().await
        {
            tracing::warn!("{}", error.chain().join(": "));
        }
    }

    /// Does what follows from an event.
    async fn happen(&mut self, event: Event, lifeline: &mut UnixStream) {
        tracing::debug!(state = ?self.state, ?event, "event");
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let (state, actions) = self.state.step(event.clone());
            if state == State::Ended && self.state != State::Ended {
                let is_gone = actions.contains(&Action::DeleteFiles);
                self.shared.phase.send_replace(Phase::Ending { why: reason(&event), is_gone });
            }
            self.state = state;
            for action in actions {
                if let Err(error) = self.perform(action, &event, lifeline).await
                    && let Some(next) = self.not_performed(&event, &error)
                {
                    tell(lifeline, &News::Failed((&error).into())).await;
                    events.push(next);
                    break;
                }
            }
            self.answer_seeded(&event);
        }
    }

    async fn perform(&mut self, action: Action, event: &Event, lifeline: &mut UnixStream) -> Result<()> {
        match action {
            Action::Record(state, failure) => self.record(state, failure)?,
            Action::TellReady => {
                let seeding = self.state == State::Seeding;
                self.shared.phase.send_replace(if seeding { Phase::Seeding } else { Phase::Running });
                let (socket, host_compat) = (self.socket.clone(), self.host_compat.take());
                tell(lifeline, &News::Ready { socket, host_compat }).await;
            }
            Action::TellFailed => {
                let error = self.why_not.take();
                let error = error.unwrap_or_else(|| Error::new(ErrorKind::WrongState, reason(event)));
                tell(lifeline, &News::Failed((&error).into())).await;
            }
            Action::PowerOff => self.power_off(),
            Action::Kill => {
                self.stopping = None; // which kills a machine that was about to end
                if let Some(machine) = self.machine.take() {
                    machine.kill().await?;
                }
            }
            Action::DeleteFiles => self.delete_files()?,
            Action::Exit => self.finish().await,
        }
        Ok(())
    }

    /// A failure that clients have to know of. What cannot be recorded as started is not: that is the event which
    /// follows. Nothing else stops for it.
    fn not_performed(&mut self, event: &Event, error: &Error) -> Option<Event> {
        tracing::error!("{}", error.chain().join(": "));
        let (told, kept) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(wanted, _)| is_answered_by(wanted, event));
        self.waiting = kept;
        let told: Vec<(Event, oneshot::Sender<Result<()>>)> = told;
        let report = ErrorReport::from(error);
        for (_, done) in told {
            let _ = done.send(Err(report.clone().into()));
        }
        match event {
            Event::Seeded => Some(Event::Delete),
            Event::Ready => Some(Event::StartFailed(error.chain().join(": "))),
            _ => None,
        }
    }

    fn record(&mut self, state: InstanceState, failure: Option<String>) -> Result<()> {
        let mut record = self.shared.record();
        record.state = state;
        record.failure = failure.or_else(|| self.warning.take());
        if state == InstanceState::Started {
            record.start_count += 1;
            self.shared.phase.send_replace(Phase::Running);
        } else {
            record.supervisor = None;
        }
        self.shared.instance.write_record(&record)
    }

    fn power_off(&mut self) {
        self.shared.phase.send_replace(Phase::Ending { why: "it is being stopped".into(), is_gone: false });
        self.stopping = self.machine.take().map(|machine| stop(machine, Arc::clone(&self.shared)));
    }

    fn delete_files(&mut self) -> Result<()> {
        let Some(lock) = self.lock.take() else { return Ok(()) };
        Instances::delete(&self.state_dir, OwnedInstance { instance: self.shared.instance.clone(), lock })
    }

    fn answer_seeded(&mut self, event: &Event) {
        if *event != Event::Seeded {
            return;
        }
        let is_running = self.state == State::Running;
        for (_, done) in self.waiting.extract_if(.., |(wanted, _)| *wanted == Event::Seeded) {
            let refusal = || Error::new(ErrorKind::WrongState, "the workspace is not being created any more");
            let _ = done.send(if is_running { Ok(()) } else { Err(refusal()) });
        }
    }

    /// Everything is done: those who waited for that are told, and the others have said their last.
    async fn finish(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
        for (_, done) in self.waiting.drain(..) {
            let _ = done.send(Ok(()));
        }
        self.wishes.close();
        while self.wishes.try_recv().is_ok() {} // dropped, which tells whoever waits
        let all = async {
            tokio::join!(self.shared.services.all_recorded(), self.shared.shells.all_recorded());
            while self.clients.join_next().await.is_some() {}
        };
        let _ = tokio::time::timeout(LAST_WORDS, all).await;
    }
}

async fn machine_event(machine: &mut Option<Backend>) -> MachineEvent {
    match machine {
        Some(machine) => machine.event().await,
        None => std::future::pending().await,
    }
}

/// Waits until the other end of the lifeline is closed.
async fn hung_up(lifeline: &mut UnixStream) {
    let mut ignored = [0; 64];
    while !matches!(lifeline.read(&mut ignored).await, Ok(0) | Err(_)) {}
}

/// Has the guest write to its disk what commands have written, soon after they ended: what a command did a moment ago
/// is not lost then when QEMU is killed.
async fn flush_after_commands(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.written.notified() => tokio::time::sleep(FLUSH_AFTER).await,
            () = shared.printed.notified() => tokio::time::sleep(FLUSH_AFTER_PRINT).await,
        }
        if *shared.phase.borrow() == Phase::Running
            && let Err(error) = relay::alone(&shared, Task::Flush).await
        {
            tracing::debug!("{}", error.chain().join(": "));
        }
    }
}
