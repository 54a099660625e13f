//! MLflow's webhooks API: create, list, get, update, delete, test.
//!
//! A webhook that is created here has the profile `mlflow` and receives events of the whole registry. Other webhooks
//! are shown as far as MLflow's API can describe them. They must have a URL, and only events that MLflow has a pair of
//! entity and action for are shown. The events of such webhooks are changed where the webhooks were created; all other
//! fields can be changed here.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::{
    SecretChanges, SecretInput, all, as_new, attempt, change, delete as remove, find, inner, make, page, page_size,
};
use crate::action::NewWebhook;
use crate::deliver::webhook::TrialError;
use crate::deliver::webhook::address::Forbidden;
use crate::entity::webhook::{EventPattern, PayloadProfile, Webhook, WebhookState};
use crate::payload::MLFLOW;
use crate::search::python;
use crate::server::context::arguments::{Args, missing, storable, wrong_type};
use crate::server::context::call::Call;
use crate::server::context::error::ApiError;
use crate::server::context::reply::{HandlerResult, Reply};
use crate::server::http::route::{MLFLOW_PREFIXES, Route, RouteAccess};
use crate::text::Text;

/// The longest name of a webhook.
const MAX_NAME: usize = 63;

/// Returns the routes of this module. The required level depends on the webhook's model.
pub fn routes() -> Vec<Route> {
    let one = "/webhooks/{webhook_id}";
    let rows = vec![
        Route::act(Method::POST, "/webhooks", RouteAccess::Caller, create),
        Route::act(Method::GET, "/webhooks", RouteAccess::Caller, list),
        Route::act(Method::GET, one, RouteAccess::Caller, get),
        Route::act(Method::PATCH, one, RouteAccess::Caller, update),
        Route::act(Method::DELETE, one, RouteAccess::Caller, delete),
        Route::act(Method::POST, format!("{one}/test"), RouteAccess::Writer, test),
    ];
    rows.into_iter().flat_map(|row| row.of_mlflow().under(&MLFLOW_PREFIXES)).collect()
}

/// Returns the events of a webhook as MLflow's pairs, sorted by entity and action.
fn pairs(webhook: &Webhook) -> Vec<(&'static str, &'static str)> {
    let alike = |name: &str| match name {
        "registered_model.created" => "REGISTERED_MODEL_CREATED",
        "model_version.created" => "MODEL_VERSION_CREATED",
        "model_version_tag.set" => "MODEL_VERSION_TAG_SET",
        _ => "",
    };
    let held = |name: &&str| webhook.events.iter().any(|e| e.holds(name) || e.as_str() == alike(name));
    let mut out: Vec<_> = MLFLOW.into_iter().filter(held).filter_map(|name| name.split_once('.')).collect();
    out.sort_unstable();
    out
}

/// Returns whether MLflow's API can describe a webhook.
fn is_shown(webhook: &Webhook) -> bool {
    webhook.url.is_some() && !pairs(webhook).is_empty()
}

/// Returns a webhook as MLflow's client reads it, without its secret.
fn shape(webhook: &Webhook) -> Value {
    let events: Vec<Value> = pairs(webhook)
        .into_iter()
        .map(|(entity, action)| json!({"entity": entity.to_uppercase(), "action": action.to_uppercase()}))
        .collect();
    let mut out = Map::new();
    out.insert("webhook_id".to_owned(), json!(webhook.id));
    let name = if webhook.name.is_empty() { webhook.id.as_str() } else { webhook.name.as_str() };
    out.insert("name".to_owned(), json!(name));
    if !webhook.description.is_empty() {
        out.insert("description".to_owned(), json!(webhook.description));
    }
    out.insert("url".to_owned(), json!(webhook.url));
    out.insert("events".to_owned(), json!(events));
    // MLflow has no test mode. Such a webhook receives no events.
    let status = if webhook.state == WebhookState::Active { "ACTIVE" } else { "DISABLED" };
    out.insert("status".to_owned(), json!(status));
    out.insert("creation_timestamp".to_owned(), json!(webhook.created_at.as_millis()));
    let updated = webhook.updated_at.unwrap_or(webhook.created_at);
    out.insert("last_updated_timestamp".to_owned(), json!(updated.as_millis()));
    Value::Object(out)
}

fn answer(webhook: &Webhook) -> HandlerResult {
    Reply::json(&json!({"webhook": shape(webhook)}))
}

