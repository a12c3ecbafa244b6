//! Who follows what: one counter for each thing that is followed, which goes up whenever that changes.

use super::operation::Topic;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Topics {
    /// Of those that somebody has ever followed.
    counters: Mutex<BTreeMap<Topic, watch::Sender<u64>>>,
}

impl Topics {
    /// Something has changed.
    pub(super) fn changed(&self, topic: &Topic) {
        if let Some(counter) = self.counters().get(topic) {
            counter.send_modify(|count| *count += 1);
        }
    }

    /// Follows something from now on.
    pub(super) fn subscribe(&self, topic: Topic) -> watch::Receiver<u64> {
        self.counters().entry(topic).or_default().subscribe()
    }

    fn counters(&self) -> MutexGuard<'_, BTreeMap<Topic, watch::Sender<u64>>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
