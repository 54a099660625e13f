//! A filter: the clauses that a row must all fulfil, read from MLflow's search language.
//!
//! ```text
//! filter     := clause (AND clause)*
//! clause     := key comparator value | key [NOT] IN (text, …)
//! key        := name                                             models
//!             | name | version_number | run_id | source_path     versions, each also as attribute.…
//!             | tag.k | tags.k | tags.`my key` | tags."my key"
//! comparator := = != LIKE ILIKE       texts and tags
//!             | = != < <= > >=        version_number
//! value      := 'text' | "text" | integer
//! ```
//!
//! There is no OR, NOT, parenthesis or escape. As MLflow does, it lets pass an `AND` too many and one too
//! few. A `!=` on a tag is true only for rows that have the tag.
//!
//! **Prompts.** MLflow keeps prompts in the same tables: a prompt is a model with the tag
//! `mlflow.prompt.is_prompt` = `true`. A search hides them, and clauses on that tag mean only whether to:
//! the first one shows the prompts if it is `= 'true'` or `!= 'false'` (the value in any case), and then all
//! clauses on that tag count as they stand; otherwise prompts are hidden and those clauses say nothing more.
//! So ``tag.`mlflow.prompt.is_prompt` != 'true'``, which MLflow's client adds to each search of models,
//! keeps every row that has no such tag.

use std::collections::HashSet;

use super::error::{SearchError, at_most};
use super::group::{self, Piece};
use super::like::Pattern;
use super::{ModelRow, Models, Target, VersionRow, Versions, python};

/// The longest filter, in bytes (SEC-42).
pub const MAX_FILTER: usize = 8192;

/// The most clauses of a filter (SEC-42).
pub const MAX_CLAUSES: usize = 50;

/// The tag that makes a model a prompt.
pub const IS_PROMPT: &str = "mlflow.prompt.is_prompt";

/// What stands before the dot of a key.
const ENTITY_TYPES: &str = "('attribute', 'tag', 'tags')";

/// A filter on models ([`Models`]) or versions ([`Versions`]), ready to be asked of many rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter<T: Target> {
    clauses: Vec<T::Clause>,
    shows_prompts: bool,
}

/// A clause on models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelClause {
    /// The name.
    Name(TextTest),
    /// The tag of that key.
    Tag(String, TextTest),
}

/// A clause on versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionClause {
    /// The model's name.
    Name(TextTest),
    /// The run.
    RunId(TextTest),
    /// The source.
    SourcePath(TextTest),
    /// The version's number.
    Number(NumberTest),
    /// The tag of that key.
    Tag(String, TextTest),
}

/// What a text must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextTest(Test);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Is(String),
    IsNot(String),
    Like(Pattern),
    In(HashSet<String>),
    NotIn(HashSet<String>),
}

impl TextTest {
    fn holds(&self, text: &str) -> bool {
        match &self.0 {
            Test::Is(wanted) => text == wanted,
            Test::IsNot(unwanted) => text != unwanted,
            Test::Like(pattern) => pattern.matches(text),
            Test::In(wanted) => wanted.contains(text),
            Test::NotIn(unwanted) => !unwanted.contains(text),
        }
    }
}

/// What a number must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberTest {
    sign: Sign,
    than: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl NumberTest {
    fn holds(self, number: u64) -> bool {
        let (number, than) = (i128::from(number), i128::from(self.than));
        match self.sign {
            Sign::Equal => number == than,
            Sign::Unequal => number != than,
            Sign::Less => number < than,
            Sign::AtMost => number <= than,
            Sign::More => number > than,
            Sign::AtLeast => number >= than,
        }
    }
}

impl Filter<Models> {
    /// Reads a filter on models; an empty one takes every model that is no prompt.
    pub fn models(filter: &str) -> Result<Self, SearchError> {
        Self::read(filter, MODEL_KEYS, |key, comparator, value| match key {
            Key::Tag(key) => Ok(ModelClause::Tag(key, tag_test(&comparator, value)?)),
            Key::Attribute(Attribute::Name) => Ok(ModelClause::Name(attribute_test(comparator, value)?)),
            Key::Attribute(other @ (Attribute::VersionNumber | Attribute::RunId | Attribute::SourcePath)) => {
                Err(MODEL_KEYS.unknown(other.as_str()))
            }
        })
    }

