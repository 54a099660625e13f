//! A cheap read of a branch's commit, for readers that must notice each move of the branch.

use std::path::PathBuf;

use super::Repo;
use crate::tree::Oid;

/// The largest reference file that is read, in bytes.
const MAX_REF: u64 = 256;

/// The path of a branch's own file. A `Tip` can be shared between threads.
#[derive(Debug, Clone)]
pub struct Tip {
    file: PathBuf,
}

impl Repo {
    /// Returns the [`Tip`] of a branch (full name).
    pub fn tip(&self, reference: &str) -> Tip {
        Tip { file: self.common_dir().join(reference) }
    }
}

impl Tip {
    /// Returns the branch's newest commit. Returns `None` if its own file has none, for instance because the reference
    /// is packed: then use [`Repo::reference`].
    pub fn look(&self) -> Option<Oid> {
        use std::io::Read as _;
        let mut text = String::new();
        std::fs::File::open(&self.file).ok()?.take(MAX_REF).read_to_string(&mut text).ok()?;
        Oid::from_hex(text.trim_end())
    }
}
