//! The networks of workspaces: whom their guests may talk to, and which of their ports are published.

use crate::arguments::{Rules, integer};
use crate::errors::raised;
use crate::pyro::Pyro;
use crate::result::Result;
use pyo3::prelude::*;
use pyro_host::error::Error;
use pyro_host::network::{self, PolicyChange};
use pyro_host::publish::PublishSpec;

#[pymethods]
impl Pyro {
    /// The network of a workspace: its rules, its connections, its counters, and what was refused.
    fn network_workspace<'py>(&self, py: Python<'py>, workspace_id: &str) -> Result<'py> {
        self.ask(py, async move |pyro| pyro.network_workspace(workspace_id).await)
    }

    /// Change whom the guest of a workspace may talk to, at once where it runs.
    ///
    /// ``reset`` forgets all rules, ``remove`` some of them, and ``allow`` adds others. Connections that are not allowed any
    /// more are cut off. Without any rule everything public is allowed.
    #[pyo3(signature = (workspace_id, *, allow=None, remove=None, reset=false))]
    fn change_network_workspace<'py>(
        &self,
        py: Python<'py>,
        workspace_id: &str,
        allow: Option<Rules>,
        remove: Option<Rules>,
        reset: bool,
    ) -> Result<'py> {
        let change = PolicyChange { reset, remove: Rules::of(remove), allow: Rules::of(allow) };
        self.ask(py, async move |pyro| pyro.change_network_workspace(workspace_id, &change).await)
    }

    /// Make a port of a started workspace's guest reachable at 127.0.0.1 of this host.
    ///
    /// ``port`` is ``"8080"``, ``"9000:8080"``, or ``"0:8080"`` for any free port of the host; ``host_port`` of the result
    /// names it. It stays so until it is taken back or the workspace is deleted.
    fn publish_workspace<'py>(&self, py: Python<'py>, workspace_id: &str, port: &str) -> Result<'py> {
        let port: PublishSpec = port.parse().map_err(|error| raised(py, &error))?;
        self.ask(py, async move |pyro| pyro.publish_workspace(workspace_id, port).await)
    }

    /// Take back a port of the host that is published.
    fn unpublish_workspace<'py>(
        &self,
        py: Python<'py>,
        workspace_id: &str,
        #[pyo3(from_py_with = integer)] host_port: i64,
    ) -> Result<'py> {
        let host_port = port(py, "host_port", host_port)?;
        self.ask(py, async move |pyro| pyro.unpublish_workspace(workspace_id, host_port).await)
    }

    /// Whether a guest could talk to a host under these rules, and which of them decides. Nothing is connected to.
    #[pyo3(signature = (host, port, *, allow=None))]
    fn explain_network<'py>(
        &self,
        py: Python<'py>,
        host: &str,
        #[pyo3(from_py_with = integer)] port: i64,
        allow: Option<Rules>,
    ) -> Result<'py> {
        let policy = network::policy(&Rules::of(allow)).map_err(|error| raised(py, &error))?;
        let port = self::port(py, "port", port)?;
        self.ask(py, async move |pyro| Ok(pyro.explain_network(policy, host, port).await))
    }
}

/// A port that is one.
fn port(py: Python<'_>, name: &str, value: i64) -> PyResult<u16> {
    u16::try_from(value).ok().filter(|&port| port > 0).ok_or_else(|| {
        let error = Error::invalid(format!("{name} is {value}, which is not in 1 to 65535"));
        raised(py, &error.with_hint("give the number of a port"))
    })
}
