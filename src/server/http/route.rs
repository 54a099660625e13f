//! A route: a method and a path, with the required permission and the handler.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Method;

use crate::entity::PermissionLevel;
use crate::server::context::call::{AnonymousCall, Call};
use crate::server::context::reply::HandlerResult;

/// The prefixes under which MLflow's client, its pages and older clients look for the API.
pub const MLFLOW_PREFIXES: [&str; 4] =
    ["/api/2.0/mlflow", "/ajax-api/2.0/mlflow", "/api/2.0/preview/mlflow", "/ajax-api/2.0/preview/mlflow"];

/// The permission that a route requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteAccess {
    /// None, without credentials; only for responses that depend on nothing ([`Route::fixed`]).
    Nothing,
    /// A token in the URL, which is all the authority that the handler uses: links in mails.
    Token,
    /// Any authenticated caller.
    Caller,
    /// A caller with this level on the model that the argument `name` names. A model that the caller may not read gives
    /// the same error as one that does not exist.
    Model(PermissionLevel),
    /// A caller with this level on the model whose id is `{id}` in the path.
    ModelId(PermissionLevel),
    /// Any authenticated caller who may write.
    Writer,
    /// A signed URL: it proves that the server gave it to an authenticated caller, minutes ago
    /// ([`crate::server::context::grant`]).
    Signed,
    /// A caller with this level on the whole registry.
    Registry(PermissionLevel),
}

/// The future of a handler's result.
pub type ResponseFuture = Pin<Box<dyn Future<Output = HandlerResult> + Send>>;

/// The handler of a route.
#[derive(Clone)]
pub enum Handler {
    /// A response that depends on nothing.
    Fixed(fn() -> HandlerResult),
    /// A pure function of the catalog, which runs at once. The same commit gives the same response, so clients may
    /// cache it.
    Ask(fn(&Call) -> HandlerResult),
    /// A handler that writes or waits.
    Act(Arc<dyn Fn(Call) -> ResponseFuture + Send + Sync>),
    /// A handler that acts on a token in the URL, without a caller.
    Visit(Arc<dyn Fn(AnonymousCall) -> ResponseFuture + Send + Sync>),
    /// A handler that receives the body as a stream, of any length and type.
    Stream(Arc<dyn Fn(Call, Body) -> ResponseFuture + Send + Sync>),
}

/// A row of the table.
#[derive(Clone)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path. `{name}` stands for one segment, `{*rest}` for all following segments.
    pub path: String,
    /// The required permission.
    pub needs: RouteAccess,
    /// The handler.
    pub handler: Handler,
    /// Whether scalars in the body are converted to the expected type
    /// ([`Args::lenient`](crate::server::context::arguments::Args::lenient)).
    pub is_lenient: bool,
    /// Whether the path belongs to MLflow's own API, where responses use only error codes that MLflow maps to 4xx.
    pub is_mlflow: bool,
}

impl Route {
    /// Makes a route without credentials whose response depends on nothing.
    pub fn fixed(path: &str, handler: fn() -> HandlerResult) -> Self {
        Self {
            method: Method::GET,
            path: path.to_owned(),
            needs: RouteAccess::Nothing,
            handler: Handler::Fixed(handler),
            is_lenient: false,
            is_mlflow: false,
        }
    }

    /// Makes a route for a pure function of the catalog.
    pub fn ask(
        method: Method,
        path: impl Into<String>,
        needs: RouteAccess,
        handler: fn(&Call) -> HandlerResult,
    ) -> Self {
        Self { method, path: path.into(), needs, handler: Handler::Ask(handler), is_lenient: false, is_mlflow: false }
    }

    /// Makes a route for a handler that writes or waits.
    pub fn act<F: Future<Output = HandlerResult> + Send + 'static>(
        method: Method,
        path: impl Into<String>,
        needs: RouteAccess,
        handler: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self {
        let handler = Handler::Act(Arc::new(move |call| Box::pin(handler(call))));
        Self { method, path: path.into(), needs, handler, is_lenient: false, is_mlflow: false }
    }

    /// Makes a route that acts on a token in the URL. Other arguments and credentials are ignored.
    pub fn visit<F: Future<Output = HandlerResult> + Send + 'static>(
        method: Method,
        path: impl Into<String>,
        handler: impl Fn(AnonymousCall) -> F + Send + Sync + 'static,
    ) -> Self {
        let handler = Handler::Visit(Arc::new(move |visit| Box::pin(handler(visit))));
        Self { method, path: path.into(), needs: RouteAccess::Token, handler, is_lenient: false, is_mlflow: false }
    }

    /// Makes a route that receives a body of any length.
    pub fn stream<F: Future<Output = HandlerResult> + Send + 'static>(
        method: Method,
        path: impl Into<String>,
        needs: RouteAccess,
        handler: impl Fn(Call, Body) -> F + Send + Sync + 'static,
    ) -> Self {
        let handler = Handler::Stream(Arc::new(move |call, body| Box::pin(handler(call, body))));
        Self { method, path: path.into(), needs, handler, is_lenient: false, is_mlflow: false }
    }

    /// Makes the route accept numbers and words for strings and booleans, for Databricks' clients only.
    pub fn lenient(self) -> Self {
        Self { is_lenient: true, ..self }
    }

    /// Marks the route as part of MLflow's own API.
    pub fn of_mlflow(self) -> Self {
        Self { is_mlflow: true, ..self }
    }

    /// Returns the route under each of several prefixes.
    pub fn under(self, prefixes: &[&str]) -> Vec<Self> {
        prefixes.iter().map(|prefix| Self { path: format!("{prefix}{}", self.path), ..self.clone() }).collect()
    }
}
