//! Webhooks over the APIs: by the wire, by the real clients, and the secrecy of their secrets.

mod binding;
mod clients;
mod rest;
mod secret;
