//! What the owner of a machine and the tasks of its clients share.

use super::lifecycle::Event;
use super::operation::Topic;
use super::service::ServiceTable;
use super::shell::ShellTable;
use super::topics::Topics;
use crate::error::{Error, ErrorKind, Result};
use crate::guest::Connection;
use crate::instance::{Instance, InstanceKind, InstanceRecord};
use crate::vm::machine::PauseReason;
use pyro_network::gateway::Gateway;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// What clients may do at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing: the machine is not ready.
    Starting,
    /// The creator may seed it.
    Seeding,
    /// Everything.
    Running,
    /// Nothing for now: the machine stands still.
    Paused(PauseReason),
    /// Nothing any more.
    Ending {
        /// Why.
        why: String,
        /// Whether its files are gone with it.
        is_gone: bool,
    },
}

/// A client's wish that the owner carries out, and who waits for that.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) event: Event,
    /// Gets an answer when it has been carried out.
    pub(super) done: oneshot::Sender<Result<()>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) instance: Instance,
    record: Mutex<InstanceRecord>,
    pub(super) phase: watch::Sender<Phase>,
    connection: OnceLock<Connection>,
    gateway: OnceLock<Arc<Gateway>>,
    /// Who follows what.
    pub(super) topics: Topics,
    pub(super) services: ServiceTable,
    pub(super) shells: ShellTable,
    next_sequence: AtomicU64,
    pub(super) wishes: mpsc::Sender<Wish>,
    /// Records that could not be written yet.
    unkept: Mutex<BTreeSet<Topic>>,
    /// Somebody wrote files in the guest: they should reach its disk soon.
    pub(super) written: tokio::sync::Notify,
    /// Something that stays in the guest printed, and may have written files too.
    pub(super) printed: tokio::sync::Notify,
}

/// How long an owner may take to find out why a guest is gone.
const REASON_LIMIT: Duration = Duration::from_secs(2);

/// How often a record that could not be written is written again.
const KEEP_AGAIN: Duration = Duration::from_secs(1);

impl Shared {
    pub(super) fn new(instance: Instance, record: InstanceRecord, wishes: mpsc::Sender<Wish>) -> Self {
        instance.history().end_interrupted();
        instance.services().end_interrupted();
        instance.shells().end_interrupted();
        let last = instance.history().sequences().last().copied().unwrap_or(0);
        Self {
            instance,
            record: Mutex::new(record),
            phase: watch::Sender::new(Phase::Starting),
            connection: OnceLock::new(),
            gateway: OnceLock::new(),
            topics: Topics::default(),
            services: ServiceTable::default(),
            shells: ShellTable::default(),
            next_sequence: AtomicU64::new(last + 1),
            wishes,
            unkept: Mutex::default(),
            written: tokio::sync::Notify::new(),
            printed: tokio::sync::Notify::new(),
        }
    }

    /// The record, to be changed by the owner and by whoever has done something with the machine.
    pub(super) fn record(&self) -> MutexGuard<'_, InstanceRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody has done something with the machine. That it cannot be recorded is no reason to fail what was done.
    pub(super) fn touch(&self) {
        if let Err(error) = self.instance.touch() {
            tracing::warn!("{}", error.chain().join(": "));
        }
    }

