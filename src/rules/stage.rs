//! Rules of stages: the stages a version may come from, approvals, evidence and freezes.

use std::collections::{BTreeMap, BTreeSet};

use super::approvals::{CHANGED, GONE, StageSide, objection, tally, who};
use super::leaving::counted_approvals;
use super::making_way::is_made_way_for;
use super::proposal::VersionMove;
use super::subject::{content, differences, subject};
use super::{Faults, StepContext, line_of};
use crate::entity::settings::{Evidence, Removal, StageRule};
use crate::entity::{Request, RequestState, ReviewVerdict, Settings, Version};
use crate::event::{Event, TransitionCause};
use crate::format::path::{Location, ModelDir};
use crate::name::{Id, ModelName, UserName};
use crate::snapshot::{ModelView, Snapshot, VersionView};
use crate::stage::Stage;
use crate::tree::TreeError;

/// A version that enters a stage in the step.
pub(super) struct StageEntry<'e> {
    pub(super) model: &'e ModelName,
    pub(super) version: u64,
    pub(super) from: &'e Stage,
    pub(super) to: &'e Stage,
    pub(super) cause: &'e TransitionCause,
}

pub(super) fn entries<'e>(step: &'e StepContext<'_>) -> impl Iterator<Item = StageEntry<'e>> {
    step.diff.events.iter().filter_map(|e| match e {
        Event::Transitioned { model, version, from, to, cause } => {
            Some(StageEntry { model, version: *version, from, to, cause })
        }
        _ => None,
    })
}

/// The place of a rule that an earlier commit of the push changed, for hints.
pub(super) const EARLIER: &str = "that is the rule before this push, in which an earlier commit changes it: push that commit \
                                  by itself first, `git push REMOTE COMMIT:BRANCH`";

/// An entry into a stage that has a rule.
struct RuledEntry<'e> {
    entry: StageEntry<'e>,
    rule: &'e StageRule,
    /// Where the rule is, for the hint of a finding.
    place: String,
}

/// Returns entries into stages that have a rule, by the settings before the step; and by those before the push, if an
/// earlier commit of the push changed the rule.
fn ruled<'e>(step: &'e StepContext<'_>) -> Result<Vec<RuledEntry<'e>>, TreeError> {
    let now = step.before.settings()?;
    let mut out = Vec::new();
    for law in step.laws()? {
        let is_earlier = step.is_earlier(law)?;
        for entry in entries(step) {
            let Some(rule) = law.rule(entry.to) else { continue };
            if is_earlier && now.and_then(|now| now.rule(entry.to)) == Some(rule) {
                continue;
            }
            let place = place(step, law, entry.to)?;
            out.push(RuledEntry { entry, rule, place });
        }
    }
    Ok(out)
}

/// Returns where a stage rule is, for the hint of a finding.
pub(super) fn place(step: &StepContext<'_>, law: &Settings, stage: &Stage) -> Result<String, TreeError> {
    if step.is_earlier(law)? {
        return Ok(EARLIER.to_owned());
    }
    Ok(format!("the rule is in {}", source(step, stage)?))
}

/// Returns the path of the stage pointer of an entry.
pub(super) fn pointer(step: &StepContext<'_>, e: &StageEntry<'_>) -> Result<String, TreeError> {
    let stage = if *e.to == Stage::None { e.from } else { e.to };
    Ok(step.after.full_path(&format!("{}/stages/{stage}.toml", step.after.paths()?.model(e.model))))
}

/// Returns the path and line of a stage rule, for the finding.
pub(super) fn source(step: &StepContext<'_>, stage: &Stage) -> Result<String, TreeError> {
    let path = step.before.full_path("greenroom.toml");
    let line = line_of(step.before, &path, &format!("[stages.{stage}"))?;
    Ok(if line > 0 { format!("{path}:{line}") } else { path })
}

