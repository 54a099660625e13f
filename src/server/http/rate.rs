//! The rate limit: how many requests a caller may make per second.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::name::UserName;
use crate::server::context::error::{ApiError, Code};

/// The largest number of callers in memory. When more callers come, all buckets start full again.
const MAX_CALLERS: usize = 10_000;

/// A token bucket for each caller. It fills with the rate per second, and holds twice as many tokens.
#[derive(Debug)]
pub struct Rate {
    per_second: Option<f64>,
    left: Mutex<HashMap<UserName, (Instant, f64)>>,
}

impl Rate {
    /// Limits each caller to this number of requests per second. `None` means no limit.
    pub fn new(per_second: Option<u32>) -> Self {
        Self { per_second: per_second.map(f64::from), left: Mutex::default() }
    }

    /// Counts a request of a caller.
    ///
    /// # Errors
    ///
    /// `REQUEST_LIMIT_EXCEEDED` when the caller has made too many requests.
    pub fn count(&self, caller: &UserName, now: Instant) -> Result<(), ApiError> {
        let Some(rate) = self.per_second else { return Ok(()) };
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.len() >= MAX_CALLERS && !left.contains_key(caller) {
            left.clear();
        }
        let (since, tokens) = left.entry(caller.clone()).or_insert((now, 2.0 * rate));
        *tokens = (*tokens + now.duration_since(*since).as_secs_f64() * rate).min(2.0 * rate);
        *since = now;
        if *tokens < 1.0 {
            let message = format!("You sent more than {rate} requests per second; wait a moment and slow down.");
            return Err(ApiError::new(Code::RequestLimitExceeded, message));
        }
        *tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_caller_has_a_burst_and_then_the_rate_and_others_are_untouched() {
        let (rate, begun) = (Rate::new(Some(10)), Instant::now());
        let (alice, bob): (UserName, UserName) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        assert!((0..20).all(|_| rate.count(&alice, begun).is_ok()));
        assert_eq!(rate.count(&alice, begun).unwrap_err().code, Code::RequestLimitExceeded);
        assert!(rate.count(&bob, begun).is_ok());
        let later = begun + Duration::from_millis(500);
        assert!((0..5).all(|_| rate.count(&alice, later).is_ok()));
        assert!(rate.count(&alice, later).is_err());
        assert!((0..1000).all(|_| Rate::new(None).count(&alice, begun).is_ok()));
    }
}
