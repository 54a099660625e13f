//! The effects of events on the rows of searches: which rows change, and when a model or version "last changed".
//!
//! That time is the time of the newest event that counts (see [`stamp`](crate::git::stamp)), and never before the
//! creation. MLflow's rule decides which events count: creation, descriptions, transitions and deletion count for the
//! version or the model as [`effects`] says. Tags, aliases, comments and requests do not count.

use std::collections::{BTreeMap, HashMap};

use crate::event::Event;
use crate::format::path::{Location, ModelDir};
use crate::name::ModelName;

/// The effect of one event on the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// A model's own row changed; `changed` is set if the event counts.
    Model { model: ModelName, changed: Option<i64> },
    /// A model was created or deleted: the stored rows of that name are invalid.
    Fresh { model: ModelName, changed: Option<i64> },
    /// A model was renamed; this counts for all its versions.
    Renamed { from: ModelName, to: ModelName, at: i64 },
    /// A version's row changed; `changed` is set if the event counts.
    Version { model: ModelName, number: u64, changed: Option<i64> },
    /// It is unknown which rows changed.
    Unknown,
}

/// Returns the effects of an event at a time in milliseconds. `place` returns the location of a path of the registry.
pub(super) fn effects(event: &Event, at: i64, place: impl Fn(&str) -> Option<Location>) -> Vec<Effect> {
    let model = |m: &ModelName, changed| Effect::Model { model: m.clone(), changed };
    let version = |m: &ModelName, number, changed| Effect::Version { model: m.clone(), number, changed };
    match event {
        Event::ModelCreated { model, .. } | Event::ModelDeleted { model, .. } => {
            vec![Effect::Fresh { model: model.clone(), changed: Some(at) }]
        }
        Event::ModelRenamed { model, from } => {
            vec![Effect::Renamed { from: from.clone(), to: model.clone(), at }]
        }
        Event::ModelDescribed { model: m, .. } => vec![model(m, Some(at))],
        Event::ModelTagSet { model: m, .. }
        | Event::ModelTagDeleted { model: m, .. }
        | Event::AliasSet { model: m, .. }
        | Event::AliasDeleted { model: m, .. } => vec![model(m, None)],
        // A file that names another model than its folder has no row, and the event does not say which row it had.
        Event::ModelAltered { before, after, .. } if before.name != after.name => vec![Effect::Unknown],
        Event::ModelAltered { model: m, .. } => vec![model(m, None)],
        Event::VersionCreated { model: m, version: n, created, .. } => {
            vec![version(m, *n, Some(at)), model(m, Some(at.max(created.created_at.as_millis())))]
        }
        Event::Transitioned { model: m, version: n, .. } | Event::VersionDeleted { model: m, version: n, .. } => {
            vec![version(m, *n, Some(at)), model(m, Some(at))]
        }
        Event::VersionDescribed { model: m, version: n, .. }
        | Event::StatusChanged { model: m, version: n, .. }
        | Event::VersionAltered { model: m, version: n, .. }
        | Event::ArtifactsChanged { model: m, version: n, .. } => vec![version(m, *n, Some(at))],
        Event::VersionTagSet { model: m, version: n, .. }
        | Event::VersionTagDeleted { model: m, version: n, .. }
        | Event::ParamAdded { model: m, version: n, .. }
        | Event::MetricAdded { model: m, version: n, .. } => vec![version(m, *n, None)],
        Event::FileUnreadable { path } => of_file(place(path)),
        // When the model's own file is repaired, its versions are back; their stored rows were dropped.
        Event::FileRepaired { path } => match place(path) {
            Some(Location::Model(_)) => vec![Effect::Unknown],
            other => of_file(other),
        },
        Event::RegistryCreated { .. }
        | Event::SettingsChanged { .. }
        | Event::RegistryMoved { .. }
        | Event::RegistryDeleted { .. }
        | Event::Granted { .. }
        | Event::Revoked { .. }
        | Event::GroupCreated { .. }
        | Event::GroupChanged { .. }
        | Event::GroupDeleted { .. }
        | Event::PersonAdded { .. }
        | Event::PersonChanged { .. }
        | Event::PersonRemoved { .. }
        | Event::WebhookCreated { .. }
        | Event::WebhookChanged { .. }
        | Event::WebhookDeleted { .. }
        | Event::CommentCreated { .. }
        | Event::CommentEdited { .. }
        | Event::CommentAltered { .. }
        | Event::CommentDeleted { .. }
        | Event::RequestCreated { .. }
        | Event::RequestReviewed { .. }
        | Event::RequestApproved { .. }
        | Event::RequestRejected { .. }
        | Event::RequestCancelled { .. }
        | Event::RequestAltered { .. }
        | Event::RequestDeleted { .. }
        | Event::FileChanged { .. } => Vec::new(),
    }
}