pub(super) fn known(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let settings = step.after.settings()?;
    let known = settings.map_or_else(|| Stage::BUILT_IN.to_vec(), Settings::known_stages);
    let list = known.iter().map(Stage::as_str).collect::<Vec<_>>().join(", ");
    let help = format!("use one of {list}, or declare the stage in greenroom.toml");
    for (place, file) in step.touched()? {
        let Location::Stage(_, stage) = place else { continue };
        if file.after.is_some() && !known.contains(stage) {
            let message = format!("'{stage}' is not a stage of this registry");
            faults.add(step.after.full_path(&file.path), message, help.clone());
        }
    }
    for event in &step.diff.events {
        if let Event::RequestCreated { model, version, request } = event
            && !known.contains(&request.to)
        {
            let path = request_path(step, model, *version, request)?;
            faults.add(path, format!("'{}' is not a stage of this registry", request.to), help.clone());
        }
    }
    // A declared stage must not be undeclared while versions are in it. All models are read only if the settings
    // changed.
    if let Some(Event::SettingsChanged { before, .. }) =
        step.diff.events.iter().find(|e| matches!(e, Event::SettingsChanged { .. }))
    {
        let dropped: Vec<Stage> = before.known_stages().into_iter().filter(|s| !known.contains(s)).collect();
        for view in if dropped.is_empty() { Vec::new() } else { step.after.models()? } {
            for (stage, file) in view.stages()?.into_iter().filter(|(s, _)| dropped.contains(s)) {
                let message = format!("there are versions in '{stage}', so its declaration may not be removed");
                faults.add(file.path, message, "move the versions to other stages first");
            }
        }
    }
    if let Some(rules) = settings.map(|s| &s.stages).filter(|_| touches_settings(step)) {
        for (stage, rule) in rules {
            let unknown = rule.from.iter().flatten().find(|s| !known.contains(s));
            let path = step.after.full_path("greenroom.toml");
            if let Some(unknown) = unknown {
                let line = line_of(step.after, &path, &format!("[stages.{stage}"))?;
                faults.at(
                    (path, line),
                    format!("`from` of {stage} names '{unknown}', which is not a stage"),
                    help.clone(),
                );
            } else if *stage == Stage::None {
                let message = "the stage None cannot have a rule: a version is in None if it is in no other stage";
                faults.add(path, message, "remove the rule");
            }
        }
    }
    Ok(())
}

fn touches_settings(step: &StepContext<'_>) -> bool {
    step.diff.events.iter().any(|e| matches!(e, Event::SettingsChanged { .. } | Event::RegistryCreated { .. }))
}

pub(super) fn one(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    // Reads the files, not the events: a second pointer that readers ignore has no event.
    let touched = step.touched()?;
    let dirs: BTreeSet<&ModelDir> =
        touched.iter().filter(|(p, _)| matches!(p, Location::Stage(..))).filter_map(|(p, _)| p.model()).collect();
    for dir in dirs {
        let Some(view) = step.after.model_in(dir)? else { continue };
        let mut seen: BTreeMap<u64, Stage> = BTreeMap::new();
        for (stage, file) in view.stages()? {
            for version in file.value.unwrap_or_default().versions {
                if let Some(other) = seen.insert(version, stage.clone()) {
                    let message = format!("version {version} is in {other} and in {stage}");
                    faults.add(file.path.clone(), message, "remove it from one of the two files");
                }
            }
        }
    }
    Ok(())
}

pub(super) fn from(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    for RuledEntry { entry: e, rule, place } in ruled(step)? {
        let Some(allowed) = rule.from.as_ref().filter(|a| !a.contains(e.from)) else { continue };
        if matches!(e.cause, TransitionCause::MadeWay { .. }) {
            continue;
        }
        let list = allowed.iter().map(Stage::as_str).collect::<Vec<_>>().join(", ");
        let message =
            format!("version {} of '{}' may enter {} only from {list}; it is in {}", e.version, e.model, e.to, e.from);
        let first = allowed.first().unwrap_or(&Stage::None);
        faults.add(pointer(step, &e)?, message, format!("move it to {first} first ({place})"));
    }
    Ok(())
}

pub(super) fn exclusive(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    for RuledEntry { entry: e, place, .. } in ruled(step)?.into_iter().filter(|ruled| ruled.rule.exclusive) {
        let Some(view) = step.after.model(e.model)? else { continue };
        let there = view.stage_map()?.values().filter(|s| *s == e.to).count();
        if there > 1 {
            let message = format!("{} may have only one version of a model; '{}' would have {there}", e.to, e.model);
            let help = format!("archive the others in the same change ({place})");
            faults.add(pointer(step, &e)?, message, help);
        }
    }
    Ok(())
}

