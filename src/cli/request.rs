//! `greenroom request`: asking for a transition, and deciding.

use clap::{Args, Subcommand};

use super::asked::{Asked, Closings};
use super::change::{self, ChangeArgs};
use super::landed::{History, landed_by};
use super::output::{BOLD, styled};
use super::pick;
use super::propose::{self, BranchArgs};
use super::report::{CliError, Exit};
use super::review;
use super::session::Session;
use super::table::Table;
use crate::action::{Action, Which};
use crate::apply::{Refusal, target};
use crate::entity::{Request, RequestState};
use crate::index::Landers;
use crate::name::ModelName;
use crate::rules::outlook;
use crate::snapshot::Snapshot;
use crate::stage::Stage;

/// Ask for transitions, and decide about them
#[derive(Debug, Subcommand)]
pub(super) enum RequestCommand {
    Create(CreateArgs),
    List(ListArgs),
    Show(ShowArgs),
    Approve(ApproveArgs),
    Reject(DecideArgs),
    Cancel(DecideArgs),
}

/// Ask that a version move to a stage; whoever can read the model may
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The model's name
    name: ModelName,
    /// The version's number
    version: u64,
    /// The stage: None, Staging, Production, Archived, or one that the registry declares
    stage: Stage,
    /// Ask that the other versions in the stage be archived with it
    #[arg(long)]
    archive_existing: bool,
    #[command(flatten)]
    branch: BranchArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

/// List requests, oldest first
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Of this model; without it, of all
    name: Option<ModelName>,
    /// Of this version
    version: Option<u64>,
    /// Requests in this state: pending, approved, rejected, cancelled, or all
    #[arg(long, value_name = "STATE", value_parser = state, default_value = "pending")]
    state: States,
    /// Only those that I made
    #[arg(long, conflicts_with = "waiting")]
    mine: bool,
    /// Only open ones of others that wait for my decision
    #[arg(long)]
    waiting: bool,
    /// As of a time or git revision
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// Show a request with its reviews and what they count
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The request's id, or a start or end of it that is unique
    id: String,
    /// As of a time or git revision
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// Approve a request; the version moves with the approval that completes the quorum
#[derive(Debug, Args)]
pub(super) struct ApproveArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Archive the other versions that are in the stage
    #[arg(long)]
    archive_existing: bool,
    /// Print the [[review]] block with its subject, for the request's file, and change nothing
    #[arg(long, conflicts_with_all = ["archive_existing", "dry_run"])]
    print: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Close a request without a transition: `reject` another's, `cancel` one's own
