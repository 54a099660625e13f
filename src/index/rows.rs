//! Models and versions for searches: in chunks of a hundred versions of a model, with a directory of the chunks'
//! positions.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use serde::{Deserialize, Serialize};

use super::error::{Fault, damaged};
use super::record::{RowBuffer, take};
use crate::entity::{Model, Tags, Version};
use crate::name::AliasName;
use crate::search;
use crate::snapshot::ModelView;
use crate::stage::Stage;
use crate::time::Timestamp;
use crate::tree::TreeError;

/// The longest description in a row, in bytes; a longer one is read from the registry when it is shown.
pub const MAX_DESCRIPTION: usize = 256;

/// The longest parameters and metrics in a row, in bytes; longer ones are read from the registry when a filter needs
/// them.
const MAX_EVIDENCE: usize = 2048;

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag<'a> {
    /// The key of the tag.
    #[serde(borrow)]
    pub key: Cow<'a, str>,
    /// The value of the tag.
    #[serde(borrow)]
    pub value: Cow<'a, str>,
}

impl Tag<'_> {
    fn all(tags: &Tags) -> Vec<Self> {
        let owned = |s: &str| Cow::Owned(s.to_owned());
        tags.iter().map(|(k, v)| Tag { key: owned(k.as_str()), value: owned(v.as_str()) }).collect()
    }

    fn into_owned(self) -> Tag<'static> {
        Tag { key: own(self.key), value: own(self.value) }
    }
}

/// An alias of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias<'a> {
    /// The name of the alias.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// The version that the alias points to.
    pub version: u64,
}

/// A registered model in a search result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRow<'a> {
    /// The name of the model.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// The time of registration, in milliseconds.
    pub created: i64,
    /// The time of the last change that counts (see `index::effect`), in milliseconds.
    pub updated: i64,
    /// The description; empty if it is longer than [`MAX_DESCRIPTION`].
    #[serde(borrow)]
    pub description: Cow<'a, str>,
    /// Whether the description is too long for a row.
    pub is_long: bool,
    /// The tags of the model.
    #[serde(borrow)]
    pub tags: Vec<Tag<'a>>,
    /// The aliases of the model.
    #[serde(borrow)]
    pub aliases: Vec<Alias<'a>>,
    /// The stages that versions of the model are in, except `None`, one per line.
    #[serde(borrow)]
    pub stages: Cow<'a, str>,
}

impl ModelRow<'_> {
    /// Creates the row of a model whose last known change was at `bumped`.
    pub(super) fn of(model: &Model, view: &ModelView<'_>, bumped: Option<i64>) -> Result<ModelRow<'static>, TreeError> {
        let alias = |(name, version): (AliasName, u64)| Alias { name: Cow::Owned(name.to_string()), version };
        Ok(ModelRow {
            name: Cow::Owned(model.name.as_str().to_owned()),
            created: model.created_at.as_millis(),
            updated: model.created_at.as_millis().max(bumped.unwrap_or(i64::MIN)),
            is_long: short(&model.description).is_none(),
            description: Cow::Owned(short(&model.description).unwrap_or_default()),
            tags: Tag::all(&model.tags),
            aliases: aliases(view)?.into_iter().map(alias).collect(),
            stages: Cow::Owned(stages(view)?.join("\n")),
        })
    }

    pub(super) fn into_owned(self) -> ModelRow<'static> {
        let alias = |a: Alias<'_>| Alias { name: own(a.name), ..a };
        ModelRow {
            name: own(self.name),
            description: own(self.description),
            stages: own(self.stages),
            tags: self.tags.into_iter().map(Tag::into_owned).collect(),
            aliases: self.aliases.into_iter().map(alias).collect(),
            ..self
        }
    }
}

/// Returns the aliases of a model, as far as their files are readable.
fn aliases(view: &ModelView<'_>) -> Result<Vec<(AliasName, u64)>, TreeError> {
    Ok(view.aliases()?.into_iter().filter_map(|(name, file)| Some((name, file.value?.version))).collect())
}

