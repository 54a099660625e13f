//! Webhooks: payloads, delivery, and allowed addresses.

mod payloads;
mod sending;
