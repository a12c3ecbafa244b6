//! The pyro runtime on the host, without a user interface.
pub mod error;
pub mod fingerprint;
pub mod state_dir;
