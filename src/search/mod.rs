//! Searches of registered models and of model versions, in MLflow's language.
//!
//! A [`Query`] is the question: a [`Filter`], an [`Order`], and what page tokens are bound to. It is asked of
//! rows, which may borrow from an index or from a snapshot; a [`Page`] is the answer. Nothing here reads or
//! writes anything.
//!
//! ```
//! use greenroom::search::{Fact, ModelRow, PageLimits, Query};
//! use greenroom::time::Timestamp;
//!
//! struct Row(&'static str);
//! impl ModelRow for Row {
//!     fn name(&self) -> &str { self.0 }
//!     fn last_updated(&self) -> Timestamp { Timestamp::from_millis(0) }
//!     fn tag(&self, _: &str) -> Option<&str> { None }
//!     fn created(&self) -> Timestamp { Timestamp::from_millis(0) }
//!     fn description(&self) -> Fact<&str> { Fact::Known("") }
//!     fn each_alias(&self, _: &mut dyn FnMut(&str)) {}
//!     fn each_stage(&self, _: &mut dyn FnMut(&str)) {}
//! }
//!
//! let query = Query::models("name LIKE 'wine%'", &["name DESC".to_owned()])?;
//! let page = query.page([Row("wine"), Row("beer"), Row("wine 2")], 0, PageLimits::MODELS.size(Some("1"))?);
//! assert_eq!(page.rows[0].0, "wine 2");
//! assert_eq!(page.next, Some(1));
//! # Ok::<(), greenroom::search::SearchError>(())
//! ```

mod boxed;
mod comparison;
mod error;
mod filter;
mod group;
mod keys;
mod lex;
mod like;
mod nest;
mod order;
mod page;
pub mod python;

pub use boxed::box_filter;
pub use comparison::{MetricTest, NumberTest, TextTest};
pub use error::SearchError;
pub use filter::{Filter, IS_PROMPT, MAX_CLAUSES, MAX_FILTER, ModelClause, VersionClause};
pub use order::{ModelKey, Order, VersionKey};
pub use page::{Listing, Page, PageLimits, PageSize, Start, TokenKey};

use std::fmt::Debug;

use crate::time::Timestamp;
use page::SearchId;

/// What a search is about: [`Models`] or [`Versions`].
pub trait Target: Debug + Clone + PartialEq + Eq {
    /// A clause of its filters.
    type Clause: Debug + Clone + PartialEq;
    /// A key of its orders.
    type Key: Debug + Copy + PartialEq + Eq;
}

/// Searches of registered models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Models {}

/// Searches of model versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {}

impl Target for Models {
    type Clause = ModelClause;
    type Key = ModelKey;
}

impl Target for Versions {
    type Clause = VersionClause;
    type Key = VersionKey;
}

/// Something about a row that it may not know, or not have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fact<T> {
    /// The row does not hold it: whoever decides has to look it up.
    Unknown,
    /// There is none.
    Absent,
    /// It is this.
    Known(T),
}

impl<T> Fact<T> {
    /// Whether a test holds, or may hold.
    fn holds(self, test: impl FnOnce(T) -> bool) -> bool {
        match self {
            Self::Unknown => true,
            Self::Absent => false,
            Self::Known(value) => test(value),
        }
    }
}

/// A registered model as a search sees it.
pub trait ModelRow {
    /// The name.
    fn name(&self) -> &str;
    /// When the model last changed.
    fn last_updated(&self) -> Timestamp;
    /// The value of a tag.
    fn tag(&self, key: &str) -> Option<&str>;
    /// When the model was registered.
    fn created(&self) -> Timestamp;
    /// What it is for.
    fn description(&self) -> Fact<&str>;
    /// Gives each of its aliases.
    fn each_alias(&self, see: &mut dyn FnMut(&str));
    /// Gives each stage that a version of it is in.
    fn each_stage(&self, see: &mut dyn FnMut(&str));
}

/// A model version as a search sees it.
pub trait VersionRow {
    /// The model's name.
    fn name(&self) -> &str;
    /// The version's number.
    fn number(&self) -> u64;
    /// The run that made it; empty if none is known.
    fn run_id(&self) -> &str;
    /// Its source, as it was registered.
    fn source_path(&self) -> &str;
    /// When it was registered.
    fn created(&self) -> Timestamp;
    /// When it last changed.
    fn last_updated(&self) -> Timestamp;
    /// The value of a tag of the version.
    fn tag(&self, key: &str) -> Option<&str>;
    /// Whether its model is a prompt. For MLflow that is so if *any* version of the model has the tag
    /// [`IS_PROMPT`] with the value `true`; MLflow's client sets the tag on the model, too.
    fn is_of_prompt(&self) -> bool;
    /// The stage.
    fn stage(&self) -> &str;
    /// The description.
    fn description(&self) -> Fact<&str>;
    /// Gives each of its aliases.
    fn each_alias(&self, see: &mut dyn FnMut(&str));
    /// The value of a parameter.
    fn param(&self, key: &str) -> Fact<&str>;
    /// The value of a metric.
    fn metric(&self, key: &str) -> Fact<f64>;
}

