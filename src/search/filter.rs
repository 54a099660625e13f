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
//! MLflow's language has no OR, NOT, parenthesis or escape. As MLflow does, it lets pass an `AND` too many and one
//! too few. A `!=` on a tag is true only for rows that have the tag.
//!
//! **More than MLflow.** A filter that MLflow refuses is read in a larger language. What MLflow reads means the same as
//! there, and what neither reads is told in MLflow's words.
//!
//! ```text
//! filter := all (OR all)*        all := part (AND part)*        part := clause | ( filter )
//! key    := alias | stage | description | creation_timestamp | last_updated_timestamp       models and versions
//!         | params.k | metrics.k                                                            versions
//! ```
//!
//! `alias` and, of a model, `stage` have several values: `=`, `LIKE` and `IN` demand that one of them fits, `!=` and
//! `NOT IN` that all do. A time is a number of milliseconds or a text such as `'2026-03-01'`, a metric a number. A row
//! without the parameter or metric never fits.
//!
//! **Prompts.** MLflow keeps prompts in the same tables: a prompt is a model with the tag
//! `mlflow.prompt.is_prompt` = `true`. A search hides them, and clauses on that tag mean only whether to:
//! the first one shows the prompts if it is `= 'true'` or `!= 'false'` (the value in any case), and then all
//! clauses on that tag count as they stand; otherwise prompts are hidden and those clauses say nothing more.
//! So ``tag.`mlflow.prompt.is_prompt` != 'true'``, which MLflow's client adds to each search of models,
//! keeps every row that has no such tag.

use super::comparison::{
    MetricTest, NumberTest, Test, TextTest, attribute_test, metric_test, number_test, tag_test, time_test,
};
use super::error::{SearchError, at_most};
use super::keys::{Attribute, Key, Keys, MODEL_KEYS, Sides, VERSION_KEYS, Value};
use super::{ModelRow, Models, Target, VersionRow, Versions, group, nest};

/// The longest filter, in bytes (SEC-42).
pub const MAX_FILTER: usize = 8192;

/// The most clauses of a filter (SEC-42).
pub const MAX_CLAUSES: usize = 50;

/// The tag that makes a model a prompt.
pub const IS_PROMPT: &str = "mlflow.prompt.is_prompt";

/// A filter on models ([`Models`]) or versions ([`Versions`]), ready to be asked of many rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter<T: Target> {
    all: Vec<Condition<T::Clause>>,
    shows_prompts: bool,
}

/// What a row must fulfil.
#[derive(Debug, Clone, PartialEq)]
enum Condition<C> {
    Clause(C),
    /// One of several conjunctions.
    Any(Vec<Vec<Self>>),
}

impl<C> Condition<C> {
    fn holds(&self, test: &impl Fn(&C) -> bool) -> bool {
        match self {
            Self::Clause(clause) => test(clause),
            Self::Any(any) => any.iter().any(|all| all.iter().all(|c| c.holds(test))),
        }
    }

    /// Whether some clause within is one of a kind.
    fn has(&self, is: &impl Fn(&C) -> bool) -> bool {
        match self {
            Self::Clause(clause) => is(clause),
            Self::Any(any) => any.iter().flatten().any(|c| c.has(is)),
        }
    }
}

/// A clause on models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelClause {
    /// The name.
    Name(TextTest),
    /// The tag of that key.
    Tag(String, TextTest),
    /// The description.
    Description(TextTest),
    /// The aliases.
    Alias(TextTest),
    /// The stages that its versions are in.
    Stage(TextTest),
    /// When it was registered, in milliseconds.
    Created(NumberTest),
    /// When it last changed, in milliseconds.
    LastUpdated(NumberTest),
}

/// A clause on versions.
#[derive(Debug, Clone, PartialEq)]
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
    /// The description.
    Description(TextTest),
    /// The aliases.
    Alias(TextTest),
    /// The stage.
    Stage(TextTest),
    /// When it was registered, in milliseconds.
    Created(NumberTest),
    /// When it last changed, in milliseconds.
    LastUpdated(NumberTest),
    /// The parameter of that key.
    Param(String, TextTest),
    /// The metric of that key.
    Metric(String, MetricTest),
}

