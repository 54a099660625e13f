//! Receives files from another machine or folder as streams: straight into the store, checked against their announced
//! size.

use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::entry::{ArtifactLimits, Content, FileEntry, TransferProgress};
use super::error::ArtifactError;
use super::exclude::{self, Exclude};
use super::guarded::refuse_states;
use super::ingest::{IngestedFolder, MAX_INLINE, facts, folder_of, is_inline, left_out_note, repository_note};
use super::manifest::summary;
use super::path::{FilePath, clash};
use super::pointer::Pointer;
use super::store::{StagedObject, Store};
use super::{copy, walk};
use crate::format::attributes::may_be_inline;

/// A file that is to be received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReceivedFile {
    /// The path in the model folder.
    pub(super) path: FilePath,
    /// The announced size in bytes; `None` if the source does not announce it.
    pub(super) size: Option<u64>,
}

/// Receives files one after the other, each straight into the store. The files are durable on return. Files of another
/// size than announced, or more files than the limits allow, leave nothing behind.
pub(super) fn ingest_coming<E: From<ArtifactError>>(
    coming: Vec<ReceivedFile>,
    open: impl Fn(&ReceivedFile) -> Result<Box<dyn Read>, E>,
    store: &Store,
    limits: &ArtifactLimits,
    progress: TransferProgress<'_>,
) -> Result<IngestedFolder, E> {
    store.sweep(SystemTime::now());
    let mut exclude = Exclude::default();
    for file in coming.iter().filter(|c| c.path.segments().last() == Some(exclude::FILE)) {
        let mut bytes = Vec::new();
        let read = open(file)?.take(exclude::MAX_FILE + 1).read_to_end(&mut bytes);
        read.map_err(ArtifactError::io("receive", Path::new(file.path.as_str())))?;
        exclude.add(folder_of(&file.path).as_ref(), &bytes)?;
    }
    let (mut coming, left_out): (Vec<_>, Vec<_>) = coming.into_iter().partition(|c| !walk::left_out(&c.path));
    let excluded: Vec<_> = coming.extract_if(.., |c| exclude.leaves_out_file(&c.path)).collect();
    coming.sort_by(|a, b| a.path.cmp(&b.path));
    refuse_states(coming.iter().map(|c| &c.path))?;
    if coming.is_empty() {
        return Err(ArtifactError::Empty(Path::new("the source").to_owned()).into());
    }
    if let Some((a, b)) = clash(coming.iter().map(|c| &c.path)) {
        return Err(ArtifactError::Clash(a, b).into());
    }
    let total = coming.iter().filter_map(|c| c.size).fold(0, u64::saturating_add);
    let too_much = || ArtifactError::TooMuch { what: "bytes", max: limits.total };
    if total > limits.total {
        return Err(too_much().into());
    }
    let (mut files, mut staged, mut done) = (Vec::new(), Vec::new(), 0_u64);
    let so_far = AtomicU64::new(0);
    for file in &coming {
        let mut from = open(file)?;
        let room = limits.total.saturating_sub(done);
        let seen = |n| progress(so_far.fetch_add(n, Ordering::Relaxed).saturating_add(n), total);
        let (entry, kept) = receive(file, &mut from, room, store, &seen)?;
        done = done.saturating_add(entry.size);
        if done > limits.total {
            return Err(too_much().into());
        }
        files.push(entry);
        staged.extend(kept);
    }
    store.commit(staged)?;
    let shown = |files: Vec<ReceivedFile>| files.into_iter().map(|c| c.path.to_string()).collect::<Vec<_>>();
    let mut facts = facts(&files, &shown(left_out), &|file| store.open(&file.sha256));
    facts.notes.extend(left_out_note("left out by a pattern", &shown(excluded)));
    facts.notes.extend(repository_note(&files));
    Ok(IngestedFolder { artifacts: summary(&files), files, empty_folders: Vec::new(), facts })
}

