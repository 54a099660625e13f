//! Commands about the server: start it, manage its tokens.

pub(super) mod serve;
pub(super) mod token;
