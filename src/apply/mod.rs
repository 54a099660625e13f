//! Applies an action to a snapshot: returns the files to change, or the reason why the action is impossible.
//!
//! This module checks no permissions. Whether the actor *may* make the change is for the rules, which see the two
//! states and never the action. This module refuses only what cannot be expressed: objects that do not exist, or exist
//! already.

mod access;
mod model;
mod registry;
mod relocation;
mod request;
mod stage;
mod version;
mod webhook;

use crate::action::Action;
use crate::entity::request::{Request, ReviewSubject};
use crate::format::{self, EntityFile};
use crate::name::{Id, ModelName, UserName};
use crate::snapshot::{File, ModelView, Snapshot, VersionView};
use crate::time::Timestamp;
use crate::tree::{Patch, TreeError};

pub use crate::apply::stage::target;
pub use registry::companions;
pub use relocation::goes_with_any;
pub use request::open_request;

/// The inputs of an action that are not in the state: the actor, the time, and the source of new ids.
pub struct Context<'a> {
    /// The person who acts.
    pub actor: UserName,
    /// The time of the action.
    pub now: Timestamp,
    /// Returns ten random bytes for a new id.
    pub random: &'a mut dyn FnMut() -> [u8; 10],
    /// Returns the digest that a review of a version records.
    pub subject: &'a ReviewSubjectOf<'a>,
    /// Whether rules that no approval satisfies let a version enter a stage now.
    pub may_enter: &'a MayEnter<'a>,
    /// Whether a request has all approvals that it needs.
    pub is_approved: &'a IsApproved<'a>,
}

/// Returns whether a request of a version has all approvals that it needs. `rules::approvals::is_complete` implements it.
pub type IsApproved<'a> =
    dyn Fn(&Snapshot<'_>, &ModelView<'_>, (&ModelName, u64), &Request) -> Result<bool, TreeError> + 'a;

/// Returns whether a version may enter a stage at a time, approvals aside. `rules::obstacles::may_enter` implements it.
pub type MayEnter<'a> =
    dyn Fn(&Snapshot<'_>, &ModelView<'_>, u64, &crate::stage::Stage, Timestamp) -> Result<bool, TreeError> + 'a;

/// Returns the subject of a review of a version for a stage. `rules::subject::subject` implements it.
pub type ReviewSubjectOf<'a> =
    dyn Fn(&Snapshot<'_>, &ModelView<'_>, u64, &crate::stage::Stage) -> Result<ReviewSubject, TreeError> + 'a;

impl Context<'_> {
    fn id(&mut self) -> Id {
        Id::from_parts(self.now.as_millis(), (self.random)())
    }
}

/// The kind of an object that does not exist or exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntityKind {
    /// A registry.
    Registry,
    /// A registered model.
    Model,
    /// A model version.
    Version,
    /// An alias.
    Alias,
    /// A transition request.
    Request,
    /// A comment.
    Comment,
    /// A grant.
    Grant,
    /// A group.
    Group,
    /// A person.
    Person,
    /// A webhook.
    Webhook,
}

/// Why an action cannot be applied. The message is MLflow's where MLflow has one.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The object that the action names does not exist.
    #[error("{message}")]
    NotFound {
        /// The kind of the object.
        noun: EntityKind,
        /// The name or id of the object as the caller gave it; empty if the caller gave none.
        name: String,
        /// The sentence for the caller.
        message: String,
    },
    /// The object that the action creates exists already.
    #[error("{message}")]
    Exists {
        /// The kind of the object.
        noun: EntityKind,
        /// The sentence for the caller.
        message: String,
    },
    /// The state that the caller edited is outdated.
    #[error("{what} changed meanwhile; review the change, then try again")]
    Outdated {
        /// The path of the file that changed.
        what: String,
    },
    /// The arguments of the action make no sense.
    #[error("{message}")]
    Invalid {
        /// The sentence for the caller.
        message: String,
    },
    /// A file to change has faults that leave nothing to change.
    #[error("{problem}; repair the file first (`greenroom check` lists every fault)")]
    Faulty {
        /// The first fault of the file.
        problem: format::Problem,
    },
    /// An object of the tree cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl Refusal {
    fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into() }
    }

    fn not_found(noun: EntityKind, name: impl ToString, message: impl Into<String>) -> Self {
        Self::NotFound { noun, name: name.to_string(), message: message.into() }
    }

    fn exists(noun: EntityKind, message: impl Into<String>) -> Self {
        Self::Exists { noun, message: message.into() }
    }

    /// Returns MLflow's error for a model that does not exist.
    pub fn no_model(name: &ModelName) -> Self {
        Self::not_found(EntityKind::Model, name, format!("Registered Model with name={name} not found"))
    }

    /// Returns MLflow's error for a version that does not exist.
    pub fn no_version(name: &ModelName, version: u64) -> Self {
        Self::not_found(
            EntityKind::Version,
            version,
            format!("Model Version (name={name}, version={version}) not found"),
        )
    }

    /// Returns the error for a person who is not in the registry.
    pub fn no_person(user: &UserName) -> Self {
        Self::not_found(EntityKind::Person, user, format!("there is no person '{user}'"))
    }

    /// Returns MLflow's error for an alias that does not exist.
    pub fn no_alias(alias: &str) -> Self {
        Self::not_found(EntityKind::Alias, alias, format!("Registered model alias {alias} not found."))
    }
}

