//! A transition request as lists and pages show it: with its approvals, and for each review whether the review counts.
//! A closed request is judged by the rules and permissions of the state before the commit that closed it.

use std::collections::BTreeSet;

use super::answer;
use crate::cli::terminal::report::CliError;
use crate::cli::terminal::session::Session;
use crate::clock;
use crate::entity::settings::StageRule;
use crate::entity::{Request, RequestState, ReviewVerdict};
use crate::index::{Committers, Index};
use crate::name::{ModelName, UserName};
use crate::registry::Registry;
use crate::rules::approvals::{ApprovalCount, CHANGED, OWN, StageSide, awaited, names};
use crate::rules::obstacles::{self, Obstacle};
use crate::snapshot::{ModelView, Snapshot};
use crate::stage::Stage;
use crate::time::Timestamp;
use crate::view::{Approvals, TransitionRequest};

/// Finds the states in which closed requests were decided.
pub(in crate::cli) struct Closings<'r> {
    session: &'r Session,
    registry: &'r Registry,
    index: Option<Index<'r>>,
    /// The time at which open requests are judged.
    now: Timestamp,
}

impl<'r> Closings<'r> {
    /// Starts the search in a registry. The index is opened when the first closed request is looked at.
    pub(in crate::cli) fn new(session: &'r Session, registry: &'r Registry) -> Self {
        let now =
            session.identity(registry.repo()).map_or_else(|_| clock::now(), |(_, committer)| session.now(&committer));
        Self { session, registry, index: None, now }
    }

    /// The state before the commit that closed a request, and the name of the model in that state. `None` if the local
    /// history does not reach back to that commit.
    fn before(
        &mut self,
        model: &ModelName,
        version: u64,
        request: &Request,
    ) -> Result<Option<(Snapshot<'r>, ModelName)>, CliError> {
        let index = match &mut self.index {
            Some(index) => index,
            none => none.insert(self.session.index(self.registry)?),
        };
        let Some(entry) = index.closing_of(model, version, &request.id)? else { return Ok(None) };
        let Some(parent) = entry.parent else { return Ok(None) };
        let then = entry.acts.iter().find_map(|act| act.model.as_ref()?.parse().ok());
        let snapshot = self.registry.snapshot_of(Some(parent))?;
        Ok(Some((snapshot, then.unwrap_or_else(|| model.clone()))))
    }
}

/// A request with the facts that decide it.
pub(in crate::cli) struct JudgedRequest {
    pub(in crate::cli) model: ModelName,
    pub(in crate::cli) version: u64,
    pub(in crate::cli) from: Stage,
    pub(in crate::cli) request: Request,
    pub(in crate::cli) needed: u64,
    /// For each review the reason why it does not count, as the rules give it; `None` if it counts.
    pub(in crate::cli) objections: Vec<Option<&'static str>>,
    /// The same reasons in full, as the output shows them.
    pub(in crate::cli) reasons: Vec<Option<String>>,
    /// What an open request waits for; `None` for a closed one.
    pub(in crate::cli) waits: Option<Waits>,
}

/// What an open request waits for.
pub(in crate::cli) struct Waits {
    /// How many approvals are missing.
    approvals: u64,
    /// The people whose approval would count. If no approval is missing: the people who may complete the request.
    people: Vec<UserName>,
    /// What else stands against the transition.
    obstacles: Vec<Obstacle>,
}

impl Waits {
    /// The same as sentences for `request show`.
    pub(in crate::cli) fn sentences(&self) -> Vec<String> {
        let who = || if self.people.is_empty() { "nobody who could give it".to_owned() } else { names(&self.people) };
        let mut out = match (self.approvals, self.people.as_slice()) {
            (0, _) if !self.obstacles.is_empty() => Vec::new(),
            (0, []) => vec!["a person who may make the transition; no person may".to_owned()],
            (0, _) => vec![format!("one of {} to complete it with `greenroom request approve`", who())],
            (many, []) => {
                vec![format!("{}; nobody could give {}", counted(many), if many == 1 { "it" } else { "them" })]
            }
            (1, [one]) => vec![format!("the approval of {one}")],
            (many, _) => vec![format!("{} by {}", counted(many), who())],
        };
        out.extend(self.obstacles.iter().map(|obstacle| obstacle.message.clone()));
        out
    }

    /// The same in few words, for a column of `request list`.
    pub(in crate::cli) fn words(&self) -> String {
        let people = if self.people.is_empty() { "nobody".to_owned() } else { names(self.people.iter()) };
        let approvals = (self.approvals > 0 || self.obstacles.is_empty()).then_some(people);
        let kinds: BTreeSet<&str> = self.obstacles.iter().map(Obstacle::word).collect();
        approvals.into_iter().chain(kinds.into_iter().map(str::to_owned)).collect::<Vec<_>>().join("; ")
    }
}

/// A number of approvals in words.
fn counted(many: u64) -> String {
    if many == 1 { "1 approval".to_owned() } else { format!("{many} approvals") }
}

