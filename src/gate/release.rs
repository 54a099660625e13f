//! References that consumers read, such as release tags and a branch `prod`: who may set them, and to which commits.

use std::collections::BTreeSet;

use super::branch_start::HistoryReader;
use super::error::GateError;
use super::refs::Update;
use super::{Gate, matches};
use crate::authority::Pusher;
use crate::entity::PermissionLevel;
use crate::format::Problem;
use crate::rules::{Fault, RuleClass};
use crate::tree::Oid;

/// The setting with their names: patterns such as `refs/tags/v*` and `prod`. A short name is a branch.
pub(super) const SETTING: &str = "greenroom.release";

/// The registry-wide level that is needed to set them.
const LEVEL: PermissionLevel = PermissionLevel::CanManageProductionVersions;

impl Gate {
    /// Returns the faults of a push's release references. The pusher must be known and have the level. A reference must
    /// point to a commit that was judged as a step. Tags must not move.
    pub(super) fn releases(&self, updates: &[Update], pusher: Option<&Pusher>) -> Result<Vec<Fault>, GateError> {
        let is_release = |name: &str| self.releases.iter().any(|p| matches(p, name)) && !self.protects(name);
        let asked: Vec<&Update> = updates.iter().filter(|u| is_release(&u.name)).collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let refused = self.pusher_without_level(pusher)?;
        let mut faults = Vec::new();
        let mut wanted: BTreeSet<Oid> = BTreeSet::new();
        for update in &asked {
            if let Some((message, help)) = &refused {
                faults.push(fault(update, RuleClass::Permission, message.clone(), help));
            }
            if update.name.starts_with("refs/tags/") && update.old.is_some() {
                let message = "a release tag may not be moved or deleted".to_owned();
                faults.push(fault(update, RuleClass::History, message, "create another tag"));
            }
            wanted.extend(update.new.map(|new| self.repo.peel(&new)).transpose()?.flatten());
        }
        self.keep_unjudged(&mut wanted, updates)?;
        for update in &asked {
            let Some(new) = &update.new else { continue };
            match self.repo.peel(new)? {
                Some(commit) if !wanted.contains(&commit) => {}
                Some(commit) => {
                    let short = commit.short();
                    let message = format!("it would point to {short}, which is not a step of a protected branch");
                    faults.push(fault(update, RuleClass::History, message, "push the commit to the branch first"));
                }
                None => {
                    let message = "it would not point to a commit".to_owned();
                    faults.push(fault(update, RuleClass::Format, message, "tag a commit"));
                }
            }
        }
        Ok(faults)
    }

    /// Removes the commits that are steps of a protected branch, as it is or as this push, which is accepted as a
    /// whole, would leave it. A commit of a merged side branch does not count: its snapshot was never judged.
    fn keep_unjudged(&self, wanted: &mut BTreeSet<Oid>, updates: &[Update]) -> Result<(), GateError> {
        let mut tips = self.tips()?;
        tips.extend(updates.iter().filter(|u| self.protects(&u.name)).filter_map(|u| u.new));
        let mut lines = HistoryReader::of(&self.repo, &tips);
        let mut unjudged = BTreeSet::new();
        for commit in std::mem::take(wanted) {
            if !lines.hold(&commit)? {
                unjudged.insert(commit);
            }
        }
        *wanted = unjudged;
        Ok(())
    }

    /// Returns why the pusher may not set release references, and what to do; `None` if they may.
    fn pusher_without_level(&self, pusher: Option<&Pusher>) -> Result<Option<(String, &'static str)>, GateError> {
        const ASK: &str = "let a person with CAN_MANAGE_PRODUCTION_VERSIONS on the registry push it";
        let Some(pusher) = pusher else {
            let help = "configure how this host names the pusher: `greenroom hook install --host …`";
            return Ok(Some((
                "the git host does not name the pusher, so a release reference cannot be set".to_owned(),
                help,
            )));
        };
        let why = self.lacks(Some(pusher), LEVEL, "set a release reference", None)?;
        Ok(why.map(|why| (why, ASK)))
    }
}

fn fault(update: &Update, class: RuleClass, message: String, help: &str) -> Fault {
    Fault { problem: Problem::of_file(update.name.clone(), "ref-release", message).help(help), class }
}