#[derive(Debug, Args)]
pub(super) struct DecideArgs {
    #[command(flatten)]
    which: WhichArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Which request is meant.
#[derive(Debug, Args)]
struct WhichArgs {
    /// The model's name
    name: ModelName,
    /// The version's number
    version: u64,
    /// The stage that is asked for, or the request's id; not needed where only one is open
    #[arg(value_name = "STAGE|ID")]
    which: Option<String>,
}

/// The states to list; none: all.
#[derive(Debug, Clone, Copy)]
struct States(Option<RequestState>);

fn state(s: &str) -> Result<States, String> {
    if s == "all" {
        return Ok(States(None));
    }
    let known = RequestState::ALL.into_iter().find(|state| state.as_str() == s);
    known.map(|state| States(Some(state))).ok_or_else(|| "must be pending, approved, rejected, cancelled or all".into())
}

pub(super) fn run(command: RequestCommand, session: &mut Session) -> Result<Exit, CliError> {
    let mut warnings = Vec::new();
    let (action, change) = match command {
        RequestCommand::List(a) => return list(&a, session),
        RequestCommand::Show(a) => return show(&a, session),
        RequestCommand::Create(a) => {
            let CreateArgs { name: model, version, stage: to, archive_existing, branch, change } = a;
            if branch.name().is_some() {
                let action = Action::Transition { model, version, to, archive_existing };
                return propose::run(session, &change, &branch, &action);
            }
            warnings = outlook_of(session, &change, &model, version, &to)?;
            (Action::CreateRequest { model, version, to, archive_existing, comment: change.text()? }, change)
        }
        RequestCommand::Approve(a) => {
            let (which, comment, archive_existing) = (meant(session, &a.which)?, a.change.text()?, a.archive_existing);
            let (model, version) = (a.which.name, a.which.version);
            if a.print {
                review::print(session, (&model, version), &which, a.change.person(), comment)?;
                return Ok(Exit::Ok);
            }
            warnings = own_approval_of(session, &a.change, &model, version, &which)?;
            (Action::ApproveRequest { model, version, which, archive_existing, comment }, a.change)
        }
        RequestCommand::Reject(a) => {
            let (which, comment) = (meant(session, &a.which)?, a.change.text()?);
            (Action::RejectRequest { model: a.which.name, version: a.which.version, which, comment }, a.change)
        }
        RequestCommand::Cancel(a) => {
            let (which, comment) = (meant(session, &a.which)?, a.change.text()?);
            (Action::CancelRequest { model: a.which.name, version: a.which.version, which, comment }, a.change)
        }
    };
    let registry = session.registry()?;
    change::run(session, &registry, &change, &[action], String::new(), &warnings)
}

/// What a request will lack, told when it is made: what stands against the transition, and that one's own approval does
/// not count. What is not there is told by the action.
fn outlook_of(
    session: &mut Session,
    change: &ChangeArgs,
    model: &ModelName,
    version: u64,
    to: &Stage,
) -> Result<Vec<String>, CliError> {
    let registry = session.registry()?;
    let asker = session.asker(&registry, change.person())?;
    let now = session.now(&asker.committer);
    let snapshot = registry.snapshot()?;
    let (Some(view), Ok(to)) = (snapshot.model(model)?, target(&snapshot, to)) else { return Ok(Vec::new()) };
    let mut out = outlook::missing(&snapshot, &view, version, &to, now)?;
    out.extend(outlook::own_approval(&snapshot, &asker.user, model, &view.stage_of(version)?, &to)?);
    Ok(out)
}

/// That an approval is one's own and does not count, where the request that is meant is one's own.
fn own_approval_of(
    session: &mut Session,
    change: &ChangeArgs,
    model: &ModelName,
    version: u64,
    which: &Which,
) -> Result<Vec<String>, CliError> {
    let registry = session.registry()?;
    let asker = session.asker(&registry, change.person())?;
    let snapshot = registry.snapshot()?;
    let Some(view) = snapshot.model(model)? else { return Ok(Vec::new()) };
    let Some(found) = view.version(version)? else { return Ok(Vec::new()) };
    let Ok(request) = crate::apply::open_request(&found, model, which, &asker.user) else { return Ok(Vec::new()) };
    if request.created_by != asker.user {
        return Ok(Vec::new());
    }
    let from = view.stage_of(version)?;
    Ok(outlook::own_approval(&snapshot, &asker.user, model, &from, &request.to)?.into_iter().collect())
}

/// Reads a stage of the registry, or else a part of an id of one of the version's requests.
fn meant(session: &Session, args: &WhichArgs) -> Result<Which, CliError> {
    let Some(given) = &args.which else { return Ok(Which::Only) };
    let registry = session.registry()?;
    let snapshot = registry.snapshot()?;
    let known = snapshot.settings()?.map_or_else(|| Stage::BUILT_IN.to_vec(), crate::entity::Settings::known_stages);
    if let Ok(stage) = Stage::among(given, &known) {
        return Ok(Which::Stage(stage, None));
    }
    let view = snapshot.model(&args.name)?.ok_or_else(|| Refusal::no_model(&args.name))?;
    let view = view.version(args.version)?.ok_or_else(|| Refusal::no_version(&args.name, args.version))?;
    let all = view.requests()?;
    let names = known.iter().map(Stage::as_str).collect::<Vec<_>>().join(", ");
    let id = pick::by_part("request", given, all.keys())
        .map_err(|e| if e.exit == Exit::NotFound { e.hint(format!("or name a stage: {names}")) } else { e })?;
    Ok(Which::Id(id.clone()))
}

/// The requests of one version, one model or all, oldest first.
fn collect(
    snapshot: &Snapshot<'_>,
    closings: &mut Closings<'_>,
    model: Option<&ModelName>,
    version: Option<u64>,
    wanted: impl Fn(&Request) -> bool,
) -> Result<Vec<Asked>, CliError> {
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
                out.push(Asked::read(snapshot, &view, &name, v.number, request, closings)?);
            }
        }
    }
    out.sort_by(|a, b| (a.request.created_at, &a.request.id).cmp(&(b.request.created_at, &b.request.id)));
    Ok(out)
}

