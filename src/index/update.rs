//! Updates the index: adds the steps since it was written, or builds it from scratch.

use std::path::Path;

use super::BuildProgress;
use super::build::{self, StepRange, StoredChunks};
use super::effect::{Changes, ModelChange};
use super::error::Fault;
use super::head::{LoadedIndex, generation};
use super::part::IndexPart;
use super::record::{Posting, StepRow};
use super::rows::{self, Chunk, ChunkLocation, Directory, directory_row};
use crate::git::Step;
use crate::name::ModelName;
use crate::registry::Registry;
use crate::tree::Oid;

/// The number of steps in a block.
const STEPS: usize = 256;

/// The number of models that are processed at a time.
const MODELS: usize = 64;

/// The number of bytes in memory from which parts are written before the head.
const WAITING: usize = 16 << 20;

/// How many outdated bytes and chunks are kept, in addition to as many as are valid, before the rows are rewritten.
const SLACK: (u64, u64) = (1 << 20, 1000);

/// The target of an update.
pub(super) struct UpdateTarget<'a> {
    /// The folder of the index.
    pub(super) folder: &'a Path,
    /// Whether this process may write to the folder now.
    pub(super) locked: bool,
}

/// Updates an index to a commit of the first-parent history. If the last indexed commit is not in that history, or if
/// it is unknown which rows changed, the index is built from scratch.
///
/// After an error the state is invalid.
pub(super) fn catch_up(
    state: &mut LoadedIndex,
    registry: &Registry,
    tip: Oid,
    target: &UpdateTarget<'_>,
    progress: &mut dyn FnMut(BuildProgress),
) -> Result<(), Fault> {
    let (missing, is_known) = missing(registry, tip, state.tip)?;
    if !is_known {
        *state = LoadedIndex::empty(target.folder);
    }
    let before = match missing.first().and_then(|s| s.parent) {
        Some(parent) => Some(registry.repo().tree_of(&parent)?),
        None => None,
    };
    let from_nothing = state.tip.is_none();
    let mut bar = BuildProgress { done: 0, total: missing.len() as u64, what: "commits" };
    let mut changes = Changes::default();
    let blocks = StepRange::cut(&missing, before, STEPS);
    build::in_order(registry, &blocks, build::encode, |block| {
        bar.done += block.steps.len() as u64;
        append(state, block, &mut changes);
        if target.locked && state.unflushed() > WAITING {
            // If the disk is full, the data in memory remains usable; the final write reports the error.
            let _ = state.spill();
        }
        progress(bar);
        Ok(())
    })?;
    if changes.unknown && !from_nothing {
        *state = LoadedIndex::empty(target.folder);
        return catch_up(state, registry, tip, target, progress);
    }
    if from_nothing {
        all_rows(state, registry, tip, &changes, progress)?;
    } else {
        some_rows(state, registry, tip, &changes)?;
    }
    state.tip = Some(tip);
    state.ids.settle(target.folder)?;
    compact(state, target.folder)
}

/// Returns the steps after `known` up to `tip`, oldest first. If `known` is not in the history, returns all steps and
/// false.
fn missing(registry: &Registry, tip: Oid, known: Option<Oid>) -> Result<(Vec<Step>, bool), Fault> {
    let mut steps = Vec::new();
    for step in registry.repo().first_parents(tip)? {
        let step = step?;
        if Some(step.commit) == known {
            steps.reverse();
            return Ok((steps, true));
        }
        steps.push(step);
    }
    steps.reverse();
    Ok((steps, false))
}

/// Appends the records of a block.
fn append(state: &mut LoadedIndex, block: build::Encoded, changes: &mut Changes) {
    let mut at = state.records.push(&block.records);
    for posting in block.postings {
        state.postings.push(&Posting { number: posting.number + state.count, ..posting }.encode());
    }
    for (id, number) in block.ids {
        state.ids.note(id, number + state.count);
    }
    let mut effects = block.effects.into_iter().peekable();
    for (number, (step, len, crc)) in block.steps.into_iter().enumerate() {
        state.landed = state.landed.max(step.time.as_millis());
        while let Some((_, effect)) = effects.next_if(|(of, _)| *of == number) {
            changes.apply(effect.not_before(state.landed));
        }
        state.steps.push(&StepRow { commit: step.commit, landed: state.landed, at, len, crc }.encode());
        at += u64::from(len);
        state.count += 1;
    }
}

