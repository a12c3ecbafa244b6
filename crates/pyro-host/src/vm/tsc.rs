//! The frequency of the host's time-stamp counter.
//!
//! Under TCG the guest reads the host's own counter. A guest kernel that is not told its frequency calibrates it
//! against an emulated timer, which fails on a busy host, and then the kernel hangs: of 36 boots, three at a time
//! on two cores, 22 hung without `tsc_early_khz` and none with it.
#![allow(unsafe_code, reason = "reads a processor register")]

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Long enough that the error of reading two clocks stays below one part in ten thousand.
const MEASURED_FOR: Duration = Duration::from_millis(10);

/// Counts per millisecond.
pub(super) fn khz() -> u64 {
    let (first_count, first_ns) = count_and_ns();
    std::thread::sleep(MEASURED_FOR);
    let (last_count, last_ns) = count_and_ns();
    let elapsed_ns = last_ns.saturating_sub(first_ns).max(1);
    let counts = u128::from(last_count.wrapping_sub(first_count));
    u64::try_from(counts * 1_000_000 / u128::from(elapsed_ns)).unwrap_or(u64::MAX)
}

/// Reads both clocks a few times and keeps the pair that was read fastest, as an interrupt may come between.
fn count_and_ns() -> (u64, u64) {
    let mut best = (u64::MAX, 0, 0);
    for _ in 0..8 {
        let before = count();
        let now = clock_gettime(ClockId::MonotonicRaw);
        let after = count();
        let ns = now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned();
        let width = after.wrapping_sub(before);
        if width < best.0 {
            best = (width, before + width / 2, ns);
        }
    }
    (best.1, best.2)
}

fn count() -> u64 {
    // SAFETY: RDTSC has no effect on memory, and every x86_64 processor has it.
    unsafe { core::arch::x86_64::_rdtsc() }
}
