//! Two clocks: a monotonic clock for waiting, and the wall clock for stored times.

use std::time::{Duration, Instant};

use crate::time::Timestamp;

/// A source of time.
pub trait Clock: Send + Sync {
    /// Returns the wall-clock time, which people set and which may jump.
    fn now(&self) -> Timestamp;

    /// Returns the time since a fixed moment. It never goes back.
    fn elapsed(&self) -> Duration;
}

/// The clocks of the machine.
#[derive(Debug)]
pub struct System {
    start: Instant,
}

impl Default for System {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for System {
    fn now(&self) -> Timestamp {
        crate::clock::now()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Returns the duration from one wall-clock time to another, or zero if the other time has passed.
pub(super) fn until(now: Timestamp, then: i64) -> Duration {
    Duration::from_millis(u64::try_from(then.saturating_sub(now.as_millis())).unwrap_or(0))
}
