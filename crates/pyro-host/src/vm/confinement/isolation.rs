//! What was given to a machine of what keeps a QEMU that a guest has taken over away from the host, layer by layer.
//!
//! Nothing is promised here: each layer is told as it came out for the very process that it is about.

use crate::error::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The confinement of one machine's QEMU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Isolation {
    /// Whether every layer is there.
    pub level: IsolationLevel,
    /// Each layer, in a fixed order.
    pub layers: Vec<Layer>,
}

/// How much of the confinement is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum IsolationLevel {
    /// Every layer is `full`. One exception: `user` may be `shared`, as `files`, `processes` and `syscalls` then stand
    /// between QEMU and what else belongs to that user.
    Full,
    /// Something is missing.
    Partial,
}

/// One layer of the confinement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Layer {
    /// Which.
    pub name: LayerName,
    /// How much of it is there.
    pub state: LayerState,
    /// What gives it, such as `landlock ABI 7`. Empty where nothing does.
    pub by: String,
    /// What is missing, why, and what to do.
    #[serde(default)]
    pub missing: Option<String>,
}

/// The layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LayerName {
    /// A user that owns nothing.
    User,
    /// No capabilities, and no way to gain any.
    Privileges,
    /// No files but its own.
    Files,
    /// No network.
    Network,
    /// No sight of other processes.
    Processes,
    /// No System V objects and message queues of others.
    Ipc,
    /// A host name of its own.
    Hostname,
    /// No system calls but those that a running machine needs.
    Syscalls,
    /// No more memory, processes and CPU than a machine of this size needs.
    Limits,
}

/// How much of a layer is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LayerState {
    /// All of it.
    Full,
    /// Only for `user`: QEMU runs as the user that started it, whose files are out of its reach by other layers.
    Shared,
    /// Some of it.
    Partial,
    /// Nothing.
    Missing,
}

/// What a start is to insist on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RequireIsolation {
    /// Whatever the host can give.
    #[default]
    Any,
    /// Every layer: see [`IsolationLevel::Full`].
    Full,
}

impl FromStr for RequireIsolation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "any" => Ok(Self::Any),
            "full" => Ok(Self::Full),
            // Both are in the message: command lines show no hint of a value that cannot be read.
            _ => Err(Error::invalid(format!(
                "the isolation that is required is `any` or `full`, not `{text}`"
            ))
            .with_hint("leave it out for whatever the host can give")),
        }
    }
}

impl fmt::Display for RequireIsolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Full => "full",
        })
    }
}

impl IsolationLevel {
    /// The name as it stands in JSON.
    pub fn code(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
        }
    }
}

impl LayerName {
    /// The name as it stands in JSON.
    pub fn code(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Privileges => "privileges",
            Self::Files => "files",
            Self::Network => "network",
            Self::Processes => "processes",
            Self::Ipc => "ipc",
            Self::Hostname => "hostname",
            Self::Syscalls => "syscalls",
            Self::Limits => "limits",
        }
    }
}

impl fmt::Display for LayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Layer {
    pub(super) fn full(name: LayerName, by: impl Into<String>) -> Self {
        Self { name, state: LayerState::Full, by: by.into(), missing: None }
    }

    pub(super) fn missing(name: LayerName, why: impl Into<String>) -> Self {
        Self { name, state: LayerState::Missing, by: String::new(), missing: Some(why.into()) }
    }

    pub(super) fn partial(name: LayerName, by: impl Into<String>, missing: impl Into<String>) -> Self {
        Self { name, state: LayerState::Partial, by: by.into(), missing: Some(missing.into()) }
    }

    fn is_given(&self) -> bool {
        matches!(self.state, LayerState::Full | LayerState::Shared)
    }
}

impl Isolation {
    pub(super) fn of(layers: Vec<Layer>) -> Self {
        let level = match layers.iter().all(Layer::is_given) {
            true => IsolationLevel::Full,
            false => IsolationLevel::Partial,
        };
        Self { level, layers }
    }