/// Returns the files to change for an action; an empty patch if the state is already as requested.
///
/// # Errors
/// A [`Refusal`], if the action cannot be expressed as a change of files.
pub fn apply(snapshot: &Snapshot<'_>, action: &Action, cx: &mut Context<'_>) -> Result<Patch, Refusal> {
    let mut draft = ChangeDraft { snapshot, patch: Patch::default() };
    let d = &mut draft;
    match action {
        Action::CreateRegistry { settings, maker } => registry::create(d, cx, settings, maker),
        Action::ChangeSettings { settings, seen } => registry::change(d, settings, seen.as_deref()),
        Action::Reshard { layout } => registry::reshard(d, *layout),
        Action::MoveRegistry { to } => relocation::relocate(d, to),
        Action::CreateModel { model, description, tags } => model::create(d, cx, model, description, tags),
        Action::DescribeModel { model, description } => d.edit_model(model, |m| m.description = description.clone()),
        Action::RenameModel { model, to } => model::rename(d, model, to),
        Action::DeleteModel { model } => model::delete(d, model),
        Action::SetModelTag { model, key, value } => {
            d.edit_model(model, |m| drop(m.tags.insert(key.clone(), value.clone())))
        }
        Action::DeleteModelTag { model, key } => d.edit_model(model, |m| drop(m.tags.remove(key))),
        Action::CreateVersion { model, new } => version::create(d, cx, model, new),
        Action::DescribeVersion { model, version, description } => {
            d.edit_version(model, *version, |v| v.description = description.clone())
        }
        Action::SetStatus { model, version, status, message } => d.edit_version(model, *version, |v| {
            v.status = *status;
            v.status_message = message.clone();
        }),
        Action::CompleteVersion { model, version, arrived } => version::complete(d, model, *version, arrived),
        Action::AddEvidence { model, version, params, metrics } => {
            version::add_evidence(d, model, *version, params, metrics)
        }
        Action::DeleteVersion { model, version } => version::delete(d, model, *version),
        Action::SetVersionTag { model, version, key, value } => {
            d.edit_version(model, *version, |v| drop(v.tags.insert(key.clone(), value.clone())))
        }
        Action::DeleteVersionTag { model, version, key } => {
            d.edit_version(model, *version, |v| drop(v.tags.remove(key)))
        }
        Action::SetAlias { model, alias, version } => version::set_alias(d, model, alias, *version),
        Action::DeleteAlias { model, alias } => version::delete_alias(d, model, alias),
        Action::Transition { model, version, to, archive_existing } => {
            stage::transition(d, cx, model, *version, to, *archive_existing)
        }
        Action::CreateRequest { model, version, to, archive_existing, comment } => {
            request::create(d, cx, model, *version, to, *archive_existing, comment)
        }
        Action::ApproveRequest { model, version, which, archive_existing, comment, hindered } => {
            let archive = *archive_existing;
            request::approve(d, cx, (model, *version, which), (archive, *hindered), comment)
        }
        Action::RejectRequest { model, version, which, comment } => {
            request::reject(d, cx, model, *version, which, comment)
        }
        Action::CancelRequest { model, version, which, comment } => {
            request::cancel(d, cx, model, *version, which, comment)
        }
        Action::AddComment { model, version, text } => request::add_comment(d, cx, model, *version, text),
        Action::EditComment { model, version, id, text } => request::edit_comment(d, cx, model, *version, id, text),
        Action::DeleteComment { model, version, id } => request::delete_comment(d, model, *version, id),
        Action::Grant { model, to, level } => access::grant(d, model.as_ref(), to, *level),
        Action::Revoke { model, to } => access::revoke(d, model.as_ref(), to),
        Action::SetGrants { model, grants } => access::set_grants(d, model.as_ref(), grants),
        Action::ChangeGroup { group, add, remove } => access::change_group(d, group, add, remove),
        Action::DeleteGroup { group } => access::delete_group(d, group),
        Action::AddPerson { user, person } => access::add_person(d, user, person),
        Action::ChangePerson { user, person, seen } => access::change_person(d, user, person, seen.as_deref()),
        Action::RemovePerson { user } => access::remove_person(d, user),
        Action::CreateWebhook { new } => webhook::create(d, cx, new),
        Action::ChangeWebhook { id, new, seen } => webhook::change(d, cx, id, new, seen.as_deref()),
        Action::DeleteWebhook { id } => webhook::delete(d, id),
    }?;
    Ok(draft.patch)
}

