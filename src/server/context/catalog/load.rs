//! Loads a catalog: versions from the index, the rest of each model from its folder, on several threads.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::thread;

use super::tag_filter::TagFilter;
use super::{Catalog, ModelCard, RegistryFrame, SHARDS};
use crate::entity::{Access, Model, Settings};
use crate::git::{GitError, Repo};
use crate::index::{Index, IndexError, ModelRow, VersionFacts};
use crate::name::ModelName;
use crate::registry::{Registry, RegistryError};
use crate::search::IS_PROMPT;
use crate::snapshot::{ModelView, Snapshot};
use crate::time::Timestamp;
use crate::tree::{Oid, TreeError};

/// The number of models from which threads are worth their start.
const MANY: usize = 200;

/// The largest number of reading threads.
const THREADS: usize = 8;

/// Why the registry could not be loaded into memory.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The index could not be read or built.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The registry could not be read.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// An object could not be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The repository could not be read.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// A model as the index stores it.
type Row = (ModelRow<'static>, Vec<Arc<VersionFacts<'static>>>);

impl Catalog {
    /// Returns the catalog of an empty registry.
    pub fn empty() -> Self {
        let shards = (0..SHARDS).map(|_| Arc::default()).collect();
        let names = (0..SHARDS).map(|_| Arc::default()).collect();
        let landed = Timestamp::from_millis(i64::MIN);
        Self { commit: None, landed, frame: Arc::default(), arrivals: Arc::default(), shards, names }
    }

    /// Loads the registry as of its newest commit.
    ///
    /// # Errors
    ///
    /// [`CatalogError`] when the repository or the index cannot be read.
    pub fn load(registry: &Registry) -> Result<Self, CatalogError> {
        let mut index = Index::open(registry, &mut |_| {})?;
        let mut out = Self::empty();
        out.commit = index.tip();
        let Some(commit) = out.commit else { return Ok(out) };
        out.landed = index.landed()?.unwrap_or(out.landed);
        let (models, versions) = index.rows()?;
        let frame = RegistryFrame::read(&registry.snapshot_of(Some(commit))?, None)?;
        out.arrivals = Arc::new(index.arrivals(frame.people.keys())?);
        drop(index);
        let mut by_model: HashMap<String, Vec<Arc<VersionFacts<'static>>>> = HashMap::new();
        for version in versions {
            by_model.entry(version.model.into_owned()).or_default().push(Arc::new(version.facts));
        }
        let rows: Vec<Row> = models
            .into_iter()
            .map(|row| {
                let versions = by_model.remove(row.name.as_ref()).unwrap_or_default();
                (row, versions)
            })
            .collect();
        out.frame = Arc::new(frame);
        cards(registry, commit, rows)?.into_iter().for_each(|card| out.put(card));
        Ok(out)
    }
}

impl RegistryFrame {
    /// Reads the settings, permissions and people. If they have the same objects as in `known`, they are taken from
    /// there.
    pub(super) fn read(snapshot: &Snapshot<'_>, known: Option<&Arc<Self>>) -> Result<Self, TreeError> {
        let id = |path: &str| Ok::<_, TreeError>(snapshot.entry(path)?.map(|e| e.id));
        let ids = [id("greenroom.toml")?, id("access.toml")?, id("people")?];
        if let Some(known) = known.filter(|k| k.ids == ids) {
            return Ok(Self::clone(known));
        }
        let person = |(user, file): (&_, &crate::snapshot::File<_>)| Some((Clone::clone(user), file.value.clone()?));
        Ok(Self {
            ids,
            settings: snapshot.settings()?.cloned(),
            access: snapshot.access()?.clone(),
            people: snapshot.people()?.iter().filter_map(person).collect(),
        })
    }
}

