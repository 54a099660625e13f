//! Files outside of a registry's folder that control how git and Git LFS treat the files in it: where model files are
//! sent, and how files are read. Changing them needs the same permission as the same files inside the registry's
//! folder.

use super::Gate;
use super::error::GateError;
use super::judge::StepJudgement;
use crate::entity::PermissionLevel;
use crate::format::Problem;
use crate::name::fold;
use crate::rules::{Fault, RuleClass};
use crate::snapshot::Snapshot;
use crate::tree::{EntryKind, Objects as _, Oid, TreeError};

/// Files that git reads only at the root of a repository.
const AT_ROOT: [&str; 2] = [".gitmodules", ".lfsconfig"];

/// The file that git reads in each folder above a file.
const ABOVE: &str = ".gitattributes";

/// The name, kind and id of a file.
type GuardedFile = (String, EntryKind, Oid);

impl Gate {
    /// Adds a fault if the actor changes such a file without managing each registry that the file affects, as of the
    /// snapshot before the step.
    pub(super) fn guard_git_settings(
        &self,
        registries: &[String],
        (before, after): (Option<Oid>, Oid),
        judged: &mut StepJudgement,
    ) -> Result<(), GateError> {
        let Some(user) = judged.actor.as_ref().map(|actor| actor.user.clone()) else { return Ok(()) };
        for at in registries.iter().filter(|at| !at.is_empty()) {
            let changed = self.changed_settings(at, before, after)?;
            if changed.is_empty()
                || Snapshot::new(&self.repo, before, at)?.registry_level(&user)? >= Some(PermissionLevel::CanManage)
            {
                continue;
            }
            let folder = at.trim_end_matches('/');
            for path in changed {
                let message = format!(
                    "{user} may not change this file: it controls how git and Git LFS treat the registry in {folder}, \
                     and a change of it needs CAN_MANAGE on the registry"
                );
                let help = format!("let a person with CAN_MANAGE on the registry in {folder} make this change");
                let problem = Problem::of_file(path, "git-settings", message).help(help);
                judged.faults.push(Fault { problem, class: RuleClass::Permission });
            }
        }
        Ok(())
    }

    /// Returns the files that affect the registry in folder `at` and differ.
    fn changed_settings(&self, at: &str, before: Option<Oid>, after: Oid) -> Result<Vec<String>, TreeError> {
        let mut out = Vec::new();
        let (mut old, mut new) = (before, Some(after));
        let mut folder = String::new();
        for part in at.trim_end_matches('/').split('/') {
            if old == new {
                break;
            }
            let (was, is) = (self.settings_in(old, folder.is_empty())?, self.settings_in(new, folder.is_empty())?);
            let differ = was.iter().filter(|f| !is.contains(f)).chain(is.iter().filter(|f| !was.contains(f)));
            out.extend(differ.map(|(name, ..)| format!("{folder}{name}")));
            (old, new) = (self.subfolder(old, part)?, self.subfolder(new, part)?);
            folder.push_str(part);
            folder.push('/');
        }
        out.sort();
        out.dedup();
        Ok(out)
    }

    /// Returns the files of a folder that control git. A file system may treat a name in another case as the same.
    fn settings_in(&self, tree: Option<Oid>, is_root: bool) -> Result<Vec<GuardedFile>, TreeError> {
        let Some(tree) = tree else { return Ok(Vec::new()) };
        let steers = |name: &str| name == ABOVE || is_root && AT_ROOT.contains(&name);
        let entries = self.repo.tree(&tree)?;
        let found = entries.iter().filter(|e| e.name.starts_with('.') && steers(&fold(&e.name)));
        Ok(found.map(|e| (e.name.clone(), e.kind, e.id)).collect())
    }

    fn subfolder(&self, tree: Option<Oid>, name: &str) -> Result<Option<Oid>, TreeError> {
        let Some(tree) = tree else { return Ok(None) };
        Ok(self.repo.tree(&tree)?.iter().find(|e| e.name == name && e.kind == EntryKind::Tree).map(|e| e.id))
    }
}