/// Checks a name by MLflow's rule, with MLflow's message.
fn name(given: &str) -> Result<Text, ApiError> {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inside = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let fits = given.len() <= MAX_NAME && edge(given.chars().next()) && edge(given.chars().last());
    if fits && given.chars().all(inside) {
        return storable(given, "name");
    }
    Err(ApiError::invalid(format!(
        "Webhook name {} is invalid. It must start and end with a letter or digit, be less than 63 characters long, \
         and contain only letters, digits, dots (.), underscores (_), and hyphens (-).",
        python::text(&crate::text::one_line(given))
    )))
}

/// Checks that the URL has the form of one. The target itself is checked later.
fn url(call: &Call, given: &str) -> Result<Text, ApiError> {
    let shown = || python::text(&crate::text::one_line(given));
    if given.trim().is_empty() {
        return Err(ApiError::invalid(format!("Webhook URL cannot be empty or just whitespace: {}", shown())));
    }
    match call.state.webhooks.client.allow().judge_text(given) {
        // As Python splits URLs: the text before the first colon.
        Err(Forbidden::Scheme | Forbidden::NoHost) if !given.starts_with("https://") => {
            let scheme = given.split_once(':').map_or("", |(scheme, _)| scheme).to_lowercase();
            let scheme = python::text(&crate::text::one_line(&scheme));
            return Err(ApiError::invalid(format!(
                "Invalid webhook URL scheme: {scheme}. Allowed schemes are: https."
            )));
        }
        Err(Forbidden::NoHost) => {
            return Err(ApiError::invalid(format!("Webhook URL must include a hostname: {}", shown())));
        }
        // Other errors are reported where the target is checked, in the same way for both APIs.
        Ok(()) | Err(Forbidden::Scheme | Forbidden::Port | Forbidden::Address) => {}
    }
    storable(given, "url")
}

/// Returns a string that must be present. A string of white space is refused by its own rule, as in MLflow.
fn present<'a>(args: &'a Args, name: &str) -> Result<&'a str, ApiError> {
    args.text(name)?.filter(|text| !text.is_empty()).ok_or_else(|| missing(name))
}

/// Parses an event of MLflow: `{"entity": "MODEL_VERSION", "action": "CREATED"}`.
fn event(value: &Value) -> Result<EventPattern, ApiError> {
    if !value.is_object() {
        return Err(wrong_type("events", value));
    }
    let part = |name: &str| inner(value, "events", name).map(|t| t.unwrap_or_default().to_ascii_lowercase());
    let (entity, action) = (part("entity")?, part("action")?);
    let name = format!("{entity}.{action}");
    let known = MLFLOW.contains(&name.as_str());
    if let Ok(event) = name.parse()
        && known
    {
        return Ok(event);
    }
    let mut valid: Vec<&str> =
        MLFLOW.into_iter().filter_map(|n| n.split_once('.')).filter(|(e, _)| *e == entity).map(|(_, a)| a).collect();
    valid.sort_unstable();
    let (entity, action) = (crate::text::one_line(&entity), crate::text::one_line(&action));
    Err(ApiError::invalid(if valid.is_empty() {
        format!("Invalid webhook event: this registry has no events of the entity '{entity}'.")
    } else {
        let valid: Vec<String> = valid.iter().map(|a| format!("'{a}'")).collect();
        format!("Invalid action '{action}' for entity '{entity}'. Valid actions are: [{}]", valid.join(", "))
    }))
}

/// Returns the given events; empty if there are none.
fn events(args: &Args) -> Result<BTreeSet<EventPattern>, ApiError> {
    match args.value("events")? {
        None => Ok(BTreeSet::new()),
        Some(Value::Array(items)) => items.iter().map(event).collect(),
        Some(other) => Err(wrong_type("events", other)),
    }
}

fn status(args: &Args) -> Result<Option<WebhookState>, ApiError> {
    match args.text("status")? {
        None => Ok(None),
        Some("ACTIVE") => Ok(Some(WebhookState::Active)),
        Some("DISABLED") => Ok(Some(WebhookState::Disabled)),
        Some(other) => {
            let shown = crate::text::one_line(other);
            Err(ApiError::invalid(format!("Invalid webhook status: {shown}. It must be ACTIVE or DISABLED.")))
        }
    }
}

/// Handles POST `webhooks`.
async fn create(call: Call) -> HandlerResult {
    call.once("webhooks/create", create_now).await
}

async fn create_now(call: Call) -> HandlerResult {
    let args = &call.args;
    let new = NewWebhook {
        name: name(present(args, "name")?)?,
        description: storable(args.text("description")?.unwrap_or_default(), "description")?,
        events: events(args)?,
        state: status(args)?.unwrap_or_default(),
        profile: PayloadProfile::Mlflow,
        url: Some(url(&call, present(args, "url")?)?),
        ..NewWebhook::default()
    };
    if new.events.is_empty() {
        return Err(missing("events"));
    }
    let secret = SecretInput::whole(args.text("secret")?)?;
    answer(&make(call, new, SecretChanges { secret, ..SecretChanges::default() }).await?)
}

