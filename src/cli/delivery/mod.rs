//! Commands about delivery: the watcher, webhooks, secrets.

pub(super) mod secret;
pub(super) mod watch;
pub(super) mod webhook;
pub(super) mod webhook_deliveries;
pub(super) mod webhook_replay;
