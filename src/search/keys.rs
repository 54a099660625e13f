//! The keys of clauses: MLflow's keys, the keys of the extended language, and the values that they take.

use super::error::SearchError;
use super::group::{self, TextPiece};
use super::python;

/// The valid words before the dot of a key, as Python prints them.
const ENTITY_TYPES: &str = "('attribute', 'tag', 'tags')";

/// An attribute of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attribute {
    Name,
    VersionNumber,
    RunId,
    SourcePath,
    Description,
    Alias,
    Stage,
    Created,
    LastUpdated,
}

impl Attribute {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::VersionNumber => "version_number",
            Self::RunId => "run_id",
            Self::SourcePath => "source_path",
            Self::Description => "description",
            Self::Alias => "alias",
            Self::Stage => "stage",
            Self::Created => "creation_timestamp",
            Self::LastUpdated => "last_updated_timestamp",
        }
    }
}

/// The attributes of the extended language, which MLflow does not know.
const MORE: [Attribute; 5] =
    [Attribute::Description, Attribute::Alias, Attribute::Stage, Attribute::Created, Attribute::LastUpdated];

/// The keys for models or for versions.
#[derive(Clone, Copy)]
pub(super) struct TargetKeys {
    attributes: &'static [Attribute],
    /// The names of the attributes, as Python prints the set.
    valid: &'static str,
    /// The names of the attributes that `IN` takes, as Python prints the list.
    lists: &'static str,
    /// The kind of rows, for messages.
    what: &'static str,
    /// Whether the rows have parameters and metrics.
    has_evidence: bool,
    /// Whether the keys of the extended language are valid.
    is_extended: bool,
}

pub(super) const MODEL_KEYS: TargetKeys = TargetKeys {
    attributes: &[Attribute::Name],
    valid: "{'name'}",
    lists: "['name']",
    what: "registered model",
    has_evidence: false,
    is_extended: false,
};

pub(super) const VERSION_KEYS: TargetKeys = TargetKeys {
    attributes: &[Attribute::Name, Attribute::VersionNumber, Attribute::RunId, Attribute::SourcePath],
    valid: "{'name', 'version_number', 'run_id', 'source_path'}",
    lists: "['name', 'run_id']",
    what: "model version",
    has_evidence: true,
    is_extended: false,
};

/// The left side of a clause.
pub(super) enum ClauseKey {
    Attribute(Attribute),
    Tag(String),
    Param(String),
    Metric(String),
}

