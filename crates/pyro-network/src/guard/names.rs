//! Which names the gateway has resolved to which addresses: what makes an address reachable by a name.
//!
//! How long an answer counts: as its TTL says, but at least five minutes, since programs keep an address for longer
//! than they should and reconnect to it; and at most an hour, so that an address does not stay open to whoever owns it
//! next. Nobody is told a longer TTL than that hour (`screen.rs`), so a cache in the guest never knows more than this
//! table.
//!
//! What is over is dropped when something is added or looked for: no timer runs.

use crate::host_name::HostName;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Most names. Beyond that the one that was resolved longest ago is forgotten.
const MAX_NAMES: usize = 4096;

/// Most addresses of a name. Beyond that the one that ends first is forgotten.
const MAX_ADDRESSES: usize = 64;

const MIN_KEPT: Duration = Duration::from_secs(5 * 60);

/// Longest time for which an answer counts.
pub(super) const MAX_KEPT: Duration = Duration::from_secs(60 * 60);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: HashMap<HostName, Resolved>,
    by_address: HashMap<IpAddr, Vec<HostName>>,
    /// By the number of their last resolution: the first is the oldest.
    order: BTreeMap<u64, HostName>,
    next: u64,
}

#[derive(Debug, Default)]
struct Resolved {
    number: u64,
    addresses: Vec<(IpAddr, Instant)>,
}

impl Names {
    /// A name was resolved to an address, for a TTL in seconds.
    pub(super) fn add(&mut self, name: &HostName, address: IpAddr, ttl: u32, now: Instant) {
        self.renew(name);
        let until = now + Duration::from_secs(ttl.into()).clamp(MIN_KEPT, MAX_KEPT);
        let Some(resolved) = self.names.get_mut(name) else { return };
        let mut gone: Vec<IpAddr> = Vec::new();
        resolved.addresses.retain(|(kept, until)| {
            let stays = *until > now || *kept == address;
            if !stays {
                gone.push(*kept);
            }
            stays
        });
        if let Some(known) = resolved.addresses.iter_mut().find(|(known, _)| *known == address) {
            known.1 = known.1.max(until);
        } else {
            if resolved.addresses.len() == MAX_ADDRESSES
                && let Some(first) = (0..MAX_ADDRESSES).min_by_key(|at| resolved.addresses[*at].1)
            {
                gone.push(resolved.addresses.swap_remove(first).0);
            }
            resolved.addresses.push((address, until));
            self.by_address.entry(address).or_default().push(name.clone());
        }
        for address in gone {
            self.unlink(name, address);
        }
    }

    /// The names that were resolved to an address.
    pub(super) fn of(&self, address: IpAddr, now: Instant) -> Vec<HostName> {
        let counts = |name: &&HostName| {
            self.names.get(*name).is_some_and(|resolved| {
                resolved.addresses.iter().any(|(kept, until)| *kept == address && *until > now)
            })
        };
        self.by_address.get(&address).into_iter().flatten().filter(counts).cloned().collect()
    }

    /// Makes a name the newest, and room for it.
    fn renew(&mut self, name: &HostName) {
        let number = self.next;
        self.next += 1;
        if let Some(resolved) = self.names.get_mut(name) {
            self.order.remove(&resolved.number);
            resolved.number = number;
        } else {
            if self.names.len() == MAX_NAMES
                && let Some((_, oldest)) = self.order.pop_first()
                && let Some(resolved) = self.names.remove(&oldest)
            {
                for (address, _) in resolved.addresses {
                    self.unlink(&oldest, address);
                }
            }
            self.names.insert(name.clone(), Resolved { number, addresses: Vec::new() });
        }
        self.order.insert(number, name.clone());
    }

    fn unlink(&mut self, name: &HostName, address: IpAddr) {
        if let Some(names) = self.by_address.get_mut(&address) {
            names.retain(|kept| kept != name);
            if names.is_empty() {
                self.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HostName {
        HostName::parse(text).unwrap()
    }

    fn address(last: u32) -> IpAddr {
        IpAddr::V4((0xCB00_0000 + last).into())
    }

    #[test]
    fn an_answer_counts_for_its_time_within_limits() {
        let (mut names, now) = (Names::default(), Instant::now());
        let counts = |names: &Names, at: u32, seconds| {
            !names.of(address(at), now + Duration::from_secs(seconds)).is_empty()
        };
        names.add(&name("a.org"), address(1), 0, now);
        names.add(&name("a.org"), address(2), 600, now);
        names.add(&name("a.org"), address(3), u32::MAX, now);
        assert!(counts(&names, 1, 299) && !counts(&names, 1, 301));
        assert!(counts(&names, 2, 599) && !counts(&names, 2, 601));
        assert!(counts(&names, 3, 3599) && !counts(&names, 3, 3601));
    }

    #[test]
    fn an_address_may_have_many_names() {
        let (mut names, now) = (Names::default(), Instant::now());
        for text in ["a.org", "b.org", "a.org"] {
            names.add(&name(text), address(1), 60, now);
        }
        assert_eq!(names.of(address(1), now), [name("a.org"), name("b.org")]);
        assert!(names.of(address(2), now).is_empty());
    }

    #[test]
    fn both_tables_are_bounded() {
        let (mut names, now) = (Names::default(), Instant::now());
        for number in 0..200 {
            names.add(&name("many.org"), address(number), number, now);
        }
        assert_eq!(names.by_address.len(), MAX_ADDRESSES);
        for number in 0..5000 {
            names.add(&name(&format!("n{number}.org")), address(number), 60, now);
        }
        assert_eq!((names.names.len(), names.order.len()), (MAX_NAMES, MAX_NAMES));
        assert_eq!(names.by_address.len(), MAX_NAMES);
        assert!(names.of(address(1), now).is_empty() && !names.of(address(4999), now).is_empty());
    }

    #[test]
    fn what_is_over_makes_room() {
        let (mut names, now) = (Names::default(), Instant::now());
        names.add(&name("a.org"), address(1), 60, now);
        names.add(&name("a.org"), address(2), 60, now + Duration::from_secs(400));
        assert_eq!(names.by_address.len(), 1);
    }
}
