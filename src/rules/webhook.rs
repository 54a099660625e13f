//! Rules of webhooks: what a webhook's file may say, whose its secrets are, and the model that it belongs to.

use std::collections::{BTreeMap, BTreeSet};

use super::{Faults, StepContext};
use crate::diff::Diff;
use crate::entity::Webhook;
use crate::entity::webhook::{
    MAIL_SECRET, NEXT_SECRET, OWN_SECRET, base_variable, is_mail_secret, is_own, is_same_secret, is_successor,
};
use crate::event::Event;
use crate::format::path;
use crate::name::{Id, Key, ModelName};
use crate::payload;
use crate::snapshot::Snapshot;
use crate::tree::TreeError;

pub(super) fn sensible(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    for event in &step.diff.events {
        let (Event::WebhookCreated { webhook } | Event::WebhookChanged { after: webhook, .. }) = event else {
            continue;
        };
        let file = step.after.full_path(&path::webhook(&webhook.id));
        if let Some(model) = &webhook.model
            && step.after.model(model)?.is_none()
        {
            faults.add(file.clone(), format!("there is no model '{model}'"), "name a model that exists");
        }
        if webhook.url.is_some() == webhook.job.is_some() {
            faults.add(file.clone(), "a webhook has either a url or a job", "keep one of the two");
        }
        let is_mails = |name: &&Key| name.as_str() == MAIL_SECRET || !step.is_past && is_mail_secret(name);
        if let Some(name) = webhook.secrets().find(is_mails) {
            let why = format!("the secret '{name}' is for the mail server and is never sent to a webhook");
            faults.add(file.clone(), why, "choose another secret");
        }
        if webhook.events.is_empty() {
            faults.add(file.clone(), "a webhook needs at least one event", "add the names of the events");
        }
        for event in &webhook.events {
            if let Some(why) = payload::why_not(webhook.profile, event) {
                faults.add(file.clone(), why, "`greenroom webhook create --help` lists the events of each profile");
            }
            if webhook.model.is_some() && event.as_str() == "REGISTERED_MODEL_CREATED" {
                let why = "a webhook of one model never gets REGISTERED_MODEL_CREATED";
                faults.add(file.clone(), why, "remove the event or the model");
            }
        }
        if let Some(why) = webhook.url.as_ref().and_then(|url| bad_url(step, url.as_str())) {
            faults.add(
                file.clone(),
                format!("the url {why}"),
                "write https://host/path; give secrets by their names only",
            );
        }
        if let Some(why) = webhook.job.as_ref().and_then(|job| bad_url(step, job.workspace_url.as_str())) {
            let help = "write workspace_url = \"https://host\"; give secrets by their names only";
            faults.add(file, format!("the workspace_url of the job {why}"), help);
        }
    }
    if step.is_past {
        return Ok(());
    }
    names(step, faults)?;
    models(step, faults)
}

/// Checks the names of secrets that webhooks did not have before: no name of a successor, and none that is another
/// webhook's.
fn names(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    for event in &step.diff.events {
        let (before, webhook) = match event {
            Event::WebhookCreated { webhook } => (None, webhook),
            Event::WebhookChanged { before, after } => (Some(before), after),
            _ => continue,
        };
        let file = step.after.full_path(&path::webhook(&webhook.id));
        let is_new = |name: &&Key| before.is_none_or(|before| before.secrets().all(|had| had != *name));
        for name in webhook.secrets().filter(is_new) {
            if is_successor(name) {
                let why = format!(
                    "the secret '{name}' is the successor of another one: names that end in {NEXT_SECRET}, or have a \
                     variable that ends in _NEXT, belong to the name before that"
                );
                faults.add(
                    file.clone(),
                    why,
                    "name the secret itself; its successor signs by itself as soon as it is set",
                );
            } else if let Some((other, theirs)) = other_user(step.after, webhook, name)? {
                let why = format!("the secret '{name}' is the one that the webhook {other} names, as '{theirs}'");
                let help = format!(
                    "choose another name: one that begins with {OWN_SECRET} belongs to one webhook, and names that differ \
                     only in case and special characters are one name"
                );
                faults.add(file.clone(), why, help);
            }
        }
    }
    Ok(())
}

/// Returns another webhook that names a secret, if the secret belongs to a single webhook by one of the names.
fn other_user(after: &Snapshot<'_>, webhook: &Webhook, name: &Key) -> Result<Option<(Id, Key)>, TreeError> {
    let others = after.webhooks()?.into_iter().filter(|(id, _)| *id != webhook.id);
    let clashes = |theirs: &Key| (is_own(name) || is_own(theirs)) && is_same_secret(theirs, name);
    Ok(others.filter_map(|(id, file)| Some((id, file.value?))).find_map(|(id, other)| {
        let theirs = other.secrets().find(|theirs| clashes(theirs)).cloned();
        theirs.map(|theirs| (id, theirs))
    }))
}

/// How a step changes the model that a name stands for.
enum ModelChange<'s> {
    Deleted,
    Renamed(&'s ModelName),
    New,
}

