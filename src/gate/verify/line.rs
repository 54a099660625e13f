//! The first-parent history of the branch, and the push that added each step.

use std::collections::HashMap;
use std::ops::Range;

use super::{AuditError, AuditNotes, Scope, is_damage};
use crate::git::{GitError, Repo, Step};
use crate::pushes::{FETCH, Push, Pushes};
use crate::text::with_causes;
use crate::time::Timestamp;
use crate::tree::Oid;

/// The largest difference between the clocks of two machines, in milliseconds.
const SKEW: i64 = 300_000;

/// The advice about a history that differs from the recorded one.
const REWRITTEN: &str = "compare it with another clone or a backup: the history was rewritten or shortened";

/// The first-parent history of a branch, oldest step first, and the pushes that added the steps.
pub(super) struct BranchHistory {
    pub(super) steps: Vec<Step>,
    places: HashMap<Oid, usize>,
    /// Whether the history is complete.
    whole: bool,
    /// The first step that can be judged: the snapshot before it is available.
    first: usize,
    /// The recorded pushes to this branch.
    recorded: Vec<Push>,
    /// For each step, the index of the push in `recorded` that added it.
    by: Vec<Option<usize>>,
    /// Whether a record of pushes exists here, even a damaged one.
    pub(super) has_record: bool,
    /// The number of recorded pushes, to any branch.
    pub(super) pushes: u64,
}

impl BranchHistory {
    /// Reads the history and the record of pushes, compares them, and looks for the checkpoints.
    pub(super) fn read(repo: &Repo, scope: &Scope, notes: &mut AuditNotes) -> Result<Self, AuditError> {
        let tip = repo.reference(&scope.branch)?.ok_or_else(|| AuditError::Empty(scope.branch.clone()))?;
        let mut line = Self::walk(repo, tip, notes)?;
        let log = line.read_record(repo, scope, notes)?;
        line.check_times(notes);
        for (given, commit) in &scope.expected {
            let is_there = commit.is_some_and(|c| line.places.contains_key(&c) || log.contains(&c));
            if !is_there {
                let shown = crate::text::one_line(given);
                let message =
                    format!("{shown} was expected, but it is neither on {} nor in its record of pushes", scope.branch);
                notes.fault(None, "expected", message, REWRITTEN);
            }
        }
        Ok(line)
    }

    fn walk(repo: &Repo, tip: Oid, notes: &mut AuditNotes) -> Result<Self, AuditError> {
        let mut steps: Vec<Step> = Vec::new();
        let mut whole = true;
        for step in repo.first_parents_checked(tip)? {
            match step {
                Ok(step) => steps.push(step),
                Err(GitError::Shallow) => {
                    whole = false;
                    let oldest = steps.last().map(|s| s.commit);
                    notes.unchecked("older steps, because the clone is shallow (`git fetch --unshallow`)", 1, oldest);
                }
                Err(GitError::Object(e)) if is_damage(&e) => {
                    whole = false;
                    let place = steps.last().map(|s| (s.commit, s.time));
                    let message =
                        format!("the parent of this step cannot be read, nor any older step: {}", with_causes(&e));
                    notes.fault(place, "object", message, REWRITTEN);
                }
                Err(e) => return Err(e.into()),
            }
        }
        steps.reverse();
        let places = steps.iter().enumerate().map(|(n, s)| (s.commit, n)).collect();
        let by = vec![None; steps.len()];
        let first = usize::from(!whole).min(steps.len());
        Ok(Self { steps, places, whole, first, recorded: Vec::new(), by, has_record: true, pushes: 0 })
    }

    /// Returns the index of a step, from 0.
    pub(super) fn place(&self, commit: &Oid) -> Option<usize> {
        self.places.get(commit).copied()
    }

    /// Returns the recorded push that added a step.
    pub(super) fn push_of(&self, number: usize) -> Option<&Push> {
        self.by.get(number).copied().flatten().and_then(|n| self.recorded.get(n))
    }

