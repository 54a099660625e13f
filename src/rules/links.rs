//! Rules of references: every reference names an object that exists.

use std::collections::{BTreeMap, BTreeSet};

use super::{Faults, StepContext, line_of};
use crate::entity::Access;
use crate::event::Event;
use crate::format::path::{Location, ModelDir};
use crate::name::{Id, Principal, fold};
use crate::snapshot::Snapshot;
use crate::tree::TreeError;

pub(super) fn pointers(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let touched = step.touched()?;
    let points = |p: &Location| {
        matches!(p, Location::Stage(..) | Location::Alias(..) | Location::Version(..) | Location::Model(_))
    };
    let dirs: BTreeSet<&ModelDir> = touched.iter().filter(|(p, _)| points(p)).filter_map(|(p, _)| p.model()).collect();
    for dir in dirs {
        let Some(view) = step.after.model_in(dir)? else { continue };
        let mut targets: Vec<(String, u64, &str)> = Vec::new();
        for (_, file) in view.stages()? {
            targets.extend(
                file.value.unwrap_or_default().versions.into_iter().map(|v| (file.path.clone(), v, "in the stage")),
            );
        }
        for (_, file) in view.aliases()? {
            targets.extend(file.value.map(|p| (file.path, p.version, "named by the alias")));
        }
        for (path, version, what) in targets {
            if view.version(version)?.is_none() {
                let message = format!("version {version} is {what}, but there is no such version");
                faults.add(path, message, "point it at a version that exists, or delete the file");
            }
        }
    }
    Ok(())
}

pub(super) fn names(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let mut ids: BTreeMap<&Id, String> = BTreeMap::new();
    for event in &step.diff.events {
        match event {
            Event::ModelCreated { model, .. } | Event::ModelRenamed { model, .. } => {
                let path = step.after.full_path(&format!("{}/model.toml", step.after.paths()?.model(model)));
                for other in step.after.confusable(model)? {
                    let message = format!("'{model}' and '{other}' differ only by case or Unicode normalisation");
                    faults.add(path.clone(), message, "choose a name that people and file systems can distinguish");
                }
            }
            Event::AliasSet { model, alias, before: None, .. } => {
                let Some(view) = step.after.model(model)? else { continue };
                let twin =
                    view.aliases()?.into_iter().find(|(a, _)| a != alias && fold(a.as_str()) == fold(alias.as_str()));
                if let Some((twin, file)) = twin {
                    let message =
                        format!("the aliases '{alias}' and '{twin}' differ only by case or Unicode normalisation");
                    faults.add(file.path, message, "remove one of the two");
                }
            }
            _ => {}
        }
        if let Some(id) = event.new_id()
            && let path = super::ids::file(step.after, event)?
            && let Some(other) = ids.insert(id, path.clone())
        {
            faults.add(path, format!("the id {id} is also used in {other}"), "let greenroom make the ids");
        }
    }
    super::people::one_owner(step, faults)
}

pub(super) fn principals(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let after = step.after;
    let touched = step.touched()?;
    let access_touched = touched.iter().any(|(p, _)| *p == Location::Access);
    let people_gone = step.diff.events.iter().any(|e| matches!(e, Event::PersonRemoved { .. }));
    if (access_touched || people_gone)
        && let Some(file) = after.access_file()?
    {
        let access = file.value.clone().unwrap_or_default();
        check_access(after, &file.path, &access, faults)?;
        for (group, members) in &access.groups {
            for member in members {
                if after.person(member)?.is_none() {
                    let line = line_of(after, &file.path, group.as_str())?;
                    let message = format!("'{member}' in the group '{group}' is not a person of this registry");
                    faults.at((file.path.clone(), line), message, format!("greenroom person add {member} --email …"));
                }
            }
        }
    }
    let gone = |e: &Event| matches!(e, Event::PersonRemoved { .. } | Event::GroupDeleted { .. });
    let views = if step.diff.events.iter().any(gone) {
        // A removed person or group may be named in any model, so all models are read; otherwise only the changed ones.
        after.models()?
    } else {
        let own = touched.iter().filter(|(p, _)| matches!(p, Location::ModelAccess(_))).filter_map(|(p, _)| p.model());
        let found: Result<Vec<_>, TreeError> = own.map(|dir| after.model_in(dir)).collect();
        found?.into_iter().flatten().collect()
    };
    for view in views {
        if let Some(file) = view.access()? {
            check_access(after, &file.path, &file.value.clone().unwrap_or_default(), faults)?;
        }
    }
    let settings_touched = step.diff.events.iter().any(|e| {
        matches!(e, Event::SettingsChanged { .. } | Event::RegistryCreated { .. } | Event::GroupDeleted { .. })
    });
    if let Some(settings) = after.settings()?.filter(|_| settings_touched || people_gone) {
        let path = after.full_path("greenroom.toml");
        for (alias, rule) in &settings.aliases {
            for to in rule.approvers.iter().flatten() {
                if !exists(after, to)? {
                    let line = line_of(after, &path, &format!("[aliases.{alias}"))?;
                    let message = format!("the approver '{to}' of the alias '{alias}' does not exist");
                    faults.at((path.clone(), line), message, "add the person or group first");
                }
            }
        }
        for (stage, rule) in &settings.stages {
            for to in rule.approvers.iter().flatten() {
                if !exists(after, to)? {
                    let line = line_of(after, &path, &format!("[stages.{stage}"))?;
                    let message = format!("the approver '{to}' of {stage} does not exist");
                    faults.at((path.clone(), line), message, "add the person or group first");
                }
            }
            let able = rule.approvers.as_ref().map(|list| people_in(after, list)).transpose()?;
            let asked = rule.approvals.max(rule.approvals_to_leave);
            if able.is_some_and(|n| (n as u64) < asked) {
                let line = line_of(after, &path, &format!("[stages.{stage}"))?;
                let message = format!("{stage} requires {asked} approvals, but fewer people may approve");
                faults.at((path.clone(), line), message, "name more approvers");
            }
        }
    }
    Ok(())
}

fn people_in(snapshot: &Snapshot<'_>, list: &[Principal]) -> Result<usize, TreeError> {
    let mut count = 0;
    for user in snapshot.people()?.keys() {
        for principal in list {
            if snapshot.is_member(user, principal)? {
                count += 1;
                break;
            }
        }
    }
    Ok(count)
}

fn exists(snapshot: &Snapshot<'_>, to: &Principal) -> Result<bool, TreeError> {
    match to {
        Principal::User(user) => Ok(snapshot.person(user)?.is_some()),
        Principal::Group(group) => {
            Ok(*group == crate::name::GroupName::everyone() || snapshot.access()?.groups.contains_key(group))
        }
    }
}

fn check_access(after: &Snapshot<'_>, path: &str, access: &Access, faults: &mut Faults) -> Result<(), TreeError> {
    let mut seen = BTreeSet::new();
    for grant in &access.grants {
        if !seen.insert(&grant.to) {
            faults.add(path, format!("'{}' has two grants here", grant.to), "keep one of them");
        }
        if !exists(after, &grant.to)? {
            let help = match &grant.to {
                Principal::User(user) => format!("greenroom person add {user} --email …"),
                Principal::Group(group) => format!("greenroom access group {group} --add …"),
            };
            faults.add(path, format!("'{}' is granted {}, but does not exist", grant.to, grant.level), help);
        }
    }
    Ok(())
}
