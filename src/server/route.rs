//! The one table: for each method and address who may ask, and what answers. What is not in it is not there.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::call::{Call, Visit};
use super::error::ApiError;
use crate::entity::Level;
use crate::view::Output;

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Anybody, without credentials; only what depends on nothing ([`Route::fixed`]).
    Nothing,
    /// A token in the address, which is all the authority that its handler acts on: links in mails.
    Token,
    /// Any known caller.
    Caller,
    /// A caller with this level on the model that the argument `name` names. A model that the caller may not read is
    /// answered as if it were not there.
    Model(Level),
    /// A caller with this level on the model whose id stands in the address as `{id}`.
    ModelId(Level),
    /// Any known caller who may write.
    Writer,
    /// Whoever has the address: it carries a proof of the server's that a known caller was given it, minutes ago
    /// ([`super::artifacts::grant`]).
    Signed,
    /// A caller with this level on the whole registry.
    Registry(Level),
}

/// An answer that is no error.
#[derive(Debug)]
pub enum Reply {
    /// A JSON object.
    Json(Vec<u8>),
    /// Plain text.
    Text(String),
    /// Anything else.
    Other(Response),
}

impl Reply {
    /// A value as JSON.
    pub fn json(value: &impl Serialize) -> Result<Self, ApiError> {
        serde_json::to_vec(value).map(Self::Json).map_err(|e| ApiError::internal(&e))
    }

    /// An answer of Greenroom's own API, which has a JSON Schema.
    pub fn output(value: &impl Output) -> Result<Self, ApiError> {
        Self::json(value)
    }

    /// `{}`
    pub fn done() -> Self {
        Self::Json(b"{}".to_vec())
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        match self {
            Self::Json(bytes) => (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
            Self::Text(text) => {
                (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
            }
            Self::Other(response) => response,
        }
    }
}

/// What a handler gives.
pub type Answer = Result<Reply, ApiError>;

/// An answer to come.
pub type Coming = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What answers.
#[derive(Clone)]
pub enum Handler {
    /// An answer that depends on nothing.
    Fixed(fn() -> Answer),
    /// A question about the catalog: pure, at once; the same commit gives the same answer, so clients may keep it.
    Ask(fn(&Call) -> Answer),
    /// Anything that writes or waits.
    Act(Arc<dyn Fn(Call) -> Coming + Send + Sync>),
    /// What a token in the address allows, whoever comes with it.
    Visit(Arc<dyn Fn(Visit) -> Coming + Send + Sync>),
    /// What takes the body as a stream, of any length and type.
    Stream(Arc<dyn Fn(Call, Body) -> Coming + Send + Sync>),
}

/// A row of the table.
#[derive(Clone)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The address; `{name}` stands for one segment, `{*rest}` for all that follow.
    pub path: String,
    /// Who may ask.
    pub needs: Needs,
    /// What answers.
    pub handler: Handler,
    /// Whether scalars in the body are converted to the type that is wanted ([`Args::lenient`](super::args::Args::lenient)).
    pub is_lenient: bool,
    /// Whether it is an address of MLflow's own API, where only error codes are answered that MLflow maps to 4xx.
    pub is_mlflow: bool,
}

impl Route {
    /// An answer for anybody that depends on nothing.
    pub fn fixed(path: &str, handler: fn() -> Answer) -> Self {
        Self {
            method: Method::GET,
            path: path.to_owned(),
            needs: Needs::Nothing,
            handler: Handler::Fixed(handler),
            is_lenient: false,
            is_mlflow: false,
        }
    }

    /// A question about the catalog.
    pub fn ask(method: Method, path: impl Into<String>, needs: Needs, handler: fn(&Call) -> Answer) -> Self {
        Self { method, path: path.into(), needs, handler: Handler::Ask(handler), is_lenient: false, is_mlflow: false }
    }

    /// Something that writes or waits.
    pub fn act<F: Future<Output = Answer> + Send + 'static>(
        method: Method,
        path: impl Into<String>,
        needs: Needs,
        handler: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self {
        let handler = Handler::Act(Arc::new(move |call| Box::pin(handler(call))));
        Self { method, path: path.into(), needs, handler, is_lenient: false, is_mlflow: false }
    }

    /// What a token in the address allows. What is sent besides does not matter.
    pub fn visit<F: Future<Output = Answer> + Send + 'static>(
        method: Method,
        path: impl Into<String>,
        handler: impl Fn(Visit) -> F + Send + Sync + 'static,
    ) -> Self {
        let handler = Handler::Visit(Arc::new(move |visit| Box::pin(handler(visit))));
        Self { method, path: path.into(), needs: Needs::Token, handler, is_lenient: false, is_mlflow: false }
    }

    /// Something that takes a body of any length.
    pub fn stream<F: Future<Output = Answer> + Send + 'static>(
        method: Method,
        path: impl Into<String>,
        needs: Needs,
        handler: impl Fn(Call, Body) -> F + Send + Sync + 'static,
    ) -> Self {
        let handler = Handler::Stream(Arc::new(move |call, body| Box::pin(handler(call, body))));
        Self { method, path: path.into(), needs, handler, is_lenient: false, is_mlflow: false }
    }

    /// The same route for clients that send numbers and words for texts and flags: those of Databricks alone.
    pub fn lenient(self) -> Self {
        Self { is_lenient: true, ..self }
    }

    /// The same route as an address of MLflow's own API.
    pub fn of_mlflow(self) -> Self {
        Self { is_mlflow: true, ..self }
    }

    /// The same route under each of several prefixes.
    pub fn under(self, prefixes: &[&str]) -> Vec<Self> {
        prefixes.iter().map(|prefix| Self { path: format!("{prefix}{}", self.path), ..self.clone() }).collect()
    }
}

/// All routes of the server.
pub fn table() -> Vec<Route> {
    let mut routes = super::probe::routes();
    routes.extend(super::mlflow::routes());
    routes.extend(super::webhooks::routes());
    routes.extend(super::databricks::routes());
    routes.extend(super::own::routes());
    routes.extend(super::artifacts::routes());
    routes.extend(super::notifications::routes());
    routes
}
