//! Model files over HTTP, for the clients of MLflow and Databricks.
//!
//! ```text
//! …/mlflow-artifacts/artifacts/models/<model id>/<version>/<path>   the files of a version: read-only
//! …/mlflow-artifacts/artifacts/uploads/<upload id>/<path>           files that are not part of a version yet
//! ```
//!
//! `model-versions/create` makes a version of an upload if its source is `mlflow-artifacts:/uploads/<upload id>`
//! ([`Upload`]). Whatever a path says, the server opens files only by the SHA-256 that a version, or an upload of the
//! caller, lists.

mod body;
mod download;
mod list;
mod range;
mod receive;
mod upload;

use axum::http::Method;

use crate::artifact::{ArtifactError, FilePath, UploadError, UploadId, path::InvalidPath};
use crate::entity::PermissionLevel;
use crate::name::Id;
use crate::server::context::call::Call;
use crate::server::context::catalog::ModelCard;
use crate::server::context::error::{ApiError, Code};
use crate::server::context::grant;
use crate::server::http::route::{MLFLOW_PREFIXES, Route, RouteAccess};

pub use upload::Upload;

/// The default limit of an upload, in bytes: 1 TiB.
pub const MAX_UPLOAD: u64 = 1 << 40;

/// The prefixes under which MLflow's client and its pages look for files.
const PREFIXES: [&str; 2] = ["/api/2.0/mlflow-artifacts", "/ajax-api/2.0/mlflow-artifacts"];

/// Returns the routes of this module.
pub fn routes() -> Vec<Route> {
    let read = RouteAccess::ModelId(PermissionLevel::CanRead);
    let mut rows = vec![
        Route::act(Method::GET, "/artifacts", RouteAccess::Caller, list::by_path),
        Route::act(Method::GET, "/artifacts/models/{id}/{version}/{*path}", read, download::by_id),
        Route::act(Method::GET, "/artifacts/uploads/{upload}/{*path}", RouteAccess::Caller, download::of_upload),
        Route::stream(Method::PUT, "/artifacts/uploads/{upload}/{*path}", RouteAccess::Writer, receive::put),
        Route::stream(Method::DELETE, "/artifacts/uploads/{upload}", RouteAccess::Writer, receive::delete),
        Route::stream(Method::DELETE, "/artifacts/uploads/{upload}/{*path}", RouteAccess::Writer, receive::delete),
        Route::act(Method::GET, grant::PATH, RouteAccess::Signed, download::signed),
    ];
    for path in ["/artifacts/models/{id}/{version}", "/artifacts/models/{id}/{version}/{*path}"] {
        for method in [Method::PUT, Method::DELETE] {
            rows.push(Route::stream(method, path, read, receive::immutable));
        }
    }
    for step in ["create", "complete", "abort"] {
        rows.push(Route::stream(
            Method::POST,
            format!("/mpu/{step}/{{*path}}"),
            RouteAccess::Writer,
            receive::in_parts,
        ));
    }
    let named = RouteAccess::Model(PermissionLevel::CanRead);
    let by_name = vec![
        Route::act(Method::GET, "/model-versions/get-artifact", named, download::by_name),
        Route::act(Method::GET, "/model-versions/list-artifacts", named, list::by_name),
        Route::act(Method::GET, "/model-versions/get-signed-download-uri", named, download::sign),
    ];
    // MLflow's pages request this path without a prefix.
    let bare = Route::act(Method::GET, "/model-versions/get-artifact", named, download::by_name);
    let rows = rows.into_iter().flat_map(|row| row.under(&PREFIXES)).chain([bare]);
    rows.chain(by_name.into_iter().flat_map(|row| row.under(&MLFLOW_PREFIXES))).collect()
}

/// Returns the URL of a version's files. It uses the model's id, which stays when the model is renamed.
pub fn address(base: &str, model: &ModelCard, version: u64) -> String {
    let [prefix, _] = PREFIXES;
    format!("{base}{prefix}/artifacts/models/{}/{version}", model.id)
}

