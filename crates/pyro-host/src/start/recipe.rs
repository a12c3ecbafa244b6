//! The recipe of a start, step by step.

use super::{MachineDisk, PartTimings, Prepared, StartEvent, StartSpec, StartedMachine};
use crate::environment::{Environment, Environments, PullOptions};
use crate::error::{ErrorKind, Result};
use crate::guest::Connection;
use crate::identity;
use crate::state_dir::StateDir;
use crate::template::{Template, TemplateKey, Templates};
use crate::vm::disk;
use crate::vm::hypervisor::Hypervisor;
use crate::vm::machine::{Machine, Origin};
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Finds everything that a start needs, pulls the environment and builds the template where they are missing.
/// Dropped half-way, a pull or a build is given up and leaves nothing behind.
///
/// # Errors
/// `invalid_argument` for a shape that is out of range, `unsupported_host` without a QEMU, `not_found` and
/// `environment_unavailable` for the environment, `start_failed` when a template cannot be built.
pub async fn prepare<E: From<StartEvent>>(
    state_dir: &StateDir,
    spec: &StartSpec,
    events: Option<&mpsc::Sender<E>>,
) -> Result<Prepared> {
    spec.vm.validate()?;
    let mut watch = Lap::start();
    let mut timings = PartTimings::default();
    let hypervisor = Hypervisor::find(state_dir, spec.accelerator)?;
    let environments = Environments::new(state_dir.clone());
    let installed = match &spec.environment_digest {
        Some(digest) => Some(environments.pinned(&spec.environment, digest)?),
        None => environments.installed(&spec.environment)?,
    };
    timings.prepare = watch.lap();
    let environment = match installed {
        Some(environment) => environment,
        None => pull(&environments, spec, events).await?,
    };
    timings.pull = watch.lap();
    let template = if spec.cold {
        None
    } else {
        let key = TemplateKey::new(&hypervisor, &spec.shape(), &environment)?;
        let template = match Templates::new(state_dir.clone()).find(&key) {
            Some(template) => template,
            None => build(state_dir, spec, (&key, &hypervisor, &environment), events).await?,
        };
        Some((key, template))
    };
    timings.template = watch.lap();
    Ok(Prepared { hypervisor, environment, template, timings })
}

/// Starts the machine and tells it who it is. A template that turns out not to work is built again, once.
///
/// `first` is called when the guest has welcomed us and the identity is on its way: what it sends stands right behind,
/// so that a command costs no round trip. The guest carries out nothing before it knows who it is. It is called again
/// where the template had to be built again.
///
/// # Errors
/// `start_failed` with the phase and what QEMU and the console said; `io` where the disk cannot be made or opened, or
/// the host's disk is full; whatever `first` fails with. A new disk with a name is removed again.
pub async fn start<E: From<StartEvent>, T>(
    state_dir: &StateDir,
    spec: &StartSpec,
    prepared: Prepared,
    disk: &MachineDisk,
    events: Option<&mpsc::Sender<E>>,
    mut first: impl FnMut(&Connection) -> Result<T>,
) -> Result<StartedMachine<T>> {
    let Prepared { hypervisor, environment, template, timings } = prepared;
    let mut launch = Launch { state_dir, spec, disk, hypervisor, environment, timings };
    let fresh = !matches!(disk, MachineDisk::UsedAt(_));
    let Some((key, template)) = template.filter(|_| fresh) else {
        return launch.boot(&mut first).await;
    };
    match launch.clone_of(template, &mut first).await {
        Err(error) if error.kind() == ErrorKind::StartFailed => {
            let begun = Instant::now();
            tell(events, StartEvent::RebuildingTemplate(error.chain().join(": "))).await;
            Templates::new(state_dir.clone()).discard(&key)?;
            let place = (&key, &launch.hypervisor, &launch.environment);
            let template = build(state_dir, spec, place, events).await?;
            launch.timings.template += begun.elapsed();
            launch.clone_of(template, &mut first).await
        }
        started => started,
    }
}

async fn pull<E: From<StartEvent>>(
    environments: &Environments,
    spec: &StartSpec,
    events: Option<&mpsc::Sender<E>>,
) -> Result<Environment> {
    let options = PullOptions { mirror: spec.mirror.clone(), ..PullOptions::default() };
    // Progress that nobody takes in time is dropped: it must not hold up the pull.
    let progress = |progress| {
        if let Some(events) = events {
            let _ = events.try_send(StartEvent::Pull(progress).into());
        }
    };
    environments.pull(&spec.environment, options, progress).await
}

