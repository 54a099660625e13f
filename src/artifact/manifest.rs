//! The files of a version, read from its tree, and their digest.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Read as _;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

use super::budget::Budget;
use super::entry::{ArtifactLimits, FileEntry, FileLocation, TransferProgress};
use super::error::ArtifactError;
use super::path::{FilePath, clash};
use super::pointer::Pointer;
use super::store::{Store, check};
use super::{copy, parallel};
use crate::entity::version::Artifacts;
use crate::format::model_file;
use crate::name::Digest;
use crate::tree::{EntryKind, Objects, Oid, TreeError};

/// Returns the digest, total size and number of files. The order of `files` does not matter.
///
/// The digest is SHA-256 over `path NUL size NUL sha256 LF` for each file, sorted by the bytes of the path.
pub fn summary<P>(files: &[FileEntry<P>]) -> Artifacts {
    let mut sorted: Vec<&FileEntry<P>> = files.iter().collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    let mut state = Sha256::new();
    for f in &sorted {
        state.update(format!("{}\0{}\0{}\n", f.path, f.size, f.sha256));
    }
    let size = files.iter().map(|f| f.size).fold(0, u64::saturating_add);
    Artifacts { digest: copy::digest(state), size, files: files.len() as u64 }
}

/// The content of a version's `artifacts` tree.
#[derive(Debug, Default)]
pub struct ArtifactListing {
    /// The files, sorted by path.
    pub files: Vec<FileEntry<FileLocation>>,
    /// The empty folders, sorted by path. They are not part of the digest, which covers bytes only.
    pub empty_folders: Vec<FilePath>,
}

/// Lists the files of a version's `artifacts` tree, sorted by path. Files in the store are not read.
///
/// # Errors
/// [`ArtifactError`] if the tree is unreadable or too large, or has an invalid name, kind or pointer, or two names that
/// clash.
pub fn list(
    objects: &dyn Objects,
    tree: &Oid,
    limits: &ArtifactLimits,
) -> Result<Vec<FileEntry<FileLocation>>, ArtifactError> {
    list_all(objects, tree, limits).map(|listed| listed.files)
}

/// Lists the files and the empty folders of a version's `artifacts` tree. Files in the store are not read.
///
/// # Errors
/// The same as [`list`].
pub fn list_all(objects: &dyn Objects, tree: &Oid, limits: &ArtifactLimits) -> Result<ArtifactListing, ArtifactError> {
    let mut listing = Listing {
        objects,
        blob: limits.blob,
        budget: Budget::new(limits),
        known: HashMap::new(),
        found: ArtifactListing::default(),
    };
    listing.folder(tree, None)?;
    let ArtifactListing { mut files, mut empty_folders } = listing.found;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    empty_folders.sort();
    match clash(files.iter().map(|f| &f.path).chain(&empty_folders)) {
        Some((a, b)) => Err(ArtifactError::Clash(a, b)),
        None => Ok(ArtifactListing { files, empty_folders }),
    }
}

/// The state of a listing.
struct Listing<'o> {
    objects: &'o dyn Objects,
    blob: u64,
    budget: Budget,
    /// The file that each blob stands for: a hostile tree may refer to one blob many times, and each blob is read once.
    known: HashMap<Oid, (u64, Digest, FileLocation)>,
    found: ArtifactListing,
}

