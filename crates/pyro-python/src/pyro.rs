//! The class `Pyro`. Its methods are in one file for each noun.

use crate::arguments::{HostPath, count, maybe_integer};
use crate::errors::raised;
use crate::result::{self, dictionary};
use crate::wait::{look, wait};
use pyo3::prelude::*;
use pyro_host::error::{Error, Result};
use pyro_host::limits::max_active_vms;
use pyro_host::pyro::Pyro as Facade;
use pyro_host::state_dir::StateDir;
use serde::Serialize;
use std::future::Future;
use std::path::PathBuf;

/// Disposable Linux machines: commands in microVMs, and workspaces that stay.
///
/// Every method returns plain dictionaries, and raises a ``PyroError`` that says what to do next. A command that ends with
/// an exit code other than 0 is a result. Methods wait without holding up other threads; Ctrl-C ends what they wait for.
///
/// ``state_dir`` is a folder for all files of pyro, and ``cache_dir`` one for those that can be made again, such as
/// environments. Without them the folders are those of the command ``pyro``: ``$PYRO_HOME``, else those of XDG.
/// ``max_active_vms`` is how many VMs and workspaces may be started at the same time: 32, or ``$PYRO_MAX_ACTIVE_VMS``.
#[pyclass(frozen, subclass, module = "pyro_mcp")]
#[derive(Debug)]
pub struct Pyro {
    pub facade: Facade,
}

#[pymethods]
impl Pyro {
    #[new]
    #[pyo3(signature = (*, state_dir=None, cache_dir=None, max_active_vms=None))]
    pub fn new(
        py: Python<'_>,
        state_dir: Option<HostPath>,
        cache_dir: Option<HostPath>,
        #[pyo3(from_py_with = maybe_integer)] max_active_vms: Option<i64>,
    ) -> PyResult<Self> {
        let limit = max_active_vms.map(|limit| count(py, "max_active_vms", limit)).transpose()?;
        if limit == Some(0) {
            let error = Error::invalid("max_active_vms is 0, so that nothing could be started");
            return Err(raised(py, &error.with_hint("it is 1 or more")));
        }
        let executable: PathBuf = py.import("pyro_mcp._executable")?.call_method0("executable")?.extract()?;
        let opened = open(state_dir, cache_dir, limit, executable);
        opened.map(|facade| Self { facade }).map_err(|error| raised(py, &error))
    }
}

fn open(
    state_dir: Option<HostPath>,
    cache_dir: Option<HostPath>,
    limit: Option<usize>,
    executable: PathBuf,
) -> Result<Facade> {
    let files = state_dir.map_or_else(StateDir::from_environment, |folder| StateDir::below(&folder.0))?;
    let files = match cache_dir {
        Some(cache_dir) => files.with_cache(&cache_dir.0)?,
        None => files,
    };
    let limit = limit.map_or_else(max_active_vms, Ok)?;
    Ok(Facade::with_executable(files, limit, executable))
}

impl Pyro {
    /// What an operation of the façade came to, as a dictionary.
    pub fn ask<'py, T, F>(&self, py: Python<'py>, operation: impl FnOnce(Facade) -> F) -> result::Result<'py>
    where
        T: Serialize + Send,
        F: Future<Output = Result<T>> + Send,
    {
        dictionary(py, &wait(py, operation(self.facade.clone()))?)
    }

    /// The same of one that only looks.
    pub fn look<'py, T: Serialize + Send>(
        &self,
        py: Python<'py>,
        operation: impl FnOnce(&Facade) -> Result<T> + Send,
    ) -> result::Result<'py> {
        dictionary(py, &look(py, || operation(&self.facade))?)
    }
}
