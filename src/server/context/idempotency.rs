//! Idempotency: a request that is repeated because its response was lost gets the response of the first one.
//!
//! Clients repeat a request, even one that creates something, if the connection broke before the response. Only then it
//! is the same request: a client that got a response and sends the same again wants a second version.
//!
//! Some requests fail when they are repeated, such as the creation of a model that exists already. These are run again
//! first ([`Repeats::again`]), because another request may have undone the first one in between.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

use super::arguments::Args;
use super::error::{ApiError, Code};
use super::reply::HandlerResult;
use crate::name::UserName;

/// How long a lost response is kept.
const KEEP: Duration = Duration::from_secs(120);

/// The largest number of lost responses.
const MAX_LOST: usize = 1024;

/// The key of a request: a hash of the endpoint, the caller and the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestKey([u8; 32]);

impl RequestKey {
    /// Returns the key of a request to an endpoint by this caller.
    pub fn new(endpoint: &str, user: &UserName, args: &Args) -> Self {
        let mut hash = Sha256::new();
        for part in [endpoint, user.as_str(), &args.canonical()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

/// The responses that could not be delivered.
#[derive(Debug, Default)]
pub struct Repeats {
    lost: Mutex<HashMap<RequestKey, (Instant, JoinHandle<HandlerResult>)>>,
}

impl Repeats {
    /// Returns the response of the same earlier request, if that was lost. Otherwise runs the request, to its end even
    /// if the client disconnects.
    ///
    /// # Errors
    ///
    /// The error of the request.
    pub async fn once<F>(self: &Arc<Self>, key: RequestKey, request: F) -> HandlerResult
    where
        F: Future<Output = HandlerResult> + Send + 'static,
    {
        let task = self.take(&key).unwrap_or_else(|| tokio::spawn(request));
        self.wait(key, task).await
    }

    /// Runs a request, to its end even if the client disconnects. If it fails because the same earlier request
    /// succeeded and its response was lost, returns that response.
    ///
    /// # Errors
    ///
    /// The error of the request.
    pub async fn again<F>(self: &Arc<Self>, key: RequestKey, request: F) -> HandlerResult
    where
        F: Future<Output = HandlerResult> + Send + 'static,
    {
        let before = self.take(&key);
        let task = tokio::spawn(async move {
            let before = match before {
                Some(task) => task.await.ok(),
                None => None,
            };
            match (request.await, before) {
                (Err(e), Some(Ok(reply)))
                    if matches!(e.code, Code::ResourceAlreadyExists | Code::ResourceDoesNotExist) =>
                {
                    Ok(reply)
                }
                (now, _) => now,
            }
        });
        self.wait(key, task).await
    }

    /// Waits for a response. If the client disconnects, the response is kept for a repeated request.
    async fn wait(self: &Arc<Self>, key: RequestKey, task: JoinHandle<HandlerResult>) -> HandlerResult {
        let mut waiting = PendingResponse { repeats: Arc::clone(self), key, task: Some(task) };
        let Some(task) = &mut waiting.task else { return Err(gone()) };
        let ended = task.await;
        waiting.task = None;
        ended.unwrap_or_else(|_| Err(gone()))
    }

    fn take(&self, key: &RequestKey) -> Option<JoinHandle<HandlerResult>> {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.retain(|_, (since, _)| since.elapsed() < KEEP);
        lost.remove(key).map(|(_, task)| task)
    }

    fn put(&self, key: RequestKey, task: JoinHandle<HandlerResult>) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.len() < MAX_LOST {
            lost.insert(key, (Instant::now(), task));
        }
    }
}

fn gone() -> ApiError {
    ApiError::new(Code::InternalError, "The request ended without a response.")
}

/// A waiting client. If this is dropped before the response, the response counts as lost.
struct PendingResponse {
    repeats: Arc<Repeats>,
    key: RequestKey,
    task: Option<JoinHandle<HandlerResult>>,
}

impl Drop for PendingResponse {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            self.repeats.put(self.key, task);
        }
    }
}
