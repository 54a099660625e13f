//! Webhooks over both APIs. They are the same webhooks: Databricks' API shows all webhooks that the caller may manage,
//! and MLflow's API the ones that it can describe (see [`mlflow`]).
//!
//! The secrets that a caller sends go to the secret store, under names made up here. Only the names are committed.
//! Neither names nor secrets appear in a response. A secret is written before the commit that names it, and deleted if
//! the commit fails. A secret that no webhook names any more is deleted after the commit.

pub mod databricks;
pub mod mlflow;

use std::sync::Arc;

use serde_json::Value;

use crate::action::{Action, NewWebhook};
use crate::clock;
use crate::deliver::webhook::post::PostResponse;
use crate::deliver::webhook::{TestDelivery, TrialError};
use crate::entity::webhook::is_own;
use crate::entity::{PermissionLevel, Webhook};
use crate::name::{Id, Key};
use crate::payload;
use crate::search::Listing;
use crate::secrets::{Binding, Secret, SecretError, SecretUser, generated_name};
use crate::server::context::arguments::wrong_type;
use crate::server::context::call::Call;
use crate::server::context::error::{ApiError, Code};
use crate::server::context::reader_pool::blocking;
use crate::server::context::writer::ChangeResult;
use crate::server::http::route::Route;

/// How often a change is tried again because the webhook changed meanwhile.
const ATTEMPTS: usize = 5;

/// Returns the routes of both APIs.
pub fn routes() -> Vec<Route> {
    let mut routes = databricks::routes();
    routes.extend(mlflow::routes());
    routes
}

impl From<SecretError> for ApiError {
    fn from(e: SecretError) -> Self {
        match e {
            SecretError::Unfit => Self::invalid(e.to_string()),
            e => Self::internal(&e),
        }
    }
}

/// Returns the webhooks that the caller may manage, newest first.
async fn all(call: &Call) -> Result<Vec<Webhook>, ApiError> {
    let mut found = call
        .read(|registry| {
            let all = registry.snapshot()?.webhooks()?;
            Ok(all.into_values().filter_map(|file| file.value).collect::<Vec<_>>())
        })
        .await?;
    found.retain(|webhook| manages(call, webhook));
    found.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    Ok(found)
}

/// Returns whether the caller may manage a webhook.
fn manages(call: &Call, webhook: &Webhook) -> bool {
    let level = match &webhook.model {
        Some(model) => match call.catalog.model(model.as_str()) {
            Some(card) => call.standing.level(card),
            // A webhook whose model is gone is mended by an administrator of the registry.
            None => call.standing.registry(),
        },
        None => call.standing.registry(),
    };
    level >= Some(PermissionLevel::CanManage)
}

/// Returns a webhook by id. A webhook that the caller may not manage gives the same error as one that does not exist.
async fn find(call: &Call, id: &str) -> Result<Webhook, ApiError> {
    let missing = || ApiError::not_found(format!("Webhook with ID {} not found.", crate::text::one_line(id)));
    let known = Id::new(id).map_err(|_| missing())?;
    let path = crate::format::path::webhook(&known);
    let found = call
        .read(move |registry| {
            let snapshot = registry.snapshot()?;
            Ok(snapshot.file::<Webhook>(&path)?.and_then(|file| file.value))
        })
        .await?;
    found.filter(|webhook| manages(call, webhook)).ok_or_else(missing)
}

/// Returns a page of a list: the rows, and the token of the next page.
fn page(
    call: &Call,
    rows: Vec<Webhook>,
    asked: &[String],
    size: usize,
) -> Result<(Vec<Webhook>, Option<String>), ApiError> {
    let listing = Listing::new("webhooks", asked);
    let mark = |w: &Webhook| format!("{:020}/{}", w.created_at.as_millis(), w.id);
    let start = listing.start(call.args.text("page_token")?.unwrap_or_default(), &call.state.token_key)?;
    let mut rows: Vec<Webhook> = rows.into_iter().filter(|w| start.as_ref().is_none_or(|s| mark(w) < *s)).collect();
    let more = rows.len() > size;
    rows.truncate(size);
    let next = rows.last().filter(|_| more).map(|last| listing.after(&mark(last), &call.state.token_key));
    Ok((rows, next))
}

/// Returns the page size.
fn page_size(call: &Call, default: usize) -> Result<usize, ApiError> {
    let Some(text) = call.args.number("max_results")? else { return Ok(default) };
    let size = text.parse().ok().filter(|n| (1..=1000).contains(n));
    size.ok_or_else(|| ApiError::invalid("max_results must be between 1 and 1000."))
}

/// Returns the settings of a webhook, as input for a change.
fn as_new(webhook: &Webhook) -> NewWebhook {
    NewWebhook {
        name: webhook.name.clone(),
        description: webhook.description.clone(),
        model: webhook.model.clone(),
        events: webhook.events.clone(),
        state: webhook.state,
        profile: webhook.profile,
        url: webhook.url.clone(),
        job: webhook.job.clone(),
        insecure: webhook.insecure,
        secret: webhook.secret.clone(),
        authorization: webhook.authorization.clone(),
    }
}

