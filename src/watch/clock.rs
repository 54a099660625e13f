//! Two clocks: one that never jumps, to wait by, and the one on the wall, for what is written down.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::Timestamp;

/// What time it is.
pub trait Clock: Send + Sync {
    /// By the clock on the wall, which people set and which may jump.
    fn now(&self) -> Timestamp;

    /// How long it is since some moment; never goes back.
    fn elapsed(&self) -> Duration;
}

/// The machine's clocks.
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
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// How long it is from one time on the wall to another; nothing if that is past.
pub(super) fn until(now: Timestamp, then: i64) -> Duration {
    Duration::from_millis(u64::try_from(then.saturating_sub(now.as_millis())).unwrap_or(0))
}
