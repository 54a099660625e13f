//! The audit: judges the existing history again, under the rules of each moment.
//!
//! Each step of the first-parent history is judged as the gate would have judged it when it was pushed, whether there
//! was a gate or not. Committer and time are taken from the record of pushes, if it has them. Every object of a step is
//! read and compared with its id, and the files of versions with the registered digest. Parts that cannot be checked on
//! this machine are reported, and never count as correct.

mod files;
mod ids;
mod line;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use schemars::JsonSchema;
use serde::Serialize;

use super::error::GateError;
use super::ids::IdLine;
use super::judge::StepJudgement;
use super::{CommitterIdentity, Gate, StepArrival};
use crate::artifact::{self, Store};
use crate::authority::Assumption;
use crate::format::Problem;
use crate::git::{GitError, Repo};
use crate::name::UserName;
use crate::registry::Registry;
use crate::rules::{self, Fault, NewId, RuleClass};
use crate::snapshot::{self, Snapshot};
use crate::text::with_causes;
use crate::time::Timestamp;
use crate::tree::{Oid, TreeError};
use files::StoredFile;
use line::BranchHistory;

/// The largest number of findings that are listed; further ones are counted.
const MAX_FINDINGS: usize = 10_000;

/// How many steps a thread takes at a time; adjacent steps share their trees.
const BLOCK: usize = 128;

/// The largest number of threads.
const THREADS: usize = 8;

/// The scope of an audit.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The full name of the branch.
    pub branch: String,
    /// Judge the steps after this one; `None` for all.
    pub from: Option<Oid>,
    /// Judge the steps up to this one; `None` for the newest.
    pub to: Option<Oid>,
    /// Checkpoints that were recorded elsewhere, as they were given, each with its commit if it is known here.
    pub expected: Vec<(String, Option<Oid>)>,
    /// Whether to read every byte of the stored files.
    pub files: bool,
}

/// A fault found by the audit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[schemars(rename = "Finding")]
pub struct AuditFinding {
    /// The commit of the step, if the fault belongs to a step.
    pub commit: Option<Oid>,
    /// The time of the step.
    pub at: Option<Timestamp>,
    /// The person who committed the step to the branch, if known.
    pub by: Option<UserName>,
    /// The subject of the commit.
    pub subject: String,
    /// The broken rule and where it is broken.
    #[serde(flatten)]
    pub fault: Fault,
}

/// A fault that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Known")]
pub struct AcknowledgedFinding {
    /// The finding, as it would be reported otherwise.
    #[serde(flatten)]
    pub finding: AuditFinding,
    /// Why the fault may stay, according to a manager of the registry.
    pub reason: String,
}

/// A check that could not be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Unchecked")]
pub struct UncheckedPart {
    /// The check, and why it could not be made.
    pub message: String,
    /// How many times the check could not be made.
    pub count: u64,
    /// The oldest commit concerned, if the check concerns commits.
    pub commit: Option<Oid>,
}

/// The result of an audit.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Audit {
    /// The full name of the branch.
    pub branch: String,
    /// The step before the first judged one; null if there is none.
    pub from: Option<Oid>,
    /// The last judged step.
    pub to: Option<Oid>,
    /// The number of judged steps.
    pub steps: u64,
    /// The number of judged steps with a recorded push.
    pub recorded: u64,
    /// The number of recorded pushes.
    pub pushes: u64,
    /// The number of different stored files in the versions.
    pub stored_files: u64,
    /// The number of stored files that are not on this machine.
    pub missing_files: u64,
    /// The number of stored files that were read.
    pub read_files: u64,
    /// The faults, in the order of the steps.
    pub findings: Vec<AuditFinding>,
    /// The faults that a manager acknowledged in the registry's settings, with the reason.
    pub acknowledged: Vec<AcknowledgedFinding>,
    /// The number of further faults that are not listed.
    pub more_findings: u64,
    /// The checks that could not be made.
    pub unchecked: Vec<UncheckedPart>,
    /// Statements in messages that are not true. They break no rule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<UncheckedPart>,
}

/// Why an audit failed.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// An end of the range is not in the first-parent history.
    #[error("commit {} is not in the first-parent history of {branch}", .commit.short())]
    OffLine {
        /// The commit that was given.
        commit: Oid,
        /// The full name of the branch.
        branch: String,
    },
    /// The branch has no commit.
    #[error("{0} has no commits yet, so there is nothing to verify")]
    Empty(String),
    /// The gate could not be opened, or a read failed.
    #[error(transparent)]
    Gate(#[from] GateError),
}

