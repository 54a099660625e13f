//! Receives files: streams them to disk and hashes them at the same time. A file is invisible until it is complete.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{folder, upload_id};
use crate::artifact::{FilePath, Incoming, UploadError};
use crate::name::Digest;
use crate::server::context::call::Call;
use crate::server::context::error::{ApiError, Code};
use crate::server::context::reader_pool::blocking;
use crate::server::context::reply::{HandlerResult, Reply};
use crate::server::http::body_pace;

/// The number of bytes that are written and hashed at once.
const CHUNK: usize = 512 * 1024;

/// The number of written bytes after which flushing to disk starts, so that not all of it waits for the end.
const FLUSH: u64 = 64 << 20;

/// How long a client may pause.
const PAUSE: Duration = Duration::from_secs(60);

/// How long a client waits for its turn to send.
const WAIT: Duration = Duration::from_secs(60);

/// How many bytes of a refused body are read, so that the client gets the error instead of a broken connection.
const DRAINED: usize = 16 << 20;

/// Handles PUT `…/artifacts/uploads/<id>/<path>`.
pub async fn put(call: Call, mut body: Body) -> HandlerResult {
    let answer = put_now(&call, &mut body).await;
    if answer.is_err() {
        drain(&mut body).await;
    }
    answer
}

async fn put_now(call: &Call, body: &mut Body) -> HandlerResult {
    let id = upload_id(call.segment("upload"))?;
    let path = FilePath::new(call.segment("path"))?;
    let length = length(&call.headers)?;
    let digest = digest(&call.headers)?;
    let file_cache = &call.state.file_cache;
    let place = timeout(WAIT, file_cache.places.take(&call.caller.user)).await;
    let _place = place.map_err(|_| busy())?.map_err(|_| ApiError::stopping())?;
    let (uploads, user) = (Arc::clone(&file_cache.uploads), call.caller.user.clone());
    let incoming = blocking(move || uploads.begin(&id, &user, path)).await?;
    let incoming = receive(incoming, body).await?;
    let copied = blocking(move || incoming.finish(length, digest.as_ref())).await?;
    let etag = HeaderValue::try_from(format!("\"{}\"", copied.sha256)).map_err(|e| ApiError::internal(&e))?;
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json")), (header::ETAG, etag)];
    Ok(Reply::Other((StatusCode::OK, headers, "{}").into_response()))
}

fn busy() -> ApiError {
    ApiError::new(Code::RequestLimitExceeded, "Too many files are being sent; try again in a moment.")
}

/// A write in progress. It returns the file, and the buffer for the next bytes.
type PendingWrite = JoinHandle<Result<(Incoming, Vec<u8>), UploadError>>;

/// Receives a body. One buffer fills while the other is written and hashed. So memory use stays constant, and network
/// and disk hardly wait for each other.
async fn receive(incoming: Incoming, body: &mut Body) -> Result<Incoming, ApiError> {
    let handle = incoming.handle().map_err(|e| ApiError::internal(&e))?;
    let mut flusher = Flusher { handle: Arc::new(handle), since: 0, running: None };
    let mut writing: PendingWrite = tokio::task::spawn_blocking(move || Ok((incoming, Vec::with_capacity(CHUNK))));
    let mut filling = Vec::with_capacity(CHUNK);
    while let Some(bytes) = next(body).await? {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(CHUNK - filling.len()));
            filling.extend_from_slice(now);
            rest = later;
            if filling.len() == CHUNK {
                let (incoming, spare) = written(writing).await?;
                flusher.wrote(CHUNK as u64);
                writing = write(incoming, std::mem::replace(&mut filling, spare));
            }
        }
    }
    let (incoming, _) = written(writing).await?;
    let (incoming, _) = written(write(incoming, filling)).await?;
    Ok(incoming)
}

fn write(mut incoming: Incoming, mut bytes: Vec<u8>) -> PendingWrite {
    tokio::task::spawn_blocking(move || {
        incoming.write(&bytes)?;
        bytes.clear();
        Ok((incoming, bytes))
    })
}

async fn written(writing: PendingWrite) -> Result<(Incoming, Vec<u8>), ApiError> {
    let ended = writing.await.map_err(|_| ApiError::new(Code::InternalError, "The file could not be stored."))?;
    Ok(ended?)
}

