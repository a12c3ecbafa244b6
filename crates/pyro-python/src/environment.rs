//! Environments: what machines are made of.

use crate::machine::settings;
use crate::pyro::Pyro;
use crate::result::Result;
use pyo3::prelude::*;
use pyro_host::environment::PullOptions;

#[pymethods]
impl Pyro {
    /// Every environment of the catalogue as a list, and whether it is installed.
    fn list_environments<'py>(&self, py: Python<'py>) -> Result<'py> {
        self.look(py, |pyro| Ok(pyro.list_environments()?.environments))
    }

    /// Install an environment, or repair it. Returns what ``inspect_environment`` does.
    ///
    /// It is built from Debian's packages, which takes a minute. One that is installed and whole stays as it is.
    fn pull_environment<'py>(&self, py: Python<'py>, environment: &str) -> Result<'py> {
        let options = PullOptions { mirror: settings(py)?.mirror, ..PullOptions::default() };
        self.ask(py, async move |pyro| {
            pyro.pull_environment(environment, options, drop).await?;
            pyro.inspect_environment(environment)
        })
    }

    /// All that is known of an environment: packages with versions, files with digests, origin, templates.
    ///
    /// Raises ``NotFoundError`` for a name that is not in the catalogue.
    fn inspect_environment<'py>(&self, py: Python<'py>, environment: &str) -> Result<'py> {
        self.look(py, |pyro| pyro.inspect_environment(environment))
    }

    /// Remove what no name stands for any more, what is damaged, and templates that nothing uses.
    ///
    /// Installed environments stay, and what workspaces and VMs stand on.
    fn prune_environments<'py>(&self, py: Python<'py>) -> Result<'py> {
        self.look(py, |pyro| pyro.prune_environments(false))
    }
}
