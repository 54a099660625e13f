//! The feed of events: the events after a cursor, at once or when they happen.
//!
//! A cursor names a commit and one of its events, so it is valid on every machine and after every restart. A page reads
//! a limited number of commits, whatever events they have. If there are more commits, `more` says so.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header;
use tokio::time::Instant;

use super::events::{FeedQuery, FeedReader};
use super::{size, stream};
use crate::index::{Index, IndexError};
use crate::name::{ModelName, UserName};
use crate::server::context::call::Call;
use crate::server::context::catalog::Catalog;
use crate::server::context::error::{ApiError, Code};
use crate::server::context::id_lookup::IdLookup;
use crate::server::context::reply::{HandlerResult, Reply};
use crate::server::context::state::ServerState;
use crate::tree::Oid;
use crate::view::{Events, FeedEvent};

/// The longest time that a caller may wait for events, in seconds; well below the timeouts of clients and proxies.
const MAX_WAIT: u64 = 30;

/// The number of commits that one page reads.
const SCAN: u64 = 2000;

/// The number of commits that are read at a time.
const CHUNK: u64 = 100;

/// The largest number of event names in a filter.
const MAX_NAMES: usize = 50;

/// The position from which the feed continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedPosition {
    /// From the first commit.
    Start,
    /// After the newest event.
    Now,
    /// After a commit, or after one of its events.
    Commit(Oid, Option<u32>),
}

impl FeedPosition {
    /// Parses a cursor.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER_VALUE` when the text is not a cursor.
    pub fn read(given: &str) -> Result<Self, ApiError> {
        let wrong = || {
            let shown = crate::text::quoted(given);
            ApiError::invalid(format!(
                "{shown} is not a cursor of this feed; send a cursor that the feed returned, or `now`, or no cursor."
            ))
        };
        match given {
            "" => Ok(Self::Start),
            "now" => Ok(Self::Now),
            given => {
                let (commit, ordinal) = match given.split_once('.') {
                    Some((commit, ordinal)) => (commit, Some(ordinal.parse().map_err(|_| wrong())?)),
                    None => (given, None),
                };
                Ok(Self::Commit(Oid::from_hex(commit).ok_or_else(wrong)?, ordinal))
            }
        }
    }
}

/// A request for the feed, and its position.
pub struct Feed {
    user: UserName,
    wanted: Arc<FeedQuery>,
    after: FeedPosition,
    size: usize,
}

/// A page of the feed.
#[derive(Debug)]
pub struct FeedPage {
    /// The events, oldest first.
    pub events: Vec<FeedEvent>,
    /// The cursor to continue from. `None` if there is no commit at all.
    pub next: Option<String>,
    /// Whether the page reached the newest commit.
    pub is_end: bool,
}

impl Feed {
    fn of(call: &Call) -> Result<Self, ApiError> {
        let names = call.args.texts("event")?;
        if names.len() > MAX_NAMES || names.iter().any(|n| n.len() > 100) {
            return Err(ApiError::invalid(format!(
                "At most {MAX_NAMES} event names are allowed, each of at most 100 characters."
            )));
        }
        let model = match call.args.text("name")?.filter(|name| !name.is_empty()) {
            Some(name) => Some(call.model(&ModelName::new(name)?)?.id.clone()),
            None => None,
        };
        // A browser that lost its connection sends its last position itself.
        let resumed = call.headers.get("last-event-id").and_then(|v| v.to_str().ok());
        let after = resumed.or(call.args.text("after")?).unwrap_or_default();
        Ok(Self {
            user: call.caller.user.clone(),
            wanted: Arc::new(FeedQuery { model, names }),
            after: FeedPosition::read(after)?,
            size: size(call)?,
        })
    }

    /// Returns the next page, as the reader may see it in this catalog, and moves the feed behind it.
    ///
    /// # Errors
    ///
    /// When the index cannot be read, too many requests wait, or the cursor is not in the history.
    pub async fn page(&mut self, state: &ServerState, catalog: &Arc<Catalog>) -> Result<FeedPage, ApiError> {
        let (user, wanted, catalog) = (self.user.clone(), Arc::clone(&self.wanted), Arc::clone(catalog));
        let (after, size) = (self.after.clone(), self.size);
        let look = move |_: &_, index: &mut Index<'_>, places: &IdLookup| {
            page(index, places, &FeedReader::new(&catalog, &user, &wanted), &after, size)
        };
        let page = state.read(state.with_places(look)).await?;
        if let Some(next) = &page.next {
            self.after = FeedPosition::read(next)?;
        }
        Ok(page)
    }
}

