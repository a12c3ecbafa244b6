//! What is given to a start, what it tells, and what comes of it.

use crate::environment::{Environment, PullProgress};
use crate::template::{Template, TemplateKey};
use crate::vm::accelerator::{Accelerator, AcceleratorChoice};
use crate::vm::hypervisor::Hypervisor;
use crate::vm::machine::{Machine, StartTimings};
use crate::vm::{Border, VmSpec};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The machine that is to be started.
#[derive(Debug, Clone)]
pub struct StartSpec {
    /// The name of the environment, such as `debian:12`.
    pub environment: String,
    /// The digest of the environment, where it must be this one and no newer one of the name.
    pub environment_digest: Option<String>,
    /// The machine's shape.
    pub vm: VmSpec,
    /// KVM or TCG, where it is not to be decided by measurement.
    pub accelerator: AcceleratorChoice,
    /// Boots the machine instead of cloning a template: none is looked for or built. To be set as well for a start
    /// from a used disk, which always boots.
    pub cold: bool,
    /// The Debian mirror to pull from, where the environment is not installed.
    pub mirror: Option<String>,
    /// What is between the machine and the outside. With a policy the machine has a network device.
    pub border: Border,
}

impl StartSpec {
    /// The machine's shape, network device included.
    pub(super) fn shape(&self) -> VmSpec {
        self.vm.with_network(self.border.policy.is_some())
    }
}

/// What is told while a start is under way, in order.
#[derive(Debug)]
pub enum StartEvent {
    /// The environment is not installed and is being pulled.
    Pull(PullProgress),
    /// There is no template of this shape yet: one is being built, which takes as long as a boot.
    BuildingTemplate,
    /// The template did not work and is being built again. With the reason.
    RebuildingTemplate(String),
    /// No guest can be started, and what was wanted will run on the host, without isolation. With the reason.
    HostCompat(String),
}

/// Where the machine's disk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachineDisk {
    /// A fresh one without a name: gone with the machine.
    Unnamed,
    /// A fresh one, made under this name, which must not be there yet.
    NewAt(PathBuf),
    /// One that machines have used before. The machine boots, since a template's memory belongs to a fresh disk.
    UsedAt(PathBuf),
}

/// All that a machine needs to be started, found and checked.
#[derive(Debug)]
pub struct Prepared {
    pub(super) hypervisor: Hypervisor,
    pub(super) environment: Environment,
    /// Its key with it; none for machines that are booted.
    pub(super) template: Option<(TemplateKey, Template)>,
    pub(super) timings: PartTimings,
}

impl Prepared {
    /// The installed environment, with its digest.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// What will run the guest.
    pub fn accelerator(&self) -> Accelerator {
        self.hypervisor.accelerator.kind
    }
}

/// A machine that knows who it is and takes commands.
#[derive(Debug)]
pub struct StartedMachine<T> {
    /// The machine, killed when dropped.
    pub machine: Machine,
    /// What runs the guest.
    pub accelerator: Accelerator,
    /// The environment that it was started from.
    pub environment: Environment,
    /// When QEMU was started: the beginning of the machine's life.
    pub launched: Instant,
    /// Where the time went.
    pub timings: PartTimings,
    /// What the caller's first message gave.
    pub first: T,
}

/// How long the parts of a start took. A part that did not take place is zero.
#[derive(Debug, Clone, Copy, Default)]
pub struct PartTimings {
    /// Finding QEMU, the accelerator and the environment.
    pub prepare: Duration,
    /// Pulling the environment.
    pub pull: Duration,
    /// Finding the template, or building it.
    pub template: Duration,
    /// Making the machine's own disk.
    pub disk: Duration,
    /// The machine's own start.
    pub machine: StartTimings,
    /// From the guest's welcome to its answer that it knows who it is.
    pub identify: Duration,
}
