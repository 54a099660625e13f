//! Registers a model folder's files: walks the folder, hashes and stores the files, and reads the facts.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::entry::{ArtifactLimits, Content, FileEntry, TransferProgress};
use super::error::ArtifactError;
use super::exclude::{self, Exclude};
use super::facts::{ModelFacts, gather};
use super::guarded::refuse_states;
use super::manifest::summary;
use super::path::{FilePath, clash, file_and_folder};
use super::pointer::{Pointer, mentions_lfs};
use super::store::{StagedObject, Store};
use super::walk::{Links, Root, Selection, WalkedFile, WalkedFolder, WriteStamp};
use super::{copy, parallel, pointers, store, walk};
use crate::entity::version::Artifacts;
use crate::format::attributes::{self, may_be_inline};
use crate::format::model_file;
use crate::tree::Patch;

/// The largest text file that is committed to the tree, in bytes.
pub const MAX_INLINE: u64 = 8 * 1024;

/// Where the bytes of files go that are not committed to the tree.
#[derive(Debug, Clone, Copy)]
pub enum ByteStorage<'s> {
    /// The store.
    In(&'s Store),
    /// Nowhere: the files are hashed only, to show what a registration would do.
    Nothing,
}

/// The files and facts of a model folder.
#[derive(Debug, Clone, PartialEq)]
pub struct IngestedFolder {
    /// The files, sorted by path.
    pub files: Vec<FileEntry<Content>>,
    /// The empty folders, sorted by path.
    pub empty_folders: Vec<FilePath>,
    /// The summary of the files, for `version.toml`.
    pub artifacts: Artifacts,
    /// The facts that the model states about itself.
    pub facts: ModelFacts,
}

/// Reads a model folder, or a single file: hashes every file, and stores it unless it is small text.
///
/// Stored files are durable on return. Nothing outside of `source` is read. Each file's bytes match its hash.
///
/// # Errors
/// [`ArtifactError::Changed`] if a file changes while it is read; [`ArtifactError::NotAFile`] for symbolic links,
/// devices and the like; other [`ArtifactError`]s for invalid names, limits and I/O errors.
pub fn ingest(
    source: &Path,
    keep: ByteStorage<'_>,
    limits: &ArtifactLimits,
    progress: TransferProgress<'_>,
) -> Result<IngestedFolder, ArtifactError> {
    ingest_selected(source, &Selection::default(), keep, limits, progress)
}

/// Reads the selected files of a model folder, like [`ingest`].
///
/// A snapshot in the Hugging Face hub's cache consists of links into the `blobs` folder of its repository. These links
/// are followed; for other links the selection decides.
///
/// # Errors
/// The same as [`ingest`].
pub fn ingest_selected(
    source: &Path,
    selection: &Selection,
    keep: ByteStorage<'_>,
    limits: &ArtifactLimits,
    progress: TransferProgress<'_>,
) -> Result<IngestedFolder, ArtifactError> {
    let mut selection = selection.clone();
    if selection.links == Links::Refuse
        && let Some(blobs) = hub_blobs(source)
    {
        selection.links = Links::Into(blobs);
    }
    let (root, walked) = find(source, &selection, limits)?;
    take_all(&root, walked, &selection, keep, limits, progress)
}

/// Returns the blob folder of a Hugging Face hub snapshot: `…/blobs` for `…/snapshots/<revision>`.
fn hub_blobs(source: &Path) -> Option<PathBuf> {
    let real = source.canonicalize().ok()?;
    let snapshots = real.parent().filter(|p| p.file_name().is_some_and(|name| name == "snapshots"))?;
    let blobs = snapshots.parent()?.join("blobs");
    blobs.is_dir().then_some(blobs)
}

/// Reads an open folder, like [`ingest_selected`].
pub(super) fn ingest_below(
    root: &Root,
    selection: &Selection,
    keep: ByteStorage<'_>,
    limits: &ArtifactLimits,
    progress: TransferProgress<'_>,
) -> Result<IngestedFolder, ArtifactError> {
    take_all(root, root.walk(selection, limits)?, selection, keep, limits, progress)
}

