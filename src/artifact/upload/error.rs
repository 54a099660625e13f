//! Errors of uploads.

use super::super::path::InvalidPath;
use crate::artifact::error::ArtifactError;
use crate::name::Digest;

/// Why an upload request is refused.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// There is no upload with this id, or it belongs to another person.
    #[error("you have no upload {0}; it may have been removed because it was not used for a day")]
    Unknown(String),
    /// The upload has no file with this path.
    #[error("there is no file at '{0}' in the upload")]
    NoFile(String),
    /// Another request uses the upload.
    #[error("another request uses the upload {0}; try again when that request is complete")]
    Busy(String),
    /// The upload exceeds the size limit.
    #[error("an upload may have at most {max} bytes in all; `greenroom serve --max-upload` sets the limit")]
    TooLarge {
        /// The largest size of an upload, in bytes.
        max: u64,
    },
    /// The upload exceeds the limit of files.
    #[error("an upload may have at most {max} files; pack them, or register the model by its URL")]
    TooMany {
        /// The largest number of files in an upload.
        max: u64,
    },
    /// There are too many uploads.
    #[error("there are already {max} uploads that no version uses; remove some of yours, or wait a day")]
    Full {
        /// The largest number of uploads.
        max: usize,
    },
    /// The number of received bytes is not the announced one.
    #[error("{got} of {announced} bytes arrived; send the file again")]
    Short {
        /// The announced number of bytes.
        announced: u64,
        /// The received number of bytes.
        got: u64,
    },
    /// The received bytes do not have the announced SHA-256.
    #[error("the received bytes have the SHA-256 {found}, not {announced}; send the file again")]
    Digest {
        /// The announced SHA-256.
        announced: Digest,
        /// The actual SHA-256.
        found: Digest,
    },
    /// A path is not allowed in a model.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// The files cannot be stored or cannot form a model.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}
