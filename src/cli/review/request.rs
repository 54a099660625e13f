//! `greenroom request`: transition requests and their reviews.

use clap::{Args, Subcommand};

use super::answer;
use super::judged_request::{Closings, JudgedRequest, Waits};
use super::propose::{self, BranchArgs};
use crate::action::{Action, Hindered, RequestSelector};
use crate::apply::{self, Refusal};
use crate::cli::terminal::change::{self, ChangeArgs};
use crate::cli::terminal::committers::{History, landed_by};
use crate::cli::terminal::complete;
use crate::cli::terminal::id_prefix;
use crate::cli::terminal::output::{BOLD, local, styled};
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::table::Table;
use crate::cli::terminal::version_argument::{self, VersionArgument};
use crate::entity::{Request, RequestState};
use crate::index::Committers;
use crate::name::{Id, ModelName};
use crate::reference::{InvalidRef, ModelRef, VersionPick};
use crate::registry::Registry;
use crate::rules::{approvals, obstacles};
use crate::snapshot::Snapshot;
use crate::stage::Stage;

/// Request transitions, and approve, reject or cancel requests
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RequestCommand {
    Create(CreateArgs),
    List(ListArgs),
    Show(ShowArgs),
    Approve(ApproveArgs),
    /// Reject another person's request: close it without a transition
    ///
    /// Example: `greenroom request reject churn 3 -m 'No model card'`
    Reject(DecideArgs),
    /// Cancel your own request: close it without a transition
    ///
    /// Example: `greenroom request cancel churn 3`
    Cancel(DecideArgs),
}

/// Request the transition of a version to a stage; everyone who can read the model may
///
/// Example: `greenroom request create churn 3 Production -m 'AUC 0.91'`
#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    /// The version, as NAME VERSION or NAME/VERSION (churn 3, churn/3, churn/Staging, churn@champion), then the stage:
    /// None, Staging, Production, Archived, or a stage that the registry declares
    #[arg(value_names = ["NAME", "VERSION", "STAGE"], num_args = 2..=3, required = true, add = complete::version())]
    words: Vec<String>,
    /// Also request to archive the other versions in the stage
    #[arg(long)]
    archive_existing: bool,
    #[command(flatten)]
    branch: BranchArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