fn take_all(
    root: &Root,
    mut walked: WalkedFolder,
    selection: &Selection,
    keep: ByteStorage<'_>,
    limits: &ArtifactLimits,
    progress: TransferProgress<'_>,
) -> Result<IngestedFolder, ArtifactError> {
    if let ByteStorage::In(store) = keep {
        store.sweep(SystemTime::now());
    }
    let resolved = pointers::resolve(root, &walked.files, &selection.objects)?;
    for file in &mut walked.files {
        file.size = resolved.get(&file.path).map_or(file.size, |(pointer, _)| pointer.size);
    }
    let total: u64 = walked.files.iter().map(|f| f.size).fold(0, u64::saturating_add);
    if walked.files.is_empty() {
        return Err(ArtifactError::Empty(root.path().to_owned()));
    }
    if total > limits.total {
        return Err(ArtifactError::TooMuch { what: "bytes", max: limits.total });
    }
    if let Some((a, b)) = clash(walked.files.iter().map(|f| &f.path).chain(&walked.empty_folders)) {
        return Err(ArtifactError::Clash(a, b));
    }
    let done = AtomicU64::new(0);
    let seen = |n| progress(done.fetch_add(n, Ordering::Relaxed).saturating_add(n), total);
    let taken = parallel::map(&walked.files, |found| match resolved.get(&found.path) {
        Some((pointer, objects)) => take_object(found, pointer, objects, keep, &seen),
        None => take(root, found, keep, &seen),
    })?;
    let (files, staged): (Vec<_>, Vec<_>) = taken.into_iter().unzip();
    if let ByteStorage::In(store) = keep {
        store.commit(staged.into_iter().flatten().collect())?;
    }
    let mut facts = facts(&files, &walked.left_out, &|file| match (keep, resolved.get(&file.path)) {
        (ByteStorage::In(store), _) => store.open(&file.sha256),
        (ByteStorage::Nothing, Some((pointer, objects))) => objects.open(&pointer.sha256),
        (ByteStorage::Nothing, None) => match walked.files.binary_search_by(|f| f.path.cmp(&file.path)) {
            Ok(at) => walked.files.get(at).map_or_else(|| root.file(&file.path), |found| root.open_found(found)),
            Err(_) => root.file(&file.path),
        },
    });
    facts.notes.extend(left_out_note("left out by a pattern", &walked.excluded));
    facts.notes.extend(repository_note(&files));
    Ok(IngestedFolder { artifacts: summary(&files), files, empty_folders: walked.empty_folders, facts })
}

/// Builds the result of [`ingest`] for files that are already stored and hashed, without hashing them again. `open`
/// opens a file by its entry.
pub(super) fn assemble(
    kept: Vec<FileEntry<()>>,
    limits: &ArtifactLimits,
    open: &dyn Fn(&FileEntry<Content>) -> Result<File, ArtifactError>,
) -> Result<IngestedFolder, ArtifactError> {
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
    let mut sorted: Vec<&FilePath> = kept.iter().map(|f| &f.path).collect();
    sorted.sort();
    refuse_states(sorted.into_iter())?;
    let as_stored = |f: &FileEntry<()>| {
        let FileEntry { path, size, sha256, place: () } = f.clone();
        FileEntry { path, size, sha256, place: Content::Stored }
    };
    let mut exclude = Exclude::default();
    for file in kept.iter().filter(|f| f.path.segments().last() == Some(exclude::FILE)) {
        let mut bytes = Vec::new();
        let read = open(&as_stored(file))?.take(exclude::MAX_FILE + 1).read_to_end(&mut bytes);
        read.map_err(ArtifactError::io("read", Path::new(file.path.as_str())))?;
        exclude.add(folder_of(&file.path).as_ref(), &bytes)?;
    }
    let (out, kept): (Vec<_>, Vec<_>) = kept.into_iter().partition(|f| walk::left_out(&f.path));
    let (excluded, kept): (Vec<_>, Vec<_>) = kept.into_iter().partition(|f| exclude.leaves_out_file(&f.path));
    let shown = |files: Vec<FileEntry<()>>| files.into_iter().map(|f| f.path.to_string()).collect::<Vec<_>>();
    let (left_out, excluded) = (shown(out), shown(excluded));
    if kept.is_empty() {
        return Err(ArtifactError::Empty(Path::new("the upload").to_owned()));
    }
    let mut pointers = Vec::new();
    for file in kept.iter().filter(|f| pointers::may_be(f.size)) {
        let found = pointers::read(open(&as_stored(file))?);
        pointers.extend(found.map(|pointer| (file.path.clone(), pointer.size)));
    }
    if !pointers.is_empty() {
        return Err(ArtifactError::Pointers(Path::new("the folder that was sent").to_owned(), pointers));
    }
    let mut files = Vec::with_capacity(kept.len());
    for FileEntry { path, size, sha256, place: () } in kept {
        let mut file = FileEntry { path, size, sha256, place: Content::Stored };
        if size <= MAX_INLINE && (size == 0 || may_be_inline(&file.path.stored())) {
            let mut bytes = Vec::new();
            let read = open(&file)?.take(MAX_INLINE + 1).read_to_end(&mut bytes);
            read.map_err(ArtifactError::io("read", Path::new(file.path.as_str())))?;
            store::check(
                &file.sha256,
                size,
                copy::CopyReport { sha256: copy::sha256(&bytes), size: bytes.len() as u64 },
            )?;
            if is_inline(&bytes) {
                file.place = Content::Inline(bytes);
            }
        }
        files.push(file);
    }
    let mut facts = facts(&files, &left_out, open);
    facts.notes.extend(left_out_note("left out by a pattern", &excluded));
    facts.notes.extend(repository_note(&files));
    Ok(IngestedFolder { artifacts: summary(&files), files, empty_folders: Vec::new(), facts })
}

