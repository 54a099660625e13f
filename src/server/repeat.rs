//! Requests that come again because the answer was lost: the second time they get the answer of the first.
//!
//! Clients repeat a request, even one that creates something, when the connection broke before its answer. Only then is
//! it the same request: who got an answer and sends the same once more wants a second version.
//!
//! Some requests fail when they come again, such as one that makes a model: it is there already. These are made anew
//! first ([`Repeats::again`]), for between the two somebody may have undone what the first did.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

use super::call::Call;
use super::error::{ApiError, Code};
use super::route::Answer;

/// How long an answer waits to be asked for again.
const KEEP: Duration = Duration::from_secs(120);

/// How many answers wait.
const MAX_LOST: usize = 1024;

/// By what a request is known again: who asked what.
type Key = [u8; 32];

/// The answers that nobody was there to hear.
#[derive(Debug, Default)]
pub struct Repeats {
    lost: Mutex<HashMap<Key, (Instant, JoinHandle<Answer>)>>,
}

impl Repeats {
    /// Gives the answer of the same request before, if that was lost; else makes it, and to its end even if the asker
    /// goes away.
    pub async fn once<F>(self: &Arc<Self>, what: &str, call: Call, make: impl FnOnce(Call) -> F) -> Answer
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let key = key(what, &call);
        let task = self.take(&key).unwrap_or_else(|| tokio::spawn(make(call)));
        self.wait(key, task).await
    }

    /// Makes a request, and to its end even if the asker goes away. If it fails because it was made before, and the answer
    /// of that was lost, it gets that answer.
    pub async fn again<F>(self: &Arc<Self>, what: &str, call: Call, make: impl FnOnce(Call) -> F) -> Answer
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let key = key(what, &call);
        let (before, now) = (self.take(&key), make(call));
        let task = tokio::spawn(async move {
            let before = match before {
                Some(task) => task.await.ok(),
                None => None,
            };
            match (now.await, before) {
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

    /// Waits for an answer; if who waits goes away, the answer is kept for when he asks again.
    async fn wait(self: &Arc<Self>, key: Key, task: JoinHandle<Answer>) -> Answer {
        let mut waiting = Waiting { repeats: Arc::clone(self), key, task: Some(task) };
        let Some(task) = &mut waiting.task else { return Err(gone()) };
        let ended = task.await;
        waiting.task = None;
        ended.unwrap_or_else(|_| Err(gone()))
    }

    fn take(&self, key: &Key) -> Option<JoinHandle<Answer>> {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.retain(|_, (since, _)| since.elapsed() < KEEP);
        lost.remove(key).map(|(_, task)| task)
    }

    fn put(&self, key: Key, task: JoinHandle<Answer>) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.len() < MAX_LOST {
            lost.insert(key, (Instant::now(), task));
        }
    }
}

fn gone() -> ApiError {
    ApiError::new(Code::InternalError, "The request ended without an answer.")
}

/// Somebody waits for an answer; dropped without it, the answer is lost.
struct Waiting {
    repeats: Arc<Repeats>,
    key: Key,
    task: Option<JoinHandle<Answer>>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            self.repeats.put(self.key, task);
        }
    }
}

fn key(what: &str, call: &Call) -> Key {
    let mut hash = Sha256::new();
    for part in [what, call.caller.user.as_str(), &call.args.canonical()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