pub(super) fn frozen(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    for RuledEntry { entry: e, rule, place } in ruled(step)? {
        if let Some(freeze) = rule.frozen.iter().find(|f| f.holds_at(step.at)) {
            let reason = if freeze.reason.is_empty() { String::new() } else { format!(" ({})", freeze.reason) };
            let message =
                format!("{} is frozen at {}{reason}: version {} may not enter", e.to, step.at.short(), e.version);
            faults.add(
                pointer(step, &e)?,
                message,
                format!("wait until the freeze ends ({})", place.replacen("the rule is in", "the window is in", 1)),
            );
        }
    }
    Ok(())
}

pub(super) fn evidence(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    for RuledEntry { entry: e, rule, place } in ruled(step)? {
        let version = version_of(step.after, e.model, e.version)?;
        let missing = match &version {
            Some(v) => lacking(v, &rule.require, step.actor.signed),
            None => continue,
        };
        for (what, help) in missing {
            let message = format!("version {} of '{}' may not enter {}: {what}", e.version, e.model, e.to);
            faults.add(pointer(step, &e)?, message, format!("{help} ({place})"));
        }
    }
    Ok(())
}

/// Returns the record of a version; `None` if it does not exist or cannot be read.
pub(super) fn version_of(
    snapshot: &Snapshot<'_>,
    model: &ModelName,
    version: u64,
) -> Result<Option<Version>, TreeError> {
    let Some(view) = snapshot.model(model)? else { return Ok(None) };
    let Some(version) = view.version(version)? else { return Ok(None) };
    Ok(version.file()?.and_then(|f| f.value))
}

/// Returns which evidence of a rule a version lacks: what is wrong, and what to do. `signed`: whether the committer
/// signed.
pub fn lacking(v: &Version, asked: &Evidence, signed: bool) -> Vec<(String, String)> {
    let mut out = Vec::new();
    if asked.description && v.description.is_empty() {
        out.push(("it has no description".to_owned(), "describe the version first".to_owned()));
    }
    if asked.artifacts && v.artifacts.as_ref().is_none_or(|files| files.files == 0) {
        let help = "register it again from a folder, so that its files are in the registry";
        out.push(("its files are not in the registry".to_owned(), help.to_owned()));
    }
    if asked.signed && !signed {
        let help = "sign it (`git config commit.gpgSign true`)";
        out.push(("the committer must sign the commit".to_owned(), help.to_owned()));
    }
    for (key, wanted) in &asked.tags {
        let any = wanted.as_str() == "*";
        let help = format!("set the tag '{key}'{}", if any { String::new() } else { format!(" to '{wanted}'") });
        match v.tags.get(key) {
            None => out.push((format!("the tag '{key}' is missing"), help)),
            Some(value) if !any && value != wanted => {
                out.push((format!("the tag '{key}' is '{value}', not '{wanted}'"), help));
            }
            Some(_) => {}
        }
    }
    for (key, threshold) in &asked.metrics {
        match v.metrics.get(key) {
            None => out
                .push((format!("the metric '{key}' is missing"), format!("record '{key}', which must be {threshold}"))),
            Some(metric) if !threshold.holds(metric.value()) => {
                let what = format!("the metric '{key}' is {metric}, which is not {threshold}");
                out.push((what, "use a version that meets the threshold".to_owned()));
            }
            Some(_) => {}
        }
    }
    out
}

pub(super) fn active(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let laws = step.laws()?;
    if !laws.is_empty() && laws.iter().all(|law| law.rules.removal == Removal::Any) {
        return Ok(());
    }
    for event in &step.diff.events {
        let (model, only, what) = match event {
            Event::VersionDeleted { model, version, .. } => {
                (step.before_name(model), Some(*version), "delete the version")
            }
            Event::ModelDeleted { model, .. } => (model.clone(), None, "delete the model"),
            Event::ModelRenamed { from, .. } => (from.clone(), None, "rename the model"),
            _ => continue,
        };
        let Some(view) = step.before.model(&model)? else { continue };
        for (version, stage) in view.stage_map()? {
            if stage.is_active() && only.is_none_or(|o| o == version) {
                let message = format!("version {version} of '{model}' is in {stage}: you may not {what}");
                faults.add(format!("{}/stages/{stage}.toml", view.path), message, "transition it to Archived first");
            }
        }
    }
    Ok(())
}

pub(super) fn request_path(
    step: &StepContext<'_>,
    model: &ModelName,
    version: u64,
    request: &Request,
) -> Result<String, TreeError> {
    let folder = step.after.paths()?.version(model, version);
    Ok(step.after.full_path(&format!("{folder}/requests/{}.toml", request.id)))
}

