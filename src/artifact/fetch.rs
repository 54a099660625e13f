//! Writes a version's files to a folder: every byte is checked, and the folder appears complete or not at all.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::entry::{ArtifactLimits, FileEntry, FileLocation, TransferProgress};
use super::error::ArtifactError;
use super::manifest::{ArtifactListing, list_all};
use super::manifest::{missing, read_file, summary};
use super::store::{Store, check};
use super::{copy, parallel};
use crate::entity::version::Artifacts;
use crate::tree::{Objects, Oid};

/// Writes the files of a version's `artifacts` tree to the folder `out`, which must not exist or must be empty.
///
/// The files must match `expected`, the registered summary. They are written to a new folder next to `out`, each
/// compared with its size and SHA-256, and the folder is renamed at the end. After an error nothing is left. The result
/// is not synced to disk: after a power failure, fetch again.
///
/// # Errors
/// [`ArtifactError::Exists`] if `out` is taken; [`ArtifactError::Mismatch`] if the files are not the registered ones;
/// [`ArtifactError::Missing`] with all files that are not on this machine; [`ArtifactError::Damaged`] or
/// [`ArtifactError::Io`] if a file cannot be read or written.
pub fn fetch(
    objects: &dyn Objects,
    tree: &Oid,
    store: &Store,
    out: &Path,
    expected: &Artifacts,
    limits: &ArtifactLimits,
    progress: TransferProgress<'_>,
) -> Result<Vec<FileEntry<FileLocation>>, ArtifactError> {
    must_be_free(out)?;
    let ArtifactListing { files, empty_folders } = list_all(objects, tree, limits)?;
    let found = summary(&files);
    if found != *expected {
        return Err(ArtifactError::Mismatch { expected: expected.clone(), found });
    }
    let away = missing(&files, store);
    if !away.is_empty() {
        return Err(ArtifactError::Missing(away));
    }
    let parent = match out.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        Some(_) | None => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(ArtifactError::io("create", parent))?;
    let private = Permissions::from_mode(0o700);
    let temp = tempfile::Builder::new().prefix(".greenroom-").permissions(private).tempdir_in(parent);
    let temp = temp.map_err(ArtifactError::io("create a folder in", parent))?;
    // A subfolder of the private temporary folder, so that the final folder has the usual permissions.
    let folder = temp.path().join("model");
    write_all(objects, store, &files, &folder, progress)?;
    for empty in empty_folders.iter().map(|f| folder.join(f.as_str())) {
        fs::create_dir_all(&empty).map_err(ArtifactError::io("create", &empty))?;
    }
    must_be_free(out)?;
    fs::rename(&folder, out).map_err(ArtifactError::io("put the files in place at", out))?;
    Ok(files)
}

/// Returns an error unless the path is free or an empty folder.
fn must_be_free(out: &Path) -> Result<(), ArtifactError> {
    let taken = || ArtifactError::Exists(out.to_owned());
    match fs::symlink_metadata(out) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(ArtifactError::io("read", out)(e)),
        Ok(meta) if !meta.is_dir() => Err(taken()),
        Ok(_) => match fs::read_dir(out).map_err(ArtifactError::io("read", out))?.next() {
            None => Ok(()),
            Some(_) => Err(taken()),
        },
    }
}

fn write_all(
    objects: &dyn Objects,
    store: &Store,
    files: &[FileEntry<FileLocation>],
    folder: &Path,
    progress: TransferProgress<'_>,
) -> Result<(), ArtifactError> {
    let total = files.iter().map(|f| f.size).fold(0, u64::saturating_add);
    let done = AtomicU64::new(0);
    let seen = |n| progress(done.fetch_add(n, Ordering::Relaxed).saturating_add(n), total);
    fs::create_dir(folder).map_err(ArtifactError::io("create", folder))?;
    let mut stored = Vec::new();
    for file in files {
        let path = folder.join(file.path.as_str());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(ArtifactError::io("create", parent))?;
        }
        match file.place {
            FileLocation::Stored => stored.push((file, path)),
            FileLocation::Blob(_) => {
                let bytes = read_file(objects, store, file, u64::MAX)?;
                let mut to = new_file(&path)?;
                io::Write::write_all(&mut to, &bytes).map_err(ArtifactError::io("write", &path))?;
                seen(file.size);
            }
        }
    }
    parallel::map(&stored, |(file, path)| write_stored(store, file, path, &seen)).map(drop)
}

