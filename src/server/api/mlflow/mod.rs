//! MLflow's registry API, as its Python client uses it. The client defines the URLs, defaults, messages and JSON forms.

mod models;
mod register;
mod schema;
mod search;
pub mod shapes;
mod source;
mod versions;

pub use search::{models as search_models, page_of_models, page_of_versions};

use axum::http::Method;

use crate::entity::PermissionLevel;
use crate::server::http::route::{MLFLOW_PREFIXES, Route, RouteAccess};

/// Returns the routes of this module.
pub fn routes() -> Vec<Route> {
    use PermissionLevel::{CanEdit, CanManage, CanRead};
    let read = RouteAccess::Model(CanRead);
    let edit = RouteAccess::Model(CanEdit);
    let manage = RouteAccess::Model(CanManage);
    let ask = |method, path: &str, needs, handler| Route::ask(method, path, needs, handler);
    let rows = vec![
        Route::act(Method::POST, "/registered-models/create", RouteAccess::Caller, models::create),
        ask(Method::GET, "/registered-models/get", read, models::get),
        Route::act(Method::PATCH, "/registered-models/update", edit, models::update),
        Route::act(Method::POST, "/registered-models/rename", manage, models::rename),
        Route::act(Method::DELETE, "/registered-models/delete", manage, models::delete),
        ask(Method::GET, "/registered-models/search", RouteAccess::Caller, search::models),
        ask(Method::POST, "/registered-models/get-latest-versions", read, models::latest_versions),
        ask(Method::GET, "/registered-models/get-latest-versions", read, models::latest_versions),
        Route::act(Method::POST, "/registered-models/set-tag", edit, models::set_tag),
        Route::act(Method::DELETE, "/registered-models/delete-tag", edit, models::delete_tag),
        // The settings decide whether an alias has a rule of its own.
        Route::act(Method::POST, "/registered-models/alias", read, models::set_alias),
        ask(Method::GET, "/registered-models/alias", read, models::get_by_alias),
        Route::act(Method::DELETE, "/registered-models/alias", read, models::delete_alias),
        Route::act(Method::POST, "/model-versions/create", edit, versions::create),
        ask(Method::GET, "/model-versions/get", read, versions::get),
        Route::act(Method::PATCH, "/model-versions/update", edit, versions::update),
        Route::act(Method::DELETE, "/model-versions/delete", manage, versions::delete),
        ask(Method::GET, "/model-versions/search", RouteAccess::Caller, search::versions),
        ask(Method::GET, "/model-versions/get-download-uri", read, versions::download_uri),
        // The stage rule decides who may make a transition.
        Route::act(Method::POST, "/model-versions/transition-stage", read, versions::transition),
        Route::act(Method::POST, "/model-versions/set-tag", edit, versions::set_tag),
        Route::act(Method::DELETE, "/model-versions/delete-tag", edit, versions::delete_tag),
    ];
    rows.into_iter().flat_map(|row| row.of_mlflow().under(&MLFLOW_PREFIXES)).collect()
}
