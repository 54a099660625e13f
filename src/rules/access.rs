//! Rules of permission: the permission table of the Databricks workspace registry, event by event.

use super::approvals::{StageSide, others_of, who};
use super::place::path_of;
use super::stage::StageEntry;
use super::webhook::borrows;
use super::{Faults, StepContext};
use crate::entity::settings::StageRule;
use crate::entity::version::VersionStatus;
use crate::entity::webhook::OWN_SECRET;
use crate::entity::{Access, PermissionLevel, Request, RequestState, Webhook};
use crate::event::{Event, TransitionCause};
use crate::name::{Key, ModelName, Principal, UserName};
use crate::stage::Stage;
use crate::tree::TreeError;

/// What an event requires of the actor.
enum RequiredLevel {
    /// The actor must only be known to the registry.
    Anyone,
    /// This level on this model.
    On(ModelName, PermissionLevel),
    /// This level on the whole registry.
    Registry(PermissionLevel),
    /// To be this person, or this level on this model.
    SelfOr(UserName, ModelName, PermissionLevel),
    /// To be this person, or CAN_MANAGE on the registry.
    SelfOrManager(UserName),
    /// To have registered this model in the same step, or this level on it.
    Maker(ModelName, PermissionLevel),
    /// CAN_MANAGE on the registry, or a webhook with new secrets only.
    OwnSecrets,
    /// This level on this model, because an open request asks for this evidence.
    Evidence(ModelName, PermissionLevel),
    /// This level on the model of the request, because the actor is no approver that a stage rule names.
    Decision { model: ModelName, from: Stage, request: Box<Request>, level: PermissionLevel },
    /// Decided by the stage rules or alias rules.
    Elsewhere,
}

pub(super) fn permission(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    // The step that creates the registry needs no permission: there are no grants before it.
    if step.founds()? {
        return Ok(());
    }
    for event in &step.diff.events {
        let (needs, path) = (needs(step, event)?, path_of(step, event)?);
        let user = &step.actor.user;
        let what = crate::phrase::act(event);
        match needs {
            RequiredLevel::Anyone | RequiredLevel::Elsewhere => {}
            RequiredLevel::On(model, level) => lacks(step, &model, level, &what, path, faults)?,
            RequiredLevel::Registry(level) => {
                let has = step.before.registry_level(user)?;
                if has < Some(level) {
                    let who = landers(step, None, level)?;
                    let message = format!("{user} may not {what}: it needs {level} on the registry; {}", holds(has));
                    faults.add(path, message, who);
                }
            }
            RequiredLevel::SelfOr(one, model, level) if one != *user => {
                lacks(step, &model, level, &what, path, faults)?;
            }
            RequiredLevel::SelfOrManager(one) if one != *user => {
                if step.before.registry_level(user)? < Some(PermissionLevel::CanManage) {
                    let who = landers(step, None, PermissionLevel::CanManage)?;
                    let message = format!("{user} may not {what}: it needs {one}, or CAN_MANAGE on the registry");
                    faults.add(path, message, who);
                }
            }
            RequiredLevel::SelfOr(..) | RequiredLevel::SelfOrManager(_) => {}
            RequiredLevel::OwnSecrets if step.before.registry_level(user)? < Some(PermissionLevel::CanManage) => {
                let message = format!(
                    "{user} may not {what}: it would be sent a secret that was set for another target, and that needs \
                     CAN_MANAGE on the registry"
                );
                let who = landers(step, None, PermissionLevel::CanManage)?;
                let own = format!("name a secret that no webhook ever named and that begins with `{OWN_SECRET}`");
                let help = format!(
                    "{own} (`greenroom webhook create … --secret {OWN_SECRET}NAME`), and have its value set where \
                     webhooks are sent (`greenroom secret set {OWN_SECRET}NAME`); or {who}"
                );
                faults.add(path, message, help);
            }
            RequiredLevel::OwnSecrets => {}
            RequiredLevel::Evidence(model, level) => {
                if step.level(&model)? < Some(level) {
                    let message = format!(
                        "{user} may not {what}: a request that is open counts it as evidence, so it needs {level} on \
                         '{model}'"
                    );
                    let who = landers(step, Some(&model), level)?;
                    let help = format!("cancel the request, add the evidence and make a new request; or {who}");
                    faults.add(path, message, help);
                }
            }
            RequiredLevel::Decision { model, from, request, level } => {
                let who = || approvers_of(step, &model, &from, &request);
                lacks_or(step, &model, level, (&what, path), who, faults)?;
            }
            RequiredLevel::Maker(model, level) => {
                if !step.created(&model) {
                    lacks(step, &model, level, &what, path, faults)?;
                }
            }
        }
    }
    super::alias::permission(step, faults)
}

