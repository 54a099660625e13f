//! The number of files and folders that a model may still have.

use super::entry::ArtifactLimits;
use super::error::ArtifactError;

/// The number of further files and folders that are allowed. Folders count too, so that a tree of folders cannot be
/// endless.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
    max: u64,
}

impl Budget {
    pub(super) const fn new(limits: &ArtifactLimits) -> Self {
        Self { left: limits.files, max: limits.files }
    }

    pub(super) fn take(&mut self) -> Result<(), ArtifactError> {
        let none = ArtifactError::TooMuch { what: "files and folders", max: self.max };
        self.left = self.left.checked_sub(1).ok_or(none)?;
        Ok(())
    }
}
