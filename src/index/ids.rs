//! The commit that first used each id: sorted runs in a growing file, searched block by block. So the cost of checking
//! whether an id is new hardly grows with the history.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{Fault, damaged};
use super::head::{LoadedIndex, generation};
use super::history::{Log, row};
use super::part::{IndexPart, IndexPartReader, PartExtent};
use super::record::{RowBuffer, take};
use super::update::{self, UpdateTarget};
use super::{Index, IndexError, folder_of, key_of};
use crate::git::Repo;
use crate::name::Id;
use crate::registry::{Registry, RegistryError};
use crate::tree::Oid;

/// The number of rows in a block; each block has its own checksum.
const BLOCK: usize = 128;

/// The size of a checksum, in bytes.
const CRC: usize = 4;

/// How many bytes of merged runs are kept, in addition to twice the valid bytes, before the file is rewritten.
const SLACK: u64 = 1 << 20;

/// An id and the number of the commit that used it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    id: [u8; 16],
    number: u64,
}

impl Row {
    /// The size of an encoded row, in bytes.
    const SIZE: usize = 24;

    fn encode(&self) -> [u8; Self::SIZE] {
        let mut out = RowBuffer::new();
        out.put(&self.id);
        out.put(&self.number.to_le_bytes());
        out.done()
    }

    fn decode(mut row: &[u8]) -> Option<Self> {
        Some(Self { id: take(&mut row)?, number: u64::from_le_bytes(take(&mut row)?) })
    }
}

/// Rows sorted by id, in blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    at: u64,
    rows: u64,
}

impl Run {
    fn blocks(self) -> u64 {
        self.rows.div_ceil(BLOCK as u64)
    }

    fn len(self) -> u64 {
        self.rows * Row::SIZE as u64 + self.blocks() * CRC as u64
    }
}

/// The ids of a history.
#[derive(Debug)]
pub(super) struct Ids {
    pub(super) part: IndexPart,
    runs: Vec<Run>,
    waiting: Vec<Row>,
}

impl Ids {
    /// Creates an empty set.
    pub(super) fn empty(folder: &Path) -> Self {
        Self { part: IndexPart::empty(folder, "ids", generation()), runs: Vec::new(), waiting: Vec::new() }
    }

    /// Opens the ids of a head.
    pub(super) fn at(folder: &Path, extent: PartExtent, runs: Vec<Run>) -> Self {
        Self { part: IndexPart::at(folder, "ids", extent), runs, waiting: Vec::new() }
    }

    /// Returns the runs, for the head.
    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Notes that the commit with a number used an id. [`Ids::settle`] stores the note.
    pub(super) fn note(&mut self, id: [u8; 16], number: u64) {
        self.waiting.push(Row { id, number });
    }

    /// Stores the notes. Runs of similar size are merged, so that there are few.
    pub(super) fn settle(&mut self, folder: &Path) -> Result<(), Fault> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let mut rows = std::mem::take(&mut self.waiting);
        while let Some(run) = self.runs.last().copied().filter(|run| run.rows <= 2 * rows.len() as u64) {
            let mut reader = self.part.reader()?;
            for block in 0..run.blocks() {
                rows.extend(read(&mut reader, run, block)?);
            }
            drop(reader);
            self.runs.pop();
        }
        rows.sort_unstable();
        // The first commit that used an id counts.
        rows.dedup_by_key(|row| row.id);
        let at = self.part.push(&encode(&rows));
        self.runs.push(Run { at, rows: rows.len() as u64 });
        let live: u64 = self.runs.iter().map(|run| run.len()).sum();
        if self.part.extent().len > 2 * live + SLACK {
            self.rewrite(folder)?;
        }
        Ok(())
    }

    /// Rewrites the file without merged runs.
    fn rewrite(&mut self, folder: &Path) -> Result<(), Fault> {
        let mut new = IndexPart::empty(folder, "ids", generation());
        let mut runs = Vec::new();
        let mut reader = self.part.reader()?;
        for run in &self.runs {
            let mut rows = Vec::new();
            for block in 0..run.blocks() {
                rows.extend(read(&mut reader, *run, block)?);
            }
            runs.push(Run { at: new.push(&encode(&rows)), rows: run.rows });
        }
        drop(reader);
        (self.part, self.runs) = (new, runs);
        Ok(())
    }

    /// Returns the number of the first commit that used an id.
    pub(super) fn find(&self, id: [u8; 16]) -> Result<Option<u64>, Fault> {
        let mut reader = self.part.reader()?;
        let mut found: Option<u64> = None;
        for run in &self.runs {
            let (mut low, mut high) = (0, run.blocks());
            while low < high {
                let middle = low + (high - low) / 2;
                let rows = read(&mut reader, *run, middle)?;
                let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
                    return Err(damaged("a block of ids is empty"));
                };
                if id < first.id {
                    high = middle;
                } else if id > last.id {
                    low = middle + 1;
                } else {
                    let row = rows.binary_search_by_key(&id, |row| row.id).ok().and_then(|at| rows.get(at));
                    found = row.map(|row| row.number).into_iter().chain(found).min();
                    break;
                }
            }
        }
        Ok(found)
    }
}

