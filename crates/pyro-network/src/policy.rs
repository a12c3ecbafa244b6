//! Who a guest may talk to, as a pure decision: it knows no clock, no sockets and no names but those that it is told.
//! (What a rule names that is not public is another question: [`Policy::names_special`] asks the kernel.)
//!
//! In this order:
//!
//! 1. What is not public (`special.rs`), and what is the host's own, is denied unless a rule for an address or a
//!    network names it. A rule names a range only if it lies wholly within it: `0.0.0.0/0` and `*` open nothing of the
//!    kind, and a name never does, wherever it points. An address of the host's own is named by itself only.
//! 2. Without rules, everything else is allowed.
//! 3. With rules: `*`, and rules for addresses and networks.
//! 4. Then the names that the gateway resolved to the address. TCP is allowed as far as what is said agrees with them.

mod hint;
mod verdict;

pub use verdict::{Access, Verdict};

use crate::denial::DenialKind;
use crate::host_name::HostName;
use crate::own_addresses::is_own;
use crate::plan::is_gateway;
use crate::rule::{Rule, RuleError, Target};
use crate::special::{LOOPBACK, MAPPED, UNSPECIFIED, only, special, special_network};
use hint::{allow, allow_address, allow_host_loopback, allow_name};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Most rules of a policy, as given.
pub const MAX_RULES: usize = 256;

/// Where HTTP/3 is spoken.
const HTTPS_PORT: u16 = 443;

/// What a guest may talk to. Without a rule: everything public. With rules: what they name, and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Policy {
    /// As they were given.
    allow: Vec<String>,
    /// What they mean, with presets taken apart.
    #[cfg_attr(feature = "schema", schemars(skip))]
    rules: Vec<Meant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Meant {
    /// Which of those that were given.
    given: usize,
    rule: Rule,
}

impl Policy {
    /// No rules: everything public is allowed.
    pub fn open() -> Self {
        Self::default()
    }

    /// Reads rules. Those that say the same as one before are left out.
    ///
    /// # Errors
    /// One of them is no rule, there are more than [`MAX_RULES`], or `none` stands beside others.
    pub fn parse<S: AsRef<str>>(allow: &[S]) -> Result<Self, RuleError> {
        let mut seen: Vec<Rule> = Vec::new();
        let mut policy = Self::default();
        for given in allow {
            let rule: Rule = given.as_ref().parse()?;
            if seen.contains(&rule) {
                continue;
            }
            if seen.len() == MAX_RULES {
                let message = format!("there are more than {MAX_RULES} rules");
                return Err(RuleError::new(
                    message,
                    "name a whole domain with `*.example.org`, or a network",
                ));
            }
            seen.push(rule.clone());
            policy.add(given.as_ref(), rule);
        }
        if seen.len() > 1 && seen.iter().any(|rule| *rule.target() == Target::Nothing) {
            let hint = "say `none` alone, or leave it out";
            return Err(RuleError::new("`none` stands beside rules that allow something", hint));
        }
        Ok(policy)
    }

    fn add(&mut self, text: &str, rule: Rule) {
        let given = self.allow.len();
        self.allow.push(text.to_owned());
        match rule.target() {
            Target::Preset(preset) => {
                self.rules.extend(preset.rules().into_iter().map(|rule| Meant { given, rule }));
            }
            _ => self.rules.push(Meant { given, rule }),
        }
    }

    /// Whether there are no rules.
    pub fn is_open(&self) -> bool {
        self.allow.is_empty()
    }

    /// The rules as they were given, in their order.
    pub fn allow(&self) -> &[String] {
        &self.allow
    }

    /// The first rule, as given, that names something that is not public: an address or a network that is special, the
    /// host's loopback, or an address that is the host's own at this moment (or of which that cannot be told).
    pub fn names_special(&self) -> Option<&str> {
        self.find(|rule| match rule.target() {
            Target::HostLoopback => true,
            Target::Network(network) => {
                special_network(*network).is_some() || (is_one_address(network) && is_own(network.addr()))
            }
            _ => false,
        })
    }

    /// Whether two rules say the same, however they are written: `PyPI.org` is `pypi.org`. What is no rule is the same
    /// as itself only.
    pub fn rules_equal(one: &str, other: &str) -> bool {
        match (one.parse::<Rule>(), other.parse::<Rule>()) {
            (Ok(one), Ok(other)) => one == other,
            _ => one == other,
        }
    }

    /// Whether a name may be looked up: if it is allowed on any port.
    pub fn judge_name(&self, name: &HostName) -> Verdict {
        if self.is_open() {
            return Verdict::open();
        }
        match self.find(|rule| rule.allows_name(name)) {
            Some(rule) => Verdict::allowed(rule),
            None => Verdict::denied(NOT_LISTED, allow_name(name, None)),
        }
    }

    /// Whether a host of a name may be talked to on a port, as far as the name goes.
    pub fn judge_host(&self, name: &HostName, port: Option<u16>) -> Verdict {
        if self.is_open() {
            return Verdict::open();
        }
        match self.find(|rule| rule.allows_name(name) && rule.is_for_port(port)) {
            Some(rule) => Verdict::allowed(rule),
            None => Verdict::denied(NOT_LISTED, allow_name(name, port)),
        }
    }

