//! The Python module `pyro_mcp._native`: the façade of [`pyro_host`] as a class, and the MCP server, in the process of
//! the caller.
//!
//! Every call makes an event loop of its own and drops it at its end (`wait.rs`): nothing of one call is left for the
//! next, so that a process may fork between them. While it waits, other Python threads run, and Ctrl-C ends it.
//! Arguments are judged by the façade; here they only become its types (`arguments.rs`). Results are what `--json` of the
//! executable prints, as dictionaries (`result.rs`).

mod arguments;
mod cancel;
mod environment;
mod errors;
mod host;
mod machine;
mod network;
mod pyro;
mod result;
mod server;
mod service;
mod shell;
mod vm;
mod wait;
mod workspace;

use pyo3::prelude::*;

/// What is native in `pyro_mcp`, which has the documentation.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::cancel::{CancelToken, call_with};
    #[pymodule_export]
    use super::pyro::Pyro;
    #[pymodule_export]
    use super::server::{Server, create_server};
    use super::{Bound, PyModule, PyModuleMethods, PyResult};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
