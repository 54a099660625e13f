//! Commands about registered models and model versions.

pub(super) mod alias;
pub(super) mod alias_rule;
pub(super) mod compare;
pub(super) mod fetch;
pub(super) mod model;
pub(super) mod register;
pub(super) mod search;
pub(super) mod show;
pub(super) mod tag;
pub(super) mod transition;
pub(super) mod version;
