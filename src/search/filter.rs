//! A filter: the conditions of a search, in MLflow's search language. A row must fulfil all clauses.
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
//! MLflow's language has no OR, NOT, parentheses or escapes. Like MLflow, this parser accepts superfluous and missing
//! `AND`s. A `!=` on a tag is true only for rows that have the tag.
//!
//! **Extensions.** A filter that MLflow refuses is parsed in an extended language. A filter that MLflow accepts has
//! MLflow's meaning. A filter that both refuse gets MLflow's error message.
//!
//! ```text
//! filter := all (OR all)*        all := part (AND part)*        part := clause | ( filter )
//! key    := alias | stage | description | creation_timestamp | last_updated_timestamp       models and versions
//!         | params.k | metrics.k                                                            versions
//! ```
//!
//! `alias` has several values, and so has `stage` of a model: `=`, `LIKE` and `IN` need one value that fits, `!=` and
//! `NOT IN` need that all values fit. A time is a number of milliseconds or a text such as `'2026-03-01'`. A metric is
//! a number. A row without the parameter or metric never fits.
//!
//! **Prompts.** MLflow stores prompts as models with the tag `mlflow.prompt.is_prompt` = `true`. By default, a search
//! hides prompts. The first clause on that tag decides: `= 'true'` and `!= 'false'` (the value in any case) show
//! prompts, and all clauses on that tag then have their usual meaning. Any other first clause hides prompts, and all
//! clauses on that tag are ignored. MLflow's client adds ``tag.`mlflow.prompt.is_prompt` != 'true'`` to each search of
//! models, which therefore keeps every row without that tag.

use super::comparison::{
    MetricTest, NumberTest, Test, TextTest, attribute_test, metric_test, number_test, tag_test, time_test,
};
use super::error::{SearchError, at_most};
use super::keys::{Attribute, ClauseKey, ClauseSides, MODEL_KEYS, TargetKeys, VERSION_KEYS, Value};
use super::{ModelRow, Models, Target, VersionRow, Versions, group, nest};

/// The maximum length of a filter, in bytes.
pub const MAX_FILTER: usize = 8192;

/// The maximum number of clauses in a filter.
pub const MAX_CLAUSES: usize = 50;

/// The tag that marks a model as a prompt.
pub const IS_PROMPT: &str = "mlflow.prompt.is_prompt";

/// A parsed filter on models ([`Models`]) or versions ([`Versions`]).
#[derive(Debug, Clone, PartialEq)]
pub struct Filter<T: Target> {
    all: Vec<Condition<T::Clause>>,
    shows_prompts: bool,
}

/// A condition for a row.
#[derive(Debug, Clone, PartialEq)]
enum Condition<C> {
    Clause(C),
    /// A disjunction of conjunctions: at least one must hold.
    Any(Vec<Vec<Self>>),
}

impl<C> Condition<C> {
    fn holds(&self, test: &impl Fn(&C) -> bool) -> bool {
        match self {
            Self::Clause(clause) => test(clause),
            Self::Any(any) => any.iter().any(|all| all.iter().all(|c| c.holds(test))),
        }
    }

    /// Returns whether any clause in the condition fulfils a predicate.
    fn has(&self, is: &impl Fn(&C) -> bool) -> bool {
        match self {
            Self::Clause(clause) => is(clause),
            Self::Any(any) => any.iter().flatten().any(|c| c.has(is)),
        }
    }
}

/// A clause in a filter on models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelClause {
    /// The name of the model.
    Name(TextTest),
    /// The tag with this key.
    Tag(String, TextTest),
    /// The description.
    Description(TextTest),
    /// The aliases.
    Alias(TextTest),
    /// The stages of the model's versions.
    Stage(TextTest),
    /// The time of the registration, in milliseconds since the epoch.
    Created(NumberTest),
    /// The time of the last change, in milliseconds since the epoch.
    LastUpdated(NumberTest),
}

/// A clause in a filter on versions.
#[derive(Debug, Clone, PartialEq)]
pub enum VersionClause {
    /// The name of the model.
    Name(TextTest),
    /// The id of the run.
    RunId(TextTest),
    /// The source URI.
    SourcePath(TextTest),
    /// The version number.
    Number(NumberTest),
    /// The tag with this key.
    Tag(String, TextTest),
    /// The description.
    Description(TextTest),
    /// The aliases.
    Alias(TextTest),
    /// The stage.
    Stage(TextTest),
    /// The time of the registration, in milliseconds since the epoch.
    Created(NumberTest),
    /// The time of the last change, in milliseconds since the epoch.
    LastUpdated(NumberTest),
    /// The parameter with this key.
    Param(String, TextTest),
    /// The metric with this key.
    Metric(String, MetricTest),
}

