//! Which approvals of a transition request count. Rules, commands, mail and the server all count by this module.

use std::collections::BTreeSet;

use super::StepContext;
use super::stage::StageEntry;
use super::subject::subject;
use crate::entity::request::ReviewSubject;
use crate::entity::settings::{Authority, StageRule};
use crate::entity::{Access, Request, Review, ReviewVerdict, Settings};
use crate::event::Event;
use crate::name::{GroupName, Id, ModelName, Principal, UserName};
use crate::snapshot::{ModelView, Snapshot};
use crate::stage::Stage;
use crate::text::Text;
use crate::tree::TreeError;

/// The reason why an approval of one's own request does not count.
pub const OWN: &str = "people cannot approve their own requests";

/// The reason why an approval of an earlier state does not count.
pub const CHANGED: &str = "the version, its stage or the rule changed after the approval";

/// The reason why the approval of a person without the right does not count.
pub const NO_RIGHT: &str = "this person may not approve it";

/// The reason why no approval counts of a request whose requester was removed: the same human may have another user
/// name now, and would approve their own request.
pub const GONE: &str = "the requester is no longer a person of the registry; cancel the request and make a new one";

/// How many people are named as possible approvers at most.
const MAX_NAMED: usize = 8;

/// The end of a transition for which approvals are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageSide {
    /// The stage that the version enters.
    In,
    /// The stage that the version leaves.
    Out,
}

/// A review, and for what it counts.
#[derive(Debug, Clone, Copy)]
pub struct CountedReview<'r> {
    /// The review.
    pub review: &'r Review,
    /// The reason why it does not count; `None` if it counts.
    pub objection: Option<&'static str>,
    /// Whether it is an approval that counts for the stage that the version enters.
    lets_in: bool,
    /// Whether it is an approval that counts for the stage that the version leaves.
    lets_out: bool,
}

/// The approvals of a request, counted in one state.
#[derive(Debug, Clone)]
pub struct ApprovalCount<'r> {
    /// The number of approvals that entering the stage needs.
    entering: u64,
    /// The number of approvals that leaving the present stage needs.
    leaving: u64,
    /// The reviews of the request, in their order.
    pub reviews: Vec<CountedReview<'r>>,
}

impl<'r> ApprovalCount<'r> {
    /// Counts the approvals of a request of a version in one state.
    ///
    /// # Errors
    /// If an object of the tree cannot be read.
    pub fn of(
        snapshot: &Snapshot<'_>,
        view: &ModelView<'_>,
        (model, number): (&ModelName, u64),
        request: &'r Request,
    ) -> Result<Self, TreeError> {
        let (from, to, settings) = (view.stage_of(number)?, &request.to, snapshot.settings()?);
        let entering = settings.and_then(|s| s.rule(to)).map_or(0, StageRule::needed);
        let leaving = settings.map_or(0, |s| s.approvals_to_leave(&from));
        let mut out = Self { entering, leaving, reviews: Vec::new() };
        if request.review.is_empty() {
            return Ok(out);
        }
        let subject = subject(snapshot, view, number, to)?;
        for review in &request.review {
            let objection = objection(snapshot, model, &from, request, review, &subject)?;
            let counts = objection.is_none() && review.verdict == ReviewVerdict::Approved;
            let lets_in = counts && snapshot.may_let_in(&review.by, model, &from, to)?;
            let lets_out = counts && snapshot.may_let_out(&review.by, model, &from, to)?;
            out.reviews.push(CountedReview { review, objection, lets_in, lets_out });
        }
        Ok(out)
    }

    /// Returns the number of approvals that the transition needs: the higher number of its two ends.
    pub fn needed(&self) -> u64 {
        self.entering.max(self.leaving)
    }

    /// Returns whether leaving the present stage needs more approvals than entering the requested one.
    pub fn needs_more_to_leave(&self) -> bool {
        self.leaving > self.entering
    }