impl From<GitError> for AuditError {
    fn from(e: GitError) -> Self {
        Self::Gate(e.into())
    }
}

impl Audit {
    /// Whether there are no unacknowledged faults.
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }
}

/// A callback that receives the number of finished units and the total. Several threads call it.
pub type AuditProgress<'p> = &'p (dyn Fn(u64, u64) + Sync);

/// Verifies a branch of the repository with this git folder. `stepped` receives the progress in steps, `read` in bytes
/// of files.
///
/// # Errors
/// [`AuditError::Empty`], [`AuditError::OffLine`] for an invalid scope; [`AuditError::Gate`] if the repository cannot
/// be read. A damaged object is a finding, not an error.
pub fn verify(
    git_dir: &Path,
    scope: &Scope,
    stepped: AuditProgress<'_>,
    read: AuditProgress<'_>,
) -> Result<Audit, AuditError> {
    let repo = Repo::open_beside(git_dir)?;
    let mut notes = AuditNotes::default();
    let line = BranchHistory::read(&repo, scope, &mut notes)?;
    let range = line.range(scope)?;
    let before = range.start.checked_sub(1).and_then(|n| line.steps.get(n)).map(|s| s.commit);
    let mut audit = Audit {
        branch: scope.branch.clone(),
        from: before.or_else(|| line.steps.get(range.start).and_then(|s| s.parent)),
        to: range.end.checked_sub(1).and_then(|n| line.steps.get(n)).map(|s| s.commit),
        steps: range.len() as u64,
        recorded: range.clone().filter(|n| line.push_of(*n).is_some()).count() as u64,
        pushes: line.pushes,
        ..Audit::default()
    };
    let (mut stored, mut new_ids, mut moved, mut people) = (BTreeSet::new(), Vec::new(), Vec::new(), Vec::new());
    for part in judge_all(git_dir, &line, range, stepped)? {
        notes.extend(part.notes);
        stored.extend(part.stored);
        new_ids.extend(part.new_ids);
        moved.extend(part.moved);
        people.extend(part.people);
    }
    ids::follow(&mut new_ids, &moved);
    ids::check(&repo, &line, (&scope.branch, before), &new_ids, &mut notes)?;
    ids::check_people(&repo, &line, (&scope.branch, before), &people, &mut notes)?;
    if let Some(tip) = audit.to {
        whole(&repo, tip, &mut notes)?;
    }
    check_stored(&repo, &stored, scope.files, read, &mut audit, &mut notes);
    notes.finish(&line, &mut audit);
    set_apart(&repo, &mut audit)?;
    Ok(audit)
}

/// Returns the faults of the newest `max` steps of a branch that the current files do not show: those of rules of
/// history, because a fault of format is visible in its file. If no branch of another repository is known, so that no
/// gate is known to judge a push, the faults of permissions and policies are included. Acknowledged faults are omitted.
///
/// # Errors
/// The same as [`verify`]. A shallow clone is checked as far as it goes.
pub fn recent(registry: &Registry, tip: Oid, max: usize) -> Result<Vec<(Oid, Fault)>, AuditError> {
    let repo = registry.repo();
    let alone = repo.tracked(registry.branch())?.is_none();
    // The steps of a detached HEAD are on no branch yet: how they are merged decides.
    if !alone && !registry.branch().starts_with("refs/heads/") {
        return Ok(Vec::new());
    }
    let mut from = None;
    for (number, step) in repo.first_parents_checked(tip)?.enumerate() {
        let step = match step {
            Ok(step) => step,
            Err(GitError::Shallow) => break,
            Err(e) => return Err(e.into()),
        };
        if number == max {
            from = Some(step.commit);
            break;
        }
    }
    let scope = Scope { branch: registry.branch().to_owned(), from, to: Some(tip), ..Scope::default() };
    let audit = verify(repo.git_dir(), &scope, &|_, _| {}, &|_, _| {})?;
    // Other checks report damaged and missing objects.
    let is_told = |fault: &Fault| {
        let rule = rules::RULES.iter().find(|rule| rule.name == fault.problem.rule);
        let by_class = match fault.class {
            RuleClass::Permission => alone,
            RuleClass::Policy => alone && rule.is_some(),
            RuleClass::History => rule.is_some(),
            RuleClass::Format | RuleClass::Link => false,
        };
        by_class || matches!(fault.problem.rule, "digest" | "id")
    };
    let told = audit.findings.into_iter().filter(|f| f.at.is_some() && is_told(&f.fault));
    Ok(told.filter_map(|f| Some((f.commit?, f.fault))).collect())
}

