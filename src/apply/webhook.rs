//! Webhooks.

use super::{ChangeDraft, Context, EntityKind, Refusal};
use crate::action::NewWebhook;
use crate::entity::Webhook;
use crate::format::path;
use crate::name::Id;
use crate::snapshot::File;

fn sensible(d: &ChangeDraft<'_, '_>, new: &NewWebhook) -> Result<(), Refusal> {
    if let Some(model) = &new.model {
        d.model(model)?;
    }
    if new.url.is_some() == new.job.is_some() {
        return Err(Refusal::invalid("a webhook has either a url or a job"));
    }
    if new.events.is_empty() {
        return Err(Refusal::invalid("a webhook needs at least one event"));
    }
    Ok(())
}

fn fill(webhook: &mut Webhook, new: &NewWebhook) {
    let NewWebhook { name, description, model: _, events, state, profile, url, job, insecure, secret, authorization } =
        new.clone();
    webhook.name = name;
    webhook.description = description;
    webhook.events = events;
    webhook.state = state;
    webhook.profile = profile;
    webhook.url = url;
    webhook.job = job;
    webhook.insecure = insecure;
    webhook.secret = secret;
    webhook.authorization = authorization;
}

pub(super) fn create(d: &mut ChangeDraft<'_, '_>, cx: &mut Context<'_>, new: &NewWebhook) -> Result<(), Refusal> {
    sensible(d, new)?;
    let mut webhook = Webhook {
        id: cx.id(),
        created_at: cx.now,
        created_by: cx.actor.clone(),
        updated_at: None,
        name: crate::text::Text::default(),
        description: crate::text::Text::default(),
        model: new.model.clone(),
        events: new.events.clone(),
        state: new.state,
        profile: new.profile,
        url: None,
        job: None,
        insecure: false,
        secret: None,
        authorization: None,
    };
    fill(&mut webhook, new);
    d.put(&path::webhook(&webhook.id), &webhook);
    Ok(())
}

fn file(d: &ChangeDraft<'_, '_>, id: &Id) -> Result<File<Webhook>, Refusal> {
    let found = d.snapshot.file(&path::webhook(id))?;
    found.ok_or_else(|| Refusal::not_found(EntityKind::Webhook, id, format!("Webhook with ID {id} not found.")))
}

pub(super) fn change(
    d: &mut ChangeDraft<'_, '_>,
    cx: &Context<'_>,
    id: &Id,
    new: &NewWebhook,
    seen: Option<&Webhook>,
) -> Result<(), Refusal> {
    let file = file(d, id)?;
    super::current(seen, file.value.as_ref(), file.path.as_str())?;
    sensible(d, new)?;
    d.edit(&file, |w| {
        let before = w.clone();
        fill(w, new);
        // An edit without a change keeps the time of the last change.
        if *w != before {
            w.updated_at = Some(cx.now);
        }
    })
}

pub(super) fn delete(d: &mut ChangeDraft<'_, '_>, id: &Id) -> Result<(), Refusal> {
    let file = file(d, id)?;
    d.patch.remove(file.path);
    Ok(())
}
