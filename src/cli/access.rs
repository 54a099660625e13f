//! `greenroom access`: who may do what.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};

use super::change::{self, ChangeArgs};
use super::complete;
use super::report::{CliError, Exit};
use super::session::Session;
use super::suggest;
use super::table::Table;
use crate::action::Action;
use crate::apply::Refusal;
use crate::entity::{Access, Level};
use crate::name::{GroupName, ModelName, Principal, UserName};
use crate::snapshot::File;
use crate::view;

/// Manage who may do what
#[derive(Debug, Subcommand)]
pub(super) enum AccessCommand {
    List(ListArgs),
    Grant(GrantArgs),
    Revoke(RevokeArgs),
    Group(GroupArgs),
}

/// List grants: of the registry, or of a model with those that it inherits
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Those that hold for this model
    #[arg(long, value_name = "NAME", add = complete::model())]
    model: Option<ModelName>,
    /// As of a time or git revision
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// Grant a level, in place of the one that was granted there before
///
/// The levels, each of which includes those before it: `read` (see, request, comment), `edit` (add versions, edit
/// descriptions, tags and aliases), `manage-staging` (move versions outside Production), `manage-production` (move
/// them to and from Production), `manage` (all). The names of the REST contract, such as CAN_READ, are read as well.
#[derive(Debug, Args)]
pub(super) struct GrantArgs {
    /// To whom: a person's id, or `group:NAME` (`group:everyone` is everyone)
    #[arg(add = complete::principal())]
    to: Principal,
    /// The level: read, edit, manage-staging, manage-production or manage
    #[arg(value_parser = level)]
    level: Level,
    /// On this model only; without it, on all
    #[arg(long, value_name = "NAME", add = complete::model())]
    model: Option<ModelName>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Take a grant back
#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// From whom: a person's id, or `group:NAME`
    #[arg(add = complete::principal())]
    from: Principal,
    /// The one on this model; without it, the registry-wide one
    #[arg(long, value_name = "NAME", add = complete::model())]
    model: Option<ModelName>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Show groups, or change one
#[derive(Debug, Args)]
pub(super) struct GroupArgs {
    /// The group's name; without it, all are shown
    name: Option<GroupName>,
    /// Put someone in; a group that is not there is made
    #[arg(long, value_name = "PERSON", requires = "name", add = complete::person())]
    add: Vec<UserName>,
    /// Take someone out
    #[arg(long, value_name = "PERSON", requires = "name", add = complete::person())]
    remove: Vec<UserName>,
    /// Show them as of a time or git revision
    #[arg(long, value_name = "MOMENT", conflicts_with_all = ["add", "remove", "delete"])]
    at: Option<String>,
    /// Delete the group
    #[arg(long, conflicts_with_all = ["add", "remove"], requires = "name")]
    delete: bool,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Reads a level by its name, or in few words: `manage-staging`.
pub(super) fn level(s: &str) -> Result<Level, String> {
    Ok(match s.to_ascii_lowercase().replace('_', "-").as_str() {
        "read" => Level::CanRead,
        "edit" => Level::CanEdit,
        "manage-staging" => Level::CanManageStagingVersions,
        "manage-production" => Level::CanManageProductionVersions,
        "manage" => Level::CanManage,
        _ => s.parse().map_err(|_| "must be read, edit, manage-staging, manage-production or manage")?,
    })
}

pub(super) fn run(command: AccessCommand, session: &mut Session) -> Result<Exit, CliError> {
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
        session.out.line("Nothing is granted to anyone.");
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

/// Refuses grants of which a part cannot be read: what is shown would be less than what is meant.
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
    change::apply(session, &args.change, &[Action::ChangeGroup { group, add, remove }])
}

/// Shows one group or all. `everyone` has no list of members.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_by_both_their_names() {
        for (word, wanted) in ["read", "edit", "manage-staging", "manage-production", "manage"].iter().zip(Level::ALL) {
            assert_eq!(level(word), Ok(wanted));
            assert_eq!(level(wanted.as_str()), Ok(wanted));
        }
        assert!(level("admin").is_err());
    }
}