fn list(args: &ListArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let snapshot = registry.as_of(args.at.as_deref())?;
    let me = if args.mine || args.waiting { Some(session.asker(&registry, None)?.user) } else { None };
    let States(state) = args.state;
    let mut closings = Closings::new(session, &registry);
    let mut all =
        collect(&snapshot, &mut closings, args.name.as_ref(), args.version, |r| state.is_none_or(|s| r.state == s))?;
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
    let with_landers = |asked: Asked| {
        let landers = history.landers(&asked.model, asked.version);
        (asked, landers)
    };
    let rows: Vec<(Asked, Landers)> = all.into_iter().map(with_landers).collect();
    let out = &mut session.out;
    if out.is_json() {
        out.json(&rows.iter().map(|(asked, landers)| asked.as_json(landers)).collect::<Vec<_>>())?;
        return Ok(Exit::Ok);
    }
    if rows.is_empty() {
        out.line(if args.waiting { "Nothing waits for you." } else { "No such requests." });
    }
    let mut table =
        Table::new(&["ID", "MODEL", "VERSION", "FROM", "TO", "STATE", "APPROVALS", "BY", "CREATED", "COMMENT"]);
    for (asked, landers) in &rows {
        let r = &asked.request;
        let landed = landers.of(&r.id).map_or_else(String::new, |by| format!(" (landed by {by})"));
        table.row([
            pick::short(&r.id).to_owned(),
            asked.model.to_string(),
            asked.version.to_string(),
            if r.state == RequestState::Pending { asked.from.to_string() } else { "-".to_owned() },
            r.to.to_string(),
            r.state.as_str().to_owned(),
            format!("{} of {}", asked.approved_by().len(), asked.needed.max(1)),
            format!("{}{landed}", r.created_by),
            r.created_at.short(),
            r.comment.first_line().to_owned(),
        ]);
    }
    table.print(out);
    Ok(Exit::Ok)
}

fn show(args: &ShowArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let snapshot = registry.as_of(args.at.as_deref())?;
    let meant = |r: &Request| r.id.as_str().starts_with(&args.id) || r.id.as_str().ends_with(&args.id);
    let mut closings = Closings::new(session, &registry);
    let mut all = collect(&snapshot, &mut closings, None, None, meant)?;
    drop(closings);
    let id = pick::by_part("request", &args.id, all.iter().map(|a| &a.request.id))?.clone();
    for asked in all.iter_mut().filter(|a| a.request.id == id) {
        asked.explain(session, &registry, &snapshot)?;
        let landers = History::open(session, &registry, args.at.as_deref()).landers(&asked.model, asked.version);
        let out = &mut session.out;
        if out.is_json() {
            out.json(&asked.as_json(&landers))?;
            continue;
        }
        let r = &asked.request;
        let head = format!("{} version {} to {}", asked.model, asked.version, r.to);
        out.line(styled(BOLD, &head));
        out.line(format!("Id:        {}", r.id));
        out.line(format!("State:     {}", r.state.as_str()));
        out.line(format!("Now in:    {}", asked.from));
        let landed = landed_by(landers.of(&r.id));
        out.line(format!("Requested: {} by {}{landed}", r.created_at.short(), r.created_by));
        if r.archive_existing {
            out.line("Archives:  the other versions in the stage");
        }
        out.line(format!("Approvals: {} of {}", asked.approved_by().len(), asked.needed.max(1)));
        out.block(r.comment.as_str(), "    ");
        for (i, review) in r.review.iter().enumerate() {
            let void = asked.reasons.get(i).cloned().flatten();
            let void = void.map_or(String::new(), |why| format!(" (does not count: {why})"));
            let landed = landed_by(landers.of_review(&r.id, review));
            out.line("");
            out.line(format!("{} by {}, {}{landed}{void}", review.verdict.as_str(), review.by, review.at.short()));
            out.block(review.comment.as_str(), "    ");
        }
        // Who approved or rejected is the last reviewer.
        if let (RequestState::Cancelled, Some(by), Some(at)) = (r.state, &r.closed_by, r.closed_at) {
            out.line("");
            out.line(format!("cancelled by {by}, {}", at.short()));
            out.block(r.close_comment.as_str(), "    ");
        }
    }
    Ok(Exit::Ok)
}
