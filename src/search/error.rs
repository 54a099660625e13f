//! Errors of searches, in the words that MLflow's clients and tests know.

/// The error for an invalid search. Every case is a mistake of the caller: HTTP 400 `INVALID_PARAMETER_VALUE`.
///
/// The messages are MLflow's where MLflow has one. They quote the request, so escape them with
/// [`crate::text::one_line`] for a terminal. In some cases MLflow returns 500 (`IS NULL`, an order with the same field
/// twice, a version number that does not fit an integer); these cases are errors of this type, too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// The filter is only white space.
    #[error("Invalid filter '{0}'. Could not be parsed.")]
    Filter(String),
    /// The filter has several statements, separated by `;`. Holds the filter as Python writes it.
    #[error("Search filter contained multiple expression {0}. Provide AND-ed expression list.")]
    Statements(String),
    /// The filter contains words that are neither a clause nor `AND`. Holds these words, separated by commas.
    #[error("Invalid clause(s) in filter string: {0}")]
    Clauses(String),
    /// The left side of a comparison is not a key.
    #[error("Invalid comparison clause. Expected 'Identifier' found '{0}'")]
    LeftSide(String),
    /// The word before the dot of a key is unknown.
    #[error("Invalid entity type '{given}'. Valid entity types are {valid}")]
    EntityType {
        /// The value of the caller.
        given: String,
        /// The valid values.
        valid: &'static str,
    },
    /// The key does not exist for searches or orders.
    #[error("Invalid attribute key '{key}' specified. Valid keys are '{valid}'")]
    Attribute {
        /// The value of the caller.
        key: String,
        /// The valid values.
        valid: &'static str,
    },
    /// The key does not take the comparator.
    #[error("Invalid comparator for {of}: {comparator}")]
    Comparator {
        /// `attribute`, `attribute version_number` or `tag`.
        of: &'static str,
        /// The comparator, in upper case.
        comparator: String,
    },
    /// A value has no quotes.
    #[error(
        "Parameter value is either not quoted or unidentified quote types used for string value {0}. \
         Use either single or double quotes."
    )]
    Unquoted(String),
    /// An attribute takes a text, but the value is a number, a list or another item.
    #[error("Expected a quoted string value or a list of quoted string values for attributes. Got value {0}")]
    AttributeValue(String),
    /// An attribute of versions takes a text, but the value is a number.
    #[error(
        "Only the '{{'version_number', 'creation_timestamp', 'last_updated_timestamp'}}' attributes support \
         comparison with numeric values."
    )]
    NotNumeric,
    /// The value for a tag is not a text.
    #[error("Expected a quoted string value for tag (e.g. 'my-value'). Got value {0}")]
    TagValue(String),
    /// The value for a parameter is not a text.
    #[error("Expected a quoted string value for param (e.g. 'my-value'). Got value {0}")]
    ParamValue(String),
    /// The value for a metric is not a number.
    #[error("Expected numeric value type for metric. Found {0}")]
    MetricValue(String),
    /// The value for a time is not a time.
    #[error("Invalid value for a time: {0}. Write milliseconds since the epoch, or a time such as '2026-03-01'.")]
    Time(String),
    /// The key does not take a list. Holds the keys that take a list.
    #[error("Only {0} attributes support comparison with a list of quoted string values.")]
    ListKey(&'static str),
    /// The list is empty: `()`.
    #[error("While parsing a list in the query, expected a non-empty list of string values, but got empty list")]
    EmptyList,
    /// The list does not consist of values separated by commas.
    #[error("While parsing a list in the query, expected a non-empty list of string values, but got ill-formed list.")]
    IllFormedList,
    /// The list contains values that are not texts. Holds the list as Python writes it.
    #[error(
        "While parsing a list in the query, expected string value, punctuation, or whitespace, but got different \
         type in list: {0}"
    )]
    ListType(String),
    /// The version number is not an integer of 64 bits.
    #[error("Invalid value for numeric attribute 'version_number': {0}")]
    VersionNumber(String),
    /// The filter contains `IS NULL` or `IS NOT NULL`. Holds the kind of rows.
    #[error("IS NULL / IS NOT NULL is not supported for {0} search.")]
    Null(&'static str),
    /// An entry of the order is not `key [ASC|DESC]`.
    #[error("Invalid order_by clause '{0}'. Could not be parsed.")]
    Order(String),
    /// The direction of an order is neither `ASC` nor `DESC`.
    #[error("Invalid ordering key in order_by clause '{0}'.")]
    Direction(String),
    /// The key is not valid for an order of models, or is a tag in an order of versions.
    #[error("Invalid order by key '{key}' specified. Valid keys are {valid}")]
    OrderKey {
        /// The value of the caller.
        key: String,
        /// The valid values.
        valid: &'static str,
    },
    /// The order contains the same field twice. Holds the whole order as Python writes it.
    #[error("`order_by` contains duplicate fields: {0}")]
    OrderTwice(String),
    /// The page size is not a number, or is too large. Holds the value as JSON.
    #[error(
        "Invalid value {0} for parameter 'max_results' supplied:  Hint: Value was of type 'str'. See the API docs \
         for more information about request parameters."
    )]
    MaxResults(String),
    /// The page size is below 1.
    #[error("Invalid value for max_results. It must be a positive integer, but got {0}")]
    NotPositive(i64),
    /// The page token is not base64.
    #[error("Invalid page token, could not base64-decode")]
    TokenEncoding,
    /// The page token is not JSON. Holds its bytes as Python writes them.
    #[error("Invalid page token, decoded value={0}")]
    TokenText(String),
    /// The page token lacks fields of a token. Holds its JSON.
    #[error("Invalid page token, parsed value={0}")]
    TokenFields(String),
    /// This registry did not make the page token for this search.
    #[error("Invalid page token, it was not made for this search; request the first page again")]
    TokenForeign,
    /// The search exceeds a limit.
    #[error("Invalid search: {what} has {given} {unit}; at most {most} are allowed")]
    TooMuch {
        /// The part of the search: `filter`, `order_by`…
        what: &'static str,
        /// The size of the part.
        given: usize,
        /// The limit.
        most: usize,
        /// The unit of the size: `bytes`, `clauses`…
        unit: &'static str,
    },
}

/// Checks that `given` is at most `most`; otherwise returns [`SearchError::TooMuch`].
pub(super) fn at_most(most: usize, what: &'static str, given: usize, unit: &'static str) -> Result<(), SearchError> {
    if given > most { Err(SearchError::TooMuch { what, given, most, unit }) } else { Ok(()) }
}
