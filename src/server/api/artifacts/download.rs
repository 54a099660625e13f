//! Downloads of files, with headers that keep a browser from displaying them.

use std::fs::File;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::body::{BodyReader, FileBody};
use super::range::{ByteRange, wanted};
use super::{PREFIXES, upload_id, version_by_id};
use crate::artifact::walk::WriteStamp;
use crate::artifact::{self, ArtifactError, ArtifactLimits, FileEntry, FileLocation, FilePath};
use crate::clock;
use crate::name::ModelName;
use crate::server::api::parameters::named;
use crate::server::context::call::Call;
use crate::server::context::error::{ApiError, Code};
use crate::server::context::file_cache::Files;
use crate::server::context::grant::{self, Grant};
use crate::server::context::reader_pool::blocking;
use crate::server::context::reply::{HandlerResult, Reply};
use crate::server::context::state::ServerState;

/// The files and empty folders of a version, held against what was registered.
pub async fn files_of(call: &Call, model: &ModelName, version: u64) -> Result<Files, ApiError> {
    let (commit, file_cache) = (call.catalog.commit(), Arc::clone(&call.state.file_cache));
    let (name, shown) = (model.clone(), model.clone());
    let found = call.read(move |registry| {
        let snapshot = registry.snapshot_of(commit)?;
        let Some(view) = snapshot.model(&name)?.map_or(Ok(None), |m| m.version(version))? else { return Ok(None) };
        let expected = view.file()?.and_then(|f| f.value).and_then(|v| v.artifacts);
        let (Some(tree), Some(expected)) = (view.artifacts()?, expected) else { return Ok(None) };
        let files = file_cache.listed(tree, || {
            let listed = artifact::list_all(registry.repo(), &tree, &ArtifactLimits::default())?;
            let found = artifact::summary(&listed.files);
            if found == expected { Ok(listed) } else { Err(ArtifactError::Mismatch { expected, found }) }
        })?;
        Ok(Some(files))
    });
    found.await?.ok_or_else(|| {
        ApiError::not_found(format!(
            "The files of '{shown}' version {version} were not copied into the registry; get-download-uri returns \
             their location."
        ))
    })
}

/// Handles GET `…/artifacts/models/<id>/<version>/<path>`.
pub async fn by_id(call: Call) -> HandlerResult {
    let (model, version) = version_by_id(&call, call.segment("id"), call.segment("version"))?;
    let path = call.segment("path").to_owned();
    of_version(&call, &model, version, &path).await
}

/// Handles GET `model-versions/get-artifact`.
pub async fn by_name(call: Call) -> HandlerResult {
    let (model, version) = named(&call)?;
    let path = call.args.required("path")?.to_owned();
    of_version(&call, &model, version, &path).await
}

/// Handles GET `…/signed`. The guard has verified the grant; access to the file is checked as for other requests.
pub async fn signed(call: Call) -> HandlerResult {
    let Grant { user: _, model, version, path } = call.state.file_cache.grants.of(&call.args, clock::now())?;
    let (model, version) = version_by_id(&call, &model, &version.to_string())?;
    of_version(&call, &model, version, &path).await
}

/// Handles GET `model-versions/get-signed-download-uri`.
pub async fn sign(call: Call) -> HandlerResult {
    let (model, version) = named(&call)?;
    let path = call.args.required("path")?.to_owned();
    let file = find(&files_of(&call, &model, version).await?, &path)?;
    let id = call.model(&model)?.id.to_string();
    let grant = Grant { user: call.caller.user.clone(), model: id, version, path: file.path.to_string() };
    let query = call.state.file_cache.grants.query(&grant, clock::now())?;
    let [prefix, _] = PREFIXES;
    let uri = format!("{}{prefix}{}?{query}", call.base, grant::PATH);
    Reply::json(&json!({ "signed_uri": uri, "headers": [] }))
}

/// Handles GET `…/artifacts/uploads/<id>/<path>`.
pub async fn of_upload(call: Call) -> HandlerResult {
    let id = upload_id(call.segment("upload"))?;
    let path = FilePath::new(call.segment("path"))?;
    let (uploads, user) = (Arc::clone(&call.state.file_cache.uploads), call.caller.user.clone());
    let (entry, file) = blocking(move || uploads.open(&id, &user, &path)).await?;
    let Answering { head, wanted } = match answering(&call.headers, &entry)? {
        Ok(answering) => answering,
        Err(done) => return Ok(Reply::Other(done)),
    };
    // The bytes were hashed when they were received, and lie where only this user may write. So a part needs no other
    // check.
    send(head, reader(file, &entry, wanted)?, wanted, entry.size).await
}

