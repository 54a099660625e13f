//! The head: the small file that says which bytes of the other files are valid. It is replaced as a whole, so a reader
//! finds the old or the new one.

use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{Fault, damaged};
use super::ids::{Ids, Run};
use super::part::{IndexPart, PartExtent};
use crate::shared;
use crate::tree::Oid;

/// The first bytes of a head.
const MAGIC: &[u8; 8] = b"greenidx";

/// The largest head that is read, in bytes.
const MAX_HEAD: u64 = 64 * 1024;

/// The identity of the index, and the extents of its parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    key: String,
    tip: Vec<u8>,
    count: u64,
    landed: i64,
    steps: PartExtent,
    postings: PartExtent,
    records: PartExtent,
    rows: PartExtent,
    directory: PartExtent,
    ids: PartExtent,
    id_runs: Vec<Run>,
    live_bytes: u64,
    live_chunks: u64,
}

/// The state of the index: its parts and their valid extents.
#[derive(Debug)]
pub(super) struct LoadedIndex {
    /// The newest indexed commit; `None` in an empty index.
    pub(super) tip: Option<Oid>,
    /// The number of indexed commits.
    pub(super) count: u64,
    /// The time of the newest commit: the latest committer time so far, in milliseconds.
    pub(super) landed: i64,
    /// One row of fixed size for each commit, oldest first.
    pub(super) steps: IndexPart,
    /// One row of fixed size for each model or version that a commit touches, oldest first.
    pub(super) postings: IndexPart,
    /// The record of each commit.
    pub(super) records: IndexPart,
    /// Models and versions as of the tip, in chunks. Outdated chunks stay until there are too many of them.
    pub(super) rows: IndexPart,
    /// The positions of the chunks; the last row of a chunk is valid.
    pub(super) directory: IndexPart,
    /// The commit that first used each id.
    pub(super) ids: Ids,
    /// The size of the valid chunks, in bytes.
    pub(super) live_bytes: u64,
    /// The number of valid chunks.
    pub(super) live_chunks: u64,
}

impl LoadedIndex {
    /// Creates an empty index.
    pub(super) fn empty(folder: &Path) -> Self {
        let part = |name: &str| IndexPart::empty(folder, name, generation());
        Self {
            tip: None,
            count: 0,
            landed: i64::MIN,
            steps: part("steps"),
            postings: part("postings"),
            records: part("records"),
            rows: part("rows"),
            directory: part("directory"),
            ids: Ids::empty(folder),
            live_bytes: 0,
            live_chunks: 0,
        }
    }

    /// Reads the head in a folder. Returns `None` if there is no head, or if it has another key.
    pub(super) fn load(folder: &Path, key: &str) -> Result<Option<Self>, Fault> {
        let path = folder.join("head");
        let bytes = match std::fs::metadata(&path) {
            Ok(m) if m.len() > MAX_HEAD => return Err(damaged("the head is too large")),
            Ok(_) => std::fs::read(&path),
            Err(e) => Err(e),
        };
        let bytes = match bytes {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| damaged(format!("the head cannot be read: {e}")))?,
        };
        let head = decode(&bytes).ok_or_else(|| damaged("the head does not match its checksum"))?;
        if head.key != key {
            return Ok(None);
        }
        let at = |name: &str, extent| IndexPart::at(folder, name, extent);
        Ok(Some(Self {
            tip: Some(Oid::from_bytes(&head.tip).ok_or_else(|| damaged("the head does not name a commit"))?),
            count: head.count,
            landed: head.landed,
            steps: at("steps", head.steps),
            postings: at("postings", head.postings),
            records: at("records", head.records),
            rows: at("rows", head.rows),
            directory: at("directory", head.directory),
            ids: Ids::at(folder, head.ids, head.id_runs),
            live_bytes: head.live_bytes,
            live_chunks: head.live_chunks,
        }))
    }

    /// Writes the parts and then the head. The caller must hold the lock.
    pub(super) fn store(&mut self, folder: &Path, key: &str) -> io::Result<()> {
        let Some(tip) = self.tip else { return Ok(()) };
        self.parts_mut().into_iter().try_for_each(IndexPart::flush)?;
        let head = Head {
            key: key.to_owned(),
            tip: tip.as_bytes().to_vec(),
            count: self.count,
            landed: self.landed,
            steps: self.steps.extent(),
            postings: self.postings.extent(),
            records: self.records.extent(),
            rows: self.rows.extent(),
            directory: self.directory.extent(),
            ids: self.ids.part.extent(),
            id_runs: self.ids.runs().to_vec(),
            live_bytes: self.live_bytes,
            live_chunks: self.live_chunks,
        };
        let mut file = new_file(folder)?;
        file.write_all(&encode(&head)?)?;
        shared::adjust(file.path())?;
        file.persist(folder.join("head")).map_err(|e| e.error)?;
        self.sweep(folder)
    }

    /// Removes files of earlier generations. Concurrent readers have them open, or find them gone and read the head
    /// again.
    fn sweep(&self, folder: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let name = entry?.file_name();
            let is_ours = self.parts().iter().any(|p| p.file_name() == Some(&name));
            if !is_ours && name != "head" && name != "lock" {
                std::fs::remove_file(folder.join(&name))?;
            }
        }
        Ok(())
    }

    /// Returns the size of all parts, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.parts().iter().map(|p| p.extent().len).sum()
    }

    /// Returns the number of bytes that are only in memory.
    pub(super) fn unflushed(&self) -> usize {
        self.parts().iter().map(|p| p.unflushed()).sum()
    }

    /// Writes the parts before the head, to free memory. The caller must hold the lock.
    pub(super) fn spill(&mut self) -> io::Result<()> {
        self.parts_mut().into_iter().try_for_each(IndexPart::flush)
    }

    /// Reads all parts and compares them with their checksums.
    pub(super) fn check(&self) -> Result<(), Fault> {
        self.parts().iter().try_for_each(|p| p.whole().map(drop))
    }

    fn parts(&self) -> [&IndexPart; 6] {
        [&self.steps, &self.postings, &self.records, &self.rows, &self.directory, &self.ids.part]
    }

    fn parts_mut(&mut self) -> [&mut IndexPart; 6] {
        let Self { steps, postings, records, rows, directory, ids, .. } = self;
        [steps, postings, records, rows, directory, &mut ids.part]
    }
}

/// Returns a random number that distinguishes files of the same part.
pub(super) fn generation() -> u64 {
    let bytes = crate::registry::random_bytes();
    bytes.iter().take(8).fold(0, |n, b| (n << 8) | u64::from(*b))
}

/// Creates a new file for the head. Like the parts, it is readable for others as far as the umask allows.
fn new_file(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("head-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

fn encode(head: &Head) -> io::Result<Vec<u8>> {
    let body = postcard::to_stdvec(head).map_err(io::Error::other)?;
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    out.extend_from_slice(&body);
    Ok(out)
}

fn decode(bytes: &[u8]) -> Option<Head> {
    let (crc, body) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*crc) != crc32fast::hash(body) {
        return None;
    }
    postcard::from_bytes(body).ok()
}
