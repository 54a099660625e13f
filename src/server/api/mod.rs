//! The APIs. Each module has the routes and handlers of one of them.

pub mod artifacts;
pub mod databricks;
pub mod greenroom_api;
pub mod health;
pub mod mlflow;
pub mod notifications;
pub mod parameters;
pub mod webhooks;

use super::http::route::Route;

/// Returns all routes of the server: for each method and path, the required permission and the handler. No other path
/// exists.
pub fn table() -> Vec<Route> {
    let mut routes = health::routes();
    routes.extend(mlflow::routes());
    routes.extend(webhooks::routes());
    routes.extend(databricks::routes());
    routes.extend(greenroom_api::routes());
    routes.extend(artifacts::routes());
    routes.extend(notifications::routes());
    routes
}