/// Returns advice: the people whose approval of a request counts.
fn approvers_of(
    step: &StepContext<'_>,
    model: &ModelName,
    from: &Stage,
    request: &Request,
) -> Result<String, TreeError> {
    let settings = step.before.settings()?;
    let leaves =
        settings.is_some_and(|s| s.approvals_to_leave(from) > s.rule(&request.to).map_or(0, StageRule::needed));
    let end = if leaves { StageSide::Out } else { StageSide::In };
    let besides = std::slice::from_ref(&request.created_by);
    let is_none = others_of(step, model, (from, &request.to), end, besides)?.is_empty();
    let who = who(step, model, (from, &request.to), end, besides)?;
    Ok(if is_none { who } else { format!("ask {who}") })
}

fn holds(level: Option<PermissionLevel>) -> String {
    level.map_or_else(|| "there is no grant".to_owned(), |l| format!("there is only {l}"))
}

fn lacks(
    step: &StepContext<'_>,
    model: &ModelName,
    level: PermissionLevel,
    what: &str,
    path: String,
    faults: &mut Faults,
) -> Result<(), TreeError> {
    lacks_or(step, model, level, (what, path), || landers(step, Some(model), level), faults)
}

/// Refuses an actor without a level on a model, with advice.
fn lacks_or(
    step: &StepContext<'_>,
    model: &ModelName,
    level: PermissionLevel,
    (what, path): (&str, String),
    advice: impl FnOnce() -> Result<String, TreeError>,
    faults: &mut Faults,
) -> Result<(), TreeError> {
    let user = &step.actor.user;
    let has = step.level(model)?;
    if has < Some(level) {
        faults.add(path, format!("{user} may not {what}: it needs {level} on '{model}'; {}", holds(has)), advice()?);
    }
    Ok(())
}

/// Returns the principals that have a level, except people who cannot help.
fn holders(
    step: &StepContext<'_>,
    model: Option<&ModelName>,
    level: PermissionLevel,
    besides: &[UserName],
) -> Result<Vec<Principal>, TreeError> {
    let before = step.before;
    let mut all: Vec<Principal> = Vec::new();
    let mut take =
        |access: &Access| all.extend(access.grants.iter().filter(|g| g.level >= level).map(|g| g.to.clone()));
    take(before.access()?);
    if let Some(view) = model.map_or(Ok(None), |m| before.model(m))? {
        take(&view.access()?.and_then(|f| f.value).unwrap_or_default());
    }
    all.sort();
    all.dedup();
    others(step, &mut all, besides);
    Ok(all)
}

/// Returns advice: the other principals that may make the change.
pub(super) fn managers(
    step: &StepContext<'_>,
    model: Option<&ModelName>,
    level: PermissionLevel,
    besides: &[UserName],
) -> Result<String, TreeError> {
    let all = holders(step, model, level, besides)?;
    let names: Vec<String> = all.iter().take(8).map(Principal::to_string).collect();
    match names.as_slice() {
        [] => Ok("no other person has this level; an administrator of the registry can grant it".to_owned()),
        _ => Ok(format!("ask {}", names.join(", "))),
    }
}

