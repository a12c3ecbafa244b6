//! Failures as Python's exceptions, whose classes are in `pyro_mcp.errors`.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyro_host::error::{Error, ErrorKind};
use std::any::Any;

/// The exception that an error is.
pub fn raised(py: Python<'_>, error: &Error) -> PyErr {
    exception(py, error).unwrap_or_else(|failure| failure)
}

/// The exception of a call that was cancelled.
pub fn cancelled(py: Python<'_>) -> PyErr {
    raised(py, &Error::new(ErrorKind::Interrupted, "the call was cancelled"))
}

/// The exception of a defect.
pub fn panicked(py: Python<'_>, panic: &(dyn Any + Send)) -> PyErr {
    let words = panic.downcast_ref::<&str>().copied();
    let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words");
    let error = Error::new(ErrorKind::Internal, "pyro broke off").with_source(words.to_owned());
    raised(py, &error.with_hint("this is a defect in pyro; please report it"))
}

fn exception(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let chain = PyTuple::new(py, error.chain())?;
    let make = py.import("pyro_mcp.errors")?.getattr("_exception")?;
    make.call1((error.kind().code(), chain, error.hint().map(hint))).map(PyErr::from_value)
}

/// A hint of the façade for who has parameters instead of flags: `--mem-mib` is `mem_mib` outside of commands.
fn hint(text: &str) -> String {
    if text.contains("-- ") {
        return text.to_owned();
    }
    let parts =
        text.split('`').map(|part| if part.contains("pyro ") { part.to_owned() } else { parameters(part) });
    parts.collect::<Vec<_>>().join("`")
}

fn parameters(text: &str) -> String {
    let word = |word: &str| match word.strip_prefix("--") {
        Some(flag) if flag.starts_with(|first: char| first.is_ascii_lowercase()) => flag.replace('-', "_"),
        _ => word.to_owned(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}
