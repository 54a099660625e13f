//! Rules of history: recorded facts stay, numbers are used once, and times are those of the step.

use std::collections::{BTreeMap, BTreeSet};

use super::{Faults, StepContext};
use crate::entity::version::VersionStatus;
use crate::entity::{Request, RequestState, Review, ReviewVerdict, Version, Webhook};
use crate::event::{Event, TransitionCause};
use crate::name::{Id, ModelName};
use crate::time::Timestamp;
use crate::tree::TreeError;

/// How far clocks may be apart, in milliseconds.
const SKEW: i64 = 300_000;

fn model_path(step: &StepContext<'_>, model: &ModelName) -> Result<String, TreeError> {
    Ok(step.after.full_path(&format!("{}/model.toml", step.after.paths()?.model(model))))
}

fn version_path(step: &StepContext<'_>, model: &ModelName, version: u64, rest: &str) -> Result<String, TreeError> {
    Ok(step.after.full_path(&format!("{}/{rest}", step.after.paths()?.version(model, version))))
}

pub(super) fn immutable(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    const HELP: &str = "restore the old content";
    for event in &step.diff.events {
        match event {
            Event::SettingsChanged { before, after } if before.id != after.id => {
                faults.add(step.after.full_path("greenroom.toml"), "the registry's id may not change", HELP);
            }
            Event::ModelAltered { model, before, after } => {
                let retired = before.retired;
                let only_retired = *before == crate::entity::Model { retired, ..after.clone() }
                    || before.id == after.id
                        && before.created_at == after.created_at
                        && before.created_by == after.created_by;
                if !only_retired {
                    faults.add(
                        model_path(step, model)?,
                        "id, created_at and created_by of a model may not change",
                        HELP,
                    );
                }
            }
            Event::VersionAltered { before, after, .. } if after.completes(before) => {}
            Event::VersionAltered { model, version, before, after } => {
                let message = format!("the record of version {version} may not change: {}", altered(before, after));
                faults.add(version_path(step, model, *version, "version.toml")?, message, HELP);
            }
            Event::ArtifactsChanged { model, version, .. } if !completes(step, model, *version)? => {
                let message = format!("the files of version {version} may not change");
                let help = "restore the files, and register the changed files as a new version";
                faults.add(version_path(step, model, *version, "artifacts")?, message, help);
            }
            Event::CommentAltered { model, version, after, .. } => {
                let path = version_path(step, model, *version, &format!("comments/{}.toml", after.id))?;
                faults.add(path, "id, created_by and created_at of a comment may not change", HELP);
            }
            Event::WebhookChanged { before, after } => webhook_kept(step, before, after, faults),
            Event::RequestAltered { model, version, before, after } => {
                let path = version_path(step, model, *version, &format!("requests/{}.toml", after.id))?;
                let message = if before.state == RequestState::Pending {
                    "an open request may only be reviewed or closed; its other fields may not change"
                } else {
                    "a closed request may not change"
                };
                faults.add(path, message, HELP);
            }
            Event::RequestDeleted { model, version, request } => {
                let path = version_path(step, model, *version, &format!("requests/{}.toml", request.id))?;
                faults.add(path, "a request may not be deleted; it is part of the record", "cancel it instead");
            }
            // Otherwise a registered and reviewed version could be made to wait for other files.
            Event::StatusChanged {
                model,
                version,
                before: VersionStatus::Ready,
                status: VersionStatus::PendingRegistration,
                ..
            } => {
                let message = format!("version {version} is registered; it cannot be pending again");
                let help = "register the replacement as a new version";
                faults.add(version_path(step, model, *version, "version.toml")?, message, help);
            }
            Event::ModelDescribed { .. } | Event::StatusChanged { .. } | Event::VersionDescribed { .. } => {}
            _ => {}
        }
    }
    Ok(())
}

/// Checks that a changed webhook says the same of its creation.
fn webhook_kept(step: &StepContext<'_>, before: &Webhook, after: &Webhook, faults: &mut Faults) {
    if !step.is_past && !before.has_creation_of(after) {
        let path = step.after.full_path(&crate::format::path::webhook(&after.id));
        faults.add(path, "id, created_at and created_by of a webhook may not change", "put it back as it was");
    }
}

