//! Databricks' `registry-webhooks` API: create, list, update, delete, test.
//!
//! A webhook that is created here has the profile `databricks`. Webhooks of other profiles are listed, too, with the
//! event names in their files. Clients ignore names that they do not know.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::{
    SecretChanges, SecretInput, all, as_new, attempt, change, delete as remove, find, inner, make, page, page_size,
};
use crate::action::NewWebhook;
use crate::deliver::webhook::TrialError;
use crate::entity::webhook::{EventPattern, JobParams, PayloadProfile, Webhook, WebhookJob, WebhookState};
use crate::name::ModelName;
use crate::payload::DATABRICKS;
use crate::server::context::arguments::{Args, missing, storable, wrong_type};
use crate::server::context::call::Call;
use crate::server::context::error::{ApiError, Code};
use crate::server::context::reply::{HandlerResult, Reply};
use crate::server::http::route::{MLFLOW_PREFIXES, Route, RouteAccess};

/// Returns the routes of this module. The required level depends on the webhook's model.
pub fn routes() -> Vec<Route> {
    let rows = vec![
        Route::act(Method::POST, "/registry-webhooks/create", RouteAccess::Caller, create),
        Route::act(Method::GET, "/registry-webhooks/list", RouteAccess::Caller, list),
        Route::act(Method::PATCH, "/registry-webhooks/update", RouteAccess::Caller, update),
        Route::act(Method::DELETE, "/registry-webhooks/delete", RouteAccess::Caller, delete),
        Route::act(Method::POST, "/registry-webhooks/test", RouteAccess::Writer, test),
    ];
    rows.into_iter().flat_map(|row| row.lenient().under(&MLFLOW_PREFIXES)).collect()
}

/// Returns a webhook as Databricks' clients read it, without secrets.
fn shape(webhook: &Webhook) -> Value {
    let mut out = Map::new();
    out.insert("id".to_owned(), json!(webhook.id));
    out.insert("creation_timestamp".to_owned(), json!(webhook.created_at.as_millis()));
    let updated = webhook.updated_at.unwrap_or(webhook.created_at);
    out.insert("last_updated_timestamp".to_owned(), json!(updated.as_millis()));
    out.insert("status".to_owned(), json!(webhook.state));
    out.insert("events".to_owned(), json!(webhook.events));
    if !webhook.description.is_empty() {
        out.insert("description".to_owned(), json!(webhook.description));
    }
    if let Some(model) = &webhook.model {
        out.insert("model_name".to_owned(), json!(model));
    }
    if let Some(url) = &webhook.url {
        let spec = json!({"url": url, "enable_ssl_verification": !webhook.insecure});
        out.insert("http_url_spec".to_owned(), spec);
    }
    if let Some(job) = &webhook.job {
        let spec = json!({"job_id": job.id, "workspace_url": job.workspace_url});
        out.insert("job_spec".to_owned(), spec);
    }
    Value::Object(out)
}

/// Returns the requested events; empty if there are none.
fn events(args: &Args) -> Result<BTreeSet<EventPattern>, ApiError> {
    let known = |name: String| {
        // As for stages, Databricks' documentation accepts any case.
        let known = DATABRICKS.into_iter().find(|known| known.eq_ignore_ascii_case(&name));
        let event: Result<EventPattern, _> = known.unwrap_or(&name).parse();
        event.map_err(|_| {
            let shown = crate::text::one_line(&name);
            ApiError::invalid(format!("Invalid webhook event: {shown}. It must be one of {}.", DATABRICKS.join(", ")))
        })
    };
    args.texts("events")?.into_iter().map(known).collect()
}

fn status(args: &Args) -> Result<Option<WebhookState>, ApiError> {
    let Some(given) = args.text("status")? else { return Ok(None) };
    let found = WebhookState::ALL.into_iter().find(|s| s.as_str().eq_ignore_ascii_case(given));
    let wrong = || {
        let shown = crate::text::one_line(given);
        ApiError::invalid(format!("Invalid webhook status: {shown}. It must be ACTIVE, DISABLED or TEST_MODE."))
    };
    found.map(Some).ok_or_else(wrong)
}

/// Reads the target from the arguments. A given target replaces the whole of the other kind.
fn target(args: &Args, new: &mut NewWebhook, brought: &mut SecretChanges) -> Result<(), ApiError> {
    match (args.value("http_url_spec")?, args.value("job_spec")?) {
        (Some(_), Some(_)) => Err(ApiError::invalid("Give either http_url_spec or job_spec, not both.")),
        (Some(spec), None) => {
            let spec = object(spec, "http_url_spec")?;
            let part = |name: &str| inner(spec, "http_url_spec", name);
            let url = part("url")?.filter(|u| !u.is_empty()).ok_or_else(|| missing("http_url_spec.url"))?;
            (new.url, new.job) = (Some(storable(url, "http_url_spec.url")?), None);
            new.insecure = match spec.get("enable_ssl_verification") {
                None | Some(Value::Null) => false,
                Some(Value::Bool(verify)) => !verify,
                Some(Value::String(verify)) if verify.eq_ignore_ascii_case("true") => false,
                Some(Value::String(verify)) if verify.eq_ignore_ascii_case("false") => true,
                Some(other) => return Err(wrong_type("http_url_spec.enable_ssl_verification", other)),
            };
            brought.secret = SecretInput::whole(part("secret")?)?;
            brought.authorization = SecretInput::whole(part("authorization")?)?;
            Ok(())
        }
        (None, Some(spec)) => {
            let spec = object(spec, "job_spec")?;
            let part = |name: &str| inner(spec, "job_spec", name);
            let needed = |name: &str| {
                let found = part(name)?.filter(|t| !t.is_empty());
                found.ok_or_else(|| missing(&format!("job_spec.{name}")))
            };
            let params = new.job.as_ref().map_or(JobParams::default(), |job| job.params);
            let id = storable(needed("job_id")?, "job_spec.job_id")?;
            let workspace_url = storable(needed("workspace_url")?, "job_spec.workspace_url")?;
            (new.url, new.insecure) = (None, false);
            new.job = Some(WebhookJob { id, workspace_url, params });
            brought.secret = SecretInput::None;
            brought.authorization = SecretInput::whole(Some(needed("access_token")?))?;
            Ok(())
        }
        (None, None) => Ok(()),
    }
}

