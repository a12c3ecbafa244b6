//! What is done with workspaces and VMs alike, from outside: created, started, stopped, deleted, called.

mod network;

use super::backend::is_replaced_by_host;
use super::client::{Call, end_by_signal, end_unheard};
use super::ground::Ground;
use super::launch::{Launched, launch};
use super::operation::Operation;
use crate::clock::unix_time;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::execution_mode::ExecutionMode;
use crate::instance::record::FORMAT;
use crate::instance::{
    Instance, InstanceKind, InstanceRecord, InstanceState, Instances, Observed, SeedRecord,
};
use crate::limits::validate_ttl;
use crate::start::{self, StartEvent, StartSpec};
use crate::state_dir::{StateDir, wait_until_unlocked};
use crate::vm::accelerator::AcceleratorChoice;
use crate::vm::confinement::RequireIsolation;
use crate::vm::host_memory::host_memory;
use crate::vm::{Border, VmSpec};
use pyro_network::policy::Policy;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

/// Memory that a machine needs beside its guest's.
const OVERHEAD_MIB: u64 = 64;

/// How long a supervisor may take to be gone after it said that all is done.
const GONE_LIMIT: Duration = Duration::from_secs(60);

/// A persistent VM that is wanted.
#[derive(Debug, Clone)]
pub struct PersistentSpec {
    /// The name of the environment.
    pub environment: String,
    /// The machine, with a persistent disk.
    pub vm: VmSpec,
    /// Seconds that it may live: 1 to 7 days.
    pub ttl_seconds: u64,
    /// Whom the guest may talk to. Without it, its machine has no network device at all.
    pub network: Option<Policy>,
    /// The isolation without which the machine is not started.
    pub require_isolation: RequireIsolation,
    /// Whether it may run on the host where no guest can be started.
    pub allow_host_compat: bool,
    /// KVM or TCG, where it is not to be decided by measurement.
    pub accelerator: AcceleratorChoice,
    /// The Debian mirror to pull from, where the environment is not installed.
    pub mirror: Option<String>,
}

impl PersistentSpec {
    /// Refuses what is out of range, and what this version does not have.
    pub fn validate(&self) -> Result<()> {
        self.vm.validate()?;
        validate_ttl(self.ttl_seconds)?;
        self.border().validate(self.allow_host_compat)
    }

    fn start_spec(&self, cold: bool) -> StartSpec {
        StartSpec {
            environment: self.environment.clone(),
            environment_digest: None,
            vm: self.vm.clone(),
            accelerator: self.accelerator,
            cold,
            mirror: self.mirror.clone(),
            border: self.border(),
        }
    }

    fn border(&self) -> Border {
        Border { policy: self.network.clone(), require_isolation: self.require_isolation }
    }

    fn record(&self, instance: &Instance, ground: &Ground, state: InstanceState) -> InstanceRecord {
        let now = unix_time();
        InstanceRecord {
            format: FORMAT,
            id: instance.id.clone(),
            kind: instance.kind,
            state,
            failure: None,
            environment: self.environment.clone(),
            environment_digest: ground.environment_digest(),
            vm: self.vm.clone(),
            accelerator_choice: self.accelerator,
            ttl_seconds: self.ttl_seconds,
            created_at: now,
            expires_at: now + self.ttl_seconds as f64,
            last_activity_at: now,
            allow_host_compat: self.allow_host_compat,
            network_enabled: self.network.is_some(),
            network_allow: self.network.as_ref().map_or(Vec::new(), |policy| policy.allow().to_vec()),
            published: Vec::new(),
            require_isolation: self.require_isolation,
            isolation: None,
            execution_mode: ground.execution_mode(),
            accelerator: None,
            seed: SeedRecord::default(),
            start_count: 0,
            supervisor: None,
        }
    }
}

/// The persistent VMs of one kind, and what starts them.
#[derive(Debug, Clone)]
pub struct Control {
    state_dir: StateDir,
    kind: InstanceKind,
    instances: Instances,
    executable: PathBuf,
    max_active: usize,
}

impl Control {
    /// `executable` is pyro itself, which becomes the supervisor.
    pub fn new(state_dir: StateDir, kind: InstanceKind, executable: PathBuf, max_active: usize) -> Self {
        let instances = Instances::new(state_dir.clone(), kind);
        Self { state_dir, kind, instances, executable, max_active }
    }

    /// Those that are there.
    pub fn instances(&self) -> &Instances {
        &self.instances
    }

    /// Finds, pulls and builds what a start needs, which is what takes long and has progress to show. Where no guest can
    /// be started and that is allowed, it will run on the host: who listens to `events` is told.
    pub async fn prepare<E: From<StartEvent>>(
        &self,
        spec: &PersistentSpec,
        events: Option<&mpsc::Sender<E>>,
    ) -> Result<Ground> {
        spec.validate()?;
        match start::prepare(&self.state_dir, &spec.start_spec(false), events).await {
            Ok(prepared) => Ok(Ground::Guest(Box::new(prepared))),
            Err(error) if spec.allow_host_compat => {
                Ground::instead(error, &self.state_dir, &spec.environment, events).await
            }
            Err(error) => Err(error),
        }
    }

