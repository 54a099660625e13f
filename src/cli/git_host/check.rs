//! `greenroom check`: the faults of a registry before a commit, or of a pull request before its merge.

use std::path::{Path, PathBuf};

use clap::Args;

use super::annotate::{Annotation, ReportRequest, ReportStyle, github, gitlab, sarif};
use super::pull::{self, Summary};
use crate::cli::terminal::output::{GREEN, Output, RED, YELLOW, styled};
use crate::cli::terminal::report::{self, CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::clock;
use crate::format::Problem;
use crate::format::problem::folded;
use crate::gate;
use crate::gate::pull::{PullContext, PullRequest};
use crate::git::{GitError, Ident};
use crate::index;
use crate::name::UserName;
use crate::registry::{ChangeAuthor, LintReport, Registry};
use crate::text::one_line;
use crate::time::Timestamp;
use crate::view;

/// Check files before a commit, or a pull request before its merge, and list every fault with its fix
///
/// Examples: `greenroom check` for the work tree; `greenroom check origin/main..HEAD --format github` for a pull
/// request
///
/// Commits that are not pushed yet, by what was last fetched of the remote's main branch, are judged as if you pushed them
/// now. Commits of another branch or of a detached HEAD are not judged, and a warning says so. If no branch of a remote was
/// fetched, the newest 100 commits are judged as `greenroom verify` does.
///
/// With BASE..HEAD, the command checks a pull request: the events of merging HEAD into BASE, by the permissions and
/// rules of BASE. HEAD may already be the merge commit that hosts make for CI. A single revision is checked against
/// its first parent. The person who merges is not known yet, so the command tries everyone: the check passes if at
/// least one person may merge, and names these people.
///
/// Exit code 1: a file has a fault. Exit code 5: a permission or a rule refuses the change.
#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    /// Report only on this file or folder; or check a pull request: BASE..HEAD, or a revision
    #[arg(value_name = "PATH|RANGE")]
    what: Option<PathBuf>,
    /// Judge the changes, or the merge, as made by this person
    #[arg(long = "as", value_name = "PERSON")]
    named: Option<UserName>,
    /// Count the merge by another person as an approval, because the git host proves the authors of commits. Use this
    /// option only if the host refuses commits in another person's name
    #[arg(long)]
    authors_proven: bool,
    /// The format of the report: text, json, github, gitlab, sarif or markdown; STYLE=FILE writes a file; can be
    /// repeated
    #[arg(long = "format", value_name = "STYLE[=FILE]")]
    formats: Vec<ReportRequest>,
}

pub(in crate::cli) fn run(args: &CheckArgs, session: &mut Session) -> Result<Exit, CliError> {
    let text = args.what.as_ref().and_then(|w| w.to_str()).unwrap_or_default();
    if is_range(text, session) {
        return check_pull(args, text, session);
    }
    if args.authors_proven {
        return Err(CliError::usage("--authors-proven goes with BASE..HEAD"));
    }
    check_files(args, session)
}

/// Whether an argument names commits. An existing path is a path, even if it could also be a revision.
fn is_range(text: &str, session: &Session) -> bool {
    if text.is_empty() || session.path(Path::new(text)).symlink_metadata().is_ok() {
        return false;
    }
    let range = text.contains("..") && !text.split('/').any(|part| part == "..");
    range || session.registry().is_ok_and(|r| r.repo().resolve(text).is_ok())
}

fn check_pull(args: &CheckArgs, range: &str, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let now = registry.repo().identity().map_or_else(|_| clock::now(), |(_, committer)| session.now(&committer));
    let pull = PullRequest::of_range(&registry, range)?;
    let terms = PullContext { merger: args.named.clone(), authors_proven: args.authors_proven, now };
    let judged = pull.judge(&terms)?;
    let summary = Summary::new(&pull, &judged, args.named.as_ref(), now)?;
    deliver(args, session, |style, out| summary.report(style, out))?;
    Ok(report::exit_for(&judged.faults))
}

