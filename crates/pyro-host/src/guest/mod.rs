//! The host end of the channel to a guest agent: one [`Connection`] per machine, any number of commands on it.
//!
//! Every byte that a guest sends is hostile. What it may make us keep is bounded (a window for each output channel,
//! one frame in the decoder), whatever breaks the rules of `pyro_protocol` ends the connection with an error that
//! says which rule, and nothing in here waits on the guest by itself: callers put a limit on the futures they await.
//!
//! ```text
//! Connection, Execution, StdinSender   what callers hold        connection.rs, execution.rs
//!        | send at once      ^ wakers
//!        v                   |
//!      Link  ----------- Session, Stream   what the guest may say when      link.rs, session.rs, stream.rs
//!        | socket, pump task
//! ```

mod connection;
mod execution;
mod link;
mod session;
mod stream;
mod task;

pub use connection::{Connection, Welcome};
pub use execution::{ExecEvent, ExecNotStarted, Execution, StdinSender};
pub use task::TaskWords;