/// List transition requests, oldest first
///
/// Example: `greenroom request list --waiting`
#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Only requests of this model (churn) or version (churn 3, churn/3); by default of all models
    #[arg(value_names = ["NAME", "VERSION"], num_args = 0..=2, add = complete::version())]
    words: Vec<String>,
    /// Requests in this state: pending, approved, rejected, cancelled, or all
    #[arg(long, value_name = "STATE", value_parser = state, default_value = "pending")]
    state: States,
    /// Only your own requests
    #[arg(long, conflicts_with = "waiting")]
    mine: bool,
    /// Only open requests of other people that wait for your decision
    #[arg(long)]
    waiting: bool,
    /// Show the state as of a time (2026-03-01) or git revision (HEAD~3)
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// Show a request with its reviews, and whether each review counts
///
/// Example: `greenroom request show churn 3`
#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    /// The request's id, or a unique start or end of it; or a version (churn 3): its open request, otherwise its newest
    #[arg(value_names = ["ID|NAME", "VERSION"], num_args = 1..=2, required = true, add = complete::version())]
    words: Vec<String>,
    /// Show the state as of a time (2026-03-01) or git revision (HEAD~3)
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// Approve a request; the last required approval moves the version
///
/// Example: `greenroom request approve churn 3 -m 'Checked on the holdout data'`
#[derive(Debug, Args)]
pub(in crate::cli) struct ApproveArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Archive the other versions in the stage
    #[arg(long)]
    archive_existing: bool,
    /// Print the [[review]] block with its subject for the request's file, and change nothing
    #[arg(long, conflicts_with_all = ["archive_existing", "dry_run"])]
    print: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DecideArgs {
    #[command(flatten)]
    which: WhichArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
struct WhichArgs {
    /// The version, as NAME VERSION or NAME/VERSION (churn 3, churn/3, churn/Staging, churn@champion). If the version
    /// has several open requests, then the requested stage or the request's id. Or only the request's id
    #[arg(value_names = ["NAME", "VERSION", "STAGE|ID"], num_args = 1..=3, required = true, add = complete::version())]
    words: Vec<String>,
}

/// The states to list; `None` lists all.
#[derive(Debug, Clone, Copy)]
struct States(Option<RequestState>);

fn state(s: &str) -> Result<States, String> {
    if s == "all" {
        return Ok(States(None));
    }
    let known = RequestState::ALL.into_iter().find(|state| state.as_str() == s);
    known.map(|state| States(Some(state))).ok_or_else(|| "must be pending, approved, rejected, cancelled or all".into())
}

pub(in crate::cli) fn run(command: RequestCommand, session: &mut Session) -> Result<Exit, CliError> {
    let mut warnings = Vec::new();
    let (action, change) = match command {
        RequestCommand::List(a) => return list(&a, session),
        RequestCommand::Show(a) => return show(&a, session),
        RequestCommand::Create(a) => {
            let (target, rest) = VersionArgument::leading(&a.words, 1..=1)?;
            let registry = session.registry()?;
            let snapshot = a.branch.snapshot(&registry)?;
            let to = version_argument::stage(&snapshot, rest)?;
            let (model, version) = target.of_now(&snapshot)?;
            let CreateArgs { archive_existing, branch, change, .. } = a;
            if branch.name().is_some() {
                let action = Action::Transition { model, version, to, archive_existing };
                return propose::run(session, &change, &branch, &action);
            }
            warnings = obstacles_of(session, &change, &model, version, &to)?;
            (Action::CreateRequest { model, version, to, archive_existing, comment: change.text()? }, change)
        }
        RequestCommand::Approve(a) => {
            let (model, version, which) = meant(session, &a.which)?;
            let (comment, archive_existing) = (a.change.text()?, a.archive_existing);
            if a.print {
                answer::print(session, (&model, version), &which, a.change.person(), comment)?;
                return Ok(Exit::Ok);
            }
            warnings = approval_obstacles(session, &a.change, &model, version, (&which, archive_existing))?;
            let hindered = Hindered::Keep;
            (Action::ApproveRequest { model, version, which, archive_existing, comment, hindered }, a.change)
        }
        RequestCommand::Reject(a) => {
            let (model, version, which) = meant(session, &a.which)?;
            let comment = a.change.text()?;
            (Action::RejectRequest { model, version, which, comment }, a.change)
        }
        RequestCommand::Cancel(a) => {
            let (model, version, which) = meant(session, &a.which)?;
            let comment = a.change.text()?;
            (Action::CancelRequest { model, version, which, comment }, a.change)
        }
    };
    let registry = session.registry()?;
    let approved = match &action {
        Action::ApproveRequest { model, version, which, .. } => {
            let found = open_request(session, &change, model, *version, which)?;
            found.map(|request| (model.clone(), *version, request.id))
        }
        _ => None,
    };
    let exit = change::run(session, &registry, &change, &[action], String::new(), &warnings)?;
    if let Some((model, version, id)) = approved.filter(|_| exit == Exit::Ok && !change.is_dry_run()) {
        print_progress(session, &registry, (&model, version), &id)?;
    }
    Ok(exit)
}

/// The open request that a reviewer means.
fn open_request(
    session: &mut Session,
    change: &ChangeArgs,
    model: &ModelName,
    version: u64,
    which: &RequestSelector,
) -> Result<Option<Request>, CliError> {
    let registry = session.registry()?;
    let change_author = session.change_author(&registry, change.person())?;
    let snapshot = registry.snapshot()?;
    let Some(view) = snapshot.model(model)?.map(|view| view.version(version)).transpose()?.flatten() else {
        return Ok(None);
    };
    Ok(apply::open_request(&view, model, which, &change_author.user).ok())
}

/// Prints how many approvals an open request has, and what it waits for.
fn print_progress(
    session: &mut Session,
    registry: &Registry,
    (model, version): (&ModelName, u64),
    id: &Id,
) -> Result<(), CliError> {
    if session.out.is_json() {
        return Ok(());
    }
    let snapshot = registry.snapshot()?;
    let mut closings = Closings::new(session, registry);
    let is_it = |r: &Request| r.id == *id && r.state == RequestState::Pending;
    let found = collect(&snapshot, &mut closings, Some(model), Some(version), is_it)?;
    drop(closings);
    for asked in found {
        let waits = asked.waits.iter().flat_map(Waits::sentences).next();
        let waits = waits.map_or_else(String::new, |what| format!("; waits for {what}"));
        session.out.foreign(&format!("{} of {} approvals{waits}", asked.approved_by().len(), asked.needed.max(1)));
    }
    Ok(())
}

/// Warnings for a new request: what stands against the transition, and that the requester's own approval does not
/// count. If the version or the stage does not exist, the action itself reports that.
fn obstacles_of(
    session: &mut Session,
    change: &ChangeArgs,
    model: &ModelName,
    version: u64,
    to: &Stage,
) -> Result<Vec<String>, CliError> {
    let registry = session.registry()?;
    let change_author = session.change_author(&registry, change.person())?;
    let now = session.now(&change_author.committer);
    let snapshot = registry.snapshot()?;
    let (Some(view), Ok(to)) = (snapshot.model(model)?, apply::target(&snapshot, to)) else { return Ok(Vec::new()) };
    let mut out = obstacles::missing(&snapshot, &view, version, &to, now)?;
    out.extend(obstacles::own_approval(&snapshot, &change_author.user, model, &view.stage_of(version)?, &to)?);
    Ok(out)
}

/// Warnings for an approval: the version does not meet the rule of the stage yet (a change that makes it meet the rule
/// voids the approval), and an approval of one's own request does not count.
fn approval_obstacles(
    session: &mut Session,
    change: &ChangeArgs,
    model: &ModelName,
    version: u64,
    (which, archive_existing): (&RequestSelector, bool),
) -> Result<Vec<String>, CliError> {
    let registry = session.registry()?;
    let change_author = session.change_author(&registry, change.person())?;
    let snapshot = registry.snapshot()?;
    let Some(view) = snapshot.model(model)? else { return Ok(Vec::new()) };
    let Some(request) = open_request(session, change, model, version, which)? else { return Ok(Vec::new()) };
    let now = session.now(&change_author.committer);
    let obstacles = obstacles::obstacles(&snapshot, &view, version, &request.to, now)?;
    let mut out: Vec<String> = obstacles.iter().map(obstacles::Obstacle::to_reviewer).collect();
    let from = view.stage_of(version)?;
    let is_complete = approvals::would_complete(&snapshot, &view, (model, version), &request, &change_author.user)?;
    if !out.is_empty() && is_complete {
        let message = format!("the request has all approvals that it takes, but version {version} does not move yet");
        out.insert(0, message);
    }
    // The requester may complete a request that others approved.
    if request.created_by == change_author.user && !is_complete {
        out.extend(obstacles::own_approval(&snapshot, &change_author.user, model, &from, &request.to)?);
    }
    if archive_existing && !request.archive_existing && !is_complete {
        out.push(format!(
            "the request does not say that the other versions in {0} are archived, and this approval cannot add it; to ask \
             for it, cancel the request and use `greenroom request create {model} {version} {0} --archive-existing`",
            request.to
        ));
    }
    Ok(out)
}

/// Finds the request that the words name: by its id, or by its version, with the stage or a part of the id.
fn meant(session: &Session, args: &WhichArgs) -> Result<(ModelName, u64, RequestSelector), CliError> {
    let registry = session.registry()?;
    let snapshot = registry.snapshot()?;
    if let [word] = args.words.as_slice()
        && id_prefix::is_part(word)
    {
        let all = collect(&snapshot, &mut Closings::new(session, &registry), None, None, |_| true)?;
        let id = id_prefix::by_part("request", word, all.iter().map(|a| &a.request.id))?;
        if let Some(asked) = all.iter().find(|a| a.request.id == *id) {
            return Ok((asked.model.clone(), asked.version, RequestSelector::Id(id.clone())));
        }
    }
    let (target, rest) = VersionArgument::leading(&args.words, 0..=1)?;
    let (model, number) = target.of_now(&snapshot)?;
    let Some(given) = rest.first() else { return Ok((model, number, RequestSelector::Only)) };
    let known = snapshot.settings()?.map_or_else(|| Stage::BUILT_IN.to_vec(), crate::entity::Settings::known_stages);
    if let Ok(stage) = Stage::among(given, &known) {
        return Ok((model, number, RequestSelector::Stage(stage, None)));
    }
    let view = snapshot.model(&model)?.ok_or_else(|| Refusal::no_model(&model))?;
    let view = view.version(number)?.ok_or_else(|| Refusal::no_version(&model, number))?;
    let all = view.requests()?;
    let names = known.iter().map(Stage::as_str).collect::<Vec<_>>().join(", ");
    let id = id_prefix::by_part("request", given, all.keys())
        .map_err(|e| if e.exit == Exit::NotFound { e.hint(format!("or name a stage: {names}")) } else { e })?;
    Ok((model, number, RequestSelector::Id(id.clone())))
}

/// The requests of a version, a model or the whole registry, oldest first.
fn collect(
    snapshot: &Snapshot<'_>,
    closings: &mut Closings<'_>,
    model: Option<&ModelName>,
    version: Option<u64>,
    wanted: impl Fn(&Request) -> bool,
) -> Result<Vec<JudgedRequest>, CliError> {
    let views = match model {
        Some(name) => vec![snapshot.model(name)?.ok_or_else(|| Refusal::no_model(name))?],
        None => snapshot.models()?,
    };
    let mut out = Vec::new();
    for view in views {
        let named = match model {
            Some(name) => Some(name.clone()),
            None => view.dir.name().or(view.file()?.and_then(|f| f.value).map(|m| m.name)),
        };
        let Some(name) = named else { continue };
        let versions = match version {
            Some(n) => vec![view.version(n)?.ok_or_else(|| Refusal::no_version(&name, n))?],
            None => view.versions()?,
        };
        for v in versions {
            for request in v.requests()?.into_values().filter_map(|f| f.value).filter(&wanted) {
                out.push(JudgedRequest::read(snapshot, &view, (&name, v.number), request, closings)?);
            }
        }
    }
    out.sort_by(|a, b| (a.request.created_at, &a.request.id).cmp(&(b.request.created_at, &b.request.id)));
    Ok(out)
}

/// The model, and the version if there is one, that a list is limited to.
fn scope(snapshot: &Snapshot<'_>, words: &[String]) -> Result<(Option<ModelName>, Option<u64>), CliError> {
    match words {
        [] => Ok((None, None)),
        [word] => {
            let wanted: ModelRef = word.parse().map_err(|e: InvalidRef| CliError::usage(e.to_string()))?;
            // A name may hold `@`; a model of that name wins over an alias.
            if let Ok(name) = word.parse::<ModelName>()
                && (wanted.pick == VersionPick::Model || snapshot.model(&name)?.is_some())
            {
                return Ok((Some(name), None));
            }
            let (_, version) = version_argument::find(snapshot, &wanted)?;
            Ok((Some(wanted.model), Some(version.number)))
        }
        [..] => {
            let (model, version) = VersionArgument::leading(words, 0..=0)?.0.of_now(snapshot)?;
            Ok((Some(model), Some(version)))
        }
    }
}

fn list(args: &ListArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    session.note_edits(&registry, args.at.as_deref());
    let snapshot = registry.as_of(args.at.as_deref())?;
    let me = if args.mine || args.waiting { Some(session.change_author(&registry, None)?.user) } else { None };
    let States(state) = args.state;
    let (model, version) = scope(&snapshot, &args.words)?;
    let mut closings = Closings::new(session, &registry);
    let mut all = collect(&snapshot, &mut closings, model.as_ref(), version, |r| state.is_none_or(|s| r.state == s))?;
    drop(closings);
    if let Some(me) = &me {
        let mut kept = Vec::new();
        for asked in all {
            if if args.mine { asked.request.created_by == *me } else { asked.waits_for(&snapshot, me)? } {
                kept.push(asked);
            }
        }
        all = kept;
    }
    let mut history = History::open(session, &registry, args.at.as_deref());
    let with_landers = |asked: JudgedRequest| {
        let landers = history.landers(&asked.model, asked.version);
        (asked, landers)
    };
    let rows: Vec<(JudgedRequest, Committers)> = all.into_iter().map(with_landers).collect();
    let out = &mut session.out;
    if out.is_json() {
        out.json(&rows.iter().map(|(asked, landers)| asked.view(landers)).collect::<Vec<_>>())?;
        return Ok(Exit::Ok);
    }
    if rows.is_empty() {
        out.line(if args.waiting { "Nothing waits for you." } else { "No such requests." });
    }
    let mut table = Table::new(&[
        "ID",
        "MODEL",
        "VERSION",
        "FROM",
        "TO",
        "STATE",
        "APPROVALS",
        "WAITS FOR",
        "BY",
        "CREATED",
        "COMMENT",
    ]);
    for (asked, landers) in &rows {
        let r = &asked.request;
        let landed = landers.of(&r.id).map_or_else(String::new, |by| format!(" (landed by {by})"));
        table.row([
            id_prefix::short(&r.id).to_owned(),
            asked.model.to_string(),
            asked.version.to_string(),
            if r.state == RequestState::Pending { asked.from.to_string() } else { "-".to_owned() },
            r.to.to_string(),
            r.state.as_str().to_owned(),
            format!("{} of {}", asked.approved_by().len(), asked.needed.max(1)),
            asked.waits.as_ref().map_or_else(|| "-".to_owned(), Waits::words),
            format!("{}{landed}", r.created_by),
            local(r.created_at),
            r.comment.first_line().to_owned(),
        ]);
    }
    table.print(out);
    Ok(Exit::Ok)
}

/// The request to show: by a part of its id; or by its version, the open request, otherwise the newest.
fn shown(
    snapshot: &Snapshot<'_>,
    closings: &mut Closings<'_>,
    words: &[String],
) -> Result<(Vec<JudgedRequest>, Id), CliError> {
    if let [word] = words
        && id_prefix::is_part(word)
    {
        let meant = |r: &Request| r.id.as_str().starts_with(word) || r.id.as_str().ends_with(word);
        let all = collect(snapshot, closings, None, None, meant)?;
        let id = id_prefix::by_part("request", word, all.iter().map(|a| &a.request.id))?.clone();
        return Ok((all, id));
    }
    let (model, version) = VersionArgument::leading(words, 0..=0)?.0.of_now(snapshot)?;
    let all = collect(snapshot, closings, Some(&model), Some(version), |_| true)?;
    let open: Vec<&JudgedRequest> = all.iter().filter(|a| a.request.state == RequestState::Pending).collect();
    let found = match open.as_slice() {
        [one] => Some(*one),
        [] => all.last(),
        several => {
            let list: Vec<&str> = several.iter().map(|a| id_prefix::short(&a.request.id)).collect();
            let message = format!("{model} version {version} has {} open requests: {}", several.len(), list.join(", "));
            return Err(CliError::new(Exit::Failed, message).hint("give the id of one"));
        }
    };
    let id = found.map(|a| a.request.id.clone());
    let id = id.ok_or_else(|| CliError::not_found(format!("{model} version {version} has no requests")))?;
    Ok((all, id))
}

fn show(args: &ShowArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let snapshot = registry.as_of(args.at.as_deref())?;
    let mut closings = Closings::new(session, &registry);
    let (mut all, id) = shown(&snapshot, &mut closings, &args.words)?;
    drop(closings);
    for asked in all.iter_mut().filter(|a| a.request.id == id) {
        asked.explain(session, &registry, &snapshot)?;
        let landers = History::open(session, &registry, args.at.as_deref()).landers(&asked.model, asked.version);
        let out = &mut session.out;
        if out.is_json() {
            out.json(&asked.view(&landers))?;
            continue;
        }
        let r = &asked.request;
        let head = format!("{} version {} to {}", asked.model, asked.version, r.to);
        out.line(styled(BOLD, &head));
        out.line(format!("Id:        {}", r.id));
        out.line(format!("State:     {}", r.state.as_str()));
        out.line(format!("Now in:    {}", asked.from));
        place(&snapshot, asked, out)?;
        let landed = landed_by(landers.of(&r.id));
        out.line(format!("Requested: {} by {}{landed}", local(r.created_at), r.created_by));
        if r.archive_existing {
            out.line("Archives:  the other versions in the stage");
        }
        out.line(format!("Approvals: {} of {}", asked.approved_by().len(), asked.needed.max(1)));
        for (i, what) in asked.waits.iter().flat_map(Waits::sentences).enumerate() {
            out.foreign(&format!("{} {what}", if i == 0 { "Waits for:" } else { "          " }));
        }
        out.block(r.comment.as_str(), "    ");
        for (i, review) in r.review.iter().enumerate() {
            let void = asked.reasons.get(i).cloned().flatten();
            let void = void.map_or(String::new(), |why| format!(" (does not count: {why})"));
            let landed = landed_by(landers.of_review(&r.id, review));
            out.line("");
            out.line(format!("{} by {}, {}{landed}{void}", review.verdict.as_str(), review.by, local(review.at)));
            out.block(review.comment.as_str(), "    ");
        }
        // The last reviewer is the person who approved or rejected, so only a cancellation needs a line.
        if let (RequestState::Cancelled, Some(by), Some(at)) = (r.state, &r.closed_by, r.closed_at) {
            out.line("");
            out.line(format!("cancelled by {by}, {}", local(at)));
            out.block(r.close_comment.as_str(), "    ");
        }
    }
    Ok(Exit::Ok)
}

/// Prints the source of the version, and the place that clients load its files from if that differs.
fn place(
    snapshot: &Snapshot<'_>,
    asked: &JudgedRequest,
    out: &mut crate::cli::terminal::output::Output,
) -> Result<(), CliError> {
    let view = snapshot.model(&asked.model)?.map(|m| m.version(asked.version)).transpose()?.flatten();
    let version = view.map(|v| v.file()).transpose()?.flatten().and_then(|f| f.value);
    let Some(source) = version.map(|v| v.source).filter(|s| !s.location.is_empty()) else { return Ok(()) };
    out.line(format!("Source:    {}", crate::text::one_line(source.uri.as_str())));
    out.line(format!("Location:  {}", crate::text::one_line(source.location.as_str())));
    Ok(())
}
