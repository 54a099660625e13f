//! The caller's mail settings, to read and to change, and the unsubscribe links of mails.

mod unsubscribe;

use std::sync::Arc;

use axum::http::Method;
use serde_json::Value;

use crate::action::Action;
use crate::audience::{self, Subscription, VersionInvolvement};
use crate::entity::Person;
use crate::entity::person::{Cadence, Notify};
use crate::index::Index;
use crate::name::{ModelName, UserName};
use crate::server::context::arguments::wrong_type;
use crate::server::context::call::Call;
use crate::server::context::catalog::ModelCard;
use crate::server::context::error::{ApiError, Code};
use crate::server::context::reply::{HandlerResult, Reply};
use crate::server::context::state::ServerState;
use crate::server::http::route::{Route, RouteAccess};
use crate::view::{MailPreferences, ModelChoice, ModelMailPreferences, VersionFollowing};

/// The path of the settings.
const PATH: &str = "/api/greenroom/notifications";

/// The path of links in mails.
const UNSUBSCRIBE: &str = "/api/greenroom/unsubscribe";

/// How often a change is tried again because the person's file changed meanwhile.
const ATTEMPTS: usize = 5;

/// Returns the routes of this module.
pub fn routes() -> Vec<Route> {
    vec![
        Route::act(Method::GET, PATH, RouteAccess::Caller, show),
        Route::act(Method::POST, PATH, RouteAccess::Caller, change),
        Route::visit(Method::GET, UNSUBSCRIBE, unsubscribe::explain),
        Route::visit(Method::POST, UNSUBSCRIBE, unsubscribe::unsubscribe),
    ]
}

/// Returns the calling person, who must have a file in the registry.
fn person(call: &Call) -> Result<&Person, ApiError> {
    let user = &call.caller.user;
    call.catalog
        .people()
        .get(user)
        .ok_or_else(|| ApiError::not_found(format!("This registry has no person '{user}' to whom mail can be sent.")))
}

/// Returns the current name of a model, then its former names that no other model has now.
async fn names(state: &ServerState, model: ModelName) -> Result<Vec<ModelName>, ApiError> {
    state.read(move |registry| Ok(Index::open(registry, &mut |_| {})?.names_of(&model)?)).await
}

/// Handles GET `notifications`; with `name` for one model, with `version` for one version.
async fn show(call: Call) -> HandlerResult {
    let model = match call.args.text("name")? {
        Some(_) => Some(Arc::clone(call.named_model()?)),
        None => None,
    };
    let Some(model) = model else { return Reply::output(&of_person(&call, person(&call)?)) };
    let version = match call.args.number("version")? {
        Some(_) => Some(version(&call, &model)?),
        None => None,
    };
    let (name, user) = (model.name.clone(), call.caller.user.clone());
    let (names, tie) = call
        .read(move |registry| {
            let mut index = Index::open(registry, &mut |_| {})?;
            let tie = version.map(|v| index.ties(&name, v, None)).transpose()?;
            Ok((index.names_of(&name)?, tie.and_then(|ties| ties.get(&user).copied())))
        })
        .await?;
    Reply::output(&of_model(person(&call)?, &call.caller.user, &model, &names, version.map(|v| (v, tie))))
}

/// Returns the version that the argument names; it must exist.
fn version(call: &Call, model: &ModelCard) -> Result<u64, ApiError> {
    let number = super::parameters::version_number(&call.args)?;
    let there = number.filter(|n| model.version(*n).is_some());
    there.ok_or_else(|| crate::apply::Refusal::no_version(&model.name, number.unwrap_or(0)).into())
}

/// What holds for all models, and what was said about those that the caller may read.
fn of_person(call: &Call, person: &Person) -> MailPreferences {
    let wishes = &person.notifications;
    let mailing = call.catalog.settings().map(|s| s.notifications.clone()).unwrap_or_default();
    let readable = |name: &ModelName| call.model(name).is_ok();
    let said = wishes.models.iter().filter(|(name, _)| readable(name));
    MailPreferences {
        person: call.caller.user.clone(),
        address: person.emails.first().cloned(),
        off: wishes.off,
        registry_off: mailing.off,
        digest: wishes.digest,
        mute_approvals: wishes.mute_approvals,
        daily_cap: mailing.cap(),
        models: said.map(|(name, said)| ModelChoice { model: name.clone(), said: said.clone() }).collect(),
    }
}

/// Returns a person's settings for a model, and for one version of it.
fn of_model(
    person: &Person,
    user: &UserName,
    model: &ModelCard,
    names: &[ModelName],
    version: Option<(u64, Option<VersionInvolvement>)>,
) -> ModelMailPreferences {
    let said = audience::said(person, names);
    let registered = model.created_by == *user;
    let (notify, chosen) = audience::preference(said, registered);
    let (number, tie) = (version.map(|(v, _)| v), version.and_then(|(_, tie)| tie));
    let following = |(version, tie)| {
        let reason = audience::follows(said, version, tie);
        VersionFollowing { version, follows: reason.is_some(), because: reason.map(|reason| reason.to_string()) }
    };
    ModelMailPreferences {
        model: model.name.clone(),
        notify,
        chosen,
        follow: said.map(|s| s.follow.clone()).unwrap_or_default(),
        unfollow: said.map(|s| s.unfollow.clone()).unwrap_or_default(),
        email_subscription_status: Subscription::of(person, names, registered, number, tie).as_str(),
        version: version.map(following),
    }
}

