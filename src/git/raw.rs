//! Objects byte for byte, for code that judges them before any other code trusts them.

use gix::objs::Kind;
use gix::odb::Header as _;

use super::read::unreadable;
use super::{GitError, Repo};
use crate::tree::{Oid, TreeError};

/// The type of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// A commit.
    Commit,
    /// The list of a folder's entries.
    Tree,
    /// The bytes of a file.
    Blob,
    /// An annotated tag.
    Tag,
}

impl ObjectKind {
    /// Returns git's name of the type, for messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }
}

/// How many annotated tags may point to one another before a commit.
const MAX_TAGS: usize = 10;

/// The largest tag that is read, in bytes.
const MAX_TAG: u64 = 1 << 20;

/// The properties of an object that are known without reading all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The type of the object.
    pub kind: ObjectKind,
    /// The size of the object's content, in bytes.
    pub size: u64,
}

/// The file systems that the name of a tree entry must be safe for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameFilter {
    /// The name is not a spelling of `.git` on any system.
    Harmless,
    /// In addition, every file system can hold the name.
    Portable,
}

impl Repo {
    /// Reads the type and size of an object, at the cost of its first bytes. Returns `None` if it does not exist.
    ///
    /// # Errors
    /// [`TreeError`] if the object is unreadable.
    pub fn header(&self, id: &Oid) -> Result<Option<Header>, TreeError> {
        let Some(git_id) = self.id(id) else { return Ok(None) };
        if git_id.is_empty_tree() {
            return Ok(Some(Header { kind: ObjectKind::Tree, size: 0 }));
        }
        let found = self.inner.objects.try_header(&git_id).map_err(|e| unreadable(id, e))?;
        Ok(found.map(|h| {
            let kind = match h.kind() {
                Kind::Commit => ObjectKind::Commit,
                Kind::Tree => ObjectKind::Tree,
                Kind::Blob => ObjectKind::Blob,
                Kind::Tag => ObjectKind::Tag,
            };
            Header { kind, size: h.size() }
        }))
    }

    /// Reads the bytes of a commit and checks them against its id. Check the size with [`Self::header`] first.
    ///
    /// # Errors
    /// [`TreeError`] if the object is missing, damaged or not a commit.
    pub fn raw_commit(&self, id: &Oid) -> Result<Vec<u8>, TreeError> {
        self.object(id, Kind::Commit)
    }

    /// Reads the bytes of a tree and checks them against its id. Check the size with [`Self::header`] first.
    ///
    /// # Errors
    /// [`TreeError`] if the object is missing, damaged or not a tree.
    pub fn raw_tree(&self, id: &Oid) -> Result<Vec<u8>, TreeError> {
        self.object(id, Kind::Tree)
    }

    /// Returns the commit that an object is or that an annotated tag points to, through other tags if necessary.
    /// Returns `None` for any other object.
    ///
    /// # Errors
    /// [`TreeError`] if an object on the way is unreadable.
    pub fn peel(&self, id: &Oid) -> Result<Option<Oid>, TreeError> {
        let mut id = *id;
        for _ in 0..MAX_TAGS {
            match self.header(&id)?.map(|h| (h.kind, h.size)) {
                Some((ObjectKind::Commit, _)) => return Ok(Some(id)),
                Some((ObjectKind::Tag, size)) if size <= MAX_TAG => {
                    let bytes = self.object(&id, Kind::Tag)?;
                    let named = bytes.split(|b| *b == b'\n').next().and_then(|line| line.strip_prefix(b"object "));
                    let named = named.and_then(|hex| Oid::from_hex(std::str::from_utf8(hex).ok()?));
                    let Some(named) = named else { return Ok(None) };
                    id = named;
                }
                Some((ObjectKind::Tag | ObjectKind::Tree | ObjectKind::Blob, _)) | None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Returns the length of the repository's ids in bytes: 20 (SHA-1) or 32 (SHA-256).
    pub fn id_len(&self) -> usize {
        self.inner.object_hash().len_in_bytes()
    }

    /// Returns the full names of all references, sorted. Bytes that are not UTF-8 become replacement characters.
    ///
    /// # Errors
    /// [`GitError::Git`] if the references cannot be listed.
    pub fn reference_names(&self) -> Result<Vec<String>, GitError> {
        let failed = |e: gix::Error| GitError::git("list the references", e);
        let references = self.inner.references().map_err(failed)?;
        let mut out = Vec::new();
        for reference in references.all().map_err(failed)? {
            out.push(reference.map_err(failed)?.name().as_bstr().to_string());
        }
        out.sort();
        Ok(out)
    }

    /// Returns what is wrong with the name of a tree entry, in words; `None` if the name is valid.
    pub fn name_fault(name: &[u8], is_link: bool, wanted: NameFilter) -> Option<String> {
        let options = gix::validate::path::component::Options {
            protect_windows: wanted == NameFilter::Portable,
            protect_hfs: true,
            protect_ntfs: true,
        };
        let mode = is_link.then_some(gix::validate::path::component::Mode::Symlink);
        let fault = |part: &[u8]| gix::validate::path::component(part.into(), mode, options).err();
        // On Windows a backslash separates folders, so each part is a name there.
        let parts = name.split(|b| *b == b'\\').filter(|part| !part.is_empty());
        fault(name).or_else(|| parts.into_iter().find_map(fault)).map(|e| e.to_string())
    }
}
