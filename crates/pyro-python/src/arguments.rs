//! Arguments of Python as the façade takes them. What is out of range is for the façade to say, as far as its types can
//! hold it.

use crate::errors::raised;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyList, PyString, PyTuple};
use pyro_host::command::Command;
use pyro_host::error::{Context, Error, ErrorKind, Result};
use pyro_host::service::Readiness;
use std::path::PathBuf;

/// A whole number. One that is too large for any purpose becomes the largest that there is, or the smallest.
pub fn integer(object: &Bound<'_, PyAny>) -> PyResult<i64> {
    match object.extract::<i64>() {
        Err(error) if error.is_instance_of::<PyOverflowError>(object.py()) => {
            let is_negative = object.lt(PyInt::new(object.py(), 0))?;
            Ok(if is_negative { i64::MIN } else { i64::MAX })
        }
        extracted => extracted,
    }
}

/// The same where there may be none.
pub fn maybe_integer(object: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
    if object.is_none() { Ok(None) } else { integer(object).map(Some) }
}

/// A number as a type of the façade, where that can hold it. One that it cannot hold is refused in the words that the
/// façade has for zero, which is out of every range that `judge` knows.
pub fn number<T: TryFrom<i64> + Default, J>(
    py: Python<'_>,
    name: &str,
    value: i64,
    judge: impl FnOnce(T) -> Result<J>,
) -> PyResult<T> {
    match T::try_from(value) {
        Ok(number) if value < i64::MAX => Ok(number),
        _ => Err(raised(py, &refusal(name, value, judge(T::default()).err().as_ref()))),
    }
}

/// A number that has no upper limit, as a type of the façade.
pub fn count<T: TryFrom<i64>>(py: Python<'_>, name: &str, value: i64) -> PyResult<T> {
    T::try_from(value).map_err(|_| raised(py, &refusal(name, value, None).with_hint("it is 0 or more")))
}

/// Says of a number what the façade said of another one.
fn refusal(name: &str, value: i64, judged: Option<&Error>) -> Error {
    let given = match value {
        i64::MAX => format!("{value} or more"),
        i64::MIN => format!("{value} or less"),
        value => value.to_string(),
    };
    let reason = judged.and_then(|error| error.message().split_once(", which "));
    let reason = reason.map_or("is out of range", |(_, reason)| reason);
    let error = Error::invalid(format!("{name} is {given}, which {reason}"));
    match judged.and_then(Error::hint) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// A line for the guest's shell, or a list of a program and its arguments.
#[derive(Debug)]
pub struct Words(pub Command);

impl<'a, 'py> FromPyObject<'a, 'py> for Words {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyString>() {
            return Ok(Self(Command::Shell(object.extract()?)));
        }
        if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
            return Ok(Self(Command::Argv(object.extract()?)));
        }
        let kind = object.get_type().name()?;
        Err(PyTypeError::new_err(format!("a command is a str or a list of str, not {kind}")))
    }
}

/// Rules of a network, or ports to publish: a list of str. A single str would be taken for a list of its letters.
#[derive(Debug)]
pub struct Rules(Vec<String>);

impl Rules {
    /// Those that were given.
    pub fn of(given: Option<Self>) -> Vec<String> {
        given.map_or(Vec::new(), |rules| rules.0)
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Rules {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
            return Ok(Self(object.extract()?));
        }
        let kind = object.get_type().name()?;
        Err(PyTypeError::new_err(format!("rules and ports are a list of str, not {kind}")))
    }
}

/// A path of this host: absolute, or relative to the working directory.
#[derive(Debug)]
pub struct HostPath(pub PathBuf);

impl<'a, 'py> FromPyObject<'a, 'py> for HostPath {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let path: PathBuf = object.extract()?;
        let doing = || format!("`{}` is no path of this host", path.display());
        let absolute = std::path::absolute(&path).failing(ErrorKind::InvalidArgument, doing);
        absolute.map(Self).map_err(|error| raised(object.py(), &error))
    }
}

/// When a service is ready, from a dictionary.
pub fn readiness(readiness: &Bound<'_, PyAny>) -> PyResult<Readiness> {
    const HINT: &str = "it is one of {\"type\": \"file\", \"path\": …}, {\"type\": \"tcp\", \"address\": …}, \
                        {\"type\": \"http\", \"url\": …}, {\"type\": \"command\", \"command\": …}";
    let py = readiness.py();
    let text: String = py.import("json")?.call_method1("dumps", (readiness,))?.extract()?;
    let doing = || format!("could not read the readiness {text}");
    let parsed = serde_json::from_str(&text).failing(ErrorKind::InvalidArgument, doing);
    parsed.map_err(|error| raised(py, &error.with_hint(HINT)))
}