impl Filter<Models> {
    /// Parses a filter on models. An empty filter matches every model that is not a prompt.
    ///
    /// # Errors
    /// Returns [`SearchError`] if the filter is invalid or exceeds [`MAX_FILTER`] or [`MAX_CLAUSES`].
    pub fn models(filter: &str) -> Result<Self, SearchError> {
        Self::read(filter, MODEL_KEYS, |key, comparator, value| {
            Ok(match key {
                ClauseKey::Tag(key) => ModelClause::Tag(key, tag_test("tag", &comparator, value)?),
                ClauseKey::Attribute(Attribute::Name) => ModelClause::Name(attribute_test(comparator, value)?),
                ClauseKey::Attribute(Attribute::Description) => {
                    ModelClause::Description(attribute_test(comparator, value)?)
                }
                ClauseKey::Attribute(Attribute::Alias) => ModelClause::Alias(attribute_test(comparator, value)?),
                ClauseKey::Attribute(Attribute::Stage) => ModelClause::Stage(attribute_test(comparator, value)?),
                ClauseKey::Attribute(Attribute::Created) => ModelClause::Created(time_test(comparator, &value)?),
                ClauseKey::Attribute(Attribute::LastUpdated) => {
                    ModelClause::LastUpdated(time_test(comparator, &value)?)
                }
                ClauseKey::Attribute(other @ (Attribute::VersionNumber | Attribute::RunId | Attribute::SourcePath)) => {
                    return Err(MODEL_KEYS.unknown(other.as_str()));
                }
                ClauseKey::Param(key) | ClauseKey::Metric(key) => return Err(MODEL_KEYS.unknown(&key)),
            })
        })
    }

    /// Returns whether a model matches. An unknown property ([`Fact::Unknown`](super::Fact::Unknown)) counts as a
    /// match.
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

    /// Returns whether a clause tests the description of a model.
    pub fn asks_description(&self) -> bool {
        self.all.iter().any(|c| c.has(&|clause| matches!(clause, ModelClause::Description(_))))
    }
}

impl Filter<Versions> {
    /// Parses a filter on versions. An empty filter matches every version of a model that is not a prompt.
    ///
    /// # Errors
    /// Returns [`SearchError`] if the filter is invalid or exceeds [`MAX_FILTER`] or [`MAX_CLAUSES`].
    pub fn versions(filter: &str) -> Result<Self, SearchError> {
        Self::read(filter, VERSION_KEYS, |key, comparator, value| {
            Ok(match key {
                ClauseKey::Tag(key) => VersionClause::Tag(key, tag_test("tag", &comparator, value)?),
                ClauseKey::Param(key) => VersionClause::Param(key, tag_test("param", &comparator, value)?),
                ClauseKey::Metric(key) => VersionClause::Metric(key, metric_test(comparator, &value)?),
                ClauseKey::Attribute(Attribute::Name) => VersionClause::Name(attribute_test(comparator, value)?),
                ClauseKey::Attribute(Attribute::VersionNumber) => {
                    VersionClause::Number(number_test(comparator, value)?)
                }
                ClauseKey::Attribute(Attribute::RunId) => VersionClause::RunId(attribute_test(comparator, value)?),
                ClauseKey::Attribute(Attribute::SourcePath) => {
                    VersionClause::SourcePath(attribute_test(comparator, value)?)
                }
                ClauseKey::Attribute(Attribute::Description) => {
                    VersionClause::Description(attribute_test(comparator, value)?)
                }
                ClauseKey::Attribute(Attribute::Alias) => VersionClause::Alias(attribute_test(comparator, value)?),
                ClauseKey::Attribute(Attribute::Stage) => VersionClause::Stage(attribute_test(comparator, value)?),
                ClauseKey::Attribute(Attribute::Created) => VersionClause::Created(time_test(comparator, &value)?),
                ClauseKey::Attribute(Attribute::LastUpdated) => {
                    VersionClause::LastUpdated(time_test(comparator, &value)?)
                }
            })
        })
    }

    /// Returns the clauses that every matching version must fulfil.
    fn demanded(&self) -> impl Iterator<Item = &VersionClause> {
        self.all.iter().filter_map(|condition| match condition {
            Condition::Clause(clause) => Some(clause),
            Condition::Any(_) => None,
        })
    }

