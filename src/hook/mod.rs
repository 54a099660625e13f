//! The hooks that git runs around a push: installation, input, and messages for the client.

mod alarm;
pub mod install;
pub mod prepush;
pub mod run;
pub mod say;
pub mod script;

pub use install::{HookGap, InstallError, Report, Setup, gap, install, install_into, status, uninstall};
pub use run::{HookAnswer, HookOptions, HookError};
pub use script::Hook;
