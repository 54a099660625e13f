//! Files outside a registry's folder by which git and Git LFS treat the files in it: they steer where model files are
//! sent and how files are read, so that changing them needs what the same files need in the folder itself.

use super::{Gate, GateError, Judged};
use crate::entity::Level;
use crate::format::Problem;
use crate::name::fold;
use crate::rules::{Class, Fault};
use crate::snapshot::Snapshot;
use crate::tree::{Kind, Objects as _, Oid, TreeError};

/// What is read at the root of a repository only.
const AT_ROOT: [&str; 2] = [".gitmodules", ".lfsconfig"];

/// What is read in each folder above a file.
const ABOVE: &str = ".gitattributes";

/// A file's name, what it is, and its bytes.
type Found = (String, Kind, Oid);

impl Gate {
    /// Who changes such a file must manage each registry that it steers, by the state before the step.
    pub(super) fn guard_git_settings(
        &self,
        registries: &[String],
        (before, after): (Option<Oid>, Oid),
        judged: &mut Judged,
    ) -> Result<(), GateError> {
        let Some(user) = judged.actor.as_ref().map(|actor| actor.user.clone()) else { return Ok(()) };
        for at in registries.iter().filter(|at| !at.is_empty()) {
            let changed = self.changed_settings(at, before, after)?;
            if changed.is_empty()
                || Snapshot::new(&self.repo, before, at)?.registry_level(&user)? >= Some(Level::CanManage)
            {
                continue;
            }
            let folder = at.trim_end_matches('/');
            for path in changed {
                let message = format!(
                    "{user} may not change this file: it steers how git and Git LFS treat the registry in {folder}, and \
                     that needs CAN_MANAGE of the registry"
                );
                let help = format!("let somebody with CAN_MANAGE of the registry in {folder} land it");
                let problem = Problem::of_file(path, "git-settings", message).help(help);
                judged.faults.push(Fault { problem, class: Class::Permission });
            }
        }
        Ok(())
    }

    /// The files that steer the registry in folder `at` and differ.
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

    /// The files of a folder that steer git. A file system may read a name in another case as the same.
    fn settings_in(&self, tree: Option<Oid>, is_root: bool) -> Result<Vec<Found>, TreeError> {
        let Some(tree) = tree else { return Ok(Vec::new()) };
        let steers = |name: &str| name == ABOVE || is_root && AT_ROOT.contains(&name);
        let entries = self.repo.tree(&tree)?;
        let found = entries.iter().filter(|e| e.name.starts_with('.') && steers(&fold(&e.name)));
        Ok(found.map(|e| (e.name.clone(), e.kind, e.id)).collect())
    }

    fn subfolder(&self, tree: Option<Oid>, name: &str) -> Result<Option<Oid>, TreeError> {
        let Some(tree) = tree else { return Ok(None) };
        Ok(self.repo.tree(&tree)?.iter().find(|e| e.name == name && e.kind == Kind::Tree).map(|e| e.id))
    }
}
