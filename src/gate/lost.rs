//! Recognises a protected branch that was set back: commits that are new to it now were on it before.
//!
//! A server that is restored from a backup, or a reference that an operator moved, loses commits. A clone that has them
//! pushes them again in the name of one person, so the rules refuse most of them. But the cause is the lost commits, and no
//! clone can repair it: an operator must set the branch forward on the server.

use super::push::{Judgement, PushedSteps};
use super::{Gate, GateError, Update};
use crate::format::Problem;
use crate::pushes::Pushes;
use crate::rules::{Fault, RuleClass};
use crate::time::Timestamp;
use crate::tree::Oid;

/// How many earlier values of a reference are compared.
const VALUES: usize = 200;

/// How many recorded pushes are read to find the last one to a branch.
const PUSHES: usize = 1000;

/// A branch that was at a later commit before.
#[derive(Debug, Clone)]
pub(super) struct LostBranch {
    /// The newest commit that the branch is known to have been at.
    pub(super) at: Oid,
    /// How many of the new steps, oldest first, were on the branch before.
    pub(super) known: usize,
    /// The recorded push that moved the branch there; `None` if only git's log of the reference tells it.
    push: Option<(u64, Timestamp)>,
}

impl LostBranch {
    /// Returns how it is known where the branch was.
    pub(super) fn evidence(&self) -> String {
        match self.push {
            Some((number, at)) => format!("by push {number} of {}", at.short()),
            None => "by git's log of it".to_owned(),
        }
    }

    /// Returns what the operator of the server does.
    pub(super) fn way(&self, branch: &str, now: Option<Oid>) -> String {
        let (at, now) = (self.at, now.map_or_else(String::new, |now| format!(" {now}")));
        format!(
            "an operator of the server sets it forward there: `git update-ref {branch} {at}{now}`; if the server lacks the \
             commit, push it under another name first: `git push REMOTE {at}:refs/heads/restored`"
        )
    }
}

impl Gate {
    /// Finds the steps that a branch (full name) had before, by the record of pushes, and by git's log of `logged`, a branch of
    /// a remote. The log of a branch of this repository tells nothing: commits that are made here move it, too.
    pub(super) fn lost(
        &self,
        branch: &str,
        logged: Option<&str>,
        (now, steps): (Option<Oid>, &PushedSteps),
    ) -> Result<Option<LostBranch>, GateError> {
        let earlier = match logged {
            Some(logged) => self.repo.earlier_values(logged, VALUES)?,
            None => Vec::new(),
        };
        let pushes = Pushes::open(&self.repo)?;
        for (number, (step, _)) in steps.iter().enumerate().rev() {
            let landed = match pushes.tip() {
                Some(_) => pushes.landing(step, branch)?,
                None => None,
            };
            if landed.is_none() && !earlier.contains(step) {
                continue;
            }
            let push = landed.map(|push| (push.number, push.at));
            let lost = LostBranch { at: *step, known: number + 1, push };
            // Who pushes may have only a part of what was lost.
            let last = pushes.in_order().take(PUSHES).find_map(|entry| match entry {
                Ok(entry) => entry.pushes.into_iter().find(|push| push.reference == branch).map(Ok),
                Err(e) => Some(Err(e)),
            });
            let newest = last.transpose()?.and_then(|push| Some((push.new?, (push.number, push.at))));
            return Ok(Some(match newest.filter(|(at, _)| Some(*at) != now) {
                Some((at, push)) if lost.push.is_some() => LostBranch { at, push: Some(push), ..lost },
                Some(_) | None => lost,
            }));
        }
        Ok(None)
    }

    /// Replaces the faults of steps that the branch had before by one fault that says so.
    pub(super) fn tell_lost(
        &self,
        update: &Update,
        steps: &PushedSteps,
        first: usize,
        out: &mut Judgement,
    ) -> Result<(), GateError> {
        let judged = out.steps.get(first..).unwrap_or_default();
        if out.commits.is_empty() && judged.iter().all(|step| step.faults.is_empty()) {
            return Ok(());
        }
        let Some(lost) = self.lost(&update.name, None, (update.old, steps))? else { return Ok(()) };
        out.commits.clear();
        out.steps.iter_mut().skip(first).take(lost.known).for_each(|step| step.faults.clear());
        out.references.push(lost_fault(update, &lost));
        Ok(())
    }
}

/// Returns the fault of a branch that lost commits.
pub(super) fn lost_fault(update: &Update, lost: &LostBranch) -> Fault {
    let (at, how) = (lost.at.short(), lost.evidence());
    let now = update.old.map_or_else(|| "is gone".to_owned(), |old| format!("is at {}", old.short()));
    let message = format!(
        "the branch was at {at} before ({how}) and {now}: the server lost commits, as when it is restored from a backup, and \
         they cannot be pushed again in one person's name"
    );
    let help = lost.way(&update.name, update.old);
    Fault { problem: Problem::of_file(update.name.clone(), "ref-lost", message).help(help), class: RuleClass::History }
}
