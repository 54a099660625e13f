//! The tests of clauses: comparisons with a text, a number, a time or a metric.

use std::collections::HashSet;

use super::error::SearchError;
use super::keys::Value;
use super::like::Pattern;
use super::python;
use crate::time::Timestamp;

/// A test of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextTest(pub(super) Test);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Test {
    Is(String),
    IsNot(String),
    Like(Pattern),
    In(HashSet<String>),
    NotIn(HashSet<String>),
}

impl TextTest {
    pub(super) fn holds(&self, text: &str) -> bool {
        match &self.0 {
            Test::Is(wanted) => text == wanted,
            Test::IsNot(unwanted) => text != unwanted,
            Test::Like(pattern) => pattern.matches(text),
            Test::In(wanted) => wanted.contains(text),
            Test::NotIn(unwanted) => !unwanted.contains(text),
        }
    }

    /// Returns whether one of the texts that `each` passes fulfils the test. For `!=` and `NOT IN`, all texts must
    /// fulfil it.
    pub(super) fn holds_of(&self, each: impl FnOnce(&mut dyn FnMut(&str))) -> bool {
        let (mut any, mut all) = (false, true);
        each(&mut |text| {
            let holds = self.holds(text);
            any |= holds;
            all &= holds;
        });
        match &self.0 {
            Test::Is(_) | Test::Like(_) | Test::In(_) => any,
            Test::IsNot(_) | Test::NotIn(_) => all,
        }
    }
}

/// A test of an integer.
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

impl Sign {
    fn of(comparator: &str) -> Option<Self> {
        Some(match comparator {
            "=" => Self::Equal,
            "!=" => Self::Unequal,
            "<" => Self::Less,
            "<=" => Self::AtMost,
            ">" => Self::More,
            ">=" => Self::AtLeast,
            _ => return None,
        })
    }

    fn holds<N: PartialOrd>(self, number: N, than: N) -> bool {
        match self {
            Self::Equal => number == than,
            Self::Unequal => number != than,
            Self::Less => number < than,
            Self::AtMost => number <= than,
            Self::More => number > than,
            Self::AtLeast => number >= than,
        }
    }
}

impl NumberTest {
    pub(super) fn holds(self, number: impl Into<i128>) -> bool {
        self.sign.holds(number.into(), i128::from(self.than))
    }
}

/// A test of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricTest {
    sign: Sign,
    than: f64,
}

impl MetricTest {
    pub(super) fn holds(self, number: f64) -> bool {
        self.sign.holds(number, self.than)
    }
}

/// Makes a test of a text with a comparator that all texts take: `=`, `!=`, `LIKE` or `ILIKE`.
fn text_test(comparator: &str, text: &str) -> Option<TextTest> {
    Some(TextTest(match comparator {
        "=" => Test::Is(text.to_owned()),
        "!=" => Test::IsNot(text.to_owned()),
        "LIKE" => Test::Like(Pattern::new(text, false)),
        "ILIKE" => Test::Like(Pattern::new(text, true)),
        _ => return None,
    }))
}

pub(super) fn tag_test(of: &'static str, comparator: &str, value: Value<'_>) -> Result<TextTest, SearchError> {
    let wrong = || SearchError::Comparator { of, comparator: comparator.to_owned() };
    match value {
        Value::Text(text) => text_test(comparator, text).ok_or_else(wrong),
        Value::Integer(_) | Value::Float(_) | Value::List(..) => Err(wrong()),
    }
}

/// Makes a test of an attribute that is a text.
pub(super) fn attribute_test(comparator: String, value: Value<'_>) -> Result<TextTest, SearchError> {
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

/// Makes a test of a version number.
pub(super) fn number_test(comparator: String, value: Value<'_>) -> Result<NumberTest, SearchError> {
    let Some(sign) = Sign::of(&comparator) else {
        return Err(SearchError::Comparator { of: "attribute version_number", comparator });
    };
    let (than, written) = match value {
        Value::Integer(n) => (n.parse().ok(), n.to_owned()),
        Value::Text(text) => (python::int(text), python::text(text)),
        Value::Float(n) => (None, n.to_owned()),
        Value::List(_, written) => (None, written.to_owned()),
    };
    than.map(|than| NumberTest { sign, than }).ok_or(SearchError::VersionNumber(written))
}

/// Makes a test of a time. The value is a number of milliseconds, or a text with a time.
pub(super) fn time_test(comparator: String, value: &Value<'_>) -> Result<NumberTest, SearchError> {
    let Some(sign) = Sign::of(&comparator) else {
        return Err(SearchError::Comparator { of: "time", comparator });
    };
    let (than, written) = match value {
        Value::Integer(n) => (n.parse().ok(), (*n).to_owned()),
        Value::Text(text) => {
            let time = text.parse::<Timestamp>().ok().map(Timestamp::as_millis);
            (time.or_else(|| python::int(text)), python::text(text))
        }
        Value::Float(n) => (None, (*n).to_owned()),
        Value::List(_, written) => (None, (*written).to_owned()),
    };
    than.map(|than| NumberTest { sign, than }).ok_or(SearchError::Time(written))
}

/// Makes a test of a metric.
pub(super) fn metric_test(comparator: String, value: &Value<'_>) -> Result<MetricTest, SearchError> {
    let Some(sign) = Sign::of(&comparator) else {
        return Err(SearchError::Comparator { of: "metric", comparator });
    };
    let written = match value {
        Value::Integer(n) | Value::Float(n) => *n,
        Value::Text(text) => *text,
        Value::List(_, written) => *written,
    };
    let than = written.parse().ok();
    than.map(|than| MetricTest { sign, than }).ok_or_else(|| SearchError::MetricValue(written.to_owned()))
}
