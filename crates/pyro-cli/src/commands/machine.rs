//! The flags of a machine, which `run` and `workspace create` share.

use clap::Args;
use pyro_host::limits::DEFAULT_TTL_SECONDS;
use pyro_host::vm::VmSpec;
use pyro_host::vm::accelerator::AcceleratorChoice;
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

    /// Give the guest a network.
    #[arg(long)]
    pub network: bool,

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
        VmSpec { vcpu_count: self.vcpu_count, mem_mib: self.mem_mib, disk }
    }
}

/// Words for the accelerator of a machine, also of one that is none.
pub fn accelerator_name(accelerator: Option<pyro_host::vm::accelerator::Accelerator>) -> &'static str {
    accelerator.map_or("none", pyro_host::vm::accelerator::Accelerator::name)
}
