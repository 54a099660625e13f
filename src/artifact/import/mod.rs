//! Copies models from other locations: only from locations that an administrator named.
//!
//! A source is text from a caller. It is parsed once, into an [`ImportOrigin`], and only if it lies below one of the
//! named locations. All later steps use the parsed value. A source that is not an origin is never opened.

mod client;
mod place;
mod tracking;

use std::io::Read;
use std::path::{Path, PathBuf};

pub use client::{Credentials, HostLookup};
pub use place::{InvalidPlace, ServerBase};

use super::entry::{ArtifactLimits, TransferProgress};
use super::error::ArtifactError;
use super::evidence::Evidence;
use super::guarded::Guarded;
use super::ingest::{ByteStorage, IngestedFolder, ingest_below};
use super::path::FilePath;
use super::receive::{ReceivedFile, ingest_coming};
use super::store::Store;
use super::walk::{Root, Selection};
use client::{Client, RemoteEntry};
use tracking::Tracking;

/// The path of the artifact proxy on MLflow servers.
const API: &str = "api/2.0/mlflow-artifacts/artifacts";

/// The largest number of a server's folders that are listed for one model.
const MAX_FOLDERS: usize = 1000;

/// The location of a model that may be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportOrigin {
    /// A folder below a named folder.
    Folder {
        /// The folder that the administrator named.
        root: PathBuf,
        /// The path below it; `None` for the named folder itself.
        path: Option<FilePath>,
    },
    /// A folder behind the artifact proxy of a named server.
    Proxied {
        /// The server, with the path of its artifact proxy.
        server: ServerBase,
        /// The path on the server; `None` for the root.
        path: Option<FilePath>,
    },
    /// A logged model, which the tracking server locates.
    LoggedModel(String),
    /// An artifact of a run, which the tracking server locates.
    OfRun {
        /// The run id.
        run: String,
        /// The artifact's path.
        path: FilePath,
    },
}

impl ImportOrigin {
    /// Returns the run id and the logged model's id in the origin; empty if it has none.
    pub fn ids(&self) -> (&str, &str) {
        match self {
            Self::LoggedModel(id) => ("", id),
            Self::OfRun { run, path: _ } => (run, ""),
            Self::Folder { .. } | Self::Proxied { .. } => ("", ""),
        }
    }
}

/// Why a model could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The files cannot be registered.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// A server cannot be reached, or the connection broke.
    #[error("{server} cannot be reached: {why}")]
    Unreachable {
        /// The URL of the server.
        server: String,
        /// The error of the connection, one line.
        why: String,
    },
    /// A server responds with an unexpected status.
    #[error("{server} responds with {status} to the request for {what}{}", hint(*.status))]
    Status {
        /// The URL of the server.
        server: String,
        /// The HTTP status.
        status: u16,
        /// The requested resource, for the message.
        what: String,
    },
    /// A server's response is not in MLflow's format.
    #[error("{server} sends an invalid response to the request for {what}: {why}")]
    Answer {
        /// The URL of the server.
        server: String,
        /// The requested resource, for the message.
        what: String,
        /// What is wrong with the response.
        why: String,
    },
    /// The tracking server stores the files at a location that is not allowed.
    #[error(
        "the tracking server stores the files at {0}, from which greenroom may not copy; allow it with \
         `--import-from PREFIX` of `greenroom serve` or `greenroom register`"
    )]
    NotAllowed(String),
    /// The origin is no longer allowed.
    #[error("this server may no longer copy from {0}; allow it with `greenroom serve --import-from`")]
    Revoked(String),
}

fn hint(status: u16) -> &'static str {
    match status {
        401 | 403 => {
            "; give the server credentials by MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD"
        }
        300..=399 => "; redirects are not followed",
        _ => "",
    }
}

impl ImportError {
    /// Whether the same request may succeed a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            Self::Artifact(ArtifactError::Io { source, .. }) => !matches!(
                source.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::StorageFull
            ),
            Self::Artifact(ArtifactError::Changed(_)) => true,
            Self::Artifact(_) | Self::Answer { .. } | Self::NotAllowed(_) | Self::Revoked(_) => false,
        }
    }
}

/// A location that models may be copied from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ImportPlace {
    Folder(PathBuf),
    Server { server: ServerBase, below: Option<FilePath> },
}

/// The locations that models may be copied from, and the tracking server.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    places: Vec<ImportPlace>,
    tracking: Option<Tracking>,
    guarded: Guarded,
}

