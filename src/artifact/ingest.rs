//! Taking in a model folder: walk it, hash it, keep its bytes, read its facts.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::facts::{Facts, gather};
use super::path::{FilePath, clash, file_and_folder};
use super::pointer::{MAX_POINTER, Pointer, mentions_lfs};
use super::store::{Staged, Store};
use super::walk::{Found, Root, Stamp, Walked};
use super::{ArtifactError, Content, FileEntry, Limits, Progress, copy, parallel, store, summary, walk};
use crate::entity::version::Artifacts;
use crate::format::attributes::{self, may_be_inline};
use crate::tree::Patch;

/// The largest text file in bytes that is committed as it is.
pub const MAX_INLINE: u64 = 8 * 1024;

/// What becomes of the bytes of files that are not committed as they are.
#[derive(Debug, Clone, Copy)]
pub enum Keep<'s> {
    /// They are kept in the store.
    In(&'s Store),
    /// They are hashed only: to see what would be registered.
    Nothing,
}

/// A model folder that was taken in.
#[derive(Debug, Clone, PartialEq)]
pub struct Ingested {
    /// Its files, sorted by path.
    pub files: Vec<FileEntry<Content>>,
    /// Their sum, for `version.toml`.
    pub artifacts: Artifacts,
    /// What the model says about itself.
    pub facts: Facts,
}

/// Takes in a model folder, or a single file: every file is hashed, and kept unless it is small text.
///
/// What is kept is durable on return. The bytes of each file are those that its hash names, and a file that changes
/// meanwhile is an error. Nothing outside of `source` is read; symbolic links, devices and the like are errors.
pub fn ingest(
    source: &Path,
    keep: Keep<'_>,
    limits: &Limits,
    progress: Progress<'_>,
) -> Result<Ingested, ArtifactError> {
    let (root, walked) = find(source, limits)?;
    take_all(&root, &walked, keep, limits, progress)
}

/// Takes in a folder that is open, as [`ingest`] does.
pub(super) fn ingest_below(
    root: &Root,
    keep: Keep<'_>,
    limits: &Limits,
    progress: Progress<'_>,
) -> Result<Ingested, ArtifactError> {
    take_all(root, &root.walk(limits)?, keep, limits, progress)
}

fn take_all(
    root: &Root,
    walked: &Walked,
    keep: Keep<'_>,
    limits: &Limits,
    progress: Progress<'_>,
) -> Result<Ingested, ArtifactError> {
    if let Keep::In(store) = keep {
        store.sweep(SystemTime::now());
    }
    let total: u64 = walked.files.iter().map(|f| f.size).fold(0, u64::saturating_add);
    if walked.files.is_empty() {
        return Err(ArtifactError::Empty(root.path().to_owned()));
    }
    if total > limits.total {
        return Err(ArtifactError::TooMuch { what: "bytes", max: limits.total });
    }
    if let Some((a, b)) = clash(walked.files.iter().map(|f| &f.path)) {
        return Err(ArtifactError::Clash(a, b));
    }
    let done = AtomicU64::new(0);
    let seen = |n| progress(done.fetch_add(n, Ordering::Relaxed).saturating_add(n), total);
    let taken = parallel::map(&walked.files, |found| take(root, found, keep, &seen))?;
    let (files, staged): (Vec<_>, Vec<_>) = taken.into_iter().unzip();
    if let Keep::In(store) = keep {
        store.commit(staged.into_iter().flatten().collect())?;
    }
    let facts = facts(&files, &walked.left_out, &|file| match keep {
        Keep::In(store) => store.open(&file.sha256),
        Keep::Nothing => root.file(&file.path),
    });
    Ok(Ingested { artifacts: summary(&files), files, facts })
}

