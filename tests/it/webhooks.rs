//! Webhooks: payloads, delivery, and allowed addresses.

mod binding;
mod payloads;
mod sending;
