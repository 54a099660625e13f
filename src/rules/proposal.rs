//! What a merge may attribute to the authors of its branch: the changes of their commits, and nothing else.
//!
//! The tree of a merge can hold anything: changes of the branch, changes of others from before the branch began, and
//! changes that only the merge commit makes. An event belongs to the branch if the branch made the same event since its
//! merge base. It belongs to a person if proven commits of that person made it. Every other event is the act of the
//! person who merges.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use crate::diff;
use crate::entity::{PermissionLevel, Request, Review};
use crate::event::Event;
use crate::name::{Id, Principal, UserName};
use crate::snapshot::{Finder, Snapshot};
use crate::stage::Stage;
use crate::tree::{self, CompareLimits, Oid, TreeError};

/// The branch that a merge brings in: its merge base, its tip, and each commit between them.
pub struct Proposal<'a> {
    /// The state at the only merge base of the branch and its target.
    pub base: Snapshot<'a>,
    /// The state at the tip of the branch.
    pub state: Snapshot<'a>,
    /// The commits of the branch, in any order.
    pub commits: Vec<BranchCommit>,
    changes: OnceCell<Changes>,
    finder: Finder,
}

/// A commit of a branch.
#[derive(Debug, Clone)]
pub struct BranchCommit {
    /// The person whom the author field names, if it is a person of the registry.
    pub author: Option<UserName>,
    /// Whether it is proven that this person made the commit.
    pub is_proven: bool,
    /// The root trees of the parents; several for a merge within the branch.
    pub parents: Vec<Oid>,
    /// The root tree of the commit.
    pub tree: Oid,
}

/// The changes of a branch as a whole, and by commit.
struct Changes {
    events: Vec<Event>,
    /// In the order of the commits.
    commits: Vec<CommitChanges>,
}

/// The changes of one commit.
#[derive(Default)]
struct CommitChanges {
    /// Empty for a merge within the branch, because it brings in what others did.
    events: Vec<Event>,
    /// The files that differ from every parent, by their paths in the registry.
    paths: BTreeSet<String>,
}

impl<'a> Proposal<'a> {
    /// Returns the proposal of the branch from `base` to `state`.
    pub fn new(base: Snapshot<'a>, state: Snapshot<'a>, commits: Vec<BranchCommit>) -> Self {
        let finder = Finder::beginning(base.at());
        Self { base, state, commits, changes: OnceCell::new(), finder }
    }

    /// Returns all people whom the commits name as author.
    pub fn authors(&self) -> BTreeSet<UserName> {
        self.commits.iter().filter_map(|c| c.author.clone()).collect()
    }

    /// Returns whether each commit is proven to be its author's. Commits of `actor`, the committer, need no proof.
    pub fn is_proven(&self, actor: &UserName) -> bool {
        !self.commits.is_empty() && self.commits.iter().all(|c| c.is_proven || c.author.as_ref() == Some(actor))
    }

    /// Returns whether the branch made this very event since its merge base.
    pub(super) fn brings(&self, event: &Event) -> Result<bool, TreeError> {
        Ok(self.changes()?.events.iter().any(|own| is_same(own, event)))
    }

    /// Returns whether an event that names a person is proven to be that person's.
    pub(super) fn is_by(&self, event: &Event, name: &UserName, actor: &UserName) -> Result<bool, TreeError> {
        if !self.brings(event)? {
            return Ok(false);
        }
        match event {
            Event::RequestReviewed { request, review, .. } => self.adds_review(&request.id, review),
            Event::RequestApproved { .. } | Event::RequestRejected { .. } | Event::RequestCancelled { .. } => {
                Ok(self.events_of(name)?.any(|own| is_same(own, event)))
            }
            Event::CommentCreated { .. } | Event::RequestCreated { .. } | Event::WebhookCreated { .. } => {
                self.is_touched(event, |c| c.is_proven && c.author.as_ref() == Some(name))
            }
            Event::ModelCreated { .. } | Event::VersionCreated { .. } => {
                let made = self.events_of(name)?.any(|own| created(own).is_some() && created(own) == created(event));
                let proven = |c: &BranchCommit| c.is_proven || c.author.as_ref() == Some(actor);
                Ok(made && self.is_touched(event, proven)?)
            }
            // No other event names a person.
            _ => Ok(false),
        }
    }

