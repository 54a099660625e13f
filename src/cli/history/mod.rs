//! Commands about the past: the log, differences, verification.

pub(super) mod diff;
pub(super) mod log;
pub(super) mod verify;
