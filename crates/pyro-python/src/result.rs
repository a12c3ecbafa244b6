//! Results as Python has them: the JSON that the executable prints, as dictionaries.

use crate::errors::raised;
use pyo3::prelude::*;
use pyro_host::error::{Context, ErrorKind};
use serde::Serialize;

/// What every method returns.
pub type Result<'py> = PyResult<Bound<'py, PyAny>>;

/// A result as dictionaries, lists, texts and numbers.
pub fn dictionary<'py>(py: Python<'py>, result: &impl Serialize) -> Result<'py> {
    let doing = || "could not write the result".to_owned();
    let text = serde_json::to_string(result).failing(ErrorKind::Internal, doing);
    let text = text.map_err(|error| raised(py, &error))?;
    py.import("json")?.call_method1("loads", (text,))
}
