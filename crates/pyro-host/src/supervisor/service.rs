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
mod published;
mod task;

use super::operation::Topic;
use super::shared::Shared;
use super::wire;
use crate::error::{Error, ErrorKind, Result};
use crate::instance::ServiceRecord;
use crate::service::{ServiceName, ServiceSpec};
use published::PublishedPorts;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use task::Task;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a service may take to end when it is asked to, before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// How much longer the guest may take to kill it and say so.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// As many may run in one workspace.
const MAX_RUNNING: usize = 64;

/// So many records of services that have ended are kept.
const MAX_ENDED: usize = 256;

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

    /// Waits until it has ended. `None` when nobody is left who could say so.
    async fn ended(mut self) -> Option<ServiceRecord> {
        let ended = self.record.wait_for(|record| !record.state.is_alive()).await;
        ended.ok().map(|record| record.clone())
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
        let ended = async {
            for handle in alive {
                handle.ended().await;
            }
        };
        if timeout(GRACE + KILL_LIMIT, ended).await.is_err() {
            tracing::warn!("the guest does not say that its services have ended");
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
    refuse_running(shared, &shared.services.started(), &spec.name)?; // not for its ports, which are taken as well then
    let published = PublishedPorts::open(shared, &spec.publish).await?;
    let started = begin(shared, spec, published)?;
    shared.touch();
    wire::outcome(&started.await.map_err(|_| shared.ended())??)
}

/// Claims the name and has the service live. No other start of the name comes in between.
fn begin(
    shared: &Arc<Shared>,
    spec: ServiceSpec,
    published: PublishedPorts,
) -> Result<oneshot::Receiver<Result<ServiceRecord>>> {
    let table = &shared.services;
    let mut started = table.started();
    refuse_running(shared, &started, &spec.name)?;
    if started.values().filter(|handle| handle.is_alive()).count() >= MAX_RUNNING {
        let message = format!("{MAX_RUNNING} services run in the workspace, which is as many as may");
        return Err(Error::new(ErrorKind::LimitReached, message)
            .with_hint("stop one that is not needed: `pyro workspace service list ID` shows them"));
    }
    make_room(shared, &mut started, &spec.name)?;
    let (stop, stops) = mpsc::unbounded_channel();
    let (ready, started_it) = oneshot::channel();
    let name = spec.name.clone();
    let task = Task::begin(shared, spec, published, stops, ready)?;
    started.insert(name, Handle { stop, record: task.subscribe() });
    let mut tasks = table.tasks();
    while tasks.try_join_next().is_some() {}
    tasks.spawn(task.live());
    Ok(started_it)
}

fn refuse_running(
    shared: &Shared,
    started: &BTreeMap<ServiceName, Handle>,
    name: &ServiceName,
) -> Result<()> {
    if !started.get(name).is_some_and(Handle::is_alive) {
        return Ok(());
    }
    let id = &shared.instance.id;
    Err(Error::new(ErrorKind::AlreadyExists, format!("the service `{name}` runs already"))
        .with_hint(format!("take another name, or stop it: pyro workspace service stop {id} {name}")))
}

/// Removes the records of the oldest that have ended where a new name would be one too many.
fn make_room(shared: &Shared, started: &mut BTreeMap<ServiceName, Handle>, name: &ServiceName) -> Result<()> {
    let services = shared.instance.services();
    let mut ended = services.names();
    ended.retain(|other| other != name && !started.get(other).is_some_and(Handle::is_alive));
    if ended.len() < MAX_ENDED {
        return Ok(());
    }
    let begun = |name: &ServiceName| services.read(name, true).map_or(0.0, |record| record.started_at);
    let mut ended: Vec<(f64, ServiceName)> = ended.into_iter().map(|name| (begun(&name), name)).collect();
    ended.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (_, oldest) in ended.iter().skip(MAX_ENDED - 1) {
        started.remove(oldest);
        services.delete(oldest)?;
    }
    Ok(())
}

/// Stops a service. One that has ended stays as it is.
pub(super) async fn stop(shared: &Arc<Shared>, name: &ServiceName) -> Result<Value> {
    let Some(handle) = shared.services.alive(name) else {
        // Whatever its record says, it does not run: this supervisor has not started it.
        return wire::outcome(&match shared.services.record(name) {
            Some(record) => record,
            None => shared.instance.services().read(name, false)?,
        });
    };
    shared.touch();
    let _ = handle.stop.send(Stop::Service); // it ends just now
    let late = |_| shared.silent(format!("the guest does not say that the service `{name}` has ended"));
    let ended = timeout(GRACE + KILL_LIMIT, handle.ended()).await.map_err(late)?;
    wire::outcome(&ended.ok_or_else(|| shared.ended())?)
}

impl Shared {
    /// A service is in another way than before: to be recorded, and told to those who follow it.
    fn service_changed(self: &Arc<Self>, name: &ServiceName) {
        self.keep_latest(Topic::Service(name.clone()), {
            let name = name.clone();
            move |shared| match shared.services.record(&name) {
                Some(record) => shared.instance.services().write(&record),
                None => Ok(()),
            }
        });
        self.written.notify_one();
    }
}
