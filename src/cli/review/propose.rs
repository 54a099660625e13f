//! `--branch` of `greenroom request create` and `greenroom alias`: a proposal as a branch that another person merges.

use clap::Args;

use crate::action::Action;
use crate::apply;
use crate::cli::terminal::change::ChangeArgs;
use crate::cli::terminal::output::{DIM, YELLOW, styled};
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::shell::shell;
use crate::format::path::ModelDir;
use crate::name::ModelName;
use crate::phrase;
use crate::registry::{ChangeOptions, Proposal, Registry, RegistryError};
use crate::snapshot::Snapshot;
use crate::text::one_line;
use crate::tree::Oid;
use crate::view;

/// Options that make the request a branch.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct BranchArgs {
    /// Create a branch that makes the change, for a pull request: its merge by another person is the approval. The
    /// branch starts at the state of `origin`; nothing is checked out. The default name describes the change, such as
    /// request/MODEL-VERSION-STAGE
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    branch: Option<String>,
    /// Start the branch at this revision instead
    #[arg(long, value_name = "REVISION", requires = "branch")]
    onto: Option<String>,
}

impl BranchArgs {
    /// The given name, empty for the default name; `None` without `--branch`.
    pub(in crate::cli) fn name(&self) -> Option<&str> {
        self.branch.as_deref()
    }

    /// The commit that the branch starts at; `None` in an empty repository.
    fn base(&self, registry: &Registry) -> Result<Option<Oid>, CliError> {
        Ok(match &self.onto {
            Some(revision) => Some(registry.repo().resolve(revision)?),
            None => registry.upstream()?,
        })
    }

    /// The snapshot to look versions up in: that of the branch's start, otherwise the current one.
    pub(in crate::cli) fn snapshot<'r>(&self, registry: &'r Registry) -> Result<Snapshot<'r>, CliError> {
        match self.branch {
            Some(_) => Ok(registry.snapshot_of(self.base(registry)?)?),
            None => Ok(registry.snapshot()?),
        }
    }
}

/// The default name of a branch that moves a model's version or alias.
fn usual(model: &ModelName, what: &str) -> String {
    // Two dots would be a range to git.
    format!("request/{}-{what}", ModelDir::of(model).as_str().replace("..", ".%2E"))
}

pub(in crate::cli) fn run(
    session: &mut Session,
    change: &ChangeArgs,
    branch: &BranchArgs,
    action: &Action,
) -> Result<Exit, CliError> {
    let (model, what) = match action {
        Action::Transition { model, version, to, .. } => (model, format!("{version}-{to}")),
        Action::SetAlias { model, alias, version } => (model, format!("{alias}-{version}")),
        Action::DeleteAlias { model, alias } => (model, format!("{alias}-none")),
        _ => return Err(CliError::usage("a branch can only propose a transition or a change of an alias")),
    };
    let registry = session.registry()?;
    let change_author = session.change_author(&registry, change.person())?;
    let base = branch.base(&registry)?;
    let base = base.ok_or_else(|| CliError::new(Exit::Failed, "there is no commit for the branch to start from"))?;
    mergeable(&registry, base, action)?;
    let name = branch.name().filter(|n| !n.is_empty()).map_or_else(|| usual(model, &what), str::to_owned);
    let comment = change.text()?.as_str().to_owned();
    let options = ChangeOptions { comment, dry_run: change.is_dry_run(), relaxed: change.is_relaxed() };
    let made = registry.propose(
        &change_author,
        (model, action),
        (&name, base),
        session.now(&change_author.committer),
        &options,
    );
    let made = made.map_err(|e| match e {
        RegistryError::BranchExists { branch } => {
            CliError::from(RegistryError::BranchExists { branch: branch.clone() })
                .hint(format!("push it: {}", push(&branch)))
                .hint(format!("or delete it: git branch -D {}", shell_path(&branch)))
        }
        e => e.into(),
    })?;
    print(session, &made, change.is_dry_run())?;
    Ok(Exit::Ok)
}

/// Refuses a branch that no person could ever merge: its merge is one approval, and the transition needs more.
fn mergeable(registry: &Registry, base: Oid, action: &Action) -> Result<(), CliError> {
    let Action::Transition { model, version, to, .. } = action else { return Ok(()) };
    let snapshot = registry.snapshot_of(Some(base))?;
    let (Some(view), Some(settings)) = (snapshot.model(model)?, snapshot.settings()?) else { return Ok(()) };
    let Ok(to) = apply::target(&snapshot, to) else { return Ok(()) };
    let needed = settings.approvals_between(&view.stage_of(*version)?, &to);
    if needed <= 1 {
        return Ok(());
    }
    let message =
        format!("a transition to {to} needs {needed} approvals, but the merge of a branch gives only one approval");
    let name = shell(model.as_str());
    let hint = format!("create a request, which collects approvals: greenroom request create {name} {version} {to}");
    Err(CliError::new(Exit::Refused, message).hint(hint))
}

fn print(session: &mut Session, made: &Proposal, dry_run: bool) -> Result<(), CliError> {
    let out = &mut session.out;
    if out.is_json() {
        return Ok(out.json(&view::Proposal {
            branch: &made.branch,
            base: made.base,
            commit: made.commit,
            dry_run,
            events: &made.diff.events,
            message: &made.message,
            push: push(&made.branch),
        })?);
    }
    if made.diff.is_empty() {
        out.line("Nothing to do: the registry already has this state.");
        return Ok(());
    }
    let verb = if dry_run { "Would make" } else { "Made" };
    out.line(format!("{verb} the branch {} on top of {}:", one_line(&made.branch), made.base.short()));
    for event in &made.diff.events {
        out.foreign(&format!("  {}", phrase::act(event)));
    }
    if let Some(commit) = made.commit {
        let subject = made.message.lines().next().unwrap_or_default();
        out.line(format!("{} {}", styled(YELLOW, &commit.short()), styled(DIM, subject)));
        out.line("Push it and open a pull request; another person must merge it:");
        out.foreign(&format!("  {}", push(&made.branch)));
    }
    Ok(())
}

/// The command that pushes a branch.
fn push(branch: &str) -> String {
    format!("git push origin {}", shell_path(branch))
}

/// Quotes a branch name for a shell.
fn shell_path(branch: &str) -> String {
    branch.split('/').map(shell).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_has_a_name_for_its_branch_that_git_takes() {
        let name = |model: &str| usual(&ModelName::new(model).unwrap(), "3-Production");
        assert_eq!(name("churn"), "request/churn-3-Production");
        assert_eq!(name("a..b ~^?*["), "request/a.%2Eb%20%7E%5E%3F%2A%5B-3-Production");
        assert_eq!(name(".a.."), "request/%2Ea.%2E-3-Production");
        assert_eq!(push("request/50%-3-Production"), "git push origin request/'50%-3-Production'");
    }
}
