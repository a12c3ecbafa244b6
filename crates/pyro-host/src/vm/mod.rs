//! One QEMU process: which accelerator it uses, its arguments, its start, its control, its end.
//!
//! Nothing here knows what a workspace or a command is. The pieces, in the order in which a start uses them:
//!
//! - [`accelerator`]: KVM or TCG, by measurement;
//! - [`qemu`]: which QEMU, which version, as whom it runs;
//! - [`kernel_cmdline`], [`initramfs`], [`disk`]: what the machine is given;
//! - [`qemu_args`]: all of that as arguments, a pure function;
//! - [`process`]: the process, which cannot outlive its owner;
//! - [`confinement`]: what remains to it if its guest takes it over;
//! - [`qmp`]: the control channel;
//! - [`border`]: whom its guest may talk to, and how well it has to be confined;
//! - [`machine`]: the recipe that puts them together;
//! - [`mod@host_memory`]: what the host could still give to machines.

pub mod accelerator;
pub mod border;
pub mod confinement;
pub mod disk;
pub mod host_memory;
pub mod host_record;
pub mod hypervisor;
pub mod initramfs;
pub mod kernel_cmdline;
mod kvm_probe;
pub mod machine;
pub mod process;
pub mod qemu;
pub mod qemu_args;
pub mod qmp;
pub(crate) mod spawn;
pub(crate) use spawn::inherit_nothing;
pub mod start_failure;
mod tail;
mod tsc;
mod wires;

use crate::error::{Error, Result};
pub use border::Border;
pub use disk::DiskSpec;
pub use host_memory::{HostMemory, host_memory};
use serde::{Deserialize, Serialize};

/// The smallest guest memory that is accepted, in MiB.
pub const MIN_MEM_MIB: u32 = 128;
/// The largest guest memory that is accepted, in MiB (1 TiB).
pub const MAX_MEM_MIB: u32 = 1024 * 1024;
/// The most vCPUs that are accepted, where the host has as many.
pub const MAX_VCPU_COUNT: u32 = 64;

/// The machine that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmSpec {
    /// Virtual CPUs: 1 to 64, and no more than the host has.
    pub vcpu_count: u32,
    /// Guest memory in MiB: 128 and up.
    pub mem_mib: u32,
    /// The machine's disk.
    #[serde(default)]
    pub disk: DiskSpec,
    /// Whether it has a network device.
    #[serde(default)]
    pub network: bool,
}

impl Default for VmSpec {
    fn default() -> Self {
        Self { vcpu_count: 1, mem_mib: 1024, disk: DiskSpec::Scratch, network: false }
    }
}

impl VmSpec {
    /// The same machine with a network device, or without.
    #[must_use]
    pub fn with_network(&self, network: bool) -> Self {
        Self { network, ..self.clone() }
    }

    /// Refuses what is out of range, naming the range.
    pub fn validate(&self) -> Result<()> {
        let host_cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let most = MAX_VCPU_COUNT.min(u32::try_from(host_cpus).unwrap_or(u32::MAX));
        if !(1..=most).contains(&self.vcpu_count) {
            let message = format!("vcpu_count is {}, which is not in 1 to {most}", self.vcpu_count);
            return Err(Error::invalid(message).with_hint(format!(
                "a machine has 1 to {MAX_VCPU_COUNT} vCPUs and not more than this host has CPUs ({host_cpus})"
            )));
        }
        if !(MIN_MEM_MIB..=MAX_MEM_MIB).contains(&self.mem_mib) {
            let message =
                format!("mem_mib is {}, which is not in {MIN_MEM_MIB} to {MAX_MEM_MIB}", self.mem_mib);
            return Err(Error::invalid(message).with_hint("memory is given in MiB, for example 1024"));
        }
        self.disk.validate()
    }
}