    /// Returns the name of the model of all matching versions, if the filter demands one model.
    pub fn model(&self) -> Option<&str> {
        self.demanded().find_map(|clause| match clause {
            VersionClause::Name(TextTest(Test::Is(name))) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Returns the tags, with their values, that every matching version must have.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        self.demanded().filter_map(|clause| match clause {
            VersionClause::Tag(key, TextTest(Test::Is(value))) => Some((key.as_str(), value.as_str())),
            _ => None,
        })
    }

    /// Returns whether a version matches. An unknown property ([`Fact::Unknown`](super::Fact::Unknown)) counts as a
    /// match.
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

    /// Returns whether a clause tests the aliases of a version.
    pub fn asks_aliases(&self) -> bool {
        self.all.iter().any(|c| c.has(&|clause| matches!(clause, VersionClause::Alias(_))))
    }

    /// Returns whether a clause tests the description, the parameters or the metrics of a version.
    pub fn asks_details(&self) -> bool {
        let is = |clause: &VersionClause| {
            matches!(clause, VersionClause::Description(_) | VersionClause::Param(..) | VersionClause::Metric(..))
        };
        self.all.iter().any(|c| c.has(&is))
    }
}

impl<T: Target> Filter<T> {
    /// Parses a filter. `clause` makes a clause of a key, a comparator in upper case and a value.
    fn read(
        filter: &str,
        keys: TargetKeys,
        clause: impl Fn(ClauseKey, String, Value<'_>) -> Result<T::Clause, SearchError>,
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
            // For example a superfluous `AND` in a filter with a key of the extended language.
            let extended = sides(filter, keys).and_then(|sides| Self::of(vec![Condition::of(sides)], &clause));
            return extended.map_err(|e| if keys.extends(&refusal) { e } else { refusal });
        };
        let is_flat =
            matches!(any.as_slice(), [all] if !all.iter().any(|part| matches!(part, nest::ConjunctionPart::Any(_))));
        let mut count = 0;
        let extended = read_any(any, keys, &mut count).and_then(|any| {
            at_most(MAX_CLAUSES, "filter", count, "clauses")?;
            Self::of(any, &clause)
        });
        extended.map_err(|e| if is_flat && !keys.extends(&refusal) { refusal } else { e })
    }

    /// Makes a filter of parsed conjunctions, at least one of which must hold. All keys and values were checked before
    /// the first comparator, which is the order of MLflow's errors.
    fn of(
        any: Vec<Vec<Condition<ClauseSides<'_>>>>,
        clause: &impl Fn(ClauseKey, String, Value<'_>) -> Result<T::Clause, SearchError>,
    ) -> Result<Self, SearchError> {
        let shows_prompts =
            first_on_prompt(&any).is_some_and(|(_, comparator, value)| asks_for_prompts(comparator, value));
        let mut any = clauses(any, shows_prompts, clause)?;
        let all = if any.len() == 1 { any.pop().unwrap_or_default() } else { vec![Condition::Any(any)] };
        Ok(Self { all, shows_prompts })
    }
}

impl<'a> Condition<ClauseSides<'a>> {
    /// Makes a conjunction of clauses.
    fn of(sides: Vec<ClauseSides<'a>>) -> Vec<Self> {
        sides.into_iter().map(Self::Clause).collect()
    }
}

/// Parses clauses in MLflow's grammar.
fn sides(filter: &str, keys: TargetKeys) -> Result<Vec<ClauseSides<'_>>, SearchError> {
    let written = group::clauses(filter)?;
    at_most(MAX_CLAUSES, "filter", written.len(), "clauses")?;
    written.into_iter().map(|c| keys.sides(c)).collect()
}

/// Parses nested conjunctions, and adds the number of their clauses to `count`.
fn read_any<'a>(
    any: Vec<nest::All<'a>>,
    keys: TargetKeys,
    count: &mut usize,
) -> Result<Vec<Vec<Condition<ClauseSides<'a>>>>, SearchError> {
    let mut out = Vec::with_capacity(any.len());
    for all in any {
        let mut conditions = Vec::with_capacity(all.len());
        for part in all {
            match part {
                nest::ConjunctionPart::Clauses(text) => {
                    let found = sides(text, keys)?;
                    *count += found.len();
                    conditions.extend(Condition::of(found));
                }
                nest::ConjunctionPart::Any(inner) => conditions.push(Condition::Any(read_any(inner, keys, count)?)),
            }
        }
        out.push(conditions);
    }
    Ok(out)
}

/// Returns whether a key is the tag [`IS_PROMPT`].
fn is_on_prompt(key: &ClauseKey) -> bool {
    matches!(key, ClauseKey::Tag(key) if key == IS_PROMPT)
}

/// Returns the first clause on the tag [`IS_PROMPT`], in the order of the filter.
fn first_on_prompt<'s, 'a>(any: &'s [Vec<Condition<ClauseSides<'a>>>]) -> Option<&'s ClauseSides<'a>> {
    any.iter().flatten().find_map(|condition| match condition {
        Condition::Clause(sides) => Some(sides).filter(|(key, ..)| is_on_prompt(key)),
        Condition::Any(any) => first_on_prompt(any),
    })
}

/// Makes the clauses of nested conjunctions. Clauses on the tag [`IS_PROMPT`] are dropped unless prompts are shown.
fn clauses<C>(
    any: Vec<Vec<Condition<ClauseSides<'_>>>>,
    shows_prompts: bool,
    clause: &impl Fn(ClauseKey, String, Value<'_>) -> Result<C, SearchError>,
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

/// Returns whether a clause on [`IS_PROMPT`] is `= 'true'` or `!= 'false'`, with the value in any case.
fn asks_for_prompts(comparator: &str, value: &Value<'_>) -> bool {
    let Value::Text(value) = value else { return false };
    let wanted = match comparator {
        "=" => "true",
        "!=" => "false",
        _ => return false,
    };
    value.eq_ignore_ascii_case(wanted)
}
