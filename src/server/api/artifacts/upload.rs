//! Makes a version of an upload: used by `model-versions/create` when the source is an upload.

use std::sync::Arc;

use super::{PREFIXES, upload_id};
use crate::artifact::{FilePath, IngestedFolder, UploadId};
use crate::server::context::call::Call;
use crate::server::context::error::ApiError;
use crate::server::context::reader_pool::blocking;

/// The scheme of MLflow for files that a server keeps.
const SCHEME: &str = "mlflow-artifacts:/";

/// An upload, or a folder of one, that a source names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    id: UploadId,
    folder: Option<FilePath>,
    /// The source as it is recorded if the caller gives no other.
    pub uri: String,
}

impl Upload {
    /// Parses a source: `mlflow-artifacts:/uploads/<id>[/folder]`, or the URL of that at this server. `None` for any
    /// other source.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER_VALUE` when the upload id or the folder is invalid.
    pub fn named(source: &str, base: &str) -> Result<Option<Self>, ApiError> {
        let at_server = |prefix: &&str| source.strip_prefix(base)?.strip_prefix(*prefix)?.strip_prefix("/artifacts/");
        let rest = source.strip_prefix(SCHEME).or_else(|| PREFIXES.iter().find_map(at_server));
        let Some(rest) = rest.and_then(|rest| rest.strip_prefix("uploads/")) else { return Ok(None) };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (id, folder) = match rest.split_once('/') {
            Some((id, folder)) => (id, Some(FilePath::new(folder)?)),
            None => (rest, None),
        };
        let id = upload_id(id)?;
        let below = folder.as_ref().map(|f| format!("/{f}")).unwrap_or_default();
        let uri = format!("{SCHEME}uploads/{}{below}", id.as_str());
        Ok(Some(Self { id, folder, uri }))
    }

    /// Moves the files into the content store. Only the person who sent the files may do this.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED` for a read-only token, and the error of the upload if its files cannot be taken.
    pub async fn take(&self, call: &Call) -> Result<IngestedFolder, ApiError> {
        if call.caller.read_only {
            return Err(ApiError::denied("This token may only read."));
        }
        let (uploads, user) = (Arc::clone(&call.state.file_cache.uploads), call.caller.user.clone());
        let Self { id, folder, uri: _ } = self.clone();
        blocking(move || uploads.take(&id, &user, folder.as_ref())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";
    const BASE: &str = "http://127.0.0.1:5050";

    fn named(source: &str) -> Result<Option<Upload>, ApiError> {
        Upload::named(source, BASE)
    }

    #[test]
    fn an_upload_is_named_by_scheme_or_address() {
        for source in [
            format!("mlflow-artifacts:/uploads/{ID}"),
            format!("mlflow-artifacts:/uploads/{ID}/"),
            format!("{BASE}/api/2.0/mlflow-artifacts/artifacts/uploads/{ID}"),
            format!("{BASE}/ajax-api/2.0/mlflow-artifacts/artifacts/uploads/{ID}"),
        ] {
            let upload = named(&source).unwrap().unwrap();
            assert_eq!((upload.id.as_str(), upload.folder), (ID, None), "{source}");
            assert_eq!(upload.uri, format!("mlflow-artifacts:/uploads/{ID}"));
        }
        let below = named(&format!("mlflow-artifacts:/uploads/{ID}/a/b")).unwrap().unwrap();
        assert_eq!(below.folder.map(|f| f.to_string()).as_deref(), Some("a/b"));
        assert_eq!(below.uri, format!("mlflow-artifacts:/uploads/{ID}/a/b"));
    }

    #[test]
    fn other_sources_are_none() {
        for source in [
            "s3://bucket/uploads/x".to_owned(),
            "mlflow-artifacts:/1/models/m-1/artifacts".to_owned(),
            format!("http://other:5050/api/2.0/mlflow-artifacts/artifacts/uploads/{ID}"),
            format!("{BASE}/api/2.0/mlflow-artifacts/artifacts/models/{ID}/1"),
            format!("mlflow-artifacts://127.0.0.1:5050/uploads/{ID}"),
        ] {
            assert_eq!(named(&source).unwrap(), None, "{source}");
        }
    }

    #[test]
    fn what_is_almost_an_upload_is_refused() {
        for rest in [
            "",
            "x",
            "..",
            "0123",
            &format!("{ID}/.."),
            &format!("{ID}//a"),
            &format!("{ID}/%2e%2e"),
            &format!("{ID}%2f.."),
        ] {
            assert!(named(&format!("mlflow-artifacts:/uploads/{rest}")).is_err(), "{rest}");
        }
    }
}
