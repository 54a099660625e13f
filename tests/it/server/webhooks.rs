//! Webhooks over the APIs: by the wire, by the real clients, and that their secrets stay secret.

mod clients;
mod rest;
mod secret;
