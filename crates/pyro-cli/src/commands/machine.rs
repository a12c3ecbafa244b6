//! The flags of a machine, which `run` and `workspace create` share.

use clap::Args;
use pyro_host::error::Result;
use pyro_host::limits::DEFAULT_TTL_SECONDS;
use pyro_host::network::{self, Policy};
use pyro_host::vm::VmSpec;
use pyro_host::vm::accelerator::AcceleratorChoice;
use pyro_host::vm::confinement::RequireIsolation;
use pyro_host::vm::disk::DiskSpec;

/// The machine that is wanted.
#[derive(Debug, Args)]
pub struct MachineArgs {
    /// The environment, such as debian:12 (see `pyro env list`).
    pub environment: String,

    /// Virtual CPUs.
    #[arg(long, value_name = "N", default_value_t = 1)]
    vcpu_count: u32,

    /// Guest memory in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    mem_mib: u32,

    /// Seconds to live: after them the machine is ended, whatever it does, and its files are deleted.
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_TTL_SECONDS)]
    pub ttl_seconds: u64,

    /// Give the guest a network: everything public, and nothing of this host or of private networks.
    #[arg(long)]
    network: bool,

    /// Give the guest a network in which it may talk to this alone; may be repeated. A name, `*.suffix`, address or CIDR,
    /// each with or without `:PORT`; a list: @pypi, @npm, @crates, @debian, @github; `none`; `*` for everything public;
    /// `host.pyro.internal:PORT` for this host's own loopback.
    #[arg(long, value_name = "RULE")]
    allow: Vec<String>,

    /// Do not start the guest unless its QEMU is confined so well: any or full.
    #[arg(long, value_name = "ISOLATION", default_value = "any")]
    pub require_isolation: RequireIsolation,

    /// Run commands on this host, without isolation, if no guest can be started.
    #[arg(long)]
    pub allow_host_compat: bool,

    /// What runs the guest: auto (by measurement), kvm or tcg.
    #[arg(long, value_name = "ACCELERATOR", env = "PYRO_ACCEL", default_value = "auto")]
    pub accel: AcceleratorChoice,

    /// The Debian mirror to pull the environment from, if it is not installed.
    #[arg(long, value_name = "URL", env = "PYRO_DEBIAN_MIRROR")]
    pub mirror: Option<String>,
}

impl MachineArgs {
    /// The machine, with this disk.
    pub fn vm(&self, disk: DiskSpec) -> VmSpec {
        VmSpec { vcpu_count: self.vcpu_count, mem_mib: self.mem_mib, disk, network: false }
    }

    /// Whom the guest may talk to, where it is to have a network.
    pub fn network(&self) -> Result<Option<Policy>> {
        network::wanted(self.network, &self.allow)
    }
}

/// Words for the accelerator of a machine, also of one that is none.
pub fn accelerator_name(accelerator: Option<pyro_host::vm::accelerator::Accelerator>) -> &'static str {
    accelerator.map_or("none", pyro_host::vm::accelerator::Accelerator::name)
}
