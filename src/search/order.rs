//! The order of the answer: a list of `key [ASC|DESC]`, with MLflow's defaults and tie-breaks.

use std::cmp::Ordering;

use super::error::{SearchError, at_most};
use super::group::{Piece, pieces};
use super::keys::bare_key;
use super::{ModelRow, Models, Target, VersionRow, Versions, python};

/// The most entries of an order, and the longest of them in bytes.
const MAX_ENTRIES: usize = 16;
const MAX_ENTRY: usize = 256;

/// An order of models ([`Models`]) or versions ([`Versions`]). It is total: rows compare as equal only if
/// they have the same name, and for versions the same number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order<T: Target> {
    keys: Vec<(T::Key, Direction)>,
}

/// From low to high or from high to low.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ascending,
    Descending,
}

impl Direction {
    const fn of(self, ordering: Ordering) -> Ordering {
        match self {
            Self::Ascending => ordering,
            Self::Descending => ordering.reverse(),
        }
    }
}

/// What models are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelKey {
    /// The name, byte by byte: upper case first.
    Name,
    /// When it last changed.
    LastUpdated,
}

/// What versions are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionKey {
    /// The model's name, byte by byte: upper case first.
    Name,
    /// The version's number.
    Number,
    /// When it was made.
    Created,
    /// When it last changed.
    LastUpdated,
}

impl Order<Models> {
    /// Reads an order of models: `name`, or `timestamp` which is also `last_updated_timestamp`. Without one,
    /// and among equals, by name.
    pub fn models(entries: &[String]) -> Result<Self, SearchError> {
        let mut order = Self::read(entries, |entry| match entry.bare_key().as_str() {
            "name" => Ok(ModelKey::Name),
            "timestamp" | "last_updated_timestamp" => Ok(ModelKey::LastUpdated),
            key => Err(SearchError::OrderKey { key: key.to_owned(), valid: "'{'timestamp', 'name'}'" }),
        })?;
        order.then(ModelKey::Name, Direction::Ascending);
        Ok(order)
    }

    /// Compares two models.
    pub fn compare(&self, a: &impl ModelRow, b: &impl ModelRow) -> Ordering {
        self.first_difference(|key| match key {
            ModelKey::Name => a.name().cmp(b.name()),
            ModelKey::LastUpdated => a.last_updated().cmp(&b.last_updated()),
        })
    }
}

impl Order<Versions> {
    /// Reads an order of versions: `name`, `version_number`, `creation_timestamp`, `last_updated_timestamp`,
    /// each also behind `attribute.`. Without one by last change, the latest first; among equals by name,
    /// and then by number, the highest first.
    pub fn versions(entries: &[String]) -> Result<Self, SearchError> {
        let mut order = Self::read(entries, |entry| version_key(&entry.key))?;
        if entries.is_empty() {
            order.then(VersionKey::LastUpdated, Direction::Descending);
        }
        order.then(VersionKey::Name, Direction::Ascending);
        order.then(VersionKey::Number, Direction::Descending);
        Ok(order)
    }

    /// Compares two versions.
    pub fn compare(&self, a: &impl VersionRow, b: &impl VersionRow) -> Ordering {
        self.first_difference(|key| match key {
            VersionKey::Name => a.name().cmp(b.name()),
            VersionKey::Number => a.number().cmp(&b.number()),
            VersionKey::Created => a.created().cmp(&b.created()),
            VersionKey::LastUpdated => a.last_updated().cmp(&b.last_updated()),
        })
    }
}

impl<T: Target> Order<T> {
    fn read(entries: &[String], key: impl Fn(&Entry) -> Result<T::Key, SearchError>) -> Result<Self, SearchError> {
        at_most(MAX_ENTRIES, "order_by", entries.len(), "entries")?;
        let mut keys: Vec<(T::Key, Direction)> = Vec::with_capacity(entries.len() + 2);
        for written in entries {
            let entry = Entry::read(written)?;
            let key = key(&entry)?;
            if keys.iter().any(|(k, _)| *k == key) {
                return Err(SearchError::OrderTwice(python::list(entries)));
            }
            keys.push((key, entry.direction));
        }
        Ok(Self { keys })
    }

