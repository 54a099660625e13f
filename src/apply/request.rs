//! Transition requests, reviews and comments.

use super::stage::{enter, may_archive, target};
use super::{ChangeDraft, Context, EntityKind, Refusal};
use crate::action::{Hindered, RequestSelector};
use crate::entity::{Comment, Request, RequestState, Review, ReviewVerdict};
use crate::name::{Id, ModelName, UserName};
use crate::snapshot::{File, VersionView};
use crate::stage::Stage;
use crate::text::Text;

pub(super) fn create(
    d: &mut ChangeDraft<'_, '_>,
    cx: &mut Context<'_>,
    model: &ModelName,
    number: u64,
    to: &Stage,
    archive_existing: bool,
    comment: &Text,
) -> Result<(), Refusal> {
    let to = target(d.snapshot, to)?;
    may_archive(&to, archive_existing)?;
    let (view, version) = d.version(model, number)?;
    if view.stage_of(number)? == to {
        return Err(Refusal::invalid(format!("version {number} of '{model}' is already in {to}")));
    }
    let same = |r: &Request| r.state == RequestState::Pending && r.to == to && r.created_by == cx.actor;
    if version.requests()?.values().any(|f| f.value.as_ref().is_some_and(same)) {
        let message = format!("you already have an open request to move version {number} of '{model}' to {to}");
        return Err(Refusal::exists(EntityKind::Request, message));
    }
    let request = Request {
        id: cx.id(),
        to,
        created_by: cx.actor.clone(),
        created_at: cx.now,
        comment: comment.clone(),
        archive_existing,
        state: RequestState::Pending,
        closed_by: None,
        closed_at: None,
        close_comment: Text::default(),
        review: Vec::new(),
    };
    let folder = d.snapshot.paths()?.version(model, number);
    d.put(&format!("{folder}/requests/{}.toml", request.id), &request);
    Ok(())
}

/// Finds the open request that the caller means. Reviewers who name only a stage mean its oldest request that is not
/// their own, so two reviewers mean the same request.
fn find(
    version: &VersionView<'_>,
    model: &ModelName,
    which: &RequestSelector,
    reviewer: Option<&UserName>,
) -> Result<(File<Request>, Request), Refusal> {
    let mut open: Vec<(File<Request>, Request)> = Vec::new();
    for file in version.requests()?.into_values() {
        let Some(request) = file.value.clone() else { continue };
        let meant = match which {
            RequestSelector::Id(id) => request.id == *id,
            RequestSelector::Stage(stage, by) => {
                request.to.as_str().eq_ignore_ascii_case(stage.as_str())
                    && by.as_ref().is_none_or(|by| request.created_by == *by)
            }
            RequestSelector::Only => true,
        };
        if meant && request.state == RequestState::Pending {
            open.push((file, request));
        }
    }
    if *which == RequestSelector::Only && open.len() > 1 {
        let list: Vec<String> = open.iter().map(|(_, r)| format!("{} ({}, by {})", r.id, r.to, r.created_by)).collect();
        return Err(Refusal::invalid(format!(
            "there are several open requests; name a stage or an id: {}",
            list.join(", ")
        )));
    }
    let own = |r: &Request| reviewer.is_some_and(|u| r.created_by == *u);
    open.sort_by_key(|(_, r)| (own(r), r.created_at, r.id.clone()));
    open.into_iter().next().ok_or_else(|| {
        let of = match which {
            RequestSelector::Id(id) => format!(" with id {id}"),
            RequestSelector::Stage(stage, _) => format!(" to {stage}"),
            RequestSelector::Only => String::new(),
        };
        Refusal::not_found(
            EntityKind::Request,
            "",
            format!("version {} of '{model}' has no open request{of}", version.number),
        )
    })
}

/// Returns the open request that a reviewer means.
///
/// # Errors
/// [`Refusal::NotFound`] if no open request fits; [`Refusal::Invalid`] if several are open and the reviewer names none.
pub fn open_request(
    version: &VersionView<'_>,
    model: &ModelName,
    which: &RequestSelector,
    reviewer: &UserName,
) -> Result<Request, Refusal> {
    find(version, model, which, Some(reviewer)).map(|(_, request)| request)
}