impl Listing<'_> {
    /// Lists a folder. [`FilePath`] limits the depth of the recursion.
    fn folder(&mut self, tree: &Oid, at: Option<&FilePath>) -> Result<(), ArtifactError> {
        let entries = self.objects.tree(tree).map_err(unreadable(at.map_or("", FilePath::as_str)))?;
        for entry in entries.iter() {
            self.budget.take()?;
            if let (model_file::EMPTY_FOLDER, Some(folder), EntryKind::File) = (entry.name.as_str(), at, entry.kind) {
                // The file must be empty, like the folder that it preserves.
                self.objects.blob(&entry.id, 0).map_err(unreadable(folder.as_str()))?;
                self.found.empty_folders.push(folder.clone());
                continue;
            }
            let path = FilePath::from_stored(at, &entry.name)?;
            match entry.kind {
                EntryKind::Tree => self.folder(&entry.id, Some(&path))?,
                EntryKind::File | EntryKind::Executable => {
                    let (size, sha256, place) = self.file(&path, entry.id)?;
                    self.found.files.push(FileEntry { path, size, sha256, place });
                }
                EntryKind::Symlink | EntryKind::Submodule => {
                    return Err(ArtifactError::Kind { path: path.to_string(), kind: entry.kind.as_str() });
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &FilePath, id: Oid) -> Result<(u64, Digest, FileLocation), ArtifactError> {
        if let Some(known) = self.known.get(&id) {
            return Ok(known.clone());
        }
        let bytes = self.objects.blob(&id, self.blob).map_err(unreadable(path.as_str()))?;
        let found = match Pointer::parse(&bytes) {
            Ok(Some(Pointer { sha256, size })) => (size, sha256, FileLocation::Stored),
            Ok(None) => (bytes.len() as u64, copy::sha256(&bytes), FileLocation::Blob(id)),
            Err(source) => return Err(ArtifactError::Pointer { path: path.clone(), source }),
        };
        self.known.insert(id, found.clone());
        Ok(found)
    }
}

fn unreadable(path: &str) -> impl Fn(TreeError) -> ArtifactError {
    |source| ArtifactError::Tree { path: path.to_owned(), source }
}

/// Returns the files that are not in the store, or are there with another size.
pub fn missing(files: &[FileEntry<FileLocation>], store: &Store) -> Vec<FileEntry<FileLocation>> {
    let away = |f: &&FileEntry<FileLocation>| f.place == FileLocation::Stored && !store.has(&f.sha256, f.size);
    files.iter().filter(away).cloned().collect()
}

/// Reads all files in the store in parallel, and returns each damaged or missing file with its error; an empty list if
/// all are intact.
///
/// Files in the tree are not read again: git checks its own objects.
pub fn verify(
    files: &[FileEntry<FileLocation>],
    store: &Store,
    progress: TransferProgress<'_>,
) -> Vec<(FileEntry<FileLocation>, ArtifactError)> {
    let stored: Vec<_> = files.iter().filter(|f| f.place == FileLocation::Stored).collect();
    let total = stored.iter().map(|f| f.size).fold(0, u64::saturating_add);
    let done = AtomicU64::new(0);
    let judged = parallel::map(&stored, |file| {
        let fault = if store.has(&file.sha256, file.size) {
            store.verify(&file.sha256, file.size).err()
        } else {
            Some(ArtifactError::Missing(vec![(*file).clone()]))
        };
        progress(done.fetch_add(file.size, Ordering::Relaxed).saturating_add(file.size), total);
        Ok::<_, Infallible>(fault.map(|fault| ((*file).clone(), fault)))
    });
    match judged {
        Ok(judged) => judged.into_iter().flatten().collect(),
    }
}

/// Reads and checks one file of at most `max` bytes, to show it.
///
/// # Errors
/// [`ArtifactError::TooMuch`] if it is larger; [`ArtifactError::Missing`] or [`ArtifactError::Damaged`] if the stored
/// object is missing or wrong; else [`ArtifactError::Tree`] or [`ArtifactError::Io`].
pub fn read_file(
    objects: &dyn Objects,
    store: &Store,
    file: &FileEntry<FileLocation>,
    max: u64,
) -> Result<Vec<u8>, ArtifactError> {
    let bytes = match file.place {
        _ if file.size > max => return Err(ArtifactError::TooMuch { what: "bytes to show", max }),
        FileLocation::Blob(id) => objects.blob(&id, max).map_err(unreadable(file.path.as_str()))?,
        FileLocation::Stored if !store.has(&file.sha256, file.size) => {
            return Err(ArtifactError::Missing(vec![file.clone()]));
        }
        FileLocation::Stored => {
            let mut bytes = Vec::new();
            let read = store.open(&file.sha256)?.take(max.saturating_add(1)).read_to_end(&mut bytes);
            read.map_err(ArtifactError::io("read the stored object", &store.path(&file.sha256)))?;
            bytes
        }
    };
    let found = copy::CopyReport { sha256: copy::sha256(&bytes), size: bytes.len() as u64 };
    check(&file.sha256, file.size, found)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Memory, TreeEntry};

    fn entry(path: &str, bytes: &[u8]) -> Result<FileEntry<()>, super::super::path::InvalidPath> {
        Ok(FileEntry { path: FilePath::new(path)?, size: bytes.len() as u64, sha256: copy::sha256(bytes), place: () })
    }

    #[test]
    fn the_digest_is_the_documented_one() -> Result<(), super::super::path::InvalidPath> {
        let files = [entry("b", b"abc")?, entry("a/x", b"")?, entry("a.txt", b"1")?];
        // Sorted by bytes: '.' comes before '/'.
        let list = "a.txt\x001\x006b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b\n\
                    a/x\x000\x00e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n\
                    b\x003\x00ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";
        let sum = summary(&files);
        assert_eq!((sum.digest, sum.size, sum.files), (copy::sha256(list.as_bytes()), 4, 3));
        Ok(())
    }

    #[test]
    fn a_tree_is_listed_in_the_order_of_paths() -> Result<(), ArtifactError> {
        let objects = Memory::default();
        let pointer = Pointer { sha256: copy::sha256(b"big"), size: 3 }.to_string();
        let root = objects.put_files([("a/x", &b"1"[..]), ("a.txt", b"2"), ("b/c/d", pointer.as_bytes())]);
        let files = list(&objects, &root, &ArtifactLimits::default())?;
        let shown: Vec<_> = files.iter().map(|f| (f.path.as_str(), f.size, f.place == FileLocation::Stored)).collect();
        assert_eq!(shown, [("a.txt", 1, false), ("a/x", 1, false), ("b/c/d", 3, true)]);
        assert_eq!(files.last().map(|f| f.sha256.clone()), Some(copy::sha256(b"big")));
        Ok(())
    }

    #[test]
    fn every_reader_gets_the_true_names() -> Result<(), ArtifactError> {
        let objects = Memory::default();
        let root = objects.put_files([("code/%2Egitignore", &b"1"[..]), ("what%3F", b"2"), ("assets/%2F", b"")]);
        let ArtifactListing { files, empty_folders } = list_all(&objects, &root, &ArtifactLimits::default())?;
        assert_eq!(files.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["code/.gitignore", "what?"]);
        assert_eq!(empty_folders.iter().map(FilePath::as_str).collect::<Vec<_>>(), ["assets"]);
        let keeper = objects.put_files([("assets/%2F", &b"not empty"[..])]);
        assert!(matches!(list(&objects, &keeper, &ArtifactLimits::default()), Err(ArtifactError::Tree { .. })));
        let top = objects.put_files([("%2F", &b""[..])]);
        assert!(
            matches!(list(&objects, &top, &ArtifactLimits::default()), Err(ArtifactError::Path(_))),
            "the root is never empty"
        );
        Ok(())
    }

    #[test]
    fn anything_but_files_with_good_names_is_an_error() {
        let objects = Memory::default();
        let id = objects.put_blob(b"target");
        let tree = |name: &str, kind: EntryKind| objects.put_tree(vec![TreeEntry { name: name.to_owned(), kind, id }]);
        let listed = |root: &Oid| list(&objects, root, &ArtifactLimits::default());
        assert!(listed(&tree("run.sh", EntryKind::Executable)).is_ok());
        for kind in [EntryKind::Symlink, EntryKind::Submodule] {
            assert!(matches!(listed(&tree("odd", kind)), Err(ArtifactError::Kind { .. })));
        }
        for name in ["..", ".git", "a/b\\c", "", "a:b", ".GITATTRIBUTES"] {
            assert!(matches!(listed(&tree(name, EntryKind::File)), Err(ArtifactError::Path(_))), "{name:?}");
        }
        let broken =
            objects.put_files([("m", &b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n"[..])]);
        assert!(matches!(listed(&broken), Err(ArtifactError::Pointer { .. })));
        assert!(matches!(listed(&id), Err(ArtifactError::Tree { .. })), "no such tree");
        let clash = objects.put_files([("A/x", &b"1"[..]), ("a/y", b"2")]);
        assert!(matches!(listed(&clash), Err(ArtifactError::Clash(..))));
    }

    #[test]
    fn count_size_and_depth_are_limited() {
        let objects = Memory::default();
        let root = objects.put_files([("a", &b"123"[..]), ("b", b"2")]);
        let defaults = ArtifactLimits::default();
        let with = |limits: ArtifactLimits| list(&objects, &root, &limits);
        assert!(matches!(with(ArtifactLimits { files: 1, ..defaults }), Err(ArtifactError::TooMuch { .. })));
        assert!(matches!(with(ArtifactLimits { blob: 2, ..defaults }), Err(ArtifactError::Tree { .. })));
        assert!(with(ArtifactLimits { files: 2, blob: 3, ..defaults }).is_ok());
        let mut bomb = objects.put_tree(Vec::new());
        for _ in 0..20 {
            let entry = |name: &str| TreeEntry { name: name.to_owned(), kind: EntryKind::Tree, id: bomb };
            bomb = objects.put_tree(["a", "b", "c", "d"].map(entry).to_vec());
        }
        assert!(matches!(list(&objects, &bomb, &defaults), Err(ArtifactError::TooMuch { .. })), "folders count");
        let deep = vec!["d"; 40].join("/");
        let root = objects.put_files([(deep.as_str(), &b"1"[..])]);
        assert!(matches!(list(&objects, &root, &defaults), Err(ArtifactError::Path(_))));
    }

    #[test]
    fn missing_and_damaged_files_are_told_apart() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let store = Store::at(dir.path());
        let objects = Memory::default();
        let mut patch = crate::tree::Patch::default();
        for (name, bytes) in [("away", b"111"), ("bad", b"222"), ("good", b"333")] {
            let announced = copy::CopyReport { sha256: copy::sha256(bytes), size: 3 };
            patch.write(name, Pointer { sha256: announced.sha256.clone(), size: 3 }.to_string());
            if name != "away" {
                store.receive(&mut &bytes[..], &announced)?;
            }
        }
        let bad = store.path(&copy::sha256(b"222"));
        std::fs::remove_file(&bad)?;
        std::fs::write(&bad, "22x")?;
        let root = crate::tree::Stage::stage(&objects, None, &patch)?;
        let faults = verify(&list(&objects, &root, &ArtifactLimits::default())?, &store, &|_, _| {});
        let shown: Vec<_> =
            faults.iter().map(|(f, e)| (f.path.as_str(), matches!(e, ArtifactError::Missing(_)))).collect();
        assert_eq!(shown, [("away", true), ("bad", false)]);
        Ok(())
    }

    #[test]
    fn one_file_is_read_and_checked() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let store = Store::at(dir.path());
        let objects = Memory::default();
        let announced = copy::CopyReport { sha256: copy::sha256(b"weights"), size: 7 };
        let pointer = Pointer { sha256: announced.sha256.clone(), size: 7 }.to_string();
        let root = objects.put_files([("MLmodel", &b"flavors: {}"[..]), ("m.bin", pointer.as_bytes())]);
        let files = list(&objects, &root, &ArtifactLimits::default())?;
        let read = |at: usize, max| read_file(&objects, &store, &files[at], max);
        assert_eq!(read(0, 100)?, b"flavors: {}");
        assert!(matches!(read(0, 3), Err(ArtifactError::TooMuch { .. })));
        assert!(matches!(read(1, 100), Err(ArtifactError::Missing(_))));
        store.receive(&mut &b"weights"[..], &announced)?;
        assert_eq!(read(1, 100)?, b"weights");
        let path = store.path(&announced.sha256);
        std::fs::remove_file(&path)?;
        std::fs::write(&path, "wEights")?;
        assert!(matches!(read(1, 100), Err(ArtifactError::Damaged { .. })));
        Ok(())
    }
}
