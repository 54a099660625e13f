//! Builds the index: steps of the history become records, and the registry at a commit becomes rows. Large jobs use all
//! cores. They are processed block by block and their results are taken in order, so memory does not grow with the
//! history.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;

use super::effect::{Effect, ModelChange, effects};
use super::error::{Fault, damaged};
use super::head::LoadedIndex;
use super::part::IndexPartReader;
use super::record::{CommitRecord, Posting, key_of};
use super::rows::{Chunk, ChunkKey, Directory, ModelRow, VersionFacts, Versions};
use crate::event::Event;
use crate::format::path::{Location, ModelDir};
use crate::git::{Repo, Step};
use crate::name::Id;
use crate::name::ModelName;
use crate::registry::Registry;
use crate::rules::{holder_marks, secret_marks};
use crate::snapshot::{Snapshot, VersionView};
use crate::tree::Oid;

/// The smallest number of jobs that is worth threads.
const MANY: usize = 4;

/// The largest number of threads.
const THREADS: usize = 8;

/// Runs the jobs, each with its thread's own registry, and takes their results in order.
pub(super) fn in_order<J: Sync, R: Send>(
    registry: &Registry,
    jobs: &[J],
    work: impl Fn(&Registry, &J) -> Result<R, Fault> + Sync,
    mut take: impl FnMut(R) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get).min(THREADS);
    if jobs.len() < MANY || threads < 2 {
        return jobs.iter().try_for_each(|job| take(work(registry, job)?));
    }
    let (git_dir, at, work) = (registry.repo().git_dir(), registry.at(), &work);
    thread::scope(|scope| {
        let results: Vec<_> = (0..threads)
            .map(|thread| {
                let (send, receive) = mpsc::sync_channel::<Result<R, Fault>>(2);
                scope.spawn(move || {
                    let repo = Repo::open_beside(git_dir).map_err(Fault::from);
                    let own = match repo.and_then(|r| Ok(Registry::with(r, at)?)) {
                        Ok(own) => own,
                        Err(e) => return drop(send.send(Err(e))),
                    };
                    for job in jobs.iter().skip(thread).step_by(threads) {
                        // Once another job has failed, the receiver is gone.
                        if send.send(work(&own, job)).is_err() {
                            return;
                        }
                    }
                });
                receive
            })
            .collect();
        for (_, receive) in jobs.iter().zip(results.iter().cycle()) {
            take(receive.recv().map_err(|_| damaged("a thread that built it ended"))??)?;
        }
        Ok(())
    })
}

/// A range of steps and the root tree before the first one.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepRange<'s> {
    pub(super) before: Option<Oid>,
    pub(super) steps: &'s [Step],
}

impl<'s> StepRange<'s> {
    /// Splits steps, oldest first, into blocks.
    pub(super) fn cut(steps: &'s [Step], before: Option<Oid>, size: usize) -> Vec<Self> {
        let befores = [before].into_iter().chain(steps.chunks(size).map(|block| block.last().map(|s| s.tree)));
        befores.zip(steps.chunks(size)).map(|(before, steps)| StepRange { before, steps }).collect()
    }
}

/// The records of a block.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    /// The commits with their own times, and length and checksum of each record.
    pub(super) steps: Vec<(Step, u32, u32)>,
    /// The concatenated records.
    pub(super) records: Vec<u8>,
    /// The postings; numbers count from the block's first step.
    pub(super) postings: Vec<Posting>,
    /// The new ids; numbers count from the block's first step.
    pub(super) ids: Vec<([u8; 16], u64)>,
    /// The effects on the rows, each with the index of its step in `steps`.
    pub(super) effects: Vec<(usize, Effect)>,
}

/// Returns the ids by which the index finds that a person was added or removed, or got an address or login, and
/// that a webhook used a secret.
fn marks(event: &Event) -> Vec<Id> {
    let mut out = [holder_marks(event), secret_marks(event)].concat();
    match event {
        Event::PersonAdded { user, .. } => out.push(user.arrival_mark()),
        Event::PersonRemoved { user, .. } => out.push(user.removal_mark()),
        _ => {}
    }
    out
}

/// Computes the events of each step of a block.
pub(super) fn encode(registry: &Registry, block: &StepRange<'_>) -> Result<Encoded, Fault> {
    let mut out = Encoded::default();
    let mut before = block.before;
    for (number, step) in block.steps.iter().enumerate() {
        let entry = registry.step_between(step.commit, before, step.tree)?;
        before = Some(step.tree);
        let record = CommitRecord::of(&entry);
        let bytes = record.encode()?;
        let len =
            u32::try_from(bytes.len()).map_err(|_| damaged("a commit has more changes than a record can hold"))?;
        out.steps.push((Step { time: entry.at, ..*step }, len, crc32fast::hash(&bytes)));
        out.records.extend_from_slice(&bytes);
        out.postings.extend(record.postings(number as u64));
        out.ids.extend(entry.events.iter().filter_map(Event::new_id).map(|id| (id.to_bytes(), number as u64)));
        out.ids.extend(entry.events.iter().flat_map(marks).map(|id| (id.to_bytes(), number as u64)));
        if entry.events.is_empty() {
            continue;
        }
        let state = registry.snapshot_in(before)?;
        let layout = state.layout()?;
        let place = |path: &str| Location::parse(path.strip_prefix(state.at())?, layout).ok();
        let effects = entry.events.iter().flat_map(|e| effects(e, entry.at.as_millis(), place));
        out.effects.extend(effects.map(|e| (number, e)));
    }
    Ok(out)
}

