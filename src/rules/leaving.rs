//! The rule of leaving: a stage may require approvals before a version leaves it.

use super::approvals::{StageSide, tally, who};
use super::making_way::is_made_way_for;
use super::stage::{StageEntry, altered, approved_request, entries, merged, place, pointer, request_path};
use super::subject::subject;
use super::{Faults, StepContext};
use crate::entity::Settings;
use crate::entity::version::VersionStatus;
use crate::event::{Event, TransitionCause};
use crate::name::{ModelName, UserName};
use crate::stage::Stage;
use crate::tree::TreeError;

pub(super) fn leaving(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    for law in step.laws()? {
        if law.stages.values().any(|rule| rule.approvals_to_leave > 0) {
            left(step, law, faults)?;
        }
    }
    Ok(())
}

/// Checks by settings that versions leave their stages with approvals. Of the settings before the push, only the rules
/// count that the push changed.
fn left(step: &StepContext<'_>, settings: &Settings, faults: &mut Faults) -> Result<(), TreeError> {
    let (is_earlier, now) = (step.is_earlier(settings)?, step.before.settings()?);
    let is_same = |stage: &Stage| {
        now.is_some_and(|now| {
            now.rule(stage) == settings.rule(stage) && now.identity.self_approval == settings.identity.self_approval
        })
    };
    for e in entries(step).filter(|e| settings.approvals_to_leave(e.from) > 0 && !(is_earlier && is_same(e.from))) {
        match e.cause {
            TransitionCause::MadeWay { .. } if !is_made_way_for(step, settings, &e)? => {
                approved(step, settings, &e, faults)?;
            }
            TransitionCause::MadeWay { for_version } => made_way(step, settings, &e, *for_version, faults)?,
            TransitionCause::Direct | TransitionCause::Request { .. } => approved(step, settings, &e, faults)?,
        }
    }
    for event in &step.diff.events {
        match event {
            Event::VersionDeleted { model, version, .. } => {
                taken_away(step, settings, &step.before_name(model), Some(*version), "delete", faults)?;
            }
            Event::ModelDeleted { model, .. } => taken_away(step, settings, model, None, "delete", faults)?,
            // After a rename, `models:/NAME/STAGE` leads elsewhere or nowhere. In past steps only "elsewhere" is a
            // finding.
            Event::ModelRenamed { from, .. } if !step.is_past || step.after.model(from)?.is_some() => {
                taken_away(step, settings, from, None, "rename the model of", faults)?;
            }
            Event::StatusChanged { model, version, status, before: VersionStatus::Ready, .. }
                if *status != VersionStatus::Ready =>
            {
                let what = "change the status of";
                taken_away(step, settings, &step.before_name(model), Some(*version), what, faults)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks a version that makes way: it needs no approval of its own if the entering version was approved for the stage.
fn made_way(
    step: &StepContext<'_>,
    settings: &Settings,
    e: &StageEntry<'_>,
    for_version: u64,
    faults: &mut Faults,
) -> Result<(), TreeError> {
    if settings.rule(e.from).is_some_and(|rule| rule.needed() > 0) {
        return Ok(());
    }
    let message = format!(
        "version {} of '{}' would leave {} because version {for_version} replaces it, and that version enters without \
         an approval",
        e.version, e.model, e.from
    );
    let help =
        format!("request both moves, or require approvals to enter the stage ({})", place(step, settings, e.from)?);
    faults.add(pointer(step, e)?, message, help);
    Ok(())
}

fn approved(
    step: &StepContext<'_>,
    settings: &Settings,
    e: &StageEntry<'_>,
    faults: &mut Faults,
) -> Result<(), TreeError> {
    let needed = settings.approvals_to_leave(e.from);
    let model = step.before_name(e.model);
    let Some(view) = step.before.model(&model)? else { return Ok(()) };
    let request = match e.cause {
        TransitionCause::Request { id } => approved_request(step, e.model, e.version, id)?,
        TransitionCause::Direct | TransitionCause::MadeWay { .. } => None,
    };
    let Some(request) = request else {
        let lets_out = || step.before.may_let_out(&step.actor.user, &model, e.from, e.to);
        if needed == 1 && merged(step, e)? && lets_out()? {
            return Ok(());
        }
        let message = format!(
            "version {} of '{}' may leave {} only through a request with {}",
            e.version,
            e.model,
            e.from,
            counted_approvals(needed)
        );
        let help = format!(
            "run `greenroom request create {} {} {}`, then let others approve the request: {} ({})",
            e.model,
            e.version,
            e.to,
            who(step, &step.before_name(e.model), (e.from, e.to), StageSide::Out, &[])?,
            place(step, settings, e.from)?
        );
        faults.add(pointer(step, e)?, message, help);
        return Ok(());
    };
    let path = request_path(step, e.model, e.version, &request)?;
    let altered = altered(step, &view, e)?;
    if !altered.is_empty() {
        let message = format!(
            "no approval counts: the step that moves version {} of '{}' out of {} also changes what was approved ({})",
            e.version,
            e.model,
            e.from,
            altered.join(", ")
        );
        faults.add(path, message, "commit that change separately, have it approved, and then complete the request");
        return Ok(());
    }
    let subject = subject(step.before, &view, e.version, e.to)?;
    let tally = tally(step, e, &request, settings, &subject, StageSide::Out)?;
    if (tally.counted.len() as u64) < needed {
        let mut message = format!("valid approvals to leave {}: {} of {needed}", e.from, tally.counted.len());
        for (by, why) in &tally.void {
            message.push_str(&format!("; the approval by {by} does not count: {why}"));
        }
        let mut done: Vec<UserName> = tally.counted.iter().cloned().collect();
        done.push(request.created_by);
        faults.add(
            path,
            message,
            format!(
                "others can approve: {}",
                who(step, &step.before_name(e.model), (e.from, e.to), StageSide::Out, &done)?
            ),
        );
    }
    Ok(())
}

/// Returns a number of approvals as text: `1 approval` or `2 approvals`.
pub(super) fn counted_approvals(count: u64) -> String {
    format!("{count} approval{}", if count == 1 { "" } else { "s" })
}

/// Refuses changes that no request can ask for, such as a deletion, on versions in a guarded stage.
fn taken_away(
    step: &StepContext<'_>,
    settings: &Settings,
    model: &ModelName,
    only: Option<u64>,
    what: &str,
    faults: &mut Faults,
) -> Result<(), TreeError> {
    let Some(view) = step.before.model(model)? else { return Ok(()) };
    // Of the settings before the push, only the rules count that the push weakened.
    let now = step.before.settings()?.filter(|now| *now != settings);
    for (version, stage) in view.stage_map()? {
        let is_covered = |stage: &Stage| now.is_some_and(|now| now.approvals_to_leave(stage) > 0);
        let guards = |stage: &Stage| settings.approvals_to_leave(stage) > 0 && !is_covered(stage);
        if guards(&stage) && only.is_none_or(|only| only == version) {
            let message = format!(
                "you may not {what} version {version} of '{model}': it is in {stage}, and a version needs approvals to \
                 leave that stage"
            );
            let help = format!("move it out of the stage with a request first ({})", place(step, settings, &stage)?);
            faults.add(format!("{}/stages/{stage}.toml", view.path), message, help);
        }
    }
    Ok(())
}