impl JudgedRequest {
    /// Reads a request of a version and judges its reviews.
    pub(in crate::cli) fn read(
        snapshot: &Snapshot<'_>,
        view: &ModelView<'_>,
        (model, number): (&ModelName, u64),
        request: Request,
        closings: &mut Closings<'_>,
    ) -> Result<Self, CliError> {
        let from = view.stage_of(number)?;
        let mut waits = None;
        let (needed, objections) = if request.state == RequestState::Pending {
            let count = ApprovalCount::of(snapshot, view, (model, number), &request)?;
            waits = Some(Waits {
                approvals: count.lacking(StageSide::In).max(count.lacking(StageSide::Out)),
                people: awaited(snapshot, view, (model, number), &request)?,
                obstacles: obstacles::obstacles(snapshot, view, number, &request.to, closings.now)?,
            });
            (count.needed(), count.objections())
        } else {
            match closings.before(model, number, &request)? {
                Some((then, name)) => match then.model(&name)? {
                    Some(view) => {
                        let count = ApprovalCount::of(&then, &view, (&name, number), &request)?;
                        (count.needed(), count.objections())
                    }
                    None => closed(snapshot, &request)?,
                },
                None => closed(snapshot, &request)?,
            }
        };
        let reasons = objections.iter().map(|o| o.map(str::to_owned)).collect();
        Ok(Self { model: model.clone(), version: number, from, request, needed, objections, reasons, waits })
    }

    /// Replaces the reasons of an open request by their full text: what changed since each review.
    pub(in crate::cli) fn explain(
        &mut self,
        session: &Session,
        registry: &Registry,
        snapshot: &Snapshot<'_>,
    ) -> Result<(), CliError> {
        let Some(view) = snapshot.model(&self.model)?.filter(|_| self.request.state == RequestState::Pending) else {
            return Ok(());
        };
        let (about, request) = ((&self.model, self.version), &self.request);
        for (i, review) in request.review.iter().enumerate() {
            let Some(why) = self.objections.get(i).copied().flatten() else { continue };
            let told = answer::reason(session, registry, (snapshot, &view), about, (request, review), why)?;
            if let Some(reason) = self.reasons.get_mut(i) {
                *reason = Some(told);
            }
        }
        Ok(())
    }

    /// The people whose approval counts.
    pub(in crate::cli) fn approved_by(&self) -> Vec<&UserName> {
        let mut by: Vec<&UserName> = Vec::new();
        for (i, review) in self.request.review.iter().enumerate() {
            let void = self.objections.get(i).is_some_and(Option::is_some);
            if review.verdict == ReviewVerdict::Approved && !void && !by.contains(&&review.by) {
                by.push(&review.by);
            }
        }
        by
    }

    /// Whether a person may decide the request and has not reviewed it yet.
    pub(in crate::cli) fn waits_for(&self, snapshot: &Snapshot<'_>, user: &UserName) -> Result<bool, CliError> {
        let own = self.request.created_by == *user && !snapshot.settings()?.is_some_and(|s| s.identity.self_approval);
        Ok(self.request.state == RequestState::Pending
            && !own
            && !self.approved_by().contains(&user)
            && snapshot.may_approve(user, &self.model, &self.from, &self.request.to)?)
    }

    /// The request for JSON output.
    pub(in crate::cli) fn view(&self, landers: &Committers) -> TransitionRequest {
        let mut shown = TransitionRequest::new(&self.model, self.version, &self.from, &self.request, landers);
        for (review, reason) in shown.review.iter_mut().zip(&self.reasons) {
            review.void.clone_from(reason);
        }
        let by = self.approved_by().into_iter().cloned().collect();
        let missing = |w: &Waits| w.obstacles.iter().map(|o| o.message.clone()).collect();
        TransitionRequest {
            approvals: Some(Approvals { needed: self.needed, by }),
            missing: self.waits.as_ref().map(missing),
            waits_for: self.waits.as_ref().map(|w| w.people.clone()),
            ..shown
        }
    }
}

/// The number of approvals that a closed request needed, and for each review the reason why it does not count, if the
/// decision is not in the local history. The last review closed the request, so that review saw what was decided.
fn closed(snapshot: &Snapshot<'_>, request: &Request) -> Result<(u64, Vec<Option<&'static str>>), CliError> {
    let needed = snapshot.settings()?.and_then(|s| s.rule(&request.to)).map_or(0, StageRule::needed);
    let Some(last) = request.review.last() else { return Ok((needed, Vec::new())) };
    let own = snapshot.settings()?.is_some_and(|s| s.identity.self_approval) || needed == 0;
    let objections = request.review.iter().map(|r| match r {
        r if r.by == request.created_by && !own => Some(OWN),
        r if r.subject != last.subject => Some(CHANGED),
        _ => None,
    });
    Ok((needed, objections.collect()))
}