    /// Whether the model is among those searched for.
    pub fn matches(&self, row: &impl ModelRow) -> bool {
        (self.shows_prompts || row.tag(IS_PROMPT) != Some("true"))
            && self.clauses.iter().all(|clause| match clause {
                ModelClause::Name(test) => test.holds(row.name()),
                ModelClause::Tag(key, test) => row.tag(key).is_some_and(|value| test.holds(value)),
            })
    }
}

impl Filter<Versions> {
    /// Reads a filter on versions; an empty one takes every version of a model that is no prompt.
    pub fn versions(filter: &str) -> Result<Self, SearchError> {
        Self::read(filter, VERSION_KEYS, |key, comparator, value| {
            Ok(match key {
                Key::Tag(key) => VersionClause::Tag(key, tag_test(&comparator, value)?),
                Key::Attribute(Attribute::Name) => VersionClause::Name(attribute_test(comparator, value)?),
                Key::Attribute(Attribute::VersionNumber) => VersionClause::Number(number_test(comparator, value)?),
                Key::Attribute(Attribute::RunId) => VersionClause::RunId(attribute_test(comparator, value)?),
                Key::Attribute(Attribute::SourcePath) => VersionClause::SourcePath(attribute_test(comparator, value)?),
            })
        })
    }

    /// The one model that all versions searched for must be of, if the filter names it.
    pub fn model(&self) -> Option<&str> {
        self.clauses.iter().find_map(|clause| match clause {
            VersionClause::Name(TextTest(Test::Is(name))) => Some(name.as_str()),
            VersionClause::Name(_)
            | VersionClause::RunId(_)
            | VersionClause::SourcePath(_)
            | VersionClause::Number(_)
            | VersionClause::Tag(..) => None,
        })
    }

    /// The tags, with their values, that all versions searched for must have.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        self.clauses.iter().filter_map(|clause| match clause {
            VersionClause::Tag(key, TextTest(Test::Is(value))) => Some((key.as_str(), value.as_str())),
            VersionClause::Tag(..)
            | VersionClause::Name(_)
            | VersionClause::RunId(_)
            | VersionClause::SourcePath(_)
            | VersionClause::Number(_) => None,
        })
    }

    /// Whether the version is among those searched for.
    pub fn matches(&self, row: &impl VersionRow) -> bool {
        (self.shows_prompts || !row.is_of_prompt())
            && self.clauses.iter().all(|clause| match clause {
                VersionClause::Name(test) => test.holds(row.name()),
                VersionClause::RunId(test) => test.holds(row.run_id()),
                VersionClause::SourcePath(test) => test.holds(row.source_path()),
                VersionClause::Number(test) => test.holds(row.number()),
                VersionClause::Tag(key, test) => row.tag(key).is_some_and(|value| test.holds(value)),
            })
    }
}

/// What a row has besides tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attribute {
    Name,
    VersionNumber,
    RunId,
    SourcePath,
}

impl Attribute {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::VersionNumber => "version_number",
            Self::RunId => "run_id",
            Self::SourcePath => "source_path",
        }
    }
}

/// The attributes of a target.
#[derive(Clone, Copy)]
struct Keys {
    attributes: &'static [Attribute],
    /// As Python prints the set.
    valid: &'static str,
    /// Those that `IN` takes, as Python prints the list.
    lists: &'static str,
    /// What is searched, for a sentence.
    what: &'static str,
}

const MODEL_KEYS: Keys =
    Keys { attributes: &[Attribute::Name], valid: "{'name'}", lists: "['name']", what: "registered model" };

const VERSION_KEYS: Keys = Keys {
    attributes: &[Attribute::Name, Attribute::VersionNumber, Attribute::RunId, Attribute::SourcePath],
    valid: "{'name', 'version_number', 'run_id', 'source_path'}",
    lists: "['name', 'run_id']",
    what: "model version",
};

