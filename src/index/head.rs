//! The head: the small file that says what of the other files counts. It is replaced as a whole, so a reader finds the
//! old or the new one.

use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{Fault, damaged};
use super::ids::{Ids, Run};
use super::part::{Extent, Part};
use crate::shared;
use crate::tree::Oid;

/// The first bytes of a head.
const MAGIC: &[u8; 8] = b"greenidx";

/// The largest head that is read, in bytes.
const MAX_HEAD: u64 = 64 * 1024;

/// What the index says it is, and how far it reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    key: String,
    tip: Vec<u8>,
    count: u64,
    landed: i64,
    steps: Extent,
    postings: Extent,
    records: Extent,
    rows: Extent,
    directory: Extent,
    ids: Extent,
    id_runs: Vec<Run>,
    live_bytes: u64,
    live_chunks: u64,
}

/// The index as far as it is read: its parts, and what counts of them.
#[derive(Debug)]
pub(super) struct State {
    /// The newest commit that is in it; none in an empty one.
    pub(super) tip: Option<Oid>,
    /// How many commits are in it.
    pub(super) count: u64,
    /// When the newest commit landed: the latest committer time so far, in milliseconds.
    pub(super) landed: i64,
    /// One row of fixed size for each commit, oldest first.
    pub(super) steps: Part,
    /// One row of fixed size for each subject of each commit, oldest first.
    pub(super) postings: Part,
    /// What each commit did.
    pub(super) records: Part,
    /// Models and versions as they are at the tip, in chunks; older forms of a chunk stay until there are too many.
    pub(super) rows: Part,
    /// Where the chunks are; a later row of the same chunk counts.
    pub(super) directory: Part,
    /// Which commit brought which id.
    pub(super) ids: Ids,
    /// The bytes of the chunks that count.
    pub(super) live_bytes: u64,
    /// How many chunks count.
    pub(super) live_chunks: u64,
}

impl State {
    /// An index of nothing.
    pub(super) fn empty(folder: &Path) -> Self {
        let part = |name: &str| Part::empty(folder, name, generation());
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

    /// Reads the head in a folder; none if there is none, or one of another key.
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
        let at = |name: &str, extent| Part::at(folder, name, extent);
        Ok(Some(Self {
            tip: Some(Oid::from_bytes(&head.tip).ok_or_else(|| damaged("the head names no commit"))?),
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

    /// Writes the parts and then the head. Whoever calls this holds the lock.
    pub(super) fn store(&mut self, folder: &Path, key: &str) -> io::Result<()> {
        let Some(tip) = self.tip else { return Ok(()) };
        self.parts_mut().into_iter().try_for_each(Part::flush)?;
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

    /// Removes files of earlier generations; who still reads them has them open, or finds them gone and reads the head
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

    /// The size of all parts in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.parts().iter().map(|p| p.extent().len).sum()
    }

    /// How many bytes are in memory only.
    pub(super) fn unflushed(&self) -> usize {
        self.parts().iter().map(|p| p.unflushed()).sum()
    }

    /// Writes the parts ahead of the head, to free memory. Whoever calls this holds the lock.
    pub(super) fn spill(&mut self) -> io::Result<()> {
        self.parts_mut().into_iter().try_for_each(Part::flush)
    }

    /// Reads all of it and checks it against the checksums.
    pub(super) fn check(&self) -> Result<(), Fault> {
        self.parts().iter().try_for_each(|p| p.whole().map(drop))
    }

    fn parts(&self) -> [&Part; 6] {
        [&self.steps, &self.postings, &self.records, &self.rows, &self.directory, &self.ids.part]
    }

    fn parts_mut(&mut self) -> [&mut Part; 6] {
        let Self { steps, postings, records, rows, directory, ids, .. } = self;
        [steps, postings, records, rows, directory, &mut ids.part]
    }
}

/// A number that no other file of the same part has.
pub(super) fn generation() -> u64 {
    let bytes = crate::registry::random_bytes();
    bytes.iter().take(8).fold(0, |n, b| (n << 8) | u64::from(*b))
}

/// A new file for the head, which others may read as far as the user's mask allows, like the parts.
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