/// The collected results.
#[derive(Default)]
struct AuditNotes {
    findings: Vec<AuditFinding>,
    more: u64,
    unchecked: BTreeMap<String, (u64, Option<Oid>)>,
    remarks: BTreeMap<String, (u64, Option<Oid>)>,
}

impl AuditNotes {
    fn remark(&mut self, message: &str, commit: Oid) {
        self.remarks.entry(message.to_owned()).or_insert((0, Some(commit))).0 += 1;
    }

    fn find(&mut self, finding: AuditFinding) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }

    /// Adds a fault of the history as a whole, or of one step.
    fn fault(&mut self, commit: Option<(Oid, Timestamp)>, rule: &'static str, message: String, help: &str) {
        let fault = Fault { problem: Problem::of_file("", rule, message).help(help), class: RuleClass::History };
        let (at, commit) = (commit.map(|c| c.1), commit.map(|c| c.0));
        self.find(AuditFinding { commit, at, by: None, subject: String::new(), fault });
    }

    fn unchecked(&mut self, message: impl Into<String>, count: u64, commit: Option<Oid>) {
        let known = self.unchecked.entry(message.into()).or_insert((0, commit));
        known.0 += count;
    }

    fn extend(&mut self, other: Self) {
        self.more += other.more;
        other.findings.into_iter().for_each(|f| self.find(f));
        for (message, (count, commit)) in other.unchecked {
            self.unchecked(message, count, commit);
        }
        for (message, (count, commit)) in other.remarks {
            self.remarks.entry(message).or_insert((0, commit)).0 += count;
        }
    }

    /// Moves everything into the audit: faults of the whole history first, then step by step.
    fn finish(mut self, line: &BranchHistory, audit: &mut Audit) {
        let place = |f: &AuditFinding| f.commit.map(|c| line.place(&c).map_or(0, |n| n + 1));
        self.findings.sort_by_cached_key(|f| (place(f), f.fault.clone()));
        self.findings.dedup_by(|a, b| a.commit == b.commit && a.fault == b.fault);
        audit.findings = self.findings;
        audit.more_findings = self.more;
        let group = |(message, (count, commit))| UncheckedPart { message, count, commit };
        audit.unchecked = self.unchecked.into_iter().map(group).collect();
        audit.remarks = self.remarks.into_iter().map(group).collect();
    }
}

/// The results of a block of steps.
struct AuditPart {
    first: usize,
    notes: AuditNotes,
    stored: BTreeSet<StoredFile>,
    /// The new ids: the index of the step, and the registry's folder.
    new_ids: Vec<(usize, String, NewId)>,
    /// The moved registries: the index of the step, the old folder, the new folder.
    moved: Vec<(usize, String, String)>,
    /// The added people: the index of the step, and the registry's folder.
    people: Vec<(usize, String, UserName)>,
}

/// Judges the steps of a range on all cores; the results are in order.
fn judge_all(
    git_dir: &Path,
    line: &BranchHistory,
    range: std::ops::Range<usize>,
    stepped: AuditProgress<'_>,
) -> Result<Vec<AuditPart>, AuditError> {
    let (next, done) = (AtomicUsize::new(range.start), AtomicUsize::new(0));
    let total = range.len() as u64;
    let work = || -> Result<Vec<AuditPart>, AuditError> {
        let gate = Gate::of_history(Repo::open_beside(git_dir)?)?;
        let mut parts = Vec::new();
        loop {
            let first = next.fetch_add(BLOCK, Ordering::Relaxed);
            if first >= range.end {
                return Ok(parts);
            }
            let mut part = AuditPart {
                first,
                notes: AuditNotes::default(),
                stored: BTreeSet::new(),
                new_ids: Vec::new(),
                moved: Vec::new(),
                people: Vec::new(),
            };
            for number in first..range.end.min(first + BLOCK) {
                judge_one(&gate, line, number, &mut part)?;
            }
            parts.push(part);
            let so_far = done.fetch_add(BLOCK, Ordering::Relaxed) + BLOCK;
            stepped((so_far as u64).min(total), total);
        }
    };
    let blocks = range.len().div_ceil(BLOCK);
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get).min(THREADS).min(blocks);
    let mut parts = thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut parts = Vec::new();
        for thread in started {
            parts.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok::<_, AuditError>(parts)
    })?;
    parts.sort_by_key(|p: &AuditPart| p.first);
    Ok(parts)
}

