//! What a tool has at hand while it is called.

use crate::printed::Printed;
use crate::progress::Progress;
use pyro_host::error::{Error, ErrorKind, Result};
use pyro_host::output::OutputChannel;
use pyro_host::pyro::Pyro;
use std::future::Future;
use std::pin::pin;
use tokio::sync::mpsc;

/// One call of a tool.
#[derive(Debug, Clone)]
pub struct Call {
    /// The façade.
    pub pyro: Pyro,
    /// Where to say how far it is.
    pub progress: Progress,
    /// Whether the user lets models leave the isolation, where no guest can be started.
    pub may_use_host: bool,
}

impl Call {
    /// Refuses what only the user may decide.
    pub(crate) fn check_host_compat(&self, is_wanted: bool) -> Result<()> {
        if is_wanted && !self.may_use_host {
            let message = "allow_host_compat is not for the model to decide, and the user has not allowed it";
            return Err(Error::new(ErrorKind::Unsupported, message).with_hint(
                "leave allow_host_compat out; the user's `pyro mcp serve --allow-host-compat` would allow it",
            ));
        }
        Ok(())
    }

    /// Takes output of a command that runs, and says how much there is.
    pub(crate) fn take(&self, printed: &mut Printed, channel: OutputChannel, bytes: &[u8]) {
        printed.push(channel, bytes);
        self.progress.say(format!("the command runs and has printed {} bytes", printed.n_bytes()));
    }
}

/// Lets something happen, and takes what it tells meanwhile. What was told before its end is taken before this returns.
pub(crate) async fn listening<T, E>(
    doing: impl Future<Output = Result<T>>,
    mut told: mpsc::Receiver<E>,
    mut take: impl FnMut(E),
) -> Result<T> {
    let mut doing = pin!(doing);
    let result = loop {
        tokio::select! {
            biased;
            Some(event) = told.recv() => take(event),
            result = &mut doing => break result,
        }
    };
    while let Ok(event) = told.try_recv() {
        take(event);
    }
    result
}
