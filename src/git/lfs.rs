//! Git LFS in a work tree: a file there may be the content that a committed pointer stands for.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::{GitError, Repo};
use crate::tree::{Objects as _, Oid, TreeError};

/// The largest pointer, in bytes.
const MAX_POINTER: u64 = 1024;

impl Repo {
    /// Whether a file holds the content that a blob, a Git LFS pointer, stands for. The file is read only if its size
    /// equals the size in the pointer.
    pub(super) fn is_content_of(&self, file: &Path, blob: &Oid) -> Result<bool, GitError> {
        let pointer = match self.blob(blob, MAX_POINTER) {
            Ok(bytes) => bytes,
            Err(TreeError::TooLarge { .. }) => return Ok(false),
            Err(e) => return Err(e.into()),
        };
        let io = |e| GitError::io("read", file, e);
        let mut from = File::open(file).map_err(io)?;
        let size = from.metadata().map_err(io)?.len();
        if !pointer.ends_with(format!("\nsize {size}\n").as_bytes()) {
            return Ok(false);
        }
        let mut state = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match from.read(&mut buffer).map_err(io)? {
                0 => break,
                n => state.update(buffer.get(..n).unwrap_or_default()),
            }
        }
        let hex: String = state.finalize().iter().map(|b| format!("{b:02x}")).collect();
        let expected = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{hex}\nsize {size}\n");
        Ok(pointer == expected.as_bytes())
    }
}