impl ModelCard {
    /// Reads the card of a model's folder. `None` if its file cannot be used or belongs to another model. The versions
    /// are sorted in ascending order, and `seen` holds their tags.
    pub(super) fn read(
        view: &ModelView<'_>,
        name: &ModelName,
        updated: Option<i64>,
        versions: Vec<Arc<VersionFacts<'static>>>,
        seen: TagFilter,
        wants_ready: bool,
    ) -> Result<Option<Self>, TreeError> {
        let Some(model) = view.file()?.and_then(|f| f.value).filter(|m| m.name == *name) else { return Ok(None) };
        let access = view.access()?.and_then(|f| f.value).unwrap_or_default();
        let mut aliases = BTreeMap::new();
        for (alias, file) in view.aliases()? {
            aliases.extend(file.value.map(|pointer| (alias, pointer.version)));
        }
        let Model { id, name, created_at, created_by, description, retired: _, tags } = model;
        let access = Access { grants: access.grants, groups: BTreeMap::new() };
        let created = created_at.as_millis();
        let updated = created.max(updated.unwrap_or(i64::MIN));
        let is_prompt = |v: &Arc<VersionFacts<'_>>| v.tags.iter().any(|t| t.key == IS_PROMPT && t.value == "true");
        // Few models are prompts, so the filter mostly decides this without reading the versions.
        let of_prompt = seen.may_have(IS_PROMPT, "true") && versions.iter().any(is_prompt);
        Ok(Some(Self {
            id,
            name,
            created,
            updated,
            created_by,
            description,
            tags,
            access,
            aliases,
            versions,
            of_prompt,
            wants_ready,
            seen,
        }))
    }
}

/// Returns whether the registry requires that the latest versions are READY. True if its settings cannot be read.
pub(super) fn wants_ready(snapshot: &Snapshot<'_>) -> Result<bool, TreeError> {
    Ok(snapshot.settings()?.is_none_or(Settings::wants_ready))
}

/// Reads the parts of the models that the index does not hold.
fn cards(registry: &Registry, commit: Oid, rows: Vec<Row>) -> Result<Vec<ModelCard>, CatalogError> {
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get).min(THREADS);
    if rows.len() < MANY || threads < 2 {
        let snapshot = registry.snapshot_of(Some(commit))?;
        return Ok(some_cards(&snapshot, rows)?);
    }
    let (git_dir, at) = (registry.repo().git_dir(), registry.at());
    let size = rows.len().div_ceil(threads);
    let mut rows = rows.into_iter();
    thread::scope(|scope| {
        let parts: Vec<_> = (0..threads)
            .map(|_| {
                let part: Vec<Row> = rows.by_ref().take(size).collect();
                scope.spawn(move || -> Result<Vec<ModelCard>, CatalogError> {
                    let own = Registry::with(Repo::open_beside(git_dir)?, at)?;
                    let snapshot = own.snapshot_of(Some(commit))?;
                    Ok(some_cards(&snapshot, part)?)
                })
            })
            .collect();
        let mut out = Vec::new();
        for part in parts {
            match part.join() {
                Ok(cards) => out.extend(cards?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(out)
    })
}

fn some_cards(snapshot: &Snapshot<'_>, rows: Vec<Row>) -> Result<Vec<ModelCard>, TreeError> {
    let mut out = Vec::with_capacity(rows.len());
    let wants_ready = wants_ready(snapshot)?;
    for (row, mut versions) in rows {
        let Ok(name) = ModelName::new(row.name.as_ref()) else { continue };
        let Some(view) = snapshot.model(&name)? else { continue };
        for facts in versions.iter_mut().filter(|f| f.description.is_none() || f.evidence.is_none()) {
            // The index leaves out long texts.
            let file = view.version(facts.number)?.map_or(Ok(None), |v| v.file())?.and_then(|f| f.value);
            if let Some(version) = file {
                Arc::make_mut(facts).complete(&version);
            }
        }
        versions.sort_by_key(|v| v.number);
        let mut seen = TagFilter::default();
        versions.iter().for_each(|v| seen.note(v));
        out.extend(ModelCard::read(&view, &name, Some(row.updated), versions, seen, wants_ready)?);
    }
    Ok(out)
}
