//! Searches: the rows that match a query, read chunk by chunk.

use std::collections::HashMap;
use std::thread;

use super::error::Fault;
use super::head::LoadedIndex;
use super::rows::{self, Alias, ChunkKey, ChunkLocation, ModelRow, VersionRow, Versions};
use super::{Index, IndexError};
use crate::search::{Models, PageSize, Query, ResultPage};
use crate::tree::Oid;

/// The number of bytes that are read at once.
const WINDOW: u64 = 1 << 20;

/// The size of rows that is worth a second thread, in bytes.
const MUCH: u64 = 4 << 20;

impl Index<'_> {
    /// Searches models and returns a page of the matches, sorted.
    ///
    /// # Errors
    /// [`IndexError`] if the index can neither be read nor built.
    pub fn search_models(
        &mut self,
        query: &Query<Models>,
        offset: usize,
        size: PageSize,
    ) -> Result<ResultPage<ModelRow<'static>>, IndexError> {
        let mut rows = self.ask(|state| {
            scan(
                state,
                |key| key.hundred == ChunkKey::MODEL,
                |_, bytes, out| {
                    let row = ModelRow::decode(bytes)?;
                    if query.filter.matches(&row) {
                        out.push(row.into_owned());
                    }
                    Ok(())
                },
            )
        })?;
        if query.filter.asks_description() {
            self.complete_models(&mut rows)?;
        }
        Ok(query.page(rows, offset, size))
    }

    /// Searches versions and returns a page of the matches, sorted.
    ///
    /// # Errors
    /// [`IndexError`] if the index can neither be read nor built.
    pub fn search_versions(
        &mut self,
        query: &Query<crate::search::Versions>,
        offset: usize,
        size: PageSize,
    ) -> Result<ResultPage<VersionRow<'static>>, IndexError> {
        let aliases = if query.filter.asks_aliases() { self.aliases()? } else { HashMap::new() };
        let mut rows = self.ask(|state| {
            scan(
                state,
                |key| key.hundred != ChunkKey::MODEL,
                |of_prompt, bytes, out| {
                    let versions = Versions::decode(bytes)?;
                    let of_model = aliases.get(versions.model.as_ref()).map_or(&[][..], Vec::as_slice);
                    for facts in versions.rows {
                        let own = of_model.iter().filter(|a| a.version == facts.number);
                        let aliases = own.map(|a| a.name.as_ref().to_owned()).collect();
                        let row = VersionRow { model: versions.model.as_ref().into(), facts, of_prompt, aliases };
                        if query.filter.matches(&row) {
                            out.push(row.into_owned());
                        }
                    }
                    Ok(())
                },
            )
        })?;
        if query.filter.asks_details() {
            self.complete_versions(&mut rows)?;
        }
        Ok(query.page(rows, offset, size))
    }

    /// Returns the aliases of all models that have any, by model name.
    fn aliases(&mut self) -> Result<HashMap<String, Vec<Alias<'static>>>, IndexError> {
        let rows = self.ask(|state| {
            let is_model = |key: &ChunkKey| key.hundred == ChunkKey::MODEL;
            scan(state, is_model, |_, bytes, out| {
                let row = ModelRow::decode(bytes)?;
                if !row.aliases.is_empty() {
                    out.push(row.into_owned());
                }
                Ok(())
            })
        })?;
        Ok(rows.into_iter().map(|row| (row.name.into_owned(), row.aliases)).collect())
    }

    /// Reads the descriptions that are too long for a row.
    fn complete_models(&self, rows: &mut [ModelRow<'static>]) -> Result<(), IndexError> {
        let snapshot = self.registry.snapshot_of(self.tip())?;
        for row in rows.iter_mut().filter(|r| r.is_long) {
            let Ok(name) = row.name.parse() else { continue };
            let file = snapshot.model(&name)?.map_or(Ok(None), |v| v.file())?.and_then(|f| f.value);
            row.description = file.map_or_else(String::new, |m| m.description.as_str().to_owned()).into();
            row.is_long = false;
        }
        Ok(())
    }

    /// Reads the descriptions, parameters and metrics that are too long for a row.
    fn complete_versions(&self, rows: &mut [VersionRow<'static>]) -> Result<(), IndexError> {
        let snapshot = self.registry.snapshot_of(self.tip())?;
        for row in rows.iter_mut().filter(|r| r.facts.description.is_none() || r.facts.evidence.is_none()) {
            let Ok(name) = row.model.parse() else { continue };
            let Some(view) = snapshot.model(&name)? else { continue };
            let file = view.version(row.facts.number)?.map_or(Ok(None), |v| v.file())?.and_then(|f| f.value);
            if let Some(version) = file {
                row.facts.complete(&version);
            }
        }
        Ok(())
    }

    /// Returns all models and all versions.
    ///
    /// # Errors
    /// [`IndexError`] if the index can neither be read nor built.
    pub fn rows(&mut self) -> Result<(Vec<ModelRow<'static>>, Vec<VersionRow<'static>>), IndexError> {
        let models = self.ask(|state| {
            let is_model = |key: &ChunkKey| key.hundred == ChunkKey::MODEL;
            scan(state, is_model, |_, bytes, out| {
                out.push(ModelRow::decode(bytes)?.into_owned());
                Ok(())
            })
        })?;
        let versions = self.ask(|state| {
            let is_version = |key: &ChunkKey| key.hundred != ChunkKey::MODEL;
            scan(state, is_version, |of_prompt, bytes, out| {
                let versions = Versions::decode(bytes)?;
                let row =
                    |facts| VersionRow { model: versions.model.as_ref().into(), facts, of_prompt, aliases: Vec::new() };
                out.extend(versions.rows.into_iter().map(|facts| row(facts).into_owned()));
                Ok(())
            })
        })?;
        Ok((models, versions))
    }

    /// Checks that results refer to the same commit as an earlier page.
    ///
    /// # Errors
    /// [`IndexError::Moved`] if the registry changed since then.
    pub fn expect(&self, commit: Option<&str>) -> Result<(), IndexError> {
        let now = self.tip().as_ref().map(Oid::to_string).unwrap_or_default();
        if commit.is_none_or(|then| then == now) { Ok(()) } else { Err(IndexError::Moved) }
    }
}

/// A function that processes a chunk: whether its model is a prompt, its bytes, and the list for results.
trait ChunkScan<R>: Fn(bool, &[u8], &mut Vec<R>) -> Result<(), Fault> + Sync {}
impl<R, F: Fn(bool, &[u8], &mut Vec<R>) -> Result<(), Fault> + Sync> ChunkScan<R> for F {}

/// Processes all chunks of a kind, on two threads if there is much data.
fn scan<R: Send>(
    state: &LoadedIndex,
    of_kind: impl Fn(&ChunkKey) -> bool,
    look: impl ChunkScan<R>,
) -> Result<Vec<R>, Fault> {
    if state.tip.is_none() {
        return Ok(Vec::new());
    }
    let directory = rows::directory(&state.directory.whole()?)?;
    let prompts: std::collections::HashSet<[u8; 16]> =
        directory.iter().filter(|(_, p)| p.of_prompt).map(|(k, _)| k.model).collect();
    let of_prompt = |key: &ChunkKey| !prompts.is_empty() && prompts.contains(&key.model);
    let places =
        directory.iter().filter(|(k, _)| of_kind(k)).map(|(k, p)| ChunkLocation { of_prompt: of_prompt(k), ..*p });
    let mut places: Vec<ChunkLocation> = places.collect();
    places.sort_unstable_by_key(|p| p.at);
    let bytes: u64 = places.iter().map(|p| u64::from(p.len)).sum();
    if bytes < MUCH {
        return some(state, &places, &look);
    }
    let (first, second) = places.split_at(places.len() / 2);
    thread::scope(|scope| {
        let other = scope.spawn(|| some(state, second, &look));
        let mut out = some(state, first, &look)?;
        match other.join() {
            Ok(rest) => out.extend(rest?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        Ok(out)
    })
}

/// Processes chunks that are sorted by position; adjacent chunks are read at once.
fn some<R>(state: &LoadedIndex, places: &[ChunkLocation], look: &impl ChunkScan<R>) -> Result<Vec<R>, Fault> {
    let mut reader = state.rows.reader()?;
    let (mut window, mut out) = (Vec::new(), Vec::new());
    let mut rest = places;
    while let Some(first) = rest.first() {
        let near = rest.iter().take_while(|p| p.at + u64::from(p.len) - first.at <= WINDOW).count().max(1);
        let (now, later) = rest.split_at(near);
        let end = now.last().map_or(0, |p| p.at + u64::from(p.len));
        reader.read(first.at, usize::try_from(end - first.at).unwrap_or(usize::MAX), &mut window)?;
        for place in now {
            let from = usize::try_from(place.at - first.at).unwrap_or(usize::MAX);
            let chunk = window.get(from..from.saturating_add(place.len as usize)).unwrap_or_default();
            if crc32fast::hash(chunk) != place.crc {
                return Err(super::error::damaged(format!("the rows at {} do not match their checksum", place.at)));
            }
            look(place.of_prompt, chunk, &mut out)?;
        }
        rest = later;
    }
    Ok(out)
}
