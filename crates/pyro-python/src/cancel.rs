//! Ends a call from another thread: what makes the cancellation of an asyncio task reach the guest.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::cell::RefCell;
use tokio::sync::watch;

thread_local! {
    /// The token of the call that this thread is in.
    static CURRENT: RefCell<Option<watch::Receiver<bool>>> = const { RefCell::new(None) };
}

/// Ends the calls that are made with it, also those that begin later.
#[pyclass(frozen, module = "pyro_mcp._native")]
#[derive(Debug)]
pub struct CancelToken {
    sender: watch::Sender<bool>,
}

#[pymethods]
impl CancelToken {
    #[new]
    fn new() -> Self {
        Self { sender: watch::Sender::new(false) }
    }

    /// Ends them. The machine of one command is gone when the call has returned; a command in a workspace ends right after.
    fn cancel(&self) {
        self.sender.send_replace(true);
    }
}

/// Calls a function whose calls of pyro, in this thread, end when the token is cancelled.
#[pyfunction]
#[pyo3(signature = (token, function, /, *args, **kwargs))]
pub fn call_with<'py>(
    token: &CancelToken,
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let before = CURRENT.replace(Some(token.sender.subscribe()));
    let result = function.call(args, kwargs);
    CURRENT.set(before);
    result
}

/// Waits until the call that this thread is in is cancelled: for ever, where nobody can.
pub async fn asked_for() {
    let Some(mut token) = CURRENT.with_borrow(Clone::clone) else { return std::future::pending().await };
    if token.wait_for(|cancelled| *cancelled).await.is_err() {
        // Nobody has the token any more.
        std::future::pending::<()>().await;
    }
}