/// Returns the stages that versions of a model are in, according to the stage files.
fn stages(view: &ModelView<'_>) -> Result<Vec<String>, TreeError> {
    let occupied = |(stage, file): (Stage, crate::snapshot::File<_>)| {
        let pointer: crate::entity::StagePointer = file.value?;
        (!pointer.versions.is_empty()).then(|| stage.as_str().to_owned())
    };
    Ok(view.stages()?.into_iter().filter_map(occupied).collect())
}

/// Returns a description if it fits into a row.
fn short(description: &crate::text::Text) -> Option<String> {
    Some(description.as_str()).filter(|d| d.len() <= MAX_DESCRIPTION).map(str::to_owned)
}

/// A version as its chunk stores it: without the name of its model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionFacts<'a> {
    /// The version number.
    pub number: u64,
    /// The time of registration, in milliseconds.
    pub created: i64,
    /// The time of the last change that counts (see `index::effect`), in milliseconds.
    pub updated: i64,
    /// The person who registered the version.
    #[serde(borrow)]
    pub created_by: Cow<'a, str>,
    /// The stage of the version.
    #[serde(borrow)]
    pub stage: Cow<'a, str>,
    /// Whether the version is ready, in MLflow's words.
    #[serde(borrow)]
    pub status: Cow<'a, str>,
    /// Why the version is not ready.
    #[serde(borrow)]
    pub status_message: Cow<'a, str>,
    /// The description; `None` if it is longer than [`MAX_DESCRIPTION`].
    pub description: Option<String>,
    /// The source as it was registered.
    #[serde(borrow)]
    pub source: Cow<'a, str>,
    /// The id of the run that created the version.
    #[serde(borrow)]
    pub run_id: Cow<'a, str>,
    /// A link to the run.
    #[serde(borrow)]
    pub run_link: Cow<'a, str>,
    /// The id of the MLflow logged model.
    #[serde(borrow)]
    pub model_id: Cow<'a, str>,
    /// Whether the version's files are in the registry.
    pub has_files: bool,
    /// The location of the files, if the source refers to another version.
    #[serde(borrow)]
    pub location: Cow<'a, str>,
    /// The tags of the version.
    #[serde(borrow)]
    pub tags: Vec<Tag<'a>>,
    /// The parameters and metrics, which are decoded when a filter needs them; `None` if they are too long for a row.
    #[serde(borrow)]
    pub evidence: Option<Evidence<'a>>,
}

/// Pairs of key and value.
type Pairs<'a, V> = Vec<(&'a str, V)>;

/// The parameters and metrics of a version in a compact encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence<'a>(#[serde(borrow)] Cow<'a, [u8]>);

impl Evidence<'_> {
    /// Encodes the parameters and metrics of a version.
    pub fn of(version: &Version) -> Evidence<'static> {
        let params = version.params.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>();
        let metrics = version.metrics.iter().map(|(k, v)| (k.as_str(), v.value())).collect::<Vec<_>>();
        if params.is_empty() && metrics.is_empty() {
            return Evidence(Cow::Borrowed(&[]));
        }
        // Strings and numbers can always be encoded.
        Evidence(Cow::Owned(postcard::to_stdvec(&(params, metrics)).unwrap_or_default()))
    }

    fn read(&self) -> (Pairs<'_, &str>, Pairs<'_, f64>) {
        if self.0.is_empty() { Default::default() } else { postcard::from_bytes(&self.0).unwrap_or_default() }
    }

    /// Returns the value of a parameter.
    pub fn param(&self, key: &str) -> search::Fact<&str> {
        let found = self.read().0.into_iter().find(|(k, _)| *k == key);
        found.map_or(search::Fact::Absent, |(_, value)| search::Fact::Known(value))
    }

    /// Returns the value of a metric.
    pub fn metric(&self, key: &str) -> search::Fact<f64> {
        let found = self.read().1.into_iter().find(|(k, _)| *k == key);
        found.map_or(search::Fact::Absent, |(_, value)| search::Fact::Known(value))
    }

    fn into_owned(self) -> Evidence<'static> {
        Evidence(Cow::Owned(self.0.into_owned()))
    }
}