/// The state, and the changes collected so far.
struct ChangeDraft<'s, 'o> {
    snapshot: &'s Snapshot<'o>,
    patch: Patch,
}

impl<'o> ChangeDraft<'_, 'o> {
    fn model(&self, name: &ModelName) -> Result<ModelView<'o>, Refusal> {
        self.snapshot.model(name)?.ok_or_else(|| Refusal::no_model(name))
    }

    fn version(&self, name: &ModelName, number: u64) -> Result<(ModelView<'o>, VersionView<'o>), Refusal> {
        let model = self.model(name)?;
        let version = model.version(number)?.ok_or_else(|| Refusal::no_version(name, number))?;
        Ok((model, version))
    }

    /// Adds a new file. The path is relative to the root of the registry.
    fn put<T: EntityFile>(&mut self, path: &str, value: &T) {
        self.patch.write(self.snapshot.full_path(path), format::print(value));
    }

    /// Edits a file in place. Unchanged parts keep their text and comments.
    fn edit<T: EntityFile>(&mut self, file: &File<T>, change: impl FnOnce(&mut T)) -> Result<(), Refusal> {
        let before = usable(file)?;
        let mut after = before.clone();
        change(&mut after);
        if after != before {
            let bytes = self.snapshot.objects().blob(&file.id, format::MAX_FILE)?;
            let text = String::from_utf8_lossy(&bytes);
            self.patch.write(file.path.clone(), format::edit::edit(&text, &before, &after));
        }
        Ok(())
    }

    fn edit_model(&mut self, name: &ModelName, change: impl FnOnce(&mut crate::entity::Model)) -> Result<(), Refusal> {
        let file = self.model(name)?.file()?.ok_or_else(|| Refusal::no_model(name))?;
        self.edit(&file, change)
    }

    fn edit_version(
        &mut self,
        name: &ModelName,
        number: u64,
        change: impl FnOnce(&mut crate::entity::Version),
    ) -> Result<(), Refusal> {
        let (_, view) = self.version(name, number)?;
        let file = view.file()?.ok_or_else(|| Refusal::no_version(name, number))?;
        self.edit(&file, change)
    }

    fn edit_request(&mut self, file: &File<Request>, change: impl FnOnce(&mut Request)) -> Result<(), Refusal> {
        self.edit(file, change)
    }
}

/// Refuses an edit that is based on an outdated state.
fn current<T: PartialEq>(seen: Option<&T>, now: Option<&T>, what: impl Into<String>) -> Result<(), Refusal> {
    match seen {
        Some(_) if seen != now => Err(Refusal::Outdated { what: what.into() }),
        Some(_) | None => Ok(()),
    }
}

/// Returns the content of a file, or its first fault as a refusal.
fn usable<T: EntityFile>(file: &File<T>) -> Result<T, Refusal> {
    file.value.clone().ok_or_else(|| Refusal::Faulty {
        problem: file
            .problems
            .first()
            .cloned()
            .unwrap_or_else(|| format::Problem::of_file(file.path.clone(), "file", "the file cannot be read")),
    })
}