pub(super) fn approvals(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let now = step.before.settings()?;
    for law in step.laws()? {
        let is_earlier = step.is_earlier(law)?;
        for e in entries(step) {
            let is_same = now.is_some_and(|now| {
                now.rule(e.to) == law.rule(e.to) && now.identity.self_approval == law.identity.self_approval
            });
            if law.rule(e.to).is_none_or(|rule| rule.needed() == 0)
                || is_earlier && is_same
                || is_made_way_for(step, law, &e)?
            {
                continue;
            }
            entered(step, law, &e, faults)?;
        }
    }
    super::making_way::unapproved(step, faults)
}

/// Checks that a version enters a stage with the approvals that settings ask for.
fn entered(step: &StepContext<'_>, law: &Settings, e: &StageEntry<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let needed = law.rule(e.to).map_or(0, StageRule::needed);
    let place = place(step, law, e.to)?;
    let request = match e.cause {
        TransitionCause::Request { id } => approved_request(step, e.model, e.version, id)?,
        TransitionCause::Direct | TransitionCause::MadeWay { .. } => None,
    };
    let Some(request) = request else {
        if needed == 1 && merged(step, e)? {
            return Ok(());
        }
        let mut message = format!(
            "version {} of '{}' may enter {} only through a request with {}",
            e.version,
            e.model,
            e.to,
            counted_approvals(needed)
        );
        if needed == 1 && step.proposal.is_some_and(|p| p.authors().contains(&step.actor.user)) {
            let own = "; this merge is not an approval, because a commit of the branch is by";
            message.push_str(&format!("{own} {}, who merges it", step.actor.user));
        }
        let help = format!(
            "run `greenroom request create {} {} {}`, then let others approve the request: {} ({place})",
            e.model,
            e.version,
            e.to,
            who(step, &step.before_name(e.model), (e.from, e.to), StageSide::In, &[])?
        );
        faults.add(pointer(step, e)?, message, help);
        return Ok(());
    };
    let Some(view) = step.before.model(&step.before_name(e.model))? else { return Ok(()) };
    let path = request_path(step, e.model, e.version, &request)?;
    let altered = altered(step, &view, e)?;
    if !altered.is_empty() {
        let message = format!(
            "no approval counts: the step that moves version {} of '{}' to {} also changes what was approved ({})",
            e.version,
            e.model,
            e.to,
            altered.join(", ")
        );
        faults.add(path, message, "commit that change separately, have it approved, and then complete the request");
        return Ok(());
    }
    let subject = subject(step.before, &view, e.version, e.to)?;
    let tally = tally(step, e, &request, law, &subject, StageSide::In)?;
    if (tally.counted.len() as u64) < needed {
        let mut message = format!("valid approvals: {} of {needed}", tally.counted.len());
        for (by, why) in &tally.void {
            message.push_str(&format!("; the approval by {by} does not count: {why}"));
        }
        let mut done: Vec<UserName> = tally.counted.iter().cloned().collect();
        done.push(request.created_by);
        let mut help = format!(
            "others can approve: {}",
            who(step, &step.before_name(e.model), (e.from, e.to), StageSide::In, &done)?
        );
        if step.is_earlier(law)? {
            help.push_str(&format!(" ({place})"));
        }
        faults.add(path, message, help);
    }
    Ok(())
}

/// Returns whether the entry is a proven proposal of other people on a branch, merged by an actor who may approve it. A
/// pull request counts as a request, and its merge as one approval.
pub(super) fn merged(step: &StepContext<'_>, e: &StageEntry<'_>) -> Result<bool, TreeError> {
    let user = &step.actor.user;
    let Some(proposal) = step.proposal.filter(|p| p.is_proven(user)) else { return Ok(false) };
    if proposal.authors().contains(user) {
        return Ok(false);
    }
    // A branch proposes only the changes since its merge base, not all content of its tree.
    let (model, number) = (e.model, e.version);
    let moved = Event::Transitioned {
        model: model.clone(),
        version: number,
        from: e.from.clone(),
        to: e.to.clone(),
        cause: e.cause.clone(),
    };
    if !proposal.brings(&moved)? || !proposal.is_asked(&VersionMove { model, number, to: e.to }, user)? {
        return Ok(false);
    }
    let (Some(asked), Some(now)) = (proposal.state.model(model)?, step.after.model(model)?) else {
        return Ok(false);
    };
    // An edited merge would bring in something that was not proposed.
    let same =
        subject(&proposal.state, &asked, number, e.to)?.former == subject(step.after, &now, number, e.to)?.former;
    Ok(same
        && only_asked_changes(step, proposal, e)?
        && step.before.may_approve(user, &step.before_name(model), e.from, e.to)?)
}