async fn build<E: From<StartEvent>>(
    state_dir: &StateDir,
    spec: &StartSpec,
    (key, hypervisor, environment): (&TemplateKey, &Hypervisor, &Environment),
    events: Option<&mpsc::Sender<E>>,
) -> Result<Template> {
    tell(events, StartEvent::BuildingTemplate).await;
    Templates::new(state_dir.clone()).build(key, hypervisor, &spec.shape(), environment).await
}

async fn tell<E: From<StartEvent>>(events: Option<&mpsc::Sender<E>>, event: StartEvent) {
    if let Some(events) = events {
        // Nobody listens any more: then there is nobody to tell.
        let _ = events.send(event.into()).await;
    }
}

/// A start whose parts are all there.
struct Launch<'a> {
    state_dir: &'a StateDir,
    spec: &'a StartSpec,
    disk: &'a MachineDisk,
    hypervisor: Hypervisor,
    environment: Environment,
    timings: PartTimings,
}

impl Launch<'_> {
    async fn boot<T>(
        &mut self,
        first: &mut impl FnMut(&Connection) -> Result<T>,
    ) -> Result<StartedMachine<T>> {
        let begun = Instant::now();
        let disk = match self.disk {
            MachineDisk::Unnamed => disk::blank(self.state_dir, self.spec.vm.disk)?,
            MachineDisk::NewAt(path) => disk::blank_at(self.state_dir, self.spec.vm.disk, path)?,
            MachineDisk::UsedAt(path) => disk::used_at(path)?,
        };
        self.timings.disk = begun.elapsed();
        self.launch(disk, Origin::Boot, first).await
    }

    async fn clone_of<T>(
        &mut self,
        template: Template,
        first: &mut impl FnMut(&Connection) -> Result<T>,
    ) -> Result<StartedMachine<T>> {
        let begun = Instant::now();
        let disk = match self.disk {
            MachineDisk::NewAt(path) => template.disk_at(path)?,
            _ => template.disk(self.state_dir)?,
        };
        self.timings.disk = begun.elapsed();
        self.launch(disk, template.into_origin(), first).await
    }

    /// A machine that did not come up leaves no new disk behind.
    async fn launch<T>(
        &mut self,
        disk: File,
        origin: Origin,
        first: &mut impl FnMut(&Connection) -> Result<T>,
    ) -> Result<StartedMachine<T>> {
        let unused = match self.disk {
            MachineDisk::NewAt(path) => Some(UnusedDisk(path)),
            _ => None,
        };
        let begun = Instant::now();
        let started = self.bring_up(disk, origin, first).await;
        match &started {
            Ok(_) => std::mem::forget(unused),
            // All of it went into finding out that the template does not work.
            Err(_) => self.timings.template += begun.elapsed(),
        }
        started
    }

    /// Starts the machine, tells it who it is, and lets the caller say what comes behind that.
    async fn bring_up<T>(
        &mut self,
        disk: File,
        origin: Origin,
        first: &mut impl FnMut(&Connection) -> Result<T>,
    ) -> Result<StartedMachine<T>> {
        let (shape, border) = (self.spec.shape(), &self.spec.border);
        let mut machine =
            Machine::launch(&self.hypervisor, &shape, &self.environment, disk, origin, border).await?;
        let launched = Instant::now();
        machine.ready().await?;
        let mut timings = PartTimings { machine: machine.timings(), ..self.timings };
        let mut watch = Lap::start();
        // Only now, since the time of now is a part of the identity. What comes first follows without waiting.
        let identified = machine.connection().identify(identity::fresh()?);
        let first = first(machine.connection())?;
        machine.within_limit("identify", identified).await?;
        timings.identify = watch.lap();
        let accelerator = self.hypervisor.accelerator.kind;
        let environment = self.environment.clone();
        Ok(StartedMachine { machine, accelerator, environment, launched, timings, first })
    }
}

/// A new disk that no machine has come up with: removed when dropped.
struct UnusedDisk<'a>(&'a Path);

impl Drop for UnusedDisk<'_> {
    fn drop(&mut self) {
        // There is nobody to tell that this failed, and the start has failed already.
        let _ = std::fs::remove_file(self.0);
    }
}

/// Measures one part after the other.
struct Lap(Instant);

impl Lap {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now.duration_since(std::mem::replace(&mut self.0, now))
    }
}
