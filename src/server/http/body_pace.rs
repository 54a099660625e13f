//! The minimum rate of request bodies: a client that sends too slowly is refused, whatever the size of the body.

use std::error::Error as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// The minimum rate in bytes per second, while the reader waits.
const MIN_RATE: u64 = 1024;

/// The waiting time after which the rate is checked.
const WINDOW: Duration = Duration::from_secs(30);

/// The client sends a body too slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body arrived more slowly than {MIN_RATE} bytes per second")]
pub struct TooSlow;

/// The bytes received and the time waited since the last check.
#[derive(Debug, Default)]
struct PaceWindow {
    waited: Duration,
    bytes: u64,
}

impl PaceWindow {
    /// Adds the bytes that came after a wait.
    fn add(&mut self, waited: Duration, bytes: u64) -> Result<(), TooSlow> {
        self.waited = self.waited.saturating_add(waited);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.waited < WINDOW {
            return Ok(());
        }
        let enough = self.bytes >= MIN_RATE.saturating_mul(self.waited.as_secs());
        *self = Self::default();
        if enough { Ok(()) } else { Err(TooSlow) }
    }

    /// Returns how much longer the reader may wait until the next check.
    fn left(&self) -> Duration {
        WINDOW.saturating_sub(self.waited)
    }
}

/// A body with a minimum rate. Only the time while its reader waits counts.
struct Paced {
    body: Body,
    window: PaceWindow,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// Wraps a body that is not complete yet, to enforce the minimum rate.
pub fn paced(body: Body) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(Paced { body, window: PaceWindow::default(), waiting: None })
}

/// Returns whether reading a body failed because its client was too slow.
pub fn is_too_slow(e: &axum::Error) -> bool {
    let mut cause = e.source();
    while let Some(e) = cause {
        if e.is::<TooSlow>() {
            return true;
        }
        cause = e.source();
    }
    false
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            let waited = this.waiting.take().map(|(since, _)| since.elapsed()).unwrap_or_default();
            let Some(Ok(frame)) = frame else { return Poll::Ready(frame) };
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            let pace = this.window.add(waited, bytes);
            return Poll::Ready(Some(pace.map(|()| frame).map_err(axum::Error::new)));
        }
        loop {
            let left = this.window.left();
            let (since, timer) = this.waiting.get_or_insert_with(|| {
                let now = Instant::now();
                (now, Box::pin(tokio::time::sleep_until(now + left)))
            });
            ready!(timer.as_mut().poll(cx));
            let waited = since.elapsed();
            this.waiting = None;
            if let Err(e) = this.window.add(waited, 0) {
                return Poll::Ready(Some(Err(axum::Error::new(e))));
            }
        }
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
    fn a_pace_is_kept_on_average_and_only_waiting_counts() {
        let mut window = PaceWindow::default();
        let second = Duration::from_secs(1);
        assert!((0..300).all(|_| window.add(second, 1024).is_ok()));
        assert!((0..300).all(|_| window.add(Duration::ZERO, 1).is_ok()), "the reader did not wait");
        let mut window = PaceWindow::default();
        assert!((0..29).all(|_| window.add(second, 1023).is_ok()));
        assert_eq!(window.add(second, 1023), Err(TooSlow));
        let mut window = PaceWindow::default();
        assert!(window.add(second, 1 << 20).is_ok());
        assert!(window.add(window.left(), 0).is_ok(), "it paused after much came");
        assert_eq!(window.add(window.left(), 0), Err(TooSlow));
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_ends_with_its_reason_and_one_that_comes_is_whole() {
        // Most of its time has passed already, so that no test needs to wait.
        let body = |receive| {
            let window = PaceWindow { waited: WINDOW.saturating_sub(Duration::from_millis(5)), bytes: 0 };
            Body::new(Paced { body: Body::new(Channel(receive)), window, waiting: None })
        };
        let (_send, receive) = tokio::sync::mpsc::channel::<Bytes>(1);
        let slow = axum::body::to_bytes(body(receive), usize::MAX).await.unwrap_err();
        assert!(is_too_slow(&slow), "{slow:?}");
        let (send, receive) = tokio::sync::mpsc::channel::<Bytes>(1);
        tokio::spawn(async move {
            for _ in 0..100 {
                let _ = send.send(Bytes::from(vec![0; 3000])).await;
            }
        });
        let whole = axum::body::to_bytes(body(receive), usize::MAX).await.unwrap();
        assert_eq!(whole.len(), 300_000);
        assert!(!is_too_slow(&axum::Error::new(std::io::Error::other("gone"))));
    }

    struct Channel(tokio::sync::mpsc::Receiver<Bytes>);

    impl HttpBody for Channel {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            self.0.poll_recv(cx).map(|bytes| bytes.map(|b| Ok(Frame::data(b))))
        }
    }
}
