//! One step of the history, as the rules see it: two states, the events between them, the actor, the time, and the
//! settings that judge it.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use super::{Actor, FormerPeople, Proposal};
use crate::diff::Diff;
use crate::entity::{PermissionLevel, Review, Settings};
use crate::event::Event;
use crate::format::path::Location;
use crate::name::{Id, ModelName, UserName};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::tree::{FileChange, Oid, TreeError};

/// One step of the history, to be judged.
pub struct StepContext<'a> {
    /// The state before the step.
    pub before: &'a Snapshot<'a>,
    /// The state after the step.
    pub after: &'a Snapshot<'a>,
    /// The events and changed files between the two states.
    pub diff: &'a Diff,
    /// The person who acts.
    pub actor: &'a Actor,
    /// The time at which the step reaches the branch.
    pub at: Timestamp,
    /// The author time of the earliest commit that the step brings; `None` if times are not compared with it.
    pub since: Option<Timestamp>,
    /// The branch that a merge brings in; `None` without a merge, or if it is uncertain what the branch changed.
    pub proposal: Option<&'a Proposal<'a>>,
    /// Whether the step is history that is judged again: newer rules do not refuse old steps that did no harm.
    pub is_past: bool,
    /// The ids of the step that were used before, with the place of the use; `None` if the history was not searched:
    /// then the rule searches the state before.
    pub used: Option<UsedIds>,
    /// The ids, addresses and logins of the step that belonged to other people, as far as the history was searched.
    pub former: FormerPeople,
    /// The settings before the push, for a later step of a push. A push cannot weaken a rule and use that at once: the
    /// step must also satisfy these settings. `None` for the first step, and where no push is judged.
    pub onto: Option<&'a Settings>,
    moves: OnceCell<Moves>,
    levels: RefCell<BTreeMap<ModelName, Option<PermissionLevel>>>,
    touched: OnceCell<Vec<(Location, &'a FileChange)>>,
}

/// Ids that were used before, each with the place of its use.
pub type UsedIds = BTreeMap<Id, String>;

/// Returns the place of the use of an id that a commit added.
pub fn brought_by(commit: Oid) -> String {
    format!("commit {} added it", commit.short())
}

/// The models that the step creates, and the former names of the models that it renames.
#[derive(Default)]
struct Moves {
    created: BTreeSet<ModelName>,
    renamed: BTreeMap<ModelName, ModelName>,
}

impl<'a> StepContext<'a> {
    /// Returns a step from one state to another, without a proposal or knowledge of the history.
    pub fn new(
        before: &'a Snapshot<'a>,
        after: &'a Snapshot<'a>,
        diff: &'a Diff,
        actor: &'a Actor,
        at: Timestamp,
    ) -> Self {
        Self {
            before,
            after,
            diff,
            actor,
            at,
            since: None,
            used: None,
            former: FormerPeople::default(),
            proposal: None,
            is_past: false,
            onto: None,
            moves: OnceCell::new(),
            levels: RefCell::default(),
            touched: OnceCell::new(),
        }
    }

    fn moves(&self) -> &Moves {
        self.moves.get_or_init(|| {
            let mut out = Moves::default();
            for event in &self.diff.events {
                match event {
                    Event::ModelCreated { model, .. } => drop(out.created.replace(model.clone())),
                    Event::ModelRenamed { model, from } => drop(out.renamed.insert(model.clone(), from.clone())),
                    _ => {}
                }
            }
            out
        })
    }

    /// Returns the name of a model before the step, because permissions before the step count.
    pub(super) fn before_name(&self, model: &ModelName) -> ModelName {
        self.moves().renamed.get(model).unwrap_or(model).clone()
    }

    /// Returns whether the step registers a model.
    pub(super) fn created(&self, model: &ModelName) -> bool {
        self.moves().created.contains(model)
    }

    /// Returns the level of the actor on a model, by the permissions before the step.
    pub(super) fn level(&self, model: &ModelName) -> Result<Option<PermissionLevel>, TreeError> {
        if let Some(level) = self.levels.borrow().get(model) {
            return Ok(*level);
        }
        let level = self.before.level(&self.actor.user, model)?;
        self.levels.borrow_mut().insert(model.clone(), level);
        Ok(level)
    }

    /// Returns the changed files with the meaning of their paths after the step; of deleted files, before the step.
    pub(super) fn touched(&self) -> Result<&[(Location, &'a FileChange)], TreeError> {
        let (old, new) = (self.before.layout()?, self.after.layout()?);
        let place = |f: &FileChange| Location::parse(&f.path, if f.after.is_some() { new } else { old }).ok();
        let find = || self.diff.files.iter().filter_map(|f| Some((place(f)?, f))).collect();
        Ok(self.touched.get_or_init(find))
    }

    /// Returns whether an event that names a person was made by that person: the actor, or a proven author. In a merge,
    /// only changes of the branch can be another person's.
    pub(super) fn is_by(&self, event: &Event, name: &UserName) -> Result<bool, TreeError> {
        if *name == self.actor.user {
            return Ok(true);
        }
        match self.proposal {
            Some(proposal) => proposal.is_by(event, name, &self.actor.user),
            None => Ok(self.actor.proven_authors.contains(name)),
        }
    }

    /// Returns the same as [`Self::is_by`] for a new review of a request.
    pub(super) fn is_review_by(&self, request: &Id, review: &Review) -> Result<bool, TreeError> {
        if review.by == self.actor.user {
            return Ok(true);
        }
        match self.proposal {
            Some(proposal) => proposal.adds_review(request, review),
            None => Ok(self.actor.proven_authors.contains(&review.by)),
        }
    }

    /// Returns whether the step creates the registry: no person has permissions yet, and its content was not made step by
    /// step.
    pub(super) fn founds(&self) -> Result<bool, TreeError> {
        Ok(self.before.settings_file()?.is_none())
    }

    /// Returns the settings that the step must satisfy: those before the step, and those before the push if an earlier
    /// commit of the push changed them. Past steps are judged by the settings before them alone.
    pub(super) fn laws(&self) -> Result<Vec<&Settings>, TreeError> {
        let now = self.before.settings()?;
        let onto = self.onto.filter(|onto| !self.is_past && now.is_some_and(|now| now != *onto));
        Ok(now.into_iter().chain(onto).collect())
    }

    /// Returns whether settings are those before the push, which an earlier commit of the push changed.
    pub(super) fn is_earlier(&self, law: &Settings) -> Result<bool, TreeError> {
        Ok(self.before.settings()?.is_none_or(|now| now != law))
    }
}