impl Sources {
    /// Parses the locations that an administrator names: folders, as paths or `file:` URLs, and servers by the URL of
    /// their artifact proxy. The artifacts of the tracking server, if there is one, are allowed too.
    ///
    /// # Errors
    /// [`InvalidPlace`] if a text is not a location.
    pub fn new(
        places: &[String],
        tracking: Option<&str>,
        credentials: Option<Credentials>,
    ) -> Result<Self, InvalidPlace> {
        let mut out = Self { places: Vec::new(), tracking: None, guarded: Guarded::default() };
        for text in places {
            out.places.push(place(text)?);
        }
        if let Some(text) = tracking {
            let server = ServerBase::parse(text)?;
            let proxy = server.below(API);
            out.places.push(ImportPlace::Server { server: proxy, below: None });
            out.tracking = Some(Tracking::new(server, credentials));
        }
        Ok(out)
    }

    /// Guards folders: nothing in them is copied.
    pub fn guarding(self, guarded: Guarded) -> Self {
        Self { guarded, ..self }
    }

    /// Returns an error for a named folder that is guarded or lies in a guarded folder: nothing could be copied from
    /// there.
    ///
    /// # Errors
    /// [`ArtifactError::Registry`] for such a folder; [`ArtifactError::Io`] if a folder is unreadable.
    pub fn refuse_guarded(&self) -> Result<(), ArtifactError> {
        self.places.iter().try_for_each(|place| match place {
            ImportPlace::Folder(folder) => match folder.canonicalize() {
                Ok(real) => self.guarded.refuse_within(&Root::open(&real)?),
                // The folder may be created or mounted later.
                Err(_) => Ok(()),
            },
            ImportPlace::Server { .. } => Ok(()),
        })
    }

    /// Whether no location and no tracking server is configured.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty() && self.tracking.is_none()
    }

    /// Whether there is a tracking server that can supply evidence.
    pub fn asks(&self) -> bool {
        self.tracking.is_some()
    }

    /// Parses a source. Returns `None` unless it may be copied.
    pub fn origin(&self, uri: &str) -> Option<ImportOrigin> {
        if let Some(tracking) = &self.tracking
            && let Some(found) = tracking.origin(uri)
        {
            return Some(found);
        }
        self.placed(uri)
    }

    /// Parses a source that gives the location of the files itself.
    fn placed(&self, uri: &str) -> Option<ImportOrigin> {
        let wanted = place(uri).ok()?;
        self.places.iter().find_map(|allowed| match (allowed, &wanted) {
            (ImportPlace::Folder(root), ImportPlace::Folder(folder)) => {
                let path = below(folder.strip_prefix(root).ok()?)?;
                Some(ImportOrigin::Folder { root: root.clone(), path })
            }
            (ImportPlace::Server { server, below }, ImportPlace::Server { server: asked, below: path })
                if server == asked && is_below(path.as_ref(), below.as_ref()) =>
            {
                Some(ImportOrigin::Proxied { server: server.clone(), path: path.clone() })
            }
            _ => None,
        })
    }

    /// Copies a model into the store. The files are durable on return.
    ///
    /// # Errors
    /// [`ImportError`] if a server fails, the location is not allowed, or the files cannot be registered.
    pub fn copy(
        &self,
        origin: &ImportOrigin,
        store: &Store,
        limits: &ArtifactLimits,
        progress: TransferProgress<'_>,
    ) -> Result<IngestedFolder, ImportError> {
        match origin {
            ImportOrigin::Folder { root, path } => {
                let selection = Selection { guarded: self.guarded.clone(), ..Selection::default() };
                Ok(copy_folder(root, path.as_ref(), &selection, store, limits, progress)?)
            }
            ImportOrigin::Proxied { server, path } => {
                let credentials = self.tracking.as_ref().and_then(|t| t.credentials_for(server));
                copy_proxied(&Client::new(server, credentials), path.as_ref(), store, limits, progress)
            }
            ImportOrigin::LoggedModel(_) | ImportOrigin::OfRun { .. } => {
                let found = match &self.tracking {
                    Some(tracking) => tracking.locate(origin)?,
                    None => return Err(ImportError::Revoked(format!("{origin:?}"))),
                };
                let shown = crate::text::quoted(&found);
                let placed = self.tracking.as_ref().and_then(|t| t.proxied(&found)).or_else(|| self.placed(&found));
                match placed {
                    Some(placed @ (ImportOrigin::Folder { .. } | ImportOrigin::Proxied { .. })) => {
                        self.copy(&placed, store, limits, progress)
                    }
                    Some(ImportOrigin::LoggedModel(_) | ImportOrigin::OfRun { .. }) | None => {
                        Err(ImportError::NotAllowed(shown))
                    }
                }
            }
        }
    }

    /// Requests the parameters and metrics of a run and a logged model from the tracking server. Either id may be
    /// empty. Without a tracking server the result is empty.
    ///
    /// # Errors
    /// [`ImportError`] if the tracking server fails.
    pub fn evidence(&self, run_id: &str, model_id: &str) -> Result<Evidence, ImportError> {
        self.tracking.as_ref().map_or_else(|| Ok(Evidence::default()), |t| t.evidence(run_id, model_id))
    }
}