/// The left side of a clause.
enum Key {
    Attribute(Attribute),
    Tag(String),
}

/// The right side of a clause.
enum Value<'a> {
    Text(&'a str),
    /// As it is written.
    Integer(&'a str),
    /// As it is written.
    Float(&'a str),
    /// Its texts, and how it is written.
    List(Vec<String>, &'a str),
}

impl<T: Target> Filter<T> {
    /// Reads a filter; `clause` makes a clause of a key, a comparator in upper case and a value. All keys and
    /// values are looked at before the first comparator: that is the order of MLflow's errors.
    fn read(
        filter: &str,
        keys: Keys,
        clause: impl Fn(Key, String, Value<'_>) -> Result<T::Clause, SearchError>,
    ) -> Result<Self, SearchError> {
        at_most(MAX_FILTER, "filter", filter.len(), "bytes")?;
        if filter.is_empty() {
            return Ok(Self { clauses: Vec::new(), shows_prompts: false });
        }
        let written = group::clauses(filter)?;
        at_most(MAX_CLAUSES, "filter", written.len(), "clauses")?;
        let sides = written.into_iter().map(|c| keys.sides(c)).collect::<Result<Vec<_>, _>>()?;
        let on_prompt = |key: &Key| matches!(key, Key::Tag(key) if key == IS_PROMPT);
        let first = sides.iter().find(|(key, ..)| on_prompt(key));
        let shows_prompts = first.is_some_and(|(_, comparator, value)| asks_for_prompts(comparator, value));
        let mut clauses = Vec::with_capacity(sides.len());
        for (key, comparator, value) in sides {
            let counts = shows_prompts || !on_prompt(&key);
            let one = clause(key, comparator, value)?;
            if counts {
                clauses.push(one);
            }
        }
        Ok(Self { clauses, shows_prompts })
    }
}

/// Whether a clause on [`IS_PROMPT`] is `= 'true'` or `!= 'false'`.
fn asks_for_prompts(comparator: &str, value: &Value<'_>) -> bool {
    let Value::Text(value) = value else { return false };
    let wanted = match comparator {
        "=" => "true",
        "!=" => "false",
        _ => return false,
    };
    value.eq_ignore_ascii_case(wanted)
}

impl Keys {
    /// The key, comparator and value of a clause.
    fn sides<'a>(self, clause: group::Clause<'a>) -> Result<(Key, String, Value<'a>), SearchError> {
        let (piece, left) = clause.left;
        if piece != Piece::Identifier {
            return Err(SearchError::LeftSide(left.to_owned()));
        }
        let Some((piece, right)) = clause.right else { return Err(SearchError::Null(self.what)) };
        let key = self.key(left)?;
        let value = match &key {
            Key::Tag(_) if matches!(piece, Piece::Text | Piece::Identifier) => Value::Text(unquoted(right)?),
            Key::Tag(_) => return Err(SearchError::TagValue(right.to_owned())),
            Key::Attribute(attribute) => self.value(*attribute, piece, right)?,
        };
        Ok((key, clause.comparator, value))
    }

    fn key(self, written: &str) -> Result<Key, SearchError> {
        let (entity, key) = written.split_once('.').unwrap_or(("attribute", written));
        match entity {
            "tag" | "tags" => Ok(Key::Tag(bare_key(key).to_owned())),
            "attribute" => match self.attributes.iter().find(|a| a.as_str() == key) {
                Some(&attribute) => Ok(Key::Attribute(attribute)),
                None => Err(self.unknown(key)),
            },
            _ => Err(SearchError::EntityType { given: entity.to_owned(), valid: ENTITY_TYPES }),
        }
    }

    fn unknown(self, key: &str) -> SearchError {
        SearchError::Attribute { key: key.to_owned(), valid: self.valid }
    }

    fn value<'a>(self, attribute: Attribute, piece: Piece, right: &'a str) -> Result<Value<'a>, SearchError> {
        let takes_numbers = self.attributes.contains(&Attribute::VersionNumber);
        match (piece, attribute) {
            (Piece::Text | Piece::Identifier, _) => Ok(Value::Text(unquoted(right)?)),
            (Piece::Parenthesis, Attribute::Name | Attribute::RunId) => Ok(Value::List(python::texts(right)?, right)),
            (Piece::Parenthesis, Attribute::VersionNumber | Attribute::SourcePath) => {
                Err(SearchError::ListKey(self.lists))
            }
            (Piece::Integer, Attribute::VersionNumber) => Ok(Value::Integer(right)),
            (Piece::Float, Attribute::VersionNumber) => Ok(Value::Float(right)),
            (Piece::Integer | Piece::Float, _) if takes_numbers => Err(SearchError::NotNumeric),
            _ => Err(SearchError::AttributeValue(right.to_owned())),
        }
    }
}

/// A key without its quotes, and then without its backticks.
pub(super) fn bare_key(key: &str) -> &str {
    let key = without(key, '\'').or_else(|| without(key, '"')).unwrap_or(key);
    without(key, '`').unwrap_or(key)
}

/// What stands between two `quote`s.
fn without(text: &str, quote: char) -> Option<&str> {
    text.strip_prefix(quote)?.strip_suffix(quote)
}

/// The text in single or double quotes.
fn unquoted(text: &str) -> Result<&str, SearchError> {
    without(text, '\'').or_else(|| without(text, '"')).ok_or_else(|| SearchError::Unquoted(text.to_owned()))
}

/// A test of a text by one of the comparators that all texts take.
fn text_test(comparator: &str, text: &str) -> Option<TextTest> {
    Some(TextTest(match comparator {
        "=" => Test::Is(text.to_owned()),
        "!=" => Test::IsNot(text.to_owned()),
        "LIKE" => Test::Like(Pattern::new(text, false)),
        "ILIKE" => Test::Like(Pattern::new(text, true)),
        _ => return None,
    }))
}

fn tag_test(comparator: &str, value: Value<'_>) -> Result<TextTest, SearchError> {
    let wrong = || SearchError::Comparator { of: "tag", comparator: comparator.to_owned() };
    match value {
        Value::Text(text) => text_test(comparator, text).ok_or_else(wrong),
        Value::Integer(_) | Value::Float(_) | Value::List(..) => Err(wrong()),
    }
}

/// A test of an attribute that is a text.
fn attribute_test(comparator: String, value: Value<'_>) -> Result<TextTest, SearchError> {
    let is_list = matches!(comparator.as_str(), "IN" | "NOT IN");
    match value {
        Value::List(items, _) if is_list => {
            let items = items.into_iter().collect();
            Ok(TextTest(if comparator == "IN" { Test::In(items) } else { Test::NotIn(items) }))
        }
        Value::Text(text) => {
            text_test(&comparator, text).ok_or(SearchError::Comparator { of: "attribute", comparator })
        }
        Value::List(_, written) if text_test(&comparator, "").is_some() => {
            Err(SearchError::AttributeValue(written.to_owned()))
        }
        Value::List(..) | Value::Integer(_) | Value::Float(_) => {
            Err(SearchError::Comparator { of: "attribute", comparator })
        }
    }
}

/// A test of a version's number.
fn number_test(comparator: String, value: Value<'_>) -> Result<NumberTest, SearchError> {
    let sign = match comparator.as_str() {
        "=" => Sign::Equal,
        "!=" => Sign::Unequal,
        "<" => Sign::Less,
        "<=" => Sign::AtMost,
        ">" => Sign::More,
        ">=" => Sign::AtLeast,
        _ => return Err(SearchError::Comparator { of: "attribute version_number", comparator }),
    };
    let (than, written) = match value {
        Value::Integer(n) => (n.parse().ok(), n.to_owned()),
        Value::Text(text) => (python::int(text), python::text(text)),
        Value::Float(n) => (None, n.to_owned()),
        Value::List(_, written) => (None, written.to_owned()),
    };
    than.map(|than| NumberTest { sign, than }).ok_or(SearchError::VersionNumber(written))
}