    /// Makes one that is not started.
    pub fn create(&self, spec: &PersistentSpec, ground: &Ground) -> Result<InstanceRecord> {
        let owned = self.instances.create(usize::MAX)?;
        let record = spec.record(&owned.instance, ground, InstanceState::Created);
        owned.instance.write_record(&record)?;
        Ok(record)
    }

    /// Makes one and starts it. It lives only if what is given back is used to seed it.
    pub async fn create_started(
        &self,
        spec: &PersistentSpec,
        ground: &Ground,
    ) -> Result<(Instance, Launched)> {
        if ground.execution_mode() == ExecutionMode::Guest {
            check_memory(spec.vm.mem_mib)?;
        }
        let owned = self.instances.create(self.max_active)?;
        let instance = owned.instance.clone();
        let record = spec.record(&instance, ground, InstanceState::Creating);
        let written = instance.write_record(&record);
        let launched = match written {
            Ok(()) => launch(&self.executable, &self.state_dir, owned, true).await,
            Err(error) => Err(error),
        };
        match launched {
            Ok(launched) => Ok((instance, launched)),
            Err(error) => {
                self.leave_nothing(&instance).await;
                Err(error)
            }
        }
    }

    /// Waits until one that was not to be is gone, and removes what its supervisor could not.
    pub async fn leave_nothing(&self, instance: &Instance) {
        if let Err(error) = self.until_unlocked(instance).await {
            tracing::warn!("{}", error.chain().join(": "));
        }
        if let Ok(Some(owned)) = self.instances.own(instance, usize::MAX)
            && let Err(error) = Instances::delete(&self.state_dir, owned)
        {
            tracing::warn!("{}", error.chain().join(": "));
        }
    }

    /// Starts one that is not. One that is stays as it is.
    pub async fn start<E: From<StartEvent>>(
        &self,
        id: &str,
        events: Option<&mpsc::Sender<E>>,
    ) -> Result<Observed> {
        let observed = self.instances.find(id)?;
        if observed.is_owned {
            return self.already_started(observed);
        }
        let Observed { instance, record, .. } = observed;
        if record.execution_mode == ExecutionMode::Guest {
            self.prepare_again(&record, events).await?;
        }
        let Some(owned) = self.instances.own(&instance, self.max_active)? else {
            return self.already_started(self.instances.find(id)?);
        };
        no_longer_started(&instance, &record)?;
        launch(&self.executable, &self.state_dir, owned, false).await?;
        self.instances.find(id)
    }

    /// Finds what the start of one that is there needs.
    async fn prepare_again<E: From<StartEvent>>(
        &self,
        record: &InstanceRecord,
        events: Option<&mpsc::Sender<E>>,
    ) -> Result<()> {
        check_memory(record.vm.mem_mib)?;
        let spec = StartSpec {
            environment: record.environment.clone(),
            environment_digest: Some(record.environment_digest.clone()),
            vm: record.vm.clone(),
            accelerator: record.accelerator_choice,
            cold: record.start_count > 0,
            mirror: None,
            border: record.border()?,
        };
        match start::prepare(&self.state_dir, &spec, events).await {
            // Its supervisor will meet the same, and start it on the host.
            Err(error) if is_replaced_by_host(record, &error) => Ok(()),
            prepared => prepared.map(drop),
        }
    }

    fn already_started(&self, observed: Observed) -> Result<Observed> {
        if observed.record.state == InstanceState::Started {
            return Ok(observed);
        }
        let message =
            format!("the {} `{}` is being started by somebody else", self.kind.noun(), observed.instance.id);
        Err(Error::new(ErrorKind::WrongState, message).with_hint("try again in a moment"))
    }

    /// Stops one and keeps its files. One that is not started stays as it is.
    pub async fn stop(&self, id: &str) -> Result<Observed> {
        let observed = self.instances.find(id)?;
        if let Some(socket) = socket_of(&self.state_dir, &observed) {
            self.end(&observed.instance, &socket, Operation::Stop).await?;
        }
        self.instances.find(id)
    }

