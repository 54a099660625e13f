//! What the watcher has to say about itself, and to whom; and what it counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For who wants to follow.
    Info,
    /// Something is not as it should be, and goes on.
    Warn,
    /// Somebody must look.
    Error,
}

/// A message: what, and its details by name. Nothing secret is ever in it.
#[derive(Debug, Clone)]
pub struct Message {
    /// How much it matters.
    pub level: Level,
    /// A sentence that can be read alone.
    pub text: String,
    /// Details: name and value.
    pub details: Vec<(&'static str, String)>,
}

/// Who is told.
pub type Tell = Arc<dyn Fn(&Message) + Send + Sync>;

impl Message {
    pub(super) fn new(level: Level, text: impl Into<String>) -> Self {
        Self { level, text: text.into(), details: Vec::new() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.details.push((name, value.to_string()));
        self
    }

    /// With an error and its causes.
    pub(super) fn because(self, error: &(dyn std::error::Error + 'static)) -> Self {
        self.with("error", crate::text::with_causes(error))
    }
}

/// What is counted since the start.
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

/// The counts of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Deliveries that arrived.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Deliveries that are no longer tried.
    pub dead: u64,
    /// Steps that broke a rule and passed no gate.
    pub violations: u64,
    /// Deliveries that wait now.
    pub pending: u64,
    /// When the oldest of these landed, in milliseconds since the epoch; 0 if none waits.
    pub oldest: u64,
    /// The most commits that a channel has yet to be told of.
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

    /// The counts now.
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
