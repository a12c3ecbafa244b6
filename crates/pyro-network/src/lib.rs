//! The other end of a guest's network device: a gateway in user space, and the policy that it enforces.
//!
//! ```text
//! guest ──Ethernet frames──> gateway/  ──sockets of the host──> the outside
//!                               │
//!                               └─ asks guard/: may it talk to this address, look up this name, say this first?
//! ```
//!
//! No TAP device, no privilege, no change to the host: whatever the guest sends ends here and begins anew as a socket of
//! this process. What is not allowed is refused at once, and told (`denial.rs`).
//!
//! This crate knows frames and sockets. It knows nothing of QEMU, machines and workspaces, and prints nothing. Every byte
//! of a guest, and of whoever it talks to, is hostile.

pub mod denial;
pub mod explain;
pub mod gateway;
pub mod guard;
pub mod host_name;
pub mod inspect;
pub mod own_addresses;
pub mod plan;
pub mod policy;
pub mod preset;
pub mod rule;
pub mod special;
pub mod status;
