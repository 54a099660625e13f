//! The order of the results: a list of `key [ASC|DESC]`, with MLflow's defaults and tie-breakers.

use std::cmp::Ordering;

use super::error::{SearchError, at_most};
use super::group::{TextPiece, pieces};
use super::keys::bare_key;
use super::{ModelRow, Models, Target, VersionRow, Versions, python};

/// The maximum number of entries in an order, and the maximum length of an entry in bytes.
const MAX_ENTRIES: usize = 16;
const MAX_ENTRY: usize = 256;

/// An order of models ([`Models`]) or versions ([`Versions`]). The order is total: two models are equal only if they
/// have the same name, two versions only if they have the same name and number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order<T: Target> {
    keys: Vec<(T::Key, Direction)>,
}

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

/// A key for the order of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelKey {
    /// The name, compared byte by byte: upper case comes first.
    Name,
    /// The time of the last change.
    LastUpdated,
}

/// A key for the order of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionKey {
    /// The name of the model, compared byte by byte: upper case comes first.
    Name,
    /// The version number.
    Number,
    /// The time of the registration.
    Created,
    /// The time of the last change.
    LastUpdated,
}

impl Order<Models> {
    /// Parses an order of models. The keys are `name` and `timestamp`, which is also called `last_updated_timestamp`.
    /// The default and the tie-breaker are the name.
    ///
    /// # Errors
    /// Returns [`SearchError`] if an entry is invalid, a key occurs twice, or the order is too long.
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
    /// Parses an order of versions. The keys are `name`, `version_number`, `creation_timestamp` and
    /// `last_updated_timestamp`, each with or without `attribute.` before it. The default is the last change, newest
    /// first. The tie-breakers are the name and then the number, highest first.
    ///
    /// # Errors
    /// Returns [`SearchError`] if an entry is invalid, a key occurs twice, or the order is too long.
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
    fn read(entries: &[String], key: impl Fn(&OrderEntry) -> Result<T::Key, SearchError>) -> Result<Self, SearchError> {
        at_most(MAX_ENTRIES, "order_by", entries.len(), "entries")?;
        let mut keys: Vec<(T::Key, Direction)> = Vec::with_capacity(entries.len() + 2);
        for written in entries {
            let entry = OrderEntry::read(written)?;
            let key = key(&entry)?;
            if keys.iter().any(|(k, _)| *k == key) {
                return Err(SearchError::OrderTwice(python::list(entries)));
            }
            keys.push((key, entry.direction));
        }
        Ok(Self { keys })
    }

    /// Adds a tie-breaker, unless the order already has the key.
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

/// An entry of an order, as written.
struct OrderEntry {
    /// The key, with its dots and quotes.
    key: String,
    /// Whether the entry has a direction.
    is_directed: bool,
    direction: Direction,
}

impl OrderEntry {
    fn read(written: &str) -> Result<Self, SearchError> {
        at_most(MAX_ENTRY, "order_by entry", written.len(), "bytes")?;
        let unreadable = || SearchError::Order(written.to_owned());
        if written.trim_matches(super::lex::is_space).len() != written.len() {
            return Err(unreadable());
        }
        let (key, second) = match pieces(written).as_slice() {
            [(TextPiece::Identifier, key)] => (*key, None),
            [(TextPiece::Keyword, "timestamp")] => ("timestamp", None),
            [(TextPiece::Identifier | TextPiece::Integer | TextPiece::Float, key), (TextPiece::Identifier, second)] => {
                (*key, Some(*second))
            }
            [(TextPiece::Identifier | TextPiece::Integer | TextPiece::Float, key), (TextPiece::Keyword, second)]
            | [(TextPiece::Keyword, key @ "timestamp"), (TextPiece::Keyword, second)]
                if direction(second).is_some() =>
            {
                (*key, Some(*second))
            }
            _ => return Err(unreadable()),
        };
        // If no white space separates the two, MLflow reads both as the key.
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

    /// Returns the key as MLflow compares it for models: MLflow removes the quotes only if a direction follows.
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

/// Parses a key of versions. As in MLflow, a key after `tag.` is valid only if it is the name of an attribute.
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