    /// Returns the models and versions that proven authors other than `actor` created on the branch.
    pub(super) fn created_by_others(&self, actor: &UserName) -> Result<Vec<Creation>, TreeError> {
        let mut out = Vec::new();
        for event in &self.changes()?.events {
            let Some((id, by, _)) = created(event).filter(|(_, by, _)| *by != actor) else { continue };
            if !self.is_by(event, by, actor)? {
                continue;
            }
            let own: Vec<&Event> = self.events_of(by)?.collect();
            let made = own.iter().filter(|event| created(event).is_some_and(|(other, ..)| other == id));
            let names: BTreeSet<_> = made.chain([&event]).filter_map(|event| event.model()).collect();
            let grant = Principal::User(by.clone());
            let level = |event: &Event| match event {
                Event::Granted { model: Some(m), to, level, .. } if names.contains(m) && *to == grant => Some(*level),
                _ => None,
            };
            let is_revoked = |event: &Event| match event {
                Event::Revoked { model: Some(m), to, .. } => names.contains(m) && *to == grant,
                _ => level(event).is_some_and(|level| level < PermissionLevel::CanManage),
            };
            let manages = |event: &Event| level(event) == Some(PermissionLevel::CanManage);
            // Commits have no order here: a creator who took the grant back has it if the tip has it.
            let stands = || self.changes().map(|changes| changes.events.iter().any(manages));
            let is_given_up = own.iter().any(|event| is_revoked(event));
            let is_granted = own.iter().any(|event| manages(event)) && (!is_given_up || stands()?);
            out.push(Creation { id: id.clone(), by: by.clone(), is_granted });
        }
        Ok(out)
    }

    /// Returns whether a proven commit of the reviewer added this review to a request that did not have it at the merge
    /// base.
    pub(super) fn adds_review(&self, request: &Id, review: &Review) -> Result<bool, TreeError> {
        let is_new = self.changes()?.events.iter().any(|own| reviewed(own).is_some_and(|r| holds(r, request, review)));
        let mut own = self.events_of(&review.by)?;
        Ok(is_new
            && own.any(|event| match event {
                Event::RequestReviewed { request: r, review: own, .. } => r.id == *request && own == review,
                other => reviewed(other).is_some_and(|r| r.id == *request && r.review.last() == Some(review)),
            }))
    }

    /// Returns whether a proven commit of a person other than `actor` moved the version to the stage.
    pub(super) fn is_asked(&self, version: &VersionMove<'_>, actor: &UserName) -> Result<bool, TreeError> {
        let VersionMove { model, number, to } = version;
        let moves = |event: &Event| {
            matches!(event, Event::Transitioned { model: m, version: v, to: stage, .. }
            if m == *model && v == number && stage == *to)
        };
        let changes = self.changes()?;
        Ok(self.commits.iter().zip(&changes.commits).any(|(commit, made)| {
            let others = commit.author.as_ref().is_some_and(|a| a != actor);
            commit.is_proven && others && made.events.iter().any(moves)
        }))
    }

    /// Returns the events of the proven commits of one person.
    fn events_of(&self, name: &UserName) -> Result<impl Iterator<Item = &Event>, TreeError> {
        let changes = self.changes()?;
        let own = self.commits.iter().zip(&changes.commits);
        let own = own.filter(move |(c, _)| c.is_proven && c.author.as_ref() == Some(name));
        let events: Vec<&Event> = own.flat_map(|(_, made)| &made.events).collect();
        Ok(events.into_iter())
    }

    /// Returns whether at least one commit touched the files of an event, and every commit that did passes the test.
    fn is_touched(&self, event: &Event, passes: impl Fn(&BranchCommit) -> bool) -> Result<bool, TreeError> {
        let Some((file, folder)) = files(&self.state, event)? else { return Ok(false) };
        let is_its = |path: &String| *path == file || folder.as_ref().is_some_and(|f| path.starts_with(f.as_str()));
        let changes = self.changes()?;
        let mut touched = self.commits.iter().zip(&changes.commits).filter(|(_, made)| made.paths.iter().any(is_its));
        let Some((first, _)) = touched.next() else { return Ok(false) };
        Ok(passes(first) && touched.all(|(commit, _)| passes(commit)))
    }