/// Returns the effects of a file that became unreadable or readable.
fn of_file(place: Option<Location>) -> Vec<Effect> {
    let named = |dir: &ModelDir, effect: &dyn Fn(ModelName) -> Effect| dir.name().map_or(Effect::Unknown, effect);
    match place {
        Some(Location::Model(dir) | Location::Alias(dir, _)) => {
            vec![named(&dir, &|model| Effect::Model { model, changed: None })]
        }
        Some(Location::Version(dir, number)) => {
            vec![named(&dir, &|model| Effect::Version { model, number, changed: None })]
        }
        // Unreadable settings may change the layout, by which everything is found. An unreadable stage file arrives
        // together with transitions.
        Some(Location::Settings) | None => vec![Effect::Unknown],
        Some(
            Location::Access
            | Location::Person(_)
            | Location::Webhook(_)
            | Location::ModelAccess(_)
            | Location::Stage(..)
            | Location::Request(..)
            | Location::Comment(..)
            | Location::Artifact(..)
            | Location::Attributes(..)
            | Location::Companion(_),
        ) => Vec::new(),
    }
}

impl Effect {
    /// Raises the time to `landed`, for a step whose own time is earlier than the time of a step before it.
    pub(super) fn not_before(self, landed: i64) -> Self {
        let late = |changed: Option<i64>| changed.map(|at| at.max(landed));
        match self {
            Self::Model { model, changed } => Self::Model { model, changed: late(changed) },
            Self::Fresh { model, changed } => Self::Fresh { model, changed: late(changed) },
            Self::Renamed { from, to, at } => Self::Renamed { from, to, at: at.max(landed) },
            Self::Version { model, number, changed } => Self::Version { model, number, changed: late(changed) },
            Self::Unknown => Self::Unknown,
        }
    }
}

/// The changes of a model since the index was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelChange {
    /// Whether the stored rows of the model are invalid.
    pub fresh: bool,
    /// When the model last changed, if an event counts; in milliseconds.
    pub changed: Option<i64>,
    /// When all versions last changed together, in milliseconds.
    pub all: Option<i64>,
    /// The versions whose rows changed, and when, if an event counts; in milliseconds.
    pub versions: BTreeMap<u64, Option<i64>>,
}

impl ModelChange {
    /// Returns when a version last changed, according to these events; in milliseconds.
    pub fn version(&self, number: u64) -> Option<i64> {
        self.versions.get(&number).copied().flatten().or(self.all)
    }
}

/// The changes of the rows since the index was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The changes by model.
    pub models: HashMap<ModelName, ModelChange>,
    /// Whether unknown rows changed.
    pub unknown: bool,
}

impl Changes {
    /// Returns the effects of events at a time in milliseconds. `place` returns the location of a path of the registry.
    pub fn of(events: &[Event], at: i64, place: impl Fn(&str) -> Option<Location>) -> Self {
        let mut out = Self::default();
        events.iter().flat_map(|e| effects(e, at, &place)).for_each(|e| out.apply(e));
        out
    }

    /// Adds the next effect.
    pub(super) fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Model { model, changed } => {
                let known = self.models.entry(model).or_default();
                known.changed = changed.or(known.changed);
            }
            Effect::Fresh { model, changed } => {
                self.models.insert(model, ModelChange { fresh: true, changed, ..ModelChange::default() });
            }
            Effect::Renamed { from, to, at } => {
                let gone = ModelChange { fresh: true, ..ModelChange::default() };
                self.models.insert(from, gone.clone());
                self.models.insert(to, ModelChange { changed: Some(at), all: Some(at), ..gone });
            }
            Effect::Version { model, number, changed } => {
                let known = self.models.entry(model).or_default();
                let version = known.versions.entry(number).or_default();
                *version = changed.or(*version);
            }
            Effect::Unknown => self.unknown = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::Stage;

    fn name(s: &str) -> ModelName {
        s.parse().unwrap()
    }

    fn moved(model: &str, version: u64) -> Event {
        let (from, to) = (Stage::None, Stage::Staging);
        Event::Transitioned { model: name(model), version, from, to, cause: crate::event::TransitionCause::Direct }
    }

    #[test]
    fn a_transition_counts_for_version_and_model_a_tag_for_neither() {
        let mut changes = Changes::default();
        let tag = Event::VersionTagDeleted {
            model: name("churn"),
            version: 1,
            key: "k".parse().unwrap(),
            value: Default::default(),
        };
        for (event, at) in [(moved("churn", 1), 10), (tag, 20)] {
            effects(&event, at, |_| None).into_iter().for_each(|e| changes.apply(e));
        }
        let churn = &changes.models[&name("churn")];
        assert_eq!((churn.changed, churn.version(1), churn.version(2)), (Some(10), Some(10), None));
    }

    #[test]
    fn a_rename_counts_for_all_and_forgets_the_old_name() {
        let mut changes = Changes::default();
        let renamed = Event::ModelRenamed { model: name("new"), from: name("old") };
        for (event, at) in [(moved("old", 1), 10), (renamed, 20), (moved("new", 2), 30)] {
            effects(&event, at, |_| None).into_iter().for_each(|e| changes.apply(e));
        }
        assert_eq!(changes.models[&name("old")], ModelChange { fresh: true, ..ModelChange::default() });
        let new = &changes.models[&name("new")];
        assert_eq!((new.fresh, new.changed, new.version(1), new.version(2)), (true, Some(30), Some(20), Some(30)));
    }

    #[test]
    fn a_file_without_a_known_place_makes_all_rows_unknown() {
        let mut changes = Changes::default();
        let event = Event::FileUnreadable { path: "greenroom.toml".to_owned() };
        effects(&event, 1, |_| Some(Location::Settings)).into_iter().for_each(|e| changes.apply(e));
        assert!(changes.unknown);
    }
}
