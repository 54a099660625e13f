//! The watcher inside the server: delivers events on its own thread.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::context::log::Log;
use super::context::metrics::Metrics;
use crate::registry::Registry;
use crate::supervisor::Supervisor;
use crate::watch::{JudgedCommits, Message, MessageLevel, WatchError, WatchOptions, WatchedBranch, Watcher};

/// Starts to watch the registry. If another process watches already, this one stands by. The server's writer vouches
/// for the commits of the server.
pub(super) fn start(
    registry: &Registry,
    log: Log,
    metrics: &Metrics,
    judged_commits: &Arc<JudgedCommits>,
    supervisor: &Arc<Supervisor>,
) -> Result<Watcher, WatchError> {
    let reporter = move |message: &Message| {
        let mut fields = Map::from_iter([("message".to_owned(), json!(message.text))]);
        fields.extend(message.details.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
        match message.level {
            MessageLevel::Info => log.info(Value::Object(fields)),
            MessageLevel::Warn => log.line("warn", Value::Object(fields)),
            MessageLevel::Error => log.error(Value::Object(fields)),
        }
    };
    let options = WatchOptions {
        counters: Arc::clone(&metrics.deliveries),
        judged_commits: Arc::clone(judged_commits),
        supervisor: Arc::clone(supervisor),
        ..WatchOptions::new(Arc::new(reporter))
    };
    Watcher::start(WatchedBranch::of(registry), options)
}

/// Stops the watcher after its running attempts.
pub(super) fn end(watcher: Option<Watcher>) {
    if let Some(watcher) = watcher {
        watcher.stop();
        // An error that ended the watcher was reported when it happened.
        let _ = watcher.join();
    }
}