/// Writes the rows of all models as of the tip.
fn all_rows(
    state: &mut LoadedIndex,
    registry: &Registry,
    tip: Oid,
    changes: &Changes,
    progress: &mut dyn FnMut(BuildProgress),
) -> Result<(), Fault> {
    let root = registry.repo().tree_of(&tip)?;
    let names = build::names(&registry.snapshot_in(Some(root))?)?;
    let jobs: Vec<&[ModelName]> = names.chunks(MODELS).collect();
    let mut bar = BuildProgress { done: 0, total: names.len() as u64, what: "models" };
    let mut directory = Directory::default();
    let work = |registry: &Registry, names: &&[ModelName]| {
        let snapshot = registry.snapshot_in(Some(root))?;
        let mut out = Vec::new();
        for name in *names {
            let known = changes.models.get(name).cloned().unwrap_or_default();
            out.extend(build::chunks(&snapshot, name, &ModelChange { fresh: true, ..known }, None)?);
        }
        Ok((names.len(), out))
    };
    build::in_order(registry, &jobs, work, |(done, chunks)| {
        chunks.into_iter().for_each(|c| put(state, &mut directory, c));
        bar.done += done as u64;
        progress(bar);
        Ok(())
    })
}

/// Writes the changed rows.
fn some_rows(state: &mut LoadedIndex, registry: &Registry, tip: Oid, changes: &Changes) -> Result<(), Fault> {
    if changes.models.is_empty() {
        return Ok(());
    }
    let snapshot = registry.snapshot_of(Some(tip))?;
    let mut directory = rows::directory(&state.directory.whole()?)?;
    let mut new = Vec::new();
    let mut stored = StoredChunks::of(state, &directory)?;
    for (name, change) in &changes.models {
        new.extend(build::chunks(&snapshot, name, change, Some(&mut stored))?);
    }
    drop(stored);
    new.into_iter().for_each(|c| put(state, &mut directory, c));
    Ok(())
}

/// Replaces a chunk.
fn put(state: &mut LoadedIndex, directory: &mut Directory, chunk: Chunk) {
    let old = directory.remove(&chunk.key);
    if old.is_none() && chunk.bytes.is_empty() {
        return;
    }
    state.live_bytes = state.live_bytes.saturating_sub(old.map_or(0, |p| u64::from(p.len)));
    state.live_chunks = state.live_chunks.saturating_sub(u64::from(old.is_some()));
    // A chunk has at most a hundred versions of a few megabytes each.
    let len = u32::try_from(chunk.bytes.len()).unwrap_or(u32::MAX);
    let crc = crc32fast::hash(&chunk.bytes);
    let place = ChunkLocation { at: state.rows.push(&chunk.bytes), len, crc, of_prompt: chunk.of_prompt };
    state.directory.push(&directory_row(chunk.key, place));
    if len > 0 {
        directory.insert(chunk.key, place);
        state.live_bytes += u64::from(len);
        state.live_chunks += 1;
    }
}

/// Rewrites the rows when more of them are outdated than valid.
fn compact(state: &mut LoadedIndex, folder: &Path) -> Result<(), Fault> {
    let chunks = state.directory.extent().len / rows::DIRECTORY_ROW as u64;
    if state.rows.extent().len <= 2 * state.live_bytes + SLACK.0 && chunks <= 2 * state.live_chunks + SLACK.1 {
        return Ok(());
    }
    let directory = rows::directory(&state.directory.whole()?)?;
    let mut places: Vec<_> = directory.into_iter().collect();
    places.sort_unstable_by_key(|(key, _)| *key);
    let mut rows = IndexPart::empty(folder, "rows", generation());
    let mut new = IndexPart::empty(folder, "directory", generation());
    let mut reader = state.rows.reader()?;
    let mut bytes = Vec::new();
    for (key, place) in places {
        reader.checked(place.at, place.len, place.crc, &mut bytes)?;
        new.push(&directory_row(key, ChunkLocation { at: rows.push(&bytes), ..place }));
    }
    drop(reader);
    state.rows = rows;
    state.directory = new;
    Ok(())
}
