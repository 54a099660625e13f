//! Commands about review: transition requests and comments.

pub(super) mod answer;
pub(super) mod comment;
pub(super) mod judged_request;
pub(super) mod propose;
pub(super) mod request;
