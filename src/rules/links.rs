//! Rules of references: every reference names an object that exists.

use std::collections::{BTreeMap, BTreeSet};

use super::{Faults, StepContext, line_of};
use crate::entity::Access;
use crate::entity::webhook::MAIL_SECRET;
use crate::event::Event;
use crate::format::path::{Location, ModelDir};
use crate::name::{Id, Principal, fold};
use crate::payload;
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

pub(super) fn webhooks(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    for event in &step.diff.events {
        let (Event::WebhookCreated { webhook } | Event::WebhookChanged { after: webhook, .. }) = event else {
            continue;
        };
        let path = step.after.full_path(&crate::format::path::webhook(&webhook.id));
        if let Some(model) = &webhook.model
            && step.after.model(model)?.is_none()
        {
            faults.add(path.clone(), format!("there is no model '{model}'"), "name a model that exists");
        }
        if webhook.url.is_some() == webhook.job.is_some() {
            faults.add(path.clone(), "a webhook has either a url or a job", "keep one of the two");
        }
        if webhook.secrets().any(|name| name.as_str() == MAIL_SECRET) {
            let why = format!("the secret '{MAIL_SECRET}' is for the mail server and is never sent to a webhook");
            faults.add(path.clone(), why, "choose another secret");
        }
        if webhook.events.is_empty() {
            faults.add(path.clone(), "a webhook needs at least one event", "add the names of the events");
        }
        for event in &webhook.events {
            if let Some(why) = payload::why_not(webhook.profile, event) {
                faults.add(path.clone(), why, "`greenroom webhook create --help` lists the events of each profile");
            }
            if webhook.model.is_some() && event.as_str() == "REGISTERED_MODEL_CREATED" {
                let why = "a webhook of one model never gets REGISTERED_MODEL_CREATED";
                faults.add(path.clone(), why, "remove the event or the model");
            }
        }
        if let Some(why) = webhook.url.as_ref().and_then(|url| bad_url(step, url.as_str())) {
            faults.add(
                path.clone(),
                format!("the url {why}"),
                "write https://host/path; give secrets by their names only",
            );
        }
        if let Some(why) = webhook.job.as_ref().and_then(|job| bad_url(step, job.workspace_url.as_str())) {
            let help = "write workspace_url = \"https://host\"; give secrets by their names only";
            faults.add(path, format!("the workspace_url of the job {why}"), help);
        }
    }
    Ok(())
}

/// Returns why a URL is refused as a target: another scheme, hidden credentials, or characters that URLs do not have.
/// Whether its host may be reached is decided at the time of the connection.
fn bad_url(step: &StepContext<'_>, url: &str) -> Option<&'static str> {
    let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) else {
        return Some("is not an https address");
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() {
        Some("has no host")
    } else if host.contains('@') {
        Some("contains credentials")
    } else if super::sources::credentials(url).is_some_and(|why| why.is_grave() || !step.is_past) {
        Some("contains a signature, password or token in its query")
    } else if url.contains('#') || url.len() > 2048 || !url.chars().all(|c| c.is_ascii_graphic()) || url.contains('\\')
    {
        Some("has a fragment, a character that is not allowed in URLs, or more than 2048 bytes")
    } else {
        None
    }
}