    /// One of the layers.
    pub fn layer(&self, name: LayerName) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.name == name)
    }

    /// The layers of which less is there than could be.
    pub fn lacking(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().filter(|layer| !layer.is_given())
    }

    /// Refuses where less is there than is required.
    ///
    /// # Errors
    /// `unsupported_host`, naming each layer that is missing.
    pub fn check(&self, required: RequireIsolation) -> Result<(), Error> {
        if required == RequireIsolation::Any || self.level == IsolationLevel::Full {
            return Ok(());
        }
        let lacking: Vec<&Layer> = self.lacking().collect();
        let names: Vec<&str> = lacking.iter().map(|layer| layer.name.code()).collect();
        let message = format!(
            "full isolation is required, and this host does not give all of it; missing: {}",
            names.join(", ")
        );
        let reasons = reasons(&lacking);
        Err(Error::new(ErrorKind::UnsupportedHost, message).with_source(reasons.join("; ")).with_hint(
            "mend what is named, or start without requiring full isolation; `pyro doctor` shows each layer",
        ))
    }
}

/// What each layer lacks, and why. A reason that several share, such as that the host gives no namespaces, is told once.
fn reasons(lacking: &[&Layer]) -> Vec<String> {
    let (mut told, mut reasons) = (Vec::new(), Vec::new());
    for layer in lacking {
        let missing = layer.missing.as_deref().unwrap_or("not given");
        reasons.push(match missing.split_once(": ") {
            Some((what, why)) if told.contains(&why) => {
                format!("{}: {what}, for the same reason", layer.name)
            }
            parts => {
                told.extend(parts.map(|(_, why)| why));
                format!("{}: {missing}", layer.name)
            }
        });
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_layer_is_named_when_all_are_required() {
        let layers = vec![
            Layer::full(LayerName::Network, "network namespace"),
            Layer::missing(LayerName::Files, "no landlock"),
            Layer::partial(LayerName::Limits, "rlimits", "no cgroup for cpu"),
        ];
        let isolation = Isolation::of(layers);
        assert_eq!(isolation.level, IsolationLevel::Partial);
        assert!(isolation.check(RequireIsolation::Any).is_ok());
        let error = isolation.check(RequireIsolation::Full).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnsupportedHost);
        let text = error.chain().join(": ");
        assert!(
            text.contains("files, limits") && text.contains("no landlock") && text.contains("cpu"),
            "{text}"
        );
    }

    #[test]
    fn a_reason_that_layers_share_is_told_once() {
        let why = "namespaces are refused (Operation not permitted): allow them";
        let layers = vec![
            Layer::partial(LayerName::Network, "filter", format!("no network namespace (a word): {why}")),
            Layer::missing(LayerName::Ipc, format!("no IPC namespace: {why}")),
            Layer::missing(LayerName::Limits, "no control group: not tried"),
        ];
        let error = Isolation::of(layers).check(RequireIsolation::Full).unwrap_err();
        let chain = error.chain();
        assert_eq!(
            chain[0],
            "full isolation is required, and this host does not give all of it; missing: network, ipc, limits"
        );
        assert_eq!(
            chain[1],
            format!(
                "network: no network namespace (a word): {why}; ipc: no IPC namespace, for the same reason; \
                 limits: no control group: not tried"
            )
        );
    }

    #[test]
    fn a_shared_user_counts_as_given() {
        let shared = Layer { state: LayerState::Shared, ..Layer::full(LayerName::User, "user 1000") };
        assert_eq!(Isolation::of(vec![shared]).level, IsolationLevel::Full);
    }

    #[test]
    fn what_is_required_is_read_by_its_name() {
        assert_eq!("full".parse::<RequireIsolation>().unwrap(), RequireIsolation::Full);
        assert_eq!("any".parse::<RequireIsolation>().unwrap().to_string(), "any");
        assert!("some".parse::<RequireIsolation>().is_err());
    }
}
