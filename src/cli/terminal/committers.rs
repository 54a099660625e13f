//! The committers of versions, comments, requests and reviews, for every list that names people.

use std::collections::BTreeMap;

use super::session::Session;
use crate::index::{Committers, Index};
use crate::name::ModelName;
use crate::registry::Registry;
use crate::text::one_line;
use crate::tree::Oid;

/// The history up to a moment, which knows the committers. If the history cannot be read, as in a shallow clone, no
/// committer is known.
pub(in crate::cli) struct History<'r> {
    index: Option<Index<'r>>,
    at: Option<Oid>,
    known: BTreeMap<(ModelName, u64), Committers>,
}

impl<'r> History<'r> {
    pub(in crate::cli) fn open(session: &Session, registry: &'r Registry, moment: Option<&str>) -> Self {
        let at = moment.map(|m| registry.moment(m)).transpose();
        let index = at.as_ref().ok().and_then(|_| session.index(registry).ok());
        Self { index, at: at.ok().flatten(), known: BTreeMap::new() }
    }

    /// The committers of a version and of its comments, requests and reviews.
    pub(in crate::cli) fn landers(&mut self, model: &ModelName, version: u64) -> Committers {
        let Some(index) = &mut self.index else { return Committers::default() };
        let key = (model.clone(), version);
        let read = || index.landers(model, version, self.at).unwrap_or_default();
        self.known.entry(key).or_insert_with(read).clone()
    }
}

/// Names the committer if that is another person than the author.
pub(in crate::cli) fn landed_by(committer: Option<&str>) -> String {
    committer.map_or_else(String::new, |by| format!(", committed by {}", one_line(by)))
}