/// Refuses events that the profile cannot express, and URLs that are never called.
fn check(call: &Call, new: &NewWebhook) -> Result<(), ApiError> {
    if let Some(why) = new.events.iter().find_map(|event| payload::why_not(new.profile, event)) {
        return Err(ApiError::invalid(format!("Invalid webhook event: {why}.")));
    }
    let job = new.job.as_ref().map(|job| &job.workspace_url);
    for url in new.url.iter().chain(job) {
        call.state.webhooks.client.allow().judge_text(url.as_str()).map_err(|why| {
            ApiError::invalid(format!("Invalid webhook URL '{}': {why}.", crate::text::one_line(url.as_str())))
        })?;
    }
    Ok(())
}

/// Checks that the caller may change webhooks of the model or of the registry, before anything is written.
fn permit(call: &Call, new: &NewWebhook) -> Result<(), ApiError> {
    if call.caller.read_only {
        return Err(ApiError::denied("This token may only read."));
    }
    if call.caller.delegated {
        // This comes before any secret is written.
        return Err(ApiError::denied("A service cannot manage webhooks in your name: use a token of your own."));
    }
    match &new.model {
        Some(model) => call.demand(PermissionLevel::CanManage, call.model(model)?),
        None if call.standing.registry() >= Some(PermissionLevel::CanManage) => Ok(()),
        None => Err(ApiError::denied(format!(
            "'{}' does not have the permission {} on the registry, which webhooks without a model need.",
            call.caller.user,
            PermissionLevel::CanManage
        ))),
    }
}

/// The change of a secret: stays the same, is deleted, or is written under a new name.
#[derive(Debug, Clone, Default)]
enum SecretInput {
    #[default]
    Same,
    None,
    Text(Secret),
}

impl SecretInput {
    /// Converts a text that replaces the secret: an absent or empty text deletes it.
    fn whole(text: Option<&str>) -> Result<Self, ApiError> {
        match text {
            None | Some("") => Ok(Self::None),
            Some(text) => Ok(Self::Text(Secret::new(text)?)),
        }
    }
}

/// The changes of a webhook's secrets.
#[derive(Debug, Clone, Default)]
struct SecretChanges {
    secret: SecretInput,
    authorization: SecretInput,
}

/// Creates a webhook. The work continues even if the client disconnects.
async fn make(call: Call, new: NewWebhook, brought: SecretChanges) -> Result<Webhook, ApiError> {
    let task = tokio::spawn(async move { land(&call, None, new, brought).await });
    task.await.map_err(|e| ApiError::internal(&e))?
}

/// A function that returns the changed webhook and the changes of its secrets.
type WebhookChange = fn(&Call, &Webhook) -> Result<(NewWebhook, SecretChanges), ApiError>;

/// Changes a webhook. Tries again if it changed meanwhile, so that no change of another caller is lost. The work
/// continues even if the client disconnects.
async fn change(call: Call, id: String, asked: WebhookChange) -> Result<Webhook, ApiError> {
    let task = tokio::spawn(async move {
        let mut last = ApiError::stopping();
        for _ in 0..ATTEMPTS {
            let before = find(&call, &id).await?;
            let (new, brought) = asked(&call, &before)?;
            match land(&call, Some(before), new, brought).await {
                Err(e) if e.code == Code::ResourceConflict => last = e,
                other => return other,
            }
        }
        Err(last)
    });
    task.await.map_err(|e| ApiError::internal(&e))?
}

/// Creates a webhook, or changes `before`, with its secrets.
async fn land(
    call: &Call,
    before: Option<Webhook>,
    mut new: NewWebhook,
    brought: SecretChanges,
) -> Result<Webhook, ApiError> {
    permit(call, &new)?;
    check(call, &new)?;
    let mut written = Vec::new();
    for (name, given) in [(&mut new.secret, brought.secret), (&mut new.authorization, brought.authorization)] {
        match given {
            SecretInput::Same => {}
            SecretInput::None => *name = None,
            SecretInput::Text(secret) => {
                let key = generated_name()?;
                *name = Some(key.clone());
                written.push((key, secret));
            }
        }
    }
    keep(call, before.as_ref(), &new, written.clone()).await?;
    let (new, seen) = (Box::new(new), before.clone().map(Box::new));
    let (action, id) = match &before {
        Some(before) => (Action::ChangeWebhook { id: before.id.clone(), new, seen }, Some(before.id.clone())),
        None => (Action::CreateWebhook { new }, None),
    };
    match call.write(vec![action]).await {
        Ok(landed) => {
            forget(call, before.iter().flat_map(Webhook::secrets).cloned().collect()).await;
            let webhook = after(&landed, id, before.clone())?;
            bind(call, before, webhook.clone()).await?;
            Ok(webhook)
        }
        Err(e) => {
            forget(call, written.into_iter().map(|(name, _)| name).collect()).await;
            Err(e)
        }
    }
}

