//! Versions that make way: what a step archives beside the version that enters a stage.
//!
//! Who completes a request carries out what others approved. What the step archives beside it must be part of that: the
//! stage rule is exclusive, the request says `archive_existing`, or the merged branch archives it too. Anything else is
//! the act of the person who completes the request, and needs that person's own right and the approvals that such a move
//! takes by itself.

use super::approvals::{StageSide, tally};
use super::stage::{StageEntry, approved_request, entries, merged, pointer};
use super::subject::subject;
use super::{Faults, StepContext};
use crate::entity::Settings;
use crate::event::{Event, TransitionCause};
use crate::name::ModelName;
use crate::stage::Stage;
use crate::tree::TreeError;

/// Returns whether a version makes way as part of what was asked and approved, so that its own move needs no approvals.
pub(super) fn is_made_way_for(step: &StepContext<'_>, law: &Settings, e: &StageEntry<'_>) -> Result<bool, TreeError> {
    match e.cause {
        TransitionCause::MadeWay { for_version } => Ok(!is_unasked(step, law, e, *for_version)?),
        TransitionCause::Direct | TransitionCause::Request { .. } => Ok(false),
    }
}

/// Returns whether a version makes way although neither the request of the entering version, nor the merged branch, nor
/// the stage rule says so. Steps before this rule existed stay valid.
pub(super) fn is_unasked(
    step: &StepContext<'_>,
    law: &Settings,
    e: &StageEntry<'_>,
    for_version: u64,
) -> Result<bool, TreeError> {
    if step.is_past || law.rule(e.from).is_some_and(|rule| rule.exclusive) {
        return Ok(false);
    }
    let Some(entering) = entering(step, e.model, for_version, e.from) else { return Ok(false) };
    match entering.cause {
        TransitionCause::Request { id } => {
            Ok(approved_request(step, e.model, for_version, id)?.is_some_and(|request| !request.archive_existing))
        }
        TransitionCause::Direct if merged(step, &entering)? => {
            let (model, version, cause) = (e.model.clone(), e.version, e.cause.clone());
            let event = Event::Transitioned { model, version, from: e.from.clone(), to: e.to.clone(), cause };
            Ok(!step.proposal.map_or(Ok(false), |proposal| proposal.brings(&event))?)
        }
        // Who enters a version without an approval archives the others by the same right.
        TransitionCause::Direct | TransitionCause::MadeWay { .. } => Ok(false),
    }
}

/// Returns the entry of a version for which others make way.
fn entering<'e>(step: &'e StepContext<'_>, model: &ModelName, version: u64, stage: &Stage) -> Option<StageEntry<'e>> {
    entries(step).find(|entry| entry.model == model && entry.version == version && entry.to == stage)
}

/// Refuses to archive beside a request what it does not say, if approvals of others complete it: they approved the state
/// in which both versions are in the stage.
pub(super) fn unapproved(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let Some(settings) = step.before.settings()? else { return Ok(()) };
    for e in entries(step) {
        let TransitionCause::MadeWay { for_version } = e.cause else { continue };
        if !is_unasked(step, settings, &e, *for_version)? {
            continue;
        }
        let Some(entering) = entering(step, e.model, *for_version, e.from) else { continue };
        let TransitionCause::Request { id } = entering.cause else { continue };
        let Some(request) = approved_request(step, e.model, *for_version, id)? else { continue };
        let Some(view) = step.before.model(&step.before_name(e.model))? else { continue };
        let needed = settings.approvals_between(entering.from, entering.to);
        let subject = subject(step.before, &view, entering.version, entering.to)?;
        let mut own = 0;
        for end in [StageSide::In, StageSide::Out] {
            let tally = tally(step, &entering, &request, settings, &subject, end)?;
            own = own.max(u64::from(tally.counted.contains(&step.actor.user)));
        }
        if needed <= own {
            continue;
        }
        let message = format!(
            "the step also archives version {} of '{}', and the request that others approved does not say so",
            e.version, e.model
        );
        let help = format!(
            "complete the request without that; or cancel it, and ask anew: `greenroom request create {} {} {} \
             --archive-existing`",
            e.model, entering.version, entering.to
        );
        faults.add(pointer(step, &e)?, message, help);
    }
    Ok(())
}
