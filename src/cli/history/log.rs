//! `greenroom log`: the history as events: who changed what, when and why, with whose approval.

use std::collections::BTreeSet;

use clap::Args;

use crate::apply::{EntityKind, Refusal};
use crate::cli::terminal::complete;
use crate::cli::terminal::output::{DIM, Output, YELLOW, local, styled};
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::{suggest, version_argument};
use crate::git::GitError;
use crate::index::{HistoryEntry, HistorySubject, Index, LogFilter, matches};
use crate::name::UserName;
use crate::payload::sample::OWN;
use crate::pushes::{Push, Pushes};
use crate::reference::{ModelRef, VersionPick};
use crate::registry::{Registry, RegistryError};
use crate::text::{one_line, quoted};
use crate::tree::Oid;
use crate::view::LogEntry;

/// Show the history: who changed what, when and why, newest first
///
/// Examples: `greenroom log churn 3`; `greenroom log --since 7d --event 'request.*'`
#[derive(Debug, Args)]
pub(in crate::cli) struct LogArgs {
    /// A model or version: churn, churn 3, churn/3, churn/Production, churn@champion; by default the whole registry
    #[arg(value_names = ["NAME", "VERSION"], num_args = 0..=2, add = complete::version())]
    words: Vec<String>,
    /// Show at most this many entries, the newest first
    #[arg(short = 'n', long, value_name = "NUMBER")]
    limit: Option<usize>,
    /// Only changes that reached the branch at this time or later: 2026-03-01, '2026-03-01 09:00', yesterday, 7d, '1
    /// week ago'; times are in the local time zone
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only changes that had reached the branch by this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only changes that this person made, requested by a merged branch, or committed
    #[arg(long, value_name = "PERSON")]
    by: Option<UserName>,
    /// Only events of this name; `*` stands for any text: version.transitioned, request.*
    #[arg(long, value_name = "PATTERN")]
    event: Option<String>,
    /// One line for each entry
    #[arg(long)]
    oneline: bool,
}

pub(in crate::cli) fn run(args: LogArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let mut index = session.index(&registry)?;
    let reference = version_argument::any(&args.words)?;
    let moment = reference.as_ref().and_then(|r| r.moment.as_deref());
    let at = moment.map(|m| registry.moment(m)).transpose()?;
    let subject = reference.as_ref().map_or(Ok(HistorySubject::All), |r| subject(&registry, r))?;
    let calendar = session.calendar(registry.repo());
    let LogArgs { limit, by, event, .. } = args;
    let until = args.until.map(|text| calendar.read_end(&text)).transpose()?;
    let since = args.since.map(|text| calendar.read(&text)).transpose()?;
    let filter = LogFilter { subject, at, since, until, by, event, limit, before: None };
    let entries = index.log(&filter)?;
    if entries.is_empty() {
        refuse_unknown(&registry, &filter.subject, moment)?;
        refuse_unknown_words(&registry, &mut index, &filter)?;
    }
    if args.oneline && !session.out.is_json() {
        entries.iter().for_each(|e| print_line(&mut session.out, e));
        return Ok(Exit::Ok);
    }
    let pushed = pushed(&registry, &entries)?;
    let claims = |e: &HistoryEntry| {
        let asked_by: Vec<&str> = e.asked_by.iter().map(AsRef::as_ref).collect();
        unproven(&registry, (e.commit, e.parent), &asked_by)
    };
    let claims = entries.iter().map(claims).collect::<Result<Vec<_>, _>>()?;
    let entries = entries.iter().zip(pushed).zip(claims);
    if session.out.is_json() {
        session.out.json(&entries.map(|((e, push), claims)| LogEntry::new(e, push, &claims)).collect::<Vec<_>>())?;
        return Ok(Exit::Ok);
    }
    for (number, ((entry, push), claims)) in entries.enumerate() {
        if number > 0 {
            session.out.line("");
        }
        print(&mut session.out, entry, push.as_ref(), &claims);
    }
    Ok(Exit::Ok)
}

/// Returns the people in `asked_by`, the authors of a merged branch, without proof that they made it. If a shallow clone
/// lacks the proof, it returns all of them.
pub(in crate::cli) fn unproven(
    registry: &Registry,
    (commit, parent): (Oid, Option<Oid>),
    asked_by: &[&str],
) -> Result<BTreeSet<UserName>, CliError> {
    if asked_by.is_empty() {
        return Ok(BTreeSet::new());
    }
    match registry.unproven_askers(commit, parent) {
        Err(RegistryError::Git(GitError::Shallow)) => {
            Ok(asked_by.iter().filter_map(|name| UserName::new(*name).ok()).collect())
        }
        found => Ok(found?),
    }
}

/// For each entry the recorded push that put it on the branch, if there is one. An unreadable record is a warning.
fn pushed(registry: &Registry, entries: &[HistoryEntry]) -> Result<Vec<Option<Push>>, CliError> {
    let pushes = Pushes::open(registry.repo())?;
    let mut damage = None;
    let mut one = |entry: &HistoryEntry| {
        let found = pushes.landing(&entry.commit, registry.branch());
        found.unwrap_or_else(|e| {
            damage.get_or_insert(e);
            None
        })
    };
    let found = entries.iter().map(&mut one).collect();
    if let Some(e) = damage {
        crate::cli::terminal::report::warn(&e.to_string());
    }
    Ok(found)
}

/// The line that names the person who pushed.
pub(in crate::cli) fn pushed_by(push: &Push) -> String {
    let person = push.by.as_ref().map(UserName::as_str);
    let who = person.or(push.login.as_deref()).or(push.email.as_deref()).unwrap_or("an unknown person");
    format!("pushed by {who} via {} {}", push.via, local(push.at))
}