fn judge_one(gate: &Gate, line: &BranchHistory, number: usize, part: &mut AuditPart) -> Result<(), AuditError> {
    let Some(step) = line.steps.get(number) else { return Ok(()) };
    let push = line.push_of(number);
    let unnamed = if line.has_record { CommitterIdentity::Unrecorded } else { CommitterIdentity::Unknown };
    let by = push.map_or(unnamed, |p| CommitterIdentity::Pusher(p.into()));
    let landing =
        StepArrival { by, at: push.map_or(step.time, |p| p.at), bounded: false, assumption: Assumption::None };
    let judged = gate.judge_step(step.commit, step.parent, &landing, &mut IdLine::elsewhere());
    let told = judged.and_then(|mut judged| {
        part.people.extend(std::mem::take(&mut judged.people).into_iter().map(|(at, user)| (number, at, user)));
        part.new_ids.extend(std::mem::take(&mut judged.new_ids).into_iter().map(|(at, new)| (number, at, new)));
        part.moved.extend(judged.moved.drain(..).map(|(from, to)| (number, from, to)));
        let files = files::check(gate, step, &mut part.stored)?;
        Ok((judged, files))
    });
    match told {
        Ok((judged, files)) => note_judgement(judged, files, push.is_none() && line.pushes > 0, &mut part.notes),
        Err(GateError::Tree(TreeError::Missing(_)) | GateError::Git(GitError::Object(TreeError::Missing(_))))
            if gate.repo().promisor().is_some() =>
        {
            part.notes.unchecked(LEFT_OUT, 1, Some(step.commit));
        }
        Err(GateError::Tree(e) | GateError::Git(GitError::Object(e))) if is_damage(&e) => {
            let help = "run `git fsck` to list the damaged objects; fetch them from another clone, or restore them \
                        from a backup";
            part.notes.fault(Some((step.commit, landing.at)), "object", with_causes(&e), help);
        }
        Err(e) => return Err(e.into()),
    }
    Ok(())
}

/// The message for a step whose objects a partial clone lacks.
const LEFT_OUT: &str = "objects of the step, because the clone is partial (`git fetch --refetch --no-filter`)";

/// Whether an object is missing, damaged or too large, and not just unreadable because of the disk.
fn is_damage(e: &TreeError) -> bool {
    match e {
        TreeError::Missing(_) | TreeError::Damaged { .. } | TreeError::TooLarge { .. } => true,
        TreeError::Vast { .. } | TreeError::Io { .. } => false,
    }
}

fn note_judgement(judged: StepJudgement, files: files::FileFindings, is_gap: bool, notes: &mut AuditNotes) {
    let by = judged.actor.map(|a| a.user);
    let room = MAX_FINDINGS.saturating_sub(notes.remarks.len());
    for trailer in judged.false_trailers.iter().take(room) {
        let shown = crate::text::quoted(trailer);
        let message = format!("a commit message has the trailer {shown}, but the step has no such event");
        notes.remarks.entry(message).or_insert((0, Some(judged.commit))).0 += 1;
    }
    for fault in judged.faults.into_iter().chain(files.faults) {
        let (commit, at, subject) = (Some(judged.commit), Some(judged.at), judged.subject.clone());
        notes.find(AuditFinding { commit, at, by: by.clone(), subject, fault });
    }
    // The gate already reports which assumption it made without a record.
    if is_gap && judged.unchecked.is_empty() {
        notes.unchecked("its push, because there is no record of it", 1, Some(judged.commit));
    }
    if let Some(message) = judged.on_word {
        notes.unchecked(message, 1, Some(judged.commit));
    }
    let prefix = format!("{}: ", judged.commit.short());
    for message in judged.unchecked.iter().chain(&files.unchecked) {
        notes.unchecked(message.strip_prefix(&prefix).unwrap_or(message), 1, Some(judged.commit));
    }
}