/// Checks that a webhook stays with its model. A webhook that is left behind by a model would belong to the next model of
/// that name, and to its manager.
fn models(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let mut changed: BTreeMap<&ModelName, ModelChange<'_>> = BTreeMap::new();
    for event in &step.diff.events {
        match event {
            Event::ModelDeleted { model, .. } => drop(changed.entry(model).or_insert(ModelChange::Deleted)),
            Event::ModelCreated { model, .. } => drop(changed.entry(model).or_insert(ModelChange::New)),
            Event::ModelRenamed { model, from } => {
                changed.insert(from, ModelChange::Renamed(model));
                changed.entry(model).or_insert(ModelChange::New);
            }
            _ => {}
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    let before = step.before.webhooks()?;
    for (id, file) in step.after.webhooks()? {
        let Some(model) = file.value.and_then(|webhook| webhook.model) else { continue };
        let had = before.get(&id).and_then(|file| file.value.as_ref()?.model.as_ref());
        let Some(change) = changed.get(&model).filter(|_| had == Some(&model)) else { continue };
        let (message, help) = match change {
            ModelChange::Renamed(new) => (
                format!("the model '{model}' is renamed, and the webhook {id} still names it"),
                format!("write `model = \"{new}\"` in the file in the same commit (`greenroom model rename` does)"),
            ),
            ModelChange::Deleted => (
                format!("the model '{model}' is deleted, and the webhook {id} still names it"),
                "delete the webhook in the same commit (`greenroom model delete` does)".to_owned(),
            ),
            ModelChange::New => (
                format!("the webhook {id} is left from another model '{model}', and would belong to the new one"),
                format!(
                    "choose another name; or let a person with CAN_MANAGE on the registry delete the webhook \
                     (`greenroom webhook delete {id}`) or write its model in the file"
                ),
            ),
        };
        faults.add(file.path, message, help);
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

/// Returns the webhook that an event makes or changes, with the names of the own secrets that it uses then.
fn own_secrets(event: &Event) -> Option<(&Webhook, Vec<&Key>)> {
    let (Event::WebhookCreated { webhook } | Event::WebhookChanged { after: webhook, .. }) = event else { return None };
    Some((webhook, webhook.secrets().filter(|name| is_own(name)).collect()))
}

/// Returns the mark under which the history knows that a webhook used a secret.
fn mark(name: &Key) -> Id {
    Id::of_text("webhook.secret", &base_variable(name.as_str()))
}

/// Returns the mark under which the history knows that this webhook used a secret for its target, in this way.
fn mark_of(webhook: &Webhook, name: &Key) -> Id {
    let job = webhook.job.as_ref();
    let parts = [
        webhook.id.as_str(),
        &base_variable(name.as_str()),
        webhook.url.as_ref().map_or("", |url| url.as_str()),
        job.map_or("", |job| job.id.as_str()),
        job.map_or("", |job| job.workspace_url.as_str()),
        if webhook.insecure { "insecure" } else { "" },
        if webhook.secret.as_ref() == Some(name) { "secret" } else { "" },
        if webhook.authorization.as_ref() == Some(name) { "authorization" } else { "" },
    ];
    Id::of_text("webhook.secret.use", &parts.join("\n"))
}

/// Returns the marks under which the history finds the own secrets that an event makes a webhook use.
pub fn secret_marks(event: &Event) -> Vec<Id> {
    let Some((webhook, names)) = own_secrets(event) else { return Vec::new() };
    names.into_iter().flat_map(|name| [mark(name), mark_of(webhook, name)]).collect()
}

/// Returns the webhooks of a step, each with an own secret that the history knows only from another webhook, another
/// target or another use. `used` says which marks the history knows; it is asked once.
///
/// # Errors
/// The errors of `used`.
pub fn former_secrets<E>(
    diff: &Diff,
    used: impl Fn(&BTreeSet<Id>) -> Result<BTreeSet<Id>, E>,
) -> Result<BTreeSet<(Id, Key)>, E> {
    let marks: BTreeSet<Id> = diff.events.iter().flat_map(secret_marks).collect();
    if marks.is_empty() {
        return Ok(BTreeSet::new());
    }
    let known = used(&marks)?;
    let uses = diff.events.iter().filter_map(own_secrets).flat_map(|(w, names)| names.into_iter().map(move |n| (w, n)));
    let others = uses.filter(|(w, name)| known.contains(&mark(name)) && !known.contains(&mark_of(w, name)));
    Ok(others.map(|(webhook, name)| (webhook.id.clone(), name.clone())).collect())
}

/// Returns whether a webhook would send a secret that is not its own: a secret that another person set, or that another
/// webhook uses. A person who chooses the target of a secret can read it, so this needs CAN_MANAGE on the registry. A
/// webhook keeps its secrets as long as its target stays.
pub(super) fn borrows(step: &StepContext<'_>, before: Option<&Webhook>, after: &Webhook) -> Result<bool, TreeError> {
    let had = before.filter(|before| before.has_target_of(after));
    // A signing key is not sent, but the value of `authorization` is. So a secret must also keep its role.
    let has_role = |had: &Webhook, name: &Key| {
        let same = (after.secret.as_ref() == Some(name), after.authorization.as_ref() == Some(name))
            == (had.secret.as_ref() == Some(name), had.authorization.as_ref() == Some(name));
        same || step.is_past && had.secrets().any(|h| h == name)
    };
    for name in after.secrets().filter(|name| had.is_none_or(|had| !has_role(had, name))) {
        if !is_own(name) {
            return Ok(true);
        }
        // A secret that the webhook used for another target is not a new one.
        if !step.is_past && before.is_some_and(|before| before.secrets().any(|had| is_same_secret(had, name))) {
            return Ok(true);
        }
        // A value may be set for the target that had the name earlier.
        if !step.is_past && step.former.secrets.contains(&(after.id.clone(), name.clone())) {
            return Ok(true);
        }
        // The successor of another's secret is another's as well, and so is a name with the variable of the secret.
        let is_theirs = |one: &Key, other: &Key| one == other || !step.is_past && is_same_secret(one, other);
        let others = step.before.webhooks()?.into_iter().filter(|(id, _)| *id != after.id);
        if others.filter_map(|(_, file)| file.value).any(|other| other.secrets().any(|s| is_theirs(s, name))) {
            return Ok(true);
        }
    }
    Ok(false)
}