/// The chunks of an existing index.
pub(super) struct StoredChunks<'s> {
    rows: IndexPartReader<'s>,
    directory: &'s Directory,
}

impl<'s> StoredChunks<'s> {
    /// Opens the chunks of an index.
    pub(super) fn of(state: &'s LoadedIndex, directory: &'s Directory) -> Result<Self, Fault> {
        Ok(Self { rows: state.rows.reader()?, directory })
    }

    /// Returns the chunks of a model. Searches the whole directory.
    fn of_model(&self, model: [u8; 16]) -> Vec<ChunkKey> {
        let mut out: Vec<_> = self.directory.keys().filter(|k| k.model == model).copied().collect();
        out.sort_unstable();
        out
    }

    fn read(&mut self, key: ChunkKey) -> Result<Option<Vec<u8>>, Fault> {
        let Some(place) = self.directory.get(&key) else { return Ok(None) };
        let mut bytes = Vec::new();
        self.rows.checked(place.at, place.len, place.crc, &mut bytes)?;
        Ok(Some(bytes))
    }
}

/// Returns the chunks of a model that differ from the stored ones; all of them if nothing is stored.
pub(super) fn chunks(
    snapshot: &Snapshot<'_>,
    name: &ModelName,
    change: &ModelChange,
    mut stored: Option<&mut StoredChunks<'_>>,
) -> Result<Vec<Chunk>, Fault> {
    let key = key_of(name);
    let view = snapshot.model(name)?;
    let file = view.as_ref().map_or(Ok(None), |v| v.file())?.and_then(|f| f.value);
    // Folders that the rules refuse have no rows: a folder without a model's file, or with a file that cannot be read
    // or that names another model.
    let found = view.zip(file.filter(|m| m.name == *name));
    let mut out = Vec::new();
    if change.fresh || found.is_none() {
        out.extend(stored.as_ref().map_or_else(Vec::new, |s| s.of_model(key)).into_iter().map(Chunk::gone));
        stored = None;
    }
    let Some((view, model)) = found else { return Ok(out) };
    let of_model = ChunkKey { model: key, hundred: ChunkKey::MODEL };
    let bytes = stored.as_mut().map(|s| s.read(of_model)).transpose()?.flatten();
    let known = bytes.as_deref().map(ModelRow::decode).transpose()?.map(|row| row.updated);
    out.push(Chunk::model(key, &ModelRow::of(&model, &view, change.changed.or(known))?)?);
    let touched: Vec<(u64, Option<VersionView<'_>>)> = if change.fresh || change.all.is_some() {
        view.versions()?.into_iter().map(|v| (v.number, Some(v))).collect()
    } else {
        let one = |n: &u64| Ok((*n, view.version(*n)?));
        change.versions.keys().map(one).collect::<Result<_, Fault>>()?
    };
    let stages = if touched.is_empty() { BTreeMap::new() } else { view.stage_map()? };
    for run in touched.chunk_by(|a, b| ChunkKey::hundred(a.0) == ChunkKey::hundred(b.0)) {
        let hundred = run.first().map_or(0, |(n, _)| ChunkKey::hundred(*n));
        let chunk_key = ChunkKey { model: key, hundred };
        let bytes = stored.as_mut().map(|s| s.read(chunk_key)).transpose()?.flatten();
        let known = bytes.as_deref().map(Versions::decode).transpose()?.map_or_else(Vec::new, |v| v.rows);
        let mut rows: BTreeMap<u64, VersionFacts<'_>> = known.into_iter().map(|r| (r.number, r)).collect();
        for (number, version) in run {
            let known = rows.remove(number).map(|r| r.updated);
            let version = version.as_ref().map_or(Ok(None), VersionView::file)?.and_then(|f| f.value);
            if let Some(version) = version {
                let stage = stages.get(number).unwrap_or(&crate::stage::Stage::None);
                let changed = change.version(*number).or(known);
                rows.insert(*number, VersionFacts::of(*number, &version, stage, changed));
            }
        }
        let versions = Versions { model: name.as_str().into(), rows: rows.into_values().collect() };
        out.push(Chunk::versions(chunk_key, &versions)?);
    }
    Ok(out)
}

/// Returns the names of all models that have rows.
pub(super) fn names(snapshot: &Snapshot<'_>) -> Result<Vec<ModelName>, Fault> {
    let mut out = Vec::new();
    for view in snapshot.models()? {
        let name = match view.dir.name() {
            Some(name) => Some(name),
            None => view.file()?.and_then(|f| f.value).map(|m| m.name).filter(|n| ModelDir::of(n) == view.dir),
        };
        out.extend(name);
    }
    Ok(out)
}
