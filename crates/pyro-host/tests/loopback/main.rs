//! The host end of the channel against the guest agent, over a socket pair on this host: no machine, no root.
//!
//! Every wait has a limit, and none of them is a sleep.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod commands;
mod containment;
mod guest;
mod hostile;
mod input_output;
mod probes;
mod sessions;
mod speed;
mod terminals;