    /// Whether the host's own loopback may be talked to. None: on any port at all.
    pub fn judge_host_loopback(&self, port: Option<u16>) -> Verdict {
        let named = |rule: &Rule| {
            *rule.target() == Target::HostLoopback && (port.is_none() || rule.is_for_port(port))
        };
        match self.find(named) {
            Some(rule) => Verdict::allowed(rule),
            None => Verdict::denied("the host's loopback", allow_host_loopback(port, self.is_open())),
        }
    }

    /// Whether an answer of the DNS may point to an address. None: it may. Else the verdict of its refusal.
    pub fn judge_answer(&self, address: IpAddr, own: bool) -> Option<Verdict> {
        let (range, what) = closed_range(address, own)?;
        let named = self.find(|rule| names_range(rule, range, address));
        // No port is known here: the rule for the address alone is what makes the answer pass.
        named.is_none().then(|| Verdict::denied(what, allow_address(what, address, None, self.is_open())))
    }

    /// Whether the name of an address may be looked up: if the address may be talked to on any port.
    pub fn may_name(&self, address: IpAddr, own: bool, names: &[HostName]) -> bool {
        if let Some((range, _)) = closed_range(address, own) {
            return self.find(|rule| names_range(rule, range, address)).is_some();
        }
        let opens = |rule: &Rule| match rule.target() {
            Target::Network(network) => network.contains(&address),
            Target::Everything => true,
            _ => names.iter().any(|name| rule.allows_name(name)),
        };
        self.is_open() || self.find(opens).is_some()
    }

    /// Whether an address may be talked to. `own`: it is one of the host's. `names`: those that the gateway resolved to
    /// it.
    pub fn judge_address(
        &self,
        kind: DenialKind,
        address: IpAddr,
        port: Option<u16>,
        own: bool,
        names: &[HostName],
    ) -> Verdict {
        if is_gateway(address) {
            return self.judge_gateway(kind, port);
        }
        if let Some((range, what)) = closed_range(address, own) {
            return match self.find(|rule| names_range(rule, range, address) && rule.is_for_port(port)) {
                Some(rule) => Verdict::allowed(rule),
                None => Verdict::denied(what, allow_address(what, address, port, self.is_open())),
            };
        }
        if self.is_open() {
            return Verdict::open();
        }
        let opens = |rule: &Rule| match rule.target() {
            Target::Everything => true,
            Target::Network(network) => network.contains(&address),
            _ => false,
        };
        match self.find(|rule| opens(rule) && rule.is_for_port(port)) {
            Some(rule) => Verdict::allowed(rule),
            None => self.judge_by_names(kind, address, port, names),
        }
    }

    /// What stands for the host's loopback, over TCP only.
    fn judge_gateway(&self, kind: DenialKind, port: Option<u16>) -> Verdict {
        if kind == DenialKind::Tcp {
            self.judge_host_loopback(port)
        } else {
            Verdict::denied("the host's loopback", "it is reached by TCP only".to_owned())
        }
    }

    fn judge_by_names(
        &self,
        kind: DenialKind,
        address: IpAddr,
        port: Option<u16>,
        names: &[HostName],
    ) -> Verdict {
        let named = names.iter().find_map(|name| {
            self.find(|rule| rule.allows_name(name) && rule.is_for_port(port)).map(|rule| (name, rule))
        });
        let Some((name, rule)) = named else {
            let hint = match names.first() {
                Some(name) => allow_name(name, port),
                None => allow(&hint::address_and_port(address, port)),
            };
            return Verdict::denied(NOT_LISTED, hint).about(names.first());
        };
        match kind {
            DenialKind::Udp if port == Some(HTTPS_PORT) => Verdict::denied(
                "QUIC hides the name of its server",
                format!(
                    "use HTTPS over TCP, or allow the address: {}",
                    allow(&hint::address_and_port(address, port))
                ),
            ),
            DenialKind::Udp | DenialKind::Icmp => Verdict::allowed(rule),
            _ => Verdict::if_named(rule),
        }
        .about(Some(name))
    }

    /// The first rule that is so, as it was given.
    fn find(&self, is: impl Fn(&Rule) -> bool) -> Option<&str> {
        let meant = self.rules.iter().find(|meant| is(&meant.rule))?;
        self.allow.get(meant.given).map(String::as_str)
    }
}

/// Why most is denied.
const NOT_LISTED: &str = "not in the allowlist";

/// Within what a rule has to lie in order to name an address that is not simply public, and what that is.
///
/// Loopback is the host's own as well, but called by what it is; so is an IPv4 address in the form of an IPv6 address, which
/// no rule opens. Elsewhere the host's own comes first: that its network is allowed does not allow the host.
fn closed_range(address: IpAddr, own: bool) -> Option<(IpNet, &'static str)> {
    let special = special(address).map(|special| (special.range, special.what));
    match special {
        Some((_, LOOPBACK | UNSPECIFIED | MAPPED)) => special,
        _ if own => Some((only(address), "the host's own address")),
        _ => special,
    }
}

fn is_one_address(network: &IpNet) -> bool {
    network.prefix_len() == network.max_prefix_len()
}

fn names_range(rule: &Rule, range: IpNet, address: IpAddr) -> bool {
    match rule.target() {
        Target::Network(network) => range.contains(network) && network.contains(&address),
        _ => false,
    }
}

impl TryFrom<Vec<String>> for Policy {
    type Error = RuleError;

    fn try_from(allow: Vec<String>) -> Result<Self, RuleError> {
        Self::parse(&allow)
    }
}

impl From<Policy> for Vec<String> {
    fn from(policy: Policy) -> Self {
        policy.allow
    }
}

#[cfg(test)]
mod tests;
