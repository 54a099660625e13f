//! Reviews that people write by hand: the block to paste, and the reason why an existing one does not count.

use crate::action::RequestSelector;
use crate::apply::{EntityKind, Refusal};
use crate::cli::terminal::report::CliError;
use crate::cli::terminal::session::Session;
use crate::entity::{Request, RequestState, Review, ReviewVerdict};
use crate::format;
use crate::index::{HistoryEntry, HistorySubject, LogFilter};
use crate::name::{ModelName, UserName};
use crate::registry::Registry;
use crate::rules::approvals::CHANGED;
use crate::rules::subject::{changes, subject};
use crate::snapshot::{ModelView, Snapshot};
use crate::text::Text;
use crate::view;

/// The reason of a review whose subject never matched the version.
const NEVER: &str = "its subject did not match the version when the review reached the branch";

/// Prints the approval of a request as the block for its file, for people who edit files by hand.
pub(in crate::cli) fn print(
    session: &mut Session,
    (name, number): (&ModelName, u64),
    which: &RequestSelector,
    named: Option<&UserName>,
    comment: Text,
) -> Result<(), CliError> {
    let registry = session.registry()?;
    let change_author = session.change_author(&registry, named)?;
    let at = session.now(&change_author.committer);
    let snapshot = registry.snapshot()?;
    let view = snapshot.model(name)?.ok_or_else(|| Refusal::no_model(name))?;
    let version = view.version(number)?.ok_or_else(|| Refusal::no_version(name, number))?;
    let open = version.requests()?.into_values().filter_map(|f| Some((f.path, f.value?)));
    let open = open.filter(|(_, r)| r.state == RequestState::Pending && is_meant(r, which));
    // Prefers the oldest request of another person, as `request approve` does.
    let found = open.min_by_key(|(_, r)| (r.created_by == change_author.user, r.created_at, r.id.clone()));
    let (path, request) = found.ok_or_else(|| {
        let message = format!("version {number} of '{name}' has no such open request");
        Refusal::NotFound { noun: EntityKind::Request, name: String::new(), message }
    })?;
    let subject = subject(&snapshot, &view, number, &request.to)?.current;
    let review = Review { by: change_author.user, at, verdict: ReviewVerdict::Approved, comment, subject };
    if session.out.is_json() {
        session.out.json(&view::ReviewBlock { path: &path, review: &review })?;
        return Ok(());
    }
    let printed = format::print(&Request { review: vec![review], ..request });
    let start = printed.find("[[review]]").unwrap_or(0);
    for line in printed.get(start..).unwrap_or_default().lines() {
        session.out.line(line);
    }
    Ok(())
}

fn is_meant(request: &Request, which: &RequestSelector) -> bool {
    match which {
        RequestSelector::Id(id) => request.id == *id,
        RequestSelector::Stage(stage, by) => {
            request.to.as_str().eq_ignore_ascii_case(stage.as_str())
                && by.as_ref().is_none_or(|by| request.created_by == *by)
        }
        RequestSelector::Only => true,
    }
}

/// The full reason why a review of an open request does not count: the changes since the review reached the branch, or
/// that its subject was wrong from the start. `why` is the short reason of the rules.
pub(in crate::cli) fn reason(
    session: &Session,
    registry: &Registry,
    (now, view): (&Snapshot<'_>, &ModelView<'_>),
    (name, number): (&ModelName, u64),
    (request, review): (&Request, &Review),
    why: &'static str,
) -> Result<String, CliError> {
    if why != CHANGED {
        return Ok(why.to_owned());
    }
    let Ok(mut index) = session.index(registry) else { return Ok(why.to_owned()) };
    let subject_of = HistorySubject::Version(name.clone(), number);
    let event = Some("request.*".to_owned());
    let entries = index.log(&LogFilter { subject: subject_of, event, ..LogFilter::default() })?;
    let Some((entry, model)) = entries.iter().find_map(|e| Some((e, brought(e, request, review)?))) else {
        return Ok(why.to_owned());
    };
    let then = registry.snapshot_of(entry.parent)?;
    let Some(model) = then.model(&model)? else { return Ok(NEVER.to_owned()) };
    if !subject(&then, &model, number, &request.to)?.is(&review.subject) {
        return Ok(NEVER.to_owned());
    }
    let changed = changes((&then, &model), (now, view), number, &request.to)?;
    Ok(if changed.is_empty() { why.to_owned() } else { format!("{why}: {}", changed.join(", ")) })
}

/// The name of the model in an entry of the history that added a review.
fn brought(entry: &HistoryEntry, request: &Request, review: &Review) -> Option<ModelName> {
    entry.acts.iter().find_map(|act| {
        let event: serde_json::Value = serde_json::from_str(&act.json).ok()?;
        let is_it = event["request"]["id"] == request.id.as_str()
            && event["review"]["by"] == review.by.as_str()
            && event["review"]["at"] == review.at.to_string();
        ModelName::new(act.model.as_deref().filter(|_| is_it)?).ok()
    })
}