impl VersionFacts<'_> {
    /// Creates the facts of a version whose last known change was at `bumped`.
    pub fn of(number: u64, version: &Version, stage: &Stage, bumped: Option<i64>) -> VersionFacts<'static> {
        let owned = |s: &str| Cow::Owned(s.to_owned());
        let evidence = Some(Evidence::of(version)).filter(|e| e.0.len() <= MAX_EVIDENCE);
        VersionFacts {
            number,
            created: version.created_at.as_millis(),
            updated: version.created_at.as_millis().max(bumped.unwrap_or(i64::MIN)),
            created_by: owned(version.created_by.as_str()),
            stage: owned(stage.as_str()),
            status: Cow::Borrowed(version.status.as_str()),
            status_message: owned(version.status_message.as_str()),
            description: short(&version.description),
            source: owned(version.source.uri.as_str()),
            run_id: owned(version.source.run_id.as_str()),
            run_link: owned(version.source.run_link.as_str()),
            model_id: owned(version.source.model_id.as_str()),
            has_files: version.artifacts.is_some(),
            location: owned(version.source.location.as_str()),
            tags: Tag::all(&version.tags),
            evidence,
        }
    }

    /// Adds the values that the row leaves out because they are too long.
    pub fn complete(&mut self, version: &Version) {
        self.description = Some(version.description.as_str().to_owned());
        self.evidence = Some(Evidence::of(version));
    }

    /// Returns the value of a parameter.
    pub fn param(&self, key: &str) -> search::Fact<&str> {
        self.evidence.as_ref().map_or(search::Fact::Unknown, |e| e.param(key))
    }

    /// Returns the value of a metric.
    pub fn metric(&self, key: &str) -> search::Fact<f64> {
        self.evidence.as_ref().map_or(search::Fact::Unknown, |e| e.metric(key))
    }

    pub(super) fn into_owned(self) -> VersionFacts<'static> {
        VersionFacts {
            created_by: own(self.created_by),
            stage: own(self.stage),
            status: own(self.status),
            status_message: own(self.status_message),
            source: own(self.source),
            run_id: own(self.run_id),
            run_link: own(self.run_link),
            model_id: own(self.model_id),
            location: own(self.location),
            tags: self.tags.into_iter().map(Tag::into_owned).collect(),
            evidence: self.evidence.map(Evidence::into_owned),
            ..self
        }
    }
}

/// A version in a search result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow<'a> {
    /// The name of the model.
    pub model: Cow<'a, str>,
    /// The facts of the version.
    pub facts: VersionFacts<'a>,
    /// Whether the model is a prompt.
    pub of_prompt: bool,
    /// The aliases of the version, if the filter needs them.
    pub aliases: Vec<String>,
}

impl VersionRow<'_> {
    pub(super) fn into_owned(self) -> VersionRow<'static> {
        VersionRow { model: own(self.model), facts: self.facts.into_owned(), ..self }
    }
}

impl search::ModelRow for ModelRow<'_> {
    fn name(&self) -> &str {
        &self.name
    }
    fn last_updated(&self) -> Timestamp {
        Timestamp::from_millis(self.updated)
    }
    fn tag(&self, key: &str) -> Option<&str> {
        tag(&self.tags, key)
    }
    fn created(&self) -> Timestamp {
        Timestamp::from_millis(self.created)
    }
    fn description(&self) -> search::Fact<&str> {
        if self.is_long { search::Fact::Unknown } else { search::Fact::Known(&self.description) }
    }
    fn each_alias(&self, see: &mut dyn FnMut(&str)) {
        self.aliases.iter().for_each(|a| see(&a.name));
    }
    fn each_stage(&self, see: &mut dyn FnMut(&str)) {
        self.stages.lines().for_each(see);
    }
}

