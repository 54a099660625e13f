//! Commands at a git host: checks of pull requests, hooks, CODEOWNERS.

pub(super) mod annotate;
pub(super) mod check;
pub(super) mod codeowners;
pub(super) mod doctor;
pub(super) mod hook;
pub(super) mod pull;
