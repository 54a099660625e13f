//! Rules of guarded aliases: who may set, move or delete one, to which versions, and when.

use super::{Faults, StepContext, line_of};
use crate::entity::Settings;
use crate::entity::settings::AliasRule;
use crate::entity::version::VersionStatus;
use crate::event::Event;
use crate::name::{AliasName, ModelName, Principal};
use crate::snapshot::Snapshot;
use crate::stage::Stage;
use crate::tree::TreeError;

/// How a step changes an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AliasMovement {
    /// The file of the alias is written or deleted.
    Itself,
    /// The model is deleted with all its aliases.
    ModelDeleted,
    /// The model gets another name, so the reference `models:/NAME@ALIAS` leads elsewhere or nowhere.
    ModelRenamed,
}

/// A guarded alias that the step sets, moves or deletes.
struct AliasMove<'s> {
    /// The model, by the name in the reference.
    model: ModelName,
    /// The name, before the step, of the model whose permissions count.
    owner: ModelName,
    alias: AliasName,
    /// The version that the alias names after the step; `None` if the alias is deleted.
    to: Option<u64>,
    way: AliasMovement,
    rule: &'s AliasRule,
    /// Where the rule is, for the hint of a finding.
    place: String,
}

impl AliasMove<'_> {
    fn path(&self, step: &StepContext<'_>) -> Result<String, TreeError> {
        path(step.after, &self.model, &self.alias)
    }

    fn what(&self) -> String {
        let (alias, model) = (&self.alias, &self.model);
        match self.to {
            Some(version) if self.way == AliasMovement::ModelRenamed => {
                format!("point models:/{model}@{alias} at version {version} of another model by a rename")
            }
            None if self.way == AliasMovement::ModelRenamed => {
                format!("remove the alias '{alias}' from the name '{model}' by a rename of the model")
            }
            Some(version) => format!("point the alias '{alias}' of '{model}' at version {version}"),
            None => format!("delete the alias '{alias}' of '{model}'"),
        }
    }
}

fn path(snapshot: &Snapshot<'_>, model: &ModelName, alias: &AliasName) -> Result<String, TreeError> {
    let file = crate::format::path::alias_file(alias);
    Ok(snapshot.full_path(&format!("{}/aliases/{file}", snapshot.paths()?.model(model))))
}

/// Returns the rule of an alias, by the settings before the step.
pub(super) fn rule<'s>(step: &'s StepContext<'_>, alias: &AliasName) -> Result<Option<&'s AliasRule>, TreeError> {
    Ok(step.before.settings()?.and_then(|s| s.alias_rule(alias)))
}

/// Returns the rule of an alias by settings. Of the settings before the push, only the rules count that the push changed.
fn rule_of<'s>(
    step: &StepContext<'_>,
    law: &'s Settings,
    alias: &AliasName,
) -> Result<Option<(&'s AliasRule, String)>, TreeError> {
    let Some(ruled) = law.alias_rule(alias) else { return Ok(None) };
    if !step.is_earlier(law)? {
        return Ok(Some((ruled, format!("the rule is in {}", source(step, alias)?))));
    }
    let is_same = rule(step, alias)? == Some(ruled);
    Ok((!is_same).then(|| (ruled, super::stage::EARLIER.to_owned())))
}

/// Returns all moves of guarded aliases, including those caused by a change of their model.
fn moves<'s>(step: &'s StepContext<'_>) -> Result<Vec<AliasMove<'s>>, TreeError> {
    let mut out = Vec::new();
    for law in step.laws()?.into_iter().filter(|law| !law.aliases.is_empty()) {
        moves_by(step, law, &mut out)?;
    }
    Ok(out)
}

/// Adds the moves of aliases that settings guard.
fn moves_by<'s>(step: &'s StepContext<'_>, law: &'s Settings, out: &mut Vec<AliasMove<'s>>) -> Result<(), TreeError> {
    for event in &step.diff.events {
        let itself = |model: &ModelName, alias: &AliasName, to: Option<u64>| {
            let (model, alias) = (model.clone(), alias.clone());
            let owner = step.before_name(&model);
            Ok::<_, TreeError>(rule_of(step, law, &alias)?.map(|(rule, place)| AliasMove {
                model,
                owner,
                alias,
                to,
                way: AliasMovement::Itself,
                rule,
                place,
            }))
        };
        match event {
            Event::AliasSet { model, alias, version, .. } => out.extend(itself(model, alias, Some(*version))?),
            Event::AliasDeleted { model, alias, .. } => out.extend(itself(model, alias, None)?),
            Event::ModelDeleted { model, .. } => with_model((step, law), model, AliasMovement::ModelDeleted, out)?,
            Event::ModelRenamed { from, .. } => with_model((step, law), from, AliasMovement::ModelRenamed, out)?,
            _ => {}
        }
    }
    Ok(())
}

