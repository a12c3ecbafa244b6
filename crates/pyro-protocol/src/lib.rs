//! What the host and the guest agent say to each other.
//!
//! One byte stream (a virtio-serial port) carries many concurrent *streams*, each of them one operation: a
//! command, a service, a shell, an archive. The host opens streams and numbers them; the guest only answers.
//!
//! ```text
//! host                                   guest
//!   hello {version, session}       ->                          stream 0
//!                                  <-   welcome {version, session, …}
//!   identify {time, entropy, …}    ->                          stream 0
//!                                  <-   identified
//!   exec {argv, …}                 ->                          stream n > 0
//!                                  <-   started {pid} | failed {…}
//!   data (stdin), end (stdin)      ->
//!                                  <-   data (stdout, stderr)
//!   credit (stdout, stderr)        ->
//!                                  <-   credit (stdin)
//!   signal {…}                     ->
//!                                  <-   exited {…}             the stream is closed
//! ```
//!
//! A `hello` starts a new session: the guest forgets what belonged to the last one and ends its commands. The
//! host does not have to wait for `welcome` before it sends the next messages.
//!
//! Versions: [`PROTOCOL_VERSION`] is one number, and both sides must have the same: the guest agent travels inside the
//! executable that speaks to it. A message that a peer does not know is answered with `failed`.
//!
//! A command may have a terminal, and may contain what it starts: those are shells and services. A
//! [`probe::Probe`] on a stream of its own tells when a service is ready.
//!
//! What happens to the files of a workspace is a [`task::Task`] on a stream of its own; trees of files travel as
//! [`tree`] says, inside the bytes of such a stream.
//!
//! This crate does no input or output of its own. Bytes from the other side are hostile: [`frame::Decoder`] checks every
//! size before anything is allocated.

pub mod exec;
pub mod frame;
pub mod message;
pub mod network;
pub mod probe;
pub mod task;
pub mod tree;

/// The version that this crate speaks.
pub const PROTOCOL_VERSION: u32 = 3;

/// The name of the virtio-serial port that carries the protocol, as `/sys/class/virtio-ports/*/name` shows it.
pub const PORT_NAME: &str = "pyro.guest";

/// What starts a line that the guest agent writes to the console when it enters a phase of its start, followed
/// by the phase's name.
pub const CONSOLE_PHASE_MARK: &str = "pyro-guest: phase ";

/// Bytes that the host may have under way to the guest on one channel before it gets credit back.
pub const WINDOW_TO_GUEST: u32 = 64 * 1024;

/// Bytes that the guest may have under way to the host on one channel before it gets credit back.
pub const WINDOW_TO_HOST: u32 = 256 * 1024;

/// Streams that may be open at the same time.
pub const MAX_STREAMS: usize = 256;