/// The right side of a clause.
pub(super) enum Value<'a> {
    Text(&'a str),
    /// The number, as written.
    Integer(&'a str),
    /// The number, as written.
    Float(&'a str),
    /// The texts of the list, and the list as written.
    List(Vec<String>, &'a str),
}

/// The key, the comparator in upper case, and the value of a clause.
pub(super) type ClauseSides<'a> = (ClauseKey, String, Value<'a>);

impl TargetKeys {
    /// Returns the keys, including those of the extended language.
    pub(super) fn extended(self) -> Self {
        Self { is_extended: true, ..self }
    }

    /// Parses the key, comparator and value of a clause.
    pub(super) fn sides<'a>(self, clause: group::RawClause<'a>) -> Result<ClauseSides<'a>, SearchError> {
        let (piece, left) = clause.left;
        if piece != TextPiece::Identifier {
            return Err(SearchError::LeftSide(left.to_owned()));
        }
        let Some((piece, right)) = clause.right else { return Err(SearchError::Null(self.what)) };
        let key = self.key(left)?;
        let value = match &key {
            ClauseKey::Tag(_) if matches!(piece, TextPiece::Text | TextPiece::Identifier) => {
                Value::Text(unquoted(right)?)
            }
            ClauseKey::Tag(_) => return Err(SearchError::TagValue(right.to_owned())),
            ClauseKey::Param(_) if matches!(piece, TextPiece::Text | TextPiece::Identifier) => {
                Value::Text(unquoted(right)?)
            }
            ClauseKey::Param(_) => return Err(SearchError::ParamValue(right.to_owned())),
            ClauseKey::Metric(_) if matches!(piece, TextPiece::Integer | TextPiece::Float) => Value::Float(right),
            ClauseKey::Metric(_) => return Err(SearchError::MetricValue(right.to_owned())),
            ClauseKey::Attribute(attribute) => self.value(*attribute, piece, right)?,
        };
        Ok((key, clause.comparator, value))
    }

    fn key(self, written: &str) -> Result<ClauseKey, SearchError> {
        let (entity, key) = written.split_once('.').unwrap_or(("attribute", written));
        match entity {
            "tag" | "tags" => Ok(ClauseKey::Tag(bare_key(key).to_owned())),
            "param" | "params" if self.is_extended && self.has_evidence => {
                Ok(ClauseKey::Param(bare_key(key).to_owned()))
            }
            "metric" | "metrics" if self.is_extended && self.has_evidence => {
                Ok(ClauseKey::Metric(bare_key(key).to_owned()))
            }
            "attribute" => match self.attributes.iter().find(|a| a.as_str() == key) {
                Some(&attribute) => Ok(ClauseKey::Attribute(attribute)),
                None if self.is_extended => more(key).map(ClauseKey::Attribute).ok_or_else(|| self.unknown(key)),
                None => Err(self.unknown(key)),
            },
            _ => Err(SearchError::EntityType { given: entity.to_owned(), valid: ENTITY_TYPES }),
        }
    }

    /// Returns whether MLflow's refusal is about a key that is valid in the extended language.
    pub(super) fn extends(self, refusal: &SearchError) -> bool {
        match refusal {
            SearchError::Attribute { key, .. } => more(key).is_some(),
            SearchError::EntityType { given, .. } => {
                self.has_evidence && ["param", "params", "metric", "metrics"].contains(&given.as_str())
            }
            _ => false,
        }
    }

    pub(super) fn unknown(self, key: &str) -> SearchError {
        SearchError::Attribute { key: key.to_owned(), valid: self.valid }
    }

    fn value<'a>(self, attribute: Attribute, piece: TextPiece, right: &'a str) -> Result<Value<'a>, SearchError> {
        let takes_numbers = self.attributes.contains(&Attribute::VersionNumber);
        match (piece, attribute) {
            (TextPiece::Text | TextPiece::Identifier, _) => Ok(Value::Text(unquoted(right)?)),
            (TextPiece::Parenthesis, Attribute::Name | Attribute::RunId | Attribute::Alias | Attribute::Stage) => {
                Ok(Value::List(python::texts(right)?, right))
            }
            (TextPiece::Parenthesis, _) => Err(SearchError::ListKey(self.lists)),
            (TextPiece::Integer, Attribute::VersionNumber | Attribute::Created | Attribute::LastUpdated) => {
                Ok(Value::Integer(right))
            }
            (TextPiece::Float, Attribute::VersionNumber) => Ok(Value::Float(right)),
            (TextPiece::Integer | TextPiece::Float, _) if takes_numbers => Err(SearchError::NotNumeric),
            _ => Err(SearchError::AttributeValue(right.to_owned())),
        }
    }
}

/// Returns an attribute of the extended language. `current_stage`, the name in MLflow's responses, also means the
/// stage.
fn more(key: &str) -> Option<Attribute> {
    let key = if key == "current_stage" { "stage" } else { key };
    MORE.into_iter().find(|a| a.as_str() == key)
}

/// Returns a key without its quotes, and then without its backticks.
pub(super) fn bare_key(key: &str) -> &str {
    let key = without(key, '\'').or_else(|| without(key, '"')).unwrap_or(key);
    without(key, '`').unwrap_or(key)
}

/// Returns the text between two `quote`s.
fn without(text: &str, quote: char) -> Option<&str> {
    text.strip_prefix(quote)?.strip_suffix(quote)
}

/// Returns the text between single or double quotes.
fn unquoted(text: &str) -> Result<&str, SearchError> {
    without(text, '\'').or_else(|| without(text, '"')).ok_or_else(|| SearchError::Unquoted(text.to_owned()))
}
