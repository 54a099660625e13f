//! Events of one model.

use std::collections::{BTreeMap, BTreeSet};

use super::fields::{self, EventVersion};
use super::{Pair, registry, sides};
use crate::entity::{Access, Model, RequestState};
use crate::event::{Event, TransitionCause};
use crate::format::path::{Location, ModelDir};
use crate::name::{Id, ModelName};
use crate::snapshot::{ModelView, Snapshot, VersionView};
use crate::stage::Stage;
use crate::tree::{Oid, TreeError};

/// The changed parts of a model.
#[derive(Default)]
struct ModelParts {
    access: bool,
    stages: bool,
    aliases: BTreeSet<crate::name::AliasName>,
    versions: BTreeMap<u64, VersionParts>,
}

/// The changed parts of a version.
#[derive(Default)]
struct VersionParts {
    file: bool,
    artifacts: bool,
    attributes: Option<(Option<Oid>, Option<Oid>)>,
    requests: BTreeSet<Id>,
    comments: BTreeSet<Id>,
}

impl ModelParts {
    fn of(changes: &[(&Location, &Pair)]) -> Self {
        let mut out = Self::default();
        for (place, pair) in changes {
            match place {
                Location::ModelAccess(_) => out.access = true,
                Location::Stage(..) => out.stages = true,
                Location::Alias(_, alias) => {
                    out.aliases.insert(alias.clone());
                }
                Location::Version(_, n) => out.versions.entry(*n).or_default().file = true,
                Location::Artifact(_, n, _) => out.versions.entry(*n).or_default().artifacts = true,
                Location::Attributes(_, n) => {
                    let ids = (pair.0.as_ref().map(|e| e.id), pair.1.as_ref().map(|e| e.id));
                    out.versions.entry(*n).or_default().attributes = Some(ids);
                }
                Location::Request(_, n, id) => {
                    out.versions.entry(*n).or_default().requests.insert(id.clone());
                }
                Location::Comment(_, n, id) => {
                    out.versions.entry(*n).or_default().comments.insert(id.clone());
                }
                Location::Settings
                | Location::Access
                | Location::Person(_)
                | Location::Webhook(_)
                | Location::Model(_)
                | Location::Companion(_) => {}
            }
        }
        out
    }
}

/// Returns the events of the model in a folder. `renamed` is its earlier folder and name.
pub(super) fn events(
    dir: &ModelDir,
    renamed: Option<&(ModelDir, ModelName)>,
    changes: &[(&Location, &Pair)],
    before: &Snapshot<'_>,
    after: &Snapshot<'_>,
) -> Result<Vec<Event>, TreeError> {
    let old = before.model_in(renamed.map_or(dir, |(old, _)| old))?;
    let new = after.model_in(dir)?;
    // With an unchanged model.toml the folder names the model; reading the file on both sides would be most of the work.
    let own_name = dir.name().filter(|name| ModelDir::of(name) == *dir);
    let same = renamed.is_none() && own_name.is_some() && !changes.iter().any(|(l, _)| matches!(l, Location::Model(_)));
    let file = |side: &Option<ModelView<'_>>| match side {
        Some(view) if !same => view.file(),
        Some(_) | None => Ok(None),
    };
    let (old_file, new_file) = (file(&old)?, file(&new)?);
    // A folder without a readable model.toml is named by its folder name, if that is not abbreviated.
    let name = new_file.as_ref().and_then(|f| f.value.as_ref()).or(old_file.as_ref().and_then(|f| f.value.as_ref()));
    let Some(name) = name.map(|m: &Model| m.name.clone()).or_else(|| dir.name()) else {
        let path = new.as_ref().or(old.as_ref()).map_or_else(|| dir.to_string(), |v| v.path.clone());
        return Ok(vec![Event::FileUnreadable { path }]);
    };
    let mut out = Vec::new();
    if let Some((_, from)) = renamed {
        out.push(Event::ModelRenamed { model: name.clone(), from: from.clone() });
    }
    let deleted = new_file.is_none() && new.is_none();
    out.extend(sides(old_file, new_file).events(
        |created| vec![Event::ModelCreated { model: name.clone(), created }],
        |deleted| vec![Event::ModelDeleted { model: name.clone(), deleted }],
        |old, new| fields::model(&old, &new, renamed.is_some()),
    ));
    if deleted && !out.is_empty() {
        return Ok(out);
    }
    let model = Both { name: &name, old, new };
    let parts = ModelParts::of(changes);
    if parts.access {
        out.extend(model.access()?);
    }
    let transitions = if parts.stages { model.transitions()? } else { Vec::new() };
    let mut deleted = Vec::new();
    for (number, touched) in &parts.versions {
        model.version(*number, touched, &transitions, &mut out, &mut deleted)?;
    }
    model.emit_transitions(&transitions, &deleted, &mut out)?;
    for alias in &parts.aliases {
        out.extend(model.alias(alias)?);
    }
    out.extend(deleted);
    Ok(out)
}

