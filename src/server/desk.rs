//! Readers of what is not in memory: threads that have the repository open.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::error::{ApiError, Code};
use super::site::Site;
use crate::registry::Registry;
use crate::supervisor::Supervisor;

/// How many readers there are.
const READERS: usize = 2;

/// How many questions may wait.
const QUEUE: usize = 256;

/// A question for a reader.
type Question = Box<dyn FnOnce(&Registry) + Send>;

/// The readers.
#[derive(Debug, Clone)]
pub struct Desks {
    questions: mpsc::Sender<Question>,
    /// Where questions wait.
    places: Arc<Semaphore>,
}

impl Desks {
    /// Starts the readers of a registry. They end when nobody can ask any more.
    pub fn start(site: &Arc<Site>, supervisor: &Arc<Supervisor>) -> std::io::Result<Self> {
        let (desks, receive) = Self::new(QUEUE);
        let receive = Arc::new(Mutex::new(receive));
        for number in 0..READERS {
            let (receive, site) = (Arc::clone(&receive), Arc::clone(site));
            supervisor.spawn(&format!("reader-{number}"), move || serve(&receive, &site))?;
        }
        Ok(desks)
    }

    /// Nobody yet, and where the questions come.
    fn new(places: usize) -> (Self, mpsc::Receiver<Question>) {
        let (questions, receive) = mpsc::channel();
        (Self { questions, places: Arc::new(Semaphore::new(places)) }, receive)
    }

    /// Asks one of them; refused where too many wait.
    pub async fn run<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Registry) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let busy = "Too many questions wait to be answered; try again in a moment.";
        let place = Arc::clone(&self.places).try_acquire_owned();
        self.ask(place.map_err(|_| ApiError::new(Code::RequestLimitExceeded, busy))?, question).await
    }

    /// Asks one of them, after those who wait.
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
        let question: Question = Box::new(move |registry| {
            drop(place);
            // Who asked may be gone.
            let _ = reply.send(question(registry));
        });
        self.questions.send(question).map_err(|_| unanswered())?;
        receive.await.map_err(|_| unanswered())?
    }
}

fn unanswered() -> ApiError {
    ApiError::new(Code::InternalError, "The question could not be answered.")
}

/// Does what waits for a disk or for another machine, and needs no repository, on a thread of its own.
pub async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(|e| ApiError::internal(&e))?.map_err(Into::into)
}

/// Answers one question after the other. The repository is opened anew when it could not be opened, after a panic, and
/// when the registry is at another place.
fn serve(questions: &Mutex<mpsc::Receiver<Question>>, site: &Site) {
    let open = || site.open_beside();
    let mut registry = open();
    loop {
        let next = questions.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(question) = next else { return };
        if registry.as_ref().map_or(true, |r| r.place() != site.place()) {
            registry = open();
        }
        // Without a repository the question is dropped, and with it the asker's hope.
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
        let (desks, questions) = Desks::new(1);
        let (first, second) = (desks.clone(), desks.clone());
        spawn(async move { first.run(|_| Ok(())).await });
        yield_now().await;
        assert_eq!(desks.run(|_| Ok(())).await.map_err(|e| e.code), Err(Code::RequestLimitExceeded));
        let waiting = spawn(async move { second.wait(|_| Ok(())).await });
        yield_now().await;
        let question = questions.try_recv().unwrap();
        assert!(questions.try_recv().is_err() && !waiting.is_finished());
        drop(question);
        yield_now().await;
        assert!(questions.try_recv().is_ok(), "it has its turn");
        assert_eq!(waiting.await.unwrap().map_err(|e| e.code), Err(Code::InternalError), "which nobody answered");
    }
}