/// Returns the version that a path names, if the caller may read its model.
fn version_by_id(call: &Call, id: &str, version: &str) -> Result<(crate::name::ModelName, u64), ApiError> {
    let missing = || ApiError::not_found(format!("Registered Model with id={} not found", crate::text::one_line(id)));
    let model = Id::new(id).ok().and_then(|id| call.catalog.model_by_id(&id)).filter(|m| call.standing.reads(m));
    let model = model.ok_or_else(missing)?;
    let number = version.parse().ok().filter(|n| model.version(*n).is_some());
    let shown = crate::text::one_line(version);
    let none = || ApiError::not_found(format!("Model Version (name={}, version={shown}) not found", model.name));
    Ok((model.name.clone(), number.ok_or_else(none)?))
}

/// Parses the upload id in a path.
fn upload_id(given: &str) -> Result<UploadId, ApiError> {
    UploadId::new(given).ok_or_else(|| ApiError::invalid(crate::artifact::upload::no_id(given)))
}

/// Parses the path of a folder; `None` for the root.
fn folder(path: &str) -> Result<Option<FilePath>, ApiError> {
    if path.is_empty() { Ok(None) } else { Ok(Some(FilePath::new(path)?)) }
}

impl From<InvalidPath> for ApiError {
    fn from(e: InvalidPath) -> Self {
        Self::invalid(format!("Invalid path: {e}"))
    }
}

impl From<UploadError> for ApiError {
    fn from(e: UploadError) -> Self {
        match e {
            UploadError::Unknown(_) | UploadError::NoFile(_) => Self::not_found(e.to_string()),
            UploadError::Busy(_) => Self::new(Code::ResourceConflict, e.to_string()),
            UploadError::TooLarge { .. } => Self::new(Code::TooLarge, e.to_string()),
            UploadError::Full { .. } => Self::new(Code::NoSpace, e.to_string()),
            UploadError::TooMany { .. } | UploadError::Short { .. } | UploadError::Digest { .. } => {
                Self::invalid(e.to_string())
            }
            UploadError::Path(e) => e.into(),
            UploadError::Artifact(e) => e.into(),
        }
    }
}

impl From<ArtifactError> for ApiError {
    fn from(e: ArtifactError) -> Self {
        match e {
            ArtifactError::Path(e) => e.into(),
            // The caller may know that a file is missing, and how to get it. "This machine" is the server.
            ArtifactError::Missing(_) => Self::not_found(format!("On the server, {e}")),
            ArtifactError::Clash(..)
            | ArtifactError::FileAndFolder(_)
            | ArtifactError::TooMuch { .. }
            | ArtifactError::Patterns { .. }
            | ArtifactError::Registry { .. }
            | ArtifactError::Several(_)
            | ArtifactError::Pointers(..) => Self::invalid(e.to_string()),
            ArtifactError::Removed(_) => Self::new(Code::ResourceConflict, e.to_string()),
            ArtifactError::Damaged { .. } | ArtifactError::Mismatch { .. } => {
                Self { internal: Some(e.to_string()), ..Self::new(Code::InternalError, e.to_string()) }
            }
            ArtifactError::Io { ref source, .. }
                if matches!(source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) =>
            {
                Self {
                    internal: Some(crate::text::with_causes(&e)),
                    ..Self::new(Code::NoSpace, "The server's disk is full.")
                }
            }
            ArtifactError::Io { .. }
            | ArtifactError::NotAFile { .. }
            | ArtifactError::Changed(_)
            | ArtifactError::Empty(_)
            | ArtifactError::Kind { .. }
            | ArtifactError::Pointer { .. }
            | ArtifactError::Tree { .. }
            | ArtifactError::Unexpected { .. }
            | ArtifactError::Short { .. }
            | ArtifactError::Exists(_) => Self::internal(&e),
        }
    }
}
