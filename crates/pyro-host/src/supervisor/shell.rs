//! The shells of a workspace: opened, typed into, read, signalled, closed, by any number of clients.
//!
//! ```text
//! open ──> task (task.rs) owns the process in the guest, what it shows (on disk, for clients to read) and its record
//! signal, resize, close ──> wishes ──┘
//! write, attach ──────────> its input, one writer at a time
//! wait, attach <─────────── its view
//! ```
//!
//! A shell outlives the call that opened it, and every client. It ends with its machine.

mod attach;
mod task;
mod text;

pub(super) use attach::attach;

use super::operation::{ShellWait, Topic, Waited};
use super::server::FromClient;
use super::shared::Shared;
use super::wire::{self, Kind};
use crate::error::{Error, ErrorKind, Result};
use crate::guest::{ExecNotStarted, StdinSender};
use crate::instance::{ShellRecord, ShellState, Shells};
use crate::shell::{ShellId, ShellSignal, ShellSpec, checked_size};
use pyro_protocol::exec::{ExecFailure, WindowSize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use task::{GRACE, Opened, Task, View};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// What is started in a shell, whichever is there first.
const PROGRAMS: [&str; 2] = ["bash", "sh"];

/// As many may be there in one workspace; of those that have ended the oldest makes room.
const MAX_SHELLS: usize = 64;

/// How long the guest may take to end a shell beside the grace.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// How long a shell may take to show its prompt. An emulated one needs a second to read its start-up files.
const PROMPT_LIMIT: Duration = Duration::from_secs(10);

/// How long what runs in a shell may take to read what was typed before.
const INPUT_LIMIT: Duration = Duration::from_secs(10);

/// Nobody waits longer at once.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Something that is to be done with a shell.
#[derive(Debug, Clone, Copy)]
enum Wish {
    Signal(i32),
    Resize(WindowSize),
    Close,
}

/// The shells that this supervisor has opened.
#[derive(Debug, Default)]
pub(super) struct ShellTable {
    opened: Mutex<BTreeMap<ShellId, Arc<Handle>>>,
    /// How many are being opened.
    opening: AtomicUsize,
    tasks: Mutex<JoinSet<()>>,
}

/// One that was opened. It may have ended.
#[derive(Debug)]
struct Handle {
    wishes: mpsc::UnboundedSender<Wish>,
    view: watch::Sender<View>,
    input: tokio::sync::Mutex<StdinSender>,
}

impl Handle {
    fn is_running(&self) -> bool {
        self.view.borrow().record.state == ShellState::Running
    }

    fn record(&self) -> ShellRecord {
        self.view.borrow().record.clone()
    }

    /// Somebody has done something with it.
    fn touch(&self) {
        self.view.send_modify(|view| view.active_at = Instant::now());
    }

    /// Types, as soon as nobody else does.
    async fn type_in(&self, bytes: &[u8]) -> Result<()> {
        let late = |_| {
            let id = self.record().shell_id;
            let message = format!("what runs in the shell `{id}` does not read its input, which is full");
            Error::new(ErrorKind::Timeout, message).with_hint(
                "some of this may have been taken: wait for the program, or interrupt it with `pyro workspace shell signal`",
            )
        };
        self.touch();
        let typing = async { self.input.lock().await.send(bytes).await };
        timeout(INPUT_LIMIT, typing).await.map_err(late)?
    }

    /// Waits until it has shown something, which is its prompt, unless it shows nothing at all.
    async fn prompted(&self) {
        let mut view = self.view.subscribe();
        let shown = view.wait_for(|view| view.position > 0 || view.record.state != ShellState::Running);
        let _ = timeout(PROMPT_LIMIT, shown).await;
    }

    /// Ends it, and waits for that.
    async fn end(&self, shared: &Shared) -> Result<ShellRecord> {
        let _ = self.wishes.send(Wish::Close); // it has ended already
        let mut view = self.view.subscribe();
        let ended = view.wait_for(|view| view.record.state != ShellState::Running);
        let late = |_| shared.silent("the guest does not say that the shell has ended");
        let ended = timeout(GRACE + KILL_LIMIT, ended).await.map_err(late)?;
        ended.map(|view| view.record.clone()).map_err(|_| shared.ended())
    }
}

impl ShellTable {
    fn opened(&self) -> MutexGuard<'_, BTreeMap<ShellId, Arc<Handle>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How one is now.
    fn record(&self, id: &ShellId) -> Option<ShellRecord> {
        self.opened().get(id).map(|handle| handle.record())
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all of them, and waits for that.
    pub(super) async fn close_all(&self) {
        let running: Vec<_> = self.opened().values().filter(|handle| handle.is_running()).cloned().collect();
        for handle in &running {
            let _ = handle.wishes.send(Wish::Close);
        }
        let ended = async {
            for handle in running {
                let _ =
                    handle.view.subscribe().wait_for(|view| view.record.state != ShellState::Running).await;
            }
        };
        if timeout(GRACE + KILL_LIMIT, ended).await.is_err() {
            tracing::warn!("the guest does not say that its shells have ended");
        }
    }

    fn spawn(&self, task: Task) {
        let mut tasks = self.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task.live());
    }

    /// Waits until the end of each has been recorded.
    pub(super) async fn all_recorded(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks());
        while tasks.join_next().await.is_some() {}
    }
}