impl Filter<Models> {
    /// Reads a filter on models; an empty one takes every model that is no prompt.
    pub fn models(filter: &str) -> Result<Self, SearchError> {
        Self::read(filter, MODEL_KEYS, |key, comparator, value| {
            Ok(match key {
                Key::Tag(key) => ModelClause::Tag(key, tag_test("tag", &comparator, value)?),
                Key::Attribute(Attribute::Name) => ModelClause::Name(attribute_test(comparator, value)?),
                Key::Attribute(Attribute::Description) => ModelClause::Description(attribute_test(comparator, value)?),
                Key::Attribute(Attribute::Alias) => ModelClause::Alias(attribute_test(comparator, value)?),
                Key::Attribute(Attribute::Stage) => ModelClause::Stage(attribute_test(comparator, value)?),
                Key::Attribute(Attribute::Created) => ModelClause::Created(time_test(comparator, &value)?),
                Key::Attribute(Attribute::LastUpdated) => ModelClause::LastUpdated(time_test(comparator, &value)?),
                Key::Attribute(other @ (Attribute::VersionNumber | Attribute::RunId | Attribute::SourcePath)) => {
                    return Err(MODEL_KEYS.unknown(other.as_str()));
                }
                Key::Param(key) | Key::Metric(key) => return Err(MODEL_KEYS.unknown(&key)),
            })
        })
    }

    /// Whether the model is among those searched for. What a row does not know of itself fits.
    pub fn matches(&self, row: &impl ModelRow) -> bool {
        let test = |clause: &ModelClause| match clause {
            ModelClause::Name(test) => test.holds(row.name()),
            ModelClause::Tag(key, test) => row.tag(key).is_some_and(|value| test.holds(value)),
            ModelClause::Description(test) => row.description().holds(|text| test.holds(text)),
            ModelClause::Alias(test) => test.holds_of(|see| row.each_alias(see)),
            ModelClause::Stage(test) => test.holds_of(|see| row.each_stage(see)),
            ModelClause::Created(test) => test.holds(row.created().as_millis()),
            ModelClause::LastUpdated(test) => test.holds(row.last_updated().as_millis()),
        };
        (self.shows_prompts || row.tag(IS_PROMPT) != Some("true")) && self.all.iter().all(|c| c.holds(&test))
    }

    /// Whether the description of a model decides.
    pub fn asks_description(&self) -> bool {
        self.all.iter().any(|c| c.has(&|clause| matches!(clause, ModelClause::Description(_))))
    }
}

impl Filter<Versions> {
    /// Reads a filter on versions; an empty one takes every version of a model that is no prompt.
    pub fn versions(filter: &str) -> Result<Self, SearchError> {
        Self::read(filter, VERSION_KEYS, |key, comparator, value| {
            Ok(match key {
                Key::Tag(key) => VersionClause::Tag(key, tag_test("tag", &comparator, value)?),
                Key::Param(key) => VersionClause::Param(key, tag_test("param", &comparator, value)?),
                Key::Metric(key) => VersionClause::Metric(key, metric_test(comparator, &value)?),
                Key::Attribute(Attribute::Name) => VersionClause::Name(attribute_test(comparator, value)?),
                Key::Attribute(Attribute::VersionNumber) => VersionClause::Number(number_test(comparator, value)?),
                Key::Attribute(Attribute::RunId) => VersionClause::RunId(attribute_test(comparator, value)?),
                Key::Attribute(Attribute::SourcePath) => VersionClause::SourcePath(attribute_test(comparator, value)?),
                Key::Attribute(Attribute::Description) => {
                    VersionClause::Description(attribute_test(comparator, value)?)
                }
                Key::Attribute(Attribute::Alias) => VersionClause::Alias(attribute_test(comparator, value)?),
                Key::Attribute(Attribute::Stage) => VersionClause::Stage(attribute_test(comparator, value)?),
                Key::Attribute(Attribute::Created) => VersionClause::Created(time_test(comparator, &value)?),
                Key::Attribute(Attribute::LastUpdated) => VersionClause::LastUpdated(time_test(comparator, &value)?),
            })
        })
    }

