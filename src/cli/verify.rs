//! `greenroom verify`: the audit of the whole history, or of a part of it.

use clap::Args;

use super::output::{GREEN, Output, RED, YELLOW, local, styled};
use super::progress::Progress;
use super::report::{CliError, Exit};
use super::session::Session;
use crate::gate::verify::{Audit, Finding, Known, Scope, Unchecked, verify};
use crate::registry::{Registry, RegistryError};
use crate::text::one_line;
use crate::tree::Oid;
use crate::view;

/// The most findings that are printed for people; JSON has them all.
const SHOWN: usize = 200;

/// Judge the history once more, step by step, by the rules of each moment
///
/// Every step of the branch is judged as the gate would have judged it when it landed: permissions, approvals, stage
/// rules, files, signatures. Who landed it and when is taken from the record of pushes, where the repository has one.
/// Objects are compared with their ids, and the files of versions with the digest that was registered. What cannot be
/// checked on this machine is listed.
///
/// A fault of the past that cannot be mended can be acknowledged by whoever manages the registry
/// (`greenroom settings acknowledge COMMIT RULE -m WHY`): it is listed apart.
///
/// Exit code 7 when something is wrong that is not acknowledged, 0 when all that could be checked holds.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Only the steps after A up to B: A..B, A.., ..B; revisions or times; by default all
    #[arg(value_name = "RANGE")]
    range: Option<String>,
    /// A commit that must be in the history: a checkpoint of the branch or of the record of pushes, kept elsewhere
    #[arg(long = "expect", value_name = "COMMIT")]
    expected: Vec<String>,
    /// Read every byte of the stored files and compare it with its SHA-256
    #[arg(long)]
    files: bool,
}

pub(super) fn run(args: &VerifyArgs, session: &mut Session) -> Result<Exit, CliError> {
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
    let (stepped, read) = (Progress::counting("Verifying"), Progress::new("Reading"));
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

/// The ends of a range; none where it is open.
fn ends(registry: &Registry, range: Option<&str>) -> Result<(Option<Oid>, Option<Oid>), CliError> {
    let Some(range) = range else { return Ok((None, None)) };
    let moment = |text: &str| match text {
        "" => Ok(None),
        text => Ok::<_, CliError>(Some(registry.moment(text)?)),
    };
    match range.split_once("..") {
        Some((_, b)) if b.starts_with('.') => {
            Err(CliError::usage("A...B is no range of a line; write A..B for the steps after A up to B"))
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

/// Whether a time is earlier than the history: then all of it comes after that time.
fn is_before_history(registry: &Registry, moment: &str) -> bool {
    matches!(registry.moment(moment), Err(RegistryError::BeforeHistory(_)))
}

/// The commit that a checkpoint names: an id in full whether it is there or not, or any revision that is.
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
        out.line(format!("    and {hidden} more; `-o json` tells them"));
    }
    if last.is_some() {
        out.line("");
    }
    for Known { finding, reason } in audit.acknowledged.iter().take(SHOWN) {
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
fn title(finding: &Finding) -> String {
    let Some(commit) = finding.commit else { return "The history as a whole".to_owned() };
    let at = finding.at.map_or_else(String::new, |t| format!(" {}", local(t)));
    let by = finding.by.as_ref().map_or_else(String::new, |u| format!(" {u}"));
    let subject = match finding.subject.as_str() {
        "" => String::new(),
        subject => format!(": {}", one_line(subject)),
    };
    format!("{}{at}{by}{subject}", styled(YELLOW, &commit.short()))
}

fn why(unchecked: &Unchecked) -> String {
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
        _ => format!(", {} with a record of who pushed them", audit.recorded),
    };
    let files = match (audit.stored_files, audit.read_files) {
        (0, _) => String::new(),
        (stored, 0) => format!(", {}", count(stored, "stored file")),
        (stored, read) => format!(", {}, every byte of {read} read", count(stored, "stored file")),
    };
    let looked_at = format!("{} of {branch}{to}{recorded}{files}", count(audit.steps, "step"));
    let faults = audit.findings.len() as u64 + audit.more_findings;
    if audit.holds() {
        format!("{}: {looked_at}.", styled(GREEN, "All that could be checked holds"))
    } else {
        format!("{}: {looked_at}.", styled(RED, &count(faults, "fault")))
    }
}
