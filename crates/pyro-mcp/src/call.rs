//! What a tool has at hand while it is called.

use crate::printed::Printed;
use crate::progress::Progress;
use pyro_host::error::{Error, ErrorKind, Result};
use pyro_host::network::{self, NOTHING, Policy, is_same};
use pyro_host::output::OutputChannel;
use pyro_host::publish::PublishSpec;
use pyro_host::pyro::Pyro;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::mpsc;

/// One call of a tool.
#[derive(Debug, Clone)]
pub struct Call {
    /// The façade.
    pub pyro: Pyro,
    /// Where to say how far it is.
    pub progress: Progress,
    /// What the user lets models decide.
    pub permissions: Arc<Permissions>,
}

/// What is the user's to decide, and not a model's.
#[derive(Debug, Clone, Default)]
pub struct Permissions {
    /// Whether models may leave the isolation, where no guest can be started.
    pub host_compat: bool,
    /// The rules that a model may give to the network of a guest, as the user gave them. Without any, it may name everything
    /// public, and nothing of this computer and of private networks.
    pub network: Vec<String>,
    /// Whether models may choose the ports of this computer that a guest's are published at, and not only the guest's.
    pub publish: bool,
}

impl Call {
    /// Refuses what only the user may decide.
    pub(crate) fn check_host_compat(&self, is_wanted: bool) -> Result<()> {
        if is_wanted && !self.permissions.host_compat {
            let message = "allow_host_compat is not for the model to decide, and the user has not allowed it";
            return Err(Error::new(ErrorKind::Unsupported, message).with_hint(
                "leave allow_host_compat out; the user's `pyro mcp serve --allow-host-compat` would allow it",
            ));
        }
        Ok(())
    }

    /// The network that a model wants of a machine, if it is the model's to decide.
    pub(crate) fn network(&self, is_wanted: bool, allow: &[String]) -> Result<Option<Policy>> {
        let Some(policy) = network::wanted(is_wanted, allow)? else { return Ok(None) };
        let permitted = &self.permissions.network;
        if permitted.is_empty() {
            return match policy.names_special() {
                None => Ok(Some(policy)),
                Some(rule) => Err(not_for_models(&format!("`{rule}` is no public destination"))),
            };
        }
        if policy.is_open() {
            return network::policy(permitted).map(Some);
        }
        let is_permitted = |rule: &str| rule == NOTHING || permitted.iter().any(|other| is_same(rule, other));
        match policy.allow().iter().find(|rule| !is_permitted(rule)) {
            None => Ok(Some(policy)),
            Some(rule) => Err(not_for_models(&format!("`{rule}` is not among {}", permitted.join(", ")))),
        }
    }

    /// The ports that a model wants to be published. Whoever listens at a port that programs of this computer know gets what
    /// was meant for somebody else: which it is, is the user's to say.
    pub(crate) fn publish(&self, ports: &[String]) -> Result<Vec<PublishSpec>> {
        let ports = ports.iter().map(|port| port.parse()).collect::<Result<Vec<PublishSpec>>>()?;
        match ports.iter().find(|port| port.host_port != 0 && !self.permissions.publish) {
            None => Ok(ports),
            Some(port) => {
                let message =
                    format!("port {} of this computer is not for the model to choose", port.host_port);
                Err(Error::new(ErrorKind::Unsupported, message).with_hint(format!(
                    "give \"0:{}\" for any free one; only the user can allow more, where this server is started",
                    port.guest_port
                )))
            }
        }
    }

    /// Takes output of a command that runs, and says how much there is.
    pub(crate) fn take(&self, printed: &mut Printed, channel: OutputChannel, bytes: &[u8]) {
        printed.push(channel, bytes);
        self.progress.say(format!("the command runs and has printed {} bytes", printed.n_bytes()));
    }
}

/// Refuses a rule that only the user may give.
fn not_for_models(why: &str) -> Error {
    let message = format!("the rule is not for the model to decide, and the user has not allowed it: {why}");
    Error::new(ErrorKind::Unsupported, message)
        .with_hint("leave the rule out; only the user can allow it, where this server is started")
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