    /// The clauses that all versions searched for must fulfil.
    fn demanded(&self) -> impl Iterator<Item = &VersionClause> {
        self.all.iter().filter_map(|condition| match condition {
            Condition::Clause(clause) => Some(clause),
            Condition::Any(_) => None,
        })
    }

    /// The one model that all versions searched for must be of, if the filter names it.
    pub fn model(&self) -> Option<&str> {
        self.demanded().find_map(|clause| match clause {
            VersionClause::Name(TextTest(Test::Is(name))) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The tags, with their values, that all versions searched for must have.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        self.demanded().filter_map(|clause| match clause {
            VersionClause::Tag(key, TextTest(Test::Is(value))) => Some((key.as_str(), value.as_str())),
            _ => None,
        })
    }

    /// Whether the version is among those searched for. What a row does not know of itself fits.
    pub fn matches(&self, row: &impl VersionRow) -> bool {
        let test = |clause: &VersionClause| match clause {
            VersionClause::Name(test) => test.holds(row.name()),
            VersionClause::RunId(test) => test.holds(row.run_id()),
            VersionClause::SourcePath(test) => test.holds(row.source_path()),
            VersionClause::Number(test) => test.holds(row.number()),
            VersionClause::Tag(key, test) => row.tag(key).is_some_and(|value| test.holds(value)),
            VersionClause::Description(test) => row.description().holds(|text| test.holds(text)),
            VersionClause::Alias(test) => test.holds_of(|see| row.each_alias(see)),
            VersionClause::Stage(test) => test.holds(row.stage()),
            VersionClause::Created(test) => test.holds(row.created().as_millis()),
            VersionClause::LastUpdated(test) => test.holds(row.last_updated().as_millis()),
            VersionClause::Param(key, test) => row.param(key).holds(|value| test.holds(value)),
            VersionClause::Metric(key, test) => row.metric(key).holds(|value| test.holds(value)),
        };
        (self.shows_prompts || !row.is_of_prompt()) && self.all.iter().all(|c| c.holds(&test))
    }

    /// Whether the aliases of a version decide.
    pub fn asks_aliases(&self) -> bool {
        self.all.iter().any(|c| c.has(&|clause| matches!(clause, VersionClause::Alias(_))))
    }

    /// Whether the description, the parameters or the metrics of a version decide.
    pub fn asks_details(&self) -> bool {
        let is = |clause: &VersionClause| {
            matches!(clause, VersionClause::Description(_) | VersionClause::Param(..) | VersionClause::Metric(..))
        };
        self.all.iter().any(|c| c.has(&is))
    }
}

impl<T: Target> Filter<T> {
    /// Reads a filter; `clause` makes a clause of a key, a comparator in upper case and a value.
    fn read(
        filter: &str,
        keys: Keys,
        clause: impl Fn(Key, String, Value<'_>) -> Result<T::Clause, SearchError>,
    ) -> Result<Self, SearchError> {
        at_most(MAX_FILTER, "filter", filter.len(), "bytes")?;
        if filter.is_empty() {
            return Ok(Self { all: Vec::new(), shows_prompts: false });
        }
        let strict = sides(filter, keys).and_then(|sides| Self::of(vec![Condition::of(sides)], &clause));
        let refusal = match strict {
            Ok(filter) => return Ok(filter),
            Err(refusal) => refusal,
        };
        if matches!(refusal, SearchError::TooMuch { .. }) {
            return Err(refusal);
        }
        let keys = keys.extended();
        let Some(any) = nest::alternatives(filter) else {
            // Such as an `AND` too many, beside a key of ours.
            let extended = sides(filter, keys).and_then(|sides| Self::of(vec![Condition::of(sides)], &clause));
            return extended.map_err(|e| if keys.extends(&refusal) { e } else { refusal });
        };
        let is_flat = matches!(any.as_slice(), [all] if !all.iter().any(|part| matches!(part, nest::Part::Any(_))));
        let mut count = 0;
        let extended = read_any(any, keys, &mut count).and_then(|any| {
            at_most(MAX_CLAUSES, "filter", count, "clauses")?;
            Self::of(any, &clause)
        });
        extended.map_err(|e| if is_flat && !keys.extends(&refusal) { refusal } else { e })
    }

    /// Makes the clauses of what was read: conjunctions, of which one must hold. All keys and values were looked at before
    /// the first comparator: that is the order of MLflow's errors.
    fn of(
        any: Vec<Vec<Condition<Sides<'_>>>>,
        clause: &impl Fn(Key, String, Value<'_>) -> Result<T::Clause, SearchError>,
    ) -> Result<Self, SearchError> {
        let shows_prompts =
            first_on_prompt(&any).is_some_and(|(_, comparator, value)| asks_for_prompts(comparator, value));
        let mut any = clauses(any, shows_prompts, clause)?;
        let all = if any.len() == 1 { any.pop().unwrap_or_default() } else { vec![Condition::Any(any)] };
        Ok(Self { all, shows_prompts })
    }
}

impl<'a> Condition<Sides<'a>> {
    /// A conjunction of clauses.
    fn of(sides: Vec<Sides<'a>>) -> Vec<Self> {
        sides.into_iter().map(Self::Clause).collect()
    }
}

/// Reads clauses in MLflow's grammar.
fn sides(filter: &str, keys: Keys) -> Result<Vec<Sides<'_>>, SearchError> {
    let written = group::clauses(filter)?;
    at_most(MAX_CLAUSES, "filter", written.len(), "clauses")?;
    written.into_iter().map(|c| keys.sides(c)).collect()
}

/// Reads nested conjunctions, and counts their clauses.
fn read_any<'a>(
    any: Vec<nest::All<'a>>,
    keys: Keys,
    count: &mut usize,
) -> Result<Vec<Vec<Condition<Sides<'a>>>>, SearchError> {
    let mut out = Vec::with_capacity(any.len());
    for all in any {
        let mut conditions = Vec::with_capacity(all.len());
        for part in all {
            match part {
                nest::Part::Clauses(text) => {
                    let found = sides(text, keys)?;
                    *count += found.len();
                    conditions.extend(Condition::of(found));
                }
                nest::Part::Any(inner) => conditions.push(Condition::Any(read_any(inner, keys, count)?)),
            }
        }
        out.push(conditions);
    }
    Ok(out)
}

/// Whether a key is the tag of prompts.
fn is_on_prompt(key: &Key) -> bool {
    matches!(key, Key::Tag(key) if key == IS_PROMPT)
}

/// The first clause on the tag of prompts, as it is written.
fn first_on_prompt<'s, 'a>(any: &'s [Vec<Condition<Sides<'a>>>]) -> Option<&'s Sides<'a>> {
    any.iter().flatten().find_map(|condition| match condition {
        Condition::Clause(sides) => Some(sides).filter(|(key, ..)| is_on_prompt(key)),
        Condition::Any(any) => first_on_prompt(any),
    })
}

/// Makes the clauses of nested conjunctions; those on the tag of prompts count only where prompts are shown.
fn clauses<C>(
    any: Vec<Vec<Condition<Sides<'_>>>>,
    shows_prompts: bool,
    clause: &impl Fn(Key, String, Value<'_>) -> Result<C, SearchError>,
) -> Result<Vec<Vec<Condition<C>>>, SearchError> {
    let mut out = Vec::with_capacity(any.len());
    for all in any {
        let mut conditions = Vec::with_capacity(all.len());
        for condition in all {
            match condition {
                Condition::Clause((key, comparator, value)) => {
                    let counts = shows_prompts || !is_on_prompt(&key);
                    let one = clause(key, comparator, value)?;
                    conditions.extend(counts.then_some(Condition::Clause(one)));
                }
                Condition::Any(inner) => conditions.push(Condition::Any(clauses(inner, shows_prompts, clause)?)),
            }
        }
        out.push(conditions);
    }
    Ok(out)
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
