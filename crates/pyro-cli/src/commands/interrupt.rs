//! The signals that ask a program to end.

use pyro_host::error::{Context, Error, ErrorKind};
use tokio::signal::unix::{SignalKind, signal as listen};

const HANGUP: u8 = 1;
const INTERRUPT: u8 = 2;
const TERMINATE: u8 = 15;

/// Waits for SIGHUP, SIGINT or SIGTERM and gives its number.
pub async fn signal() -> Result<u8, Error> {
    let failing = || "could not listen for signals".to_owned();
    let mut hangup = listen(SignalKind::hangup()).failing(ErrorKind::Io, failing)?;
    let mut interrupt = listen(SignalKind::interrupt()).failing(ErrorKind::Io, failing)?;
    let mut terminate = listen(SignalKind::terminate()).failing(ErrorKind::Io, failing)?;
    tokio::select! {
        _ = hangup.recv() => Ok(HANGUP),
        _ = interrupt.recv() => Ok(INTERRUPT),
        _ = terminate.recv() => Ok(TERMINATE),
    }
}
