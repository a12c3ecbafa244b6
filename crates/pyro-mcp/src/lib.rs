//! The MCP server of pyro: the façade of [`pyro_host`] as tools for a model.
//!
//! The path of one call: [`protocol`] (the only module that knows rmcp) finds the [`tool`] and gives it a [`call`]; its
//! function under [`tools`], one file per noun, asks the façade; what comes of it, or the error with what to do next,
//! becomes a [`reply`] that is complete as structured content and as text. Dropping a call's future ends what it started
//! in the guest, which is all that cancellation is.
//!
//! This crate prints nothing, knows nothing of command lines, and has no rules of its own: defaults and limits come from
//! the façade.

pub mod call;
pub mod cut;
pub mod failure;
pub mod fit;
mod lines;
pub mod printed;
pub mod profile;
pub mod progress;
pub mod protocol;
pub mod reply;
pub mod schema;
pub mod tool;
pub mod tools;

pub use call::Permissions;
pub use profile::Profile;
pub use protocol::Server;