/// What a folder with these files, which are kept already, is as a model: the same as if it were taken in by [`ingest`],
/// but that no byte is hashed again. `open` opens a file by its entry.
pub(super) fn assemble(
    kept: Vec<FileEntry<()>>,
    limits: &Limits,
    open: &dyn Fn(&FileEntry<Content>) -> Result<File, ArtifactError>,
) -> Result<Ingested, ArtifactError> {
    let total = kept.iter().map(|f| f.size).fold(0, u64::saturating_add);
    if kept.len() as u64 > limits.files {
        return Err(ArtifactError::TooMuch { what: "files and folders", max: limits.files });
    }
    if total > limits.total {
        return Err(ArtifactError::TooMuch { what: "bytes", max: limits.total });
    }
    if let Some((a, b)) = clash(kept.iter().map(|f| &f.path)) {
        return Err(ArtifactError::Clash(a, b));
    }
    if let Some(both) = file_and_folder(kept.iter().map(|f| &f.path)) {
        return Err(ArtifactError::FileAndFolder(both.to_owned()));
    }
    let (out, kept): (Vec<_>, Vec<_>) = kept.into_iter().partition(|f| walk::left_out(&f.path));
    let left_out: Vec<FilePath> = out.into_iter().map(|f| f.path).collect();
    let mut files = Vec::with_capacity(kept.len());
    for FileEntry { path, size, sha256, place: () } in kept {
        let mut file = FileEntry { path, size, sha256, place: Content::Stored };
        if size <= MAX_INLINE && (size == 0 || may_be_inline(file.path.as_str())) {
            let mut bytes = Vec::new();
            let read = open(&file)?.take(MAX_INLINE + 1).read_to_end(&mut bytes);
            read.map_err(ArtifactError::io("read", Path::new(file.path.as_str())))?;
            store::check(&file.sha256, size, copy::Copied { sha256: copy::sha256(&bytes), size: bytes.len() as u64 })?;
            if is_inline(&bytes) {
                file.place = Content::Inline(bytes);
            }
        }
        files.push(file);
    }
    let facts = facts(&files, &left_out, open);
    Ok(Ingested { artifacts: summary(&files), files, facts })
}

/// Opens a folder and lists its files; of a single file, its folder and that file alone.
fn find(source: &Path, limits: &Limits) -> Result<(Root, Walked), ArtifactError> {
    let meta = source.symlink_metadata().map_err(ArtifactError::io("read", source))?;
    if meta.is_symlink() {
        return Err(ArtifactError::NotAFile { path: source.to_owned(), kind: "symbolic link" });
    }
    if meta.is_dir() {
        let root = Root::open(source)?;
        let walked = root.walk(limits)?;
        return Ok((root, walked));
    }
    let name = source.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let path = FilePath::new(&name)?;
    // The folder is named by the user, so it may be reached through a symbolic link.
    let folder = source.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().map_err(ArtifactError::io("open", folder))?;
    Ok((Root::open(&folder)?, Walked { files: vec![Found { path, size: meta.len() }], left_out: Vec::new() }))
}

/// Reads one file, into memory or to where it is kept.
fn take(
    root: &Root,
    found: &Found,
    keep: Keep<'_>,
    seen: &dyn Fn(u64),
) -> Result<(FileEntry<Content>, Option<Staged>), ArtifactError> {
    let shown = root.display(&found.path);
    let mut file = root.file(&found.path)?;
    let failed = ArtifactError::io("read", &shown);
    let before = Stamp::of(&file).map_err(&failed)?;
    // For Git LFS an empty file is its own pointer.
    let may_be_inline = before.size == 0 || may_be_inline(found.path.as_str());
    let text = if may_be_inline { read_text(&mut file, before.size) } else { Ok(None) };
    let (copied, place, staged) = match text.map_err(&failed)? {
        Some(text) => {
            let copied = copy::Copied { sha256: copy::sha256(&text), size: text.len() as u64 };
            seen(copied.size);
            (copied, Content::Inline(text), None)
        }
        None => match keep {
            Keep::In(store) => {
                let staged = store.stage_file(&mut file, &shown, before.size, seen)?;
                (staged.copied.clone(), Content::Stored, Some(staged))
            }
            Keep::Nothing => {
                let copied = copy::hash(&mut file, before.size, seen).map_err(&failed)?;
                (copied, Content::Stored, None)
            }
        },
    };
    if Stamp::of(&file).map_err(&failed)? != before || copied.size != before.size || found.size != before.size {
        return Err(ArtifactError::Changed(shown.clone()));
    }
    let path = found.path.clone();
    Ok((FileEntry { path, size: copied.size, sha256: copied.sha256, place }, staged))
}

/// The bytes of a file that shall be committed as it is; else none, and the file is at its start again.
fn read_text(file: &mut File, size: u64) -> io::Result<Option<Vec<u8>>> {
    if size > MAX_INLINE {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    io::Read::by_ref(file).take(MAX_INLINE + 1).read_to_end(&mut bytes)?;
    if is_inline(&bytes) {
        return Ok(Some(bytes));
    }
    io::Seek::rewind(file)?;
    Ok(None)
}

/// Whether a file is small text that git-lfs cannot take for a pointer.
pub(super) fn is_inline(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).is_ok_and(|t| !t.contains('\0'));
    text && bytes.len() as u64 <= MAX_INLINE && !mentions_lfs(bytes)
}

