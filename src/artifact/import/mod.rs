//! Copying models from elsewhere: from places that an administrator named, and from no other (SEC-33).
//!
//! A source is text that a caller gave. It is parsed once, into an [`Origin`], and that only if it lies below one of the
//! named places; all that happens afterwards works with the parsed value. What is no origin is never opened.

mod client;
mod place;
mod tracking;

use std::io::Read;
use std::path::{Path, PathBuf};

pub use client::{Credentials, Named};
pub use place::{Base, InvalidPlace};

use super::coming::{Coming, ingest_coming};
use super::evidence::Evidence;
use super::ingest::ingest_below;
use super::path::FilePath;
use super::walk::{Root, Selection};
use super::{ArtifactError, Guarded, Ingested, Keep, Limits, Progress, Store};
use client::{Client, Listed};
use tracking::Tracking;

/// Where MLflow's servers hand out artifacts.
const API: &str = "api/2.0/mlflow-artifacts/artifacts";

/// How many folders of a server are listed for one model.
const MAX_FOLDERS: usize = 1000;

/// Where a model is that may be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a folder below one that was named.
    Folder {
        /// The named folder.
        root: PathBuf,
        /// Where in it; none: the folder itself.
        path: Option<FilePath>,
    },
    /// Behind the artifact proxy of a server that was named.
    Proxied {
        /// The server.
        server: Base,
        /// Where the server has it; none: at its root.
        path: Option<FilePath>,
    },
    /// A logged model, which the tracking server finds.
    LoggedModel(String),
    /// An artifact of a run, which the tracking server finds.
    OfRun {
        /// The run.
        run: String,
        /// The artifact.
        path: FilePath,
    },
}

impl Origin {
    /// The run and the logged model that it names by itself; empty where it names none.
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
    /// The files cannot be taken in.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// A server cannot be reached, or broke off.
    #[error("{server} cannot be reached: {why}")]
    Unreachable {
        /// The server.
        server: String,
        /// Why.
        why: String,
    },
    /// A server answers with something else.
    #[error("{server} answers with {status} when asked for {what}{}", hint(*.status))]
    Status {
        /// The server.
        server: String,
        /// The status.
        status: u16,
        /// What it was asked for.
        what: String,
    },
    /// A server's answer is not what MLflow's servers say.
    #[error("{server} gives no usable answer when asked for {what}: {why}")]
    Answer {
        /// The server.
        server: String,
        /// What it was asked for.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The tracking server says that the files are where nothing may be copied from.
    #[error(
        "the tracking server keeps the files at {0}, from where greenroom may not copy; `--import-from PREFIX` of `greenroom \
         serve` or `greenroom register` allows it"
    )]
    NotAllowed(String),
    /// The source lies nowhere that is allowed any more.
    #[error("this server may no longer copy from {0}; `greenroom serve --import-from` allows it")]
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
    /// Whether the same may succeed a little later.
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

/// A place that models may be copied from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Folder(PathBuf),
    Server { server: Base, below: Option<FilePath> },
}

/// The places that models may be copied from, and the tracking server that is asked.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    places: Vec<Place>,
    tracking: Option<Tracking>,
    guarded: Guarded,
}

impl Sources {
    /// Reads the places that an administrator names: folders, as paths or `file:` addresses, and servers by the address
    /// of their artifact proxy. With a tracking server, what it serves is such a place, too.
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
            let server = Base::parse(text)?;
            let proxy = server.below(API);
            out.places.push(Place::Server { server: proxy, below: None });
            out.tracking = Some(Tracking::new(server, credentials));
        }
        Ok(out)
    }

    /// The same places, of which nothing in these folders is copied.
    pub fn guarding(self, guarded: Guarded) -> Self {
        Self { guarded, ..self }
    }

    /// Refuses a named place that is or lies in a guarded folder: nothing could be copied from there.
    pub fn refuse_guarded(&self) -> Result<(), ArtifactError> {
        self.places.iter().try_for_each(|place| match place {
            Place::Folder(folder) => match folder.canonicalize() {
                Ok(real) => self.guarded.refuse_within(&Root::open(&real)?),
                // It may be made, or mounted, later.
                Err(_) => Ok(()),
            },
            Place::Server { .. } => Ok(()),
        })
    }

    /// Whether nothing is ever copied and nobody asked.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty() && self.tracking.is_none()
    }

    /// Whether there is a tracking server to ask for evidence.
    pub fn asks(&self) -> bool {
        self.tracking.is_some()
    }

    /// The origin that a source names, if it may be copied from there.
    pub fn origin(&self, uri: &str) -> Option<Origin> {
        if let Some(tracking) = &self.tracking
            && let Some(found) = tracking.origin(uri)
        {
            return Some(found);
        }
        self.placed(uri)
    }

    /// A source that says itself where the files are.
    fn placed(&self, uri: &str) -> Option<Origin> {
        let wanted = place(uri).ok()?;
        self.places.iter().find_map(|allowed| match (allowed, &wanted) {
            (Place::Folder(root), Place::Folder(folder)) => {
                let path = below(folder.strip_prefix(root).ok()?)?;
                Some(Origin::Folder { root: root.clone(), path })
            }
            (Place::Server { server, below }, Place::Server { server: asked, below: path })
                if server == asked && is_below(path.as_ref(), below.as_ref()) =>
            {
                Some(Origin::Proxied { server: server.clone(), path: path.clone() })
            }
            _ => None,
        })
    }

    /// Copies a model into the store. What comes back is durable.
    pub fn copy(
        &self,
        origin: &Origin,
        store: &Store,
        limits: &Limits,
        progress: Progress<'_>,
    ) -> Result<Ingested, ImportError> {
        match origin {
            Origin::Folder { root, path } => {
                let selection = Selection { guarded: self.guarded.clone(), ..Selection::default() };
                Ok(copy_folder(root, path.as_ref(), &selection, store, limits, progress)?)
            }
            Origin::Proxied { server, path } => {
                let credentials = self.tracking.as_ref().and_then(|t| t.credentials_for(server));
                copy_proxied(&Client::new(server, credentials), path.as_ref(), store, limits, progress)
            }
            Origin::LoggedModel(_) | Origin::OfRun { .. } => {
                let found = match &self.tracking {
                    Some(tracking) => tracking.locate(origin)?,
                    None => return Err(ImportError::Revoked(format!("{origin:?}"))),
                };
                let shown = crate::text::quoted(&found);
                let placed = self.tracking.as_ref().and_then(|t| t.proxied(&found)).or_else(|| self.placed(&found));
                match placed {
                    Some(placed @ (Origin::Folder { .. } | Origin::Proxied { .. })) => {
                        self.copy(&placed, store, limits, progress)
                    }
                    Some(Origin::LoggedModel(_) | Origin::OfRun { .. }) | None => Err(ImportError::NotAllowed(shown)),
                }
            }
        }
    }

    /// Asks the tracking server for the parameters and metrics of a run and a logged model; either may be empty.
    pub fn evidence(&self, run_id: &str, model_id: &str) -> Result<Evidence, ImportError> {
        self.tracking.as_ref().map_or_else(|| Ok(Evidence::default()), |t| t.evidence(run_id, model_id))
    }
}