/// A version whose stage changed.
struct Transition {
    version: u64,
    from: Stage,
    to: Stage,
}

/// The two states of a model.
struct Both<'n, 'o> {
    name: &'n ModelName,
    old: Option<ModelView<'o>>,
    new: Option<ModelView<'o>>,
}

impl Both<'_, '_> {
    fn access(&self) -> Result<Vec<Event>, TreeError> {
        let old = self.old.as_ref().map_or(Ok(None), ModelView::access)?;
        let new = self.new.as_ref().map_or(Ok(None), ModelView::access)?;
        let nothing = Access::default();
        Ok(sides(old, new).events(
            |new| registry::access(Some(self.name), &nothing, &new),
            |old| registry::access(Some(self.name), &old, &nothing),
            |old, new| registry::access(Some(self.name), &old, &new),
        ))
    }

    fn transitions(&self) -> Result<Vec<Transition>, TreeError> {
        let old = self.old.as_ref().map_or(Ok(BTreeMap::new()), ModelView::stage_map)?;
        let new = self.new.as_ref().map_or(Ok(BTreeMap::new()), ModelView::stage_map)?;
        let numbers: BTreeSet<u64> = old.keys().chain(new.keys()).copied().collect();
        let stage = |map: &BTreeMap<u64, Stage>, n| map.get(&n).cloned().unwrap_or(Stage::None);
        let all = numbers.into_iter().map(|n| Transition { version: n, from: stage(&old, n), to: stage(&new, n) });
        Ok(all.filter(|t| t.from != t.to).collect())
    }

    fn versions(&self, number: u64) -> Result<(Option<VersionView<'_>>, Option<VersionView<'_>>), TreeError> {
        let old = self.old.as_ref().map_or(Ok(None), |v| v.version(number))?;
        let new = self.new.as_ref().map_or(Ok(None), |v| v.version(number))?;
        Ok((old, new))
    }

    fn version(
        &self,
        number: u64,
        touched: &VersionParts,
        transitions: &[Transition],
        out: &mut Vec<Event>,
        deleted: &mut Vec<Event>,
    ) -> Result<(), TreeError> {
        let (old, new) = self.versions(number)?;
        let s = EventVersion { model: self.name, version: number };
        let model = || self.name.clone();
        let old_files = old.as_ref().map_or(Ok(None), VersionView::artifacts)?;
        let new_files = new.as_ref().map_or(Ok(None), VersionView::artifacts)?;
        let mut whole = false;
        if touched.file {
            let old_file = old.as_ref().map_or(Ok(None), VersionView::file)?;
            let new_file = new.as_ref().map_or(Ok(None), VersionView::file)?;
            let sides = sides(old_file, new_file);
            whole = matches!(sides, super::FileSides::Came(_) | super::FileSides::Went(_));
            let gone = matches!(sides, super::FileSides::Went(_));
            let events = sides.events(
                |created| {
                    vec![Event::VersionCreated { model: model(), version: number, created, artifacts: new_files }]
                },
                |deleted| vec![Event::VersionDeleted { model: model(), version: number, deleted }],
                |old, new| fields::version(s, &old, &new),
            );
            if gone {
                deleted.extend(events);
                return Ok(());
            }
            out.extend(events);
        }
        let refilled = touched.artifacts && !whole && old_files != new_files;
        if refilled {
            out.push(Event::ArtifactsChanged { model: model(), version: number, before: old_files, after: new_files });
        }
        // The file comes and goes with the artifacts. A change of the file alone was not made by greenroom.
        if let Some((before, after)) = touched.attributes.filter(|_| !whole && !refilled) {
            let folder = new.as_ref().or(old.as_ref()).map_or("", |v| v.path.as_str());
            out.push(Event::FileChanged { path: format!("{folder}/.gitattributes"), before, after });
        }
        if !touched.comments.is_empty() {
            self.comments(s, &touched.comments, old.as_ref(), new.as_ref(), out)?;
        }
        if !touched.requests.is_empty() {
            let entered = transitions.iter().find(|t| t.version == number).map(|t| &t.to);
            for id in &touched.requests {
                let old = old.as_ref().map_or(Ok(None), |v| v.request(id))?;
                let new = new.as_ref().map_or(Ok(None), |v| v.request(id))?;
                out.extend(sides(old, new).events(
                    |request| vec![Event::RequestCreated { model: model(), version: number, request }],
                    |request| vec![Event::RequestDeleted { model: model(), version: number, request }],
                    |before, after| fields::request(s, before, after, entered),
                ));
            }
        }
        Ok(())
    }