/// Returns the folder of a file; `None` for the top folder.
pub(super) fn folder_of(path: &FilePath) -> Option<FilePath> {
    path.as_str().rsplit_once('/').and_then(|(folder, _)| FilePath::new(folder).ok())
}

/// Opens a folder and lists its files. For a single file, opens its folder and lists that file only.
fn find(source: &Path, selection: &Selection, limits: &ArtifactLimits) -> Result<(Root, WalkedFolder), ArtifactError> {
    let mut meta = source.symlink_metadata().map_err(ArtifactError::io("read", source))?;
    let mut real = source.to_owned();
    if meta.is_symlink() {
        let inside = |target: &Path| match &selection.links {
            Links::Follow => true,
            Links::Into(folder) => target.starts_with(folder),
            Links::Refuse => false,
        };
        real = source.canonicalize().map_err(ArtifactError::io("follow the symbolic link", source))?;
        if !inside(&real) {
            return Err(ArtifactError::NotAFile { path: source.to_owned(), kind: super::entry::LINK });
        }
        meta = real.symlink_metadata().map_err(ArtifactError::io("read", &real))?;
    }
    if meta.is_dir() {
        let root = Root::open(&real)?;
        let walked = root.walk(selection, limits)?;
        return Ok((root, walked));
    }
    let name = source.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let path = FilePath::new(&name)?;
    // The user named the folder, so its path may contain symbolic links.
    let folder = source.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().map_err(ArtifactError::io("open", folder))?;
    let real = (real != source).then_some(real);
    let files = vec![WalkedFile { path, size: meta.len(), real }];
    let root = Root::open(&folder)?;
    selection.guarded.refuse_within(&root)?;
    if let Some(real) = files.iter().find_map(|file: &WalkedFile| file.real.as_ref()) {
        selection.guarded.refuse_real(real, source)?;
    }
    Ok((root, WalkedFolder { files, ..WalkedFolder::default() }))
}

/// Copies or hashes the object that a Git LFS pointer stands for.
fn take_object(
    found: &WalkedFile,
    pointer: &Pointer,
    objects: &Store,
    keep: ByteStorage<'_>,
    seen: &dyn Fn(u64),
) -> Result<(FileEntry<Content>, Option<StagedObject>), ArtifactError> {
    let mut file = objects.open(&pointer.sha256)?;
    let path = objects.path(&pointer.sha256);
    let (copied, staged) = match keep {
        ByteStorage::In(store) => {
            let staged = store.stage_file(&mut file, &path, pointer.size, seen)?;
            (staged.copied.clone(), Some(staged))
        }
        ByteStorage::Nothing => {
            (copy::hash(&mut file, pointer.size, seen).map_err(ArtifactError::io("read", &path))?, None)
        }
    };
    store::check(&pointer.sha256, pointer.size, copied)?;
    let (path, sha256) = (found.path.clone(), pointer.sha256.clone());
    Ok((FileEntry { path, size: pointer.size, sha256, place: Content::Stored }, staged))
}

