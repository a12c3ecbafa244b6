//! Short stories about real guests, told through the executable. They run under TCG unless `PYRO_ACCEL` says
//! otherwise, and each ends by proving that nothing of it is left: no process, no file, no lock.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod boots;
mod clones;
mod commands;
mod examples;
mod faults;
mod home;
mod kills;
mod results;
mod users;
mod volume;
