//! References and the commits that they point to.

use gix::objs::{Exists as _, Kind as ObjectKind};

use super::{GitError, Repo, oid};
use crate::tree::{Oid, TreeError};

impl Repo {
    /// Returns all references that lead to a commit, with that commit. Annotated tags are followed.
    ///
    /// References that lead to something else or cannot be read are left out.
    ///
    /// # Errors
    /// [`GitError::Git`] if the references cannot be listed.
    pub fn tips(&self) -> Result<Vec<(String, Oid)>, GitError> {
        let failed = |e: gix::Error| GitError::git("list the references", e);
        let references = self.inner.references().map_err(failed)?;
        let mut out = Vec::new();
        for reference in references.all().map_err(failed)? {
            let Ok(mut reference) = reference else { continue };
            let name = reference.name().as_bstr().to_string();
            let Ok(id) = reference.peel_to_id() else { continue };
            if self.inner.find_header(id).is_ok_and(|h| h.kind() == ObjectKind::Commit) {
                out.push((name, oid(id.detach())));
            }
        }
        Ok(out)
    }

    /// Returns the commit that an object is or that an annotated tag leads to; `None` for any other object.
    ///
    /// # Errors
    /// [`GitError`] if the object is missing or unreadable.
    pub fn commit_of(&self, id: &Oid) -> Result<Option<Oid>, GitError> {
        let git_id = self.id(id).ok_or(TreeError::Missing(*id))?;
        let unreadable = |e: gix::Error| GitError::git(format!("read object {id}"), e);
        let object = self.inner.find_object(git_id).map_err(unreadable)?;
        let object = object.peel_tags_to_end().map_err(unreadable)?;
        Ok((object.kind == ObjectKind::Commit).then(|| oid(object.id)))
    }

    /// Whether an object exists.
    pub fn has(&self, id: &Oid) -> bool {
        self.id(id).is_some_and(|i| self.inner.objects.exists(&i))
    }
}
