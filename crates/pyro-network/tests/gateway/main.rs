//! The gateway, with a real TCP/IP stack as its guest, and real sockets of the host as its outside.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod guest;
mod hostile;
mod outside;
mod published;
mod refusals;
mod relay;