/// The subject of the log that a reference names. A stage or alias stands for the version that it points to at the
/// moment of the reference.
fn subject(registry: &Registry, wanted: &ModelRef) -> Result<HistorySubject, CliError> {
    Ok(match &wanted.pick {
        VersionPick::Model => HistorySubject::Model(wanted.model.clone()),
        VersionPick::Number(n) => HistorySubject::Version(wanted.model.clone(), *n),
        VersionPick::Stage(_) | VersionPick::Alias(_) | VersionPick::Latest => {
            let snapshot = registry.as_of(wanted.moment.as_deref())?;
            let (_, version) = version_argument::find(&snapshot, wanted)?;
            HistorySubject::Version(wanted.model.clone(), version.number)
        }
    })
}

/// Refuses an empty log of a model or version that never existed.
fn refuse_unknown(registry: &Registry, subject: &HistorySubject, moment: Option<&str>) -> Result<(), CliError> {
    let (model, version) = match subject {
        HistorySubject::All => return Ok(()),
        HistorySubject::Model(model) => (model, None),
        HistorySubject::Version(model, version) => (model, Some(*version)),
    };
    let snapshot = registry.as_of(moment)?;
    let view = snapshot.model(model)?.ok_or_else(|| Refusal::no_model(model))?;
    match version {
        Some(n) if view.version(n)?.is_none() => Err(Refusal::no_version(model, n).into()),
        Some(_) | None => Ok(()),
    }
}

/// Refuses an empty log for an unknown person or event: the empty log would read as "did nothing".
fn refuse_unknown_words(registry: &Registry, index: &mut Index<'_>, filter: &LogFilter) -> Result<(), CliError> {
    let is_seen = |index: &mut Index<'_>, filter: LogFilter| {
        let newest = LogFilter { limit: Some(1), ..filter };
        Ok::<_, CliError>(!index.log(&newest)?.is_empty())
    };
    if let Some(by) = &filter.by {
        let is_person = registry.snapshot()?.person(by)?.is_some();
        if !is_person && !is_seen(index, LogFilter { by: Some(by.clone()), ..LogFilter::default() })? {
            let e = CliError::not_found(format!("'{by}' is not a person of this registry, and no step names them"));
            return Err(CliError { absent: Some(Box::new((EntityKind::Person, by.to_string()))), ..e });
        }
    }
    if let Some(event) = &filter.event
        && !OWN.iter().any(|name| matches(event, name))
        && !is_seen(index, LogFilter { event: Some(event.clone()), ..LogFilter::default() })?
    {
        let e = CliError::usage(format!("{} matches no event", quoted(event)));
        return Err(match suggest::nearest(event, OWN) {
            Some(name) => e.hint(format!("did you mean {name}?")),
            None => e.hint(format!("the events are {}", OWN.join(", "))),
        });
    }
    Ok(())
}

fn print(out: &mut Output, entry: &HistoryEntry, push: Option<&Push>, claims: &BTreeSet<UserName>) {
    let asked_by: Vec<&str> = entry.asked_by.iter().map(String::as_str).collect();
    let (by, landed_by) = (entry.by.as_str(), entry.landed_by.as_deref());
    let by = StepPeople { by, landed_by, asked_by: &asked_by, claims, signed: entry.signed };
    head(out, &entry.commit.short(), &local(entry.at), &by);
    if let Some(push) = push {
        out.foreign(&format!("    {}", pushed_by(push)));
    }
    for act in &entry.acts {
        out.foreign(&format!("    {}", act.text));
        for detail in &act.details {
            out.foreign(&format!("        {detail}"));
        }
    }
    if !entry.comment.is_empty() {
        out.line("");
        out.block(&entry.comment, "    ");
    }
}

/// The people of a step.
pub(in crate::cli) struct StepPeople<'e> {
    /// The author.
    pub(in crate::cli) by: &'e str,
    /// The committer, if that is another person.
    pub(in crate::cli) landed_by: Option<&'e str>,
    /// The authors of the merged commits.
    pub(in crate::cli) asked_by: &'e [&'e str],
    /// The authors of the merged commits without proof.
    pub(in crate::cli) claims: &'e BTreeSet<UserName>,
    /// Whether it carries a signature.
    pub(in crate::cli) signed: bool,
}

/// Prints the first line of an entry.
pub(in crate::cli) fn head(out: &mut Output, commit: &str, at: &str, who: &StepPeople<'_>) {
    let landed = who.landed_by.map_or_else(String::new, |l| format!(", committed by {l}"));
    let is_claim = |name: &&str| who.claims.iter().any(|claim| claim.as_str() == *name);
    let others = who.asked_by.iter().copied().filter(|a| *a != who.by);
    let (claims, proven): (Vec<&str>, Vec<&str>) = others.partition(is_claim);
    let mut asked = if proven.is_empty() { String::new() } else { format!(", authored by {}", proven.join(", ")) };
    if !claims.is_empty() {
        asked.push_str(&format!(", authored by {} (not proven)", claims.join(", ")));
    }
    let signed = if who.signed { ", signed" } else { "" };
    let text = format!("{}{asked}{landed}{signed}", who.by);
    out.line(format!("{} {at} {}", styled(YELLOW, commit), one_line(&text)));
}

fn print_line(out: &mut Output, entry: &HistoryEntry) {
    let more = match entry.acts.len() {
        0 | 1 => String::new(),
        n => format!(" and {} more", n - 1),
    };
    let text = entry.acts.first().map_or("", |a| a.text.as_str());
    let at = local(entry.at);
    let day = at.get(..10).unwrap_or(&at);
    let said = one_line(&format!("{}: {text}{more}", entry.by)).into_owned();
    out.line(format!("{} {} {said}", styled(YELLOW, &entry.commit.short()), styled(DIM, day)));
}