fn page(
    index: &mut Index<'_>,
    places: &IdLookup,
    reader: &FeedReader,
    after: &FeedPosition,
    size: usize,
) -> Result<FeedPage, ApiError> {
    let (first, ordinal) = match after {
        FeedPosition::Start => (0, None),
        FeedPosition::Now => (index.commits(), None),
        FeedPosition::Commit(commit, ordinal) => {
            let number = index.number(*commit).map_err(off_line)?;
            (if ordinal.is_some() { number } else { number + 1 }, *ordinal)
        }
    };
    let last = index.commits().min(first.saturating_add(SCAN));
    let (mut number, mut events): (u64, Vec<FeedEvent>) = (first, Vec::new());
    while number < last {
        let end = last.min(number + CHUNK);
        for entry in index.entries(number..end)? {
            events.extend(reader.shown(&entry, places, ordinal.filter(|_| entry.number == first)));
            if events.len() >= size {
                events.truncate(size);
                let next = events.last().map(|e| e.cursor.clone());
                return Ok(FeedPage { events, next, is_end: false });
            }
        }
        number = end;
    }
    let seen = if number == 0 { None } else { index.commit(number - 1)? };
    Ok(FeedPage { events, next: seen.map(|c| c.to_string()), is_end: number >= index.commits() })
}

fn off_line(e: IndexError) -> ApiError {
    match e {
        IndexError::OffLine(_) => ApiError::invalid(
            "The commit of the cursor is not in this registry's history, which may have been rewritten; start again \
             without a cursor.",
        ),
        other => other.into(),
    }
}

/// Handles GET `events`.
pub async fn events(call: Call) -> HandlerResult {
    let mut feed = Feed::of(&call)?;
    let wait =
        match call.args.number("wait")? {
            None => 0,
            Some(given) => given.parse().ok().filter(|s| *s <= MAX_WAIT).ok_or_else(|| {
                ApiError::invalid(format!("'wait' must be a number of seconds from 0 to {MAX_WAIT}."))
            })?,
        };
    let accepts = call.headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let is_stream = accepts.split(',').any(|kind| kind.trim().starts_with("text/event-stream"));
    let place = match is_stream || wait > 0 {
        true => Some(call.state.streams.try_take(&call.caller.user).ok_or_else(too_many)?),
        false => None,
    };
    let mut catalog = Arc::clone(&call.catalog);
    let mut page = feed.page(&call.state, &catalog).await?;
    if let Some(place) = place.filter(|_| is_stream) {
        return Ok(Reply::Other(stream::open(call, feed, page, place)));
    }
    let until = Instant::now() + Duration::from_secs(wait);
    while page.events.is_empty() && page.is_end && Instant::now() < until && !*call.state.ending.borrow() {
        catalog = call.state.newer(catalog.commit(), until).await?;
        page = feed.page(&call.state, &catalog).await?;
    }
    Reply::output(&Events { events: page.events, next: page.next, more: !page.is_end })
}

fn too_many() -> ApiError {
    ApiError::new(Code::RequestLimitExceeded, "Too many callers wait for events; try again in a moment.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_commit_or_one_of_its_events() {
        let id = "ab".repeat(20);
        let commit = Oid::from_hex(&id).unwrap();
        let read = |given: &str| FeedPosition::read(given).ok();
        assert_eq!(read(""), Some(FeedPosition::Start));
        assert_eq!(read("now"), Some(FeedPosition::Now));
        assert_eq!(read(&id), Some(FeedPosition::Commit(commit, None)));
        assert_eq!(read(&format!("{id}.12")), Some(FeedPosition::Commit(commit, Some(12))));
        for wrong in ["NOW", "ab", &format!("{id}."), &format!("{id}.-1"), &format!("{id}.x"), &id[1..], "HEAD"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
