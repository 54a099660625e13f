//! The API of Databricks' workspace registry, as databricks-sdk and Terraform use it, on top of the same actions as all
//! other APIs.
//!
//! The parts that it shares with MLflow's API are in that module. As there, people are shown by their ids. An id may be
//! a pseudonym; a registry that wants e-mail addresses here uses addresses as ids. To name a person, a request may use
//! an id, an e-mail address or a login at the git host.

pub mod activities;
mod comments;
mod models;
mod permissions;
pub mod requests;
mod scim;
pub mod shapes;
mod versions;

use axum::http::Method;

use super::mlflow;
use crate::entity::PermissionLevel;
use crate::name::UserName;
use crate::server::context::call::Call;
use crate::server::context::catalog::Catalog;
use crate::server::context::error::ApiError;
use crate::server::context::reply::Reply;
use crate::server::http::route::{MLFLOW_PREFIXES, Route, RouteAccess};
use crate::stage::Stage;

/// The path of permissions of registered models.
const PERMISSIONS: &str = "/api/2.0/permissions/registered-models/{id}";

/// Returns the routes of this module.
pub fn routes() -> Vec<Route> {
    let read = RouteAccess::Model(PermissionLevel::CanRead);
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    let rows = vec![
        Route::ask(get.clone(), "/registered-models/list", RouteAccess::Caller, mlflow::search_models),
        Route::ask(get.clone(), "/databricks/registered-models/get", read, models::get),
        Route::ask(get.clone(), "/databricks/registered-models/list", RouteAccess::Caller, models::search),
        Route::ask(get.clone(), "/databricks/registered-models/search", RouteAccess::Caller, models::search),
        Route::act(get.clone(), "/databricks/model-versions/get", read, versions::get),
        Route::act(get.clone(), "/databricks/model-versions/search", RouteAccess::Caller, versions::search),
        Route::act(get.clone(), "/model-versions/get-activities", read, activities::all),
        // The stage rule decides who may make a transition and who may approve or reject.
        Route::act(post.clone(), "/databricks/model-versions/transition-stage", read, versions::transition),
        Route::act(post.clone(), "/transition-requests/create", read, requests::create),
        Route::act(get.clone(), "/transition-requests/list", read, requests::list),
        Route::act(post.clone(), "/transition-requests/approve", read, requests::approve),
        Route::act(post.clone(), "/transition-requests/reject", read, requests::reject),
        Route::act(delete.clone(), "/transition-requests/delete", read, requests::delete),
        Route::act(post, "/comments/create", read, comments::create),
        // A comment is named by its id only, so the handler finds its model first.
        Route::act(Method::PATCH, "/comments/update", RouteAccess::Caller, comments::update),
        Route::act(delete, "/comments/delete", RouteAccess::Caller, comments::delete),
    ];
    let mut rows: Vec<Route> = rows.into_iter().flat_map(|row| row.lenient().under(&MLFLOW_PREFIXES)).collect();
    rows.extend([
        // The model is named by its id in the path, so the handler checks the caller's level.
        Route::ask(get.clone(), PERMISSIONS, RouteAccess::Caller, permissions::get),
        Route::act(Method::PUT, PERMISSIONS, RouteAccess::Caller, permissions::set),
        Route::act(Method::PATCH, PERMISSIONS, RouteAccess::Caller, permissions::update),
        Route::ask(get.clone(), format!("{PERMISSIONS}/permissionLevels"), RouteAccess::Caller, permissions::levels),
        Route::ask(get, "/api/2.0/preview/scim/v2/Me", RouteAccess::Caller, scim::me),
        // Each new client requests this first, without credentials. An empty response is enough.
        Route::fixed("/.well-known/databricks-config", || Ok(Reply::done())),
    ]);
    rows
}

/// Returns the person that a text names: by id, or by an e-mail address or login in any case.
fn person(catalog: &Catalog, given: &str) -> Option<UserName> {
    let people = catalog.people();
    if let Some((user, _)) = people.get_key_value(given) {
        return Some(user.clone());
    }
    let found = people.iter().find(|(user, person)| {
        let mut names = person.emails.iter().chain(&person.logins);
        user.as_str().eq_ignore_ascii_case(given) || names.any(|n| n.as_str().eq_ignore_ascii_case(given))
    });
    found.map(|(user, _)| user.clone())
}

/// Returns the stage that a request names.
fn stage(call: &Call) -> Result<Stage, ApiError> {
    Ok(Stage::among(call.args.required("stage")?, &call.catalog.stages())?)
}
