//! Git LFS pointers instead of files: the folder comes from a clone without its large files. If a pointer's object is
//! on this machine, the object is registered; else the folder is refused, because a model of pointers is useless.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;

use super::error::ArtifactError;
use super::parallel;
use super::path::FilePath;
use super::pointer::{MAX_POINTER, Pointer};
use super::store::Store;
use super::walk::{Root, WalkedFile};

/// Every pointer has at least this many bytes.
const MIN_POINTER: u64 = 100;

/// The pointers of a folder, each with the store that has its object.
#[derive(Debug, Default)]
pub(super) struct Resolved(BTreeMap<FilePath, (Pointer, Store)>);

impl Resolved {
    /// Returns the pointer and the store, if the file is a pointer.
    pub(super) fn get(&self, path: &FilePath) -> Option<&(Pointer, Store)> {
        self.0.get(path)
    }
}

/// Whether a file of this size can be a pointer.
pub(super) fn may_be(size: u64) -> bool {
    (MIN_POINTER..MAX_POINTER as u64).contains(&size)
}

/// Reads an open file; returns the pointer if it is one.
pub(super) fn read(file: File) -> Option<Pointer> {
    let mut bytes = Vec::new();
    file.take(MAX_POINTER as u64).read_to_end(&mut bytes).ok()?;
    Pointer::parse_any(&bytes)
}

/// Finds the objects of all pointers of a folder in these stores. The error names the missing ones.
pub(super) fn resolve(root: &Root, files: &[WalkedFile], stores: &[Store]) -> Result<Resolved, ArtifactError> {
    let small: Vec<&WalkedFile> = files.iter().filter(|f| may_be(f.size)).collect();
    let found = parallel::map(&small, |found| Ok::<_, ArtifactError>(read(root.open_found(found)?)))?;
    let (mut resolved, mut missing) = (Resolved::default(), Vec::new());
    for (found, pointer) in small.into_iter().zip(found) {
        let Some(pointer) = pointer else { continue };
        match stores.iter().find(|s| pointer.size > 0 && s.has(&pointer.sha256, pointer.size)) {
            Some(store) => drop(resolved.0.insert(found.path.clone(), (pointer, store.clone()))),
            None => missing.push((found.path.clone(), pointer.size)),
        }
    }
    if missing.is_empty() { Ok(resolved) } else { Err(ArtifactError::Pointers(root.path().to_owned(), missing)) }
}