    fn comments(
        &self,
        s: EventVersion<'_>,
        touched: &BTreeSet<Id>,
        old: Option<&VersionView<'_>>,
        new: Option<&VersionView<'_>>,
        out: &mut Vec<Event>,
    ) -> Result<(), TreeError> {
        let (model, version) = (|| self.name.clone(), s.version);
        for id in touched {
            let old = old.map_or(Ok(None), |v| v.comment(id))?;
            let new = new.map_or(Ok(None), |v| v.comment(id))?;
            out.extend(sides(old, new).events(
                |comment| vec![Event::CommentCreated { model: model(), version, comment }],
                |comment| vec![Event::CommentDeleted { model: model(), version, comment }],
                |before, after| fields::comment(s, before, after),
            ));
        }
        Ok(())
    }

    /// Adds the transitions. Versions that were archived to make way for another one come last.
    fn emit_transitions(&self, all: &[Transition], deleted: &[Event], out: &mut Vec<Event>) -> Result<(), TreeError> {
        let gone: BTreeSet<u64> = deleted.iter().filter_map(Event::version).collect();
        let mut last = Vec::new();
        for t in all.iter().filter(|t| !gone.contains(&t.version)) {
            let entered = all.iter().find(|o| o.version != t.version && o.to == t.from && t.from != Stage::None);
            let cause = match entered {
                Some(other) if t.to == Stage::Archived => TransitionCause::MadeWay { for_version: other.version },
                Some(_) | None => self.approved_for(t, out),
            };
            let made_way = matches!(cause, TransitionCause::MadeWay { .. });
            let (from, to) = (t.from.clone(), t.to.clone());
            let event = Event::Transitioned { model: self.name.clone(), version: t.version, from, to, cause };
            if made_way { last.push(event) } else { out.push(event) }
        }
        out.extend(last);
        Ok(())
    }

    /// Returns the cause of a transition: a request that was approved in this step, or a direct move.
    fn approved_for(&self, t: &Transition, out: &[Event]) -> TransitionCause {
        let approved = out.iter().find_map(|e| match e {
            Event::RequestApproved { version, request, .. } if *version == t.version && request.to == t.to => {
                Some(request)
            }
            Event::RequestCreated { version, request, .. }
                if *version == t.version && request.to == t.to && request.state == RequestState::Approved =>
            {
                Some(request)
            }
            _ => None,
        });
        approved.map_or(TransitionCause::Direct, |request| TransitionCause::Request { id: request.id.clone() })
    }

    fn alias(&self, alias: &crate::name::AliasName) -> Result<Vec<Event>, TreeError> {
        let old = self.old.as_ref().map_or(Ok(None), |v| v.alias(alias))?;
        let new = self.new.as_ref().map_or(Ok(None), |v| v.alias(alias))?;
        let (model, alias) = (self.name.clone(), alias.clone());
        let set =
            |version, before| vec![Event::AliasSet { model: model.clone(), alias: alias.clone(), version, before }];
        Ok(sides(old, new).events(
            |new| set(new.version, None),
            |old| vec![Event::AliasDeleted { model: model.clone(), alias: alias.clone(), version: old.version }],
            |old, new| set(new.version, Some(old.version)),
        ))
    }
}
