//! Limits on a push, checked before the costly steps.

use std::time::Duration;

use super::error::GateError;
use crate::git::Repo;
use crate::text::quoted;

/// The limits on one push. They come from settings of the served repository (`greenroom.maxCommits` and so on), never
/// from the pushed tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateLimits {
    /// The largest number of references in one push.
    pub refs: usize,
    /// The largest number of commits that are new to a protected branch.
    pub commits: usize,
    /// The largest number of files that change over all these commits.
    pub files: usize,
    /// The largest model file in git itself, in bytes; larger files belong in Git LFS.
    pub file_bytes: u64,
    /// The largest number of tree entries that are read for one commit.
    pub entries: usize,
    /// The largest depth of folders.
    pub depth: usize,
    /// The longest commit message, in bytes.
    pub message_bytes: usize,
    /// The longest time that judging a push may take.
    pub time: Duration,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self {
            refs: 50,
            commits: 5_000,
            files: 15_000,
            file_bytes: 1 << 20,
            entries: 1_000_000,
            depth: 32,
            message_bytes: 64 << 10,
            time: Duration::from_secs(20),
        }
    }
}

impl GateLimits {
    /// Reads the limits from a served repository's settings; limits without a setting have their default.
    ///
    /// # Errors
    /// [`GateError::Setting`] if a setting is invalid.
    pub fn of(repo: &Repo) -> Result<Self, GateError> {
        let usual = Self::default();
        let number = |key, usual: u64| number(repo, key, usual);
        let count = |key, usual: usize| number(key, usual as u64).map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let files = count("greenroom.maxFiles", usual.files)?;
        Ok(Self {
            refs: count("greenroom.maxRefs", usual.refs)?,
            commits: count("greenroom.maxCommits", usual.commits)?,
            files,
            file_bytes: number("greenroom.maxFileSize", usual.file_bytes)?,
            // Each file may be in folders of its own.
            entries: usual.entries.max(files.saturating_mul(60)),
            time: Duration::from_secs(number("greenroom.maxSeconds", usual.time.as_secs())?),
            ..usual
        })
    }
}

/// Reads a whole number with git's suffixes k, m and g.
fn number(repo: &Repo, key: &'static str, usual: u64) -> Result<u64, GateError> {
    let Some(text) = repo.own_setting(key) else { return Ok(usual) };
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (text.get(..text.len() - 1), 1 << 10),
        Some(b'm' | b'M') => (text.get(..text.len() - 1), 1 << 20),
        Some(b'g' | b'G') => (text.get(..text.len() - 1), 1 << 30),
        _ => (Some(text.as_str()), 1),
    };
    let parsed = digits.and_then(|d| d.trim().parse::<u64>().ok()).and_then(|n| n.checked_mul(factor));
    parsed.filter(|n| *n > 0).ok_or_else(|| GateError::Setting {
        key,
        value: quoted(&text),
        why: "it must be an integer above 0, such as 500 or 16m",
    })
}
