//! The server's file cache: the content store, uploads, lists of files, checked objects.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::caller_slots::CallerSlots;
use super::grant::Grants;
use crate::artifact::walk::WriteStamp;
use crate::artifact::{ArtifactError, ArtifactLimits, ArtifactListing, Store, Uploads};
use crate::name::Digest;
use crate::tree::Oid;

/// The number of files that are received at the same time. Other clients wait.
const RECEIVED: usize = 64;

/// The number of cached lists of files, and the number of files in all of them. The newest list is always kept, because
/// a client that loads a model needs it for each file.
const LISTS: usize = 64;
const LISTED: usize = 200_000;

/// The number of checked objects that are cached.
const CHECKED: usize = 10_000;

/// The interval at which unused uploads are removed.
const TIDY: Duration = Duration::from_hours(1);

/// The files and empty folders of a version.
pub type Files = Arc<ArtifactListing>;

/// The server's file cache.
#[derive(Debug)]
pub struct FileCache {
    /// The content store.
    pub store: Store,
    /// Uploads that are not a version yet.
    pub uploads: Arc<Uploads>,
    /// Makes and verifies URLs that need no token.
    pub grants: Grants,
    /// Shares the slots for sending among callers.
    pub places: CallerSlots,
    /// Objects are checked one at a time, so that two requests never check the same object.
    pub checking: tokio::sync::Mutex<()>,
    lists: Mutex<VecDeque<(Oid, Files)>>,
    checked: Mutex<BTreeMap<Digest, WriteStamp>>,
}

impl FileCache {
    /// Opens the files in Git LFS's folder `lfs`. An upload may have `max_upload` bytes. `key` signs URLs.
    pub fn new(lfs: &Path, max_upload: u64, key: [u8; 32]) -> Self {
        let store = Store::at(lfs);
        let limits = ArtifactLimits { total: max_upload, ..ArtifactLimits::default() };
        Self {
            uploads: Arc::new(Uploads::of(store.clone(), limits)),
            store,
            grants: Grants::new(key),
            places: CallerSlots::new(RECEIVED),
            checking: tokio::sync::Mutex::default(),
            lists: Mutex::default(),
            checked: Mutex::default(),
        }
    }

    /// The files and empty folders of a tree: from memory, or as `list` gives them. A tree never changes.
    pub fn listed(
        &self,
        tree: Oid,
        list: impl FnOnce() -> Result<ArtifactListing, ArtifactError>,
    ) -> Result<Files, ArtifactError> {
        let known = || self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, files)) = known().iter().find(|(t, _)| *t == tree) {
            return Ok(Arc::clone(files));
        }
        let files: Files = Arc::new(list()?);
        let mut lists = known();
        // Another request may have been faster.
        lists.retain(|(t, _)| *t != tree);
        lists.push_front((tree, Arc::clone(&files)));
        let mut all = 0_usize;
        let fit = lists.iter().take(LISTS).take_while(|(_, files)| {
            all = all.saturating_add(files.files.len()).saturating_add(files.empty_folders.len());
            all <= LISTED
        });
        let kept = fit.count().max(1);
        lists.truncate(kept);
        Ok(files)
    }

    /// Returns whether an object was checked while its file had this stamp.
    pub fn is_checked(&self, sha256: &Digest, stamp: WriteStamp) -> bool {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).get(sha256) == Some(&stamp)
    }

    /// Records that an object was checked.
    pub fn note_checked(&self, sha256: &Digest, stamp: WriteStamp) {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked.len() >= CHECKED {
            checked.clear();
        }
        checked.insert(sha256.clone(), stamp);
    }
}

/// Removes unused uploads, at the start and every hour.
pub async fn keep_tidy(file_cache: Arc<FileCache>) {
    loop {
        let uploads = Arc::clone(&file_cache.uploads);
        let _ = tokio::task::spawn_blocking(move || uploads.sweep(SystemTime::now())).await;
        tokio::time::sleep(TIDY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{FileEntry, FileLocation, FilePath, copy};

    #[test]
    fn the_newest_list_is_kept_however_long_and_older_ones_while_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let file_cache = FileCache::new(dir.path(), 1, [0; 32]);
        let file = FileEntry {
            path: FilePath::new("a").unwrap(),
            size: 0,
            sha256: copy::sha256(b""),
            place: FileLocation::Stored,
        };
        let tree = |n: u8| Oid::from_bytes(&[n; 20]).unwrap();
        let is_kept = |n: u8, len: usize| {
            let mut asked = false;
            let list = || {
                asked = true;
                Ok(ArtifactListing { files: vec![file.clone(); len], empty_folders: Vec::new() })
            };
            assert_eq!(file_cache.listed(tree(n), list).unwrap().files.len(), len);
            !asked
        };
        assert!(!is_kept(1, LISTED / 2) && !is_kept(2, LISTED / 2));
        assert!(is_kept(1, LISTED / 2) && is_kept(2, LISTED / 2));
        assert!(!is_kept(3, LISTED + 1));
        assert!(is_kept(3, LISTED + 1), "alone it is too long, and is kept all the same");
        assert!(!is_kept(1, LISTED / 2), "there was no room for it");
        let sum: usize = file_cache.lists.lock().unwrap().iter().map(|(_, files)| files.files.len()).sum();
        assert_eq!(sum, LISTED / 2);
    }
}
