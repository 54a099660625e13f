//! Greenroom's own API, for what the other APIs lack: lists of comments and activities, requests across models, the
//! registry as of a moment, and the feed of events. `examples/server/API.md` describes each path.

mod as_of;
mod comments;
pub mod events;
mod feed;
mod requests;
mod stream;

use axum::http::Method;

use crate::entity::PermissionLevel;
use crate::index::Index;
use crate::registry::Registry;
use crate::server::context::call::Call;
use crate::server::context::error::ApiError;
use crate::server::http::route::{Route, RouteAccess};
use crate::time::Timestamp;
use crate::tree::Oid;

/// The prefix of this API.
pub const PREFIX: &str = "/api/greenroom";

/// Returns the routes of this module.
pub fn routes() -> Vec<Route> {
    let read = RouteAccess::Model(PermissionLevel::CanRead);
    let get = Method::GET;
    let rows = vec![
        Route::act(get.clone(), "/models/get", read, as_of::model),
        Route::act(get.clone(), "/models/list", RouteAccess::Caller, as_of::models),
        Route::act(get.clone(), "/versions/get", read, as_of::version),
        Route::act(get.clone(), "/comments/list", read, comments::comments),
        Route::act(get.clone(), "/activities/list", read, comments::activities),
        Route::act(get.clone(), "/requests/list", RouteAccess::Caller, requests::list),
        Route::act(get, "/events", RouteAccess::Caller, feed::events),
    ];
    rows.into_iter().flat_map(|row| row.under(&[PREFIX])).collect()
}

/// Returns the page size: `max_results`, or 100 by default, at most 1000.
fn size(call: &Call) -> Result<usize, ApiError> {
    Ok(crate::search::PageLimits::MODELS.size(call.args.number("max_results")?.as_deref())?.get())
}

/// Returns the commit of the first-parent history that a time or an id names. Other revisions are refused: git would
/// resolve branches that are not merged.
fn moment(registry: &Registry, index: &mut Index<'_>, given: &str) -> Result<Oid, ApiError> {
    if given.parse::<Timestamp>().is_ok() {
        return Ok(registry.moment(given)?);
    }
    let is_hex = (7..=64).contains(&given.len()) && given.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_hex {
        let shown = crate::text::quoted(given);
        return Err(ApiError::invalid(format!("{shown} is neither a time such as 2026-03-01T12:00:00Z nor a commit.")));
    }
    let commit = registry.moment(given)?;
    index.number(commit)?;
    Ok(commit)
}