    /// Returns the indices of the steps to judge.
    pub(super) fn range(&self, scope: &Scope) -> Result<Range<usize>, AuditError> {
        let off = |commit: Oid| AuditError::OffLine { commit, branch: scope.branch.clone() };
        let place = |commit: Oid| self.place(&commit).ok_or_else(|| off(commit));
        let start = scope.from.map(place).transpose()?.map_or(0, |n| n + 1).max(self.first);
        let end = scope.to.map(place).transpose()?.map_or(self.steps.len(), |n| n + 1);
        Ok(start.min(end)..end)
    }

    /// Reads the record of pushes and returns its commits.
    fn read_record(
        &mut self,
        repo: &Repo,
        scope: &Scope,
        notes: &mut AuditNotes,
    ) -> Result<std::collections::HashSet<Oid>, AuditError> {
        let mut log = std::collections::HashSet::new();
        let from = scope.from.and_then(|c| self.place(&c)).unwrap_or(0);
        let help = "fetch refs/notes/greenroom/pushes from the server again, or restore it from a backup";
        let pushes = match Pushes::open(repo) {
            Ok(pushes) => pushes,
            Err(e) => {
                notes.fault(None, "push-record", with_causes(&e), help);
                return Ok(log);
            }
        };
        self.has_record = pushes.tip().is_some();
        if !self.has_record {
            let message = format!(
                "who pushed, because the record of pushes is not in this clone; if the host keeps one, run `{FETCH}`"
            );
            notes.unchecked(message, 1, None);
        }
        let mut entries = Vec::new();
        for entry in pushes.in_order() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(e) => {
                    notes.fault(None, "push-record", with_causes(&e), help);
                    notes.unchecked("the pushes before the damaged entry of the record", 1, None);
                    break;
                }
            };
            log.insert(entry.commit);
            self.pushes += 1;
            let is_old = |p: &Push| p.new.and_then(|n| self.place(&n)).is_some_and(|n| n < from);
            if !entry.pushes.iter().all(is_old)
                && let Err(e) = entry.check_notes(repo)
            {
                notes.fault(None, "push-record", with_causes(&e), help);
            }
            entries.push(entry);
        }
        // Oldest first: the first push that contains a step added it.
        let mut pushes: Vec<Push> = entries.into_iter().flat_map(|entry| entry.pushes).collect();
        pushes.sort_by_key(|push| push.number);
        for push in pushes.into_iter().filter(|p| p.reference == scope.branch) {
            self.take(repo, push, notes);
        }
        Ok(log)
    }

    /// Returns a step as the location of a fault, so that the fault can be acknowledged.
    fn place_of(&self, commit: Option<Oid>) -> Option<(Oid, Timestamp)> {
        let number = self.place(&commit?)?;
        self.steps.get(number).map(|step| (step.commit, step.time))
    }

    /// Records which steps a push added.
    fn take(&mut self, repo: &Repo, push: Push, notes: &mut AuditNotes) {
        let said = format!("push {} of {}", push.number, push.at.short());
        let Some(new) = push.new else {
            let place = self.place_of(push.old);
            notes.fault(place, "push-record", format!("{said} deleted the branch"), DELETED);
            return;
        };
        let end = self.place(&new);
        let begin = push.old.map(|old| (old, self.place(&old)));
        let lost = [end.is_none().then_some(new), begin.filter(|b| b.1.is_none()).map(|b| b.0)];
        // In a shallow clone, a commit that is not available may be older than the cut.
        let lost: Vec<Oid> = lost.into_iter().flatten().filter(|l| self.whole || repo.has(l)).collect();
        for commit in &lost {
            let message = format!(
                "{said} moved the branch {} {}, which is not in its first-parent history",
                if *commit == new { "to" } else { "from" },
                commit.short()
            );
            let place = self.place_of(Some(new)).or_else(|| self.place_of(push.old));
            notes.fault(place, "push-record", message, REWRITTEN);
        }
        let Some(end) = end.filter(|_| lost.is_empty()) else { return };
        let begin = begin.and_then(|b| b.1).map_or(0, |n| n + 1);
        if begin > end {
            let message = format!("{said} moved the branch back to an older commit");
            notes.fault(self.place_of(Some(new)), "push-record", message, REWRITTEN);
            return;
        }
        let there = self.by.get(begin..=end).into_iter().flatten().filter(|by| by.is_some()).count();
        if there > 0 {
            let (what, help) = match push.old {
                None => (
                    "created the branch, although earlier pushes had created it",
                    "the branch was deleted, renamed or lost on the server and then pushed again; if you know the \
                     reason, acknowledge it (`greenroom settings acknowledge COMMIT push-record -m WHY`)",
                ),
                Some(_) => (
                    "moved the branch from an older commit than the last commit of the earlier pushes",
                    "the branch was reset on the server and then pushed again; if you know the reason, acknowledge it \
                     (`greenroom settings acknowledge COMMIT push-record -m WHY`)",
                ),
            };
            let message = format!("{said} {what}: {there} of its steps were pushed before");
            notes.fault(self.place_of(Some(new)), "push-record", message, help);
        }
        let place = self.recorded.len();
        self.by.iter_mut().take(end + 1).skip(begin).for_each(|by| *by = by.or(Some(place)));
        self.recorded.push(push);
    }

    /// Compares the times of the steps with those of the pushes: a step must not be older than a step before it, nor
    /// newer than the push that added it.
    fn check_times(&self, notes: &mut AuditNotes) {
        let mut pushed: Option<&Push> = None;
        for (number, step) in self.steps.iter().enumerate() {
            let own = self.push_of(number);
            if let Some(before) = pushed.filter(|b| own.map_or(step.time, |o| o.at) < earlier(b.at)) {
                let what = own.map_or_else(
                    || format!("it has no recorded push, and its time is {}", step.time),
                    |o| format!("it was pushed at {} (push {})", o.at, o.number),
                );
                let message = format!(
                    "{what}: this is before push {} of {}, although it follows that push",
                    before.number, before.at
                );
                notes.fault(Some((step.commit, step.time)), "push-time", message, BACKDATED);
            }
            pushed = own.filter(|o| pushed.is_none_or(|b| o.at > b.at)).or(pushed);
        }
        self.note_late(notes);
        let mut after: Option<&Push> = None;
        for (number, step) in self.steps.iter().enumerate().rev() {
            after = self.push_of(number).filter(|o| after.is_none_or(|a| o.at < a.at)).or(after);
            if let Some(after) = after.filter(|a| earlier(step.time) > a.at) {
                let message =
                    format!("its time is {}, which is after push {} of {}", step.time, after.number, after.at);
                notes.fault(Some((step.commit, step.time)), "push-time", message, BACKDATED);
            }
        }
    }
}

