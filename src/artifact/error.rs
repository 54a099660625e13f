//! Why files of a model could not be registered, listed or written.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use super::entry::{FileEntry, FileLocation, LINK};
use super::path::FilePath;
use super::{copy, path, pointer};
use crate::entity::version::Artifacts;
use crate::name::Digest;
use crate::tree::TreeError;

/// Why files could not be registered, listed or written.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The file system failed.
    #[error("could not {doing} {}{}", path.display(), hint(source))]
    Io {
        /// The operation that failed, for the message.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A path is not allowed in a model folder.
    #[error("a file cannot be part of a model")]
    Path(#[from] path::InvalidPath),
    /// Several things in a folder that are not allowed there: [`Self::Path`] or [`Self::NotAFile`].
    #[error("{}", several_text(.0))]
    Several(Vec<Self>),
    /// Not a file or folder.
    #[error("{} is a {kind}; a model folder may hold files and folders only: {}", path.display(), instead(kind))]
    NotAFile {
        /// The path of the entry.
        path: PathBuf,
        /// The kind of the entry.
        kind: &'static str,
    },
    /// The folder is a registry or a part of one.
    #[error(
        "{} belongs to the registry in {}: no part of a registry or its git folder may become part of a model, because \
         secrets and tokens are stored there; give the model's own folder, outside of the registry",
        path.display(), registry.display()
    )]
    Registry {
        /// The folder or file that was to be registered.
        path: PathBuf,
        /// The registry's folder.
        registry: PathBuf,
    },
    /// A file of patterns is invalid.
    #[error("the patterns in '{path}' cannot be used: {why}")]
    Patterns {
        /// Path in the model folder.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// Files are Git LFS pointers whose content is not on this machine: the folder, and path and size of each file.
    #[error("{}", pointers_text(.0, .1))]
    Pointers(PathBuf, Vec<(FilePath, u64)>),
    /// A file was modified while it was read.
    #[error("{} changed while it was read; wait until nothing writes to it and try again", .0.display())]
    Changed(PathBuf),
    /// There is no file at all.
    #[error("{} holds no file; give the folder of a model, such as one that `mlflow.<flavor>.save_model` wrote", .0.display())]
    Empty(PathBuf),
    /// The model exceeds a limit.
    #[error("the model has more than {max} {what}; split it, or register it by its URL instead of copying it")]
    TooMuch {
        /// What the limit counts.
        what: &'static str,
        /// The largest allowed number.
        max: u64,
    },
    /// Two names are the same on some systems.
    #[error(
        "'{0}' and '{1}' differ only by case or Unicode form, so they cannot both exist on macOS or Windows: rename \
         one, or leave it out with `--exclude PATTERN`"
    )]
    Clash(String, String),
    /// A file and a folder have the same name.
    #[error("'{0}' is a file and also a folder of other files; rename one")]
    FileAndFolder(String),
    /// An entry of a version's tree is not a file or folder.
    #[error("'{path}' is a {kind} in the version's artifacts; only files and folders may be there")]
    Kind {
        /// Path in the version's artifacts.
        path: String,
        /// The kind of the entry.
        kind: &'static str,
    },
    /// A Git LFS pointer is invalid.
    #[error("'{path}' is damaged")]
    Pointer {
        /// Path in the version's artifacts.
        path: FilePath,
        /// The parser's error.
        source: pointer::InvalidPointer,
    },
    /// An object of the repository could not be read.
    #[error("the version's artifacts could not be read at '{path}'")]
    Tree {
        /// Path in the version's artifacts; empty for their root.
        path: String,
        /// The error of the object store.
        source: TreeError,
    },
    /// The bytes of some files are not on this machine.
    #[error("{}", missing_text(.0))]
    Missing(Vec<FileEntry<FileLocation>>),
    /// The bytes do not have the expected SHA-256.
    #[error(
        "the stored object {expected} is damaged: it has {size} bytes with SHA-256 {found}; move it away and run \
         `git lfs fetch` to get it again, or restore it from a backup"
    )]
    Damaged {
        /// The expected SHA-256.
        expected: Digest,
        /// The actual SHA-256.
        found: Digest,
        /// The actual size in bytes.
        size: u64,
    },
    /// An object was removed from the store while it was needed.
    #[error("the object {0} was removed from the store meanwhile, perhaps by `git lfs prune`; try again")]
    Removed(Digest),
    /// Received bytes are not the announced ones.
    #[error("the received bytes differ from the announced ones: {} bytes with SHA-256 {} instead of {} bytes with {}",
        found.size, found.sha256, expected.size, expected.sha256)]
    Unexpected {
        /// The announced size and SHA-256.
        expected: copy::CopyReport,
        /// The received size and SHA-256.
        found: copy::CopyReport,
    },
    /// More or fewer bytes arrived than announced.
    #[error("{path} arrived with {got} bytes instead of {said}; try again")]
    Short {
        /// The path in the model folder.
        path: FilePath,
        /// The announced number of bytes.
        said: u64,
        /// The received number of bytes; of excess bytes only one is counted.
        got: u64,
    },
    /// The files are not the registered files.
    #[error(
        "the files are not those that were registered: {} files, {} bytes, digest {} instead of {} files, {} bytes, \
         digest {}", found.files, found.size, found.digest, expected.files, expected.size, expected.digest
    )]
    Mismatch {
        /// The registered summary.
        expected: Artifacts,
        /// The actual summary.
        found: Artifacts,
    },
    /// The destination exists and is not an empty folder.
    #[error("{} exists already and is not an empty folder; give another destination, or remove it", .0.display())]
    Exists(PathBuf),
}

