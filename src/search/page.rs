//! Pages of results: size, start, and the token for the next page.
//!
//! A token is a JSON object in base64, opaque for clients. It contains the offset of the next page, the commit that the
//! search reads, and a code that only the registry can compute. The code also covers the search itself, so that a token
//! is invalid for any other search. All pages are read at one commit, even if the registry changes in the meantime.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE as BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::error::{SearchError, at_most};
use super::python;

/// The maximum length of a token, in bytes.
const MAX_TOKEN: usize = 1024;

/// The default and the maximum number of rows of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// The number of rows if the caller asks for no number.
    pub default: usize,
    /// The maximum number of rows.
    pub most: usize,
}

impl PageLimits {
    /// For registered models in MLflow's and Databricks' APIs.
    pub const MODELS: Self = Self { default: 100, most: 1000 };
    /// For model versions in MLflow's API.
    pub const VERSIONS: Self = Self { default: 200_000, most: 200_000 };
    /// For model versions in Databricks' API.
    pub const DATABRICKS_VERSIONS: Self = Self { default: 10_000, most: 10_000 };

    /// Parses `max_results`, the number of rows of a page; `None` means the default. In contrast to MLflow, 0 and
    /// negative numbers are refused for models, too.
    ///
    /// # Errors
    /// Returns [`SearchError`] if the text is not an integer, is below 1, or exceeds the maximum.
    pub fn size(self, max_results: Option<&str>) -> Result<PageSize, SearchError> {
        let Some(written) = max_results else { return Ok(PageSize(self.default)) };
        let wrong = || SearchError::MaxResults(serde_json::Value::from(written).to_string());
        let asked = python::int(written).ok_or_else(wrong)?;
        if asked < 1 {
            return Err(SearchError::NotPositive(asked));
        }
        match usize::try_from(asked) {
            Ok(size) if size <= self.most => Ok(PageSize(size)),
            _ => Err(wrong()),
        }
    }
}

/// The number of rows of a page: at least 1, and within the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize(usize);

impl PageSize {
    /// Returns the number of rows.
    pub const fn get(self) -> usize {
        self.0
    }
}

/// A page of results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultPage<R> {
    /// The rows of the page, in order.
    pub rows: Vec<R>,
    /// The offset of the next page, or `None` for the last page.
    pub next: Option<usize>,
}

impl<R> ResultPage<R> {
    /// Cuts a page out of unsorted rows, and sorts only as many rows as the page needs. The page is empty if the offset
    /// is behind the last row.
    pub(super) fn cut(
        mut rows: Vec<R>,
        offset: usize,
        size: PageSize,
        compare: impl Fn(&R, &R) -> std::cmp::Ordering,
    ) -> Self {
        let end = offset.saturating_add(size.get());
        let next = (end < rows.len()).then_some(end);
        if next.is_some() {
            rows.select_nth_unstable_by(end, &compare);
            rows.truncate(end);
        }
        if offset > 0 && offset < rows.len() {
            rows.select_nth_unstable_by(offset, &compare);
        }
        rows.drain(..offset.min(rows.len()));
        rows.sort_by(compare);
        Self { rows, next }
    }
}

/// The start of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageStart {
    /// The number of rows before the page.
    pub offset: usize,
    /// The commit of the first page, as passed to [`Query::token`](super::Query::token). `None` for the first page
    /// itself.
    pub commit: Option<String>,
}

/// The secret key for page tokens. If a process makes a new key, older tokens become invalid.
#[derive(Clone)]
pub struct TokenKey([u8; 32]);

impl TokenKey {
    /// Makes a key from 32 random bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Computes the code of a token: `sha256(key ‖ sha256(key ‖ data))`. The outer hash has an input of fixed length,
    /// which prevents length extension of a known code.
    fn code(&self, search: &SearchId, offset: u64, commit: &str) -> [u8; 32] {
        let inner = Sha256::new()
            .chain_update(self.0)
            .chain_update(b"greenroom page token 1\0")
            .chain_update(search.0)
            .chain_update(offset.to_be_bytes())
            .chain_update(commit)
            .finalize();
        Sha256::new().chain_update(self.0).chain_update(inner).finalize().into()
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

/// The identity of a search: a hash of the kind of rows, the filter and the order. The page size is not part of it,
/// because it may change from page to page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SearchId([u8; 32]);

impl SearchId {
    pub(super) fn new(what: &str, filter: &str, order_by: &[String]) -> Self {
        let mut hash = Sha256::new();
        for part in [what, filter].into_iter().chain(order_by.iter().map(String::as_str)) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

/// A paged list of other objects than models and versions. Its page tokens contain the last row instead of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing(SearchId);

impl Listing {
    /// Makes a list of the kind `what`, with the arguments `asked` of the request. Tokens are bound to both.
    pub fn new(what: &str, asked: &[String]) -> Self {
        Self(SearchId::new(what, "", asked))
    }

    /// Returns the token of the page that follows a row.
    pub fn after(&self, row: &str, key: &TokenKey) -> String {
        seal(&self.0, 0, row, key)
    }

    /// Returns the row before the page of a token, or `None` for the first page, whose token is empty.
    ///
    /// # Errors
    /// Returns [`SearchError`] if the token was made with another key or for another list, or if it was not made by
    /// [`Listing::after`].
    pub fn start(&self, token: &str, key: &TokenKey) -> Result<Option<String>, SearchError> {
        open(&self.0, token, key).map(|start| start.commit)
    }
}

/// The JSON fields of a token.
#[derive(Serialize, Deserialize)]
struct Fields {
    offset: u64,
    commit: String,
    code: String,
}

/// Makes the token for a page of a search.
pub(super) fn seal(search: &SearchId, offset: usize, commit: &str, key: &TokenKey) -> String {
    let offset = offset as u64;
    let code = hex(&key.code(search, offset, commit));
    let fields = serde_json::json!({ "offset": offset, "commit": commit, "code": code });
    BASE64.encode(fields.to_string())
}

/// Verifies and parses a token. An empty token is the first page.
pub(super) fn open(search: &SearchId, token: &str, key: &TokenKey) -> Result<PageStart, SearchError> {
    if token.is_empty() {
        return Ok(PageStart { offset: 0, commit: None });
    }
    at_most(MAX_TOKEN, "page_token", token.len(), "bytes")?;
    let bytes = BASE64.decode(token).map_err(|_| SearchError::TokenEncoding)?;
    let json: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|_| SearchError::TokenText(python::bytes(&bytes)))?;
    let fields = Fields::deserialize(&json).map_err(|_| SearchError::TokenFields(json.to_string()))?;
    let code = hex(&key.code(search, fields.offset, &fields.commit));
    match usize::try_from(fields.offset) {
        Ok(offset) if is_same(&code, &fields.code) => Ok(PageStart { offset, commit: Some(fields.commit) }),
        _ => Err(SearchError::TokenForeign),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Compares two texts in constant time, so that the time does not reveal the position of the first difference.
fn is_same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
