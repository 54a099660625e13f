//! The caller as a SCIM user.

use axum::http::{HeaderName, HeaderValue};
use axum::response::IntoResponse as _;
use serde_json::{Value, json};

use crate::name::GroupName;
use crate::server::context::call::Call;
use crate::server::context::reply::{HandlerResult, Reply};

/// Handles GET `/api/2.0/preview/scim/v2/Me`. The response may show the e-mail addresses, because they are the caller's
/// own.
pub fn me(call: &Call) -> HandlerResult {
    let user = &call.caller.user;
    let person = call.catalog.people().get(user);
    let emails = person.into_iter().flat_map(|p| &p.emails).enumerate();
    let emails: Vec<Value> =
        emails.map(|(n, email)| json!({ "value": email, "type": "work", "primary": n == 0 })).collect();
    let groups = call.standing.groups().iter().filter(|g| **g != GroupName::everyone());
    let groups: Vec<Value> = groups.map(|g| json!({ "display": g, "value": g, "type": "direct" })).collect();
    let answer = Reply::json(&json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": user,
        "userName": user,
        "displayName": call.caller.name,
        "active": true,
        "emails": emails,
        "groups": groups,
    }))?;
    let mut response = answer.into_response();
    if let Ok(number) = HeaderValue::from_str(&workspace(call).to_string()) {
        response.headers_mut().insert(HeaderName::from_static("x-databricks-org-id"), number);
    }
    Ok(Reply::Other(response))
}

/// Returns a number for the registry where a client wants a workspace id: from the random end of the registry's id, and
/// small enough for JSON numbers.
fn workspace(call: &Call) -> u64 {
    let digits = call.catalog.settings().map(|s| s.id.as_str().replace('-', "")).unwrap_or_default();
    let end = digits.get(digits.len().saturating_sub(13)..).unwrap_or_default();
    u64::from_str_radix(end, 16).unwrap_or(0)
}