/// Encodes rows in blocks.
fn encode(rows: &[Row]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.len() * Row::SIZE + rows.len().div_ceil(BLOCK) * CRC);
    for block in rows.chunks(BLOCK) {
        let bytes: Vec<u8> = block.iter().flat_map(Row::encode).collect();
        out.extend_from_slice(&bytes);
        out.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    }
    out
}

/// Reads one block of a run.
fn read(reader: &mut IndexPartReader<'_>, run: Run, block: u64) -> Result<Vec<Row>, Fault> {
    let whole = (BLOCK * Row::SIZE + CRC) as u64;
    let rows = run.rows.saturating_sub(block * BLOCK as u64).min(BLOCK as u64);
    let len = usize::try_from(rows).map_or(0, |rows| rows * Row::SIZE);
    let mut bytes = Vec::new();
    reader.read(run.at.saturating_add(block * whole), len + CRC, &mut bytes)?;
    let (rows, crc) = bytes.split_at_checked(len).ok_or_else(|| damaged("a block of ids is truncated"))?;
    if crc != crc32fast::hash(rows).to_le_bytes() {
        return Err(damaged("a block of ids does not match its checksum"));
    }
    let rows: Option<Vec<Row>> = rows.chunks_exact(Row::SIZE).map(Row::decode).collect();
    rows.ok_or_else(|| damaged("a block of ids cannot be read"))
}

/// Returns which of these ids were used in the first-parent history of a commit, including that commit, each with the
/// first commit that used it. Ids of deleted objects count.
///
/// The branch's stored index is used if it has the commit. An index that is missing, damaged or behind is updated
/// first, and never ignored.
///
/// # Errors
/// [`IndexError`] if the history cannot be read, as in a shallow clone. Then it is unknown whether an id is new.
pub fn used(
    repo: &Repo,
    at: &str,
    branch: &str,
    tip: Oid,
    ids: &BTreeSet<Id>,
) -> Result<BTreeMap<Id, Oid>, IndexError> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let folder = folder_of(repo, at, branch);
    let stored = LoadedIndex::load(&folder, &key_of(repo, at, branch));
    if let Ok(Some(state)) = &stored
        && let Ok(found) = find_all(state, tip, ids)
    {
        return Ok(found);
    }
    let registry = Registry::with(Repo::open_beside(repo.git_dir())?, at)?.following(branch);
    if registry.head()? == Some(tip) {
        return Index::open(&registry, &mut |_| {})?.ask(|state| find_all(state, tip, ids));
    }
    // The commit is not the branch's tip, so the result is not stored.
    let mut state = stored.ok().flatten().unwrap_or_else(|| LoadedIndex::empty(&folder));
    for _ in 0..2 {
        let target = UpdateTarget { folder: &folder, locked: false };
        let found = update::catch_up(&mut state, &registry, tip, &target, &mut |_| {})
            .and_then(|()| find_all(&state, tip, ids));
        match found {
            Ok(found) => return Ok(found),
            Err(Fault::Other(e)) => return Err(e),
            Err(Fault::Damaged(_)) => state = LoadedIndex::empty(&folder),
        }
    }
    Err(IndexError::Damaged { what: "the ids cannot be read".to_owned(), folder })
}

