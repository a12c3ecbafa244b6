//! What was refused, and how to allow it.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// How many are kept. Beyond that the oldest are forgotten.
const MAX_KEPT: usize = 256;

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DenialKind {
    /// A name was to be looked up.
    Dns,
    /// A TCP connection.
    Tcp,
    /// A UDP datagram.
    Udp,
    /// A ping.
    Icmp,
    /// A TLS connection whose server name disagrees with the address.
    Tls,
    /// An HTTP request whose `Host` disagrees with the address.
    Http,
}

/// Something that was refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Denial {
    /// When, in seconds since the epoch.
    pub time: f64,
    /// What was tried.
    pub kind: DenialKind,
    /// The name that was looked up or spoken of, where there is one.
    pub name: Option<String>,
    /// The address, where there is one.
    pub address: Option<IpAddr>,
    /// The port, where there is one.
    pub port: Option<u16>,
    /// Which rule refused it, in words such as `not in the allowlist` or `loopback`.
    pub rule: String,
    /// What to do to have it allowed.
    pub hint: String,
}

/// As many of the latest are looked at for one that a new one repeats.
const MAX_COMPARED: usize = 8;

/// A denial that comes as many seconds after one like it repeats that.
const REPEATS_WITHIN: f64 = 1.0;

/// The latest denials, numbered from 0. One that repeats another takes its place, with a number of its own: a program that
/// tries without end fills nothing, and whoever asks for those from a number on hears of what was tried again since.
#[derive(Debug, Default)]
pub struct DenialLog {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The number of the next one.
    next: u64,
    /// How many there were, without repetitions.
    count: u64,
    /// With their numbers, which rise.
    denials: VecDeque<(u64, Denial)>,
}

impl DenialLog {
    /// Adds one.
    pub fn add(&self, denial: Denial) {
        let mut kept = self.kept();
        let latest = kept.denials.iter().enumerate().rev().take(MAX_COMPARED);
        let repeated = { latest }.find(|(_, (_, last))| denial.repeats(last)).map(|(at, _)| at);
        match repeated {
            Some(at) => drop(kept.denials.remove(at)),
            None => kept.count += 1,
        }
        if kept.denials.len() == MAX_KEPT {
            kept.denials.pop_front();
        }
        let number = kept.next;
        kept.denials.push_back((number, denial));
        kept.next += 1;
    }

    /// The number that the next one gets: to be remembered for [`DenialLog::since`].
    pub fn position(&self) -> u64 {
        self.kept().next
    }

    /// How many there were. Repetitions are not counted.
    pub fn count(&self) -> u64 {
        self.kept().count
    }

    /// Those from a number on, as far as they are kept.
    pub fn since(&self, position: u64) -> Vec<Denial> {
        let kept = self.kept();
        kept.denials
            .iter()
            .filter(|(number, _)| *number >= position)
            .map(|(_, denial)| denial.clone())
            .collect()
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Denial {
    /// Whether it says the same as an earlier one, a moment later.
    fn repeats(&self, earlier: &Self) -> bool {
        let at_its_time = Self { time: self.time, ..earlier.clone() };
        self.time - earlier.time < REPEATS_WITHIN && *self == at_its_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(port: u16, time: f64) -> Denial {
        Denial {
            time,
            kind: DenialKind::Tcp,
            name: None,
            address: None,
            port: Some(port),
            rule: "private".into(),
            hint: String::new(),
        }
    }

    fn ports(denials: &[Denial]) -> Vec<u16> {
        denials.iter().filter_map(|denial| denial.port).collect()
    }

    #[test]
    fn what_is_tried_again_is_told_again_and_kept_once() {
        let log = DenialLog::default();
        for (port, time) in [(1, 0.0), (2, 0.1), (1, 0.2), (1, 0.3)] {
            log.add(denial(port, time));
        }
        assert_eq!(ports(&log.since(0)), [2, 1]);
        assert_eq!(log.count(), 2);
        let position = log.position();
        assert!(log.since(position).is_empty());
        log.add(denial(2, 0.4));
        assert_eq!(log.since(position), [denial(2, 0.4)]);
        log.add(denial(2, 1.5));
        assert_eq!(ports(&log.since(position)), [2, 2], "a second later it is another one");
        assert_eq!(log.count(), 3);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let log = DenialLog::default();
        (1..=300).for_each(|port| log.add(denial(port, 0.0)));
        assert_eq!(ports(&log.since(0)), (45..=300).collect::<Vec<u16>>());
        assert_eq!(ports(&log.since(299)), [300]);
        assert_eq!((log.position(), log.count()), (300, 300));
    }
}
