//! Logs, to standard error, for whoever sets `PYRO_LOG` to `error`, `warn`, `info`, `debug` or `trace`.

use tracing::Level;

/// A log that cannot be written, as on a full disk, is no reason to fail: the library would panic over telling so.
pub fn start() {
    let level = std::env::var("PYRO_LOG").ok().and_then(|level| level.parse().ok()).unwrap_or(Level::WARN);
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        .log_internal_errors(false)
        .init();
}
