//! Conversion between the bytes of a commit and those of a work tree, as git does it: line ends, `$Id$`, encodings.
//!
//! A file's attributes and the user's settings choose the conversion (`core.autocrlf`, `core.eol`,
//! `core.attributesFile`). Filters are programs and never run here: a Git LFS pointer stays a pointer.

use std::path::Path;

use gix::bstr::{BStr, ByteSlice as _};
use gix::filter::plumbing::driver::apply::Delay;
use gix::filter::plumbing::pipeline::CrlfRoundTripCheck;
use gix::filter::plumbing::pipeline::convert::{ToGitOutcome, ToWorktreeOutcome, to_worktree};
use gix::worktree::stack::state::attributes::Source;

use super::{GitError, Repo, program};

/// The attribute that names the encoding of a file in the work tree.
const ENCODING: &str = "working-tree-encoding";

/// The attribute that expands `$Id$` to the id of the file.
const IDENT: &str = "ident";

/// Converts files. Attributes come from an index and from the `.gitattributes` files in the work tree.
pub struct Converter<'r> {
    repo: &'r Repo,
    pipeline: gix::filter::plumbing::Pipeline,
    stack: gix::worktree::Stack,
    attributes: gix::attrs::search::Outcome,
    /// The index, for files on their way into git: a file that is stored with CRLF keeps its CRLF.
    index: Option<gix::index::State>,
}

impl std::fmt::Debug for Converter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Converter").finish_non_exhaustive()
    }
}

impl Repo {
    /// Returns a converter for work tree files that are read or written without a publish.
    ///
    /// # Errors
    /// [`GitError`] if the index or the settings cannot be read.
    pub fn converter(&self) -> Result<Converter<'_>, GitError> {
        let index = self.read_index()?;
        Converter::into_git(self, &index)
    }
}

impl<'r> Converter<'r> {
    /// Returns a converter for files that are compared with commits or go into a commit.
    pub(super) fn into_git(repo: &'r Repo, index: &gix::index::State) -> Result<Self, GitError> {
        Self::new(repo, index, Source::WorktreeThenIdMapping, Some(index.clone()))
    }

    /// Returns a converter for files that are written from an index. That index holds the attributes of the new state.
    pub(super) fn out_of_git(repo: &'r Repo, index: &gix::index::State) -> Result<Self, GitError> {
        Self::new(repo, index, Source::IdMappingThenWorktree, None)
    }

    fn new(
        repo: &'r Repo,
        index: &gix::index::State,
        source: Source,
        kept: Option<gix::index::State>,
    ) -> Result<Self, GitError> {
        let failed = |e| GitError::git("read the settings of how files are converted", e);
        let mut options = gix::filter::Pipeline::options(&repo.inner).map_err(failed)?;
        options.drivers.clear();
        options.crlf_roundtrip_check = CrlfRoundTripCheck::Skip;
        let hash = repo.inner.object_hash();
        let pipeline = gix::filter::plumbing::Pipeline::new(Default::default(), hash, options);
        let stack = repo.inner.attributes_only(index, source).map_err(failed)?.detach();
        let mut attributes = gix::attrs::search::Outcome::default();
        attributes.initialize_with_selection(&Default::default(), [ENCODING, IDENT]);
        Ok(Self { repo, pipeline, stack, attributes, index: kept })
    }

    /// Returns the bytes that a commit would hold for a file with these bytes. Returns `None` if the attributes name an
    /// encoding that does not fit the bytes.
    ///
    /// # Errors
    /// [`GitError`] if the attributes cannot be read.
    pub fn to_git(&mut self, path: &str, bytes: &[u8]) -> Result<Option<Vec<u8>>, GitError> {
        let objects = &self.repo.inner.objects;
        let there = self.stack.at_entry(BStr::new(path), None, objects);
        let there = there.map_err(|e| GitError::io("read the attributes of", path, e))?;
        let index = self.index.as_ref();
        let converted = self.pipeline.convert_to_git(
            bytes,
            Path::new(path),
            &mut |_, out| {
                there.matching_attributes(out);
            },
            &mut |buffer| {
                let entry = index.and_then(|i| i.entry_by_path(BStr::new(path)));
                let Some(entry) = entry else { return Ok(None) };
                let found = gix::objs::Find::try_find(objects, &entry.id, buffer)?;
                Ok(found.map(drop))
            },
        );
        Ok(match converted {
            Ok(ToGitOutcome::Unchanged(_)) => Some(bytes.to_vec()),
            Ok(ToGitOutcome::Buffer(converted)) => Some(converted.to_vec()),
            // No filter program runs, so `Process` cannot occur. The only cause that is left for an error is an
            // encoding.
            Ok(ToGitOutcome::Process(_)) | Err(_) => None,
        })
    }