/// Returns advice: other principals that have the level, or else an author of the merged branch who has it.
pub(super) fn landers(
    step: &StepContext<'_>,
    model: Option<&ModelName>,
    level: PermissionLevel,
) -> Result<String, TreeError> {
    if step.actor.authors.is_empty() || !holders(step, model, level, &[])?.is_empty() {
        return managers(step, model, level, &[]);
    }
    for author in &step.actor.authors {
        let has = match model {
            Some(model) => step.before.level(author, model)?,
            None => step.before.registry_level(author)?,
        };
        if has >= Some(level) {
            return Ok(format!("let {author}, who made the branch and has this level, merge it"));
        }
    }
    managers(step, model, level, &[])
}

/// Removes principals that cannot help: the actor, the authors of the merged branch, and the people of `besides`.
pub(super) fn others(step: &StepContext<'_>, all: &mut Vec<Principal>, besides: &[UserName]) {
    all.retain(|p| match p {
        Principal::User(u) => *u != step.actor.user && !step.actor.authors.contains(u) && !besides.contains(u),
        Principal::Group(_) => true,
    });
}

/// Returns the level that a transition requires: the higher one of the levels of both stages.
fn level_between(step: &StepContext<'_>, from: &Stage, to: &Stage) -> Result<PermissionLevel, TreeError> {
    let laws = step.laws()?;
    let levels = laws.iter().map(|law| law.level_for(from).max(law.level_for(to)));
    Ok(levels.max().unwrap_or(PermissionLevel::CanManage))
}

