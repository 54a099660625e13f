//! Errors of uploads.

use super::super::path::InvalidPath;
use crate::artifact::error::ArtifactError;
use crate::name::Digest;

/// Why an upload request is refused.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// There is no upload with this id, or it belongs to another person.
    #[error("there is no upload {0} of yours; it may have been removed because it was not used for a day")]
    Unknown(String),
    /// The upload has no file with this path.
    #[error("there is no file at '{0}' in the upload")]
    NoFile(String),
    /// Another request uses the upload.
    #[error("files of the upload {0} are being sent or used; try again when that is done")]
    Busy(String),
    /// The upload exceeds the size limit.
    #[error("an upload may have {max} bytes in all; `greenroom serve --max-upload` sets how many")]
    TooLarge {
        /// The largest size of an upload, in bytes.
        max: u64,
    },
    /// The upload exceeds the limit of files.
    #[error("an upload may have {max} files; pack them, or register the model by its address")]
    TooMany {
        /// The largest number of files in an upload.
        max: u64,
    },
    /// There are too many uploads.
    #[error("there are {max} uploads that nobody has made a version of yet; remove some of yours or wait a day")]
    Full {
        /// The largest number of uploads.
        max: usize,
    },
    /// The number of received bytes is not the announced one.
    #[error("{got} of {announced} bytes came; send the file again")]
    Short {
        /// The announced number of bytes.
        announced: u64,
        /// The received number of bytes.
        got: u64,
    },
    /// The received bytes do not have the announced SHA-256.
    #[error("the bytes that came have the SHA-256 {found}, not {announced}; send the file again")]
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