/// The file of a path.
fn find(listed: &Files, path: &str) -> Result<FileEntry<FileLocation>, ApiError> {
    let path = FilePath::new(path)?;
    let files = &listed.files;
    if let Ok(at) = files.binary_search_by(|f| f.path.cmp(&path))
        && let Some(file) = files.get(at)
    {
        return Ok(file.clone());
    }
    let folder = format!("{path}/");
    let mut paths = files.iter().map(|f| &f.path).chain(&listed.empty_folders);
    let is_folder = paths.any(|p| *p == path || p.as_str().starts_with(&folder));
    let what = if is_folder { "a folder" } else { "not a file" };
    Err(ApiError::not_found(format!("'{path}' is {what} of this version.")))
}

async fn of_version(call: &Call, model: &ModelName, version: u64, path: &str) -> HandlerResult {
    let entry = find(&files_of(call, model, version).await?, path)?;
    let Answering { head, wanted } = match answering(&call.headers, &entry)? {
        Ok(answering) => answering,
        Err(done) => return Ok(Reply::Other(done)),
    };
    match entry.place {
        FileLocation::Blob(_) => {
            let file_cache = Arc::clone(&call.state.file_cache);
            let size = entry.size;
            let read = move |registry: &crate::registry::Registry| {
                let max = ArtifactLimits::default().blob;
                Ok(artifact::read_file(registry.repo(), &file_cache.store, &entry, max)?)
            };
            let bytes = Bytes::from(call.read(read).await?);
            Ok(Reply::Other(whole(head, bytes, wanted, size)))
        }
        FileLocation::Stored => {
            let file_cache = Arc::clone(&call.state.file_cache);
            let wants = entry.clone();
            let file = blocking(move || {
                if file_cache.store.has(&wants.sha256, wants.size) {
                    file_cache.store.open(&wants.sha256)
                } else {
                    Err(ArtifactError::Missing(vec![wants]))
                }
            });
            let file = file.await?;
            if matches!(wanted, ByteRange::Part { .. }) {
                check(&call.state, &entry, &file).await?;
            }
            send(head, reader(file, &entry, wanted)?, wanted, entry.size).await
        }
    }
}

/// Checks the whole object before a part of it is sent, unless it was checked before and its file has not changed.
async fn check(state: &ServerState, entry: &FileEntry<FileLocation>, file: &File) -> Result<(), ApiError> {
    let stamp = || WriteStamp::of(file).map_err(|e| ApiError::internal(&e));
    let file_cache = Arc::clone(&state.file_cache);
    if file_cache.is_checked(&entry.sha256, stamp()?) {
        return Ok(());
    }
    let _turn = file_cache.checking.lock().await;
    let before = stamp()?;
    if file_cache.is_checked(&entry.sha256, before) {
        return Ok(());
    }
    let (store, sha256, size) = (file_cache.store.clone(), entry.sha256.clone(), entry.size);
    blocking(move || store.verify(&sha256, size)).await?;
    file_cache.note_checked(&entry.sha256, before);
    Ok(())
}

/// The part of a response that is known before its bytes.
struct Answering {
    head: HeaderMap,
    wanted: ByteRange,
}

/// Returns the headers of a response and the requested range, or the complete response if it has no bytes.
fn answering<P>(headers: &HeaderMap, entry: &FileEntry<P>) -> Result<Result<Answering, Response>, ApiError> {
    let etag = format!("\"{}\"", entry.sha256);
    let mut head = head(&entry.path)?;
    head.insert(header::ETAG, value(&etag)?);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if known == "*" || known.split(',').any(|k| k.trim().trim_start_matches("W/") == etag) {
        return Ok(Err((StatusCode::NOT_MODIFIED, head).into_response()));
    }
    let wanted = wanted(headers, entry.size, &etag);
    match wanted {
        ByteRange::Whole => {}
        ByteRange::Part { from, count } => {
            let range = format!("bytes {from}-{}/{}", from + count - 1, entry.size);
            head.insert(header::CONTENT_RANGE, value(&range)?);
        }
        ByteRange::Beyond => {
            let range = value(&format!("bytes */{}", entry.size))?;
            let message = format!("The file has {} bytes.", entry.size);
            let mut refused = ApiError::new(Code::NotInFile, message).into_response();
            refused.headers_mut().insert(header::CONTENT_RANGE, range);
            return Ok(Err(refused));
        }
    }
    Ok(Ok(Answering { head, wanted }))
}

