//! A trial: what would a machine of this host be given?

use super::{ConfinementSettings, Isolation, Wanted, start};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::program::find_program;
use crate::vm::VmSpec;
use crate::vm::accelerator::Accelerator;
use crate::vm::qemu::RunAs;

/// Starts a program that does nothing in the confinement of a machine of the usual size, and says what came out.
///
/// # Errors
/// `unsupported_host` where there is no such program; `start_failed` where it could not be started.
pub fn examine(accelerator: Accelerator, settings: &ConfinementSettings) -> Result<Isolation> {
    let program = find_program("true").ok_or_else(|| {
        Error::new(ErrorKind::UnsupportedHost, "`true` is not in PATH, and the confinement is tried with it")
    })?;
    let spec = VmSpec::default();
    let stderr = std::fs::File::options()
        .write(true)
        .open("/dev/null")
        .doing(|| "could not open `/dev/null`".into())?;
    let wanted = Wanted {
        program: &program,
        arguments: &[],
        handed_over: Vec::new(),
        opened_by_path: Vec::new(),
        stderr: stderr.into(),
        run_as: RunAs::choose(accelerator)?,
        with_kvm: accelerator == Accelerator::Kvm,
        vcpu_count: spec.vcpu_count,
        mem_mib: spec.mem_mib,
    };
    start(wanted, settings).map(|(_, isolation)| isolation)
}