/// Returns what an event requires: the permission table. Every event is listed, so a new event does not compile until
/// its permission is decided.
fn needs(step: &StepContext<'_>, event: &Event) -> Result<RequiredLevel, TreeError> {
    use PermissionLevel::{CanEdit, CanManage, CanRead};
    let now = |model: &ModelName| step.before_name(model);
    Ok(match event {
        Event::RegistryCreated { .. }
        | Event::SettingsChanged { .. }
        | Event::RegistryMoved { .. }
        | Event::RegistryDeleted { .. }
        | Event::GroupCreated { .. }
        | Event::GroupChanged { .. }
        | Event::GroupDeleted { .. }
        | Event::PersonAdded { .. }
        | Event::PersonRemoved { .. }
        | Event::FileChanged { .. }
        | Event::FileUnreadable { .. }
        | Event::FileRepaired { .. } => RequiredLevel::Registry(CanManage),
        Event::Granted { model, to, level, .. } => match model {
            Some(model) if creators_grant(step, model, to, *level)? => RequiredLevel::Anyone,
            Some(model) => RequiredLevel::On(now(model), CanManage),
            None => RequiredLevel::Registry(CanManage),
        },
        Event::Revoked { model, .. } => match model {
            Some(model) => RequiredLevel::On(now(model), CanManage),
            None => RequiredLevel::Registry(CanManage),
        },
        // Nobody may change the proofs of their own identity: with another e-mail address they could become another
        // person.
        Event::PersonChanged { user, before, after } => {
            let same = (&before.emails, &before.logins, &before.keys) == (&after.emails, &after.logins, &after.keys);
            if same { RequiredLevel::SelfOrManager(user.clone()) } else { RequiredLevel::Registry(CanManage) }
        }
        Event::WebhookDeleted { webhook } => webhook_needs(step, webhook),
        Event::WebhookCreated { webhook } if borrows(step, None, webhook)? => RequiredLevel::OwnSecrets,
        Event::WebhookCreated { webhook } => webhook_needs(step, webhook),
        Event::WebhookChanged { before, after } if borrows(step, Some(before), after)? => RequiredLevel::OwnSecrets,
        Event::WebhookChanged { before, after } => match (&before.model, &after.model) {
            (Some(old), Some(new)) if now(new) == *old || old == new => RequiredLevel::On(old.clone(), CanManage),
            (Some(_) | None, Some(_) | None) => RequiredLevel::Registry(CanManage),
        },
        Event::ModelCreated { .. } => RequiredLevel::Anyone,
        Event::ModelDescribed { model, .. }
        | Event::ModelTagSet { model, .. }
        | Event::ModelTagDeleted { model, .. } => RequiredLevel::On(now(model), CanEdit),
        Event::ModelRenamed { model, .. } => RequiredLevel::On(now(model), CanManage),
        Event::ModelAltered { model, .. } => altered(step, model, now(model)),
        Event::ModelDeleted { model, .. } => RequiredLevel::On(model.clone(), CanManage),
        Event::VersionCreated { model, .. } => RequiredLevel::Maker(now(model), CanEdit),
        Event::VersionDescribed { model, .. }
        | Event::VersionTagSet { model, .. }
        | Event::VersionTagDeleted { model, .. }
        | Event::ParamAdded { model, .. }
        | Event::VersionAltered { model, .. }
        | Event::ArtifactsChanged { model, .. } => RequiredLevel::On(now(model), CanEdit),
        Event::MetricAdded { model, version, key, .. } => match asked_for(step, model, *version, key)? {
            Some(level) => RequiredLevel::Evidence(now(model), level.max(CanEdit)),
            None => RequiredLevel::On(now(model), CanEdit),
        },
        // Taking a version out of use requires the same level as moving it.
        Event::StatusChanged { model, version, status, before: VersionStatus::Ready, .. }
            if *status != VersionStatus::Ready && !step.is_past =>
        {
            let stage = stage_before(step, model, *version)?;
            let level = if stage.is_active() { level_between(step, &stage, &stage)? } else { CanEdit };
            RequiredLevel::On(now(model), level.max(CanEdit))
        }
        Event::StatusChanged { model, .. } => RequiredLevel::On(now(model), CanEdit),
        Event::Transitioned { model, version, from, to, cause } => match cause {
            // An approval that completes a quorum needs no further level; the stage rules check it.
            TransitionCause::Request { .. } if has_approvers(step, from, to)? => RequiredLevel::Elsewhere,
            TransitionCause::MadeWay { for_version }
                if archives_unasked(step, &StageEntry { model, version: *version, from, to, cause }, *for_version)? =>
            {
                RequiredLevel::On(now(model), level_between(step, from, to)?)
            }
            // Archiving the previous version is part of the transition that replaces it.
            TransitionCause::MadeWay { .. } => RequiredLevel::Elsewhere,
            TransitionCause::Direct | TransitionCause::Request { .. } => {
                RequiredLevel::Maker(now(model), level_between(step, from, to)?).unless_maker_of_active(to)
            }
        },
        Event::VersionDeleted { model, .. } => RequiredLevel::On(now(model), CanManage),
        Event::CommentCreated { model, .. } => RequiredLevel::Maker(now(model), CanRead),
        Event::CommentEdited { before, .. } | Event::CommentAltered { before, .. } => {
            RequiredLevel::SelfOrManager(before.created_by.clone())
        }
        Event::CommentDeleted { model, comment, .. } => {
            RequiredLevel::SelfOr(comment.created_by.clone(), now(model), CanManage)
        }
        Event::RequestCreated { model, .. } => RequiredLevel::Maker(now(model), CanRead),
        Event::RequestReviewed { model, version, request, .. }
        | Event::RequestApproved { model, version, request }
        | Event::RequestRejected { model, version, request } => {
            let from = stage_before(step, model, *version)?;
            if approves(step, &from, &request.to)? {
                return Ok(RequiredLevel::Anyone);
            }
            let level = level_between(step, &from, &request.to)?;
            RequiredLevel::Decision { model: now(model), from, request: Box::new(request.clone()), level }
        }
        Event::RequestCancelled { overtaken: true, .. } => RequiredLevel::Elsewhere,
        Event::RequestCancelled { model, request, .. } => {
            RequiredLevel::SelfOr(request.created_by.clone(), now(model), CanManage)
        }
        Event::RequestAltered { model, .. } | Event::RequestDeleted { model, .. } => {
            RequiredLevel::On(now(model), CanManage)
        }
        // The rule of the alias decides who may set or delete it.
        Event::AliasSet { alias, .. } | Event::AliasDeleted { alias, .. }
            if super::alias::rule(step, alias)?.is_some() =>
        {
            RequiredLevel::Elsewhere
        }
        Event::AliasSet { model, .. } | Event::AliasDeleted { model, .. } => RequiredLevel::Maker(now(model), CanEdit),
    })
}

