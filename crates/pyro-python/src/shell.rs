//! Shells: terminals in a workspace.

use crate::arguments::{count, integer, maybe_integer, number};
use crate::errors::raised;
use crate::pyro::Pyro;
use crate::result::Result;
use pyo3::prelude::*;
use pyro_host::error::{Error, Result as Judged};
use pyro_host::shell::{ShellSignal, ShellSpec};
use pyro_host::workspace::ReadSpec;

#[pymethods]
impl Pyro {
    /// Open a shell on a terminal of its own. It stays until it ends or is closed.
    #[pyo3(signature = (workspace_id, *, cwd="/workspace", cols=120, rows=30))]
    fn open_shell<'py>(
        &self,
        py: Python<'py>,
        workspace_id: &str,
        cwd: &str,
        #[pyo3(from_py_with = integer)] cols: i64,
        #[pyo3(from_py_with = integer)] rows: i64,
    ) -> Result<'py> {
        let (cols, rows) = size(py, cols, rows)?;
        let spec = ShellSpec { cwd: cwd.to_owned(), cols, rows };
        self.ask(py, async move |pyro| pyro.open_shell(workspace_id, &spec).await)
    }

    /// The shells of a workspace, the oldest first, also those that have ended.
    fn list_shells<'py>(&self, py: Python<'py>, workspace_id: &str) -> Result<'py> {
        self.look(py, |pyro| pyro.list_shells(workspace_id))
    }

    /// What a shell has shown from ``cursor`` on, which counts characters from the beginning of the session.
    ///
    /// Give ``next_cursor`` of one read as ``cursor`` of the next. ``max_chars`` is 1 to 4194304. ``plain`` leaves escape
    /// sequences out. With ``wait_for_idle_ms`` (1 to 60000) it waits until nothing has been shown for so long, a minute
    /// at most.
    #[pyo3(signature = (workspace_id, shell_id, *, cursor=0, max_chars=65536, plain=false, wait_for_idle_ms=None))]
    #[expect(clippy::too_many_arguments, reason = "they are those of the contract, each by its name")]
    fn read_shell<'py>(
        &self,
        py: Python<'py>,
        workspace_id: &str,
        shell_id: &str,
        #[pyo3(from_py_with = integer)] cursor: i64,
        #[pyo3(from_py_with = integer)] max_chars: i64,
        plain: bool,
        #[pyo3(from_py_with = maybe_integer)] wait_for_idle_ms: Option<i64>,
    ) -> Result<'py> {
        let idle = wait_for_idle_ms
            .map(|idle| number(py, "wait_for_idle_ms", idle, from_one_to(60_000, "milliseconds")))
            .transpose()?;
        let max_chars = number(py, "max_chars", max_chars, from_one_to(4_194_304, "characters"))?;
        let cursor = count(py, "cursor", cursor)?;
        let spec = ReadSpec { cursor, max_chars, plain, wait_for_idle_ms: idle };
        self.ask(py, async move |pyro| pyro.read_shell(workspace_id, shell_id, &spec).await)
    }

    /// Type into a shell, and press Enter unless ``append_newline`` is false. ``read_shell`` shows what comes of it.
    #[pyo3(signature = (workspace_id, shell_id, *, input, append_newline=true))]
    fn write_shell<'py>(
        &self,
        py: Python<'py>,
        workspace_id: &str,
        shell_id: &str,
        input: &str,
        append_newline: bool,
    ) -> Result<'py> {
        self.ask(py, async move |pyro| pyro.write_shell(workspace_id, shell_id, input, append_newline).await)
    }

    /// Send a signal to what runs in the foreground of a shell: HUP, INT, TERM, KILL, QUIT, TSTP, CONT or WINCH.
    #[pyo3(signature = (workspace_id, shell_id, *, signal_name="INT"))]
    fn signal_shell<'py>(
        &self,
        py: Python<'py>,
        workspace_id: &str,
        shell_id: &str,
        signal_name: &str,
    ) -> Result<'py> {
        let signal = ShellSignal::parse(signal_name).map_err(|error| raised(py, &error))?;
        self.ask(py, async move |pyro| pyro.signal_shell(workspace_id, shell_id, signal).await)
    }

    /// Give a shell's terminal another size: 2 to 1000 ``cols``, 1 to 1000 ``rows``.
    #[pyo3(signature = (workspace_id, shell_id, *, cols, rows))]
    fn resize_shell<'py>(
        &self,
        py: Python<'py>,
        workspace_id: &str,
        shell_id: &str,
        #[pyo3(from_py_with = integer)] cols: i64,
        #[pyo3(from_py_with = integer)] rows: i64,
    ) -> Result<'py> {
        let (cols, rows) = size(py, cols, rows)?;
        self.ask(py, async move |pyro| pyro.resize_shell(workspace_id, shell_id, cols, rows).await)
    }

    /// End a shell with everything that was started in it. What it showed can still be read.
    fn close_shell<'py>(&self, py: Python<'py>, workspace_id: &str, shell_id: &str) -> Result<'py> {
        self.ask(py, async move |pyro| pyro.close_shell(workspace_id, shell_id).await)
    }
}

/// What the façade says of a number of a read that is out of range; it has no way to ask for that alone.
fn from_one_to(most: u64, unit: &str) -> impl FnOnce(u64) -> Judged<()> {
    let error = Error::invalid(format!("it is 0, which is not in 1 to {most}"));
    let error = error.with_hint(format!("it is given in {unit}"));
    |_| Err(error)
}

/// The size of a terminal.
fn size(py: Python<'_>, cols: i64, rows: i64) -> PyResult<(u16, u16)> {
    let columns = |cols| ShellSpec { cols, ..ShellSpec::default() }.checked();
    let lines = |rows| ShellSpec { rows, ..ShellSpec::default() }.checked();
    Ok((number(py, "cols", cols, columns)?, number(py, "rows", rows, lines)?))
}
