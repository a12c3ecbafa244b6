//! The MCP server, in this process.

use crate::arguments::{HostPath, maybe_integer};
use crate::errors::raised;
use crate::pyro::Pyro;
use crate::wait::wait_with_threads;
use pyo3::prelude::*;
use pyro_host::error::Error;
use pyro_mcp::Profile;

/// The transports that there are.
const STDIO: &str = "stdio";

/// An MCP server that offers pyro as tools to a model.
#[pyclass(frozen, module = "pyro_mcp")]
#[derive(Debug)]
pub struct Server {
    server: pyro_mcp::Server,
}

#[pymethods]
impl Server {
    /// Serve one client on standard input and output until it closes the input.
    ///
    /// Workspaces live on then, machines of ``vm_run`` do not. Nothing else may write to standard output meanwhile.
    #[pyo3(signature = (transport="stdio"))]
    fn run(&self, py: Python<'_>, transport: &str) -> PyResult<()> {
        if transport != STDIO {
            let error = Error::invalid(format!("there is no transport {transport:?}"));
            return Err(raised(py, &error.with_hint(format!("{STDIO:?} is the only one"))));
        }
        wait_with_threads(py, self.server.clone().serve_stdio())
    }
}

#[pymethods]
impl Pyro {
    /// An MCP server over this. ``profile`` is ``vm-run``, ``workspace-core`` or ``workspace-full``.
    #[pyo3(signature = (*, profile="workspace-full"))]
    fn create_server(&self, py: Python<'_>, profile: &str) -> PyResult<Server> {
        let profile = Profile::parse(profile).map_err(|error| raised(py, &error))?;
        Ok(Server { server: pyro_mcp::Server::new(self.facade.clone(), profile) })
    }
}

/// An MCP server: ``create_server().run()`` is what ``pyro mcp serve`` does.
///
/// ``profile`` is ``vm-run``, ``workspace-core`` or ``workspace-full``; the other arguments are those of ``Pyro``.
#[pyfunction]
#[pyo3(signature = (*, profile="workspace-full", state_dir=None, cache_dir=None, max_active_vms=None))]
pub fn create_server(
    py: Python<'_>,
    profile: &str,
    state_dir: Option<HostPath>,
    cache_dir: Option<HostPath>,
    #[pyo3(from_py_with = maybe_integer)] max_active_vms: Option<i64>,
) -> PyResult<Server> {
    Pyro::new(py, state_dir, cache_dir, max_active_vms)?.create_server(py, profile)
}