/// The requested change.
struct NotificationUpdate {
    off: Option<bool>,
    digest: Option<Cadence>,
    mute_approvals: Option<bool>,
    model: Option<ModelName>,
    /// The outer `None` leaves the setting; the inner `None` sets the default.
    notify: Option<Option<Notify>>,
    follow: Vec<u64>,
    unfollow: Vec<u64>,
}

/// Handles POST `notifications`.
async fn change(call: Call) -> HandlerResult {
    let wanted = wanted(&call)?;
    person(&call)?;
    let names = match &wanted.model {
        Some(model) => names(&call.state, model.clone()).await?,
        None => Vec::new(),
    };
    if call.caller.read_only {
        return Err(ApiError::denied("This token may only read."));
    }
    let landed = of_own_file(&call.state, &call.caller, |p| apply(p, &wanted, &names)).await?;
    if let Some(commit) = landed.commit {
        let _ = call.made.set(commit);
    }
    let now = landed.catalog.people().get(&call.caller.user).cloned().unwrap_or_default();
    match wanted.model.as_ref().and_then(|name| landed.catalog.model(name.as_str())) {
        Some(model) => Reply::output(&of_model(&now, &call.caller.user, model, &names, None)),
        None => Reply::output(&of_person(&call, &now)),
    }
}

fn apply(person: &mut Person, wanted: &NotificationUpdate, names: &[ModelName]) {
    let wishes = &mut person.notifications;
    wishes.off = wanted.off.unwrap_or(wishes.off);
    wishes.digest = wanted.digest.unwrap_or(wishes.digest);
    wishes.mute_approvals = wanted.mute_approvals.unwrap_or(wishes.mute_approvals);
    wishes.change_under(names, |m| {
        m.notify = wanted.notify.unwrap_or(m.notify);
        wanted.follow.iter().for_each(|v| m.follow(*v));
        wanted.unfollow.iter().for_each(|v| m.unfollow(*v));
    });
}

/// Changes a person's own file in the person's name. Tries again if the file changed meanwhile.
async fn of_own_file(
    state: &ServerState,
    caller: &Arc<crate::server::context::auth::Caller>,
    change: impl Fn(&mut Person),
) -> Result<crate::server::context::writer::ChangeResult, ApiError> {
    let mut last = ApiError::stopping();
    for _ in 0..ATTEMPTS {
        let catalog = state.catalog().await?;
        let gone = || ApiError::not_found(format!("There is no person '{}' in this registry.", caller.user));
        let before = catalog.people().get(&caller.user).ok_or_else(gone)?;
        let mut person = before.clone();
        change(&mut person);
        let seen = Some(Box::new(before.clone()));
        let action = Action::ChangePerson { user: caller.user.clone(), person, seen };
        match state.write(Arc::clone(caller), vec![action], String::new()).await {
            Err(e) if e.code == Code::ResourceConflict => last = e,
            other => return other,
        }
    }
    Err(last)
}

/// Parses the requested change.
fn wanted(call: &Call) -> Result<NotificationUpdate, ApiError> {
    let args = &call.args;
    let off = match args.value("off")? {
        Some(Value::Bool(off)) => Some(*off),
        Some(other) => return Err(wrong_type("off", other)),
        None => None,
    };
    let one_of = |name: &str, words: &[&str]| {
        ApiError::invalid(format!(
            "Invalid value for parameter '{name}' supplied: it must be one of {}.",
            words.join(", ")
        ))
    };
    let digest = match args.text("digest")? {
        Some(word) => {
            let found = Cadence::ALL.into_iter().find(|c| c.as_str() == word);
            Some(found.ok_or_else(|| one_of("digest", &Cadence::ALL.map(Cadence::as_str)))?)
        }
        None => None,
    };
    let notify = match args.text("notify")? {
        Some("default") => Some(None),
        Some(word) => {
            let found = Notify::ALL.into_iter().find(|n| n.as_str() == word);
            Some(Some(found.ok_or_else(|| one_of("notify", &["all", "followed", "mute", "default"]))?))
        }
        None => None,
    };
    let (follow, unfollow) = (versions(call, "follow")?, versions(call, "unfollow")?);
    let of_model = notify.is_some() || !follow.is_empty() || !unfollow.is_empty();
    let model = match args.text("name")? {
        None if of_model => return Err(crate::server::context::arguments::missing("name")),
        None => None,
        Some(_) => {
            let model = call.named_model()?;
            let missing = follow.iter().chain(&unfollow).find(|v| model.version(**v).is_none());
            if let Some(version) = missing {
                return Err(crate::apply::Refusal::no_version(&model.name, *version).into());
            }
            Some(model.name.clone())
        }
    };
    let mute_approvals = args.value("mute_approvals")?.map(|_| args.flag("mute_approvals")).transpose()?;
    Ok(NotificationUpdate { off, digest, mute_approvals, model, notify, follow, unfollow })
}

/// Parses numbers of versions, as numbers or as strings.
fn versions(call: &Call, name: &str) -> Result<Vec<u64>, ApiError> {
    let Some(value) = call.args.value(name)? else { return Ok(Vec::new()) };
    let Value::Array(items) = value else { return Err(wrong_type(name, value)) };
    let number = |item: &Value| match item {
        Value::Number(n) => n.as_u64(),
        Value::String(s) => s.parse().ok(),
        _ => None,
    };
    items.iter().map(|item| number(item).filter(|n| *n > 0).ok_or_else(|| wrong_type(name, item))).collect()
}