impl RequiredLevel {
    /// A person who registers a model in the same step may put its versions into Archived or None, but not into an
    /// active stage.
    fn unless_maker_of_active(self, to: &Stage) -> Self {
        match self {
            Self::Maker(model, level) if to.is_active() => Self::On(model, level),
            other => other,
        }
    }
}

fn webhook_needs(step: &StepContext<'_>, webhook: &Webhook) -> RequiredLevel {
    match &webhook.model {
        Some(model) => RequiredLevel::On(step.before_name(model), PermissionLevel::CanManage),
        None => RequiredLevel::Registry(PermissionLevel::CanManage),
    }
}

/// Returns the level that adding a metric requires if an open request counts the metric as evidence. Without this,
/// every editor could add evidence that a request lacked when it was made. An approver of the request may add the
/// metric too.
fn asked_for(
    step: &StepContext<'_>,
    model: &ModelName,
    version: u64,
    key: &Key,
) -> Result<Option<PermissionLevel>, TreeError> {
    let Some(settings) = step.before.settings()?.filter(|_| !step.is_past) else { return Ok(None) };
    if !settings.stages.values().any(|rule| rule.require.metrics.contains_key(key)) {
        return Ok(None);
    }
    let Some(view) = step.before.model(&step.before_name(model))? else { return Ok(None) };
    let Some(requests) = view.version(version)?.map(|v| v.requests()).transpose()? else { return Ok(None) };
    let from = view.stage_of(version)?;
    let mut out = None;
    for request in requests.into_values().filter_map(|f| f.value).filter(|r| r.state == RequestState::Pending) {
        let counts = settings.rule(&request.to).is_some_and(|rule| rule.require.metrics.contains_key(key));
        if counts && !approves(step, &from, &request.to)? {
            out = out.max(Some(level_between(step, &from, &request.to)?));
        }
    }
    Ok(out)
}

/// Returns what an altered model requires. A change of `retired` belongs to the deletion in the same step; the rule
/// `immutable` refuses other alterations.
fn altered(step: &StepContext<'_>, model: &ModelName, now: ModelName) -> RequiredLevel {
    let is_deletion = |e: &Event| matches!(e, Event::VersionDeleted { model: m, .. } if m == model);
    if step.diff.events.iter().any(is_deletion) {
        RequiredLevel::Elsewhere
    } else {
        RequiredLevel::On(now, PermissionLevel::CanManage)
    }
}

/// Returns whether a grant is the CAN_MANAGE that the creator of a model gets with it. The creator is the actor, or the
/// proven author of the branch that the actor merges.
fn creators_grant(
    step: &StepContext<'_>,
    model: &ModelName,
    to: &Principal,
    level: PermissionLevel,
) -> Result<bool, TreeError> {
    let Principal::User(to) = to else { return Ok(false) };
    let creation =
        step.diff.events.iter().find(|event| matches!(event, Event::ModelCreated { model: m, .. } if m == model));
    match creation {
        Some(event) if level == PermissionLevel::CanManage => {
            Ok(event.claimed_by() == Some(to) && step.is_by(event, to)?)
        }
        Some(_) | None => Ok(false),
    }
}

/// Returns the approvers that the rules of a transition name: for the stage that the version enters, and for the stage
/// that it leaves if leaving requires approvals.
fn approvers<'s>(
    step: &'s StepContext<'_>,
    from: &Stage,
    to: &Stage,
) -> Result<impl Iterator<Item = &'s Vec<Principal>>, TreeError> {
    let settings = step.before.settings()?;
    let enters = settings.and_then(|s| s.rule(to));
    let leaves = settings.and_then(|s| s.rule(from)).filter(|rule| rule.approvals_to_leave > 0);
    Ok(enters.into_iter().chain(leaves).filter_map(|rule| rule.approvers.as_ref()))
}

