//! The response of a handler, before it becomes HTTP.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::error::ApiError;
use crate::view::Output;

/// A successful response.
#[derive(Debug)]
pub enum Reply {
    /// A JSON object.
    Json(Vec<u8>),
    /// Plain text.
    Text(String),
    /// Any other response.
    Other(Response),
}

impl Reply {
    /// Returns a value as JSON.
    ///
    /// # Errors
    ///
    /// An internal error when the value cannot be serialised.
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

/// The result of a handler.
pub type HandlerResult = Result<Reply, ApiError>;
