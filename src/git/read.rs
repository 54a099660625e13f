//! Reading objects, revisions and identities. Every object is checked against its id.

use std::borrow::Cow;
use std::rc::Rc;

use gix::bstr::{BStr, ByteSlice as _};
use gix::objs::{Find as _, Kind as ObjectKind, TreeRefIter};
use gix::odb::Header as _;

use super::error::io_cause;
use super::mailmap::resolved;
use super::{GitError, Ident, Repo, oid};
use crate::text::quoted;
use crate::tree::{EntryKind, Objects, Oid, TreeEntry, TreeError};

/// The longest revision that is resolved, in bytes.
const MAX_REVISION: usize = 1024;

impl Repo {
    /// Returns the full name of HEAD's branch, such as `refs/heads/main`. The branch need not exist yet.
    ///
    /// # Errors
    /// [`GitError::Detached`] if HEAD is on no branch; [`GitError::Git`] if HEAD is unreadable.
    pub fn branch(&self) -> Result<String, GitError> {
        match self.inner.head_name() {
            Ok(Some(name)) => Ok(name.as_bstr().to_string()),
            Ok(None) => Err(GitError::Detached),
            Err(e) => Err(GitError::git("read HEAD", e)),
        }
    }

    /// Whether HEAD is on this branch. An unreadable HEAD is an error and does not count as another branch.
    pub(super) fn is_on(&self, reference: &str) -> Result<bool, GitError> {
        match self.branch() {
            Ok(branch) => Ok(branch == reference),
            Err(GitError::Detached) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Returns HEAD's commit; `None` if there is no commit yet.
    ///
    /// # Errors
    /// [`GitError::Git`] if HEAD is unreadable.
    pub fn head(&self) -> Result<Option<Oid>, GitError> {
        let head = self.inner.head().map_err(|e| GitError::git("read HEAD", e))?;
        Ok(head.id().map(|id| oid(id.detach())))
    }

    /// Returns the object that a reference such as `refs/heads/main` points to; `None` if there is no such reference.
    ///
    /// # Errors
    /// [`GitError::Git`] if the reference is unreadable.
    pub fn reference(&self, name: &str) -> Result<Option<Oid>, GitError> {
        let what = || format!("read the reference {}", quoted(name));
        let Some(mut found) = self.inner.try_find_reference(name).map_err(|e| GitError::git(what(), e))? else {
            return Ok(None);
        };
        let id = found.follow_to_object().map_err(|e| GitError::git(what(), e))?;
        Ok(Some(oid(id.detach())))
    }

    /// Resolves any revision that git knows to a commit: a branch, a tag, an id or its prefix, `HEAD~3`.
    ///
    /// # Errors
    /// [`GitError::UnknownRevision`] if the text does not name a commit; [`GitError::Object`] if the object is
    /// unreadable.
    pub fn resolve(&self, rev: &str) -> Result<Oid, GitError> {
        let unknown = |source: Option<gix::Error>| GitError::UnknownRevision {
            rev: quoted(rev),
            source: source.map(|e| Box::new(e).into()),
        };
        if rev.is_empty() || rev.len() > MAX_REVISION {
            return Err(unknown(None));
        }
        let found = self.inner.rev_parse_single(rev).map_err(|e| unknown(Some(e)))?;
        let id = oid(found.detach());
        match self.any(&id)?.0 {
            ObjectKind::Commit => Ok(id),
            ObjectKind::Tag => {
                let object = found.object().map_err(|e| unknown(Some(e)))?;
                Ok(oid(object.peel_to_commit().map_err(|e| unknown(Some(e)))?.id))
            }
            ObjectKind::Tree | ObjectKind::Blob => Err(unknown(None)),
        }
    }

    /// Returns the author and the committer that git would use now, from GIT_AUTHOR_*, GIT_COMMITTER_* and the
    /// settings.
    ///
    /// # Errors
    /// [`GitError::NoIdentity`] if git has no name or address; [`GitError::Git`] if a value is invalid.
    pub fn identity(&self) -> Result<(Ident, Ident), GitError> {
        let get = |who: Option<gix::Result<gix::actor::SignatureRef<'_>>>| match who {
            Some(Ok(who)) if !who.name.trim().is_empty() => Ok(Ident::from_git(who)),
            Some(Ok(_)) | None => Err(GitError::NoIdentity),
            Some(Err(e)) => Err(GitError::git("read who commits", e)),
        };
        Ok((get(self.inner.author())?, get(self.inner.committer())?))
    }

    /// Returns the identity with the canonical name and address from `.mailmap`.
    pub fn resolve_ident(&self, who: &Ident) -> Ident {
        let mailmap = self.mailmap.get_or_init(|| self.inner.open_mailmap());
        let (name, email) = resolved(mailmap, who);
        Ident { name, email, ..who.clone() }
    }

    /// Returns the content of `.mailmap` in a normal form, which differs if the mapping differs. Derived data uses it
    /// as a key.
    pub fn mailmap_text(&self) -> Vec<u8> {
        let mailmap = self.mailmap.get_or_init(|| self.inner.open_mailmap());
        let mut out = Vec::new();
        for entry in mailmap.iter() {
            for field in [entry.new_name(), entry.new_email(), entry.old_name(), Some(entry.old_email())] {
                out.extend_from_slice(field.map_or(&[][..], |f| f.as_ref()));
                out.push(b'\n');
            }
        }
        out
    }

    /// Reads the bytes of an object of the wanted type and checks them against its id.
    pub(super) fn object(&self, id: &Oid, want: ObjectKind) -> Result<Vec<u8>, TreeError> {
        match self.any(id)? {
            (kind, bytes) if kind == want => Ok(bytes),
            (kind, _) => Err(TreeError::Damaged { id: *id, why: format!("it is a {kind}, not a {want}") }),
        }
    }

    /// Reads the type and bytes of an object and checks them against its id.
    pub(super) fn any(&self, id: &Oid) -> Result<(ObjectKind, Vec<u8>), TreeError> {
        if let Some((kind, bytes)) = self.memo.borrow_mut().object(id) {
            return Ok((kind, bytes.to_vec()));
        }
        let git_id = self.id(id).ok_or(TreeError::Missing(*id))?;
        if git_id.is_empty_tree() {
            return Ok((ObjectKind::Tree, Vec::new()));
        }
        let mut bytes = Vec::new();
        let found = self.inner.objects.try_find(&git_id, &mut bytes).map_err(|e| unreadable(id, e))?;
        let data = found.ok_or(TreeError::Missing(*id))?;
        data.verify_checksum(&git_id)
            .map_err(|_| TreeError::Damaged { id: *id, why: "its content does not have this id".to_owned() })?;
        let kind = data.kind;
        self.memo.borrow_mut().put_object(*id, kind, &bytes);
        Ok((kind, bytes))
    }
}

/// Distinguishes a failing disk from a damaged object.
pub(super) fn unreadable(id: &Oid, e: gix::Error) -> TreeError {
    match io_cause(&e).map(|e| e.raw_os_error()) {
        Some(Some(_)) => TreeError::Io { id: *id, source: Box::new(e) },
        Some(None) | None => TreeError::Damaged { id: *id, why: e.to_string() },
    }
}

fn kind_of(mode: gix::objs::tree::EntryMode) -> EntryKind {
    match mode.kind() {
        gix::objs::tree::EntryKind::Tree => EntryKind::Tree,
        gix::objs::tree::EntryKind::Blob => EntryKind::File,
        gix::objs::tree::EntryKind::BlobExecutable => EntryKind::Executable,
        gix::objs::tree::EntryKind::Link => EntryKind::Symlink,
        gix::objs::tree::EntryKind::Commit => EntryKind::Submodule,
    }
}

impl Objects for Repo {
    fn tree(&self, id: &Oid) -> Result<Rc<[TreeEntry]>, TreeError> {
        if let Some(known) = self.memo.borrow_mut().tree(id) {
            return Ok(known);
        }
        let bytes = self.object(id, ObjectKind::Tree)?;
        let entries: Result<Rc<[TreeEntry]>, _> = TreeRefIter::from_bytes(&bytes, self.inner.object_hash())
            .map(|e| e.map(|e| TreeEntry { name: name_of(e.filename), kind: kind_of(e.mode), id: oid(e.oid) }))
            .collect();
        let entries = entries.map_err(|e| TreeError::Damaged { id: *id, why: e.to_string() })?;
        self.memo.borrow_mut().put_tree(*id, &entries);
        Ok(entries)
    }

    fn blob(&self, id: &Oid, max: u64) -> Result<Vec<u8>, TreeError> {
        let known = self.memo.borrow_mut().object(id).map(|(_, bytes)| bytes.len() as u64);
        let size = match known {
            Some(size) => size,
            None => {
                let git_id = self.id(id).ok_or(TreeError::Missing(*id))?;
                let header = self.inner.objects.try_header(&git_id).map_err(|e| unreadable(id, e))?;
                header.ok_or(TreeError::Missing(*id))?.size()
            }
        };
        if size > max {
            return Err(TreeError::TooLarge { id: *id, size, max });
        }
        self.object(id, ObjectKind::Blob)
    }
}

fn name_of(name: &BStr) -> String {
    match name.to_str_lossy() {
        Cow::Borrowed(s) => s.to_owned(),
        Cow::Owned(s) => s,
    }
}