pub(super) fn approve(
    d: &mut ChangeDraft<'_, '_>,
    cx: &Context<'_>,
    (model, number, which): (&ModelName, u64, &RequestSelector),
    (archive_existing, hindered): (bool, Hindered),
    comment: &Text,
) -> Result<(), Refusal> {
    let (view, version) = d.version(model, number)?;
    let (file, request) = find(&version, model, which, Some(&cx.actor))?;
    let archive = archive_existing || request.archive_existing;
    may_archive(&request.to, archive)?;
    let subject = (cx.subject)(d.snapshot, &view, number, &request.to)?;
    let mut after = request.clone();
    after.review.push(Review {
        by: cx.actor.clone(),
        at: cx.now,
        verdict: ReviewVerdict::Approved,
        comment: comment.clone(),
        subject: subject.current.clone(),
    });
    let complete = (cx.is_approved)(d.snapshot, &view, (model, number), &after)?;
    let moves = complete
        && match hindered {
            Hindered::Refuse => true,
            Hindered::Keep => (cx.may_enter)(d.snapshot, &view, number, &request.to, cx.now)?,
        };
    let is_given = |r: &Review| r.by == cx.actor && r.verdict == ReviewVerdict::Approved && subject.is(&r.subject);
    if !moves && request.review.iter().any(is_given) {
        let message = format!(
            "you approved the request to move version {number} of '{model}' to {} already, and a second approval adds \
             nothing",
            request.to
        );
        return Err(Refusal::exists(EntityKind::Request, message));
    }
    if moves {
        after.state = RequestState::Approved;
        after.closed_by = Some(cx.actor.clone());
        after.closed_at = Some(cx.now);
    }
    let to = after.to.clone();
    d.edit_request(&file, |r| *r = after)?;
    if moves {
        enter(d, cx, model, number, &to, archive, Some(&request.id))?;
    }
    Ok(())
}

pub(super) fn reject(
    d: &mut ChangeDraft<'_, '_>,
    cx: &Context<'_>,
    model: &ModelName,
    number: u64,
    which: &RequestSelector,
    comment: &Text,
) -> Result<(), Refusal> {
    let (view, version) = d.version(model, number)?;
    let (file, request) = find(&version, model, which, Some(&cx.actor))?;
    let subject = (cx.subject)(d.snapshot, &view, number, &request.to)?.current;
    d.edit_request(&file, |r| {
        let (by, comment) = (cx.actor.clone(), comment.clone());
        r.review.push(Review { by, at: cx.now, verdict: ReviewVerdict::Rejected, comment, subject });
        r.state = RequestState::Rejected;
        r.closed_by = Some(cx.actor.clone());
        r.closed_at = Some(cx.now);
    })
}

pub(super) fn cancel(
    d: &mut ChangeDraft<'_, '_>,
    cx: &Context<'_>,
    model: &ModelName,
    number: u64,
    which: &RequestSelector,
    comment: &Text,
) -> Result<(), Refusal> {
    let (_, version) = d.version(model, number)?;
    // A person who names only a stage means their own request, if they have one.
    let own = match which {
        RequestSelector::Stage(stage, None) => Some(RequestSelector::Stage(stage.clone(), Some(cx.actor.clone()))),
        RequestSelector::Stage(_, Some(_)) | RequestSelector::Id(_) | RequestSelector::Only => None,
    };
    let (file, _) = match own.map(|own| find(&version, model, &own, None)) {
        Some(Ok(found)) => found,
        Some(Err(Refusal::NotFound { .. })) | None => find(&version, model, which, None)?,
        Some(Err(e)) => return Err(e),
    };
    d.edit_request(&file, |r| {
        r.state = RequestState::Cancelled;
        r.closed_by = Some(cx.actor.clone());
        r.closed_at = Some(cx.now);
        r.close_comment = comment.clone();
    })
}

pub(super) fn add_comment(
    d: &mut ChangeDraft<'_, '_>,
    cx: &mut Context<'_>,
    model: &ModelName,
    number: u64,
    text: &Text,
) -> Result<(), Refusal> {
    d.version(model, number)?;
    not_empty(text)?;
    let (created_by, created_at) = (cx.actor.clone(), cx.now);
    let comment = Comment { id: cx.id(), created_by, created_at, edited_at: None, text: text.clone() };
    let folder = d.snapshot.paths()?.version(model, number);
    d.put(&format!("{folder}/comments/{}.toml", comment.id), &comment);
    Ok(())
}

fn not_empty(text: &Text) -> Result<(), Refusal> {
    if text.is_empty() { Err(Refusal::invalid("a comment needs text")) } else { Ok(()) }
}

fn comment(d: &ChangeDraft<'_, '_>, model: &ModelName, number: u64, id: &Id) -> Result<File<Comment>, Refusal> {
    let (_, version) = d.version(model, number)?;
    let message = || format!("version {number} of '{model}' has no comment {id}");
    version.comment(id)?.ok_or_else(|| Refusal::not_found(EntityKind::Comment, id, message()))
}

pub(super) fn edit_comment(
    d: &mut ChangeDraft<'_, '_>,
    cx: &Context<'_>,
    model: &ModelName,
    number: u64,
    id: &Id,
    text: &Text,
) -> Result<(), Refusal> {
    not_empty(text)?;
    let file = comment(d, model, number, id)?;
    d.edit(&file, |c| {
        if c.text != *text {
            c.text = text.clone();
            c.edited_at = Some(cx.now);
        }
    })
}

pub(super) fn delete_comment(
    d: &mut ChangeDraft<'_, '_>,
    model: &ModelName,
    number: u64,
    id: &Id,
) -> Result<(), Refusal> {
    let file = comment(d, model, number, id)?;
    d.patch.remove(file.path);
    Ok(())
}
