//! The server's client for webhooks: it checks addresses, keeps secrets, and sends test deliveries.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::deliver::webhook::Outgoing;

/// The number of webhooks that are tested at the same time.
const TESTS: usize = 8;

/// The server's client for webhooks.
#[derive(Debug)]
pub struct WebhookClient {
    /// The settings and secrets of outgoing requests.
    pub client: Arc<Outgoing>,
    /// The slots for test deliveries.
    pub tests: Arc<Semaphore>,
}

impl WebhookClient {
    /// Makes a client with these settings.
    pub fn new(client: Arc<Outgoing>) -> Self {
        Self { client, tests: Arc::new(Semaphore::new(TESTS)) }
    }
}
