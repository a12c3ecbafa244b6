//! The guest agent: runs commands in a pyro machine for the host.
//!
//! [`serve`] is the agent without the duties of process 1, so that tests drive it over a socket pair on the host.
//! What only process 1 may do (modules, mounts, power) is in [`boot`], and `main` reads as the order of a start.
//!
//! ```text
//! main -> boot::* -> serve -> agent (event loop) -> session (messages) -> job, start -> spawn
//!                               port <-> outgoing        commands -> exec (one command)
//!                                                                      stdin, output, terminal
//!                                                                      processes, cgroup
//! main -> on_host -> serve (an ordinary process of the host, in a folder instead of a machine)
//! main -> tasks::work (in a process of its own, which the agent starts like a command)
//! main -> probe::run (likewise)
//! ```
//!
//! The agent never trusts the host to be well-behaved, but it does not defend the machine against its own user:
//! commands run as root in the same kernel, and the machine is the boundary.

pub mod boot;
pub mod on_host;
pub mod probe;
pub mod tasks;

mod agent;
mod cgroup;
mod children;
mod commands;
mod descendants;
mod exec;
mod folder;
mod hex;
mod identity;
mod job;
mod outgoing;
mod output;
mod port;
mod process_table;
mod processes;
mod root;
mod session;
mod spawn;
mod start;
mod stdin;
mod sys;
mod terminal;
mod token;

pub use agent::Ending;
pub use folder::Folder;
pub use root::Root;

use std::io;
use std::os::fd::OwnedFd;

/// Serves hosts on a byte stream, one after the other, until one wants the machine turned off. On a stream other
/// than a virtio-serial port it also ends when the host hangs up.
///
/// Blocks every signal in the calling thread. The stream becomes non-blocking.
///
/// # Errors
/// When the event loop itself fails: no descriptors or no memory at the start, a broken stream later.
pub fn serve(stream: OwnedFd, root: Root) -> io::Result<Ending> {
    agent::run(stream, root)
}
