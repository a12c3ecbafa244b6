//! What runs machines on this host: a QEMU, and the accelerator that it uses.

use super::accelerator::{AcceleratorChoice, AcceleratorStatus, choose};
use super::confinement::ConfinementSettings;
use super::host_record::HostRecord;
use super::qemu::Qemu;
use crate::error::Result;
use crate::state_dir::StateDir;

/// A QEMU with its accelerator.
#[derive(Debug, Clone)]
pub struct Hypervisor {
    /// The program.
    pub qemu: Qemu,
    /// KVM or TCG, and why.
    pub accelerator: AcceleratorStatus,
    /// A digest of the processor's model and features and of the host's kernel.
    pub cpu_digest: String,
    /// How its machines are confined.
    pub confinement: ConfinementSettings,
}

impl Hypervisor {
    /// Finds QEMU and decides on the accelerator. What was measured since the host booted is not measured again.
    pub fn find(state_dir: &StateDir, choice: AcceleratorChoice) -> Result<Self> {
        let mut record = HostRecord::open(state_dir);
        let qemu = Qemu::find(&mut record)?;
        let accelerator = choose(choice, &mut record)?;
        Ok(Self {
            qemu,
            accelerator,
            cpu_digest: record.cpu_digest(),
            confinement: ConfinementSettings::default(),
        })
    }
}