/// Stores new secrets, each bound to the target that the webhook is about to have.
async fn keep(
    call: &Call,
    before: Option<&Webhook>,
    new: &NewWebhook,
    written: Vec<(Key, Secret)>,
) -> Result<(), ApiError> {
    if written.is_empty() {
        return Ok(());
    }
    let out = Arc::clone(&call.state.webhooks.client);
    let (id, new) = (before.map(|webhook| webhook.id.clone()), new.clone());
    let store = move || {
        written.iter().try_for_each(|(name, secret)| {
            out.secrets().set_for(name, secret, Binding::planned(name, id.as_ref(), &new), clock::now())
        })
    };
    blocking(store).await
}

/// Binds the secrets of a webhook after a change: new ones to the webhook that was created, and those that it keeps to its
/// new target if an administrator of the registry changed that. Who manages only a model changes no such target, by the
/// rules.
async fn bind(call: &Call, before: Option<Webhook>, webhook: Webhook) -> Result<(), ApiError> {
    let out = Arc::clone(&call.state.webhooks.client);
    let is_administrator = call.standing.registry() >= Some(PermissionLevel::CanManage);
    let bind = move || {
        let secrets = out.secrets();
        for name in webhook.secrets() {
            match &before {
                Some(before) if is_administrator => secrets.follow(name, before, &webhook)?,
                Some(_) => {}
                None => match secrets.claim(name, &SecretUser::among(&webhook, &[])) {
                    // A secret that is bound to something else is reported by the deliveries that need it.
                    Ok(()) | Err(SecretError::Claimed { .. } | SecretError::Retargeted { .. }) => {}
                    Err(e) => return Err(e),
                },
            }
        }
        Ok(())
    };
    blocking(bind).await
}

/// Returns the webhook after a change.
fn after(landed: &ChangeResult, id: Option<Id>, before: Option<Webhook>) -> Result<Webhook, ApiError> {
    use crate::event::Event;
    let made = landed.events.iter().find_map(|event| match event {
        Event::WebhookCreated { webhook } | Event::WebhookChanged { after: webhook, .. } => Some(webhook.clone()),
        _ => None,
    });
    // A change without effect causes no event.
    let found = made.filter(|w| id.as_ref().is_none_or(|id| w.id == *id)).or(before);
    found.ok_or_else(|| ApiError::new(Code::InternalError, "The webhook could not be read back."))
}

/// Deletes a webhook, then its secrets.
async fn delete(call: Call, webhook: Webhook) -> Result<(), ApiError> {
    let model = webhook.model.clone().filter(|model| call.catalog.model(model.as_str()).is_some());
    permit(&call, &NewWebhook { model, ..as_new(&webhook) })?;
    let task = tokio::spawn(async move {
        call.write(vec![Action::DeleteWebhook { id: webhook.id.clone() }]).await?;
        forget(&call, webhook.secrets().cloned().collect()).await;
        Ok(())
    });
    task.await.map_err(|e| ApiError::internal(&e))?
}

/// Deletes secrets that were created here and that no webhook names. A secret that cannot be deleted remains and does
/// no harm.
async fn forget(call: &Call, names: Vec<Key>) {
    let out = Arc::clone(&call.state.webhooks.client);
    let mut own: Vec<Key> = names.into_iter().filter(is_own).collect();
    if own.is_empty() {
        return;
    }
    let forgotten = call.read(move |registry| {
        // A file that cannot be read might name any of them.
        let files = registry.snapshot()?.webhooks()?.into_values();
        let Some(all) = files.map(|file| file.value).collect::<Option<Vec<_>>>() else { return Ok(()) };
        own.retain(|name| !all.iter().flat_map(Webhook::secrets).any(|held| held == name));
        for name in &own {
            out.secrets().delete(name)?;
        }
        Ok(())
    });
    let _ = forgotten.await;
}

/// Tests a webhook: with an event of this name, or of the first name that it subscribes to.
async fn attempt(
    call: &Call,
    webhook: Webhook,
    event: Option<String>,
) -> Result<Result<PostResponse, TrialError>, ApiError> {
    if call.caller.delegated {
        return Err(ApiError::denied("A service cannot test webhooks in your name: use a token of your own."));
    }
    let busy =
        || ApiError::new(Code::RequestLimitExceeded, "Too many webhooks are being tested; try again in a moment.");
    let permit = Arc::clone(&call.state.webhooks.tests).try_acquire_owned().map_err(|_| busy())?;
    let (out, by) = (Arc::clone(&call.state.webhooks.client), call.caller.user.clone());
    let trial = call.read(move |registry| {
        Ok(TestDelivery::new(&webhook, event.as_deref(), &by, clock::now(), &registry.snapshot()?))
    });
    let trial = match trial.await? {
        Ok(trial) => trial,
        Err(e) => return Ok(Err(e)),
    };
    blocking(move || {
        let _held = permit;
        Ok::<_, ApiError>(trial.send(&out))
    })
    .await
}

/// Returns a string argument within an object, such as `http_url_spec.url`.
fn inner<'v>(object: &'v Value, of: &str, name: &str) -> Result<Option<&'v str>, ApiError> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong_type(&format!("{of}.{name}"), other)),
    }
}