/// Receives one file, into memory or into the store. Reads at most one byte more than there is room for.
fn receive(
    coming: &ReceivedFile,
    from: &mut dyn Read,
    room: u64,
    store: &Store,
    seen: &dyn Fn(u64),
) -> Result<(FileEntry<Content>, Option<StagedObject>), ArtifactError> {
    let shown = Path::new(coming.path.as_str());
    let failed = ArtifactError::io("receive", shown);
    let mut from = from.take(coming.size.unwrap_or(room).min(room).saturating_add(1));
    let mut head = Vec::new();
    io::Read::by_ref(&mut from).take(MAX_INLINE + 1).read_to_end(&mut head).map_err(&failed)?;
    if let Some(pointer) = Pointer::parse_any(&head) {
        let from = Path::new("the folder that it comes from").to_owned();
        return Err(ArtifactError::Pointers(from, vec![(coming.path.clone(), pointer.size)]));
    }
    let inline = (head.is_empty() || may_be_inline(&coming.path.stored())) && is_inline(&head);
    let (copied, place, staged) = if inline {
        seen(head.len() as u64);
        let copied = copy::CopyReport { sha256: copy::sha256(&head), size: head.len() as u64 };
        (copied, Content::Inline(head), None)
    } else {
        let staged = store.stage_stream(&mut head.as_slice().chain(from), shown, coming.size.unwrap_or(0), seen)?;
        (staged.copied.clone(), Content::Stored, Some(staged))
    };
    if let Some(said) = coming.size.filter(|said| *said != copied.size) {
        return Err(ArtifactError::Short { path: coming.path.clone(), said, got: copied.size });
    }
    let path = coming.path.clone();
    Ok((FileEntry { path, size: copied.size, sha256: copied.sha256, place }, staged))
}

#[cfg(test)]
mod tests {
    use super::*;

    type ReceiveOutcome = Result<(), Box<dyn std::error::Error>>;

    /// Receives files whose announced size may differ from their real size.
    fn take(
        store: &Store,
        files: &[(&str, Option<u64>, &'static [u8])],
        limits: &ArtifactLimits,
    ) -> Result<IngestedFolder, ArtifactError> {
        let coming =
            |(path, size, _): &(&str, Option<u64>, _)| Ok(ReceivedFile { path: FilePath::new(path)?, size: *size });
        let all = files.iter().map(coming).collect::<Result<Vec<_>, ArtifactError>>()?;
        let open = |c: &ReceivedFile| -> Result<Box<dyn Read>, ArtifactError> {
            let found = files.iter().find(|f| f.0 == c.path.as_str()).map_or(&b""[..], |f| f.2);
            Ok(Box::new(found))
        };
        ingest_coming(all, open, store, limits, &|_, _| {})
    }

    fn stored(dir: &Path) -> usize {
        let root = walk::Root::open(dir).and_then(|r| r.walk(&walk::Selection::default(), &ArtifactLimits::default()));
        root.map_or(0, |w| w.files.len())
    }

    #[test]
    fn what_comes_is_what_a_folder_with_the_same_files_gives() -> ReceiveOutcome {
        let dir = tempfile::tempdir()?;
        let store = Store::at(dir.path().join("lfs"));
        let folder = dir.path().join("model");
        let files: [(&str, Option<u64>, &[u8]); 5] = [
            ("MLmodel", Some(11), b"flavors: {}"),
            ("m.bin", None, b"\0\x01\x02"),
            ("empty", Some(0), b""),
            ("data/notes.txt", Some(2), b"hi"),
            ("registered_model_meta", Some(1), b"x"),
        ];
        for (path, _, bytes) in files {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().ok_or("a folder")?)?;
            std::fs::write(path, bytes)?;
        }
        let come = take(&store, &files, &ArtifactLimits::default())?;
        let keep = crate::artifact::ingest::ByteStorage::In(&store);
        assert_eq!(come, crate::artifact::ingest::ingest(&folder, keep, &ArtifactLimits::default(), &|_, _| {})?);
        Ok(())
    }

    #[test]
    fn other_sizes_than_said_and_more_than_allowed_leave_nothing() -> ReceiveOutcome {
        let dir = tempfile::tempdir()?;
        let store = Store::at(dir.path().join("lfs"));
        let limits = ArtifactLimits { total: 5, ..ArtifactLimits::default() };
        let good = ("a.bin", Some(2), &b"\0\0"[..]);
        for bad in [("m.bin", Some(2), &b"\0"[..]), ("m.bin", Some(2), b"\0\0\0"), ("a.txt", Some(3), b"hi")] {
            assert!(matches!(take(&store, &[good, bad], &limits), Err(ArtifactError::Short { .. })), "{bad:?}");
        }
        for many in [("m.bin", None, &b"\0\0\0\0\0\0\0\0"[..]), ("m.bin", Some(4), b"\0\0\0\0")] {
            assert!(matches!(take(&store, &[good, many], &limits), Err(ArtifactError::TooMuch { .. })), "{many:?}");
        }
        let twice = ("A.bin", Some(0), &b""[..]);
        assert!(matches!(take(&store, &[good, twice], &limits), Err(ArtifactError::Clash(..))));
        assert!(matches!(take(&store, &[], &limits), Err(ArtifactError::Empty(_))));
        assert_eq!(stored(&dir.path().join("lfs")), 0);
        Ok(())
    }
}