/// Reads a place: a folder, or what lies behind a server's artifact proxy.
fn place(text: &str) -> Result<Place, InvalidPlace> {
    place::check(text)?;
    let is_web = text.starts_with("http://") || text.starts_with("https://");
    if is_web {
        let (server, path) = Base::parse_with(text, API)?;
        return Ok(Place::Server { server, below: path });
    }
    let path = match text.strip_prefix("file:") {
        // An authority would be another machine.
        Some(rest) => rest.strip_prefix("//").unwrap_or(rest),
        None => text,
    };
    let path = path.strip_suffix('/').unwrap_or(path);
    // Not all that this machine has is a place.
    if !path.starts_with('/') || path.starts_with("//") {
        return Err(InvalidPlace::Kind(crate::text::quoted(text)));
    }
    let folder = Path::new(path);
    below(folder.strip_prefix("/").unwrap_or(folder)).ok_or_else(|| InvalidPlace::Path(crate::text::quoted(text)))?;
    Ok(Place::Folder(folder.to_owned()))
}

/// A path below a place: nothing for the place itself; none where it is no path of model files.
#[expect(clippy::option_option, reason = "no path, and a path to the place itself, are two things")]
fn below(path: &Path) -> Option<Option<FilePath>> {
    let text = path.to_str()?.trim_end_matches('/');
    if text.is_empty() { Some(None) } else { place::plain(text).map(Some) }
}

/// Whether a path lies below another, or is it; nothing is the root.
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
    limits: &Limits,
    progress: Progress<'_>,
) -> Result<Ingested, ArtifactError> {
    // The named folder may be reached through a symbolic link; nothing below it may.
    let real = root.canonicalize().map_err(ArtifactError::io("open", root))?;
    let opened = Root::open(&real)?;
    let model = match path {
        Some(path) => opened.folder(path)?,
        None => opened,
    };
    ingest_below(&model, selection, Keep::In(store), limits, progress)
}

/// Lists a server's files, folder by folder, then streams each into the store.
fn copy_proxied(
    client: &Client,
    path: Option<&FilePath>,
    store: &Store,
    limits: &Limits,
    progress: Progress<'_>,
) -> Result<Ingested, ImportError> {
    let files = list(client, path, limits)?;
    let at = |file: &FilePath| match path {
        Some(folder) => folder.join(file.as_str()),
        None => Ok(file.clone()),
    };
    let open = |coming: &Coming| -> Result<Box<dyn Read>, ImportError> {
        client.open(&at(&coming.path).map_err(ArtifactError::from)?)
    };
    ingest_coming(files, open, store, limits, progress)
}

/// Lists the files of a model behind a server, their paths relative to the model's folder.
fn list(client: &Client, model: Option<&FilePath>, limits: &Limits) -> Result<Vec<Coming>, ImportError> {
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
        for Listed { name, is_folder, size } in client.list(asked.as_ref())? {
            // A name is one part of a path, whatever the server says (CVE-2024-0520).
            let path = if name.contains('/') { FilePath::new("..") } else { join(&name) };
            let path = path.map_err(ArtifactError::from)?;
            if is_folder {
                folders.push(Some(path));
            } else {
                files.push(Coming { path, size });
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