/// Writes each requested report to its destination.
fn deliver(
    args: &CheckArgs,
    session: &mut Session,
    report: impl Fn(ReportStyle, &mut Output) -> Result<(), CliError>,
) -> Result<(), CliError> {
    if args.formats.is_empty() {
        let style = if session.out.is_json() { ReportStyle::Json } else { ReportStyle::Text };
        return report(style, &mut session.out);
    }
    for wanted in &args.formats {
        match &wanted.file {
            None => report(wanted.style, &mut session.out)?,
            Some(file) => {
                let mut out = session.out.apart();
                report(wanted.style, &mut out)?;
                let path = session.path(file);
                std::fs::write(&path, out.plain()).map_err(|e| {
                    let message = format!("cannot write {}", one_line(&path.to_string_lossy()));
                    CliError { causes: vec![e.to_string()], ..CliError::new(Exit::Failed, message) }
                })?;
            }
        }
    }
    Ok(())
}

fn check_files(args: &CheckArgs, session: &mut Session) -> Result<Exit, CliError> {
    let path = args.what.as_ref().map(|p| session.path(p));
    let start = path.as_deref().map_or_else(|| session.dir(), |p| folder_of(p).to_owned());
    let registry = index::indexed(Registry::discover(&start)?);
    let change_author = match session.change_author(&registry, args.named.as_ref()) {
        // The person of `--as` is also the committer.
        Ok(change_author) if args.named.is_some() => {
            Some(ChangeAuthor { committer: change_author.author.clone(), ..change_author })
        }
        Ok(change_author) => Some(change_author),
        // Files can be checked even where git has no identity.
        Err(_) if args.named.is_none() && matches!(registry.repo().identity(), Err(GitError::NoIdentity)) => None,
        Err(e) => return Err(e),
    };
    let now = change_author.as_ref().map_or_else(clock::now, |a| session.now(&a.committer));
    let mut lint = registry.lint(change_author.as_ref(), now)?;
    committed(&registry, change_author.as_ref().map(|a| &a.committer), now, &mut lint)?;
    if let Some(path) = &path {
        let within = within(&registry, path)?;
        let told = |p: &str| p.starts_with(&within) || format!("{p}/") == within;
        lint.faults.retain(|f| told(&f.problem.path));
        lint.warnings.retain(|w| told(&w.path));
    }
    if change_author.is_none() && !lint.changed.is_empty() {
        let message = "git does not know who you are, so permissions and stage rules were not asked";
        lint.warnings.push(Problem::of_file("", "identity", message).help("git config --global user.email …"));
    }
    let home = format!("{}greenroom.toml", registry.at());
    deliver(args, session, |style, out| report_files(&lint, &home, style, out))?;
    Ok(report::exit_for(&lint.faults))
}

/// How many steps back faults are looked for that have landed.
pub(in crate::cli) const RECENT: usize = 100;

/// Adds what the commits broke that are made and not pushed yet, as the gate would find it; and what newer ones that
/// landed did to the past, which is not seen in the files as they are.
fn committed(
    registry: &Registry,
    committer: Option<&Ident>,
    now: Timestamp,
    lint: &mut LintReport,
) -> Result<(), CliError> {
    let Some(tip) = registry.head()? else { return Ok(()) };
    let ahead = gate::ahead(registry, committer, now)?;
    lint.warnings.extend(ahead.warnings);
    for (commit, fault) in gate::verify::recent(registry, tip, RECENT)? {
        if !ahead.steps.contains(&commit) && !lint.faults.iter().any(|f| f.problem == fault.problem) {
            lint.faults.push(fault);
        }
    }
    lint.faults.extend(ahead.faults);
    lint.faults.sort();
    lint.faults.dedup();
    lint.warnings.sort();
    Ok(())
}

