//! What `env prune` removed, as every front end shows it.

use crate::environment::PrunedEnvironment;
use serde::Serialize;

/// What was removed.
#[derive(Debug, Clone, Serialize)]
pub struct PrunedCache {
    /// One by one.
    pub deleted: Vec<Pruned>,
    /// How many they are.
    pub count: usize,
    /// The disk space that became free.
    pub freed_bytes: u64,
}

/// One thing that was removed.
#[derive(Debug, Clone, Serialize)]
pub struct Pruned {
    /// What it was.
    pub kind: PrunedKind,
    /// The digest of the environment, or the key of the template.
    pub digest: String,
    /// The name of the environment, where it is known.
    pub name: Option<String>,
    /// The disk space that became free.
    pub freed_bytes: u64,
}

/// What can be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PrunedKind {
    /// An environment.
    Environment,
    /// A template.
    Template,
}

impl From<PrunedEnvironment> for Pruned {
    fn from(pruned: PrunedEnvironment) -> Self {
        Self {
            kind: PrunedKind::Environment,
            digest: pruned.digest,
            name: pruned.name,
            freed_bytes: pruned.freed_bytes,
        }
    }
}