fn value(text: &str) -> Result<HeaderValue, ApiError> {
    HeaderValue::try_from(text).map_err(|e| ApiError::internal(&e))
}

fn reader<P>(file: File, entry: &FileEntry<P>, wanted: ByteRange) -> Result<BodyReader, ApiError> {
    match wanted {
        ByteRange::Part { from, count } => BodyReader::part(file, from, count).map_err(|e| ApiError::internal(&e)),
        ByteRange::Whole | ByteRange::Beyond => Ok(BodyReader::whole(file, entry)),
    }
}

/// Returns a response that is sent while the file is read. The first bytes are read before the response starts. If
/// these are all bytes, they are checked, too.
async fn send(mut head: HeaderMap, reader: BodyReader, wanted: ByteRange, size: u64) -> HandlerResult {
    let (status, count) = match wanted {
        ByteRange::Part { from: _, count } => (StatusCode::PARTIAL_CONTENT, count),
        ByteRange::Whole | ByteRange::Beyond => (StatusCode::OK, size),
    };
    let failed = |e: std::io::Error| match e.downcast::<ArtifactError>() {
        Ok(damaged) => ApiError::from(damaged),
        Err(e) => ApiError::internal(&e),
    };
    let (first, rest) = blocking(move || reader.next().map_err(failed)).await?;
    head.insert(header::CONTENT_LENGTH, HeaderValue::from(count));
    Ok(Reply::Other((status, head, Body::new(FileBody::new(first, rest, count))).into_response()))
}

/// Returns a response whose bytes are in memory.
fn whole(head: HeaderMap, bytes: Bytes, wanted: ByteRange, size: u64) -> Response {
    let index = |n: u64| usize::try_from(n.min(size)).unwrap_or(bytes.len()).min(bytes.len());
    match wanted {
        ByteRange::Part { from, count } => {
            let part = bytes.slice(index(from)..index(from.saturating_add(count)));
            (StatusCode::PARTIAL_CONTENT, head, part).into_response()
        }
        ByteRange::Whole | ByteRange::Beyond => (StatusCode::OK, head, bytes).into_response(),
    }
}

/// Returns headers that make a browser save a file and never display it, whatever its content.
fn head(path: &FilePath) -> Result<HeaderMap, ApiError> {
    let name = path.segments().last().unwrap_or("file");
    let mut head = HeaderMap::new();
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(name)));
    head.insert(header::CONTENT_DISPOSITION, value(&disposition(name))?);
    head.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    head.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    head.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    head.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    Ok(head)
}

/// Returns the media type of a file by its name. Browsers execute none of these types.
fn kind(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    match (name, ending.as_deref()) {
        ("MLmodel", _) | (_, Some("txt" | "md" | "yaml" | "yml" | "toml" | "csv" | "py" | "log")) => {
            "text/plain; charset=utf-8"
        }
        (_, Some("json")) => "application/json",
        (_, Some("png")) => "image/png",
        (_, Some("jpg" | "jpeg")) => "image/jpeg",
        (_, Some(_) | None) => "application/octet-stream",
    }
}

/// Returns `attachment` with the file's name, as in RFC 6266: in ASCII for old clients, and in full.
fn disposition(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "!#$&+-.^_`|~ @(),;=[]{}".contains(c);
    let ascii: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    let mut full = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            full.push(char::from(byte));
        } else {
            full.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{full}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_so_that_nothing_in_them_counts() {
        assert_eq!(disposition("model.pkl"), "attachment; filename=\"model.pkl\"; filename*=UTF-8''model.pkl");
        assert_eq!(
            disposition("größe 'a'.txt"),
            "attachment; filename=\"gr__e _a_.txt\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%20%27a%27.txt"
        );
        assert!(!disposition("x\"; filename=\"evil.html").contains("\"; filename=\"evil"));
    }

    #[test]
    fn no_type_that_a_browser_runs_is_given() {
        for name in ["index.html", "x.svg", "a.xhtml", "a.js", "a.xml", "a.pdf", "model.pkl", "noending", ".html"] {
            assert_eq!(kind(name), "application/octet-stream", "{name}");
        }
        assert_eq!(kind("MLmodel"), "text/plain; charset=utf-8");
        assert_eq!(kind("A.JSON"), "application/json");
    }
}
