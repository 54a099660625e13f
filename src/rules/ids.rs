//! The rule of ids: each id is a UUID of version 7 and names one object, in the current registry and in its history.
//!
//! Programs find models by id and attach files and permissions to the id. A person who could use an id a second time
//! could take over these. So a used id is never new again, even if its object was deleted.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fault, Faults, RuleClass, StepContext, UsedIds};
use crate::diff::{self, Diff};
use crate::event::Event;
use crate::format::Problem;
use crate::format::path;
use crate::name::Id;
use crate::snapshot::Snapshot;
use crate::tree::{CompareLimits, TreeError};

/// The hint for an id that is not new.
const HELP: &str = "let greenroom make the ids; register a deleted object again under a new id. If the id was copied \
                    from an open branch, make the change of that branch again from main, and let an administrator of \
                    the registry delete the copy";

/// An id that a step brings into the registry, and its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewId {
    /// The id.
    pub id: Id,
    /// The path of the file, from the root of the repository.
    pub path: String,
}

/// Returns the ids that a step brings into the registry.
///
/// # Errors
/// If an object of the tree cannot be read.
pub fn new_ids(after: &Snapshot<'_>, diff: &Diff) -> Result<Vec<NewId>, TreeError> {
    let of = |event| {
        let id: Option<&Id> = Event::new_id(event);
        id.map(|id| Ok(NewId { id: id.clone(), path: file(after, event)? }))
    };
    diff.events.iter().filter_map(of).collect()
}

/// Returns the finding for an id that was used before, at `place`.
pub fn reused(new: &NewId, place: &str) -> Fault {
    let message = format!("the id {} was used before: {place}", new.id);
    Fault { problem: Problem::of_file(&new.path, "id", message).help(HELP), class: RuleClass::Link }
}

pub(super) fn new(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let new = new_ids(step.after, step.diff)?;
    if new.is_empty() {
        return Ok(());
    }
    for NewId { id, path } in new.iter().filter(|new| new.id.millis().is_none()) {
        faults.add(path, format!("the id {id} is not a UUID of version 7"), "let greenroom make the ids");
    }
    let found;
    let used = match &step.used {
        Some(used) => used,
        None => {
            found = in_state(step.before)?;
            &found
        }
    };
    for (new, place) in new.iter().filter_map(|new| Some((new, used.get(&new.id)?))) {
        faults.add(&new.path, reused(new, place).problem.message, HELP);
    }
    // The rule `name` compares the ids of one step with each other, because that rule also judges a state.
    Ok(())
}

/// Returns all ids of a state with their files.
fn in_state(state: &Snapshot<'_>) -> Result<UsedIds, TreeError> {
    let nothing = Snapshot::new(state.objects(), None, state.at())?;
    let all = new_ids(state, &diff::diff(&nothing, state, CompareLimits::default())?)?;
    Ok(all.into_iter().map(|new| (new.id, format!("it is in {}", new.path))).collect())
}

/// Returns the file that an event of an id is about, as a path from the root of the repository.
pub(super) fn file(after: &Snapshot<'_>, event: &Event) -> Result<String, TreeError> {
    let paths = after.paths()?;
    let of_version = |model, version: u64, rest: &str| format!("{}/{rest}", paths.version(model, version));
    Ok(after.full_path(&match event {
        Event::ModelCreated { model, .. } | Event::ModelAltered { model, .. } => {
            format!("{}/model.toml", paths.model(model))
        }
        Event::VersionCreated { model, version, .. } | Event::VersionAltered { model, version, .. } => {
            of_version(model, *version, "version.toml")
        }
        Event::CommentCreated { model, version, comment }
        | Event::CommentAltered { model, version, after: comment, .. } => {
            of_version(model, *version, &format!("comments/{}.toml", comment.id))
        }
        Event::RequestCreated { model, version, request }
        | Event::RequestAltered { model, version, after: request, .. } => {
            of_version(model, *version, &format!("requests/{}.toml", request.id))
        }
        Event::WebhookCreated { webhook } | Event::WebhookChanged { after: webhook, .. } => path::webhook(&webhook.id),
        _ => "greenroom.toml".to_owned(),
    }))
}

/// Returns the ids that a sequence of steps brings a second time: the step, the id, and the first step with the same
/// id.
pub fn repeated<'n>(steps: impl IntoIterator<Item = (usize, &'n NewId)>) -> Vec<(usize, &'n NewId, usize)> {
    let mut first: BTreeMap<&Id, usize> = BTreeMap::new();
    let mut told = BTreeSet::new();
    let mut out = Vec::new();
    for (number, new) in steps {
        match first.get(&new.id) {
            Some(known) if *known != number && told.insert((number, &new.path)) => out.push((number, new, *known)),
            Some(_) => {}
            None => drop(first.insert(&new.id, number)),
        }
    }
    out
}
