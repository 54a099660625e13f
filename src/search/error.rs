//! Why a search is refused, in the words that MLflow's clients and tests know.

/// A search that cannot be made. Every case is the asker's mistake: HTTP 400 `INVALID_PARAMETER_VALUE`.
///
/// The texts are MLflow's where it has one; they quote what was asked, so a terminal must show them
/// through [`crate::text::one_line`]. Where MLflow answers 500 (`IS NULL`, an order with the same field
/// twice, a version number that fits no integer) the mistake is still one of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// A filter of nothing but white space.
    #[error("Invalid filter '{0}'. Could not be parsed.")]
    Filter(String),
    /// Several statements, parted by `;`. Holds the filter as Python writes it.
    #[error("Search filter contained multiple expression {0}. Provide AND-ed expression list.")]
    Statements(String),
    /// What is neither a clause nor `AND`, with commas.
    #[error("Invalid clause(s) in filter string: {0}")]
    Clauses(String),
    /// The left side of a comparison is no key.
    #[error("Invalid comparison clause. Expected 'Identifier' found '{0}'")]
    LeftSide(String),
    /// What stands before the dot of a key.
    #[error("Invalid entity type '{given}'. Valid entity types are {valid}")]
    EntityType {
        /// As it was given.
        given: String,
        /// Those that exist.
        valid: &'static str,
    },
    /// A key that cannot be searched or ordered by.
    #[error("Invalid attribute key '{key}' specified. Valid keys are '{valid}'")]
    Attribute {
        /// As it was given.
        key: String,
        /// Those that exist.
        valid: &'static str,
    },
    /// A comparator that the key does not take.
    #[error("Invalid comparator for {of}: {comparator}")]
    Comparator {
        /// `attribute`, `attribute version_number` or `tag`.
        of: &'static str,
        /// As it was given, in upper case.
        comparator: String,
    },
    /// A value without quotes.
    #[error(
        "Parameter value is either not quoted or unidentified quote types used for string value {0}. \
         Use either single or double quotes."
    )]
    Unquoted(String),
    /// A number, list or other thing where an attribute takes a text.
    #[error("Expected a quoted string value or a list of quoted string values for attributes. Got value {0}")]
    AttributeValue(String),
    /// A number where an attribute of versions takes a text.
    #[error(
        "Only the '{{'version_number', 'creation_timestamp', 'last_updated_timestamp'}}' attributes support \
         comparison with numeric values."
    )]
    NotNumeric,
    /// Something else than a text for a tag.
    #[error("Expected a quoted string value for tag (e.g. 'my-value'). Got value {0}")]
    TagValue(String),
    /// Something else than a text for a parameter.
    #[error("Expected a quoted string value for param (e.g. 'my-value'). Got value {0}")]
    ParamValue(String),
    /// Something else than a number for a metric.
    #[error("Expected numeric value type for metric. Found {0}")]
    MetricValue(String),
    /// Something else than a time.
    #[error("Invalid value for a time: {0}. Write milliseconds since the epoch, or a time such as '2026-03-01'.")]
    Time(String),
    /// A list for a key that takes none; holds the keys that do.
    #[error("Only {0} attributes support comparison with a list of quoted string values.")]
    ListKey(&'static str),
    /// `()`.
    #[error("While parsing a list in the query, expected a non-empty list of string values, but got empty list")]
    EmptyList,
    /// A list that is not values with commas between them.
    #[error("While parsing a list in the query, expected a non-empty list of string values, but got ill-formed list.")]
    IllFormedList,
    /// A list with something else than texts. Holds it as Python writes it.
    #[error(
        "While parsing a list in the query, expected string value, punctuation, or whitespace, but got different \
         type in list: {0}"
    )]
    ListType(String),
    /// A version number that is no integer of 64 bits.
    #[error("Invalid value for numeric attribute 'version_number': {0}")]
    VersionNumber(String),
    /// `IS NULL` or `IS NOT NULL`; holds what was searched.
    #[error("IS NULL / IS NOT NULL is not supported for {0} search.")]
    Null(&'static str),
    /// An order that is not `key [ASC|DESC]`.
    #[error("Invalid order_by clause '{0}'. Could not be parsed.")]
    Order(String),
    /// A direction that is neither `ASC` nor `DESC`.
    #[error("Invalid ordering key in order_by clause '{0}'.")]
    Direction(String),
    /// A key that models cannot be ordered by, or a tag for versions.
    #[error("Invalid order by key '{key}' specified. Valid keys are {valid}")]
    OrderKey {
        /// As it was given.
        key: String,
        /// Those that exist.
        valid: &'static str,
    },
    /// The same field twice. Holds the whole order as Python writes it.
    #[error("`order_by` contains duplicate fields: {0}")]
    OrderTwice(String),
    /// A page size that is no number, or too large. Holds it as JSON.
    #[error(
        "Invalid value {0} for parameter 'max_results' supplied:  Hint: Value was of type 'str'. See the API docs \
         for more information about request parameters."
    )]
    MaxResults(String),
    /// A page size below 1.
    #[error("Invalid value for max_results. It must be a positive integer, but got {0}")]
    NotPositive(i64),
    /// A page token that is not base64.
    #[error("Invalid page token, could not base64-decode")]
    TokenEncoding,
    /// A page token that is not JSON. Holds its bytes as Python writes them.
    #[error("Invalid page token, decoded value={0}")]
    TokenText(String),
    /// A page token without the fields of one. Holds its JSON.
    #[error("Invalid page token, parsed value={0}")]
    TokenFields(String),
    /// A page token that this registry did not make for this search.
    #[error("Invalid page token, it was not made for this search; ask for the first page again")]
    TokenForeign,
    /// More than one of the limits on a search.
    #[error("Invalid search: {what} has {given} {unit}; at most {most} are allowed")]
    TooMuch {
        /// `filter`, `order_by`…
        what: &'static str,
        /// How much was given.
        given: usize,
        /// The limit.
        most: usize,
        /// `bytes`, `clauses`…
        unit: &'static str,
    },
}

/// Says whether `given` is within the limit.
pub(super) fn at_most(most: usize, what: &'static str, given: usize, unit: &'static str) -> Result<(), SearchError> {
    if given > most { Err(SearchError::TooMuch { what, given, most, unit }) } else { Ok(()) }
}
