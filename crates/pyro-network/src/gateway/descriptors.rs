//! How many sockets of the host a gateway may hold, so that a guest cannot take every descriptor of the process that
//! plays its network: that process has clients to accept and machines to start.
//!
//! A gateway gets half of what is free when it begins, and what other gateways of the process may still take is not
//! free. With few descriptors it gets [`LEAST`] all the same, since a guest with less is of no use; then a last quarter
//! of the process's descriptors stays out of reach of all gateways together.

use super::{dns, flow, ping, udp};
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Even where there are few.
const LEAST: usize = 64;

/// Everything that a gateway can have use for.
const MOST: usize = flow::MAX_FLOWS + udp::MAX_FLOWS + ping::MAX_PINGS + dns::MAX_QUERIES;

/// Of all gateways of this process together.
#[derive(Debug)]
struct All {
    /// What they may hold.
    reserved: usize,
    /// What they do hold.
    used: usize,
}

static ALL: Mutex<All> = Mutex::new(All { reserved: 0, used: 0 });

/// What one gateway may hold.
#[derive(Debug)]
pub(super) struct Descriptors {
    limit: usize,
    /// Of all gateways together.
    limit_of_all: usize,
    used: Arc<Mutex<usize>>,
}

/// One of them, given back when dropped: so it is to be kept as long as the socket.
#[derive(Debug)]
pub(super) struct Descriptor(Arc<Mutex<usize>>);

impl Descriptors {
    /// For a gateway that begins.
    pub(super) fn reserve() -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        // Where that cannot be counted, there may be no room at all.
        let open = fs::read_dir("/proc/self/fd").map_or(limit, Iterator::count);
        let mut all = lock(&ALL);
        let descriptors = Self {
            limit: share(limit, open, all.reserved.saturating_sub(all.used)),
            limit_of_all: limit - limit / 4,
            used: Arc::default(),
        };
        all.reserved += descriptors.limit;
        descriptors
    }

    /// How many it may hold.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// One more, if it may.
    pub(super) fn take(&self) -> Option<Descriptor> {
        let (mut all, mut used) = (lock(&ALL), lock(&self.used));
        if *used >= self.limit || all.used >= self.limit_of_all {
            return None;
        }
        *used += 1;
        all.used += 1;
        Some(Descriptor(self.used.clone()))
    }
}

/// What a gateway may hold, where a process may have so many descriptors, has so many, and others may take so many.
fn share(limit: usize, open: usize, spoken_for: usize) -> usize {
    let room = limit.saturating_sub(open).saturating_sub(spoken_for);
    (room / 2).clamp(LEAST, MOST)
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        lock(&ALL).reserved -= self.limit;
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        let (mut all, mut used) = (lock(&ALL), lock(&self.0));
        all.used -= 1;
        *used -= 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_gets_half_of_what_is_free() {
        assert_eq!(share(1024, 24, 0), 500);
        assert_eq!(share(1024, 24, 500), 250);
        assert_eq!(share(1024, 24, 1000), LEAST);
        assert_eq!(share(100, 100, 0), LEAST);
        assert_eq!(share(usize::MAX, 24, 0), MOST);
    }

    #[test]
    fn one_over_the_limit_is_not_given() {
        let descriptors = Descriptors { limit: 2, limit_of_all: usize::MAX, used: Arc::default() };
        lock(&ALL).reserved += 2;
        let first = descriptors.take().unwrap();
        let _second = descriptors.take().unwrap();
        assert!(descriptors.take().is_none());
        drop(first);
        let _third = descriptors.take().unwrap();
        assert!(descriptors.take().is_none());
    }
}
