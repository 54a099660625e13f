//! Updates a catalog by steps of the history: one step, or all missing ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::load::{CatalogError, wants_ready};
use super::{Catalog, ModelCard, RegistryFrame};
use crate::diff::Diff;
use crate::entity::Settings;
use crate::format::path::Location;
use crate::git::stamp;
use crate::index::{Changes, ModelChange, VersionFacts};
use crate::name::ModelName;
use crate::registry::Registry;
use crate::snapshot::{ModelView, Snapshot};
use crate::stage::Stage;
use crate::time::Timestamp;
use crate::tree::{CompareLimits, Oid, TreeError};

/// The largest number of steps that are applied one by one. With more, loading the catalog anew is faster.
const STEPS: usize = 500;

impl Catalog {
    /// Sets the commit of the catalog, once it is known.
    pub fn at_commit(mut self, commit: Oid) -> Self {
        self.commit = Some(commit);
        self
    }

    /// Returns the catalog as of the newest commit: by the steps since this catalog, or loaded anew if its commit is
    /// not in the history or too old.
    ///
    /// # Errors
    ///
    /// [`CatalogError`] when the repository or the index cannot be read.
    pub fn catch_up(&self, registry: &Registry) -> Result<Self, CatalogError> {
        let head = registry.head()?;
        let (Some(tip), Some(known)) = (head, self.commit) else { return Self::load(registry) };
        let mut missing = Vec::new();
        let mut is_known = false;
        for step in registry.repo().first_parents(tip)?.take(STEPS) {
            let step = step?;
            is_known = step.commit == known;
            if is_known {
                break;
            }
            missing.push(step);
        }
        if !is_known {
            return Self::load(registry);
        }
        let mut out = self.clone();
        let mut before = registry.repo().tree_of(&known)?;
        for step in missing.into_iter().rev() {
            let after = registry.snapshot_in(Some(step.tree))?;
            let diff = crate::diff::diff(&registry.snapshot_in(Some(before))?, &after, CompareLimits::default())?;
            if !out.advance(&after, &diff, registry.repo().time_of(&step.commit)?)? {
                return Self::load(registry);
            }
            out.commit = Some(step.commit);
            before = step.tree;
        }
        Ok(out)
    }

    /// Applies one step: the snapshot after it, its changes, and the commit's time. Returns false if the change of the
    /// catalog is not known; then the catalog must be loaded anew.
    ///
    /// # Errors
    ///
    /// [`TreeError`] when an object cannot be read.
    pub fn advance(&mut self, after: &Snapshot<'_>, diff: &Diff, at: Timestamp) -> Result<bool, TreeError> {
        let layout = after.layout()?;
        let place = |path: &str| Location::parse(path.strip_prefix(after.at())?, layout).ok();
        self.landed = stamp::landed(at, Some(self.landed));
        let mut changes = Changes::of(&diff.events, self.landed.as_millis(), place);
        // A change of this setting changes the latest versions of every model.
        let known = self.settings().is_none_or(Settings::wants_ready);
        if changes.unknown || (self.commit.is_some() && known != wants_ready(after)?) {
            return Ok(false);
        }
        // Changes without an event on a row may still be visible: aliases, permissions.
        for file in &diff.files {
            let dir = match Location::parse(&file.path, layout) {
                Ok(
                    Location::Model(dir)
                    | Location::ModelAccess(dir)
                    | Location::Alias(dir, _)
                    | Location::Stage(dir, _)
                    | Location::Version(dir, _),
                ) => dir,
                Ok(
                    Location::Settings
                    | Location::Access
                    | Location::Person(_)
                    | Location::Webhook(_)
                    | Location::Request(..)
                    | Location::Comment(..)
                    | Location::Artifact(..)
                    | Location::Attributes(..)
                    | Location::Companion(_),
                )
                | Err(_) => continue,
            };
            // The folder of a very long name does not hold the name; then an event does.
            if let Some(name) = dir.name() {
                changes.models.entry(name).or_default();
            }
        }
        for name in diff.events.iter().filter_map(|e| e.model()) {
            changes.models.entry(name.clone()).or_default();
        }
        self.frame = Arc::new(RegistryFrame::read(after, Some(&self.frame))?);
        for user in crate::rules::added_people(diff) {
            Arc::make_mut(&mut self.arrivals).insert(user.clone(), self.landed);
        }
        for (name, change) in &changes.models {
            match self.changed(after, name, change)? {
                Some(card) => self.put(card),
                None => self.remove(name.as_str()),
            }
        }
        Ok(true)
    }

    /// Returns a model's card after a change. `None` if the model does not exist any more.
    fn changed(
        &self,
        after: &Snapshot<'_>,
        name: &ModelName,
        change: &ModelChange,
    ) -> Result<Option<ModelCard>, TreeError> {
        let Some(view) = after.model(name)? else { return Ok(None) };
        let known = self.model(name.as_str()).filter(|_| !change.fresh);
        let mut touched: BTreeSet<u64> = change.versions.keys().copied().collect();
        if change.fresh || change.all.is_some() || known.is_none() {
            touched.extend(view.versions()?.iter().map(|v| v.number));
        }
        let mut versions = known.map(|k| k.versions.clone()).unwrap_or_default();
        let mut seen = known.map(|k| k.seen).unwrap_or_default();
        let stages = if touched.is_empty() { BTreeMap::new() } else { view.stage_map()? };
        for number in touched {
            let at = versions.binary_search_by_key(&number, |v| v.number);
            let before = at.ok().and_then(|at| versions.get(at)).map(|v| v.updated);
            let stage = stages.get(&number).unwrap_or(&Stage::None);
            let new = facts(&view, number, stage, change.version(number).or(before))?.map(Arc::new);
            if let Some(new) = &new {
                seen.note(new);
            }
            match at {
                Ok(at) => drop(versions.splice(at..=at, new)),
                Err(at) => drop(versions.splice(at..at, new)),
            }
        }
        let updated = change.changed.or(known.map(|k| k.updated));
        ModelCard::read(&view, name, updated, versions, seen, wants_ready(after)?)
    }
}

/// Returns the facts of a version. `None` if it does not exist any more or its file cannot be used.
fn facts(
    view: &ModelView<'_>,
    number: u64,
    stage: &Stage,
    changed: Option<i64>,
) -> Result<Option<VersionFacts<'static>>, TreeError> {
    let Some(version) = view.version(number)?.map_or(Ok(None), |v| v.file())?.and_then(|f| f.value) else {
        return Ok(None);
    };
    let mut facts = VersionFacts::of(number, &version, stage, changed);
    facts.complete(&version);
    Ok(Some(facts))
}