/// Reports on the files of a work tree in one format.
fn report_files(lint: &LintReport, home: &str, style: ReportStyle, out: &mut Output) -> Result<(), CliError> {
    let faults = lint.faults.iter().map(|f| Annotation { problem: &f.problem, fault: true });
    let findings: Vec<_> =
        faults.chain(lint.warnings.iter().map(|w| Annotation { problem: w, fault: false })).collect();
    match style {
        ReportStyle::Text => as_text(lint, out),
        ReportStyle::Json => out.json(&view::FileReport {
            files: lint.files,
            changed: &lint.changed,
            faults: &lint.faults,
            warnings: &lint.warnings,
        })?,
        ReportStyle::Github => {
            let told = plain(&told(lint));
            out.line(format!("{}{}", github::commands(&findings), github::notice(&told)).trim_end());
        }
        ReportStyle::Gitlab => out.report(&gitlab::report(&findings, home))?,
        ReportStyle::Sarif => out.report(&sarif::log(&findings, home))?,
        ReportStyle::Markdown => {
            out.line(pull::of_files(&lint.faults, &lint.warnings, plain(&told(lint)).trim_end_matches('.')).trim_end());
        }
    }
    Ok(())
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// The path itself if it is a folder, otherwise its parent folder.
fn folder_of(path: &Path) -> &Path {
    if path.is_dir() { path } else { path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")) }
}

/// A path on disk as a prefix of paths in the repository: empty for the whole registry, otherwise ending in a slash.
pub(in crate::cli) fn within(registry: &Registry, path: &Path) -> Result<String, CliError> {
    let missing = || CliError::not_found(format!("there is no file or folder {}", one_line(&path.to_string_lossy())));
    let Some(root) = registry.repo().work_dir() else { return Ok(String::new()) };
    // The path may name a deleted file.
    let real = path.canonicalize().or_else(|e| match path.file_name() {
        Some(name) => folder_of(path).canonicalize().map(|p| p.join(name)),
        None => Err(e),
    });
    let (real, root) = (real.map_err(|_| missing())?, root.canonicalize()?);
    let inner = real.strip_prefix(&root).map_err(|_| missing())?.to_string_lossy().into_owned();
    let inner = if inner.is_empty() { inner } else { format!("{inner}/") };
    Ok(if registry.at().starts_with(&inner) { String::new() } else { inner })
}

fn as_text(lint: &LintReport, out: &mut Output) {
    let faults: Vec<&Problem> = lint.faults.iter().map(|f| &f.problem).collect();
    let warnings: Vec<&Problem> = lint.warnings.iter().collect();
    for (problems, style, what) in [(faults, RED, "fault:"), (warnings, YELLOW, "warning:")] {
        for (index, more) in folded(problems.iter().map(|p| ((), *p))) {
            let Some(problem) = problems.get(index) else { continue };
            out.line(format!("{} {problem}", styled(style, what)));
            if !problem.help.is_empty() {
                out.line(format!("    {}", one_line(&problem.help)));
            }
            if more > 0 {
                out.line(format!("    and {more} more like it; `-o json` lists all"));
            }
        }
    }
    out.line(told(lint));
    if lint.faults.is_empty() && lint.changed.is_empty() {
        out.line("Nothing differs from the last commit.");
    }
}

/// The number of faults and warnings as a sentence.
fn told(lint: &LintReport) -> String {
    let count = |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    let found = match (lint.faults.len(), lint.warnings.len()) {
        (0, 0) => styled(GREEN, "No faults"),
        (0, warnings) => styled(GREEN, &format!("No faults, {}", count(warnings, "warning"))),
        (faults, 0) => styled(RED, &count(faults, "fault")),
        (faults, warnings) => styled(RED, &format!("{}, {}", count(faults, "fault"), count(warnings, "warning"))),
    };
    let changed = match lint.changed.len() {
        0 => String::new(),
        n => format!("; {} not committed", count(n, "change")),
    };
    format!("{found} in {}{changed}.", count(lint.files, "file"))
}
