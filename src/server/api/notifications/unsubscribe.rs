//! The unsubscribe links of mails. A token names a person and the mail to turn off, and allows nothing else. Opening
//! the link shows an explanation. Only the button of that page, or a mail program's one click (RFC 8058), makes a
//! change.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse as _;

use super::{UNSUBSCRIBE, names, of_own_file};
use crate::deliver::mail::{self, Scope};
use crate::entity::person::Notify;
use crate::name::{ModelName, UserName};
use crate::server::context::auth::Caller;
use crate::server::context::call::AnonymousCall;
use crate::server::context::catalog::Catalog;
use crate::server::context::error::ApiError;
use crate::server::context::reply::{HandlerResult, Reply};
use crate::text::{one_line, to_html};

/// The permissions of the pages: send their own form, and nothing else.
const POLICY: &str = "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The request that a token makes.
struct UnsubscribeScope {
    user: UserName,
    /// The model. `None` for all mail of the registry.
    model: Option<ModelName>,
    token: String,
}

/// Handles GET `unsubscribe`: shows what the button does, and changes nothing.
pub(super) async fn explain(visit: AnonymousCall) -> HandlerResult {
    let Some(asked) = asked(&visit, &*visit.state.catalog().await?).await? else { return Ok(gone()) };
    let what = what(&asked);
    let form = format!(
        "<p>{} will get no more {what}.</p>\n<form method=\"post\" action=\"{UNSUBSCRIBE}?token={}\">\
         <button>Get no more {what}</button></form>",
        to_html(&one_line(asked.user.as_str())),
        to_html(&one_line(&asked.token))
    );
    Ok(page(&form))
}

/// Handles POST `unsubscribe`: turns that mail off, by a commit in the person's name. A repeated request changes
/// nothing.
pub(super) async fn unsubscribe(visit: AnonymousCall) -> HandlerResult {
    let catalog = visit.state.catalog().await?;
    let Some(asked) = asked(&visit, &catalog).await? else { return Ok(gone()) };
    let person = catalog.people().get(&asked.user);
    let Some(caller) = person.and_then(|p| Caller::of(&asked.user, p)).map(Arc::new) else { return Ok(gone()) };
    let names = match &asked.model {
        Some(model) => names(&visit.state, model.clone()).await?,
        None => Vec::new(),
    };
    let landed = of_own_file(&visit.state, &caller, |p| match &asked.model {
        Some(_) => p.notifications.change_under(&names, |m| m.notify = Some(Notify::Mute)),
        None => p.notifications.off = true,
    });
    if let Some(commit) = landed.await?.commit {
        let _ = visit.made.set(commit);
    }
    let back = match &asked.model {
        Some(model) => format!("greenroom notify model {model} default"),
        None => "greenroom notify on".to_owned(),
    };
    let done = format!(
        "<p>Done: you get no more {}.</p>\n<p>To get it again: <code>{}</code></p>",
        what(&asked),
        to_html(&one_line(&back))
    );
    Ok(page(&done))
}

/// Returns the request of the token in the URL. `None` if the person or model no longer exists.
async fn asked(visit: &AnonymousCall, catalog: &Catalog) -> Result<Option<UnsubscribeScope>, ApiError> {
    let token = visit.args.text("token")?.unwrap_or_default().to_owned();
    let given = token.clone();
    let read = visit.state.read(move |registry| {
        let key = mail::key(registry).map_err(|e| ApiError::internal(&e))?;
        Ok(key.read(&given))
    });
    let (user, scope) = read.await?.ok_or_else(|| ApiError::denied("This server did not create this link."))?;
    if !catalog.people().contains_key(&user) {
        return Ok(None);
    }
    let model = match scope {
        Scope::Registry => None,
        Scope::Model(id) => match catalog.model_by_id(&id) {
            Some(model) => Some(model.name.clone()),
            None => return Ok(None),
        },
    };
    Ok(Some(UnsubscribeScope { user, model, token }))
}

/// Returns the mail that is turned off, as HTML.
fn what(asked: &UnsubscribeScope) -> String {
    match &asked.model {
        Some(model) => format!("mail about {}", to_html(&one_line(model.as_str()))),
        None => "mail of this registry".to_owned(),
    }
}

/// Returns the page for a person or model that no longer exists.
fn gone() -> Reply {
    page("<p>There is nothing left to turn off: the person or the model no longer exists.</p>")
}

fn page(body: &str) -> Reply {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Mail</title></head>\n<body>\n{body}\n\
         </body></html>\n"
    );
    let mut response = (StatusCode::OK, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // With `no-referrer`, a browser sends the form with the origin `null`, which is refused as cross-site.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    Reply::Other(response)
}