fn object<'v>(value: &'v Value, name: &str) -> Result<&'v Value, ApiError> {
    if value.is_object() { Ok(value) } else { Err(wrong_type(name, value)) }
}

fn answer(webhook: &Webhook) -> HandlerResult {
    Reply::json(&json!({"webhook": shape(webhook)}))
}

/// Handles POST `registry-webhooks/create`.
async fn create(call: Call) -> HandlerResult {
    call.once("registry-webhooks/create", create_now).await
}

async fn create_now(call: Call) -> HandlerResult {
    let args = &call.args;
    let mut new = NewWebhook {
        description: storable(args.text("description")?.unwrap_or_default(), "description")?,
        model: args.text("model_name")?.filter(|m| !m.is_empty()).map(ModelName::new).transpose()?,
        events: events(args)?,
        state: status(args)?.unwrap_or_default(),
        profile: PayloadProfile::Databricks,
        ..NewWebhook::default()
    };
    if new.events.is_empty() {
        return Err(missing("events"));
    }
    let mut brought = SecretChanges::default();
    target(args, &mut new, &mut brought)?;
    if new.url.is_none() && new.job.is_none() {
        return Err(ApiError::invalid("A webhook needs a target: give http_url_spec or job_spec."));
    }
    answer(&make(call, new, brought).await?)
}

/// Handles GET `registry-webhooks/list`.
async fn list(call: Call) -> HandlerResult {
    let size = page_size(&call, 1000)?;
    let model = call.args.text("model_name")?.filter(|m| !m.is_empty()).map(str::to_owned);
    let events = events(&call.args)?;
    let mut found = all(&call).await?;
    found.retain(|w| model.is_none() || w.model.as_ref().map(ModelName::as_str) == model.as_deref());
    found.retain(|w| events.is_empty() || w.events.iter().any(|e| events.contains(e)));
    let asked: Vec<String> =
        ["databricks".to_owned()].into_iter().chain(model).chain(events.iter().map(ToString::to_string)).collect();
    let (rows, next) = page(&call, found, &asked, size)?;
    let mut out = Map::new();
    if !rows.is_empty() {
        out.insert("webhooks".to_owned(), rows.iter().map(shape).collect());
    }
    out.extend(next.map(|token| ("next_page_token".to_owned(), json!(token))));
    Reply::json(&out)
}

/// Handles PATCH `registry-webhooks/update`: absent fields stay.
async fn update(call: Call) -> HandlerResult {
    let id = call.args.required("id")?.to_owned();
    answer(&change(call, id, changed).await?)
}

/// Returns the changed webhook.
fn changed(call: &Call, before: &Webhook) -> Result<(NewWebhook, SecretChanges), ApiError> {
    let (mut new, mut brought) = (as_new(before), SecretChanges::default());
    let events = events(&call.args)?;
    if !events.is_empty() {
        new.events = events;
    }
    if let Some(given) = call.args.text("description")? {
        new.description = storable(given, "description")?;
    }
    if let Some(state) = status(&call.args)? {
        new.state = state;
    }
    target(&call.args, &mut new, &mut brought)?;
    Ok((new, brought))
}

/// Handles DELETE `registry-webhooks/delete`.
async fn delete(call: Call) -> HandlerResult {
    let webhook = find(&call, call.args.required("id")?).await?;
    remove(call, webhook).await?;
    Ok(Reply::done())
}

/// Handles POST `registry-webhooks/test`: waits for the receiver and returns its response.
async fn test(call: Call) -> HandlerResult {
    let webhook = find(&call, call.args.required("id")?).await?;
    let event = call.args.text("event")?.filter(|e| !e.is_empty()).map(str::to_owned);
    match attempt(&call, webhook, event).await? {
        Ok(answer) => {
            let body = String::from_utf8_lossy(&answer.body);
            // Databricks' documentation says `status`, but its clients read `status_code`.
            Reply::json(&json!({"status_code": answer.status, "body": body, "status": answer.status}))
        }
        Err(TrialError::Tree(e)) => Err(e.into()),
        Err(TrialError::NoEvent(why)) => Err(ApiError::invalid(why)),
        Err(e @ TrialError::Disabled) => Err(ApiError::new(Code::InvalidState, e.to_string())),
        Err(TrialError::NoAnswer(why)) => {
            Err(ApiError::new(Code::BadRequest, format!("The webhook's target did not respond: {why}.")))
        }
    }
}
