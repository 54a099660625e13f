//! Searches of the catalog: the rows that match and that may be seen.

use std::sync::Arc;

use super::{Catalog, ModelCard};
use crate::index::VersionFacts;
use crate::search::{self, Models, Page, PageSize, Query, Versions};
use crate::time::Timestamp;

/// A version with its model, as searches find it.
#[derive(Debug, Clone, Copy)]
pub struct Hit<'c> {
    /// The model.
    pub model: &'c ModelCard,
    /// The version.
    pub version: &'c VersionFacts<'static>,
}

impl Catalog {
    /// Answers a search of models: a page of those that match and may be seen, in order.
    pub fn search_models<'c>(
        &'c self,
        may_see: impl Fn(&ModelCard) -> bool,
        query: &Query<Models>,
        offset: usize,
        size: PageSize,
    ) -> Page<&'c ModelCard> {
        query.page(self.models().map(Arc::as_ref).filter(|m| may_see(m)), offset, size)
    }

    /// Answers a search of versions: a page of those that match and may be seen, in order.
    pub fn search_versions<'c>(
        &'c self,
        may_see: impl Fn(&ModelCard) -> bool,
        query: &Query<Versions>,
        offset: usize,
        size: PageSize,
    ) -> Page<Hit<'c>> {
        let hits = |model: &'c ModelCard| model.versions.iter().map(move |version| Hit { model, version });
        match query.filter.model() {
            Some(name) => {
                let model = self.model(name).map(Arc::as_ref).filter(|m| may_see(m));
                query.page(model.into_iter().flat_map(hits), offset, size)
            }
            None => {
                let may_match = |m: &ModelCard| query.filter.tags().all(|(key, value)| m.seen.may_have(key, value));
                let models = self.models().map(Arc::as_ref).filter(|m| may_match(m) && may_see(m));
                query.page(models.flat_map(hits), offset, size)
            }
        }
    }
}

impl search::ModelRow for ModelCard {
    fn name(&self) -> &str {
        self.name.as_str()
    }
    fn last_updated(&self) -> Timestamp {
        Timestamp::from_millis(self.updated)
    }
    fn tag(&self, key: &str) -> Option<&str> {
        self.tags.get(key).map(crate::text::Text::as_str)
    }
}

impl search::VersionRow for Hit<'_> {
    fn name(&self) -> &str {
        self.model.name.as_str()
    }
    fn number(&self) -> u64 {
        self.version.number
    }
    fn run_id(&self) -> &str {
        &self.version.run_id
    }
    fn source_path(&self) -> &str {
        &self.version.source
    }
    fn created(&self) -> Timestamp {
        Timestamp::from_millis(self.version.created)
    }
    fn last_updated(&self) -> Timestamp {
        Timestamp::from_millis(self.version.updated)
    }
    fn tag(&self, key: &str) -> Option<&str> {
        self.version.tags.iter().find(|t| t.key == key).map(|t| t.value.as_ref())
    }
    fn is_of_prompt(&self) -> bool {
        self.model.of_prompt
    }
}
