//! Why webhooks cannot be used at all.

use super::address::InvalidAllow;
use crate::secrets::SecretError;

/// Why no webhook can be used.
#[derive(Debug, thiserror::Error)]
pub enum OutgoingError {
    /// The setting that allows targets cannot be parsed.
    #[error(transparent)]
    Allow(#[from] InvalidAllow),
    /// The key of the secrets cannot be read.
    #[error(transparent)]
    Secrets(#[from] SecretError),
}