/// Opens a file that was taken in and is not in memory.
pub(super) type Open<'o> = &'o dyn Fn(&FileEntry<Content>) -> Result<File, ArtifactError>;

/// Reads what the model says about itself, and notes what was left out or looks wrong.
pub(super) fn facts(files: &[FileEntry<Content>], left_out: &[FilePath], open: Open<'_>) -> Facts {
    let read = |path: &str, max: u64| match files.iter().find(|f| f.path.as_str() == path) {
        None => Ok(None),
        Some(f) if f.size > max => Err(format!("it has {} bytes, at most {max} are read", f.size)),
        Some(FileEntry { place: Content::Inline(bytes), .. }) => Ok(Some(bytes.clone())),
        Some(f) => {
            let mut bytes = Vec::new();
            let read = open(f).map_err(|e| e.to_string())?.take(max).read_to_end(&mut bytes);
            read.map(|_| Some(bytes)).map_err(|e| e.to_string())
        }
    };
    let mut facts = gather(&read);
    if facts.model.is_none() && !files.iter().any(|f| f.path.as_str() == "MLmodel") {
        facts.notes.push(no_mlmodel(files));
    }
    if !left_out.is_empty() {
        let names: Vec<&str> = left_out.iter().take(10).map(FilePath::as_str).collect();
        facts.notes.push(format!("left out, as no part of the model: {}", names.join(", ")));
    }
    for file in files.iter().filter(|f| is_pointer(f, open)).take(10) {
        facts.notes.push(format!(
            "{} is a Git LFS pointer, not the file it stands for; run `git lfs pull` where it came from and register again",
            file.path
        ));
    }
    facts
}

fn no_mlmodel(files: &[FileEntry<Content>]) -> String {
    let below = files.iter().find_map(|f| f.path.as_str().strip_suffix("/MLmodel"));
    let hint = below.map(|b| format!("; if '{b}' is the model, register that folder")).unwrap_or_default();
    format!("there is no MLmodel file at the top, so flavors, schema and environment are unknown{hint}")
}

/// Whether a file that was taken in is itself a pointer: the folder comes from a clone without its large files.
fn is_pointer(file: &FileEntry<Content>, open: Open<'_>) -> bool {
    if file.place != Content::Stored || file.size >= MAX_POINTER as u64 {
        return false;
    }
    let mut bytes = Vec::new();
    let read = open(file).map(|f| f.take(MAX_POINTER as u64).read_to_end(&mut bytes));
    matches!(read, Ok(Ok(_))) && matches!(Pointer::parse(&bytes), Ok(Some(_)))
}

/// What the version's own `.gitattributes` must say, so that git takes the files for what they are; none if nothing.
pub fn attributes(ingested: &Ingested) -> Option<String> {
    let stored = ingested.files.iter().filter(|f| f.place == Content::Stored);
    attributes::version(stored.map(|f| f.path.as_str()))
}

