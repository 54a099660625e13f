//! Shared support of the integration tests: a sandbox for processes, and the external tools that tests compare with.
//!
//! ```ignore
//! let sandbox = Sandbox::new();
//! sandbox.greenroom(["init", "registry"]).success();
//! let log = sandbox.bob().within("registry").at("2026-03-01T12:00:00Z").greenroom(["log", "-o", "json"]);
//! assert_eq!(log.success().json(), serde_json::json!([]));
//! ```

pub mod channel;
pub mod commits;
pub mod hooked;
mod provision;
pub mod receiver;
pub mod sandbox;
pub mod server;
pub mod smtp;
pub mod tools;
pub mod trees;

pub use sandbox::{Output, Sandbox, Shell};
