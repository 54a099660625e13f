//! Requests about the server itself: health, version, metrics.

use axum::http::Method;
use serde_json::json;

use crate::server::context::call::Call;
use crate::server::context::reply::{HandlerResult, Reply};
use crate::server::http::route::{Route, RouteAccess};

/// Returns the routes of this module.
pub fn routes() -> Vec<Route> {
    vec![
        Route::fixed("/health", || Ok(Reply::Text("OK".to_owned()))),
        Route::fixed("/version", || Ok(Reply::Text(env!("CARGO_PKG_VERSION").to_owned()))),
        Route::act(Method::GET, "/metrics", RouteAccess::Caller, metrics),
        // MLflow's client requests this before downloads and uploads, and for telemetry.
        Route::ask(Method::GET, "/api/3.0/mlflow/server-info", RouteAccess::Caller, server_info),
    ]
}

async fn metrics(call: Call) -> HandlerResult {
    Ok(Reply::Text(call.state.metrics.text()))
}

fn server_info(_: &Call) -> HandlerResult {
    Reply::json(&json!({
        "store_type": "GreenroomStore",
        "workspaces_enabled": false,
        "trace_archival_enabled": false,
        "multipart_uploads_enabled": false,
        "multipart_downloads_enabled": false,
    }))
}
