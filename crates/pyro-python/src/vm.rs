//! Machines: for one command, or made, started, looked at, used once and deleted step by step.

use crate::arguments::{Rules, Words, integer, number};
use crate::machine::Machine;
use crate::pyro::Pyro;
use crate::result::Result;
use pyo3::prelude::*;
use pyro_host::limits::validate_timeout;
use pyro_host::workspace::ExecSpec;

#[pymethods]
impl Pyro {
    /// Run one command in a fresh microVM, and throw the machine away.
    ///
    /// ``command`` is a line for the guest's shell, or a list of a program and its arguments. After ``timeout_seconds``
    /// (1 s to 7 days) it is ended: ``exit_code`` is 124 then, and ``timed_out`` true. ``ttl_seconds`` limits the machine
    /// as a whole. Of each output the first 8 MiB are returned. With ``allow_host_compat`` the command runs on this host,
    /// without isolation, where no guest can be started.
    ///
    /// With ``network`` the guest reaches everything public, and nothing of this host or of private networks; with rules in
    /// ``allow`` what they name and nothing else. ``require_isolation="full"`` refuses a host that cannot confine QEMU whole.
    #[pyo3(signature = (environment, command, *, vcpu_count=1, mem_mib=1024, timeout_seconds=30, ttl_seconds=600,
                        network=false, allow_host_compat=false, allow=None, require_isolation="any"))]
    #[expect(clippy::too_many_arguments, reason = "they are those of the contract, each by its name")]
    fn run_in_vm<'py>(
        &self,
        py: Python<'py>,
        environment: String,
        command: Words,
        #[pyo3(from_py_with = integer)] vcpu_count: i64,
        #[pyo3(from_py_with = integer)] mem_mib: i64,
        #[pyo3(from_py_with = integer)] timeout_seconds: i64,
        #[pyo3(from_py_with = integer)] ttl_seconds: i64,
        network: bool,
        allow_host_compat: bool,
        allow: Option<Rules>,
        require_isolation: &str,
    ) -> Result<'py> {
        let (allow, require_isolation) = (Rules::of(allow), require_isolation.to_owned());
        let machine = Machine {
            environment,
            vcpu_count,
            mem_mib,
            ttl_seconds,
            network,
            allow_host_compat,
            allow,
            require_isolation,
        };
        let mut spec = machine.run(py, command.0)?;
        spec.timeout_seconds = number(py, "timeout_seconds", timeout_seconds, validate_timeout)?;
        self.ask(py, async move |pyro| pyro.run(&spec, None, None).await)
    }

    /// Make a VM that is not started. Next: ``start_vm``, then ``exec_vm``.
    ///
    /// 1 to 64 ``vcpu_count``, ``mem_mib`` from 128; it is deleted after ``ttl_seconds`` (1 s to 7 days).
    #[pyo3(signature = (environment, *, vcpu_count=1, mem_mib=1024, ttl_seconds=600, network=false,
                        allow_host_compat=false, allow=None, require_isolation="any"))]
    #[expect(clippy::too_many_arguments, reason = "they are those of the contract, each by its name")]
    fn create_vm<'py>(
        &self,
        py: Python<'py>,
        environment: String,
        #[pyo3(from_py_with = integer)] vcpu_count: i64,
        #[pyo3(from_py_with = integer)] mem_mib: i64,
        #[pyo3(from_py_with = integer)] ttl_seconds: i64,
        network: bool,
        allow_host_compat: bool,
        allow: Option<Rules>,
        require_isolation: &str,
    ) -> Result<'py> {
        let (allow, require_isolation) = (Rules::of(allow), require_isolation.to_owned());
        let machine = Machine {
            environment,
            vcpu_count,
            mem_mib,
            ttl_seconds,
            network,
            allow_host_compat,
            allow,
            require_isolation,
        };
        let spec = machine.persistent(py)?;
        self.ask(py, async move |pyro| pyro.create_vm(&spec, None).await)
    }

    /// Start a VM. One that is started stays as it is.
    fn start_vm<'py>(&self, py: Python<'py>, vm_id: &str) -> Result<'py> {
        self.ask(py, async move |pyro| pyro.start_vm(vm_id).await)
    }

    /// Run one command in a started VM, and delete the VM, whatever came of it.
    ///
    /// ``command`` is a line for the guest's shell, or a list of a program and its arguments.
    #[pyo3(signature = (vm_id, *, command, timeout_seconds=30))]
    fn exec_vm<'py>(
        &self,
        py: Python<'py>,
        vm_id: &str,
        command: Words,
        #[pyo3(from_py_with = integer)] timeout_seconds: i64,
    ) -> Result<'py> {
        let timeout_seconds = number(py, "timeout_seconds", timeout_seconds, validate_timeout)?;
        let spec = ExecSpec { timeout_seconds, ..ExecSpec::new(command.0) };
        self.ask(py, async move |pyro| pyro.exec_vm(vm_id, &spec, None, None).await)
    }

    /// Turn a VM off and keep its disk. ``start_vm`` brings it back.
    fn stop_vm<'py>(&self, py: Python<'py>, vm_id: &str) -> Result<'py> {
        self.ask(py, async move |pyro| pyro.stop_vm(vm_id).await)
    }

    /// Delete a VM, whatever state it is in.
    fn delete_vm<'py>(&self, py: Python<'py>, vm_id: &str) -> Result<'py> {
        self.ask(py, async move |pyro| pyro.delete_vm(vm_id).await)
    }

    /// How a VM is: ``created``, ``started``, ``stopped`` or ``failed``.
    fn status_vm<'py>(&self, py: Python<'py>, vm_id: &str) -> Result<'py> {
        self.look(py, |pyro| pyro.status_vm(vm_id))
    }

    /// The network of a VM: its addresses, its rules, its published ports, its counters, and what was refused.
    fn network_info_vm<'py>(&self, py: Python<'py>, vm_id: &str) -> Result<'py> {
        self.ask(py, async move |pyro| pyro.network_info_vm(vm_id).await)
    }

    /// Remove VMs and workspaces whose time to live is over. They end by themselves too.
    fn reap_expired<'py>(&self, py: Python<'py>) -> Result<'py> {
        self.look(py, |pyro| Ok(pyro.reap_expired()))
    }
}