/// Adds the guarded aliases that lead elsewhere because their model is deleted or renamed. Compares the version that
/// each reference names before and after the step.
fn with_model<'s>(
    (step, law): (&'s StepContext<'_>, &'s Settings),
    model: &ModelName,
    way: AliasMovement,
    out: &mut Vec<AliasMove<'s>>,
) -> Result<(), TreeError> {
    let Some(view) = step.before.model(model)? else { return Ok(()) };
    let successor = step.after.model(model)?.filter(|_| way == AliasMovement::ModelRenamed);
    for (alias, _) in view.aliases()? {
        let Some((rule, place)) = rule_of(step, law, &alias)? else { continue };
        let now = successor.as_ref().map(|view| view.alias(&alias)).transpose()?.flatten();
        let to = now.and_then(|f| f.value).map(|pointer| pointer.version);
        // A past rename that took an alias away was allowed, and stays harmless until another model gets the name.
        if way == AliasMovement::ModelRenamed && step.is_past && to.is_none() {
            continue;
        }
        out.push(AliasMove { model: model.clone(), owner: model.clone(), alias, to, way, rule, place });
    }
    Ok(())
}

/// Returns whether the actor alone, without an approval, may move a guarded alias.
pub(super) fn moves_alone(step: &StepContext<'_>, owner: &ModelName, rule: &AliasRule) -> Result<bool, TreeError> {
    Ok(rule.approvals == 0 && may_move(step, owner, rule)?)
}

