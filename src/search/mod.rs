//! Searches of registered models and of model versions, in MLflow's language.
//!
//! A [`Query`] consists of a [`Filter`], an [`Order`], and the identity that page tokens are bound to. A query runs
//! over rows, which may borrow from an index or from a snapshot, and returns a [`ResultPage`]. This module does no I/O.
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
mod search_box;

pub use comparison::{MetricTest, NumberTest, TextTest};
pub use error::SearchError;
pub use filter::{Filter, IS_PROMPT, MAX_CLAUSES, MAX_FILTER, ModelClause, VersionClause};
pub use order::{ModelKey, Order, VersionKey};
pub use page::{Listing, PageLimits, PageSize, PageStart, ResultPage, TokenKey};
pub use search_box::box_filter;

use std::fmt::Debug;

use crate::time::Timestamp;
use page::SearchId;

/// The kind of rows that a search finds: [`Models`] or [`Versions`].
pub trait Target: Debug + Clone + PartialEq + Eq {
    /// The type of a clause in a filter.
    type Clause: Debug + Clone + PartialEq;
    /// The type of a key in an order.
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

/// A property of a row, which may be unknown or absent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fact<T> {
    /// The row does not hold the property. The caller has to look it up before the decision.
    Unknown,
    /// The property does not exist.
    Absent,
    /// The value of the property.
    Known(T),
}

impl<T> Fact<T> {
    /// Returns whether a test holds or, for an unknown property, may hold.
    fn holds(self, test: impl FnOnce(T) -> bool) -> bool {
        match self {
            Self::Unknown => true,
            Self::Absent => false,
            Self::Known(value) => test(value),
        }
    }
}

/// A registered model as the input of a search.
pub trait ModelRow {
    /// Returns the name.
    fn name(&self) -> &str;
    /// Returns the time of the last change.
    fn last_updated(&self) -> Timestamp;
    /// Returns the value of a tag, if the model has the tag.
    fn tag(&self, key: &str) -> Option<&str>;
    /// Returns the time of the registration.
    fn created(&self) -> Timestamp;
    /// Returns the description.
    fn description(&self) -> Fact<&str>;
    /// Calls `see` with each alias.
    fn each_alias(&self, see: &mut dyn FnMut(&str));
    /// Calls `see` with each stage that contains a version of the model.
    fn each_stage(&self, see: &mut dyn FnMut(&str));
}

/// A model version as the input of a search.
pub trait VersionRow {
    /// Returns the name of the model.
    fn name(&self) -> &str;
    /// Returns the version number.
    fn number(&self) -> u64;
    /// Returns the id of the run, or an empty text if it is unknown.
    fn run_id(&self) -> &str;
    /// Returns the source URI at registration.
    fn source_path(&self) -> &str;
    /// Returns the time of the registration.
    fn created(&self) -> Timestamp;
    /// Returns the time of the last change.
    fn last_updated(&self) -> Timestamp;
    /// Returns the value of a tag, if the version has the tag.
    fn tag(&self, key: &str) -> Option<&str>;
    /// Returns whether the model is a prompt. For MLflow, a model is a prompt if *any* version of the model has the tag
    /// [`IS_PROMPT`] with the value `true`. MLflow's client also sets the tag on the model.
    fn is_of_prompt(&self) -> bool;
    /// Returns the stage.
    fn stage(&self) -> &str;
    /// Returns the description.
    fn description(&self) -> Fact<&str>;
    /// Calls `see` with each alias.
    fn each_alias(&self, see: &mut dyn FnMut(&str));
    /// Returns the value of a parameter.
    fn param(&self, key: &str) -> Fact<&str>;
    /// Returns the value of a metric.
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

/// A search: a filter, an order, and the identity that page tokens are bound to.
#[derive(Debug, Clone, PartialEq)]
pub struct Query<T: Target> {
    /// The condition for the rows.
    pub filter: Filter<T>,
    /// The order of the rows.
    pub order: Order<T>,
    id: SearchId,
}

impl Query<Models> {
    /// Parses a search of models. An empty `filter` means all models that are not prompts; an empty `order_by` means by
    /// name.
    ///
    /// # Errors
    /// Returns [`SearchError`] if the filter or the order is invalid or too long.
    pub fn models(filter: &str, order_by: &[String]) -> Result<Self, SearchError> {
        let id = SearchId::new("models", filter, order_by);
        Ok(Self { filter: Filter::models(filter)?, order: Order::models(order_by)?, id })
    }

    /// Returns a page of the matching rows in order, beginning at `offset`. `rows` are all rows of the registry.
    pub fn page<R: ModelRow>(&self, rows: impl IntoIterator<Item = R>, offset: usize, size: PageSize) -> ResultPage<R> {
        let rows = rows.into_iter().filter(|row| self.filter.matches(row)).collect();
        ResultPage::cut(rows, offset, size, |a, b| self.order.compare(a, b))
    }
}

impl Query<Versions> {
    /// Parses a search of versions. An empty `filter` means all versions of models that are not prompts; an empty
    /// `order_by` means by last change, newest first.
    ///
    /// # Errors
    /// Returns [`SearchError`] if the filter or the order is invalid or too long.
    pub fn versions(filter: &str, order_by: &[String]) -> Result<Self, SearchError> {
        let id = SearchId::new("versions", filter, order_by);
        Ok(Self { filter: Filter::versions(filter)?, order: Order::versions(order_by)?, id })
    }

    /// Returns a page of the matching rows in order, beginning at `offset`. `rows` are all rows of the registry.
    pub fn page<R: VersionRow>(
        &self,
        rows: impl IntoIterator<Item = R>,
        offset: usize,
        size: PageSize,
    ) -> ResultPage<R> {
        let rows = rows.into_iter().filter(|row| self.filter.matches(row)).collect();
        ResultPage::cut(rows, offset, size, |a, b| self.order.compare(a, b))
    }
}

impl<T: Target> Query<T> {
    /// Returns the start of the page of a token. The empty token is the first page.
    ///
    /// # Errors
    /// Returns [`SearchError`] if the token was made with another key or for another search, or if it was not made by
    /// [`Query::token`].
    pub fn start(&self, token: &str, key: &TokenKey) -> Result<PageStart, SearchError> {
        page::open(&self.id, token, key)
    }

    /// Returns the token of the page that starts at `offset` ([`ResultPage::next`]), for rows read at `commit`. `commit`
    /// is a short text, such as an object id.
    pub fn token(&self, offset: usize, commit: &str, key: &TokenKey) -> String {
        page::seal(&self.id, offset, commit, key)
    }
}

#[cfg(test)]
mod tests;