/// Returns whether a change of files completes a pending registration: there were no files, and their digest is
/// recorded.
fn completes(step: &StepContext<'_>, model: &ModelName, version: u64) -> Result<bool, TreeError> {
    let Some(view) = step.before.model(&step.before_name(model))? else { return Ok(false) };
    let Some(old) = view.version(version)? else { return Ok(false) };
    let had_files = old.artifacts()?.is_some();
    let recorded = step.diff.events.iter().any(|event| {
        matches!(event, Event::VersionAltered { model: m, version: v, before, after }
            if m == model && *v == version && after.completes(before))
    });
    Ok(recorded && !had_files)
}

/// Returns the names of the fields of a version that changed and must not.
fn altered(before: &Version, after: &Version) -> String {
    let mut out = Vec::new();
    let mut note = |differs: bool, name: &str| {
        if differs {
            out.push(name.to_owned());
        }
    };
    note(before.id != after.id, "id");
    note(before.created_at != after.created_at, "created_at");
    note(before.created_by != after.created_by, "created_by");
    note(before.source != after.source, "source");
    note(before.artifacts != after.artifacts, "artifacts");
    note(before.schema != after.schema, "schema");
    note(before.model != after.model, "model");
    note(before.environment != after.environment, "environment");
    note(before.params.iter().any(|(k, v)| after.params.get(k) != Some(v)), "params");
    note(before.metrics.iter().any(|(k, v)| after.metrics.get(k) != Some(v)), "metrics");
    out.join(", ")
}

pub(super) fn numbers(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    if step.founds()? {
        return Ok(());
    }
    let mut created: BTreeMap<&ModelName, BTreeSet<u64>> = BTreeMap::new();
    let mut deleted: BTreeMap<&ModelName, BTreeSet<u64>> = BTreeMap::new();
    for event in &step.diff.events {
        match event {
            Event::VersionCreated { model, version, .. } => {
                created.entry(model).or_default().insert(*version);
            }
            Event::VersionDeleted { model, version, .. } => {
                deleted.entry(model).or_default().insert(*version);
            }
            _ => {}
        }
    }
    for (model, numbers) in &created {
        let old = step.diff.events.iter().find_map(|e| match e {
            Event::ModelRenamed { model: to, from } if to == *model => Some(from),
            _ => None,
        });
        let mut next = match step.before.model(old.unwrap_or(model))? {
            Some(view) => view.next_version()?,
            None => 1,
        };
        for number in numbers {
            if *number != next {
                let message = format!(
                    "the next version of '{model}' is {next}, not {number}: numbers are consecutive and never reused"
                );
                let help = format!("move the folder to versions/{next}");
                faults.add(version_path(step, model, *number, "version.toml")?, message, help);
            }
            next = next.max(*number).saturating_add(1);
        }
    }
    for (model, numbers) in &deleted {
        let Some(view) = step.after.model(model)? else { continue };
        let retired = view.file()?.and_then(|f| f.value).and_then(|m| m.retired).unwrap_or(0);
        let highest = numbers.iter().next_back().copied().unwrap_or(0);
        if highest > view.highest()? && retired < highest {
            let message = format!("version {highest} was the highest version; its number would become free again");
            faults.add(
                model_path(step, model)?,
                message,
                format!(
                    "write `retired = {highest}` in model.toml in the commit of the deletion, or in a later commit if \
                     the deletion is already on the branch"
                ),
            );
        }
    }
    for event in &step.diff.events {
        let Event::ModelAltered { model, before, after } = event else { continue };
        let highest = deleted.get(model).and_then(|n| n.iter().next_back().copied());
        // A version that disappeared without an event of its own, as by `git revert`, is repaired by retiring its
        // number.
        let old = step.before.model(&step.before_name(model))?;
        let next = old.map(|view| view.next_version()).transpose()?;
        if after.retired < before.retired || after.retired > before.retired.max(highest).max(next) {
            let message = "`retired` is the highest number of a deleted version: it never decreases, and increases \
                           only with a deletion, or by one number to repair an earlier deletion";
            faults.add(model_path(step, model)?, message, "restore the old content");
        }
    }
    Ok(())
}