/// Returns whether the actor may move an alias with this rule.
fn may_move(step: &StepContext<'_>, owner: &ModelName, rule: &AliasRule) -> Result<bool, TreeError> {
    let has_level = match rule.needed_level() {
        Some(level) => step.level(owner)? >= Some(level),
        None => true,
    };
    let Some(approvers) = rule.approvers.as_ref().filter(|_| has_level) else { return Ok(has_level) };
    for principal in approvers {
        if step.before.is_member(&step.actor.user, principal)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns what the rule requires of the person who moves the alias, and whom to ask.
fn demand(
    step: &StepContext<'_>,
    (model, owner): (&ModelName, &ModelName),
    rule: &AliasRule,
) -> Result<(String, String), TreeError> {
    let named: Vec<String> = rule.approvers.iter().flatten().map(Principal::to_string).collect();
    let level = rule.needed_level().map(|level| format!("{level} on '{model}'"));
    let asks = match (&level, named.is_empty()) {
        (Some(level), true) => level.clone(),
        (Some(level), false) => format!("{level} and membership in the rule's `approvers`: {}", named.join(", ")),
        (None, _) => format!("membership in the rule's `approvers`: {}", named.join(", ")),
    };
    let help = match rule.needed_level().filter(|_| rule.approvers.is_none()) {
        Some(level) => super::access::managers(step, Some(owner), level, &[])?,
        None => format!("ask {}", named.join(", ")),
    };
    Ok((asks, help))
}

/// Refuses actors who may not move a guarded alias, or may not take the version that it names out of use.
pub(super) fn permission(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let user = &step.actor.user;
    for moved in moves(step)? {
        if !may_move(step, &moved.owner, moved.rule)? {
            let (asks, help) = demand(step, (&moved.model, &moved.owner), moved.rule)?;
            faults.add(moved.path(step)?, format!("{user} may not {}: it needs {asks}", moved.what()), help);
        }
    }
    let guards = step.before.settings()?.is_some_and(|s| !s.aliases.is_empty());
    for event in step.diff.events.iter().filter(|_| guards) {
        let Event::StatusChanged { model, version, status, before: VersionStatus::Ready, .. } = event else { continue };
        let owner = step.before_name(model);
        let Some(view) = step.before.model(&owner)?.filter(|_| *status != VersionStatus::Ready) else { continue };
        for (alias, file) in view.aliases()? {
            let Some(rule) = rule(step, &alias)?.filter(|_| file.value.is_some_and(|p| p.version == *version)) else {
                continue;
            };
            if !may_move(step, &owner, rule)? {
                let (asks, help) = demand(step, (model, &owner), rule)?;
                let message = format!(
                    "{user} may not make version {version} of '{model}' {}: the guarded alias '{alias}' names it, and \
                     that needs {asks}",
                    status.as_str()
                );
                faults.add(path(step.after, model, &alias)?, message, help);
            }
        }
    }
    Ok(())
}

/// Returns the path and line of the rule of an alias, for the finding.
fn source(step: &StepContext<'_>, alias: &AliasName) -> Result<String, TreeError> {
    let path = step.before.full_path("greenroom.toml");
    let line = line_of(step.before, &path, &format!("[aliases.{alias}"))?;
    Ok(if line > 0 { format!("{path}:{line}") } else { path })
}

pub(super) fn guarded(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    for moved in moves(step)? {
        let (path, rule, alias, model) = (moved.path(step)?, moved.rule, &moved.alias, &moved.model);
        let place = &moved.place;
        if let Some(freeze) = rule.frozen.iter().find(|f| f.holds_at(step.at)) {
            let reason = if freeze.reason.is_empty() { String::new() } else { format!(" ({})", freeze.reason) };
            let message = format!("the alias '{alias}' is frozen at {}{reason}", step.at.short());
            faults.add(path.clone(), message, format!("wait until the freeze ends ({place})"));
        }
        let Some(number) = moved.to else { continue };
        let Some(view) = step.after.model(model)? else { continue };
        let stage = view.stage_of(number)?;
        if let Some(from) = rule.from.as_ref().filter(|from| !from.contains(&stage)) {
            let list = from.iter().map(Stage::as_str).collect::<Vec<_>>().join(", ");
            let message = format!("the alias '{alias}' may name versions in {list}; version {number} is in {stage}");
            faults.add(path.clone(), message, format!("move the version first ({place})"));
        }
        let Some(version) = super::stage::version_of(step.after, model, number)? else { continue };
        for (what, help) in super::stage::lacking(&version, &rule.require, step.actor.signed) {
            let message = format!("the alias '{alias}' may not name version {number} of '{model}': {what}");
            faults.add(path.clone(), message, format!("{help} ({place})"));
        }
    }
    Ok(())
}

pub(super) fn approval(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    for moved in moves(step)? {
        if moved.rule.approvals == 0 || merged(step, &moved)? {
            continue;
        }
        let (alias, model) = (&moved.alias, &moved.model);
        let message = match moved.way {
            AliasMovement::ModelDeleted => {
                format!("'{model}' may not be deleted while its guarded alias '{alias}' is set")
            }
            AliasMovement::ModelRenamed => format!(
                "'{model}' has the guarded alias '{alias}' and may be renamed only by the merge of another person's \
                 proposal"
            ),
            AliasMovement::Itself => {
                format!("the alias '{alias}' of '{model}' may be moved only by the merge of another person's proposal")
            }
        };
        let help = format!(
            "`greenroom alias set --branch` makes a branch to push; another person who may move the alias merges it ({})",
            moved.place
        );
        faults.add(moved.path(step)?, message, help);
    }
    Ok(())
}

/// Returns whether the actor merges a proven proposal of other people: their branch makes the same move of the alias to
/// the same version.
fn merged(step: &StepContext<'_>, moved: &AliasMove<'_>) -> Result<bool, TreeError> {
    let user = &step.actor.user;
    let Some(proposal) = step.proposal.filter(|p| p.is_proven(user)) else { return Ok(false) };
    if moved.way == AliasMovement::ModelDeleted || proposal.authors().contains(user) {
        return Ok(false);
    }
    let is_it = |event: &&Event| match event {
        Event::ModelRenamed { from, .. } => moved.way == AliasMovement::ModelRenamed && *from == moved.model,
        _ if moved.way == AliasMovement::ModelRenamed => false,
        Event::AliasSet { model, alias, version, .. } => {
            (model, alias, Some(*version)) == (&moved.model, &moved.alias, moved.to)
        }
        Event::AliasDeleted { model, alias, .. } => (model, alias, None) == (&moved.model, &moved.alias, moved.to),
        _ => false,
    };
    // A branch proposes only the changes since its merge base, not all content of its tree.
    let Some(event) = step.diff.events.iter().find(is_it) else { return Ok(false) };
    if !proposal.brings(event)? {
        return Ok(false);
    }
    let Some(number) = moved.to else { return Ok(true) };
    let (Some(asked), Some(now)) = (proposal.state.model(&moved.model)?, step.after.model(&moved.model)?) else {
        return Ok(false);
    };
    // The version must be exactly the one on the branch; other content was not proposed.
    let content = |view: &crate::snapshot::ModelView<'_>| {
        let Some(version) = view.version(number)? else { return Ok(None) };
        Ok::<_, TreeError>(Some((version.file()?.map(|f| f.id), version.artifacts()?, view.stage_of(number)?)))
    };
    Ok(content(&asked)? == content(&now)?)
}

/// Checks the alias rules in the settings themselves.
pub(super) fn sensible(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let touched =
        step.diff.events.iter().any(|e| matches!(e, Event::SettingsChanged { .. } | Event::RegistryCreated { .. }));
    let Some(settings) = step.after.settings()?.filter(|_| touched) else { return Ok(()) };
    let path = step.after.full_path("greenroom.toml");
    let known = settings.known_stages();
    for (alias, rule) in &settings.aliases {
        let line = line_of(step.after, &path, &format!("[aliases.{alias}"))?;
        if rule.approvals > 1 {
            let message =
                format!("the rule of the alias '{alias}' requires {} approvals; 1 is the maximum", rule.approvals);
            let help = "the merge of another person's branch is the only approval, because a transition request is for \
                        a stage, not for an alias. For more approvals, set `from` to a stage that requires them";
            faults.at((path.clone(), line), message, help);
        }
        if let Some(unknown) = rule.from.iter().flatten().find(|s| !known.contains(s)) {
            let message = format!("`from` of the alias '{alias}' names '{unknown}', which is not a stage");
            faults.at((path.clone(), line), message, "name a built-in stage, or declare the stage");
        }
    }
    Ok(())
}
