//! The supervisor: one process for each started workspace or VM, and the only one that owns its machine.
//!
//! ```text
//! client                      launch.rs   starts `pyro supervise`, detached, with the lock of the folder and a lifeline
//!   │ lifeline: order, news
//!   v
//! supervisor                  owner.rs    one task owns the machine (backend.rs) and the lifecycle (lifecycle.rs, pure)
//!   │ control socket          server.rs   one task for each client: exec.rs, relay.rs
//!                             service.rs  one task for each service
//!                             shell.rs    one task for each shell
//!                             network.rs  how it is, and whom the guest may talk to
//!   v
//! any client                  client.rs, operation.rs, wire.rs
//! ```
//!
//! It holds the lock of the folder while it lives, so that everybody sees whether it does, whatever killed it. QEMU
//! dies with it. It ends when its machine has ended, and at its time to live. While nothing happens it sleeps.

mod backend;
mod client;
mod control;
mod deadline;
mod detach;
mod ending;
mod exec;
mod ground;
mod host_agent;
mod launch;
mod lifecycle;
mod network;
mod operation;
mod owner;
mod relay;
mod server;
mod service;
mod shared;
mod shell;
mod socket;
mod topics;
mod wire;

pub use client::{Call, CallEvent, Canceller, TreeCall, TreeInput, TreeOutput, end_by_signal};
pub use control::{Control, PersistentSpec};
pub use detach::SupervisorDescriptors;
pub use ground::Ground;
pub use launch::Launched;
pub use operation::{ExecRequest, Operation, ShellWait, Topic, Waited};
pub use owner::supervise;
