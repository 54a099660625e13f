//! A cheap look at where a branch is, for readers that must notice each move of it.

use std::path::PathBuf;

use super::Repo;
use crate::tree::Oid;

/// The largest reference that is read, in bytes.
const MAX_REF: u64 = 256;

/// Where a branch's own file lies. It can be shared between threads.
#[derive(Debug, Clone)]
pub struct Tip {
    file: PathBuf,
}

impl Repo {
    /// For looks at a branch, named in full.
    pub fn tip(&self, reference: &str) -> Tip {
        Tip { file: self.common_dir().join(reference) }
    }
}

impl Tip {
    /// The branch's newest commit; none if its own file does not say, as when the reference is packed: then
    /// [`Repo::reference`] knows.
    pub fn look(&self) -> Option<Oid> {
        use std::io::Read as _;
        let mut text = String::new();
        std::fs::File::open(&self.file).ok()?.take(MAX_REF).read_to_string(&mut text).ok()?;
        Oid::from_hex(text.trim_end())
    }
}