    /// Returns the bytes that a checkout would write for a file with these stored bytes.
    ///
    /// # Errors
    /// [`GitError`] if the attributes cannot be read, or the conversion fails.
    pub fn to_work_tree(&mut self, path: &str, bytes: Vec<u8>) -> Result<Vec<u8>, GitError> {
        let there = self.stack.at_entry(BStr::new(path), None, &self.repo.inner.objects);
        let there = there.map_err(|e| GitError::io("read the attributes of", path, e))?;
        self.attributes.reset();
        there.matching_attributes(&mut self.attributes);
        let mut found = self.attributes.iter_selected().map(|m| m.assignment.state);
        let (encoding, ident) = (found.next(), found.next());
        if encoding.is_some_and(|state| state.as_bstr().is_some()) {
            // The library cannot write all encodings that git can, such as UTF-16.
            return self.by_program(path, &bytes);
        }
        let ident = ident.is_some_and(|state| state.is_set());
        let options = to_worktree::Options { can_delay: Delay::Forbid, ..Default::default() };
        let converted = self.pipeline.convert_to_worktree(
            &bytes,
            BStr::new(path),
            &mut |_, out| {
                there.matching_attributes(out);
            },
            options,
        );
        match converted.map_err(|e| GitError::git(format!("convert {}", crate::text::quoted(path)), e))? {
            ToWorktreeOutcome::Buffer(converted) if ident => Ok(spaced(converted)),
            ToWorktreeOutcome::Buffer(converted) => Ok(converted.to_vec()),
            ToWorktreeOutcome::Unchanged(_) | ToWorktreeOutcome::Process(_) => Ok(bytes),
        }
    }

    /// Runs git to convert a committed file as a checkout would, with all filters switched off.
    fn by_program(&self, path: &str, bytes: &[u8]) -> Result<Vec<u8>, GitError> {
        let root = self.repo.work_dir().unwrap_or_else(|| self.repo.git_dir().to_owned());
        let failed =
            |why: String| GitError::Git { what: format!("convert {}", crate::text::quoted(path)), source: why.into() };
        // `git cat-file` converts stored objects only. Mostly the object is already stored.
        let id =
            program::run_with_input(&root, ["hash-object", "-w", "-t", "blob", "--stdin"], bytes).map_err(failed)?;
        let (id, path_flag) = (String::from_utf8_lossy(&id).trim().to_owned(), format!("--path={path}"));
        let filters = self.repo.filters();
        let off: Vec<String> = filters
            .iter()
            .flat_map(|f| ["smudge=", "process=", "required=false"].map(|set| format!("filter.{f}.{set}")))
            .collect();
        let settings = off.iter().flat_map(|set| ["-c", set.as_str()]);
        let words = ["cat-file", "--filters", path_flag.as_str(), id.as_str()];
        program::ask(&root, settings.chain(words)).map_err(failed)
    }
}

/// Adds the space before the second dollar sign that git writes in `$Id: …$` and the library leaves out.
fn spaced(bytes: &[u8]) -> Vec<u8> {
    const START: &[u8] = b"$Id: ";
    let mut out = Vec::with_capacity(bytes.len() + 8);
    let mut rest = bytes;
    while let Some(at) = rest.find(START) {
        let (before, after) = rest.split_at(at + START.len());
        out.extend_from_slice(before);
        let id = after.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        rest = after;
        if matches!(id, 40 | 64) && after.get(id) == Some(&b'$') {
            out.extend_from_slice(after.get(..id).unwrap_or_default());
            out.push(b' ');
            rest = after.get(id..).unwrap_or_default();
        }
    }
    out.extend_from_slice(rest);
    out
}

impl Repo {
    /// Returns the names of the filters in the settings.
    fn filters(&self) -> Vec<String> {
        let settings = self.inner.config_snapshot();
        let sections = settings.plumbing().sections_by_name("filter").into_iter().flatten();
        let names = sections.filter_map(|s| s.header().subsection_name().map(|n| n.to_str_lossy().into_owned()));
        names.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }

    /// Whether the work tree records which files are executable (`core.fileMode`).
    pub(super) fn trusts_modes(&self) -> bool {
        self.inner.config_snapshot().boolean("core.fileMode") != Some(false)
    }

    /// Whether the work tree can hold symbolic links (`core.symlinks`). If not, git writes a file that contains the
    /// target.
    pub(super) fn has_links(&self) -> bool {
        self.inner.config_snapshot().boolean("core.symlinks") != Some(false)
    }
}