/// Returns whether a merge changes the version exactly as the branch did, so that the requester saw all of it.
fn only_asked_changes(
    step: &StepContext<'_>,
    proposal: &super::Proposal<'_>,
    e: &StageEntry<'_>,
) -> Result<bool, TreeError> {
    let read = |snapshot: &Snapshot<'_>, name: &ModelName| match snapshot.model(name)? {
        Some(view) => content(snapshot, &view, e.version, (e.from, e.to)).map(Some),
        None => Ok(None),
    };
    let (before, after) = (read(step.before, &step.before_name(e.model))?, read(step.after, e.model)?);
    if before == after {
        return Ok(true);
    }
    let (base, tip) = (read(&proposal.base, &step.before_name(e.model))?, read(&proposal.state, e.model)?);
    // The rule and the name are those of the state before the step; neither may change.
    let keeps = |name: &str| before.as_ref().is_none_or(|b| after.as_ref().is_some_and(|a| a.get(name) == b.get(name)));
    Ok(before == base && after == tip && keeps("rule") && keeps("name"))
}

/// Returns what a step changes of a version besides moving it. Only the approved content may enter.
pub(super) fn altered(
    step: &StepContext<'_>,
    before: &ModelView<'_>,
    e: &StageEntry<'_>,
) -> Result<Vec<String>, TreeError> {
    let Some(after) = step.after.model(e.model)? else { return Ok(Vec::new()) };
    let ends = (e.from, e.to);
    let (old, new) = (content(step.before, before, e.version, ends)?, content(step.after, &after, e.version, ends)?);
    Ok(differences(&old, &new))
}

/// Refuses a recorded approval that cannot count, because readers would take it for a valid one.
pub(super) fn reviews(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let Some(settings) = step.before.settings()?.filter(|_| !step.is_past) else { return Ok(()) };
    for event in &step.diff.events {
        let Event::RequestReviewed { model, version, review, request } = event else { continue };
        let name = step.before_name(model);
        let Some(view) = step.before.model(&name)?.filter(|_| review.verdict == ReviewVerdict::Approved) else {
            continue;
        };
        let from = view.stage_of(*version)?;
        if settings.approvals_between(&from, &request.to) == 0 {
            continue;
        }
        let now = subject(step.before, &view, *version, &request.to)?;
        let later = match step.after.model(model)? {
            Some(after) => subject(step.after, &after, *version, &request.to)?.current,
            None => now.current.clone(),
        };
        let ask = format!("`greenroom request approve {model} {version} {} --print` prints the review", request.id);
        let (message, help) = match objection(step.before, &name, &from, request, review, &now)? {
            Some(CHANGED) => (
                format!(
                    "the approval cannot count: its subject is {}, and that of version {version} of '{model}' for {} \
                     is {}",
                    review.subject, request.to, now.current
                ),
                format!("review the current version, then approve it; {ask} with its subject"),
            ),
            Some(GONE) => (
                format!("the approval cannot count: {GONE}"),
                format!("`greenroom request cancel {}`, by a person who manages the model", request.id),
            ),
            // A later rule may decide differently about who can approve; `request approve` and `request show` report
            // that.
            _ if later == now.current => continue,
            _ => (
                "the approval cannot count: the same step changes what is approved".to_owned(),
                "commit that change first, and approve afterwards".to_owned(),
            ),
        };
        faults.add(request_path(step, model, *version, request)?, message, help);
    }
    Ok(())
}

pub(super) fn approved_request(
    step: &StepContext<'_>,
    model: &ModelName,
    version: u64,
    id: &Id,
) -> Result<Option<Request>, TreeError> {
    let Some(view) = step.after.model(model)? else { return Ok(None) };
    let Some(version): Option<VersionView<'_>> = view.version(version)? else { return Ok(None) };
    let found = version.request(id)?.and_then(|f| f.value);
    Ok(found.filter(|r| r.state == RequestState::Approved))
}
