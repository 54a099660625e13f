//! A file of a model: where its bytes are, and the limits of a model.

use super::path::FilePath;
use crate::name::Digest;
use crate::tree::Oid;

/// The kind in [`ArtifactError::NotAFile`] for a link.
pub(super) const LINK: &str = "symbolic link";

/// A file of a model: its path, size and SHA-256, and where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry<P> {
    /// Path in the model folder.
    pub path: FilePath,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the bytes.
    pub sha256: Digest,
    /// Where the bytes are: [`Content`] for a file that is being registered, [`FileLocation`] for a file in a tree.
    pub place: P,
}

/// Where the bytes of a file are that is being registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// In memory: small text, to be committed to the tree.
    Inline(Vec<u8>),
    /// In the content store; the tree gets a pointer.
    Stored,
}

/// Where the bytes of a version's file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileLocation {
    /// In the tree.
    Blob(Oid),
    /// In the content store; the tree has a pointer.
    Stored,
}

/// Limits on input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArtifactLimits {
    /// The number of files and folders of a model.
    pub files: u64,
    /// The size in bytes of a file in the tree, when it is read back. Greenroom writes at most [`MAX_INLINE`](super::ingest::MAX_INLINE).
    pub blob: u64,
    /// The size of all files together, in bytes.
    pub total: u64,
}

impl Default for ArtifactLimits {
    /// Returns limits of 50 000 files and folders, 16 MiB for a file in the tree, and 16 TiB in total.
    fn default() -> Self {
        Self { files: 50_000, blob: 16 << 20, total: 16 << 40 }
    }
}

/// A callback that receives the number of processed bytes and the total. Several threads call it.
pub type TransferProgress<'p> = &'p (dyn Fn(u64, u64) + Sync);