    fn changes(&self) -> Result<&Changes, TreeError> {
        if let Some(known) = self.changes.get() {
            return Ok(known);
        }
        let events = diff::diff(&self.base, &self.state, CompareLimits::default())?.events;
        // If the branch changed nothing, the changes of its commits are not needed.
        let commits = match events.is_empty() {
            true => self.commits.iter().map(|_| CommitChanges::default()).collect(),
            false => self.commits.iter().map(|c| self.changes_of(c)).collect::<Result<_, _>>()?,
        };
        Ok(self.changes.get_or_init(|| Changes { events, commits }))
    }

    fn changes_of(&self, commit: &BranchCommit) -> Result<CommitChanges, TreeError> {
        let objects = self.state.objects();
        let known = (self.state.id()?, &self.finder);
        let state = |root: Option<Oid>| Snapshot::follow(objects, root, self.state.at(), known);
        let after = state(Some(commit.tree))?;
        if let [] | [_] = commit.parents.as_slice() {
            let diff = diff::diff(&state(commit.parents.first().copied())?, &after, CompareLimits::default())?;
            return Ok(CommitChanges { events: diff.events, paths: diff.files.into_iter().map(|f| f.path).collect() });
        }
        let mut paths: Option<BTreeSet<String>> = None;
        for parent in &commit.parents {
            let parent = state(Some(*parent))?;
            let files = tree::changes((objects, parent.root()), (objects, after.root()), CompareLimits::default())?;
            let differing: BTreeSet<String> = files.into_iter().map(|f| f.path).collect();
            paths = Some(paths.map_or(differing.clone(), |known| &known & &differing));
        }
        Ok(CommitChanges { events: Vec::new(), paths: paths.unwrap_or_default() })
    }
}

/// A model or version that a person created on a branch.
pub(super) struct Creation {
    pub(super) id: Id,
    pub(super) by: UserName,
    /// Whether a commit of the creator grants the creator CAN_MANAGE on it, and the creator did not give it up.
    pub(super) is_granted: bool,
}

/// A version and the stage that it enters.
pub(super) struct VersionMove<'e> {
    pub(super) model: &'e crate::name::ModelName,
    pub(super) number: u64,
    pub(super) to: &'e Stage,
}

/// Returns whether two events are the same. For a review, other reviews of the request are ignored.
fn is_same(one: &Event, other: &Event) -> bool {
    match (one, other) {
        (
            Event::RequestReviewed { model: m, version: v, review: r, request: q },
            Event::RequestReviewed { model, version, review, request },
        ) => (m, v, r, &q.id) == (model, version, review, &request.id),
        _ => one == other,
    }
}

/// Returns the id, creator and time of the object that an event creates.
pub(super) fn created(event: &Event) -> Option<(&Id, &UserName, crate::time::Timestamp)> {
    match event {
        Event::ModelCreated { created, .. } => Some((&created.id, &created.created_by, created.created_at)),
        Event::VersionCreated { created, .. } => Some((&created.id, &created.created_by, created.created_at)),
        _ => None,
    }
}

/// Returns the request to which an event adds reviews.
fn reviewed(event: &Event) -> Option<&Request> {
    match event {
        Event::RequestReviewed { request, .. }
        | Event::RequestApproved { request, .. }
        | Event::RequestRejected { request, .. }
        | Event::RequestCancelled { request, .. } => Some(request),
        _ => None,
    }
}

fn holds(request: &Request, id: &Id, review: &Review) -> bool {
    request.id == *id && request.review.contains(review)
}

/// Returns the file that an event adds, and the folder that belongs to it.
fn files(state: &Snapshot<'_>, event: &Event) -> Result<Option<(String, Option<String>)>, TreeError> {
    let paths = state.paths()?;
    Ok(match event {
        Event::CommentCreated { model, version, comment } => {
            Some((format!("{}/comments/{}.toml", paths.version(model, *version), comment.id), None))
        }
        Event::RequestCreated { model, version, request } => {
            Some((format!("{}/requests/{}.toml", paths.version(model, *version), request.id), None))
        }
        Event::WebhookCreated { webhook } => Some((crate::format::path::webhook(&webhook.id), None)),
        Event::ModelCreated { model, .. } => Some((format!("{}/model.toml", paths.model(model)), None)),
        Event::VersionCreated { model, version, .. } => {
            let folder = paths.version(model, *version);
            Some((format!("{folder}/version.toml"), Some(format!("{folder}/artifacts/"))))
        }
        _ => None,
    })
}
