//! Readers of what is not in memory: threads that have the repository open.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use tokio::sync::oneshot;

use super::error::{ApiError, Code};
use crate::git::Repo;
use crate::registry::{Registry, RegistryError};

/// How many readers there are.
const READERS: usize = 2;

/// How many questions may wait.
const QUEUE: usize = 256;

/// A question for a reader.
type Question = Box<dyn FnOnce(&Registry) + Send>;

/// The readers.
#[derive(Debug, Clone)]
pub struct Desks {
    questions: mpsc::SyncSender<Question>,
}

impl Desks {
    /// Starts the readers of a registry in folder `at` of a repository. They end when nobody can ask any more.
    pub fn start(git_dir: &Path, at: &str) -> std::io::Result<Self> {
        let (questions, receive) = mpsc::sync_channel::<Question>(QUEUE);
        let receive = Arc::new(Mutex::new(receive));
        for number in 0..READERS {
            let (receive, git_dir, at) = (Arc::clone(&receive), git_dir.to_owned(), at.to_owned());
            thread::Builder::new().name(format!("reader-{number}")).spawn(move || serve(&receive, &git_dir, &at))?;
        }
        Ok(Self { questions })
    }

    /// Asks one of them.
    pub async fn run<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Registry) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (reply, receive) = oneshot::channel();
        let question: Question = Box::new(move |registry| {
            // Who asked may be gone.
            let _ = reply.send(question(registry));
        });
        self.questions.try_send(question).map_err(|e| match e {
            mpsc::TrySendError::Full(_) => ApiError::new(
                Code::RequestLimitExceeded,
                "Too many questions wait to be answered; try again in a moment.",
            ),
            mpsc::TrySendError::Disconnected(_) => ApiError::stopping(),
        })?;
        receive.await.map_err(|_| ApiError::new(Code::InternalError, "The question could not be answered."))?
    }
}

/// Answers one question after the other. The repository is opened anew when it could not be opened, or after a panic.
fn serve(questions: &Mutex<mpsc::Receiver<Question>>, git_dir: &Path, at: &str) {
    let open = || -> Result<Registry, RegistryError> {
        Ok(Registry::with(Repo::open_beside(git_dir)?, at)?.with_landed(crate::index::landed))
    };
    let mut registry = open();
    loop {
        let next = questions.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(question) = next else { return };
        if registry.is_err() {
            registry = open();
        }
        // Without a repository the question is dropped, and with it the asker's hope.
        let Ok(open_registry) = &registry else { continue };
        if catch_unwind(AssertUnwindSafe(|| question(open_registry))).is_err() {
            registry = open();
        }
    }
}
