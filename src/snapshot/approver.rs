//! Approvers: whose approval of a transition counts, for the stage that a version enters and for the stage that it
//! leaves.

use super::Snapshot;
use crate::entity::Settings;
use crate::name::{ModelName, UserName};
use crate::stage::Stage;
use crate::tree::TreeError;

impl Snapshot<'_> {
    /// Returns whether a person's approval of a transition counts: for entering the stage `to`, or for leaving the stage
    /// `from`. Only an end that requires approvals is considered; if neither end does, entering is considered.
    ///
    /// # Errors
    /// If an object of the tree cannot be read.
    pub fn may_approve(&self, user: &UserName, model: &ModelName, from: &Stage, to: &Stage) -> Result<bool, TreeError> {
        let Some(settings) = self.settings()? else { return Ok(false) };
        let leaves = settings.approvals_to_leave(from) > 0;
        let enters = !leaves || settings.rule(to).is_some_and(|rule| rule.needed() > 0);
        Ok(enters && self.may_let_in(user, model, from, to)? || leaves && self.may_let_out(user, model, from, to)?)
    }

    /// Returns whether a person's approval counts for the stage that a version enters. Approvers are those that the
    /// stage rule names, or else the people who may make the transition.
    ///
    /// # Errors
    /// If an object of the tree cannot be read.
    pub fn may_let_in(&self, user: &UserName, model: &ModelName, from: &Stage, to: &Stage) -> Result<bool, TreeError> {
        match self.settings()? {
            Some(settings) => self.may_decide(settings, user, model, (from, to), true),
            None => Ok(false),
        }
    }

    /// Returns whether a person's approval counts for the stage that a version leaves.
    ///
    /// # Errors
    /// If an object of the tree cannot be read.
    pub fn may_let_out(&self, user: &UserName, model: &ModelName, from: &Stage, to: &Stage) -> Result<bool, TreeError> {
        match self.settings()? {
            Some(settings) => self.may_decide(settings, user, model, (from, to), false),
            None => Ok(false),
        }
    }

    /// Returns whether settings make a person an approver of a transition, with the grants and groups of this state:
    /// for the stage that the version enters, or else for the stage that it leaves. Without named approvers, the people
    /// who may make the transition are approvers.
    ///
    /// # Errors
    /// If an object of the tree cannot be read.
    pub fn may_decide(
        &self,
        settings: &Settings,
        user: &UserName,
        model: &ModelName,
        (from, to): (&Stage, &Stage),
        is_entering: bool,
    ) -> Result<bool, TreeError> {
        let ruled = if is_entering { to } else { from };
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