/// Parses a location: a folder, or a path behind a server's artifact proxy.
fn place(text: &str) -> Result<ImportPlace, InvalidPlace> {
    place::check(text)?;
    let is_web = text.starts_with("http://") || text.starts_with("https://");
    if is_web {
        let (server, path) = ServerBase::parse_with(text, API)?;
        return Ok(ImportPlace::Server { server, below: path });
    }
    let path = match text.strip_prefix("file:") {
        // A host part would name another machine.
        Some(rest) => rest.strip_prefix("//").unwrap_or(rest),
        None => text,
    };
    let path = path.strip_suffix('/').unwrap_or(path);
    // The root folder is not allowed as a location.
    if !path.starts_with('/') || path.starts_with("//") {
        return Err(InvalidPlace::Kind(crate::text::quoted(text)));
    }
    let folder = Path::new(path);
    below(folder.strip_prefix("/").unwrap_or(folder)).ok_or_else(|| InvalidPlace::Path(crate::text::quoted(text)))?;
    Ok(ImportPlace::Folder(folder.to_owned()))
}

/// Parses a path below a location: `Some(None)` for the location itself, `None` if the path is not valid for model
/// files.
#[expect(clippy::option_option, reason = "an invalid path and a path to the location itself are different results")]
fn below(path: &Path) -> Option<Option<FilePath>> {
    let text = path.to_str()?.trim_end_matches('/');
    if text.is_empty() { Some(None) } else { place::plain(text).map(Some) }
}

/// Whether a path equals another path or lies below it. `None` is the root.
fn is_below(path: Option<&FilePath>, root: Option<&FilePath>) -> bool {
    let Some(root) = root else { return true };
    let Some(path) = path else { return false };
    let mut own = path.segments();
    root.segments().all(|segment| own.next() == Some(segment))
}

fn copy_folder(
    root: &Path,
    path: Option<&FilePath>,
    selection: &Selection,
    store: &Store,
    limits: &ArtifactLimits,
    progress: TransferProgress<'_>,
) -> Result<IngestedFolder, ArtifactError> {
    // The named folder itself may be a symbolic link; folders below it must not.
    let real = root.canonicalize().map_err(ArtifactError::io("open", root))?;
    let opened = Root::open(&real)?;
    let model = match path {
        Some(path) => opened.folder(path)?,
        None => opened,
    };
    ingest_below(&model, selection, ByteStorage::In(store), limits, progress)
}

/// Lists a server's files, folder by folder, then streams each file into the store.
fn copy_proxied(
    client: &Client,
    path: Option<&FilePath>,
    store: &Store,
    limits: &ArtifactLimits,
    progress: TransferProgress<'_>,
) -> Result<IngestedFolder, ImportError> {
    let files = list(client, path, limits)?;
    let at = |file: &FilePath| match path {
        Some(folder) => folder.join(file.as_str()),
        None => Ok(file.clone()),
    };
    let open = |coming: &ReceivedFile| -> Result<Box<dyn Read>, ImportError> {
        client.open(&at(&coming.path).map_err(ArtifactError::from)?)
    };
    ingest_coming(files, open, store, limits, progress)
}

/// Lists the files of a model on a server, by path relative to the model's folder.
fn list(client: &Client, model: Option<&FilePath>, limits: &ArtifactLimits) -> Result<Vec<ReceivedFile>, ImportError> {
    let mut files = Vec::new();
    let mut folders: Vec<Option<FilePath>> = vec![None];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        seen += 1;
        if seen > MAX_FOLDERS {
            return Err(ArtifactError::TooMuch { what: "folders", max: MAX_FOLDERS as u64 }.into());
        }
        let join = |name: &str| match &folder {
            Some(folder) => folder.join(name),
            None => FilePath::new(name),
        };
        let asked = match (model, &folder) {
            (Some(model), Some(folder)) => Some(model.join(folder.as_str()).map_err(ArtifactError::from)?),
            (model, folder) => model.or(folder.as_ref()).cloned(),
        };
        for RemoteEntry { name, is_folder, size } in client.list(asked.as_ref())? {
            // A name must be a single part of a path, whatever the server sends (CVE-2024-0520).
            let path = if name.contains('/') { FilePath::new("..") } else { join(&name) };
            let path = path.map_err(ArtifactError::from)?;
            if is_folder {
                folders.push(Some(path));
            } else {
                files.push(ReceivedFile { path, size });
            }
            if (files.len() + folders.len()) as u64 > limits.files {
                return Err(ArtifactError::TooMuch { what: "files and folders", max: limits.files }.into());
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
