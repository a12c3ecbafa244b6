//! The pyro runtime on the host, without a user interface.
//!
//! The story of one `pyro run`, by module: [`run`] finds what runs machines here ([`vm::hypervisor`]: a QEMU, and
//! KVM or TCG by measurement) and the [`environment`] (a guest kernel and a read-only root image, pulled if they
//! are missing). It takes the [`template`] of that shape, a machine that was booted once and saved, or has it built,
//! gives the new machine a disk of its own ([`vm::disk`]) and starts QEMU ([`vm::machine`]). Over a socket pair
//! ([`guest`]) the clone is told who it is ([`identity`]) and what to run; its output comes back as it is printed.
//! Then the machine is killed, and nothing of it remains.
//!
//! This crate prints nothing, knows nothing of command lines, and takes no decision for one front end alone.

pub mod clock;
pub mod command;
pub mod conversation;
pub mod doctor;
pub mod environment;
pub mod error;
pub mod execution_mode;
pub mod fingerprint;
pub mod guest;
pub mod identity;
pub mod instance;
pub mod limits;
pub mod network;
pub mod output;
pub mod program;
pub mod pruned;
pub mod publish;
pub mod pyro;
pub mod run;
pub mod service;
pub mod settings;
pub mod shell;
pub mod start;
pub mod state_dir;
pub mod supervisor;
pub mod template;
pub mod terminal;
pub mod tree;
pub mod vm;
pub mod vms;
pub mod workspace;
