//! Services: processes of a workspace that stay.

use crate::arguments::{self, Rules, Words, count, integer, number};
use crate::errors::raised;
use crate::pyro::Pyro;
use crate::result::Result;
use pyo3::prelude::*;
use pyro_host::command::Command;
use pyro_host::limits::validate_ready_timeout;
use pyro_host::service::{ServiceName, ServiceSpec};

#[pymethods]
impl Pyro {
    /// Start a process that stays, such as a web server, and wait until it is ready.
    ///
    /// ``readiness`` is one of ``{"type": "file", "path": …}``, ``{"type": "tcp", "address": "127.0.0.1:80"}``,
    /// ``{"type": "http", "url": …}`` and ``{"type": "command", "command": …}``; without it the service is ready as soon
    /// as it runs. It is asked every ``ready_interval_ms`` (10 to 60000). One that ends before it is ready raises a
    /// ``PyroError`` of kind ``service_failed`` with the end of its log, one that takes longer than
    /// ``ready_timeout_seconds`` a ``TimedOutError``. ``publish`` makes ports of the guest reachable at 127.0.0.1 of this host
    /// while it runs: ``"8080"``, ``"9000:8080"``, or ``"0:8080"`` for any free one, which ``published`` of the result names.
    #[pyo3(signature = (workspace_id, service_name, *, command, cwd="/workspace", readiness=None,
                        ready_timeout_seconds=30, ready_interval_ms=500, publish=None))]
    #[expect(clippy::too_many_arguments, reason = "they are those of the contract, each by its name")]
    fn start_service<'py>(
        &self,
        py: Python<'py>,
        workspace_id: &str,
        service_name: &str,
        command: Words,
        cwd: &str,
        readiness: Option<&Bound<'py, PyAny>>,
        #[pyo3(from_py_with = integer)] ready_timeout_seconds: i64,
        #[pyo3(from_py_with = integer)] ready_interval_ms: i64,
        publish: Option<Rules>,
    ) -> Result<'py> {
        let name = ServiceName::parse(service_name).map_err(|error| raised(py, &error))?;
        let publish =
            Rules::of(publish).iter().map(|port| port.parse()).collect::<std::result::Result<_, _>>();
        let publish = publish.map_err(|error| raised(py, &error))?;
        let simple = ServiceSpec::new(name.clone(), Command::Shell("true".into()));
        let interval = |ready_interval_ms| ServiceSpec { ready_interval_ms, ..simple }.checked();
        let spec = ServiceSpec {
            cwd: cwd.to_owned(),
            readiness: readiness.map(arguments::readiness).transpose()?,
            ready_timeout_seconds: number(
                py,
                "ready_timeout_seconds",
                ready_timeout_seconds,
                validate_ready_timeout,
            )?,
            ready_interval_ms: number(py, "ready_interval_ms", ready_interval_ms, interval)?,
            publish,
            ..ServiceSpec::new(name, command.0)
        };
        self.ask(py, async move |pyro| pyro.start_service(workspace_id, &spec).await)
    }

    /// The services of a workspace, also those that have ended.
    fn list_services<'py>(&self, py: Python<'py>, workspace_id: &str) -> Result<'py> {
        self.look(py, |pyro| pyro.list_services(workspace_id))
    }

    /// How a service is: ``starting``, ``running``, ``stopped``, ``exited`` or ``failed``, and why.
    fn status_service<'py>(&self, py: Python<'py>, workspace_id: &str, service_name: &str) -> Result<'py> {
        self.look(py, |pyro| pyro.status_service(workspace_id, service_name))
    }

    /// The last lines that a service printed, also after its end; with ``all`` everything that is kept.
    #[pyo3(signature = (workspace_id, service_name, *, tail_lines=200, all=false))]
    fn logs_service<'py>(
        &self,
        py: Python<'py>,
        workspace_id: &str,
        service_name: &str,
        #[pyo3(from_py_with = integer)] tail_lines: i64,
        all: bool,
    ) -> Result<'py> {
        let tail_lines = count(py, "tail_lines", tail_lines)?;
        let lines = (!all).then_some(tail_lines);
        self.look(py, |pyro| pyro.logs_service(workspace_id, service_name, lines))
    }

    /// Stop a service with everything that it has started: TERM, and KILL after 10 seconds.
    fn stop_service<'py>(&self, py: Python<'py>, workspace_id: &str, service_name: &str) -> Result<'py> {
        self.ask(py, async move |pyro| pyro.stop_service(workspace_id, service_name).await)
    }
}
