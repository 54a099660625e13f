//! Why an upload is not taken.

use super::super::ArtifactError;
use super::super::path::InvalidPath;
use crate::name::Digest;

/// Why an upload is not taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// There is none of that id, or it is another person's.
    #[error("there is no upload {0} of yours; it may have been removed because it was not used for a day")]
    Unknown(String),
    /// No file of that path.
    #[error("there is no file at '{0}' in the upload")]
    NoFile(String),
    /// Somebody works on it.
    #[error("files of the upload {0} are being sent or used; try again when that is done")]
    Busy(String),
    /// Larger than may be.
    #[error("an upload may have {max} bytes in all; `greenroom serve --max-upload` sets how many")]
    TooLarge {
        /// The limit.
        max: u64,
    },
    /// More files than may be.
    #[error("an upload may have {max} files; pack them, or register the model by its address")]
    TooMany {
        /// The limit.
        max: u64,
    },
    /// More uploads than may be.
    #[error("there are {max} uploads that nobody has made a version of yet; remove some of yours or wait a day")]
    Full {
        /// The limit.
        max: usize,
    },
    /// The bytes that came are not those that were announced.
    #[error("{got} of {announced} bytes came; send the file again")]
    Short {
        /// How many should come.
        announced: u64,
        /// How many did.
        got: u64,
    },
    /// The bytes have another SHA-256 than was announced.
    #[error("the bytes that came have the SHA-256 {found}, not {announced}; send the file again")]
    Digest {
        /// What should come.
        announced: Digest,
        /// What came.
        found: Digest,
    },
    /// A path that may not be in a model.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// The files cannot be stored or be a model.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}