/// Like [`used`], for a registry.
///
/// # Errors
/// [`RegistryError`] if the history cannot be read; [`RegistryError::Ids`] if the index fails.
pub fn used_in(registry: &Registry, tip: Oid, ids: &BTreeSet<Id>) -> Result<BTreeMap<Id, Oid>, RegistryError> {
    used(registry.repo(), registry.at(), registry.branch(), tip, ids).map_err(|e| match e {
        IndexError::Registry(e) => e,
        other => RegistryError::Ids(Box::new(other)),
    })
}

/// Searches ids in an index, as of a commit that it contains.
fn find_all(state: &LoadedIndex, tip: Oid, ids: &BTreeSet<Id>) -> Result<BTreeMap<Id, Oid>, Fault> {
    let newest = match state.tip == Some(tip) {
        true => u64::MAX,
        false => Log::new(state)?.number(tip)?,
    };
    let mut out = BTreeMap::new();
    let mut steps = None;
    for id in ids {
        let Some(number) = state.ids.find(id.to_bytes())?.filter(|number| *number <= newest) else { continue };
        let steps = match &steps {
            Some(steps) => steps,
            None => steps.insert(state.steps.whole()?),
        };
        out.insert(id.clone(), row(steps, number)?.commit);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> [u8; 16] {
        // Scattered, like ids from many machines.
        let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut out = [0; 16];
        out[..8].copy_from_slice(&mixed.to_be_bytes());
        out[8..].copy_from_slice(&n.to_be_bytes());
        out
    }

    #[test]
    fn ids_are_found_whatever_runs_they_lie_in() {
        let folder = tempfile::tempdir().unwrap();
        let mut ids = Ids::empty(folder.path());
        let mut next = 0;
        for size in [1, 1, 5, 300, 2, 900, 1, 1, 1, 128, 129, 40] {
            for _ in 0..size {
                ids.note(id(next), next);
                next += 1;
            }
            ids.settle(folder.path()).unwrap();
            ids.part.flush().unwrap();
        }
        assert!(ids.runs().len() < 8, "{:?}", ids.runs());
        for n in 0..next {
            assert_eq!(ids.find(id(n)).unwrap(), Some(n));
        }
        for n in next..next + 100 {
            assert_eq!(ids.find(id(n)).unwrap(), None);
        }
        let again = Ids::at(folder.path(), ids.part.extent(), ids.runs().to_vec());
        assert_eq!(again.find(id(7)).unwrap(), Some(7));
    }

    #[test]
    fn the_first_use_of_an_id_counts() {
        let folder = tempfile::tempdir().unwrap();
        let mut ids = Ids::empty(folder.path());
        (0..500).for_each(|n| ids.note(id(n), n));
        ids.settle(folder.path()).unwrap();
        ids.note(id(3), 900);
        ids.settle(folder.path()).unwrap();
        assert_eq!(ids.find(id(3)).unwrap(), Some(3));
    }

    #[test]
    fn what_was_merged_takes_no_room_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let mut ids = Ids::empty(folder.path());
        for n in 0..60_000 {
            ids.note(id(n), n);
            if n % 97 == 0 {
                ids.settle(folder.path()).unwrap();
            }
        }
        ids.settle(folder.path()).unwrap();
        let live: u64 = ids.runs().iter().map(|run| run.len()).sum();
        assert!(ids.part.extent().len <= 2 * live + SLACK);
        assert!((0..60_000).step_by(991).all(|n| ids.find(id(n)).unwrap() == Some(n)));
    }

    #[test]
    fn a_changed_block_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let mut ids = Ids::empty(folder.path());
        (0..300).for_each(|n| ids.note(id(n), n));
        ids.settle(folder.path()).unwrap();
        ids.part.flush().unwrap();
        let path = folder.path().join(ids.part.file_name().unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.iter_mut().skip(16).step_by(Row::SIZE).for_each(|b| *b ^= 1);
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(ids.find(id(1)), Err(Fault::Damaged(_))));
    }
}
