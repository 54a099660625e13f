//! The watcher's messages about itself, and its counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The severity of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageLevel {
    /// Information about normal operation.
    Info,
    /// Something is wrong, but the watcher continues.
    Warn,
    /// An administrator must act.
    Error,
}

/// A message: a sentence, and details by name. It never holds a secret.
#[derive(Debug, Clone)]
pub struct Message {
    /// The severity.
    pub level: MessageLevel,
    /// A sentence that is complete without the details.
    pub text: String,
    /// Details: name and value.
    pub details: Vec<(&'static str, String)>,
}

/// A function that receives messages.
pub type Reporter = Arc<dyn Fn(&Message) + Send + Sync>;

impl Message {
    pub(super) fn new(level: MessageLevel, text: impl Into<String>) -> Self {
        Self { level, text: text.into(), details: Vec::new() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.details.push((name, value.to_string()));
        self
    }

    /// Adds an error and its causes.
    pub(super) fn because(self, error: &(dyn std::error::Error + 'static)) -> Self {
        self.with("error", crate::text::with_causes(error))
    }
}

/// Counters since the start of the process.
#[derive(Debug, Default)]
pub struct Counters {
    delivered: AtomicU64,
    failed: AtomicU64,
    dead: AtomicU64,
    violations: AtomicU64,
    pending: AtomicU64,
    oldest: AtomicU64,
    behind: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Deliveries that arrived.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Deliveries that became dead letters.
    pub dead: u64,
    /// Steps that broke a rule and that no gate had judged.
    pub violations: u64,
    /// Pending deliveries.
    pub pending: u64,
    /// When the event of the oldest pending delivery reached the branch, in milliseconds since the epoch; 0 if none is
    /// pending.
    pub oldest: u64,
    /// The largest number of commits that a channel has not processed yet.
    pub behind: u64,
}

impl Counters {
    pub(super) fn delivered(&self, n: usize) {
        self.delivered.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn died(&self) {
        self.dead.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn violated(&self) {
        self.violations.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn waiting(&self, pending: usize, oldest: Option<i64>, behind: u64) {
        self.pending.store(pending as u64, Ordering::Relaxed);
        self.oldest.store(oldest.and_then(|t| u64::try_from(t).ok()).unwrap_or(0), Ordering::Relaxed);
        self.behind.store(behind, Ordering::Relaxed);
    }

    /// Returns the current values.
    pub fn now(&self) -> Counts {
        let get = |of: &AtomicU64| of.load(Ordering::Relaxed);
        Counts {
            delivered: get(&self.delivered),
            failed: get(&self.failed),
            dead: get(&self.dead),
            violations: get(&self.violations),
            pending: get(&self.pending),
            oldest: get(&self.oldest),
            behind: get(&self.behind),
        }
    }
}