/// Reads one file into memory or into the store.
fn take(
    root: &Root,
    found: &WalkedFile,
    keep: ByteStorage<'_>,
    seen: &dyn Fn(u64),
) -> Result<(FileEntry<Content>, Option<StagedObject>), ArtifactError> {
    let shown = root.display(&found.path);
    let mut file = root.open_found(found)?;
    let failed = ArtifactError::io("read", &shown);
    let before = WriteStamp::of(&file).map_err(&failed)?;
    // Git LFS has no pointer for an empty file.
    let may_be_inline = before.size == 0 || may_be_inline(&found.path.stored());
    let text = if may_be_inline { read_text(&mut file, before.size) } else { Ok(None) };
    let (copied, place, staged) = match text.map_err(&failed)? {
        Some(text) => {
            let copied = copy::CopyReport { sha256: copy::sha256(&text), size: text.len() as u64 };
            seen(copied.size);
            (copied, Content::Inline(text), None)
        }
        None => match keep {
            ByteStorage::In(store) => {
                let staged = store.stage_file(&mut file, &shown, before.size, seen)?;
                (staged.copied.clone(), Content::Stored, Some(staged))
            }
            ByteStorage::Nothing => {
                let copied = copy::hash(&mut file, before.size, seen).map_err(&failed)?;
                (copied, Content::Stored, None)
            }
        },
    };
    if WriteStamp::of(&file).map_err(&failed)? != before || copied.size != before.size || found.size != before.size {
        return Err(ArtifactError::Changed(shown.clone()));
    }
    let path = found.path.clone();
    Ok((FileEntry { path, size: copied.size, sha256: copied.sha256, place }, staged))
}

/// Returns the bytes of a file that is to be committed to the tree. Else returns `None` with the file back at its
/// start.
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

/// Whether a file is small text that git-lfs cannot mistake for a pointer.
pub(super) fn is_inline(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).is_ok_and(|t| !t.contains('\0'));
    text && bytes.len() as u64 <= MAX_INLINE && !mentions_lfs(bytes)
}

/// A function that opens a stored file.
pub(super) type Open<'o> = &'o dyn Fn(&FileEntry<Content>) -> Result<File, ArtifactError>;

/// Reads the facts that the model states about itself, and adds notes about excluded files and faults.
pub(super) fn facts(files: &[FileEntry<Content>], left_out: &[String], open: Open<'_>) -> ModelFacts {
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
    facts.notes.extend(left_out_note("left out, because they are not part of the model", left_out));
    facts
}

/// Formats a note with the names of excluded files, at most ten of them.
pub(super) fn left_out_note(why: &str, names: &[String]) -> Option<String> {
    const SHOWN: usize = 10;
    (!names.is_empty()).then(|| format!("{why}: {}", crate::text::listed(names, SHOWN)))
}

/// Returns a note if the model contains a git repository, whose settings and hooks apply to anyone who runs git in a
/// fetched copy.
pub(super) fn repository_note(files: &[FileEntry<Content>]) -> Option<String> {
    let inside = files.iter().filter(|f| f.path.segments().any(|s| s.eq_ignore_ascii_case(".git"))).count();
    (inside > 0).then(|| {
        format!(
            "{inside} of the files belong to a git repository inside the model; git uses its settings and hooks in \
             each fetched copy: leave it out with `--exclude .git`"
        )
    })
}

fn no_mlmodel(files: &[FileEntry<Content>]) -> String {
    let below = files.iter().find_map(|f| f.path.as_str().strip_suffix("/MLmodel"));
    let hint = below.map(|b| format!("; if '{b}' is the model, register that folder")).unwrap_or_default();
    format!("there is no MLmodel file at the top, so flavors, schema and environment are unknown{hint}")
}

/// Returns the version's own `.gitattributes`, which git needs to handle the files correctly; `None` if it needs none.
pub fn attributes(ingested: &IngestedFolder) -> Option<String> {
    let stored = ingested.files.iter().filter(|f| f.place == Content::Stored);
    let stored: Vec<String> = stored.map(|f| f.path.stored()).collect();
    attributes::version(stored.iter().map(String::as_str))
}

/// Adds the files to a patch under `<prefix>/`, or at the top if the prefix is empty: small text as it is, other files
/// as pointers.
pub fn add_to_patch(ingested: &IngestedFolder, prefix: &str, patch: &mut Patch) {
    for file in &ingested.files {
        let bytes = match &file.place {
            Content::Inline(bytes) => bytes.clone(),
            Content::Stored => Pointer { sha256: file.sha256.clone(), size: file.size }.to_string().into_bytes(),
        };
        patch.write(at(prefix, &file.path.stored()), bytes);
    }
    for folder in &ingested.empty_folders {
        patch.write(format!("{}/{}", at(prefix, &folder.stored()), model_file::EMPTY_FOLDER), "");
    }
}

fn at(prefix: &str, path: &str) -> String {
    if prefix.is_empty() { path.to_owned() } else { format!("{prefix}/{path}") }
}

#[cfg(test)]
mod tests;
