//! The hooks that git runs around a push: installation, input, and messages for the client.

mod alarm;
pub mod client_message;
pub mod install;
pub mod prepush;
pub mod run;
pub mod script;

pub use install::{HookGap, InstallError, Report, Setup, gap, install, install_into, status, uninstall};
pub use run::{HookAnswer, HookError, HookOptions};
pub use script::Hook;