/// Returns whether the rules of a transition name the actor as an approver.
fn approves(step: &StepContext<'_>, from: &Stage, to: &Stage) -> Result<bool, TreeError> {
    for principal in approvers(step, from, to)?.flatten() {
        if step.before.is_member(&step.actor.user, principal)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns whether the rules of a transition name approvers.
fn has_approvers(step: &StepContext<'_>, from: &Stage, to: &Stage) -> Result<bool, TreeError> {
    Ok(approvers(step, from, to)?.next().is_some())
}

/// Returns whether a version makes way although nobody asked for that. Who completes the request would archive it alone.
fn archives_unasked(step: &StepContext<'_>, entry: &StageEntry<'_>, entered: u64) -> Result<bool, TreeError> {
    match step.before.settings()? {
        Some(settings) => super::making_way::is_unasked(step, settings, entry, entered),
        None => Ok(false),
    }
}

fn stage_before(step: &StepContext<'_>, model: &ModelName, version: u64) -> Result<Stage, TreeError> {
    match step.before.model(&step.before_name(model))? {
        Some(view) => view.stage_of(version),
        None => Ok(Stage::None),
    }
}

pub(super) fn manager_left(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let touched = step.diff.events.iter().any(|e| {
        matches!(
            e,
            Event::Granted { model: None, .. }
                | Event::Revoked { model: None, .. }
                | Event::RegistryCreated { .. }
                | Event::GroupChanged { .. }
                | Event::GroupDeleted { .. }
                | Event::PersonRemoved { .. }
        )
    });
    if !touched || step.after.settings_file()?.is_none() {
        return Ok(());
    }
    let access = step.after.access()?;
    let people = step.after.people()?;
    let someone = access.grants.iter().filter(|g| g.level == PermissionLevel::CanManage).any(|g| match &g.to {
        Principal::User(u) => people.contains_key(u),
        Principal::Group(group) => match access.groups.get(group) {
            Some(members) => members.iter().any(|m| people.contains_key(m)),
            None => *group == crate::name::GroupName::everyone() && !people.is_empty(),
        },
    });
    if !someone {
        let help = "keep a grant of CAN_MANAGE to a person in people/, or to a group with such a person";
        faults.add(step.after.full_path("access.toml"), "the registry would have no administrator", help);
    }
    Ok(())
}

pub(super) fn authors(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    if step.founds()? {
        return Ok(());
    }
    for event in &step.diff.events {
        let Some(name) = event.claimed_by() else { continue };
        // Approvals need two people, and words under a person's name must be that person's. So an event belongs to the
        // committer, or to a person who is proven to have made it. Administrators may commit other people's words, but
        // not their requests and reviews.
        let decides = matches!(
            event,
            Event::RequestCreated { .. }
                | Event::RequestReviewed { .. }
                | Event::RequestApproved { .. }
                | Event::RequestRejected { .. }
                | Event::RequestCancelled { .. }
        );
        let imported = !decides && step.actor.imported.as_ref() == Some(name);
        if imported || step.is_by(event, name)? {
            continue;
        }
        let path = path_of(step, event)?;
        let user = &step.actor.user;
        if step.actor.proven_authors.contains(name) {
            let message = format!(
                "the file says that {name} did this, but the commits of {name} in the merged branch do not make this change"
            );
            let help = format!("let {name} make it in one commit of the branch, or write {user}");
            faults.add(path, message, help);
        } else if step.actor.authors.contains(name) {
            let message = format!("the file says that {name} did this, and only the commit's author field confirms it");
            let help = format!(
                "let {name} sign the commit, or push the branch here before {user} merges it; a merge counts for the \
                 authors of one branch that has one merge base"
            );
            faults.add(path, message, help);
        } else {
            let message = format!("the file says that {name} did this, but {user} acts");
            faults.add(path, message, format!("let {name} do it, or write {user}"));
        }
    }
    super::merge::creators_kept(step, faults)
}
