//! The policy in force, with what was resolved and what was denied. Everything that a gateway has to ask is asked here.
//!
//! ```text
//! gateway ── may it send there? ───────> check, judge   own_addresses.rs, names.rs, then policy.rs decides
//!         ── it looks up a name ───────> answer_dns     dns.rs, lookup.rs, upstream.rs, screen.rs
//!         ── it says this first ───────> inspector      ../inspect/
//! ```
//!
//! A guard sends nothing but DNS queries, and those only to the name servers of the host. It runs no task and no timer.

mod dns;
#[cfg(test)]
pub(crate) mod fake_upstream;
pub(crate) mod lookup;
mod names;
mod reply;
mod screen;
mod servers;
mod upstream;

pub use crate::inspect::{Inspector, Refusal};
pub use crate::policy::Access;
pub use dns::Transport;
pub use upstream::Upstream;

use crate::denial::{Denial, DenialKind, DenialLog};
use crate::host_name::HostName;
use crate::own_addresses::{OwnAddresses, reaches_ipv6};
use crate::plan::{GATEWAY_V4, GATEWAY_V6};
use crate::policy::{Policy, Verdict};
use names::Names;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Semaphore;

/// Most queries that are answered at the same time.
const MAX_QUERIES: usize = 64;

/// For how long it is known whether the host reaches IPv6 outside.
const IPV6_KNOWN: Duration = Duration::from_secs(10);

/// As many names are remembered with a connection: the last that were resolved to where it leads. It bounds the memory
/// of all of them, where a name server gives one address to every name of a domain.
const MAX_KNOWN: usize = 16;

/// See the module.
#[derive(Debug)]
pub struct Guard {
    policy: Mutex<Arc<Policy>>,
    names: Mutex<Names>,
    own: OwnAddresses,
    denials: DenialLog,
    upstream: Upstream,
    queries: Semaphore,
    ipv6: Mutex<Option<(Instant, bool)>>,
}

impl Guard {
    /// A guard that asks the name servers of the host.
    pub fn new(policy: Policy) -> Arc<Self> {
        Self::with_upstream(policy, Upstream::of_host())
    }

    /// A guard that asks other name servers.
    pub fn with_upstream(policy: Policy, upstream: Upstream) -> Arc<Self> {
        Arc::new(Self {
            policy: Mutex::new(Arc::new(policy)),
            names: Mutex::default(),
            own: OwnAddresses::default(),
            denials: DenialLog::default(),
            upstream,
            queries: Semaphore::new(MAX_QUERIES),
            ipv6: Mutex::default(),
        })
    }

    /// The policy in force.
    pub fn policy(&self) -> Policy {
        Policy::clone(&self.in_force())
    }

    /// Replaces the policy. It decides every later question; what was resolved stays known, and is judged anew.
    pub fn set_policy(&self, policy: Policy) {
        *lock(&self.policy) = Arc::new(policy);
    }

    /// Whether the guest may talk to an address. A denial has been logged when this returns. ICMP has no port.
    pub fn check(&self, kind: DenialKind, address: IpAddr, port: Option<u16>) -> Access {
        self.check_knowing(kind, address, port, &[])
    }

    /// The same for a connection that has begun, with the names that were known then.
    pub(crate) fn check_knowing(
        &self,
        kind: DenialKind,
        address: IpAddr,
        port: Option<u16>,
        known: &[HostName],
    ) -> Access {
        let verdict = self.verdict_knowing(kind, address, port, known);
        if !verdict.is_allowed() {
            self.log(kind, &verdict, Some(address), port);
        }
        verdict.access
    }

    /// The same without logging.
    pub fn judge(&self, kind: DenialKind, address: IpAddr, port: Option<u16>) -> Access {
        self.verdict(kind, address, port).access
    }

    /// The same with its reason.
    pub fn verdict(&self, kind: DenialKind, address: IpAddr, port: Option<u16>) -> Verdict {
        self.verdict_knowing(kind, address, port, &[])
    }

    fn verdict_knowing(
        &self,
        kind: DenialKind,
        address: IpAddr,
        port: Option<u16>,
        known: &[HostName],
    ) -> Verdict {
        let mut names = self.names_of(address);
        for name in known {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        self.in_force().judge_address(kind, address, port, self.is_own(address), &names)
    }

    /// Whether an address is one of the host's own at this moment, or it cannot be told.
    pub(crate) fn is_own(&self, address: IpAddr) -> bool {
        self.own.contains(address)
    }

    /// Opens what is kept open to ask the kernel, so that no lack of descriptors comes between later.
    pub(crate) fn prepare(&self) {
        let _ = self.is_own(GATEWAY_V4.into());
        let _ = self.is_own(GATEWAY_V6.into());
    }

    /// As if the time of all names were over.
    #[cfg(test)]
    pub(crate) fn forget_names(&self) {
        *lock(&self.names) = Names::default();
    }

    /// The names by which a destination is allowed: what a connection that begins is to be judged by for as long as it
    /// lasts, although they are known for a while only.
    pub(crate) fn known_names(&self, to: SocketAddr) -> Arc<[HostName]> {
        let policy = self.in_force();
        let mut names = self.names_of(to.ip());
        names.retain(|name| policy.judge_host(name, Some(to.port())).is_allowed());
        names.drain(..names.len().saturating_sub(MAX_KNOWN));
        names.into()
    }

    /// Looks at what the guest says on a TCP connection for which [`Guard::check`] gave [`Access::IfNamed`].
    pub fn inspector(self: &Arc<Self>, to: SocketAddr) -> Inspector {
        self.inspector_knowing(to, self.known_names(to))
    }

    /// The same for a connection that began when these names were known.
    pub(crate) fn inspector_knowing(self: &Arc<Self>, to: SocketAddr, known: Arc<[HostName]>) -> Inspector {
        Inspector::new(Arc::clone(self), to, known)
    }

    /// What was denied.
    pub fn denials(&self) -> &DenialLog {
        &self.denials
    }

    /// Whether the host reaches IPv6 outside, as of at most ten seconds ago.
    pub fn has_ipv6(&self) -> bool {
        let mut known = lock(&self.ipv6);
        match *known {
            Some((since, has)) if since.elapsed() < IPV6_KNOWN => has,
            _ => {
                let has = reaches_ipv6();
                *known = Some((Instant::now(), has));
                has
            }
        }
    }

    /// The policy, for one decision.
    pub(crate) fn in_force(&self) -> Arc<Policy> {
        Arc::clone(&lock(&self.policy))
    }

    /// The names that were resolved to an address and still count.
    pub(crate) fn names_of(&self, address: IpAddr) -> Vec<HostName> {
        lock(&self.names).of(address, Instant::now())
    }

    /// A name was resolved to addresses, with their TTLs in seconds.
    pub(crate) fn resolved(&self, name: &HostName, addresses: &[(IpAddr, u32)]) {
        let (mut names, now) = (lock(&self.names), Instant::now());
        for (address, ttl) in addresses {
            names.add(name, *address, *ttl, now);
        }
    }

    /// Writes a denial down.
    pub(crate) fn log(
        &self,
        kind: DenialKind,
        verdict: &Verdict,
        address: Option<IpAddr>,
        port: Option<u16>,
    ) {
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let name = verdict.name.as_ref().map(ToString::to_string);
        tracing::debug!(?kind, name, ?address, port, rule = verdict.rule, "denied");
        let (rule, hint) = (verdict.rule.clone(), verdict.hint.clone());
        self.denials.add(Denial { time, kind, name, address, port, rule, hint });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
