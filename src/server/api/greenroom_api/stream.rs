//! The feed as a stream of server-sent events, as long as the caller listens and is permitted.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use hyper::body::{Bytes, Frame};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::feed::{Feed, FeedPage};
use crate::clock;
use crate::server::context::call::Call;
use crate::server::context::caller_slots::CallerSlot;
use crate::server::context::error::ApiError;
use crate::view::FeedEvent;

/// The time without events after which a keep-alive is sent and the caller's permission is checked again.
const QUIET: Duration = Duration::from_secs(15);

/// The number of messages that wait for a slow reader.
const AHEAD: usize = 16;

/// Messages as the body of a response.
struct Messages(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Messages {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Starts the stream with a page.
pub fn open(call: Call, feed: Feed, first: FeedPage, place: CallerSlot) -> Response {
    let (send, receive) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        // A client that has disconnected needs no error.
        let _ = run(call, feed, first, &send).await;
        drop(place);
    });
    let mut response = Response::new(Body::new(Messages(receive)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    // A proxy that buffers a response would never send it on.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// The client has disconnected.
struct ListenerGone;

async fn say(send: &mpsc::Sender<Bytes>, message: String) -> Result<(), ListenerGone> {
    send.send(message.into()).await.map_err(|_| ListenerGone)
}

async fn run(call: Call, mut feed: Feed, mut page: FeedPage, send: &mpsc::Sender<Bytes>) -> Result<(), ListenerGone> {
    let (state, mut catalog) = (Arc::clone(&call.state), Arc::clone(&call.catalog));
    say(send, "retry: 2000\n\n".to_owned()).await?;
    loop {
        for event in &page.events {
            say(send, message(event)).await?;
        }
        // The cursor moves past events that this reader may not see. A browser sends it when it reconnects.
        if let Some(next) = &page.next {
            say(send, format!(": nothing more yet\nid: {next}\n\n")).await?;
        }
        if *state.ending.borrow() {
            return Ok(());
        }
        if page.is_end {
            let newer = state.newer(catalog.commit(), Instant::now() + QUIET);
            catalog = tokio::select! {
                newer = newer => match newer {
                    Ok(newer) => newer,
                    Err(e) => return say(send, failed(&e)).await,
                },
                () = send.closed() => return Err(ListenerGone),
            };
        }
        // A token may expire or be revoked during a stream.
        if let Err(e) = state.auth.caller(&call.headers, call.peer, &catalog, clock::now()) {
            return say(send, failed(&e)).await;
        }
        page = match feed.page(&state, &catalog).await {
            Ok(page) => page,
            Err(e) => return say(send, failed(&e)).await,
        };
    }
}

/// Returns an event as a message. The JSON has no line breaks, and event names are plain.
fn message(event: &FeedEvent) -> String {
    let data = serde_json::to_string(event).unwrap_or_default();
    format!("id: {}\nevent: {}\ndata: {data}\n\n", event.cursor, event.event)
}

/// Returns the message about the end of the stream. It is not named `error`, which browsers use for errors of the
/// connection.
fn failed(e: &ApiError) -> String {
    let data = json!({ "error_code": e.code.as_str(), "message": e.message });
    format!("event: failed\ndata: {data}\n\n")
}
