//! The difference of two snapshots as a list of typed events. Rules, log and deliveries all work on these events.
//!
//! The changed files are found by object id, so the cost follows the size of the change, and only these files are read.
//! Files are matched by what they *are*, not by path, so a change of layout makes no event. Models are matched by id,
//! so a renamed folder is a rename.
//!
//! The order of events is part of the contract:
//! 1. the registry: settings, groups, grants, people, webhooks;
//! 2. each model by name: the model itself and its grants; each version in ascending order with its comments and
//!    requests; transitions (with those that made way for another version last); aliases; deleted versions;
//! 3. other files by path.

mod fields;
mod model;
mod moved;
mod registry;

use std::collections::BTreeMap;

use crate::event::Event;
use crate::format::path::{Location, ModelDir};
use crate::name::ModelName;
use crate::snapshot::{File, Snapshot};
use crate::tree::{self, CompareLimits, FileChange, TreeEntry, TreeError};

/// The difference of two snapshots.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diff {
    /// The events, in the documented order.
    pub events: Vec<Event>,
    /// The changed files, with paths from the root of the registry.
    pub files: Vec<FileChange>,
}

impl Diff {
    /// Returns whether nothing differs. A registry that only moved has no changed files, but an event.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.events.is_empty()
    }
}

/// Returns the difference of two snapshots.
///
/// # Errors
/// If an object cannot be read, or more entries differ than `limits` allow.
pub fn diff(before: &Snapshot<'_>, after: &Snapshot<'_>, limits: CompareLimits) -> Result<Diff, TreeError> {
    let mut files = tree::changes((before.objects(), before.root()), (after.objects(), after.root()), limits)?;
    let is_moved = after.was_elsewhere(before)?;
    if is_moved {
        files = moved::without_bystanders(files, before, after)?;
    }
    if files.is_empty() && !is_moved {
        return Ok(Diff::default());
    }
    let mut touched = ChangedFiles::of(&files, before, after)?;
    let renames = touched.pair_renames(before, after)?;
    let mut events = registry::events(&touched, before, after)?;
    for (dir, changes) in touched.by_model() {
        events.extend(model::events(&dir, renames.get(&dir), &changes, before, after)?);
    }
    for file in &touched.strays {
        events.push(moved::stray(file, before, after)?);
    }
    Ok(Diff { events, files })
}

/// The entries of a file before and after.
type Pair = (Option<TreeEntry>, Option<TreeEntry>);

/// The changed files, by their meaning.
struct ChangedFiles {
    known: BTreeMap<Location, Pair>,
    strays: Vec<FileChange>,
}

impl ChangedFiles {
    fn of(files: &[FileChange], before: &Snapshot<'_>, after: &Snapshot<'_>) -> Result<Self, TreeError> {
        let (old_layout, new_layout) = (before.layout()?, after.layout()?);
        let mut known: BTreeMap<Location, Pair> = BTreeMap::new();
        let mut strays: BTreeMap<String, Pair> = BTreeMap::new();
        for file in files {
            if let Some(entry) = &file.before {
                match Location::parse(&file.path, old_layout) {
                    Ok(Location::Companion(_)) | Err(_) => {
                        strays.entry(file.path.clone()).or_default().0 = Some(entry.clone());
                    }
                    Ok(place) => known.entry(place).or_default().0 = Some(entry.clone()),
                }
            }
            if let Some(entry) = &file.after {
                match Location::parse(&file.path, new_layout) {
                    Ok(Location::Companion(_)) | Err(_) => {
                        strays.entry(file.path.clone()).or_default().1 = Some(entry.clone());
                    }
                    Ok(place) => known.entry(place).or_default().1 = Some(entry.clone()),
                }
            }
        }
        known.retain(|_, pair| differs(pair));
        let strays = strays.into_iter().map(|(path, (before, after))| FileChange { path, before, after }).collect();
        Ok(Self { known, strays })
    }

