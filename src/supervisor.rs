//! Threads that must not be lost: a panic in one of them is noticed, and the program that runs it ends.
//!
//! A thread that panics leaves the others waiting for it: a server without its writer answers every request with an
//! error, and its supervisor (systemd, Kubernetes) takes it for alive. So long-lived threads are started here, and whoever
//! runs them hears of the first panic and ends the process with its reason and an exit code.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// A thread panicked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the thread '{thread}' failed inside (a bug; please report it): {message}")]
pub struct Failure {
    /// The thread's name.
    pub thread: String,
    /// What the panic says.
    pub message: String,
}

/// What is to be done at the first failure.
type Act = Box<dyn FnOnce() + Send>;

/// The threads of one program.
#[derive(Default)]
pub struct Supervisor {
    state: Mutex<(Option<Failure>, Vec<Act>)>,
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").field("failure", &self.failure()).finish_non_exhaustive()
    }
}

impl Supervisor {
    fn lock(&self) -> MutexGuard<'_, (Option<Failure>, Vec<Act>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first failure; none while all is well.
    pub fn failure(&self) -> Option<Failure> {
        self.lock().0.clone()
    }

    /// Does something at the first failure; at once where there was one.
    pub fn on_failure(&self, act: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if state.0.is_none() {
            state.1.push(Box::new(act));
        } else {
            drop(state);
            act();
        }
    }

    /// Notes that a thread or task panicked with this payload.
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

    /// Starts a thread whose panic is a failure. Joining it gives nothing then.
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

/// What a panic says, on one line.
pub fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    crate::text::one_line(text.unwrap_or("it gave no reason")).into_owned()
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
        assert!(receive.try_recv().is_err(), "each was done once");
    }
}