/// Judges the last snapshot as a whole, by the rules that need no step.
fn whole(repo: &Repo, tip: Oid, notes: &mut AuditNotes) -> Result<(), AuditError> {
    let found = (|| -> Result<Vec<Fault>, GateError> {
        let root = Some(repo.tree_of(&tip)?);
        let mut out = Vec::new();
        for at in snapshot::registries(repo, root)? {
            out.extend(rules::lint(&Snapshot::new(repo, root, &at)?)?.faults);
        }
        Ok(out)
    })();
    let known: BTreeSet<&Fault> = notes.findings.iter().map(|f| &f.fault).collect();
    match found {
        Ok(faults) => {
            let new: Vec<Fault> = faults.into_iter().filter(|f| !known.contains(f)).collect();
            for fault in new {
                let subject = "the state after this step".to_owned();
                notes.find(AuditFinding { commit: Some(tip), at: None, by: None, subject, fault });
            }
            Ok(())
        }
        // The step that added the object has already been reported.
        Err(GateError::Tree(e) | GateError::Git(GitError::Object(e))) if is_damage(&e) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Separates the faults that the settings of the last snapshot acknowledge. A fault of a step is acknowledged by commit
/// and rule; a fault of the current snapshot cannot be acknowledged.
fn set_apart(repo: &Repo, audit: &mut Audit) -> Result<(), AuditError> {
    let Some(tip) = audit.to.filter(|_| !audit.findings.is_empty()) else { return Ok(()) };
    let Ok(root) = repo.tree_of(&tip) else { return Ok(()) };
    let mut known: BTreeMap<(String, String), String> = BTreeMap::new();
    for at in snapshot::registries(repo, Some(root)).map_err(GateError::from)? {
        let state = Snapshot::new(repo, Some(root), &at).map_err(GateError::from)?;
        let settings = state.settings().map_err(GateError::from)?;
        for fault in settings.iter().flat_map(|s| &s.acknowledged) {
            let key = (fault.commit.as_str().to_owned(), fault.rule.as_str().to_owned());
            known.insert(key, fault.reason.as_str().to_owned());
        }
    }
    for finding in std::mem::take(&mut audit.findings) {
        let key = finding.commit.map(|c| (c.to_string(), finding.fault.problem.rule.to_owned()));
        // A fault of the current snapshot has no time: it can be fixed, and does not belong to the past.
        match key.filter(|_| finding.at.is_some()).and_then(|key| known.get(&key)) {
            Some(reason) => audit.acknowledged.push(AcknowledgedFinding { finding, reason: reason.clone() }),
            None => audit.findings.push(finding),
        }
    }
    Ok(())
}

/// Checks that the stored files of versions exist, and reads them if `all_bytes` is set.
fn check_stored(
    repo: &Repo,
    stored: &BTreeSet<StoredFile>,
    all_bytes: bool,
    read: AuditProgress<'_>,
    audit: &mut Audit,
    notes: &mut AuditNotes,
) {
    let store = Store::at(repo.lfs_dir());
    let entries: Vec<_> = stored.iter().map(StoredFile::entry).collect();
    let away: BTreeSet<_> = artifact::missing(&entries, &store).into_iter().map(|f| f.sha256).collect();
    audit.stored_files = entries.len() as u64;
    for file in stored.iter().filter(|s| away.contains(&s.sha256)) {
        if store.path(&file.sha256).exists() {
            let message = format!("{}: the stored object {} has a different size", file.shown(), file.sha256);
            notes.fault(Some((file.commit, file.at)), "file", message, RESTORE);
        } else {
            audit.missing_files += 1;
            let message = "a stored file, because it is not here (`git lfs fetch --all` fetches it)";
            notes.unchecked(message, 1, Some(file.commit));
        }
    }
    let here: Vec<_> = entries.into_iter().filter(|f| !away.contains(&f.sha256)).collect();
    if !all_bytes {
        if !here.is_empty() {
            let message =
                "the bytes of a stored file: only its size was compared (`greenroom verify --files` reads them)";
            notes.unchecked(message, here.len() as u64, None);
        }
        return;
    }
    audit.read_files = here.len() as u64;
    for (entry, e) in artifact::verify(&here, &store, read) {
        let file = stored.iter().find(|s| s.path == entry.path && s.sha256 == entry.sha256);
        let place = file.map(|f| (f.commit, f.at));
        let shown = file.map_or_else(|| entry.path.to_string(), StoredFile::shown);
        notes.fault(place, "file", format!("{shown}: {}", with_causes(&e)), RESTORE);
    }
}

/// The advice about a damaged stored object.
const RESTORE: &str = "restore it from a backup, or move it away and fetch it again with `git lfs fetch`";
