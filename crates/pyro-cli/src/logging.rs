//! Logs, to standard error, for whoever sets `PYRO_LOG` to `error`, `warn`, `info`, `debug` or `trace`.

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

/// A log that cannot be written, as on a full disk, is no reason to fail: the library would panic over telling so.
pub fn start() {
    let level = std::env::var("PYRO_LOG").ok().and_then(|level| level.parse().ok()).unwrap_or(Level::WARN);
    // It logs whole messages, and with them what commands print and what files contain.
    let levels = Targets::new().with_default(level).with_target("rmcp", LevelFilter::OFF);
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false).log_internal_errors(false);
    tracing_subscriber::registry().with(levels).with(lines).init();
}