impl ArtifactError {
    /// Returns a function for `map_err` that adds the operation and the path.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }
}

/// Returns advice for failures that people can fix.
fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space and try again",
        io::ErrorKind::PermissionDenied => "; check its owner and permissions",
        _ => "",
    }
}

/// Returns advice about an entry that is not a file.
fn instead(kind: &str) -> &'static str {
    match kind {
        LINK => {
            "register its target with `--follow-links`, leave it out with `--exclude PATTERN`, or replace it by its \
             target"
        }
        _ => "remove it, or leave it out with `--exclude PATTERN`",
    }
}

/// Says what is wrong with the files of a folder, in full of a few of them.
fn several_text(all: &[ArtifactError]) -> String {
    const SHOWN: usize = 10;
    let mut text = format!("{} files cannot be part of a model:", all.len());
    for e in all.iter().take(SHOWN) {
        let _ = match e {
            ArtifactError::Path(e) => write!(text, "\n  {e}"),
            other => write!(text, "\n  {other}"),
        };
    }
    if all.len() > SHOWN {
        let _ = write!(text, "\n  and {} more", all.len() - SHOWN);
    }
    text
}

/// Names the pointers, a few of them in full, and what to do.
fn pointers_text(folder: &Path, files: &[(FilePath, u64)]) -> String {
    const SHOWN: usize = 10;
    let mut text = match files {
        [_] => "1 file is a Git LFS pointer, and its object is not on this machine:".to_owned(),
        _ => format!("{} files are Git LFS pointers, and their objects are not on this machine:", files.len()),
    };
    for (path, size) in files.iter().take(SHOWN) {
        let _ = write!(text, "\n  {path} ({size} bytes)");
    }
    if files.len() > SHOWN {
        let _ = write!(text, "\n  and {} more", files.len() - SHOWN);
    }
    let _ = write!(
        text,
        "\nrun `git lfs pull` in {} and try again, or leave them out with `--exclude PATTERN`",
        folder.display()
    );
    text
}

/// Lists the missing files, at most ten of them, and says what to do.
fn missing_text(files: &[FileEntry<FileLocation>]) -> String {
    const SHOWN: usize = 10;
    let mut text = match files {
        [_] => "1 file is not on this machine:".to_owned(),
        _ => format!("{} files are not on this machine:", files.len()),
    };
    for f in files.iter().take(SHOWN) {
        let _ = write!(text, "\n  {} ({} bytes, SHA-256 {})", f.path, f.size, f.sha256);
    }
    if files.len() > SHOWN {
        let _ = write!(text, "\n  and {} more", files.len() - SHOWN);
    }
    text.push_str("\nget them with `git lfs fetch`, or `git lfs pull` in a work tree, and try again");
    text
}