    /// Finds models whose folder disappeared while a folder with the same model id appeared. Puts the remaining changes
    /// of the old folder under the new one. Returns the old folder and name for each new folder.
    fn pair_renames(
        &mut self,
        before: &Snapshot<'_>,
        after: &Snapshot<'_>,
    ) -> Result<BTreeMap<ModelDir, (ModelDir, ModelName)>, TreeError> {
        let mut gone = BTreeMap::new();
        let mut came = Vec::new();
        for (place, pair) in &self.known {
            let Location::Model(dir) = place else { continue };
            match pair {
                (Some(_), None) => {
                    if let Some(model) = model_in(before, dir)? {
                        gone.insert(model.id.clone(), (dir.clone(), model.name));
                    }
                }
                (None, Some(_)) => {
                    if let Some(model) = model_in(after, dir)? {
                        came.push((model.id, dir.clone()));
                    }
                }
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
        let mut renames = BTreeMap::new();
        for (id, new) in came {
            let Some((old, name)) = gone.remove(&id) else { continue };
            let moved: Vec<Location> = self.known.keys().filter(|l| l.model() == Some(&old)).cloned().collect();
            for place in moved {
                if let Some((was, _)) = self.known.remove(&place) {
                    self.known.entry(place.in_model(&new)).or_default().0 = was;
                }
            }
            renames.insert(new, (old, name));
        }
        self.known.retain(|_, pair| differs(pair));
        Ok(renames)
    }

    /// Returns the changed files of models by folder. A renamed model is included even if nothing else in it changed.
    fn by_model(&self) -> BTreeMap<ModelDir, Vec<(&Location, &Pair)>> {
        let mut out: BTreeMap<ModelDir, Vec<(&Location, &Pair)>> = BTreeMap::new();
        for (place, pair) in &self.known {
            if let Some(dir) = place.model() {
                out.entry(dir.clone()).or_default().push((place, pair));
            }
        }
        out
    }
}

fn differs((before, after): &Pair) -> bool {
    before.as_ref().map(|e| (e.kind, e.id)) != after.as_ref().map(|e| (e.kind, e.id))
}

/// Returns the model in a folder, in any shard.
fn model_in(snapshot: &Snapshot<'_>, dir: &ModelDir) -> Result<Option<crate::entity::Model>, TreeError> {
    match snapshot.model_in(dir)? {
        Some(view) => Ok(view.file()?.and_then(|f| f.value)),
        None => Ok(None),
    }
}

/// The two states of a file, as an event needs them.
enum FileSides<T> {
    /// Neither state can be used, or there is no file.
    Nothing,
    /// The file was added.
    Came(T),
    /// The file was removed.
    Went(T),
    /// The content changed.
    Changed(T, T),
    /// The file became unreadable.
    Broke(String),
    /// The file became readable again.
    Mended(String),
}

fn sides<T: PartialEq>(before: Option<File<T>>, after: Option<File<T>>) -> FileSides<T> {
    match (before, after) {
        (None, None) => FileSides::Nothing,
        (None, Some(new)) => match new.value {
            Some(value) => FileSides::Came(value),
            None => FileSides::Broke(new.path),
        },
        (Some(old), None) => match old.value {
            Some(value) => FileSides::Went(value),
            None => FileSides::Mended(old.path),
        },
        // A file that was unreadable before and did not change is not part of this step.
        (Some(old), Some(new)) if old.id == new.id => FileSides::Nothing,
        (Some(old), Some(new)) => match (old.value, new.value) {
            (Some(a), Some(b)) if a == b => FileSides::Nothing,
            (Some(a), Some(b)) => FileSides::Changed(a, b),
            (_, None) => FileSides::Broke(new.path),
            (None, Some(_)) => FileSides::Mended(new.path),
        },
    }
}

impl<T> FileSides<T> {
    /// Turns the two states into events by one function each. An unreadable or repaired file has its own event.
    fn events(
        self,
        came: impl FnOnce(T) -> Vec<Event>,
        went: impl FnOnce(T) -> Vec<Event>,
        changed: impl FnOnce(T, T) -> Vec<Event>,
    ) -> Vec<Event> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Came(new) => came(new),
            Self::Went(old) => went(old),
            Self::Changed(old, new) => changed(old, new),
            Self::Broke(path) => vec![Event::FileUnreadable { path }],
            Self::Mended(path) => vec![Event::FileRepaired { path }],
        }
    }
}
