//! What a handler works with: the caller and the arguments of a request, the registry in memory, the writer.

pub mod arguments;
pub mod auth;
pub mod call;
pub mod caller_slots;
pub mod catalog;
pub mod error;
pub mod file_cache;
pub mod grant;
pub mod id_lookup;
pub mod idempotency;
pub mod idle;
pub mod import;
pub mod index_refresh;
pub mod log;
pub mod metrics;
pub mod reader_pool;
pub mod reply;
pub mod served_location;
pub mod state;
pub mod tokens;
pub mod webhook_client;
pub mod writer;
