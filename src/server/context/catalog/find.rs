//! Searches of the catalog: the rows that match and that the caller may see.

use std::sync::Arc;

use super::{Catalog, ModelCard};
use crate::index::VersionFacts;
use crate::search::{self, Models, PageSize, Query, ResultPage, Versions};
use crate::stage::Stage;
use crate::time::Timestamp;

/// A version with its model, as a search result.
#[derive(Debug, Clone, Copy)]
pub struct VersionHit<'c> {
    /// The model.
    pub model: &'c ModelCard,
    /// The version.
    pub version: &'c VersionFacts<'static>,
}

impl Catalog {
    /// Searches models. Returns a page of the matching models that the caller may see, in order.
    pub fn search_models<'c>(
        &'c self,
        may_see: impl Fn(&ModelCard) -> bool,
        query: &Query<Models>,
        offset: usize,
        size: PageSize,
    ) -> ResultPage<&'c ModelCard> {
        query.page(self.models().map(Arc::as_ref).filter(|m| may_see(m)), offset, size)
    }

    /// Searches versions. Returns a page of the matching versions that the caller may see, in order.
    pub fn search_versions<'c>(
        &'c self,
        may_see: impl Fn(&ModelCard) -> bool,
        query: &Query<Versions>,
        offset: usize,
        size: PageSize,
    ) -> ResultPage<VersionHit<'c>> {
        let hits = |model: &'c ModelCard| model.versions.iter().map(move |version| VersionHit { model, version });
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
    fn created(&self) -> Timestamp {
        Timestamp::from_millis(self.created)
    }
    fn description(&self) -> search::Fact<&str> {
        search::Fact::Known(self.description.as_str())
    }
    fn each_alias(&self, see: &mut dyn FnMut(&str)) {
        self.aliases.keys().for_each(|alias| see(alias.as_str()));
    }
    fn each_stage(&self, see: &mut dyn FnMut(&str)) {
        let stages = self.versions.iter().map(|v| v.stage.as_ref()).filter(|stage| *stage != Stage::None.as_str());
        stages.collect::<std::collections::BTreeSet<&str>>().into_iter().for_each(see);
    }
}

impl search::VersionRow for VersionHit<'_> {
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
    fn stage(&self) -> &str {
        &self.version.stage
    }
    fn description(&self) -> search::Fact<&str> {
        search::Fact::Known(self.version.description.as_deref().unwrap_or_default())
    }
    fn each_alias(&self, see: &mut dyn FnMut(&str)) {
        self.model.aliases_of(self.version.number).for_each(|alias| see(alias.as_str()));
    }
    fn param(&self, key: &str) -> search::Fact<&str> {
        self.version.param(key)
    }
    fn metric(&self, key: &str) -> search::Fact<f64> {
        self.version.metric(key)
    }
}
