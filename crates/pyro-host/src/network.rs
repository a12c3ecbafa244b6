//! The network of a persistent VM as callers see it, and what they may want of it.

use crate::error::{Error, ErrorKind, Result};
use crate::publish::PublishSpec;
pub use pyro_network::denial::{Denial, DenialKind};
pub use pyro_network::explain::Explanation;
pub use pyro_network::policy::Policy;
use pyro_network::rule::Rule;
pub use pyro_network::status::{Addresses, ConnectionKind, ConnectionState, NetworkStatus};
use serde::{Deserialize, Serialize};

/// The network of a guest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NetworkInfo {
    /// Whether the guest has a network at all.
    pub network_enabled: bool,
    /// Whom it may talk to; none without a network.
    pub policy: Option<PolicyInfo>,
    /// Ports of the guest that are reachable from the host, or will be when it is started.
    pub published: Vec<PublishSpec>,
    /// Addresses, connections and counters; none while its machine does not run.
    pub status: Option<NetworkStatus>,
    /// What it wanted and was refused, as far as that is remembered.
    pub denials: Vec<Denial>,
}

/// Whom a guest may talk to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PolicyInfo {
    /// Everything public, or what the rules name and nothing else.
    pub mode: PolicyMode,
    /// The rules, as they were given.
    pub allow: Vec<String>,
}

/// How the rules are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PolicyMode {
    /// There are none: everything public may be talked to.
    Open,
    /// What they name may be talked to, and nothing else.
    Allowlist,
}

impl From<&Policy> for PolicyInfo {
    fn from(policy: &Policy) -> Self {
        let mode = if policy.is_open() { PolicyMode::Open } else { PolicyMode::Allowlist };
        Self { mode, allow: policy.allow().to_vec() }
    }
}

/// How the rules of a network are to change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChange {
    /// Whether the rules so far are forgotten first.
    pub reset: bool,
    /// Rules that no longer hold, as they were given.
    pub remove: Vec<String>,
    /// Rules that hold as well from now on.
    pub allow: Vec<String>,
}

impl PolicyChange {
    /// Whether anything is to change.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The rules after the change. Where the last of them is removed nothing is allowed, and not everything: whoever takes
    /// a permission away means less. A rule beside `none` takes its place.
    ///
    /// # Errors
    /// `invalid_argument` for a rule that is none, `not_found` for one to be removed that is not there.
    pub fn apply(&self, rules: &[String]) -> Result<Policy> {
        let mut rules = if self.reset { Vec::new() } else { rules.to_vec() };
        let had_rules = !rules.is_empty();
        for unwanted in &self.remove {
            let Some(at) = rules.iter().position(|rule| is_same(rule, unwanted)) else {
                let message = format!("there is no network rule `{}`", unwanted.escape_debug());
                return Err(Error::new(ErrorKind::NotFound, message)
                    .with_hint("`pyro workspace network ID` shows the rules as they were given"));
            };
            rules.remove(at);
        }
        if !self.allow.is_empty() {
            rules.retain(|rule| !is_same(rule, NOTHING));
        }
        rules.extend(self.allow.iter().cloned());
        if had_rules && rules.is_empty() {
            rules.push(NOTHING.into());
        }
        policy(&rules)
    }
}

/// The rule that allows nothing.
pub const NOTHING: &str = "none";

/// Whether two rules say the same, however they are written.
pub fn is_same(one: &str, other: &str) -> bool {
    one == other
        || matches!((one.parse::<Rule>(), other.parse::<Rule>()), (Ok(one), Ok(other)) if one == other)
}

/// The policy that rules make.
///
/// # Errors
/// `invalid_argument` that names the rule.
pub fn policy<S: AsRef<str>>(allow: &[S]) -> Result<Policy> {
    Policy::parse(allow).map_err(|error| Error::invalid(error.to_string()).with_hint(error.hint()))
}

/// What is wanted of a network: none, everything public, or what rules name. Rules ask for a network by themselves.
///
/// # Errors
/// As [`policy`].
pub fn wanted<S: AsRef<str>>(network: bool, allow: &[S]) -> Result<Option<Policy>> {
    match network || !allow.is_empty() {
        true => policy(allow).map(Some),
        false => Ok(None),
    }
}

/// The error of who wants something of a network that is not there.
pub(crate) fn no_network(noun: &str, id: &str, runs_on_host: bool) -> Error {
    if runs_on_host {
        return Error::new(
            ErrorKind::WrongState,
            format!("the {noun} `{id}` runs on this host, with its network"),
        )
        .with_hint("connect to its services directly: there is no guest between");
    }
    Error::new(ErrorKind::WrongState, format!("the {noun} `{id}` has no network")).with_hint(
        "a network is given when a machine is created: with --network, or with `--allow none` for published ports alone",
    )
}

/// The error of who takes back what is not published.
pub(crate) fn not_published(host_port: u16) -> Error {
    let message = format!("port {host_port} is not published by the workspace itself");
    Error::new(ErrorKind::NotFound, message).with_hint(
        "`pyro workspace network ID` shows the published ports; one of a service ends with the service",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(rules: &[&str]) -> Vec<String> {
        rules.iter().map(|&rule| rule.to_owned()).collect()
    }

    #[test]
    fn a_change_removes_and_adds_rules() {
        let given = rules(&["pypi.org", "@debian"]);
        let change = |change: PolicyChange| change.apply(&given).map(|policy| policy.allow().to_vec());
        let add = PolicyChange { allow: rules(&["crates.io:443"]), ..PolicyChange::default() };
        assert_eq!(change(add).unwrap(), rules(&["pypi.org", "@debian", "crates.io:443"]));
        let remove = PolicyChange { remove: rules(&["@debian"]), ..PolicyChange::default() };
        assert_eq!(change(remove).unwrap(), rules(&["pypi.org"]));
        let reset = PolicyChange { reset: true, allow: rules(&["none"]), ..PolicyChange::default() };
        assert_eq!(change(reset).unwrap(), rules(&["none"]));
        let all = PolicyChange { remove: rules(&["PyPI.org", "@debian"]), ..PolicyChange::default() };
        assert_eq!(change(all).unwrap(), rules(&[NOTHING]), "who takes all away opens nothing");
        let one = PolicyChange { allow: rules(&["pypi.org"]), ..PolicyChange::default() };
        assert_eq!(one.apply(&rules(&[NOTHING])).unwrap().allow(), rules(&["pypi.org"]));
        let open = PolicyChange { reset: true, ..PolicyChange::default() };
        assert!(open.apply(&given).unwrap().is_open());
        let unknown = PolicyChange { remove: rules(&["debian"]), ..PolicyChange::default() };
        assert_eq!(change(unknown).unwrap_err().kind(), ErrorKind::NotFound);
        let wrong = PolicyChange { allow: rules(&["https://pypi.org/"]), ..PolicyChange::default() };
        let wrong = change(wrong).unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::InvalidArgument);
        assert!(wrong.message().contains("https://pypi.org/") && wrong.hint().is_some());
    }

    #[test]
    fn rules_ask_for_a_network_by_themselves() {
        let none: [&str; 0] = [];
        assert_eq!(wanted(false, &none).unwrap(), None);
        assert_eq!(wanted(true, &none).unwrap(), Some(Policy::open()));
        assert!(!wanted(false, &["pypi.org"]).unwrap().unwrap().is_open());
    }
}
