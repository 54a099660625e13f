//! The reader pool: threads that have the repository open, for data that is not in memory.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::error::{ApiError, Code};
use super::served_location::ServedLocation;
use crate::registry::Registry;
use crate::supervisor::Supervisor;

/// The number of readers.
const READERS: usize = 2;

/// The number of reads that may wait.
const QUEUE: usize = 256;

/// A read for the pool.
type ReaderTask = Box<dyn FnOnce(&Registry) + Send>;

/// The reader pool.
#[derive(Debug, Clone)]
pub struct ReaderPool {
    questions: mpsc::Sender<ReaderTask>,
    /// The slots for waiting reads.
    places: Arc<Semaphore>,
}

impl ReaderPool {
    /// Starts the readers of a registry. They end when the pool is dropped.
    ///
    /// # Errors
    ///
    /// When a thread cannot be started.
    pub fn start(site: &Arc<ServedLocation>, supervisor: &Arc<Supervisor>) -> std::io::Result<Self> {
        let (readers, receive) = Self::new(QUEUE);
        let receive = Arc::new(Mutex::new(receive));
        for number in 0..READERS {
            let (receive, site) = (Arc::clone(&receive), Arc::clone(site));
            supervisor.spawn(&format!("reader-{number}"), move || serve(&receive, &site))?;
        }
        Ok(readers)
    }

    /// Makes a pool without threads, and the receiver of its reads.
    fn new(places: usize) -> (Self, mpsc::Receiver<ReaderTask>) {
        let (questions, receive) = mpsc::channel();
        (Self { questions, places: Arc::new(Semaphore::new(places)) }, receive)
    }

    /// Runs a read on the pool.
    ///
    /// # Errors
    ///
    /// `REQUEST_LIMIT_EXCEEDED` when too many reads wait, and the error of the read.
    pub async fn run<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Registry) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let busy = "Too many requests wait for data; try again in a moment.";
        let place = Arc::clone(&self.places).try_acquire_owned();
        self.ask(place.map_err(|_| ApiError::new(Code::RequestLimitExceeded, busy))?, question).await
    }

    /// Runs a read on the pool, after all waiting ones.
    ///
    /// # Errors
    ///
    /// The error of the read, or an internal error when no reader is left.
    pub async fn wait<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Registry) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        self.ask(place.map_err(|_| unanswered())?, question).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        place: OwnedSemaphorePermit,
        question: impl FnOnce(&Registry) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (reply, receive) = oneshot::channel();
        let question: ReaderTask = Box::new(move |registry| {
            drop(place);
            // The request may have been cancelled.
            let _ = reply.send(question(registry));
        });
        self.questions.send(question).map_err(|_| unanswered())?;
        receive.await.map_err(|_| unanswered())?
    }
}

fn unanswered() -> ApiError {
    ApiError::new(Code::InternalError, "The data could not be read.")
}

/// Runs work that waits for a disk or another machine, and needs no repository, on its own thread.
///
/// # Errors
///
/// The error of the work, or an internal error when it panicked.
pub async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(|e| ApiError::internal(&e))?.map_err(Into::into)
}

/// Runs one read after the other. The repository is opened again if it could not be opened before, after a panic, and
/// if the registry has moved.
fn serve(questions: &Mutex<mpsc::Receiver<ReaderTask>>, site: &ServedLocation) {
    let open = || site.open_beside();
    let mut registry = open();
    loop {
        let next = questions.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(question) = next else { return };
        if registry.as_ref().map_or(true, |r| r.place() != site.place()) {
            registry = open();
        }
        // Without a repository, the read is dropped, and the waiting request fails.
        let Ok(open_registry) = &registry else { continue };
        if catch_unwind(AssertUnwindSafe(|| question(open_registry))).is_err() {
            registry = open();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::{spawn, yield_now};

    use super::*;

    #[tokio::test]
    async fn who_comes_when_too_many_wait_is_refused_but_who_must_not_be_waits() {
        let (readers, questions) = ReaderPool::new(1);
        let (first, second) = (readers.clone(), readers.clone());
        spawn(async move { first.run(|_| Ok(())).await });
        yield_now().await;
        assert_eq!(readers.run(|_| Ok(())).await.map_err(|e| e.code), Err(Code::RequestLimitExceeded));
        let waiting = spawn(async move { second.wait(|_| Ok(())).await });
        yield_now().await;
        let question = questions.try_recv().unwrap();
        assert!(questions.try_recv().is_err() && !waiting.is_finished());
        drop(question);
        yield_now().await;
        assert!(questions.try_recv().is_ok(), "it has its turn");
        assert_eq!(waiting.await.unwrap().map_err(|e| e.code), Err(Code::InternalError), "no reader took it");
    }
}
