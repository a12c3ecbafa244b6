//! Workspaces: machines that stay, with files to work on.

use crate::arguments::{HostPath, Rules, Words, count, integer, maybe_integer, number};
use crate::machine::Machine;
use crate::pyro::Pyro;
use crate::result::Result;
use pyo3::prelude::*;
use pyro_host::limits::validate_timeout;
use pyro_host::workspace::{ExecSpec, SyncProgress, WorkspaceSpec};

#[pymethods]
impl Pyro {
    /// Create and start a workspace: a machine that stays, with files in ``/workspace``.
    ///
    /// ``seed_path`` is a directory or a ``.tar``, ``.tar.gz``, ``.tgz`` or ``.tar.zst`` of this host that fills
    /// ``/workspace``. The workspace is deleted with all its files after ``ttl_seconds`` (1 s to 7 days).
    #[pyo3(signature = (environment, *, vcpu_count=1, mem_mib=1024, ttl_seconds=600, network=false,
                        allow_host_compat=false, seed_path=None, allow=None, require_isolation="any"))]
    #[expect(clippy::too_many_arguments, reason = "they are those of the contract, each by its name")]
    fn create_workspace<'py>(
        &self,
        py: Python<'py>,
        environment: String,
        #[pyo3(from_py_with = integer)] vcpu_count: i64,
        #[pyo3(from_py_with = integer)] mem_mib: i64,
        #[pyo3(from_py_with = integer)] ttl_seconds: i64,
        network: bool,
        allow_host_compat: bool,
        seed_path: Option<HostPath>,
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
        let spec =
            WorkspaceSpec { machine: machine.persistent(py)?, seed_path: seed_path.map(|path| path.0) };
        self.ask(py, async move |pyro| pyro.create_workspace(&spec, None).await)
    }

    /// All workspaces, the oldest first.
    fn list_workspaces<'py>(&self, py: Python<'py>) -> Result<'py> {
        self.look(py, |pyro| Ok(pyro.list_workspaces()))
    }

    /// How a workspace is: its state, when it expires, its last command, how many services run.
    fn status_workspace<'py>(&self, py: Python<'py>, workspace_id: &str) -> Result<'py> {
        self.look(py, |pyro| pyro.status_workspace(workspace_id))
    }

    /// Run a command in ``/workspace`` and wait for its end. The workspace lives on.
    ///
    /// ``command`` is a line for the guest's shell, or a list of a program and its arguments. After ``timeout_seconds``
    /// (1 s to 7 days) it is ended: ``exit_code`` is 124 then. Of each output the first 8 MiB are returned; all of it is
    /// in the history.
    #[pyo3(signature = (workspace_id, *, command, timeout_seconds=30))]
    fn exec_workspace<'py>(
        &self,
        py: Python<'py>,
        workspace_id: &str,
        command: Words,
        #[pyo3(from_py_with = integer)] timeout_seconds: i64,
    ) -> Result<'py> {
        let timeout_seconds = number(py, "timeout_seconds", timeout_seconds, validate_timeout)?;
        let spec = ExecSpec { timeout_seconds, ..ExecSpec::new(command.0) };
        self.ask(py, async move |pyro| pyro.exec_workspace(workspace_id, &spec, None, None).await)
    }

    /// Bring a directory or an archive of this host into a workspace, over what is there: all of it, or nothing.
    #[pyo3(signature = (workspace_id, source_path, *, dest="/workspace"))]
    fn push_workspace_sync<'py>(
        &self,
        py: Python<'py>,
        workspace_id: &str,
        source_path: HostPath,
        dest: &str,
    ) -> Result<'py> {
        self.ask(py, async move |pyro| {
            pyro.push_workspace_sync(workspace_id, &source_path.0, dest, None::<fn(SyncProgress)>).await
        })
    }

    /// Bring one file, directory or link out of a workspace. It appears at ``output_path`` in one step, or not at all.
    ///
    /// An output that exists is an error, unless ``force`` replaces it.
    #[pyo3(signature = (workspace_id, path, *, output_path, force=false))]
    fn export_workspace<'py>(
        &self,
        py: Python<'py>,
        workspace_id: &str,
        path: &str,
        output_path: HostPath,
        force: bool,
    ) -> Result<'py> {
        self.ask(py, async move |pyro| pyro.export_workspace(workspace_id, path, &output_path.0, force).await)
    }

    /// Compare ``/workspace`` with its baseline, which is how it was when it was created.
    ///
    /// ``patch`` is for ``git apply`` in a copy of the baseline.
    fn diff_workspace<'py>(&self, py: Python<'py>, workspace_id: &str) -> Result<'py> {
        self.ask(py, async move |pyro| pyro.diff_workspace(workspace_id).await)
    }

    /// The commands that were run in a workspace, with the beginning of their output; with ``sequence`` only that one.
    #[pyo3(signature = (workspace_id, *, sequence=None))]
    fn logs_workspace<'py>(
        &self,
        py: Python<'py>,
        workspace_id: &str,
        #[pyo3(from_py_with = maybe_integer)] sequence: Option<i64>,
    ) -> Result<'py> {
        let sequence = sequence.map(|sequence| count(py, "sequence", sequence)).transpose()?;
        self.look(py, |pyro| pyro.logs_workspace(workspace_id, sequence))
    }

    /// Turn the machine of a workspace off, and keep its files.
    fn stop_workspace<'py>(&self, py: Python<'py>, workspace_id: &str) -> Result<'py> {
        self.ask(py, async move |pyro| pyro.stop_workspace(workspace_id).await)
    }

    /// Bring a workspace back. One that is started stays as it is.
    fn start_workspace<'py>(&self, py: Python<'py>, workspace_id: &str) -> Result<'py> {
        self.ask(py, async move |pyro| pyro.start_workspace(workspace_id, None).await)
    }

    /// Delete a workspace with all its files, services and shells.
    fn delete_workspace<'py>(&self, py: Python<'py>, workspace_id: &str) -> Result<'py> {
        self.ask(py, async move |pyro| pyro.delete_workspace(workspace_id).await)
    }
}