    /// Returns the people whose approvals count.
    pub fn by(&self) -> BTreeSet<&'r UserName> {
        let counts = |r: &&CountedReview<'_>| r.objection.is_none() && r.review.verdict == ReviewVerdict::Approved;
        self.reviews.iter().filter(counts).map(|r| &r.review.by).collect()
    }

    /// Returns the people whose approvals count for one end of the transition.
    fn given(&self, end: StageSide) -> BTreeSet<&'r UserName> {
        let counts = |r: &&CountedReview<'_>| match end {
            StageSide::In => r.lets_in,
            StageSide::Out => r.lets_out,
        };
        self.reviews.iter().filter(counts).map(|r| &r.review.by).collect()
    }

    /// Returns how many approvals one end of the transition still lacks.
    pub fn lacking(&self, end: StageSide) -> u64 {
        let needed = match end {
            StageSide::In => self.entering,
            StageSide::Out => self.leaving,
        };
        needed.saturating_sub(self.given(end).len() as u64)
    }

    /// Returns whether the request has all approvals that it needs.
    pub fn is_complete(&self) -> bool {
        self.lacking(StageSide::In) == 0 && self.lacking(StageSide::Out) == 0
    }

    /// Returns the reason of each review why it does not count.
    pub fn objections(&self) -> Vec<Option<&'static str>> {
        self.reviews.iter().map(|r| r.objection).collect()
    }
}

/// Returns whether a request has all approvals that it needs.
///
/// # Errors
/// If an object of the tree cannot be read.
pub fn is_complete(
    snapshot: &Snapshot<'_>,
    view: &ModelView<'_>,
    about: (&ModelName, u64),
    request: &Request,
) -> Result<bool, TreeError> {
    Ok(ApprovalCount::of(snapshot, view, about, request)?.is_complete())
}

/// Returns whether a request would have all approvals that it needs if a person approved it now.
///
/// # Errors
/// If an object of the tree cannot be read.
pub fn would_complete(
    snapshot: &Snapshot<'_>,
    view: &ModelView<'_>,
    (model, number): (&ModelName, u64),
    request: &Request,
    reviewer: &UserName,
) -> Result<bool, TreeError> {
    let subject = subject(snapshot, view, number, &request.to)?.current;
    let (by, at, verdict) = (reviewer.clone(), request.created_at, ReviewVerdict::Approved);
    let mut after = request.clone();
    after.review.push(Review { by, at, verdict, comment: Text::default(), subject });
    is_complete(snapshot, view, (model, number), &after)
}

/// Returns why an approval does not count for its request in this state; `None` if it counts.
///
/// # Errors
/// If an object of the tree cannot be read.
pub(super) fn objection(
    snapshot: &Snapshot<'_>,
    model: &ModelName,
    from: &Stage,
    request: &Request,
    review: &Review,
    subject: &ReviewSubject,
) -> Result<Option<&'static str>, TreeError> {
    let own = review.by == request.created_by && !snapshot.settings()?.is_some_and(|s| s.identity.self_approval);
    Ok(if own {
        Some(OWN)
    } else if !subject.is(&review.subject) {
        Some(CHANGED)
    } else if is_gone(snapshot, &review.by)? || !snapshot.may_approve(&review.by, model, from, &request.to)? {
        Some(NO_RIGHT)
    } else if is_gone(snapshot, &request.created_by)? {
        Some(GONE)
    } else {
        None
    })
}

/// Returns whether an actor is not in `people/` any more. With `authority = "author"` people need no file.
fn is_gone(snapshot: &Snapshot<'_>, user: &UserName) -> Result<bool, TreeError> {
    let by_author = snapshot.settings()?.is_none_or(|s| s.identity.authority == Authority::Author);
    Ok(!by_author && snapshot.person(user)?.is_none())
}

/// Returns the people whose approval of an open request would count, and who have not given it. If the request needs no
/// approval, or has all of them, these are the people who may complete it.
///
/// # Errors
/// If an object of the tree cannot be read.
pub fn awaited(
    snapshot: &Snapshot<'_>,
    view: &ModelView<'_>,
    (model, number): (&ModelName, u64),
    request: &Request,
) -> Result<Vec<UserName>, TreeError> {
    let from = view.stage_of(number)?;
    let count = ApprovalCount::of(snapshot, view, (model, number), request)?;
    let mut out = BTreeSet::new();
    // No approval counts of a request whose requester was removed.
    if count.needed() > 0 && is_gone(snapshot, &request.created_by)? {
        return Ok(Vec::new());
    }
    for end in [StageSide::In, StageSide::Out] {
        let given = count.given(end);
        let is_own = |user: &UserName| {
            let self_approval = snapshot.settings().map(|s| s.is_some_and(|s| s.identity.self_approval))?;
            Ok::<_, TreeError>(*user == request.created_by && !self_approval)
        };
        if count.lacking(end) > 0 {
            for user in approvers(snapshot, view, (model, &from, &request.to), end)? {
                if !given.contains(&user) && !is_own(&user)? {
                    out.insert(user);
                }
            }
        } else if count.is_complete() && end == StageSide::In {
            out.extend(approvers(snapshot, view, (model, &from, &request.to), end)?);
        }
    }
    Ok(out.into_iter().collect())
}

