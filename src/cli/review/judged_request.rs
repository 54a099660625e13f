//! A transition request as lists and pages show it: with its approvals, and for each review whether the review counts.
//! A closed request is judged by the rules and permissions of the state before the commit that closed it.

use super::review;
use crate::cli::terminal::report::CliError;
use crate::cli::terminal::session::Session;
use crate::entity::settings::StageRule;
use crate::entity::{Request, RequestState, ReviewVerdict};
use crate::index::{Committers, Index};
use crate::name::{ModelName, UserName};
use crate::registry::Registry;
use crate::rules::stage::{CHANGED, OWN, objection};
use crate::rules::subject::subject;
use crate::snapshot::{ModelView, Snapshot};
use crate::stage::Stage;
use crate::view::{Approvals, TransitionRequest};

/// Finds the states in which closed requests were decided.
pub(in crate::cli) struct Closings<'r> {
    session: &'r Session,
    registry: &'r Registry,
    index: Option<Index<'r>>,
}

impl<'r> Closings<'r> {
    /// Starts the search in a registry. The index is opened when the first closed request is looked at.
    pub(in crate::cli) fn new(session: &'r Session, registry: &'r Registry) -> Self {
        Self { session, registry, index: None }
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
}

impl JudgedRequest {
    /// Reads a request of a version and judges its reviews.
    pub(in crate::cli) fn read(
        snapshot: &Snapshot<'_>,
        view: &ModelView<'_>,
        model: &ModelName,
        number: u64,
        request: Request,
        closings: &mut Closings<'_>,
    ) -> Result<Self, CliError> {
        let from = view.stage_of(number)?;
        let (needed, objections) = if request.state == RequestState::Pending {
            judged(snapshot, view, model, number, &request)?
        } else {
            match closings.before(model, number, &request)? {
                Some((then, name)) => match then.model(&name)? {
                    Some(view) => judged(&then, &view, &name, number, &request)?,
                    None => closed(snapshot, &request)?,
                },
                None => closed(snapshot, &request)?,
            }
        };
        let reasons = objections.iter().map(|o| o.map(str::to_owned)).collect();
        Ok(Self { model: model.clone(), version: number, from, request, needed, objections, reasons })
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
            let told = review::reason(session, registry, (snapshot, &view), about, (request, review), why)?;
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
        TransitionRequest { approvals: Some(Approvals { needed: self.needed, by }), ..shown }
    }
}

/// The number of approvals that a request needs in a state, and for each review the reason why it does not count.
fn judged(
    snapshot: &Snapshot<'_>,
    view: &ModelView<'_>,
    model: &ModelName,
    number: u64,
    request: &Request,
) -> Result<(u64, Vec<Option<&'static str>>), CliError> {
    let from = view.stage_of(number)?;
    let needed = snapshot.settings()?.map_or(0, |s| s.approvals_between(&from, &request.to));
    let mut objections = Vec::new();
    if !request.review.is_empty() {
        let subject = subject(snapshot, view, number, &request.to)?;
        for review in &request.review {
            objections.push(objection(snapshot, model, &from, request, review, &subject)?);
        }
    }
    Ok((needed, objections))
}

/// The same for a closed request whose decision is not in the local history. The last review closed the request, so
/// that review saw what was decided.
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
