//! The start of a machine, from a name to a guest that takes commands: one recipe for a one-shot run and for a
//! supervisor.
//!
//! ```text
//! prepare: QEMU, accelerator -> environment (pulled if missing) -> template (built if missing)
//! start:   disk -> machine -> identity, and right behind it whatever the caller sends first
//! ```
//!
//! A client prepares before it launches a supervisor, since that is what takes long and has progress to show; the
//! supervisor then finds everything there. It knows nothing of commands, workspaces and their records.

mod recipe;
mod spec;

pub use recipe::{prepare, start};
pub use spec::{MachineDisk, PartTimings, Prepared, StartEvent, StartSpec, StartedMachine};