    /// Writes a record, and tells those who follow it. One that cannot be written now, as for want of room, is written as
    /// soon as it can be.
    pub(super) fn keep(
        self: &Arc<Self>,
        topic: Topic,
        mut write: impl FnMut(&Self) -> Result<()> + Send + 'static,
    ) {
        if self.is_gone() {
            return; // nothing is written to a folder that is being deleted
        }
        let written = write(self);
        self.topics.changed(&topic);
        let Err(error) = written else { return };
        tracing::warn!("{}", error.chain().join(": "));
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(KEEP_AGAIN).await;
                let is_over = matches!(*shared.phase.borrow(), Phase::Ending { .. });
                if is_over || write(&shared).is_ok() {
                    return shared.topics.changed(&topic);
                }
            }
        });
    }

    /// The same of a record that is written anew each time: one that waits to be written is so with what is true then.
    pub(super) fn keep_latest(
        self: &Arc<Self>,
        topic: Topic,
        write: impl Fn(&Self) -> Result<()> + Send + 'static,
    ) {
        if self.is_gone() {
            return;
        }
        let waits = !self.unkept().insert(topic.clone());
        if waits {
            // Whoever waits to write it may have given up, since the machine is ending.
            if write(self).is_ok() {
                self.unkept().remove(&topic);
            }
            return self.topics.changed(&topic);
        }
        self.keep(topic.clone(), move |shared| {
            write(shared)?;
            shared.unkept().remove(&topic);
            Ok(())
        });
    }

    fn unkept(&self) -> MutexGuard<'_, BTreeSet<Topic>> {
        self.unkept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the next command.
    pub(super) fn next_sequence(&self) -> u64 {
        self.next_sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// The machine takes commands.
    pub(super) fn connect(&self, connection: Connection) {
        let _ = self.connection.set(connection); // there is one machine in the life of a supervisor
    }

    /// The machine has a network.
    pub(super) fn connect_network(&self, gateway: Arc<Gateway>) {
        let _ = self.gateway.set(gateway); // likewise
    }

    /// The gateway of its network, where it has one.
    pub(super) fn gateway(&self) -> Option<&Arc<Gateway>> {
        self.gateway.get()
    }

    /// The guest, if it may be used now.
    ///
    /// # Errors
    /// `wrong_state` that says why not.
    pub(super) fn guest(&self) -> Result<&Connection> {
        match &*self.phase.borrow() {
            Phase::Running | Phase::Seeding => {}
            phase => return Err(self.unavailable(phase)),
        }
        self.connection.get().ok_or_else(|| self.unavailable(&Phase::Starting))
    }

    /// The guest, for the owner, whatever clients may do.
    pub(super) fn guest_now(&self) -> Result<&Connection> {
        self.connection.get().ok_or_else(|| self.unavailable(&Phase::Starting))
    }

    /// Waits until what is under way cannot go on, and says why.
    pub(super) async fn interrupted(&self) -> Error {
        let mut phase = self.phase.subscribe();
        let over = |phase: &Phase| matches!(phase, Phase::Paused(_) | Phase::Ending { .. });
        match phase.wait_for(over).await {
            Ok(phase) => self.unavailable(&phase),
            Err(_) => self.unavailable(&Phase::Starting),
        }
    }

    /// Says why a guest is gone, where the owner finds out soon.
    pub(super) async fn explain(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::GuestUnreachable {
            return error;
        }
        tokio::time::timeout(REASON_LIMIT, self.interrupted()).await.unwrap_or(error)
    }

    /// The error of who waits for a guest that says nothing.
    pub(super) fn silent(&self, what: impl Into<String>) -> Error {
        let id = &self.instance.id;
        Error::new(ErrorKind::Timeout, what).with_hint(format!(
            "its machine may be stuck, or very busy: try again, or end it with `pyro workspace delete {id}`"
        ))
    }

    /// The error of what cannot be done any more.
    pub(super) fn ended(&self) -> Error {
        self.unavailable(&self.phase.borrow())
    }

    /// Whether its files are being deleted: nothing may be written to its folder any more.
    pub(super) fn is_gone(&self) -> bool {
        matches!(&*self.phase.borrow(), Phase::Ending { is_gone: true, .. })
    }

    /// Why the machine is gone, for a record; `error` is what somebody met who used it.
    pub(super) async fn why_ended(&self, error: &Error) -> String {
        let mut phase = self.phase.subscribe();
        let ending = phase.wait_for(|phase| matches!(phase, Phase::Ending { .. }));
        if let Ok(Ok(phase)) = tokio::time::timeout(REASON_LIMIT, ending).await
            && let Phase::Ending { why, .. } = &*phase
        {
            return why.clone();
        }
        error.chain().join(": ")
    }

    fn unavailable(&self, phase: &Phase) -> Error {
        let (noun, id) = (self.instance.kind.noun(), &self.instance.id);
        match phase {
            Phase::Paused(why) => {
                let is_full = *why == PauseReason::HostDiskFull;
                let kind = if is_full { ErrorKind::DiskFull } else { ErrorKind::WrongState };
                Error::new(kind, format!("the {noun} `{id}` stands still: {why}")).with_hint(format!(
                    "free some space where `{}` is: it goes on by itself then, and nothing that was written is lost",
                    self.instance.folder.display()
                ))
            }
            Phase::Ending { why, is_gone: true } => {
                Error::new(ErrorKind::NotFound, format!("the {noun} `{id}` is gone: {why}"))
                    .with_hint("make another; --ttl-seconds says how long it lives")
            }
            Phase::Ending { why, is_gone: false } => {
                let error = Error::new(ErrorKind::WrongState, format!("the {noun} `{id}` has ended: {why}"));
                match self.instance.kind {
                    InstanceKind::Workspace => error.with_hint(format!(
                        "`pyro workspace status {id}` tells what is left, `pyro workspace start {id}` brings it back"
                    )),
                    InstanceKind::Vm => error.with_hint("start_vm brings it back"),
                }
            }
            Phase::Starting | Phase::Seeding | Phase::Running => {
                Error::new(ErrorKind::WrongState, format!("the {noun} `{id}` is still being started"))
                    .with_hint("try again in a moment")
            }
        }
    }
}
