//! `greenroom verify`: the audit of the whole history, or of a part of it.

use clap::Args;

use crate::cli::terminal::output::{GREEN, Output, RED, YELLOW, local, styled};
use crate::cli::terminal::progress::ProgressBar;
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::gate::verify::{AcknowledgedFinding, Audit, AuditFinding, Scope, UncheckedPart, verify};
use crate::registry::{Registry, RegistryError};
use crate::text::one_line;
use crate::tree::Oid;
use crate::view;

/// The largest number of findings in text output; JSON has all of them.
const SHOWN: usize = 200;

/// Audit the history: judge every step again, by the rules of its moment
///
/// Examples: `greenroom verify`; `greenroom verify 2026-01-01.. --files`
///
/// Every step of the branch is judged as the gate would have judged it: permissions, approvals, stage rules, files,
/// signatures. The committer and the time of a step come from the record of pushes, if the repository has one. Objects
/// are compared with their ids, and the files of versions with their registered digests. Stored files are compared by
/// size; `--files` reads them and compares their SHA-256. Anything that cannot be checked on this machine is listed, such
/// as stored files that a fresh clone has not fetched.
///
/// A registry manager can acknowledge a fault that cannot be fixed any more (`greenroom settings acknowledge COMMIT
/// RULE -m WHY`). Acknowledged faults are listed apart.
///
/// Exit code 7: a fault is not acknowledged. Exit code 0: everything that could be checked is valid.
#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArgs {
    /// Only the steps after A up to B: A..B, A.., ..B; A and B are revisions or times; by default all steps
    #[arg(value_name = "RANGE")]
    range: Option<String>,
    /// A commit that must be in the history: a checkpoint of the branch or of the record of pushes, stored elsewhere;
    /// can be repeated
    #[arg(long = "expect", value_name = "COMMIT")]
    expected: Vec<String>,
    /// Read every byte of the stored files and compare its SHA-256 with the record
    #[arg(long)]
    files: bool,
}

pub(in crate::cli) fn run(args: &VerifyArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let (from, to) = ends(&registry, args.range.as_deref())?;
    let known = |given: &String| (given.clone(), named(&registry, given));
    let scope = Scope {
        branch: registry.branch().to_owned(),
        from,
        to,
        expected: args.expected.iter().map(known).collect(),
        files: args.files,
    };
    let (stepped, read) = (ProgressBar::counting("Verifying"), ProgressBar::new("Reading"));
    let audit = verify(registry.repo().git_dir(), &scope, &|done, total| stepped.seen(done, total), &|done, total| {
        read.seen(done, total);
    });
    drop((stepped, read));
    let audit = audit?;
    if session.out.is_json() {
        session.out.json(&view::Verification { audit: &audit, ok: audit.holds() })?;
    } else {
        print(&mut session.out, &audit);
    }
    Ok(if audit.holds() { Exit::Ok } else { Exit::Unverified })
}

/// The ends of a range; `None` for an open end.
fn ends(registry: &Registry, range: Option<&str>) -> Result<(Option<Oid>, Option<Oid>), CliError> {
    let Some(range) = range else { return Ok((None, None)) };
    let moment = |text: &str| match text {
        "" => Ok(None),
        text => Ok::<_, CliError>(Some(registry.moment(text)?)),
    };
    match range.split_once("..") {
        Some((_, b)) if b.starts_with('.') => {
            Err(CliError::usage("A...B is not a range of steps; write A..B for the steps after A up to B"))
        }
        Some((a, b)) => {
            let from = match moment(a) {
                Err(_) if is_before_history(registry, a) => None,
                from => from?,
            };
            Ok((from, moment(b)?))
        }
        None => Ok((None, moment(range)?)),
    }
}

/// Whether a time is before the first commit; then the whole history is after that time.
fn is_before_history(registry: &Registry, moment: &str) -> bool {
    matches!(registry.moment(moment), Err(RegistryError::BeforeHistory(_)))
}

