//! Supervises long-lived threads: a panic in one of them ends the program.
//!
//! A thread that panics leaves the other threads waiting for it. A server without its writer answers every request with
//! an error, but its supervisor (systemd, Kubernetes) still believes that it is alive. So long-lived threads are
//! started here. The program registers an action for the first panic, and ends the process with the reason and an exit
//! code.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// The panic of a thread.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the thread '{thread}' panicked (this is a bug; please report it): {message}")]
pub struct Failure {
    /// The name of the thread.
    pub thread: String,
    /// The message of the panic, on one line.
    pub message: String,
}

/// An action to run at the first failure.
type FailureAction = Box<dyn FnOnce() + Send>;

/// The supervised threads of one program.
#[derive(Default)]
pub struct Supervisor {
    state: Mutex<(Option<Failure>, Vec<FailureAction>)>,
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").field("failure", &self.failure()).finish_non_exhaustive()
    }
}

impl Supervisor {
    fn lock(&self) -> MutexGuard<'_, (Option<Failure>, Vec<FailureAction>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the first failure, or `None` if no thread has panicked.
    pub fn failure(&self) -> Option<Failure> {
        self.lock().0.clone()
    }

    /// Runs an action at the first failure. If a thread has already failed, the action runs at once.
    pub fn on_failure(&self, act: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if state.0.is_none() {
            state.1.push(Box::new(act));
        } else {
            drop(state);
            act();
        }
    }

    /// Records that a thread or task panicked with this payload, and runs the actions. Only the first failure counts.
    pub fn failed(&self, thread: &str, panic: &(dyn Any + Send)) {
        let mut state = self.lock();
        if state.0.is_some() {
            return;
        }
        state.0 = Some(Failure { thread: thread.to_owned(), message: message(panic) });
        let acts = std::mem::take(&mut state.1);
        drop(state);
        acts.into_iter().for_each(|act| act());
    }

    /// Starts a thread whose panic counts as a failure. Joining a thread that panicked returns `None`.
    ///
    /// # Errors
    ///
    /// When the operating system cannot start a thread.
    pub fn spawn<T: Send + 'static>(
        self: &Arc<Self>,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::io::Result<JoinHandle<Option<T>>> {
        let (own, thread) = (Arc::clone(self), name.to_owned());
        let run = move || match catch_unwind(AssertUnwindSafe(work)) {
            Ok(done) => Some(done),
            Err(panic) => {
                own.failed(&thread, &*panic);
                None
            }
        };
        thread::Builder::new().name(name.to_owned()).spawn(run)
    }
}

/// Returns the message of a panic on one line.
pub fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    crate::text::one_line(text.unwrap_or("no reason was given")).into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn the_first_panic_is_heard_of_and_others_change_nothing() {
        let (supervisor, (send, receive)) = (Arc::new(Supervisor::default()), channel());
        let told = send.clone();
        supervisor.on_failure(move || told.send("early").unwrap());
        assert_eq!(supervisor.spawn("well", || 7).unwrap().join().unwrap(), Some(7));
        assert_eq!(supervisor.failure(), None);
        let first = supervisor.spawn("writer", || -> u8 { panic!("no {}", "luck\nat all") }).unwrap();
        assert_eq!(first.join().unwrap(), None);
        assert_eq!(receive.recv().unwrap(), "early");
        let second = supervisor.spawn("reader", || -> u8 { panic!("later") }).unwrap();
        assert_eq!(second.join().unwrap(), None);
        let failure = supervisor.failure().unwrap();
        assert_eq!(failure.thread, "writer");
        assert!(failure.message.starts_with("no luck") && !failure.message.contains('\n'), "{failure}");
        supervisor.on_failure(move || send.send("late").unwrap());
        assert_eq!(receive.recv().unwrap(), "late");
        assert!(receive.try_recv().is_err(), "each action ran once");
    }
}
