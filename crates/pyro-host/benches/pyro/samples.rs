//! Measurements of one thing, and what is told of them.

use std::time::Duration;

/// The values that were measured, in the order of measuring.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds one.
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The value in the middle; the mean of both where there are two. Zero where nothing was measured.
    pub fn median(&self) -> f64 {
        let sorted = self.sorted();
        let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
        f64::midpoint(sorted[last / 2], sorted[sorted.len() / 2])
    }

    /// The smallest and the largest value.
    pub fn range(&self) -> (f64, f64) {
        let sorted = self.sorted();
        (sorted.first().copied().unwrap_or_default(), sorted.last().copied().unwrap_or_default())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

impl From<f64> for Samples {
    fn from(value: f64) -> Self {
        Self(vec![value])
    }
}

/// A duration in milliseconds.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Megabytes (of a million bytes) a second.
#[expect(clippy::cast_precision_loss, reason = "far below the 53 bits that are exact")]
pub fn megabytes_per_second(n_bytes: usize, elapsed: Duration) -> f64 {
    n_bytes as f64 / elapsed.as_secs_f64() / 1e6
}