impl search::VersionRow for VersionRow<'_> {
    fn name(&self) -> &str {
        &self.model
    }
    fn number(&self) -> u64 {
        self.facts.number
    }
    fn run_id(&self) -> &str {
        &self.facts.run_id
    }
    fn source_path(&self) -> &str {
        &self.facts.source
    }
    fn created(&self) -> Timestamp {
        Timestamp::from_millis(self.facts.created)
    }
    fn last_updated(&self) -> Timestamp {
        Timestamp::from_millis(self.facts.updated)
    }
    fn tag(&self, key: &str) -> Option<&str> {
        tag(&self.facts.tags, key)
    }
    fn is_of_prompt(&self) -> bool {
        self.of_prompt
    }
    fn stage(&self) -> &str {
        &self.facts.stage
    }
    fn description(&self) -> search::Fact<&str> {
        self.facts.description.as_deref().map_or(search::Fact::Unknown, search::Fact::Known)
    }
    fn each_alias(&self, see: &mut dyn FnMut(&str)) {
        self.aliases.iter().for_each(|a| see(a));
    }
    fn param(&self, key: &str) -> search::Fact<&str> {
        self.facts.param(key)
    }
    fn metric(&self, key: &str) -> search::Fact<f64> {
        self.facts.metric(key)
    }
}

fn tag<'t>(tags: &'t [Tag<'_>], key: &str) -> Option<&'t str> {
    tags.iter().find(|t| t.key == key).map(|t| t.value.as_ref())
}

fn own(s: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(s.into_owned())
}

/// The versions of one model within one hundred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Versions<'a> {
    #[serde(borrow)]
    pub(super) model: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) rows: Vec<VersionFacts<'a>>,
}

impl<'a> Versions<'a> {
    /// Decodes a chunk.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, Fault> {
        postcard::from_bytes(bytes).map_err(|e| damaged(format!("versions cannot be read: {e}")))
    }

    /// Whether one of the versions makes the model a prompt.
    fn has_prompt(&self) -> bool {
        self.rows.iter().any(|r| tag(&r.tags, search::IS_PROMPT) == Some("true"))
    }
}

impl<'a> ModelRow<'a> {
    /// Decodes a chunk.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, Fault> {
        postcard::from_bytes(bytes).map_err(|e| damaged(format!("a model cannot be read: {e}")))
    }
}

/// The key of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ChunkKey {
    /// The key of the model.
    pub(super) model: [u8; 16],
    /// The hundred of the versions; [`Self::MODEL`] for the model's own row.
    pub(super) hundred: u64,
}

impl ChunkKey {
    /// The value of `hundred` for the chunk with the model's own row.
    pub(super) const MODEL: u64 = u64::MAX;

    /// Returns the hundred of a version.
    pub(super) const fn hundred(number: u64) -> u64 {
        number / 100
    }
}

/// An encoded chunk without a position yet. Without bytes, it removes the chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) key: ChunkKey,
    pub(super) bytes: Vec<u8>,
    pub(super) of_prompt: bool,
}

impl Chunk {
    /// Removes a chunk.
    pub(super) fn gone(key: ChunkKey) -> Self {
        Self { key, bytes: Vec::new(), of_prompt: false }
    }

    /// Encodes the chunk with a model's own row.
    pub(super) fn model(model: [u8; 16], row: &ModelRow<'_>) -> Result<Self, Fault> {
        let key = ChunkKey { model, hundred: ChunkKey::MODEL };
        Ok(Self { key, bytes: encode(row)?, of_prompt: false })
    }

    /// Encodes a chunk of versions; without versions the chunk is removed.
    pub(super) fn versions(key: ChunkKey, versions: &Versions<'_>) -> Result<Self, Fault> {
        if versions.rows.is_empty() {
            return Ok(Self::gone(key));
        }
        Ok(Self { key, bytes: encode(versions)?, of_prompt: versions.has_prompt() })
    }
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, Fault> {
    postcard::to_stdvec(value).map_err(|e| damaged(format!("rows cannot be written: {e}")))
}

/// The position of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkLocation {
    pub(super) at: u64,
    /// The length of the chunk; 0 if the chunk was removed.
    pub(super) len: u32,
    pub(super) crc: u32,
    pub(super) of_prompt: bool,
}

/// The size of a row of the directory, in bytes.
pub(super) const DIRECTORY_ROW: usize = 41;