impl<R: ModelRow + ?Sized> ModelRow for &R {
    fn name(&self) -> &str {
        (**self).name()
    }
    fn last_updated(&self) -> Timestamp {
        (**self).last_updated()
    }
    fn tag(&self, key: &str) -> Option<&str> {
        (**self).tag(key)
    }
    fn created(&self) -> Timestamp {
        (**self).created()
    }
    fn description(&self) -> Fact<&str> {
        (**self).description()
    }
    fn each_alias(&self, see: &mut dyn FnMut(&str)) {
        (**self).each_alias(see);
    }
    fn each_stage(&self, see: &mut dyn FnMut(&str)) {
        (**self).each_stage(see);
    }
}

impl<R: VersionRow + ?Sized> VersionRow for &R {
    fn name(&self) -> &str {
        (**self).name()
    }
    fn number(&self) -> u64 {
        (**self).number()
    }
    fn run_id(&self) -> &str {
        (**self).run_id()
    }
    fn source_path(&self) -> &str {
        (**self).source_path()
    }
    fn created(&self) -> Timestamp {
        (**self).created()
    }
    fn last_updated(&self) -> Timestamp {
        (**self).last_updated()
    }
    fn tag(&self, key: &str) -> Option<&str> {
        (**self).tag(key)
    }
    fn is_of_prompt(&self) -> bool {
        (**self).is_of_prompt()
    }
    fn stage(&self) -> &str {
        (**self).stage()
    }
    fn description(&self) -> Fact<&str> {
        (**self).description()
    }
    fn each_alias(&self, see: &mut dyn FnMut(&str)) {
        (**self).each_alias(see);
    }
    fn param(&self, key: &str) -> Fact<&str> {
        (**self).param(key)
    }
    fn metric(&self, key: &str) -> Fact<f64> {
        (**self).metric(key)
    }
}

/// A search: what to find, in which order, and what its page tokens are bound to.
#[derive(Debug, Clone, PartialEq)]
pub struct Query<T: Target> {
    /// What to find.
    pub filter: Filter<T>,
    /// In which order.
    pub order: Order<T>,
    id: SearchId,
}

impl Query<Models> {
    /// Reads a search of models: `filter` (empty: all) and the entries of `order_by` (empty: by name).
    pub fn models(filter: &str, order_by: &[String]) -> Result<Self, SearchError> {
        let id = SearchId::new("models", filter, order_by);
        Ok(Self { filter: Filter::models(filter)?, order: Order::models(order_by)?, id })
    }

    /// Answers from all rows: those that match, in order, from `offset` on as many as a page has.
    pub fn page<R: ModelRow>(&self, rows: impl IntoIterator<Item = R>, offset: usize, size: PageSize) -> Page<R> {
        let rows = rows.into_iter().filter(|row| self.filter.matches(row)).collect();
        Page::cut(rows, offset, size, |a, b| self.order.compare(a, b))
    }
}

impl Query<Versions> {
    /// Reads a search of versions: `filter` (empty: all) and the entries of `order_by` (empty: latest first).
    pub fn versions(filter: &str, order_by: &[String]) -> Result<Self, SearchError> {
        let id = SearchId::new("versions", filter, order_by);
        Ok(Self { filter: Filter::versions(filter)?, order: Order::versions(order_by)?, id })
    }

    /// Answers from all rows: those that match, in order, from `offset` on as many as a page has.
    pub fn page<R: VersionRow>(&self, rows: impl IntoIterator<Item = R>, offset: usize, size: PageSize) -> Page<R> {
        let rows = rows.into_iter().filter(|row| self.filter.matches(row)).collect();
        Page::cut(rows, offset, size, |a, b| self.order.compare(a, b))
    }
}

impl<T: Target> Query<T> {
    /// Where the page of a token starts; the empty token is the first page. Refuses a token that was made with
    /// another key, for another search, or not by [`Query::token`] at all.
    pub fn start(&self, token: &str, key: &TokenKey) -> Result<Start, SearchError> {
        page::open(&self.id, token, key)
    }

    /// The token of the page that starts at `offset` ([`Page::next`]), for rows read at `commit`, which is a
    /// short text such as an object id.
    pub fn token(&self, offset: usize, commit: &str, key: &TokenKey) -> String {
        page::seal(&self.id, offset, commit, key)
    }
}

#[cfg(test)]
mod tests;