/// Returns the people whose approval counts for one end of a transition: the approvers that the stage rule names, or else
/// the people who may make the transition.
///
/// # Errors
/// If an object of the tree cannot be read.
pub fn approvers(
    snapshot: &Snapshot<'_>,
    view: &ModelView<'_>,
    (model, from, to): (&ModelName, &Stage, &Stage),
    end: StageSide,
) -> Result<BTreeSet<UserName>, TreeError> {
    let Some(settings) = snapshot.settings()? else { return Ok(BTreeSet::new()) };
    let ruled = if end == StageSide::In { to } else { from };
    let named = settings.rule(ruled).and_then(|rule| rule.approvers.clone());
    let principals = match named {
        Some(named) => named,
        None => {
            let level = settings.level_for(from).max(settings.level_for(to));
            let own = view.access()?.and_then(|f| f.value).unwrap_or_default();
            let grants = snapshot.access()?.grants.iter().chain(&own.grants);
            grants.filter(|grant| grant.level >= level).map(|grant| grant.to.clone()).collect()
        }
    };
    let mut out = BTreeSet::new();
    for principal in &principals {
        for user in members(snapshot, snapshot.access()?, principal)? {
            let counts = match end {
                StageSide::In => snapshot.may_let_in(&user, model, from, to)?,
                StageSide::Out => snapshot.may_let_out(&user, model, from, to)?,
            };
            if counts && !is_gone(snapshot, &user)? && !settings.identity.servers.contains(&user) {
                out.insert(user);
            }
        }
    }
    Ok(out)
}

/// Returns the people who could approve transitions into and out of a stage of any model, by settings and the grants of a
/// state.
///
/// # Errors
/// If an object of the tree cannot be read.
pub fn able(snapshot: &Snapshot<'_>, settings: &Settings, stage: &Stage) -> Result<BTreeSet<UserName>, TreeError> {
    let access = snapshot.access()?;
    let principals: Vec<&Principal> = match settings.rule(stage).and_then(|rule| rule.approvers.as_ref()) {
        Some(named) => named.iter().collect(),
        None => access.grants.iter().filter(|g| g.level >= settings.level_for(stage)).map(|g| &g.to).collect(),
    };
    let mut out = BTreeSet::new();
    for principal in principals {
        for user in members(snapshot, access, principal)? {
            if !is_gone(snapshot, &user)? && !settings.identity.servers.contains(&user) {
                out.insert(user);
            }
        }
    }
    Ok(out)
}

/// Returns the people of a principal.
fn members(snapshot: &Snapshot<'_>, access: &Access, principal: &Principal) -> Result<Vec<UserName>, TreeError> {
    Ok(match principal {
        Principal::User(user) => vec![user.clone()],
        Principal::Group(group) if *group == GroupName::everyone() => snapshot.people()?.keys().cloned().collect(),
        Principal::Group(group) => access.groups.get(group).into_iter().flatten().cloned().collect(),
    })
}

