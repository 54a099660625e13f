//! Pages: how many rows, from where, and the token for the next page.
//!
//! A token is the base64 of a JSON object, opaque for clients: the offset of the next page, the commit that
//! the search reads, and a code that only the registry can make. The code also covers the search itself, so
//! that a token serves no other one (SEC-43). The whole listing is read at one commit, whatever is written
//! meanwhile.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE as BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::error::{SearchError, at_most};
use super::python;

/// The longest token that is read, in bytes.
const MAX_TOKEN: usize = 1024;

/// How many rows a page has, if nothing is asked, and at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// If nothing is asked.
    pub default: usize,
    /// At most.
    pub most: usize,
}

impl PageLimits {
    /// Registered models: MLflow and Databricks.
    pub const MODELS: Self = Self { default: 100, most: 1000 };
    /// Model versions: MLflow.
    pub const VERSIONS: Self = Self { default: 200_000, most: 200_000 };
    /// Model versions: Databricks.
    pub const DATABRICKS_VERSIONS: Self = Self { default: 10_000, most: 10_000 };

    /// Reads `max_results`, the rows that a page shall have; none asks for the default. Unlike MLflow it takes
    /// no 0 and no negative number for models either.
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

/// How many rows a page has; at least one, and within the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize(usize);

impl PageSize {
    /// The number of rows.
    pub const fn get(self) -> usize {
        self.0
    }
}

/// A page of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<R> {
    /// Its rows, in order.
    pub rows: Vec<R>,
    /// The offset of the next page; none if this is the last.
    pub next: Option<usize>,
}

impl<R> Page<R> {
    /// Sorts as few of the rows as the page needs. An offset behind the last row gives an empty page.
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

/// The first row of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// How many rows are before it.
    pub offset: usize,
    /// The commit that the first page was read at, as it was given; none for the first page itself.
    pub commit: Option<String>,
}

/// The registry's secret for page tokens. It need not outlive the process, except that tokens end with it.
#[derive(Clone)]
pub struct TokenKey([u8; 32]);

impl TokenKey {
    /// Takes 32 random bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The code of a token: `sha256(key ‖ sha256(key ‖ data))`. The outer hash, being of fixed length, keeps
    /// anybody from extending the data of a code that they have seen.
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

/// The identity of a search: a hash of what is searched, the filter and the order. Not of the page size, which
/// may change from page to page.
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

/// A listing of other things than models and versions, whose page tokens hold what the last row was instead of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing(SearchId);

impl Listing {
    /// A listing of something, with what it was asked for.
    pub fn new(what: &str, asked: &[String]) -> Self {
        Self(SearchId::new(what, "", asked))
    }

    /// The token of the page after a row.
    pub fn after(&self, row: &str, key: &TokenKey) -> String {
        seal(&self.0, 0, row, key)
    }

    /// The row that a page comes after; none for the first page, whose token is empty.
    pub fn start(&self, token: &str, key: &TokenKey) -> Result<Option<String>, SearchError> {
        open(&self.0, token, key).map(|start| start.commit)
    }
}

/// A token as JSON.
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

/// Reads a token; an empty one is the first page.
pub(super) fn open(search: &SearchId, token: &str, key: &TokenKey) -> Result<Start, SearchError> {
    if token.is_empty() {
        return Ok(Start { offset: 0, commit: None });
    }
    at_most(MAX_TOKEN, "page_token", token.len(), "bytes")?;
    let bytes = BASE64.decode(token).map_err(|_| SearchError::TokenEncoding)?;
    let json: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|_| SearchError::TokenText(python::bytes(&bytes)))?;
    let fields = Fields::deserialize(&json).map_err(|_| SearchError::TokenFields(json.to_string()))?;
    let code = hex(&key.code(search, fields.offset, &fields.commit));
    match usize::try_from(fields.offset) {
        Ok(offset) if is_same(&code, &fields.code) => Ok(Start { offset, commit: Some(fields.commit) }),
        _ => Err(SearchError::TokenForeign),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Compares in a time that does not tell where the first difference is.
fn is_same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
