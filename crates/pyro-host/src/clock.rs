//! The time, as records and results carry it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since the epoch.
pub fn unix_time() -> f64 {
    since_epoch().as_secs_f64()
}

/// Nanoseconds since the epoch; saturates in the year 2554.
pub fn unix_time_ns() -> u64 {
    u64::try_from(since_epoch().as_nanos()).unwrap_or(u64::MAX)
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
