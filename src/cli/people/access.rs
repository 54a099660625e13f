//! `greenroom access`: grants of permission levels, and groups.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};

use crate::action::Action;
use crate::apply::Refusal;
use crate::cli::terminal::change::{self, ChangeArgs};
use crate::cli::terminal::complete;
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::suggest;
use crate::cli::terminal::table::Table;
use crate::cli::terminal::value_parser::level;
use crate::entity::{Access, PermissionLevel};
use crate::name::{GroupName, ModelName, Principal, UserName};
use crate::snapshot::File;
use crate::view;

/// Manage permissions: grants and groups
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AccessCommand {
    List(ListArgs),
    Grant(GrantArgs),
    Revoke(RevokeArgs),
    Group(GroupArgs),
}

/// List the grants of the registry, or of one model
///
/// For a model the list also has the grants that the model inherits from the registry.
///
/// Example: `greenroom access list --model churn`
#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// List the grants that apply to this model
    #[arg(long, value_name = "NAME", add = complete::model())]
    model: Option<ModelName>,
    /// Show the state as of a time (2026-03-01) or git revision (HEAD~3)
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// Grant a permission level to a person or a group
///
/// The new grant replaces the earlier grant of the same person or group on the same model (or on the registry).
///
/// Example: `greenroom access grant bob edit --model churn`
///
/// Levels, each of which includes the levels before it: `read` (see, request, comment), `edit` (add versions; edit
/// descriptions, tags and aliases), `manage-staging` (move versions outside Production), `manage-production` (move
/// versions to and from Production), `manage` (everything). The names of the REST API, such as CAN_READ, work as well.
#[derive(Debug, Args)]
pub(in crate::cli) struct GrantArgs {
    /// The person's id, or `group:NAME` (`group:everyone` is everyone)
    #[arg(add = complete::principal())]
    to: Principal,
    /// The level: read, edit, manage-staging, manage-production or manage
    #[arg(value_parser = level)]
    level: PermissionLevel,
    /// Grant the level on this model only; without this option, on the whole registry
    #[arg(long, value_name = "NAME", add = complete::model())]
    model: Option<ModelName>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Revoke a grant
///
/// Example: `greenroom access revoke bob --model churn`
#[derive(Debug, Args)]
pub(in crate::cli) struct RevokeArgs {
    /// The person's id, or `group:NAME`
    #[arg(add = complete::principal())]
    from: Principal,
    /// Revoke the grant on this model; without this option, the grant on the registry
    #[arg(long, value_name = "NAME", add = complete::model())]
    model: Option<ModelName>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Show groups, or change one group
///
/// Example: `greenroom access group leads --add alice --add bob`
#[derive(Debug, Args)]
pub(in crate::cli) struct GroupArgs {
    /// The group's name; without it, all groups are shown
    name: Option<GroupName>,
    /// Add a person; the group is created if it does not exist; can be repeated
    #[arg(long, value_name = "PERSON", requires = "name", add = complete::person())]
    add: Vec<UserName>,
    /// Remove a person; can be repeated
    #[arg(long, value_name = "PERSON", requires = "name", add = complete::person())]
    remove: Vec<UserName>,
    /// Show the state as of a time (2026-03-01) or git revision (HEAD~3)
    #[arg(long, value_name = "MOMENT", conflicts_with_all = ["add", "remove", "delete"])]
    at: Option<String>,
    /// Delete the group
    #[arg(long, conflicts_with_all = ["add", "remove"], requires = "name")]
    delete: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(in crate::cli) fn run(command: AccessCommand, session: &mut Session) -> Result<Exit, CliError> {
    match command {
        AccessCommand::List(a) => list(&a, session),
        AccessCommand::Grant(a) => {
            let to = a.to.clone();
            let done = change::apply(session, &a.change, &[Action::Grant { model: a.model, to: a.to, level: a.level }]);
            done.map_err(|e| suggest::principal(e, &to, session))
        }
        AccessCommand::Revoke(a) => change::apply(session, &a.change, &[Action::Revoke { model: a.model, to: a.from }]),
        AccessCommand::Group(a) => group(a, session),
    }
}

fn list(args: &ListArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    session.note_edits(&registry, args.at.as_deref());
    let snapshot = registry.as_of(args.at.as_deref())?;
    let own = match &args.model {
        Some(name) => {
            let view = snapshot.model(name)?.ok_or_else(|| Refusal::no_model(name))?;
            let file = view.access()?;
            readable(file.as_ref())?;
            file.and_then(|f| f.value).unwrap_or_default()
        }
        None => Access::default(),
    };
    readable(snapshot.access_file()?)?;
    let wide = snapshot.access()?;
    let own = own.grants.iter().map(|g| (g, args.model.as_ref()));
    let all: Vec<_> = own.chain(wide.grants.iter().map(|g| (g, None))).collect();
    if session.out.is_json() {
        let rows = all.iter().map(|(grant, model)| view::Grant {
            to: &grant.to,
            level: grant.level,
            model: *model,
            inherited: args.model.is_some() && model.is_none(),
        });
        session.out.json(&rows.collect::<Vec<_>>())?;
        return Ok(Exit::Ok);
    }
    if all.is_empty() {
        session.out.line("There are no grants.");
    }
    let mut table = Table::new(&["TO", "LEVEL", "WHERE"]);
    for (grant, model) in &all {
        let place = match (model, &args.model) {
            (Some(_), _) => "this model",
            (None, Some(_)) => "registry (inherited)",
            (None, None) => "registry",
        };
        table.row([grant.to.to_string(), grant.level.to_string(), place.to_owned()]);
    }
    table.print(&mut session.out);
    Ok(Exit::Ok)
}

/// Refuses grants that cannot be read in full: the list would show fewer grants than the file has.
fn readable(file: Option<&File<Access>>) -> Result<(), CliError> {
    match file.and_then(|file| file.problems.first()) {
        Some(problem) => Err(Refusal::Faulty { problem: problem.clone() }.into()),
        None => Ok(()),
    }
}

fn group(args: GroupArgs, session: &mut Session) -> Result<Exit, CliError> {
    let Some(group) = args.name else { return show(None, args.at.as_deref(), session) };
    if args.delete {
        session.confirm_deletion(
            &format!("the group {group}"),
            group.as_str(),
            args.yes || args.change.is_dry_run(),
        )?;
        return change::apply(session, &args.change, &[Action::DeleteGroup { group }]);
    }
    if args.add.is_empty() && args.remove.is_empty() {
        return show(Some(&group), args.at.as_deref(), session);
    }
    let (add, remove): (BTreeSet<_>, BTreeSet<_>) = (args.add.into_iter().collect(), args.remove.into_iter().collect());
    members(&group, &remove, session)?;
    change::apply(session, &args.change, &[Action::ChangeGroup { group, add, remove }])
}

/// Refuses to remove people who are not in a group: a misspelt id would seem to be removed.
fn members(group: &GroupName, remove: &BTreeSet<UserName>, session: &Session) -> Result<(), CliError> {
    let registry = session.registry()?;
    let snapshot = registry.snapshot()?;
    readable(snapshot.access_file()?)?;
    let Some(there) = snapshot.access()?.groups.get(group) else { return Ok(()) };
    let Some(other) = remove.iter().find(|user| !there.contains(*user)) else { return Ok(()) };
    let e = CliError::not_found(format!("{other} is not in the group {group}"));
    Err(match suggest::nearest(other.as_str(), there.iter().map(UserName::as_str)) {
        Some(nearest) => e.hint(format!("did you mean {nearest}?")),
        None => e.hint(format!("greenroom access group {group}")),
    })
}

/// Shows one group or all groups. The group `everyone` has no list of members.
fn show(only: Option<&GroupName>, at: Option<&str>, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let snapshot = registry.as_of(at)?;
    readable(snapshot.access_file()?)?;
    let mut groups = snapshot.access()?.groups.clone();
    groups.retain(|name, _| only.is_none_or(|only| only == name));
    if let Some(only) = only.filter(|_| groups.is_empty()) {
        return Err(CliError::not_found(format!("there is no group '{only}'"))
            .hint(format!("greenroom access group {only} --add PERSON")));
    }
    if session.out.is_json() {
        let rows: Vec<_> = groups.iter().map(|(name, members)| view::Group { name, members }).collect();
        session.out.json(&rows)?;
        return Ok(Exit::Ok);
    }
    if groups.is_empty() {
        session.out.line("No groups yet. Make one: greenroom access group NAME --add PERSON");
    }
    let mut table = Table::new(&["GROUP", "MEMBERS"]);
    for (name, members) in groups {
        let members: Vec<&str> = members.iter().map(UserName::as_str).collect();
        table.row([name.to_string(), members.join(", ")]);
    }
    table.print(&mut session.out);
    Ok(Exit::Ok)
}
