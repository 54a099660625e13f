//! The line of a file that a finding points at.

use crate::snapshot::Snapshot;
use crate::tree::TreeError;

/// Returns the first line of a file that starts with a text, counted from 1; 0 if there is none.
pub(super) fn line_of(snapshot: &Snapshot<'_>, full_path: &str, needle: &str) -> Result<usize, TreeError> {
    let Some(path) = full_path.strip_prefix(snapshot.at()) else { return Ok(0) };
    let Some(entry) = snapshot.entry(path)?.filter(|e| e.kind.is_file()) else { return Ok(0) };
    match snapshot.objects().blob(&entry.id, crate::format::MAX_FILE) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            Ok(text.lines().position(|l| l.trim_start().starts_with(needle)).map_or(0, |i| i + 1))
        }
        Err(TreeError::TooLarge { .. }) => Ok(0),
        Err(
            e @ (TreeError::Missing(_) | TreeError::Damaged { .. } | TreeError::Vast { .. } | TreeError::Io { .. }),
        ) => Err(e),
    }
}
