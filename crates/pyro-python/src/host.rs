//! What this host can do.

use crate::machine::settings;
use crate::pyro::Pyro;
use crate::result::Result;
use pyo3::prelude::*;
use pyro_host::doctor::DoctorOptions;

#[pymethods]
impl Pyro {
    /// Examine this host: ``runtime_ok`` says whether guests can run, ``issues`` what to do where they cannot.
    ///
    /// ``environment`` is the one that is looked at; with ``boot`` a real guest is started.
    #[pyo3(signature = (*, environment="debian:12", boot=false))]
    fn doctor<'py>(&self, py: Python<'py>, environment: &str, boot: bool) -> Result<'py> {
        let accelerator = settings(py)?.accelerator;
        let options = DoctorOptions { environment: environment.to_owned(), boot, accelerator };
        self.ask(py, async move |pyro| pyro.doctor(&options).await)
    }
}
