//! The machine that is wanted, as every method that makes one takes it; the process's environment says the rest.

use crate::arguments::number;
use crate::errors::raised;
use pyo3::prelude::*;
use pyro_host::command::Command;
use pyro_host::limits::validate_ttl;
use pyro_host::network::{self, Policy};
use pyro_host::run::RunSpec;
use pyro_host::settings::Settings;
use pyro_host::supervisor::PersistentSpec;
use pyro_host::vm::VmSpec;
use pyro_host::vm::confinement::RequireIsolation;
use pyro_host::workspace::WorkspaceSpec;

/// The numbers and switches of a machine.
#[derive(Debug)]
pub struct Machine {
    pub environment: String,
    pub vcpu_count: i64,
    pub mem_mib: i64,
    pub ttl_seconds: i64,
    pub network: bool,
    pub allow_host_compat: bool,
    pub allow: Vec<String>,
    pub require_isolation: String,
}

impl Machine {
    /// For one that stays.
    pub fn persistent(self, py: Python<'_>) -> PyResult<PersistentSpec> {
        let mut spec = WorkspaceSpec::new(self.environment.as_str()).machine;
        spec.ttl_seconds = self.size(py, &mut spec.vm)?;
        (spec.network, spec.require_isolation) = self.border(py)?;
        spec.allow_host_compat = self.allow_host_compat;
        Settings { accelerator: spec.accelerator, mirror: spec.mirror } = settings(py)?;
        Ok(spec)
    }

    /// For one command.
    pub fn run(self, py: Python<'_>, command: Command) -> PyResult<RunSpec> {
        let mut spec = RunSpec::new(self.environment.as_str(), command);
        spec.ttl_seconds = self.size(py, &mut spec.vm)?;
        (spec.network, spec.require_isolation) = self.border(py)?;
        spec.allow_host_compat = self.allow_host_compat;
        Settings { accelerator: spec.accelerator, mirror: spec.mirror } = settings(py)?;
        Ok(spec)
    }

    /// Whom its guest may talk to, and how well it has to be confined.
    fn border(&self, py: Python<'_>) -> PyResult<(Option<Policy>, RequireIsolation)> {
        let network = network::wanted(self.network, &self.allow).map_err(|error| raised(py, &error))?;
        let isolation = self.require_isolation.parse().map_err(|error| raised(py, &error))?;
        Ok((network, isolation))
    }

    /// Sets its size, and gives its time to live.
    fn size(&self, py: Python<'_>, vm: &mut VmSpec) -> PyResult<u64> {
        let vcpus = |vcpu_count| VmSpec { vcpu_count, ..VmSpec::default() }.validate();
        let memory = |mem_mib| VmSpec { mem_mib, ..VmSpec::default() }.validate();
        vm.vcpu_count = number(py, "vcpu_count", self.vcpu_count, vcpus)?;
        vm.mem_mib = number(py, "mem_mib", self.mem_mib, memory)?;
        number(py, "ttl_seconds", self.ttl_seconds, validate_ttl)
    }
}

/// What the environment says of machines.
pub fn settings(py: Python<'_>) -> PyResult<Settings> {
    Settings::from_environment().map_err(|error| raised(py, &error))
}
