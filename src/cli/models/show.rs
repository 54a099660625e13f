//! `greenroom show`: a version, a model, a commit, or the registry as a whole.

use clap::Args;

use super::{model, version};
use crate::apply::EntityKind;
use crate::cli::history::{diff, log};
use crate::cli::terminal::complete;
use crate::cli::terminal::output::{BOLD, local, styled};
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::version_argument::{self, VersionArgument};
use crate::git::GitError;
use crate::reference::{ModelRef, VersionPick};
use crate::registry::{Registry, RegistryError};
use crate::text::quoted;
use crate::tree::{Oid, TreeError};
use crate::view::{LogEntry, Overview};

/// Show a version, a model, a commit, or the registry as a whole
///
/// Examples: `greenroom show churn@champion`; `greenroom show HEAD~1`
#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    /// A version (churn 3, churn/3, churn/Production, churn@champion) or a model (churn), each with @{MOMENT} for an
    /// earlier state; or a commit; by default the registry
    #[arg(value_names = ["NAME|COMMIT", "VERSION"], num_args = 0..=2, add = complete::version())]
    words: Vec<String>,
    /// Show the state as of a time (2026-03-01) or git revision (HEAD~3)
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

pub(in crate::cli) fn run(args: &ShowArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let what = match args.words.as_slice() {
        [] => return overview(&registry, args.at.as_deref(), session),
        [word] => word,
        [..] => return version::page(&VersionArgument::leading(&args.words, 0..=0)?.0, args.at.as_deref(), session),
    };
    let wanted = what.parse::<ModelRef>();
    if let Ok(wanted) = &wanted {
        let is_named = what.starts_with("models:/");
        let (_, moment) = version_argument::moment_of(what, args.at.as_deref())?;
        let state = registry.as_of(moment.as_deref())?;
        // A word that could name both a model and a commit names the model.
        if is_named || state.model(&wanted.model)?.is_some() {
            return match &wanted.pick {
                VersionPick::Model => model::page(&wanted.model, moment.as_deref(), session),
                VersionPick::Number(_) | VersionPick::Stage(_) | VersionPick::Alias(_) | VersionPick::Latest => {
                    version::page(&VersionArgument::reference_only(what), args.at.as_deref(), session)
                }
            };
        }
        // A name may hold `@`, which is read as the mark of an alias first.
        if let Ok((name, moment)) = version_argument::model_at(what, args.at.as_deref())
            && state.model(&name)?.is_some()
        {
            return model::page(&name, moment.as_deref(), session);
        }
    }
    let absent = wanted.ok().map(|wanted| Box::new((EntityKind::Model, wanted.model.to_string())));
    if args.at.is_some() {
        let e = CliError::not_found(format!("there was no model or version {} then", quoted(what)));
        return Err(CliError { absent, ..e });
    }
    match registry.repo().resolve(what) {
        Ok(commit) => show_commit(&registry, commit, session),
        Err(GitError::UnknownRevision { .. }) => {
            let message = format!("{} is not a model, version or commit of this registry", quoted(what));
            let hint = "`greenroom search models` lists the models, `greenroom log` the commits";
            Err(CliError { absent, ..CliError::not_found(message).hint(hint) })
        }
        Err(e) => Err(e.into()),
    }
}

/// Shows what a commit changed against its first parent.
fn show_commit(registry: &Registry, commit: Oid, session: &mut Session) -> Result<Exit, CliError> {
    let parent = registry.repo().commit(&commit)?.parents.first().copied();
    let entry = match registry.step(commit, parent) {
        Err(
            RegistryError::Tree(TreeError::Missing(_)) | RegistryError::Git(GitError::Object(TreeError::Missing(_))),
        ) if registry.repo().is_shallow()? => {
            return Err(GitError::Shallow.into());
        }
        other => other?,
    };
    let asked_by: Vec<&str> = entry.asked_by.iter().map(|u| u.as_str()).collect();
    let claims = log::unproven(registry, (commit, parent), &asked_by)?;
    if session.out.is_json() {
        session.out.json(&LogEntry::of_step(&entry, parent, &claims))?;
        return Ok(Exit::Ok);
    }
    let out = &mut session.out;
    let landed_by = entry.landed_by.as_ref().map(|u| u.as_str());
    let by = log::StepPeople {
        by: entry.by.as_str(),
        landed_by,
        asked_by: &asked_by,
        claims: &claims,
        signed: entry.signed,
    };
    log::head(out, &entry.commit.to_string(), &local(entry.at), &by);
    if !entry.comment.is_empty() {
        out.line("");
        out.block(&entry.comment, "    ");
    }
    out.line("");
    if entry.events.is_empty() {
        out.line("The registry did not change.");
    }
    diff::print(out, &entry.events);
    Ok(Exit::Ok)
}

/// Shows the registry as a whole.
fn overview(registry: &Registry, at: Option<&str>, session: &mut Session) -> Result<Exit, CliError> {
    session.note_edits(registry, at);
    let commit = at.map_or_else(|| registry.head(), |moment| registry.moment(moment).map(Some))?;
    let snapshot = registry.snapshot_of(commit)?;
    let settings = snapshot
        .settings()?
        .ok_or_else(|| CliError::new(Exit::Failed, "the registry's settings cannot be read").hint("greenroom check"))?;
    let models = snapshot.models()?.len();
    let people = snapshot.people()?.len();
    let head = commit.map(|c| registry.repo().commit(&c)).transpose()?;
    let rules: Vec<&str> = settings.stages.keys().map(|s| s.as_str()).collect();
    let branch = registry.branch().trim_start_matches("refs/heads/");
    if session.out.is_json() {
        session.out.json(&Overview {
            name: &settings.name,
            id: &settings.id,
            layout: settings.layout.as_str(),
            branch,
            folder: registry.at(),
            models,
            people,
            stages_with_rules: settings.stages.keys().collect(),
            commit: head.as_ref().map(|c| c.id),
            updated_at: head.as_ref().map(|c| c.committer.time),
        })?;
        return Ok(Exit::Ok);
    }
    let out = &mut session.out;
    out.line(styled(BOLD, settings.name.as_str()));
    out.foreign(&format!("Branch:      {branch}"));
    if !registry.at().is_empty() {
        out.foreign(&format!("Folder:      {}", registry.at()));
    }
    out.line(format!("Layout:      {}", settings.layout.as_str()));
    out.line(format!("Models:      {models}"));
    out.line(format!("People:      {people}"));
    if !rules.is_empty() {
        out.foreign(&format!("Stage rules: {}", rules.join(", ")));
    }
    if let Some(head) = head {
        out.foreign(&format!("Last change: {}, {}", local(head.committer.time), head.subject));
    }
    Ok(Exit::Ok)
}