/// Puts the files under `<prefix>/`, or at the top without one: small texts as they are, the others as pointers.
pub fn add_to_patch(ingested: &Ingested, prefix: &str, patch: &mut Patch) {
    for file in &ingested.files {
        let bytes = match &file.place {
            Content::Inline(bytes) => bytes.clone(),
            Content::Stored => Pointer { sha256: file.sha256.clone(), size: file.size }.to_string().into_bytes(),
        };
        let path = if prefix.is_empty() { file.path.to_string() } else { format!("{prefix}/{}", file.path) };
        patch.write(path, bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::tree::Change;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    struct Bench {
        dir: TempDir,
        store: Store,
    }

    impl Bench {
        fn new(files: &[(&str, &[u8])]) -> io::Result<Self> {
            let dir = tempfile::tempdir()?;
            for (path, bytes) in files {
                let path = dir.path().join("model").join(path);
                fs::create_dir_all(path.parent().unwrap_or(&path))?;
                fs::write(path, bytes)?;
            }
            let store = Store::at(dir.path().join("lfs"));
            Ok(Self { dir, store })
        }

        fn model(&self) -> PathBuf {
            self.dir.path().join("model")
        }

        fn ingest(&self) -> Result<Ingested, ArtifactError> {
            ingest(&self.model(), Keep::In(&self.store), &Limits::default(), &|_, _| {})
        }

        /// The names of all files in the store, below `objects` and `incoming`.
        fn stored(&self) -> Vec<String> {
            let all = Root::open(&self.dir.path().join("lfs")).and_then(|r| r.walk(&Limits::default()));
            all.map(|w| w.files.iter().map(|f| f.path.to_string()).collect()).unwrap_or_default()
        }
    }

    fn sample(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models").join(name)
    }

    #[test]
    fn a_real_model_is_taken_in() -> Outcome {
        let dir = tempfile::tempdir()?;
        let store = Store::at(dir.path());
        let taken = ingest(&sample("sklearn-skops"), Keep::In(&store), &Limits::default(), &|_, _| {})?;
        let stored: Vec<&str> =
            taken.files.iter().filter(|f| f.place == Content::Stored).map(|f| f.path.as_str()).collect();
        assert_eq!(stored, ["model.skops"]);
        assert_eq!(taken.artifacts.files, 7);
        // Made independently: printf 'path\0size\0sha256\n' for each file, sorted, through sha256sum.
        assert_eq!(taken.artifacts.digest.as_str(), "d8218a113d84a3902af34772cc6f259ce99422ce3688be121a93f5cdcebd97d2");

        let facts = taken.facts;
        assert_eq!(facts.run_id.as_str(), "2a4fd374733e49018e75e9befbe11c25");
        assert_eq!(facts.model_id.as_str(), "m-8fb24cba5a744161b48aafd2d8034da2");
        assert_eq!(
            facts.artifact_uri.as_str(),
            "file:///srv/mlflow/mlruns/0/models/m-8fb24cba5a744161b48aafd2d8034da2/artifacts"
        );
        let model = facts.model.unwrap_or_default();
        let flavors: Vec<_> = model.flavors.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(flavors, [("python_function", ""), ("sklearn", "1.9.1")]);
        assert_eq!((model.mlflow_version.as_str(), model.python_version.as_str()), ("3.17.2", "3.11.7"));
        assert_eq!(model.created_at.map(|t| t.to_string()).as_deref(), Some("2026-11-22T15:44:48.570Z"));
        let schema = facts.schema.unwrap_or_default();
        let shown: Vec<_> = [schema.inputs, schema.outputs, schema.params]
            .concat()
            .iter()
            .map(|c| format!("{}: {} {}", c.name, c.kind, c.default))
            .collect();
        let want = [
            "alcohol: double ",
            "malic_acid: double ",
            "ash: double ",
            ": tensor(float64, [-1]) ",
            "threshold: double 0.5",
        ];
        assert_eq!(shown, want);
        let environment = facts.environment.unwrap_or_default();
        assert_eq!((environment.conda.len(), environment.pip.len()), (2, 6));
        assert_eq!(facts.notes, Vec::<String>::new());
        Ok(())
    }

    #[test]
    fn findings_follow_from_what_was_recorded() -> Outcome {
        let dir = tempfile::tempdir()?;
        let store = Store::at(dir.path());
        let found = |name: &str| -> Result<Vec<_>, ArtifactError> {
            let facts = ingest(&sample(name), Keep::In(&store), &Limits::default(), &|_, _| {})?.facts;
            let found = crate::artifact::findings(facts.model.as_ref(), facts.environment.as_ref());
            Ok(found.iter().map(|f| format!("{} {}", f.level, f.id)).collect())
        };
        assert_eq!(found("conda-defaults")?, ["warning conda-defaults-channel"]);
        assert_eq!(found("sklearn-cloudpickle")?, Vec::<String>::new());
        Ok(())
    }

    #[test]
    fn the_same_bytes_are_stored_once() -> Outcome {
        let weights = vec![7; 100_000];
        let bench = Bench::new(&[("a.bin", &weights), ("sub/b.bin", &weights)])?;
        let first = bench.ingest()?;
        let second = bench.ingest()?;
        assert_eq!(first, second);
        let sha = copy::sha256(&weights);
        assert_eq!(bench.stored(), [format!("objects/{}/{}/{sha}", &sha.as_str()[..2], &sha.as_str()[2..4])]);
        Ok(())
    }

    #[test]
    fn small_text_is_committed_and_the_rest_gets_pointers() -> Outcome {
        let pointer = Pointer { sha256: copy::sha256(b"x"), size: 1 }.to_string();
        let long = "a".repeat(8193);
        let bench = Bench::new(&[
            ("text.txt", b"gr\xc3\xbc\xc3\x9fe\n"),
            ("empty", b""),
            ("binary", b"a\0b"),
            ("short", b"text of another name"),
            ("zero.txt", b"a\0b"),
            ("latin1.md", b"gr\xfc\xdfe"),
            ("pointer.json", pointer.as_bytes()),
            ("long list.json", long.as_bytes()),
            ("MLmodel", &long.as_bytes()[1..]),
        ])?;
        let taken = bench.ingest()?;
        let mut patch = Patch::default();
        add_to_patch(&taken, "models/m/versions/1/artifacts", &mut patch);
        let written = |name: &str| match patch.files.get(&format!("models/m/versions/1/artifacts/{name}")) {
            Some(Change::Write(bytes)) => bytes.clone(),
            Some(Change::Link(..) | Change::Remove) | None => Vec::new(),
        };
        for (name, is_pointer) in [
            ("text.txt", false),
            ("empty", false),
            ("MLmodel", false),
            ("binary", true),
            ("short", true),
            ("zero.txt", true),
            ("latin1.md", true),
            ("pointer.json", true),
            ("long list.json", true),
        ] {
            assert_eq!(matches!(Pointer::parse(&written(name)), Ok(Some(_))), is_pointer, "{name}");
        }
        let attributes = attributes(&taken).unwrap_or_default();
        let listed: Vec<&str> =
            attributes.lines().filter_map(|l| l.strip_suffix(" filter=lfs diff=lfs merge=lfs -text")).collect();
        let want =
            ["artifacts/latin1.md", "\"artifacts/long list.json\"", "artifacts/pointer.json", "artifacts/zero.txt"];
        assert_eq!(listed, want);
        assert_ne!(
            written("pointer.json"),
            pointer.as_bytes(),
            "a pointer to the pointer, so that its own bytes come back"
        );
        assert!(
            taken.facts.notes.iter().any(|n| n.starts_with("pointer.json is a Git LFS pointer")),
            "{:?}",
            taken.facts
        );
        Ok(())
    }

    #[test]
    fn without_a_store_the_same_is_said_and_nothing_kept() -> Outcome {
        let large = format!("flavors: {{}}\n{}", "#".repeat(9000));
        let bench = Bench::new(&[("MLmodel", large.as_bytes()), ("m.bin", &[0; 3 << 20]), ("a.txt", b"a")])?;
        let dry = ingest(&bench.model(), Keep::Nothing, &Limits::default(), &|_, _| {})?;
        assert_eq!(bench.stored(), Vec::<String>::new());
        assert!(dry.facts.model.is_some());
        assert_eq!(dry, bench.ingest()?);
        Ok(())
    }

    #[test]
    fn what_is_no_file_is_refused_by_name() -> Outcome {
        let secret = tempfile::NamedTempFile::new()?;
        type Make<'m> = &'m dyn Fn(&Path) -> io::Result<()>;
        let cases: [(&str, Make<'_>); 4] = [
            ("symbolic link", &|at| symlink(secret.path(), at)),
            ("symbolic link", &|at| symlink("/etc", at)),
            ("named pipe", &|at| Ok(rustix::fs::mkfifoat(rustix::fs::CWD, at, rustix::fs::Mode::RUSR)?)),
            ("socket", &|at| std::os::unix::net::UnixListener::bind(at).map(drop)),
        ];
        for (kind, make) in cases {
            let bench = Bench::new(&[("sub/file", b"x")])?;
            make(&bench.model().join("sub/odd"))?;
            let told = bench.ingest().map_err(|e| e.to_string());
            assert!(told.is_err_and(|e| e.contains("sub/odd") && e.contains(kind)), "{kind}");
            assert_eq!(bench.stored(), Vec::<String>::new());
        }
        let bench = Bench::new(&[("file", b"x")])?;
        let link = bench.dir.path().join("link");
        symlink(bench.model(), &link)?;
        let taken = ingest(&link, Keep::In(&bench.store), &Limits::default(), &|_, _| {});
        assert!(matches!(taken, Err(ArtifactError::NotAFile { kind: "symbolic link", .. })));
        Ok(())
    }

    #[test]
    fn hostile_names_empty_folders_and_clashes_are_refused() -> Outcome {
        for bad in [".git/config", "a\\b", "a:b", "\u{202e}gpj.exe", ".gitattributes"] {
            assert!(matches!(Bench::new(&[(bad, b"x")])?.ingest(), Err(ArtifactError::Path(_))), "{bad:?}");
        }
        let odd = Bench::new(&[("ok", b"x")])?;
        let latin = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"gr\xfc\xdfe");
        if fs::write(odd.model().join(latin), b"x").is_ok() {
            assert!(matches!(odd.ingest(), Err(ArtifactError::Path(_))));
        }
        let both = Bench::new(&[("Model.bin", b"x"), ("model.bin", b"y")])?;
        if both.model().join("Model.bin").metadata()?.len() == 1 && fs::read_dir(both.model())?.count() == 2 {
            assert!(matches!(both.ingest(), Err(ArtifactError::Clash(..))));
        }
        let empty = Bench::new(&[])?;
        fs::create_dir_all(empty.model().join("sub/sub"))?;
        assert!(matches!(empty.ingest(), Err(ArtifactError::Empty(_))));
        assert!(matches!(
            ingest(Path::new("/nowhere/at/all"), Keep::In(&empty.store), &Limits::default(), &|_, _| {}),
            Err(ArtifactError::Io { .. })
        ));
        Ok(())
    }

    #[test]
    fn limits_hold() -> Outcome {
        let bench = Bench::new(&[("a", b"1"), ("b", b"22"), ("c", b"3")])?;
        let with = |limits: Limits| ingest(&bench.model(), Keep::In(&bench.store), &limits, &|_, _| {});
        let defaults = Limits::default();
        assert!(matches!(
            with(Limits { files: 2, ..defaults }),
            Err(ArtifactError::TooMuch { what: "files and folders", max: 2 })
        ));
        assert!(matches!(with(Limits { total: 3, ..defaults }), Err(ArtifactError::TooMuch { what: "bytes", max: 3 })));
        assert!(with(Limits { files: 3, total: 4, ..defaults }).is_ok());
        Ok(())
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_an_error() -> Outcome {
        let bench = Bench::new(&[("big.bin", &vec![1; 8 << 20])])?;
        let file = bench.model().join("big.bin");
        let tamper = |_, _| drop(fs::write(&file, vec![2; 8 << 20]));
        let taken = ingest(&bench.model(), Keep::In(&bench.store), &Limits::default(), &tamper);
        assert!(matches!(taken, Err(ArtifactError::Changed(path)) if path == file));
        assert_eq!(bench.stored(), Vec::<String>::new(), "nothing of it stays");
        Ok(())
    }

    #[test]
    fn what_tools_leave_behind_is_left_out_and_said() -> Outcome {
        let bench = Bench::new(&[
            ("m.bin", b"\0"),
            ("registered_model_meta", b"model_name: x"),
            ("sub/.DS_Store", b"\0"),
            ("sub/registered_model_meta", b"mine"),
            ("sub/MLmodel", b"flavors: {}"),
        ])?;
        let taken = bench.ingest()?;
        let names: Vec<&str> = taken.files.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(names, ["m.bin", "sub/MLmodel", "sub/registered_model_meta"]);
        let notes = taken.facts.notes.join("\n");
        for part in ["no MLmodel file at the top", "if 'sub' is the model", "registered_model_meta", "sub/.DS_Store"] {
            assert!(notes.contains(part), "{part}: {notes}");
        }
        Ok(())
    }

    #[test]
    fn a_single_file_is_a_model_too() -> Outcome {
        let bench = Bench::new(&[("model.onnx", b"\0onnx"), ("other", b"x")])?;
        let taken = ingest(&bench.model().join("model.onnx"), Keep::In(&bench.store), &Limits::default(), &|_, _| {})?;
        assert_eq!(taken.files.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["model.onnx"]);
        Ok(())
    }

    #[test]
    fn a_faulty_mlmodel_is_a_note() -> Outcome {
        let large = "#".repeat(2 << 20);
        for bad in ["{{{", "- a", &large] {
            let bench = Bench::new(&[("MLmodel", bad.as_bytes()), ("requirements.txt", b"mlflow")])?;
            let facts = bench.ingest()?.facts;
            assert_eq!(facts.model, None);
            assert!(facts.environment.is_some());
            assert!(facts.notes.iter().any(|n| n.starts_with("MLmodel cannot be read")), "{:?}", facts.notes);
        }
        Ok(())
    }

    #[test]
    fn progress_ends_at_the_total() -> Outcome {
        let bench = Bench::new(&[("a", b"text"), ("b.bin", &vec![0; 3 << 20])])?;
        let last = AtomicU64::new(0);
        let note = |done: u64, total: u64| {
            assert!(done <= total);
            last.fetch_max(done, Ordering::Relaxed);
        };
        let taken = ingest(&bench.model(), Keep::In(&bench.store), &Limits::default(), &note)?;
        assert_eq!(last.into_inner(), taken.artifacts.size);
        Ok(())
    }
}
