//! Whose approval of a move counts: for the stage that a version enters, and for the one that it leaves.

use super::Snapshot;
use crate::name::{ModelName, UserName};
use crate::stage::Stage;
use crate::tree::TreeError;

impl Snapshot<'_> {
    /// Whether a person's approval of a move of a model's version counts, for entering the one stage or for leaving the
    /// other, whichever of the two takes approvals.
    pub fn may_approve(&self, user: &UserName, model: &ModelName, from: &Stage, to: &Stage) -> Result<bool, TreeError> {
        let Some(settings) = self.settings()? else { return Ok(false) };
        let leaves = settings.approvals_to_leave(from) > 0;
        let enters = !leaves || settings.rule(to).is_some_and(|rule| rule.needed() > 0);
        Ok(enters && self.may_let_in(user, model, from, to)? || leaves && self.may_let_out(user, model, from, to)?)
    }

    /// Whether a person's approval counts for the stage that a version enters: the approvers that its rule names, else
    /// those who may make the move.
    pub fn may_let_in(&self, user: &UserName, model: &ModelName, from: &Stage, to: &Stage) -> Result<bool, TreeError> {
        self.is_approver(user, model, to, (from, to))
    }

    /// Whether a person's approval counts for the stage that a version leaves.
    pub fn may_let_out(&self, user: &UserName, model: &ModelName, from: &Stage, to: &Stage) -> Result<bool, TreeError> {
        self.is_approver(user, model, from, (from, to))
    }

    /// Whether the rule of a stage names a person as an approver, or names nobody and the person may make the move.
    fn is_approver(
        &self,
        user: &UserName,
        model: &ModelName,
        ruled: &Stage,
        (from, to): (&Stage, &Stage),
    ) -> Result<bool, TreeError> {
        let Some(settings) = self.settings()? else { return Ok(false) };
        let Some(approvers) = settings.rule(ruled).and_then(|r| r.approvers.as_ref()) else {
            let level = settings.level_for(from).max(settings.level_for(to));
            return Ok(self.level(user, model)? >= Some(level));
        };
        for principal in approvers {
            if self.is_member(user, principal)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