pub(super) fn requests(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    if step.founds()? {
        return Ok(());
    }
    for event in &step.diff.events {
        match event {
            Event::RequestCreated { model, version, request } => {
                let path = version_path(step, model, *version, &format!("requests/{}.toml", request.id))?;
                if request.state != RequestState::Pending || !request.review.is_empty() || request.closed_by.is_some() {
                    faults.add(
                        path.clone(),
                        "a request starts pending, without reviews",
                        "let other people review it in a later commit",
                    );
                }
                one_open(step, model, *version, request, path, faults)?;
            }
            Event::RequestReviewed { model, version, review, request } => {
                let path = version_path(step, model, *version, &format!("requests/{}.toml", request.id))?;
                reviewed_by_actor(step, &request.id, review, path.clone(), faults)?;
                if review.verdict == ReviewVerdict::Rejected {
                    faults.add(path, "a rejection must close the request", "write state = \"rejected\"");
                }
            }
            Event::RequestApproved { model, version, request } => {
                let path = version_path(step, model, *version, &format!("requests/{}.toml", request.id))?;
                closed(request, Some(ReviewVerdict::Approved), &path, faults);
                new_reviews(step, model, *version, request, &path, faults)?;
                let moved = step.diff.events.iter().any(|e| {
                    matches!(e, Event::Transitioned { model: m, version: v, to, cause: TransitionCause::Request { id }, .. }
                        if m == model && v == version && *to == request.to && *id == request.id)
                });
                if !moved {
                    let message =
                        format!("the request is approved, but version {version} does not enter {}", request.to);
                    faults.add(path, message, "approve the request and move the version in the same commit");
                }
            }
            Event::RequestRejected { model, version, request } => {
                let path = version_path(step, model, *version, &format!("requests/{}.toml", request.id))?;
                closed(request, Some(ReviewVerdict::Rejected), &path, faults);
                new_reviews(step, model, *version, request, &path, faults)?;
            }
            Event::RequestCancelled { model, version, request, .. } => {
                let path = version_path(step, model, *version, &format!("requests/{}.toml", request.id))?;
                closed(request, None, &path, faults);
                new_reviews(step, model, *version, request, &path, faults)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks that a person has at most one open request for a version and stage.
fn one_open(
    step: &StepContext<'_>,
    model: &ModelName,
    version: u64,
    request: &Request,
    path: String,
    faults: &mut Faults,
) -> Result<(), TreeError> {
    let Some(view) = step.after.model(model)? else { return Ok(()) };
    let Some(version) = view.version(version)? else { return Ok(()) };
    let twin = version.requests()?.into_values().filter_map(|f| f.value).find(|r| {
        r.id != request.id
            && r.state == RequestState::Pending
            && r.to == request.to
            && r.created_by == request.created_by
    });
    if let Some(twin) = twin.filter(|_| request.state == RequestState::Pending) {
        let message = format!("{} already has an open request for {}: {}", twin.created_by, twin.to, twin.id);
        faults.add(path, message, "cancel one of the two requests");
    }
    if view.stage_of(version.number)? == request.to && request.state == RequestState::Pending {
        let at = format!("{}/requests/{}.toml", version.path, request.id);
        faults.add(at, format!("version {} is already in {}", version.number, request.to), "remove the request");
    }
    Ok(())
}

/// Checks that each review that a step adds is the actor's. A foreign review in the same step could complete a quorum.
fn new_reviews(
    step: &StepContext<'_>,
    model: &ModelName,
    version: u64,
    request: &Request,
    path: &str,
    faults: &mut Faults,
) -> Result<(), TreeError> {
    let old = match step.before.model(&step.before_name(model))? {
        Some(view) => view.version(version)?.map_or(Ok(None), |v| v.request(&request.id))?,
        None => None,
    };
    let known = old.and_then(|f| f.value).map_or(0, |r| r.review.len());
    for review in request.review.iter().skip(known) {
        reviewed_by_actor(step, &request.id, review, path.to_owned(), faults)?;
    }
    Ok(())
}

fn reviewed_by_actor(
    step: &StepContext<'_>,
    request: &Id,
    review: &Review,
    path: String,
    faults: &mut Faults,
) -> Result<(), TreeError> {
    if !step.is_review_by(request, review)? {
        let message = format!("the review is by {}, but the change is by {}", review.by, step.actor.user);
        faults.add(path, message, "let each reviewer add their own review");
    }
    Ok(())
}

/// Checks that a closed request says by whom and when, and ends with the review that closed it.
fn closed(request: &Request, verdict: Option<ReviewVerdict>, path: &str, faults: &mut Faults) {
    if request.closed_by.is_none() || request.closed_at.is_none() {
        faults.add(
            path,
            "a closed request must have closed_by and closed_at",
            "add the person who closed it and the time",
        );
    }
    let Some(verdict) = verdict else { return };
    match request.review.last() {
        Some(last) if last.verdict == verdict && Some(&last.by) == request.closed_by.as_ref() => {}
        Some(_) | None => {
            let message =
                format!("the last review of a request that is {} must be by the person in closed_by", verdict.as_str());
            faults.add(path, message, "add the [[review]]");
        }
    }
}

pub(super) fn times(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let mut unsaid = Vec::new();
    for event in &step.diff.events {
        let mut now = |at: Timestamp, id: Option<&Id>, path: String, what: &str| {
            let latest = step.at.plus_millis(SKEW);
            if at > latest {
                faults.add(
                    path.clone(),
                    format!("{what} {at} is later than the time of the commit, {}", step.at),
                    "correct your clock",
                );
            }
            if step.since.is_some_and(|since| at < since.plus_millis(-SKEW)) {
                let message = format!("{what} {at} is earlier than the commit that adds it");
                faults.add(path.clone(), message, "write the time of the change");
            }
            // A made-up id could equal another one, so the time in the id must be the time of creation.
            if id.and_then(Id::millis).is_some_and(|millis| (millis - at.as_millis()).abs() > SKEW) {
                faults.add(path, "the time in the id is not the time in created_at", "let greenroom make the id");
            }
        };
        match event {
            Event::ModelCreated { model, created } => {
                now(created.created_at, Some(&created.id), model_path(step, model)?, "created_at");
            }
            Event::VersionCreated { model, version, created, .. } => {
                let path = version_path(step, model, *version, "version.toml")?;
                now(created.created_at, Some(&created.id), path, "created_at");
            }
            Event::CommentCreated { model, version, comment } => {
                let path = version_path(step, model, *version, &format!("comments/{}.toml", comment.id))?;
                now(comment.created_at, Some(&comment.id), path, "created_at");
            }
            Event::CommentEdited { model, version, before, after } => {
                let path = version_path(step, model, *version, &format!("comments/{}.toml", after.id))?;
                if after.edited_at <= before.edited_at.or(Some(before.created_at)) && after.text != before.text {
                    unsaid.push((
                        path.clone(),
                        "an edited comment needs the time of the edit in edited_at",
                        "write the time of the edit",
                    ));
                }
                now(after.edited_at.unwrap_or(after.created_at), None, path, "edited_at");
            }
            Event::RequestCreated { model, version, request } => {
                let path = version_path(step, model, *version, &format!("requests/{}.toml", request.id))?;
                now(request.created_at, Some(&request.id), path, "created_at");
            }
            Event::RequestReviewed { model, version, review, request } => {
                let path = version_path(step, model, *version, &format!("requests/{}.toml", request.id))?;
                now(review.at, None, path, "the time of the review");
            }
            Event::RequestApproved { model, version, request }
            | Event::RequestRejected { model, version, request }
            | Event::RequestCancelled { model, version, request, .. } => {
                let path = version_path(step, model, *version, &format!("requests/{}.toml", request.id))?;
                now(request.closed_at.unwrap_or(request.created_at), None, path.clone(), "closed_at");
                for review in &request.review {
                    now(review.at, None, path.clone(), "the time of the review");
                }
            }
            _ => {}
        }
    }
    unsaid.into_iter().for_each(|(path, message, help)| faults.add(path, message, help));
    Ok(())
}