    /// Deletes one with all its files. Gives what it was; nothing where its record cannot be read.
    pub async fn delete(&self, id: &str) -> Result<Option<Observed>> {
        let instance = self.instances.instance(id)?;
        let observed = match self.instances.find(id) {
            Ok(observed) => Some(observed),
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(error),
            Err(_) => None,
        };
        let socket = match &observed {
            Some(observed) => socket_of(&self.state_dir, observed),
            None => Some(instance.socket(&self.state_dir)),
        };
        if let Some(socket) = socket {
            match self.end(&instance, &socket, Operation::Delete).await {
                Err(error) if error.kind() != ErrorKind::WrongState => return Err(error),
                _ => {}
            }
        }
        if !instance.folder.exists() {
            return Ok(observed);
        }
        match self.instances.own(&instance, usize::MAX)? {
            Some(owned) => Instances::delete(&self.state_dir, owned)?,
            None if !instance.folder.exists() => {}
            None => {
                let message = format!("the {} `{id}` is being started or stopped", self.kind.noun());
                return Err(Error::new(ErrorKind::WrongState, message).with_hint("try again in a moment"));
            }
        }
        Ok(observed)
    }

    /// Has a supervisor end its machine, and waits until it is gone itself.
    async fn end(&self, instance: &Instance, socket: &Path, operation: Operation) -> Result<()> {
        let (process, ended) = match Call::start(socket, operation).await {
            Ok(call) => (call.process(), call.done().await.map(drop)),
            Err(error) => (None, Err(error)),
        };
        match ended {
            // An older or newer supervisor still understands this.
            Err(error) if error.kind() == ErrorKind::VersionMismatch => end_by_signal(socket)?,
            // It went while it was asked to.
            Err(error) if error.kind() == ErrorKind::GuestUnreachable => {}
            // Its socket was taken away, as a runtime folder is when its user logs out; or it is ending already.
            Err(error) if error.kind() == ErrorKind::WrongState => {
                if let Some(ended) = end_unheard(instance) {
                    ended?;
                }
            }
            ended => ended?,
        }
        if let Some(process) = process {
            let late = || format!("the supervisor of `{}` does not end", instance.id);
            let ended = tokio::time::timeout(GONE_LIMIT, process.readable()).await;
            ended.failing(ErrorKind::Timeout, late)?.map(drop).doing(late)?;
        }
        self.until_unlocked(instance).await
    }

    async fn until_unlocked(&self, instance: &Instance) -> Result<()> {
        let folder = instance.folder.clone();
        let waiting = tokio::task::spawn_blocking(move || wait_until_unlocked(&folder));
        let late = || format!("the supervisor of `{}` does not end", instance.id);
        let waited = tokio::time::timeout(GONE_LIMIT, waiting).await.failing(ErrorKind::Timeout, late)?;
        waited.failing(ErrorKind::Internal, late)?
    }

    /// Where the supervisor of a started one listens.
    ///
    /// # Errors
    /// `not_found`, or `wrong_state` that says which state it is in and what to do.
    pub fn socket(&self, id: &str) -> Result<PathBuf> {
        let observed = self.instances.find(id)?;
        socket_of(&self.state_dir, &observed).ok_or_else(|| not_started(&observed))
    }
}

/// Corrects the record of one whose supervisor was killed, before somebody takes it for started: its lock is held again.
fn no_longer_started(instance: &Instance, observed: &InstanceRecord) -> Result<()> {
    let mut record = instance.read_record()?;
    if record.state == InstanceState::Started {
        (record.state, record.failure) = (InstanceState::Failed, observed.failure.clone());
    }
    record.supervisor = None;
    instance.write_record(&record)
}

/// Where the supervisor of one listens that has one. Before it is ready its record does not say so.
fn socket_of(state_dir: &StateDir, observed: &Observed) -> Option<PathBuf> {
    let recorded = observed.record.supervisor.as_ref().map(|supervisor| supervisor.socket.clone());
    observed.is_owned.then(|| recorded.unwrap_or_else(|| observed.instance.socket(state_dir)))
}

fn not_started(observed: &Observed) -> Error {
    let Observed { instance, record, is_owned } = observed;
    let (noun, id) = (instance.kind.noun(), &instance.id);
    if *is_owned {
        let message = format!("the {noun} `{id}` is still being started");
        return Error::new(ErrorKind::WrongState, message).with_hint("try again in a moment");
    }
    let message = format!("the {noun} `{id}` is not started, it is {}", record.state.name());
    let error = Error::new(ErrorKind::WrongState, message);
    let error = match &record.failure {
        Some(failure) => error.with_source(failure.clone()),
        None => error,
    };
    match instance.kind {
        InstanceKind::Workspace => error.with_hint(format!("start it: pyro workspace start {id}")),
        InstanceKind::Vm => error.with_hint("start it first: start_vm"),
    }
}

/// Refuses a machine for which the host has no memory.
fn check_memory(mem_mib: u32) -> Result<()> {
    let available_mib = host_memory().available_mib;
    let wanted_mib = u64::from(mem_mib) + OVERHEAD_MIB;
    if wanted_mib <= available_mib {
        return Ok(());
    }
    let message =
        format!("the machine wants {mem_mib} MiB of memory, and the host has {available_mib} MiB to give");
    Err(Error::new(ErrorKind::LimitReached, message)
        .with_hint("give it less with --mem-mib, or stop a workspace that is not needed"))
}