fn write_stored(
    store: &Store,
    file: &FileEntry<FileLocation>,
    path: &Path,
    seen: &dyn Fn(u64),
) -> Result<(), ArtifactError> {
    let mut from = store.open(&file.sha256)?;
    let mut to = new_file(path)?;
    let copied = copy::copy_file(&mut from, &mut to, file.size, seen).map_err(ArtifactError::io("write", path))?;
    check(&file.sha256, file.size, copied)
}

fn new_file(path: &Path) -> Result<File, ArtifactError> {
    File::options().read(true).write(true).create_new(true).open(path).map_err(ArtifactError::io("create", path))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::artifact::ingest::{ByteStorage, IngestedFolder, add_to_patch, ingest_selected};
    use crate::artifact::manifest::list;
    use crate::artifact::walk::{GitFolders, Selection};
    use crate::tree::{Memory, Patch, Stage as _};

    type FetchOutcome = Result<(), Box<dyn std::error::Error>>;
    type Files = BTreeMap<String, Vec<u8>>;

    struct Bench {
        dir: TempDir,
        store: Store,
        objects: Memory,
    }

    impl Bench {
        fn new() -> io::Result<Self> {
            let dir = tempfile::tempdir()?;
            let store = Store::at(dir.path().join("lfs"));
            Ok(Self { dir, store, objects: Memory::default() })
        }

        /// Registers a folder and returns its tree.
        fn register(&self, files: &Files) -> Result<(IngestedFolder, Oid), Box<dyn std::error::Error>> {
            let folder = self.dir.path().join("model");
            for (path, bytes) in files {
                let path = folder.join(path);
                fs::create_dir_all(path.parent().ok_or("a parent")?)?;
                fs::write(path, bytes)?;
            }
            let all = Selection { git: GitFolders::Take, ..Selection::default() };
            let taken =
                ingest_selected(&folder, &all, ByteStorage::In(&self.store), &ArtifactLimits::default(), &|_, _| {})?;
            let mut patch = Patch::default();
            add_to_patch(&taken, "a", &mut patch);
            let root = self.objects.stage(None, &patch)?;
            let tree = self.objects.tree(&root)?.first().ok_or("the prefix")?.id;
            Ok((taken, tree))
        }

        fn out(&self) -> PathBuf {
            self.dir.path().join("to/out")
        }

        fn fetch(&self, tree: &Oid, expected: &Artifacts) -> Result<Vec<FileEntry<FileLocation>>, ArtifactError> {
            fetch(&self.objects, tree, &self.store, &self.out(), expected, &ArtifactLimits::default(), &|_, _| {})
        }

        /// Returns the names of everything in the parent folder of `out`.
        fn left(&self) -> Vec<String> {
            let names = fs::read_dir(self.dir.path().join("to")).into_iter().flatten().flatten();
            names.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
        }
    }

    fn sample() -> Files {
        let files: [(&str, &[u8]); 4] =
            [("MLmodel", b"flavors: {}\n"), ("data/w.bin", &[0; 5000]), ("data/v.bin", &[0; 3]), ("empty", b"")];
        files.into_iter().map(|(p, b)| (p.to_owned(), b.to_vec())).collect()
    }

    fn read_back(folder: &Path) -> io::Result<Files> {
        let mut files = Files::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(at) = folders.pop() {
            for entry in fs::read_dir(at)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(folder).map_err(io::Error::other)?;
                    files.insert(name.to_string_lossy().into_owned(), fs::read(&path)?);
                }
            }
        }
        Ok(files)
    }

    #[test]
    fn what_comes_out_is_what_went_in() -> FetchOutcome {
        let bench = Bench::new()?;
        let (taken, tree) = bench.register(&sample())?;
        let files = bench.fetch(&tree, &taken.artifacts)?;
        assert_eq!(read_back(&bench.out())?, sample());
        assert_eq!(summary(&files), taken.artifacts);
        assert_eq!(bench.left(), ["out"]);
        Ok(())
    }

    #[test]
    fn a_flipped_byte_is_found_and_nothing_is_left() -> FetchOutcome {
        let bench = Bench::new()?;
        let (taken, tree) = bench.register(&sample())?;
        let path = bench.store.path(&copy::sha256(&[0; 5000]));
        let mut bytes = fs::read(&path)?;
        bytes[4321] ^= 1;
        fs::remove_file(&path)?;
        fs::write(&path, bytes)?;
        assert!(matches!(bench.fetch(&tree, &taken.artifacts), Err(ArtifactError::Damaged { .. })));
        assert_eq!(bench.left(), Vec::<String>::new());
        Ok(())
    }

    #[test]
    fn missing_files_are_all_named() -> FetchOutcome {
        let bench = Bench::new()?;
        let (taken, tree) = bench.register(&sample())?;
        fs::remove_dir_all(bench.dir.path().join("lfs"))?;
        let told = bench.fetch(&tree, &taken.artifacts).map_err(|e| e.to_string()).err().unwrap_or_default();
        for part in ["2 files", "data/w.bin (5000 bytes", "data/v.bin", "git lfs fetch"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert_eq!(bench.left(), Vec::<String>::new());
        Ok(())
    }

    #[test]
    fn other_files_than_registered_are_refused() -> FetchOutcome {
        let bench = Bench::new()?;
        let (taken, tree) = bench.register(&sample())?;
        for change in ["MLmodel", "extra"] {
            let mut patch = Patch::default();
            patch.write(change, "other");
            let tree = bench.objects.stage(Some(tree), &patch)?;
            assert!(matches!(bench.fetch(&tree, &taken.artifacts), Err(ArtifactError::Mismatch { .. })), "{change}");
        }
        assert_eq!(bench.left(), Vec::<String>::new());
        Ok(())
    }

    #[test]
    fn an_occupied_destination_is_left_alone() -> FetchOutcome {
        let bench = Bench::new()?;
        let (taken, tree) = bench.register(&sample())?;
        let refused = |b: &Bench| matches!(b.fetch(&tree, &taken.artifacts), Err(ArtifactError::Exists(_)));
        fs::create_dir_all(bench.out())?;
        fs::write(bench.out().join("mine"), "x")?;
        assert!(refused(&bench));
        assert_eq!(fs::read(bench.out().join("mine"))?, b"x");
        fs::remove_dir_all(bench.out())?;
        fs::write(bench.out(), "a file")?;
        assert!(refused(&bench));
        fs::remove_file(bench.out())?;
        let elsewhere = bench.dir.path().join("elsewhere");
        fs::create_dir(&elsewhere)?;
        std::os::unix::fs::symlink(&elsewhere, bench.out())?;
        assert!(refused(&bench), "a symbolic link is not followed");
        fs::remove_file(bench.out())?;
        fs::create_dir(bench.out())?;
        bench.fetch(&tree, &taken.artifacts)?;
        assert_eq!(read_back(&bench.out())?, sample(), "an empty folder is fine");
        Ok(())
    }

    fn some_files() -> impl Strategy<Value = Files> {
        // Includes names that have a meaning for git and names that are invalid on Windows.
        let steering =
            prop::sample::select(vec![".git", ".gitignore", ".GitAttributes", ".lfsconfig", "aux", "e\u{301}"]);
        let segment = prop_oneof![
            4 => "[a-z0-9_@+= %?*:\"-]{2,8}[a-z0-9]".prop_map(|s| s),
            1 => steering.prop_map(str::to_owned),
        ];
        let path = prop::collection::vec(segment, 1..4).prop_map(|parts| format!("{}.f", parts.join("/")));
        let path = path.prop_filter("a path of a model", |path| crate::artifact::path::FilePath::new(path).is_ok());
        let bytes = prop_oneof![
            "\\PC{0,40}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..200),
            Just(vec![b'a'; 9000]),
            Just(b"version https://git-lfs.github.com/spec/v1\n".to_vec()),
        ];
        prop::collection::btree_map(path, bytes, 1..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_folder_comes_back_byte_for_byte(files in some_files()) {
            let bench = Bench::new()?;
            let (taken, tree) = bench.register(&files).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let listed = list(&bench.objects, &tree, &ArtifactLimits::default());
            let listed = listed.map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(&summary(&listed), &taken.artifacts);
            let fetched = bench.fetch(&tree, &taken.artifacts).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(fetched, listed);
            prop_assert_eq!(read_back(&bench.out())?, files);
        }
    }
}
