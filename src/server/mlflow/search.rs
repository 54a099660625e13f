//! Searches of models and versions.

use std::sync::Arc;

use super::shapes::{Model, Models, Version, Versions, commit_text};
use crate::search::{PageLimits, Query, Start};
use crate::server::call::Call;
use crate::server::catalog::{Catalog, Hit, ModelCard};
use crate::server::error::ApiError;
use crate::server::route::{Answer, Reply};

/// GET `registered-models/search`
pub fn models(call: &Call) -> Answer {
    page_of_models(call, |rows, next_page_token| {
        Reply::json(&Models { registered_models: rows.iter().map(|m| Model::of(m)).collect(), next_page_token })
    })
}

/// Answers a search of models with what is made of a page and the token of the next.
pub fn page_of_models(call: &Call, show: impl FnOnce(&[&ModelCard], Option<String>) -> Answer) -> Answer {
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

/// GET `model-versions/search`
pub fn versions(call: &Call) -> Answer {
    page_of_versions(call, PageLimits::VERSIONS, |_, rows, next_page_token| {
        let model_versions = rows.iter().map(|hit| Version::of(hit.model, hit.version)).collect();
        Reply::json(&Versions { model_versions, next_page_token })
    })
}

/// Answers a search of versions, in pages of these sizes, with what is made of a page and the token of the next.
pub fn page_of_versions<T>(
    call: &Call,
    limits: PageLimits,
    show: impl FnOnce(&Arc<Catalog>, &[Hit<'_>], Option<String>) -> Result<T, ApiError>,
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

/// The state that a page is of: that of the first page, as long as it is kept; then the newest.
fn of_page(call: &Call, start: &Start) -> Arc<Catalog> {
    let kept = start.commit.as_deref().and_then(|commit| call.state.kept(commit, &call.catalog));
    kept.unwrap_or_else(|| Arc::clone(&call.catalog))
}

/// Which models of a page the caller may see. Permissions are always those of now, of whatever state the page is, and go by
/// the model's id, for its name may be another's by now. What is gone since is not shown: nobody can say any more who may
/// see it.
fn may_see<'c>(call: &'c Call, page: &Arc<Catalog>) -> impl Fn(&ModelCard) -> bool + use<'c> {
    let is_newest = Arc::ptr_eq(page, &call.catalog);
    move |model| match is_newest {
        true => call.standing.reads(model),
        false => call.catalog.model_by_id(&model.id).is_some_and(|now| call.standing.reads(now)),
    }
}
