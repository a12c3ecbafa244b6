//! The services of a workspace: started, probed until they are ready, watched to their end, stopped.
//!
//! ```text
//! start ──> task (task.rs) owns the process in the guest, its logs and its record
//!             │  runs ── probe answers ──> ready            starting -> running
//!             │  ends, is stopped, is not ready in time     -> exited, stopped, failed (end.rs)
//! stop ───────┘
//! ```
//!
//! A service outlives the call that started it, and every client. It ends with its machine.

mod end;
mod failure;
mod task;

use super::operation::Topic;
use super::shared::Shared;
use crate::error::{Error, ErrorKind, Result};
use crate::instance::ServiceRecord;
use crate::service::{ServiceName, ServiceSpec};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use task::Task;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// How long a service may take to end when it is asked to, before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// How much longer the guest may take to kill it and say so.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// As many may run in one workspace.
const MAX_RUNNING: usize = 64;

/// Who wants a service stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// A client.
    Service,
    /// Its workspace is being stopped.
    Workspace,
}

/// The services that this supervisor has started.
#[derive(Debug, Default)]
pub(super) struct ServiceTable {
    started: Mutex<BTreeMap<ServiceName, Handle>>,
    tasks: Mutex<JoinSet<()>>,
}

/// One that was started. It may have ended.
#[derive(Debug, Clone)]
struct Handle {
    stop: mpsc::UnboundedSender<Stop>,
    record: watch::Receiver<ServiceRecord>,
}

impl Handle {
    fn is_alive(&self) -> bool {
        self.record.borrow().state.is_alive()
    }

    /// Has it end, and waits for that.
    async fn end(mut self, stop: Stop) -> Result<ServiceRecord> {
        let late = || Error::new(ErrorKind::Timeout, "the guest does not say that the service has ended");
        let _ = self.stop.send(stop); // it has ended already
        let ended = self.record.wait_for(|record| !record.state.is_alive());
        match tokio::time::timeout(GRACE + KILL_LIMIT, ended).await {
            Ok(Ok(record)) => Ok(record.clone()),
            Ok(Err(_)) | Err(_) => Err(late()),
        }
    }
}

impl ServiceTable {
    fn started(&self) -> MutexGuard<'_, BTreeMap<ServiceName, Handle>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How one is now.
    fn record(&self, name: &ServiceName) -> Option<ServiceRecord> {
        self.started().get(name).map(|handle| handle.record.borrow().clone())
    }

    fn alive(&self, name: &ServiceName) -> Option<Handle> {
        self.started().get(name).filter(|handle| handle.is_alive()).cloned()
    }

    /// Has all of them end, and waits for that.
    pub(super) async fn stop_all(&self) {
        let alive: Vec<Handle> =
            self.started().values().filter(|handle| handle.is_alive()).cloned().collect();
        for handle in &alive {
            let _ = handle.stop.send(Stop::Workspace);
        }
        for handle in alive {
            if let Err(error) = handle.end(Stop::Workspace).await {
                tracing::warn!("{}", error.chain().join(": "));
            }
        }
    }

    /// Waits until the end of each has been recorded.
    pub(super) async fn all_recorded(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks());
        while tasks.join_next().await.is_some() {}
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a service and waits until it is ready. It goes on when nobody waits for that any more.
pub(super) async fn start(shared: &Arc<Shared>, spec: ServiceSpec) -> Result<Value> {
    let spec = spec.checked()?;
    shared.guest()?;
    let started = begin(shared, spec)?;
    shared.touch();
    let lost = |_| Error::new(ErrorKind::WrongState, "the workspace ended while the service was started");
    reply(&started.await.map_err(lost)??)
}

/// Claims the name and has the service live. No other start of the name comes in between.
fn begin(shared: &Arc<Shared>, spec: ServiceSpec) -> Result<oneshot::Receiver<Result<ServiceRecord>>> {
    let table = &shared.services;
    let mut started = table.started();
    if started.get(&spec.name).is_some_and(Handle::is_alive) {
        let message = format!("the service `{}` runs already", spec.name);
        let id = &shared.instance.id;
        return Err(Error::new(ErrorKind::AlreadyExists, message).with_hint(format!(
            "take another name, or stop it: pyro workspace service stop {id} {}",
            spec.name
        )));
    }
    if started.values().filter(|handle| handle.is_alive()).count() >= MAX_RUNNING {
        let message = format!("{MAX_RUNNING} services run in the workspace, which is as many as may");
        return Err(Error::new(ErrorKind::LimitReached, message).with_hint("stop one that is not needed"));
    }
    let (stop, stops) = mpsc::unbounded_channel();
    let (ready, started_it) = oneshot::channel();
    let name = spec.name.clone();
    let task = Task::begin(shared, spec, stops, ready)?;
    started.insert(name, Handle { stop, record: task.subscribe() });
    let mut tasks = table.tasks();
    while tasks.try_join_next().is_some() {}
    tasks.spawn(task.live());
    Ok(started_it)
}

/// Stops a service. One that has ended stays as it is.
pub(super) async fn stop(shared: &Shared, name: &ServiceName) -> Result<Value> {
    let record = match shared.services.alive(name) {
        Some(handle) => {
            shared.touch();
            handle.end(Stop::Service).await?
        }
        None => shared.instance.services().read(name, true)?,
    };
    reply(&record)
}

fn reply(record: &ServiceRecord) -> Result<Value> {
    serde_json::to_value(record).map_err(|error| {
        Error::new(ErrorKind::Internal, "could not tell how the service is").with_source(error)
    })
}

impl Shared {
    /// A service is in another way than before: to be recorded, and told to those who follow it.
    fn service_changed(self: &Arc<Self>, name: &ServiceName) {
        self.keep(Topic::Service(name.clone()), {
            let name = name.clone();
            move |shared| match shared.services.record(&name) {
                Some(record) => shared.instance.services().write(&record),
                None => Ok(()),
            }
        });
        self.written.notify_one();
    }
}