/// The commit of a checkpoint: a full id, even if the commit does not exist, or any existing revision.
fn named(registry: &Registry, given: &str) -> Option<Oid> {
    Oid::from_hex(given).or_else(|| registry.repo().resolve(given).ok())
}

fn print(out: &mut Output, audit: &Audit) {
    let mut last: Option<Option<Oid>> = None;
    for finding in audit.findings.iter().take(SHOWN) {
        if last != Some(finding.commit) {
            if last.is_some() {
                out.line("");
            }
            out.line(title(finding));
            last = Some(finding.commit);
        }
        out.line(format!("    {} {}", styled(RED, "fault:"), finding.fault));
        if !finding.fault.problem.help.is_empty() {
            out.foreign(&format!("        {}", finding.fault.problem.help));
        }
    }
    let hidden = audit.findings.len().saturating_sub(SHOWN) as u64 + audit.more_findings;
    if hidden > 0 {
        out.line(format!("    and {hidden} more; `-o json` lists them"));
    }
    if last.is_some() {
        out.line("");
    }
    for AcknowledgedFinding { finding, reason } in audit.acknowledged.iter().take(SHOWN) {
        out.line(format!("{} {}", styled(YELLOW, "acknowledged:"), title(finding)));
        out.line(format!("    {}", finding.fault));
        out.foreign(&format!("    known: {}", one_line(reason)));
    }
    for unchecked in &audit.unchecked {
        out.line(format!("{} {}", styled(YELLOW, "not checked:"), one_line(&why(unchecked))));
    }
    for remark in &audit.remarks {
        out.line(format!("{} {}", styled(YELLOW, "note:"), one_line(&why(remark))));
    }
    out.line(summary(audit));
}

/// The line above the faults of a step, or above those of the history as a whole.
fn title(finding: &AuditFinding) -> String {
    let Some(commit) = finding.commit else { return "The history as a whole".to_owned() };
    let at = finding.at.map_or_else(String::new, |t| format!(" {}", local(t)));
    let by = finding.by.as_ref().map_or_else(String::new, |u| format!(" {u}"));
    let subject = match finding.subject.as_str() {
        "" => String::new(),
        subject => format!(": {}", one_line(subject)),
    };
    format!("{}{at}{by}{subject}", styled(YELLOW, &commit.short()))
}

fn why(unchecked: &UncheckedPart) -> String {
    let first = unchecked.commit.map_or_else(String::new, |c| format!(", the first at {}", c.short()));
    match unchecked.count {
        0 | 1 => match unchecked.commit {
            Some(commit) => format!("{} ({})", unchecked.message, commit.short()),
            None => unchecked.message.clone(),
        },
        n => format!("{} ({n} times{first})", unchecked.message),
    }
}

fn summary(audit: &Audit) -> String {
    let count = |n: u64, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    let branch = one_line(audit.branch.trim_start_matches("refs/heads/")).into_owned();
    let to = audit.to.map_or_else(String::new, |c| format!(" up to {}", c.short()));
    let recorded = match audit.pushes {
        0 => String::new(),
        _ => format!(", {} with a recorded push", audit.recorded),
    };
    let stored = count(audit.stored_files, "stored file");
    let mut files = match (audit.stored_files, audit.missing_files) {
        (0, _) => String::new(),
        (_, 0) => format!(", {stored}"),
        (all, missing) if all == missing => format!(", {stored}, not checked because none is here"),
        (_, missing) => format!(", {stored}, {missing} of them not checked because they are not here"),
    };
    if audit.read_files > 0 {
        files.push_str(&format!(", every byte of {} read", audit.read_files));
    }
    let looked_at = format!("{} of {branch}{to}{recorded}{files}", count(audit.steps, "step"));
    let faults = audit.findings.len() as u64 + audit.more_findings;
    if audit.holds() {
        format!("{}: {looked_at}.", styled(GREEN, "Everything that could be checked is valid"))
    } else {
        format!("{}: {looked_at}.", styled(RED, &count(faults, "fault")))
    }
}
