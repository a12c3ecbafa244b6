//! Shells: terminals in a workspace.

use crate::arguments::{integer, maybe_integer, number};
use crate::errors::raised;
use crate::pyro::Pyro;
use crate::result::Result;
use pyo3::prelude::*;
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
        let (cols, rows) = (number(py, "cols", cols)?, number(py, "rows", rows)?);
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
        let idle = wait_for_idle_ms.map(|idle| number(py, "wait_for_idle_ms", idle)).transpose()?;
        let (cursor, max_chars) = (number(py, "cursor", cursor)?, number(py, "max_chars", max_chars)?);
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
        let (cols, rows) = (number(py, "cols", cols)?, number(py, "rows", rows)?);
        self.ask(py, async move |pyro| pyro.resize_shell(workspace_id, shell_id, cols, rows).await)
    }

    /// End a shell with everything that was started in it. What it showed can still be read.
    fn close_shell<'py>(&self, py: Python<'py>, workspace_id: &str, shell_id: &str) -> Result<'py> {
        self.ask(py, async move |pyro| pyro.close_shell(workspace_id, shell_id).await)
    }
}
