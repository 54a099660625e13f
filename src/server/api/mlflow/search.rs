//! Searches of models and versions.

use std::sync::Arc;

use super::shapes::{Model, Models, Version, Versions, commit_text};
use crate::search::{PageLimits, PageStart, Query};
use crate::server::context::call::Call;
use crate::server::context::catalog::{Catalog, ModelCard, VersionHit};
use crate::server::context::error::ApiError;
use crate::server::context::reply::{HandlerResult, Reply};

/// Handles GET `registered-models/search`.
pub fn models(call: &Call) -> HandlerResult {
    page_of_models(call, |rows, next_page_token| {
        Reply::json(&Models { registered_models: rows.iter().map(|m| Model::of(m)).collect(), next_page_token })
    })
}

/// Searches models. `show` makes the response of a page and the token of the next page.
///
/// # Errors
///
/// `INVALID_PARAMETER_VALUE` when the filter, the order, the page size or the page token is invalid.
pub fn page_of_models(call: &Call, show: impl FnOnce(&[&ModelCard], Option<String>) -> HandlerResult) -> HandlerResult {
    let size = PageLimits::MODELS.size(call.args.number("max_results")?.as_deref())?;
    let query = Query::models(call.args.text("filter")?.unwrap_or_default(), &call.args.texts("order_by")?)?;
    let start = query.start(call.args.text("page_token")?.unwrap_or_default(), &call.state.token_key)?;
    let catalog = of_page(call, &start);
    let page = catalog.search_models(may_see(call, &catalog), &query, start.offset, size);
    let next = page.next.map(|offset| query.token(offset, &commit_text(catalog.commit()), &call.state.token_key));
    if next.is_some() {
        call.state.keep(&catalog);
    }
    show(&page.rows, next)
}

/// Handles GET `model-versions/search`.
pub fn versions(call: &Call) -> HandlerResult {
    page_of_versions(call, PageLimits::VERSIONS, |_, rows, next_page_token| {
        let model_versions = rows.iter().map(|hit| Version::of(hit.model, hit.version)).collect();
        Reply::json(&Versions { model_versions, next_page_token })
    })
}

/// Searches versions, in pages within these limits. `show` makes the response of a page and the token of the next page.
///
/// # Errors
///
/// `INVALID_PARAMETER_VALUE` when the filter, the order, the page size or the page token is invalid.
pub fn page_of_versions<T>(
    call: &Call,
    limits: PageLimits,
    show: impl FnOnce(&Arc<Catalog>, &[VersionHit<'_>], Option<String>) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    let size = limits.size(call.args.number("max_results")?.as_deref())?;
    let query = Query::versions(call.args.text("filter")?.unwrap_or_default(), &call.args.texts("order_by")?)?;
    let start = query.start(call.args.text("page_token")?.unwrap_or_default(), &call.state.token_key)?;
    let catalog = of_page(call, &start);
    let page = catalog.search_versions(may_see(call, &catalog), &query, start.offset, size);
    let next = page.next.map(|offset| query.token(offset, &commit_text(catalog.commit()), &call.state.token_key));
    if next.is_some() {
        call.state.keep(&catalog);
    }
    show(&catalog, &page.rows, next)
}

/// Returns the catalog of a page: the catalog of the first page as long as it is kept, or else the newest.
fn of_page(call: &Call, start: &PageStart) -> Arc<Catalog> {
    let kept = start.commit.as_deref().and_then(|commit| call.state.kept(commit, &call.catalog));
    kept.unwrap_or_else(|| Arc::clone(&call.catalog))
}

/// Returns which models of a page the caller may see. Permissions are always the current ones, whatever catalog the
/// page uses. They are looked up by the model's id, because another model may have its name now. A model that was
/// deleted since is not shown, because its permissions are unknown.
fn may_see<'c>(call: &'c Call, page: &Arc<Catalog>) -> impl Fn(&ModelCard) -> bool + use<'c> {
    let is_newest = Arc::ptr_eq(page, &call.catalog);
    move |model| match is_newest {
        true => call.standing.reads(model),
        false => call.catalog.model_by_id(&model.id).is_some_and(|now| call.standing.reads(now)),
    }
}
