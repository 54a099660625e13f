//! The watcher inside the server: delivers events on its own thread.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::log::Log;
use super::metrics::Metrics;
use crate::registry::Registry;
use crate::supervisor::Supervisor;
use crate::watch::{Home, Level, Message, Options, Vouched, WatchError, Watcher};

/// Starts to watch the registry. If another process watches already, this one stands by. The server's writer vouches
/// for the commits of the server.
pub(super) fn start(
    registry: &Registry,
    log: Log,
    metrics: &Metrics,
    vouched: &Arc<Vouched>,
    supervisor: &Arc<Supervisor>,
) -> Result<Watcher, WatchError> {
    let tell = move |message: &Message| {
        let mut fields = Map::from_iter([("message".to_owned(), json!(message.text))]);
        fields.extend(message.details.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
        match message.level {
            Level::Info => log.info(Value::Object(fields)),
            Level::Warn => log.line("warn", Value::Object(fields)),
            Level::Error => log.error(Value::Object(fields)),
        }
    };
    let options = Options {
        counters: Arc::clone(&metrics.deliveries),
        vouched: Arc::clone(vouched),
        supervisor: Arc::clone(supervisor),
        ..Options::new(Arc::new(tell))
    };
    Watcher::start(Home::of(registry), options)
}

/// Stops the watcher after its running attempts.
pub(super) fn end(watcher: Option<Watcher>) {
    if let Some(watcher) = watcher {
        watcher.stop();
        // An error that ended the watcher was reported when it happened.
        let _ = watcher.join();
    }
}