/// Opens a shell.
pub(super) async fn open(shared: &Arc<Shared>, spec: ShellSpec) -> Result<Value> {
    let spec = spec.checked()?;
    let place = Place::take(&shared.shells)?;
    let Opened { task, input, wishes, view } = start(shared, &spec).await?;
    let handle = Arc::new(Handle { wishes, view, input: tokio::sync::Mutex::new(input) });
    shared.shells.opened().insert(handle.record().shell_id, Arc::clone(&handle));
    shared.shells.spawn(task);
    drop(place);
    shared.touch();
    remove_oldest(shared)?;
    handle.prompted().await;
    match handle.record() {
        record if record.state == ShellState::Failed => Err(shared.ended()),
        record => wire::outcome(&record),
    }
}

/// A place for a shell that is being opened.
struct Place<'a>(&'a ShellTable);

impl<'a> Place<'a> {
    fn take(table: &'a ShellTable) -> Result<Self> {
        let n_running = table.opened().values().filter(|handle| handle.is_running()).count();
        if n_running + table.opening.load(Ordering::Relaxed) >= MAX_SHELLS {
            let message = format!("{MAX_SHELLS} shells run in the workspace, which is as many as may");
            return Err(Error::new(ErrorKind::LimitReached, message)
                .with_hint("close one that is not needed: `pyro workspace shell list ID` shows them"));
        }
        table.opening.fetch_add(1, Ordering::Relaxed);
        Ok(Self(table))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.opening.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn start(shared: &Arc<Shared>, spec: &ShellSpec) -> Result<Opened> {
    let mut last = None;
    for program in PROGRAMS {
        match Task::open(shared, spec, program).await {
            Err(error) if is_not_there(&error) => last = Some(error),
            opened => return opened,
        }
    }
    Err(last.unwrap_or_else(|| Error::new(ErrorKind::Internal, "there is no shell to try")))
}

fn is_not_there(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<ExecNotStarted>());
    source.is_some_and(|source| source.failure == ExecFailure::NotFound)
}

/// Removes the oldest of those that have ended, where there are too many.
fn remove_oldest(shared: &Shared) -> Result<()> {
    let shells = shared.instance.shells();
    let ids = shells.ids();
    let Some(too_many) = ids.len().checked_sub(MAX_SHELLS).filter(|&n| n > 0) else { return Ok(()) };
    let is_running = |id: &ShellId| shared.shells.opened().get(id).is_some_and(|handle| handle.is_running());
    let ended = ids.into_iter().filter(|id| !is_running(id));
    let mut ended: Vec<(f64, ShellId)> = ended.map(|id| (opened_at(&shells, &id), id)).collect();
    ended.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (_, oldest) in ended.iter().take(too_many) {
        shared.shells.opened().remove(oldest);
        shells.delete(oldest)?;
    }
    Ok(())
}

fn opened_at(shells: &Shells, id: &ShellId) -> f64 {
    shells.read(id, true).map_or(0.0, |record| record.started_at)
}

/// Types what the client sends.
pub(super) async fn write(shared: &Shared, id: &ShellId, from: &mut FromClient) -> Result<Value> {
    let handle = running(shared, id)?;
    loop {
        match from.next().await {
            Ok(Some((Kind::Stdin, bytes))) => {
                let typed = handle.type_in(&bytes).await;
                if let Err(error) = typed {
                    return Err(of_shell(shared, &handle, error).await);
                }
            }
            Ok(Some((Kind::End, _))) => break,
            Ok(Some(_)) => return Err(Error::new(ErrorKind::Internal, "a client broke the protocol")),
            Ok(None) | Err(_) => return Err(Error::new(ErrorKind::OutputClosed, "the client is gone")),
        }
    }
    shared.touch();
    wire::outcome(&handle.record())
}

/// What went wrong with the input of a shell: it may have ended.
async fn of_shell(shared: &Shared, handle: &Handle, error: Error) -> Error {
    match (error.kind(), handle.is_running()) {
        (ErrorKind::WrongState, _) => has_ended(&handle.record()),
        _ => shared.explain(error).await,
    }
}

/// Sends a signal to what runs in the foreground.
pub(super) fn signal(shared: &Shared, id: &ShellId, signal: ShellSignal) -> Result<Value> {
    let handle = running(shared, id)?;
    handle.touch();
    let _ = handle.wishes.send(Wish::Signal(signal.number())); // it ends just now
    shared.touch();
    wire::outcome(&handle.record())
}

/// Sets the size of its terminal.
pub(super) fn resize(shared: &Shared, id: &ShellId, size: WindowSize) -> Result<Value> {
    let size = checked_size(size.cols, size.rows)?;
    let handle = running(shared, id)?;
    let _ = handle.wishes.send(Wish::Resize(size)); // it ends just now
    let WindowSize { cols, rows } = size;
    wire::outcome(&ShellRecord { cols, rows, ..handle.record() })
}

/// Waits until it is quiet, or has shown enough.
pub(super) async fn wait(shared: &Shared, id: &ShellId, wait: &ShellWait) -> Result<Value> {
    let handle = find(shared, id)?;
    let mut view = handle.view.subscribe();
    let latest = Instant::now() + Duration::from_millis(wait.limit_ms).min(LONGEST_WAIT);
    let idle = loop {
        let (is_over, is_enough, quiet_at) = {
            let view = view.borrow_and_update();
            let quiet_at = view.active_at + Duration::from_millis(wait.idle_ms).min(LONGEST_WAIT);
            (view.record.state != ShellState::Running, view.position >= wait.position, quiet_at)
        };
        let now = Instant::now();
        if is_over || quiet_at <= now {
            break true;
        }
        if is_enough || latest <= now {
            break false;
        }
        tokio::select! {
            changed = view.changed() => if changed.is_err() { break true },
            () = tokio::time::sleep_until(quiet_at.min(latest)) => {}
        }
    };
    wire::outcome(&Waited { idle })
}

/// Ends a shell with everything in it. One that has ended is closed.
pub(super) async fn close(shared: &Arc<Shared>, id: &ShellId) -> Result<Value> {
    let opened = shared.shells.opened().get(id).cloned();
    let record = match opened {
        Some(handle) if handle.is_running() => {
            shared.touch();
            handle.end(shared).await?
        }
        Some(handle) => handle.record(),
        None => shared.instance.shells().read(id, true)?,
    };
    if record.state != ShellState::Exited {
        return wire::outcome(&record);
    }
    let closed = ShellRecord { state: ShellState::Closed, ..record };
    match shared.shells.opened().get(id) {
        Some(handle) => handle.view.send_modify(|view| view.record = closed.clone()),
        None => shared.instance.shells().write(&closed)?,
    }
    shared.shell_changed(id);
    wire::outcome(&closed)
}

/// One that this supervisor has opened.
fn find(shared: &Shared, id: &ShellId) -> Result<Arc<Handle>> {
    if let Some(handle) = shared.shells.opened().get(id) {
        return Ok(Arc::clone(handle));
    }
    Err(has_ended(&shared.instance.shells().read(id, false)?))
}

fn running(shared: &Shared, id: &ShellId) -> Result<Arc<Handle>> {
    shared.guest()?;
    let handle = find(shared, id)?;
    if handle.is_running() { Ok(handle) } else { Err(has_ended(&handle.record())) }
}

fn has_ended(record: &ShellRecord) -> Error {
    let message = format!("the shell `{}` has ended ({})", record.shell_id, record.state.name());
    let error = Error::new(ErrorKind::WrongState, message)
        .with_hint("what it showed can still be read; open another: pyro workspace shell open ID");
    match &record.failure {
        Some(failure) => error.with_source(failure.clone()),
        None => error,
    }
}

impl Shared {
    /// A shell is in another way than before: to be recorded, and told to those who follow it.
    fn shell_changed(self: &Arc<Self>, id: &ShellId) {
        self.keep_latest(Topic::Shell(id.clone()), {
            let id = id.clone();
            move |shared| match shared.shells.record(&id) {
                Some(record) => shared.instance.shells().write(&record),
                None => Ok(()),
            }
        });
        self.written.notify_one();
    }
}