/// The advice about a branch that was deleted.
const DELETED: &str = "compare the history with another clone; if you know why the branch was deleted, acknowledge it \
                       (`greenroom settings acknowledge COMMIT push-record -m WHY`)";

impl BranchHistory {
    /// Adds remarks on steps that claim to be made long before their push: either work without a network, or a date
    /// written by hand. The two cannot be distinguished. Questions as of a time use the time of the push.
    fn note_late(&self, notes: &mut AuditNotes) {
        for (number, step) in self.steps.iter().enumerate() {
            // The push that created the branch added a history from elsewhere.
            let push = self.push_of(number).filter(|push| push.old.is_some());
            if push.is_some_and(|push| step.time < push.at.plus_millis(-LATE)) {
                notes.remark(LATE_STEP, step.commit);
            }
        }
    }
}

/// How long before its push a step may be made without a remark, in milliseconds.
const LATE: i64 = 24 * 60 * 60 * 1000;

/// The remark on a step that claims to be older than its push.
const LATE_STEP: &str = "its time is more than a day before its push; it was not yet on the branch as of a time \
                         between the two";

/// The advice about an impossible time.
const BACKDATED: &str = "a clock was wrong, or a date was written by hand";

/// Returns a time minus the largest difference between clocks.
fn earlier(time: Timestamp) -> Timestamp {
    time.plus_millis(-SKEW)
}