/// Returns a list of people as text; of a long list, only the first ones.
pub fn names<'u>(all: impl IntoIterator<Item = &'u UserName>) -> String {
    let all: Vec<&str> = all.into_iter().map(UserName::as_str).collect();
    let shown = all.iter().take(MAX_NAMED).copied().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(MAX_NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The approvals that count for a transition in a step, and those that do not, with the reason.
pub(super) struct ApprovalTally {
    pub(super) counted: BTreeSet<UserName>,
    pub(super) void: Vec<(UserName, &'static str)>,
}

/// Counts the approvals of a request for one end of the transition that a step makes. `law` are the settings by which
/// approvers count: those before the step, or those before the push.
pub(super) fn tally(
    step: &StepContext<'_>,
    e: &StageEntry<'_>,
    request: &Request,
    law: &Settings,
    subject: &ReviewSubject,
    end: StageSide,
) -> Result<ApprovalTally, TreeError> {
    let mut out = ApprovalTally { counted: BTreeSet::new(), void: Vec::new() };
    // A person who commits a request in another person's name counts as a requester too, and must not approve it.
    let model = step.before_name(e.model);
    let landed_before =
        matches!(step.before.model(&model)?.map(|m| requests(&m, e.version)), Some(Ok(r)) if r.contains(&request.id));
    for review in request.review.iter().filter(|r| r.verdict == ReviewVerdict::Approved) {
        if out.counted.contains(&review.by) {
            continue;
        }
        let others = request.created_by != step.actor.user && created_by_another(step, &request.id)?;
        let committer = !landed_before && !others && review.by == step.actor.user && !law.identity.self_approval;
        let own = review.by == request.created_by && !law.identity.self_approval;
        let why = if committer || own {
            Some(OWN)
        } else {
            objection(step.before, &model, e.from, request, review, subject)?
        };
        // Steps before this reason existed stay valid.
        let why = why.filter(|why| !(step.is_past && *why == GONE));
        let mut has_right = step.before.may_decide(law, &review.by, &model, (e.from, e.to), end == StageSide::In)?;
        if let Some(now) = step.before.settings()?.filter(|now| *now != law) {
            has_right &= step.before.may_decide(now, &review.by, &model, (e.from, e.to), end == StageSide::In)?;
        }
        match why.or(Some(NO_RIGHT).filter(|_| !has_right)) {
            Some(why) => out.void.push((review.by.clone(), why)),
            None => drop(out.counted.insert(review.by.clone())),
        }
    }
    Ok(out)
}

/// Returns whether the step creates a request that is proven to be another person's than the actor's.
fn created_by_another(step: &StepContext<'_>, id: &Id) -> Result<bool, TreeError> {
    let created = step.diff.events.iter().find_map(|event| match event {
        Event::RequestCreated { request, .. } if request.id == *id => Some((event, &request.created_by)),
        _ => None,
    });
    match created {
        Some((event, by)) => Ok(*by != step.actor.user && step.is_by(event, by)?),
        None => Ok(false),
    }
}

fn requests(model: &ModelView<'_>, version: u64) -> Result<Vec<Id>, TreeError> {
    match model.version(version)? {
        Some(view) => Ok(view.requests()?.into_keys().collect()),
        None => Ok(Vec::new()),
    }
}

/// Returns the people who can approve a transition of a model. `model` is its name before the step. The actor, the authors
/// of the branch and the people of `besides` cannot.
pub(super) fn others_of(
    step: &StepContext<'_>,
    model: &ModelName,
    (from, to): (&Stage, &Stage),
    end: StageSide,
    besides: &[UserName],
) -> Result<BTreeSet<UserName>, TreeError> {
    let Some(view) = step.before.model(model)? else { return Ok(BTreeSet::new()) };
    let mut all = approvers(step.before, &view, (model, from, to), end)?;
    all.retain(|u| *u != step.actor.user && !step.actor.authors.contains(u) && !besides.contains(u));
    Ok(all)
}

/// Returns the same people as advice.
pub(super) fn who(
    step: &StepContext<'_>,
    model: &ModelName,
    (from, to): (&Stage, &Stage),
    end: StageSide,
    besides: &[UserName],
) -> Result<String, TreeError> {
    let all = others_of(step, model, (from, to), end, besides)?;
    if !all.is_empty() {
        return Ok(names(&all));
    }
    let ruled = if end == StageSide::In { to } else { from };
    let rule = step.before.settings()?.and_then(|s| s.rule(ruled));
    Ok(nobody(rule.is_some_and(|rule| rule.approvers.is_some())))
}

/// Returns the advice if there is no other approver.
fn nobody(is_named: bool) -> String {
    match is_named {
        true => "nobody else is named in the rule's `approvers`".to_owned(),
        false => "nobody else has this level; a person who manages the registry can grant it".to_owned(),
    }
}