/// Encodes a row of the directory.
pub(super) fn directory_row(key: ChunkKey, place: ChunkLocation) -> [u8; DIRECTORY_ROW] {
    let mut out = RowBuffer::new();
    out.put(&key.model);
    out.put(&key.hundred.to_le_bytes());
    out.put(&place.at.to_le_bytes());
    out.put(&place.len.to_le_bytes());
    out.put(&place.crc.to_le_bytes());
    out.put(&[u8::from(place.of_prompt)]);
    out.done()
}

fn read_row(mut row: &[u8]) -> Option<(ChunkKey, ChunkLocation)> {
    let key = ChunkKey { model: take(&mut row)?, hundred: u64::from_le_bytes(take(&mut row)?) };
    let place = ChunkLocation {
        at: u64::from_le_bytes(take(&mut row)?),
        len: u32::from_le_bytes(take(&mut row)?),
        crc: u32::from_le_bytes(take(&mut row)?),
        of_prompt: take::<1>(&mut row)? != [0],
    };
    Some((key, place))
}

/// The positions of all valid chunks.
pub(super) type Directory = HashMap<ChunkKey, ChunkLocation, BuildHasherDefault<KeyHasher>>;

/// Decodes the whole directory; a later row of a chunk replaces an earlier one.
pub(super) fn directory(part: &[u8]) -> Result<Directory, Fault> {
    let rows = part.chunks_exact(DIRECTORY_ROW);
    if !rows.remainder().is_empty() {
        return Err(damaged("the directory ends within a row"));
    }
    let mut out = Directory::with_capacity_and_hasher(rows.len(), BuildHasherDefault::default());
    for row in rows {
        let (key, place) = read_row(row).ok_or_else(|| damaged("the directory cannot be read"))?;
        if place.len == 0 {
            out.remove(&key);
        } else {
            out.insert(key, place);
        }
    }
    Ok(out)
}

/// A hasher that does not mix: keys start with a cryptographic hash.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        let first = bytes.first_chunk::<8>().map_or(bytes.len() as u64, |b| u64::from_le_bytes(*b));
        self.0 = (self.0 ^ first).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0 ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::record::key;

    fn facts(number: u64, tags: &[(&'static str, &'static str)]) -> VersionFacts<'static> {
        let tags = tags.iter().map(|(k, v)| Tag { key: (*k).into(), value: (*v).into() }).collect();
        VersionFacts {
            number,
            created: 1,
            updated: 2,
            created_by: "alice".into(),
            stage: "None".into(),
            status: "READY".into(),
            status_message: "".into(),
            description: Some("first".to_owned()),
            source: "s3://b".into(),
            run_id: "r".into(),
            run_link: "".into(),
            model_id: "".into(),
            has_files: false,
            location: "".into(),
            tags,
            evidence: None,
        }
    }

    #[test]
    fn chunks_read_back_and_know_prompts() {
        let rows = vec![facts(1, &[]), facts(2, &[(search::IS_PROMPT, "true")])];
        let versions = Versions { model: "churn".into(), rows };
        let chunk = Chunk::versions(ChunkKey { model: key("churn"), hundred: 0 }, &versions).ok().unwrap();
        assert!(chunk.of_prompt);
        assert_eq!(Versions::decode(&chunk.bytes).ok(), Some(versions));
        assert!(Versions::decode(&chunk.bytes[..chunk.bytes.len() - 1]).is_err());
    }

    #[test]
    fn the_last_row_of_a_chunk_counts() {
        let key = ChunkKey { model: key("churn"), hundred: 3 };
        let other = ChunkKey { hundred: ChunkKey::MODEL, ..key };
        let place = |at, len| ChunkLocation { at, len, crc: 7, of_prompt: false };
        let rows = [(key, place(0, 5)), (other, place(5, 5)), (key, place(10, 6)), (other, place(0, 0))];
        let part: Vec<u8> = rows.iter().flat_map(|(k, p)| directory_row(*k, *p)).collect();
        let read = directory(&part).ok().unwrap();
        assert_eq!(read.get(&key), Some(&place(10, 6)));
        assert_eq!(read.get(&other), None);
        assert!(directory(&part[1..]).is_err());
    }
}
