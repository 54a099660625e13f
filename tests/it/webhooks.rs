//! Webhooks: what they say, how it is sent, and where it may go.

mod payloads;
mod sending;