    /// Adds a tie-break, unless it is ordered by already.
    fn then(&mut self, key: T::Key, direction: Direction) {
        if !self.keys.iter().any(|(k, _)| *k == key) {
            self.keys.push((key, direction));
        }
    }

    fn first_difference(&self, compare: impl Fn(T::Key) -> Ordering) -> Ordering {
        let mut orderings = self.keys.iter().map(|&(key, direction)| direction.of(compare(key)));
        orderings.find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    }
}

/// An entry of an order as it was written.
struct Entry {
    /// With its dots and quotes.
    key: String,
    /// Whether a direction was written, too.
    is_directed: bool,
    direction: Direction,
}

impl Entry {
    fn read(written: &str) -> Result<Self, SearchError> {
        at_most(MAX_ENTRY, "order_by entry", written.len(), "bytes")?;
        let unreadable = || SearchError::Order(written.to_owned());
        if written.trim_matches(super::lex::is_space).len() != written.len() {
            return Err(unreadable());
        }
        let (key, second) = match pieces(written).as_slice() {
            [(Piece::Identifier, key)] => (*key, None),
            [(Piece::Keyword, "timestamp")] => ("timestamp", None),
            [(Piece::Identifier | Piece::Integer | Piece::Float, key), (Piece::Identifier, second)] => {
                (*key, Some(*second))
            }
            [(Piece::Identifier | Piece::Integer | Piece::Float, key), (Piece::Keyword, second)]
            | [(Piece::Keyword, key @ "timestamp"), (Piece::Keyword, second)]
                if direction(second).is_some() =>
            {
                (*key, Some(*second))
            }
            _ => return Err(unreadable()),
        };
        // Without white space between them MLflow takes both for the key.
        let (key, second) = match second {
            Some(second) if key.len() + second.len() == written.len() => (written, None),
            second => (key, second),
        };
        let direction = match second {
            None => Direction::Ascending,
            Some(second) => {
                direction(&second.replace(['`', '"'], "")).ok_or_else(|| SearchError::Direction(written.to_owned()))?
            }
        };
        Ok(Self { key: key.to_owned(), is_directed: second.is_some(), direction })
    }

    /// The key as MLflow compares it for models: its quotes go only if a direction follows.
    fn bare_key(&self) -> String {
        if self.is_directed { self.key.replace(['`', '"', '\''], "") } else { self.key.clone() }
    }
}

fn direction(word: &str) -> Option<Direction> {
    match word.to_ascii_lowercase().as_str() {
        "asc" => Some(Direction::Ascending),
        "desc" => Some(Direction::Descending),
        _ => None,
    }
}

/// The key of versions; one behind `tag.` counts, as in MLflow, if it is the name of an attribute.
fn version_key(written: &str) -> Result<VersionKey, SearchError> {
    let (entity, key) = written.split_once('.').unwrap_or(("attribute", written));
    let key = bare_key(key);
    let known = match key {
        "name" => Some(VersionKey::Name),
        "version_number" => Some(VersionKey::Number),
        "creation_timestamp" => Some(VersionKey::Created),
        "last_updated_timestamp" => Some(VersionKey::LastUpdated),
        _ => None,
    };
    let valid = "{'name', 'version_number', 'creation_timestamp', 'last_updated_timestamp'}";
    let key = key.to_owned();
    match entity {
        "attribute" => known.ok_or(SearchError::Attribute { key, valid }),
        "tag" | "tags" => known.ok_or(SearchError::OrderKey { key, valid }),
        _ => Err(SearchError::EntityType { given: entity.to_owned(), valid: "('attribute', 'tag', 'tags')" }),
    }
}