/// Flushes written bytes to disk while more arrive.
struct Flusher {
    handle: Arc<std::fs::File>,
    since: u64,
    running: Option<JoinHandle<()>>,
}

impl Flusher {
    fn wrote(&mut self, bytes: u64) {
        self.since += bytes;
        if self.since < FLUSH || self.running.as_ref().is_some_and(|r| !r.is_finished()) {
            return;
        }
        self.since = 0;
        let handle = Arc::clone(&self.handle);
        // A failure is reported at the end, when the whole file is synced.
        self.running = Some(tokio::task::spawn_blocking(move || drop(handle.sync_data())));
    }
}

/// Returns the next bytes of a body; `None` at its end. A body that ends early is an error.
async fn next(body: &mut Body) -> Result<Option<axum::body::Bytes>, ApiError> {
    loop {
        let frame = timeout(PAUSE, poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx))).await;
        let paused = |_| ApiError::new(Code::BadRequest, "No data arrived for a minute; send the file again.");
        match frame.map_err(paused)? {
            None => return Ok(None),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(_) => continue,
            },
            Some(Err(e)) if body_pace::is_too_slow(&e) => {
                return Err(ApiError::new(Code::BadRequest, "The body arrived too slowly; send the file again."));
            }
            Some(Err(_)) => {
                return Err(ApiError::new(Code::BadRequest, "The body ended early; send the file again."));
            }
        }
    }
}

/// Reads the rest of a refused body, if it is not too long.
async fn drain(body: &mut Body) {
    let mut left = DRAINED;
    let _ = timeout(Duration::from_secs(5), async {
        while let Ok(Some(bytes)) = next(body).await {
            left = left.saturating_sub(bytes.len());
            if left == 0 {
                return;
            }
        }
    })
    .await;
}

/// Returns the length that a request declares for its body.
fn length(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let bad = || ApiError::new(Code::BadRequest, "The header Content-Length is not a number.");
    let given = headers.get(header::CONTENT_LENGTH);
    given.map(|v| v.to_str().ok().and_then(|v| v.parse().ok()).ok_or_else(bad)).transpose()
}

/// Returns the SHA-256 that a request declares for its body, as in RFC 9530: `Content-Digest: sha-256=:…:`.
fn digest(headers: &HeaderMap) -> Result<Option<Digest>, ApiError> {
    let Some(given) = headers.get("content-digest") else { return Ok(None) };
    let given = given.to_str().unwrap_or_default();
    let sha256 = given.split(',').find_map(|d| d.trim().strip_prefix("sha-256=:")?.strip_suffix(':'));
    let Some(sha256) = sha256 else { return Ok(None) };
    let bad = || ApiError::new(Code::BadRequest, "The header Content-Digest does not hold a SHA-256 in base64.");
    let bytes = BASE64.decode(sha256).map_err(|_| bad())?;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    Digest::new(hex).map(Some).map_err(|_| bad())
}

/// Handles DELETE `…/artifacts/uploads/<id>[/<path>]`.
pub async fn delete(call: Call, _: Body) -> HandlerResult {
    let id = upload_id(call.segment("upload"))?;
    let path = folder(call.segment("path"))?;
    let (uploads, user) = (Arc::clone(&call.state.file_cache.uploads), call.caller.user.clone());
    blocking(move || uploads.remove(&id, &user, path.as_ref())).await?;
    Ok(Reply::done())
}

/// Handles PUT and DELETE `…/artifacts/models/…`: always refused.
pub async fn immutable(call: Call, mut body: Body) -> HandlerResult {
    drain(&mut body).await;
    super::version_by_id(&call, call.segment("id"), call.segment("version"))?;
    Err(ApiError::denied(
        "The files of a registered version never change. Send files to uploads/<id>/ and register a new version.",
    ))
}

/// Handles POST `…/mpu/…`: the error makes the client send the file as one body.
pub async fn in_parts(_: Call, mut body: Body) -> HandlerResult {
    drain(&mut body).await;
    let message = "Multipart upload is not supported for the current artifact repository";
    Err(ApiError::new(Code::NotImplemented, message))
}
