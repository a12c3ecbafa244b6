//! Waits for the façade: without Python's lock, with an ear for Ctrl-C and for whoever cancels the call.

use crate::cancel;
use crate::errors::{cancelled, panicked, raised};
use pyo3::prelude::*;
use pyro_host::error::{Context, ErrorKind, Result};
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::time::sleep;

/// So often Python is asked whether a signal has come.
const LOOK_FOR_SIGNALS: Duration = Duration::from_millis(100);

/// Waits for one operation, in an event loop that is there for nothing else.
pub fn wait<T: Send>(py: Python<'_>, operation: impl Future<Output = Result<T>> + Send) -> PyResult<T> {
    wait_in(py, &mut Builder::new_current_thread(), operation)
}

/// The same with a thread for each CPU, for what does many things at once.
pub fn wait_with_threads<T: Send>(
    py: Python<'_>,
    operation: impl Future<Output = Result<T>> + Send,
) -> PyResult<T> {
    wait_in(py, &mut Builder::new_multi_thread(), operation)
}

/// Does what waits for nothing but files.
pub fn look<T: Send>(py: Python<'_>, operation: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    let done = py.detach(|| catch_unwind(AssertUnwindSafe(operation)));
    done.map_err(|panic| panicked(py, &*panic))?.map_err(|error| raised(py, &error))
}

/// How the wait for an operation ended.
enum End<T> {
    Done(Result<T>),
    /// Python has a signal to handle, or somebody cancelled the call. The operation was dropped, which ended all that it
    /// had started.
    Broken(PyErr),
}

fn wait_in<T: Send>(
    py: Python<'_>,
    builder: &mut Builder,
    operation: impl Future<Output = Result<T>> + Send,
) -> PyResult<T> {
    let ended = py.detach(|| catch_unwind(AssertUnwindSafe(|| run(builder, operation))));
    match ended.map_err(|panic: Box<dyn Any + Send>| panicked(py, &*panic))? {
        Ok(End::Done(Ok(value))) => Ok(value),
        Ok(End::Done(Err(error))) | Err(error) => Err(raised(py, &error)),
        Ok(End::Broken(error)) => Err(error),
    }
}

fn run<T>(builder: &mut Builder, operation: impl Future<Output = Result<T>>) -> Result<End<T>> {
    let runtime =
        builder.enable_all().build().failing(ErrorKind::Io, || "could not start the event loop".into())?;
    let mut operation = Box::pin(operation);
    let end = loop {
        let turn = runtime.block_on(async {
            tokio::select! {
                biased;
                () = cancel::asked_for() => Turn::Cancelled,
                result = &mut operation => Turn::Done(result),
                () = sleep(LOOK_FOR_SIGNALS) => Turn::Look,
            }
        });
        match turn {
            Turn::Done(result) => break End::Done(result),
            Turn::Cancelled => break End::Broken(Python::attach(cancelled)),
            // Not in the event loop: the handler of a signal may use pyro itself.
            Turn::Look => {
                if let Err(error) = Python::attach(handle_signals) {
                    break End::Broken(error);
                }
            }
        }
    };
    // This ends what it has started.
    runtime.block_on(async { drop(operation) });
    // Threads that still wait for a lock or for standard input must not hold up the end.
    runtime.shutdown_background();
    Ok(end)
}

/// What happened first.
enum Turn<T> {
    Done(Result<T>),
    Cancelled,
    Look,
}

/// Runs the handlers of signals that have come, which may raise something, as that of Ctrl-C does. Python does so in its
/// main thread only.
fn handle_signals(py: Python<'_>) -> PyResult<()> {
    py.check_signals()
}
