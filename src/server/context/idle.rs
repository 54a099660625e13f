//! Ends an idle server: a server that was started for a limited time stops when nothing needs it any more.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};

/// The number of running activities, and the time of the last one.
#[derive(Debug)]
pub struct IdleTimer {
    state: Mutex<(usize, Instant)>,
}

impl Default for IdleTimer {
    fn default() -> Self {
        Self { state: Mutex::new((0, Instant::now())) }
    }
}

/// A running activity, until it is dropped.
#[derive(Debug)]
#[must_use = "the activity ends when the value is dropped"]
pub struct Busy(Arc<IdleTimer>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        *state = (state.0.saturating_sub(1), Instant::now());
    }
}

impl IdleTimer {
    fn lock(&self) -> MutexGuard<'_, (usize, Instant)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts an activity.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.lock().0 += 1;
        Busy(Arc::clone(self))
    }

    /// Returns how long nothing has happened.
    fn idle(&self) -> Duration {
        match *self.lock() {
            (0, last) => last.elapsed(),
            (_, _) => Duration::ZERO,
        }
    }

    /// Waits until nothing has happened for `limit`; forever without a limit.
    pub async fn over(&self, limit: Option<Duration>) {
        let Some(limit) = limit else { return std::future::pending().await };
        loop {
            match limit.checked_sub(self.idle()).filter(|left| !left.is_zero()) {
                Some(left) => tokio::time::sleep(left).await,
                None => return,
            }
        }
    }
}

/// The body of a response, with a value that is held until the body is sent.
struct TrackedBody<T> {
    body: Body,
    _held: T,
}

/// Holds a value until the whole response is sent.
pub fn until_sent<T: Send + Unpin + 'static>(response: Response, held: T) -> Response {
    response.map(|body| Body::new(TrackedBody { body, _held: held }))
}

impl<T: Send + Unpin + 'static> HttpBody for TrackedBody<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_done_is_not_idle() {
        let activity = Arc::new(IdleTimer::default());
        let (one, two) = (activity.begin(), activity.begin());
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(activity.idle(), Duration::ZERO);
        drop(one);
        assert_eq!(activity.idle(), Duration::ZERO);
        drop(two);
        std::thread::sleep(Duration::from_millis(5));
        assert!(activity.idle() >= Duration::from_millis(5));
    }
}