/// Handles GET `webhooks`: newest first.
async fn list(call: Call) -> HandlerResult {
    let size = page_size(&call, 100)?;
    let mut found = all(&call).await?;
    found.retain(is_shown);
    let (rows, next) = page(&call, found, &["mlflow".to_owned()], size)?;
    let mut out = Map::new();
    if !rows.is_empty() {
        out.insert("webhooks".to_owned(), rows.iter().map(shape).collect());
    }
    out.extend(next.map(|token| ("next_page_token".to_owned(), json!(token))));
    Reply::json(&out)
}

/// Returns the webhook that the path names.
async fn named(call: &Call) -> Result<Webhook, ApiError> {
    let found = find(call, call.segment("webhook_id")).await?;
    if is_shown(&found) { Ok(found) } else { Err(missing_here(&found)) }
}

/// Returns the error for a webhook that MLflow's API cannot describe: for its clients it does not exist.
fn missing_here(webhook: &Webhook) -> ApiError {
    ApiError::not_found(format!("Webhook with ID {} not found.", webhook.id))
}

/// Handles GET `webhooks/{webhook_id}`.
async fn get(call: Call) -> HandlerResult {
    answer(&named(&call).await?)
}

/// Handles PATCH `webhooks/{webhook_id}`: absent and empty fields stay.
async fn update(call: Call) -> HandlerResult {
    let id = call.segment("webhook_id").to_owned();
    answer(&change(call, id, changed).await?)
}

/// Returns the changed webhook.
fn changed(call: &Call, before: &Webhook) -> Result<(NewWebhook, SecretChanges), ApiError> {
    if !is_shown(before) {
        return Err(missing_here(before));
    }
    let (mut new, mut brought) = (as_new(before), SecretChanges::default());
    if let Some(given) = call.args.text("name")?.filter(|n| !n.is_empty()) {
        new.name = name(given)?;
    }
    if let Some(given) = call.args.text("url")?.filter(|u| !u.is_empty()) {
        new.url = Some(url(call, given)?);
    }
    if let Some(given) = call.args.text("description")? {
        new.description = storable(given, "description")?;
    }
    let events = events(&call.args)?;
    if !events.is_empty() && before.profile != PayloadProfile::Mlflow {
        let profile = before.profile.as_str();
        return Err(ApiError::invalid(format!(
            "The events of a webhook with the profile {profile} must be changed where the webhook was created, not \
             here."
        )));
    }
    if !events.is_empty() {
        new.events = events;
    }
    if let Some(state) = status(&call.args)? {
        new.state = state;
    }
    if let Some(secret) = call.args.text("secret")? {
        brought.secret = SecretInput::whole(Some(secret))?;
    }
    Ok((new, brought))
}

/// Handles DELETE `webhooks/{webhook_id}`.
async fn delete(call: Call) -> HandlerResult {
    let webhook = named(&call).await?;
    remove(call, webhook).await?;
    Ok(Reply::done())
}

/// Handles POST `webhooks/{webhook_id}/test`: waits for the receiver. A failure of the receiver is part of a successful
/// response.
async fn test(call: Call) -> HandlerResult {
    let webhook = named(&call).await?;
    let asked = match call.args.value("event")? {
        Some(value) => event(value)?.to_string(),
        None => match pairs(&webhook).first() {
            Some((entity, action)) => format!("{entity}.{action}"),
            None => return Err(missing("event")),
        },
    };
    // A webhook with Databricks' profile has other names for the same events.
    let asked = match (webhook.profile, asked.as_str()) {
        (PayloadProfile::Databricks, "registered_model.created") => "REGISTERED_MODEL_CREATED".to_owned(),
        (PayloadProfile::Databricks, "model_version.created") => "MODEL_VERSION_CREATED".to_owned(),
        (PayloadProfile::Databricks, "model_version_tag.set") => "MODEL_VERSION_TAG_SET".to_owned(),
        _ => asked,
    };
    let result = match attempt(&call, webhook, Some(asked)).await? {
        Ok(answer) => json!({
            "success": answer.status < 400,
            "response_status": answer.status,
            "response_body": String::from_utf8_lossy(&answer.body),
        }),
        Err(TrialError::Tree(e)) => return Err(e.into()),
        Err(TrialError::NoEvent(why)) => return Err(ApiError::invalid(why)),
        Err(e @ (TrialError::Disabled | TrialError::NoAnswer(_))) => {
            json!({"success": false, "error_message": format!("Failed to test webhook: {e}")})
        }
    };
    Reply::json(&json!({"result": result}))
}
