//! Walks the trees that a commit adds: finds them by ids that its parents do not have, judges and counts them.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Instant;

use super::tree::{self, Mode, Raw};
use crate::format::Problem;
use crate::gate::limits::GateLimits;
use crate::git::{Header, ObjectKind, Repo};
use crate::rules::{Fault, RuleClass};
use crate::tree::{Oid, TreeError};

/// The largest tree that is read, in bytes: about 400,000 entries in one folder.
const MAX_TREE: u64 = 16 << 20;

/// The size of the tree cache, in bytes: the next commit is compared with this commit's trees.
const MEMO: usize = 32 << 20;

/// The largest number of listed faults; checking stops there.
pub(super) const MAX_FAULTS: usize = 100;

/// A new file of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewFile {
    /// The path from the repository's root.
    pub path: String,
    /// The id of the blob.
    pub id: Oid,
    /// The size of the blob, in bytes.
    pub size: u64,
}

/// The trees of a push, as far as they were read.
pub(super) struct Trees<'r> {
    repo: &'r Repo,
    /// The registries' folders: each empty, or ending in a slash.
    folders: Vec<String>,
    limits: GateLimits,
    deadline: Instant,
    headers: HashMap<Oid, Option<Header>>,
    judged: HashSet<(Oid, bool)>,
    memo: HashMap<Oid, Rc<[u8]>>,
    memo_bytes: usize,
    files: usize,
}

/// The new content of one commit.
#[derive(Default)]
pub(super) struct CommitContents {
    /// The new files in the registries' folders.
    pub files: Vec<NewFile>,
    /// The faults of the trees.
    pub faults: Vec<Fault>,
    entries: usize,
    /// Whether to stop: there are too many entries or faults.
    stop: bool,
}

impl CommitContents {
    fn add(&mut self, rule: &'static str, path: &str, say: impl Into<String>, help: &str) {
        let problem = Problem::of_file(path, rule, say).help(help);
        self.faults.push(Fault { problem, class: RuleClass::Format });
        self.stop |= self.faults.len() >= MAX_FAULTS;
    }

    fn too_much(&mut self, path: &str, say: impl Into<String>, help: &str) {
        self.add("limit", path, say, help);
        self.stop = true;
    }
}

const MAKE_ANEW: &str = "make the commit with git from the files of a work tree";

impl<'r> Trees<'r> {
    pub(super) fn new(repo: &'r Repo, folders: &[String], limits: GateLimits, deadline: Instant) -> Self {
        Self {
            repo,
            folders: folders.to_vec(),
            limits,
            deadline,
            headers: HashMap::new(),
            judged: HashSet::new(),
            memo: HashMap::new(),
            memo_bytes: 0,
            files: 0,
        }
    }

    /// Walks everything in the tree `root` that none of the trees `parents` has at the same path.
    pub(super) fn bring(&mut self, root: &Oid, parents: &[Oid]) -> Result<CommitContents, TreeError> {
        let mut brought = CommitContents::default();
        self.folder("", root, parents, 0, &mut brought)?;
        Ok(brought)
    }

    /// Returns the header of an object; `None` if the object does not exist.
    pub(super) fn header(&mut self, id: &Oid) -> Result<Option<Header>, TreeError> {
        if let Some(known) = self.headers.get(id) {
            return Ok(*known);
        }
        let found = self.repo.header(id)?;
        self.headers.insert(*id, found);
        Ok(found)
    }

    fn is_inside(&self, folder: &str) -> bool {
        self.folders.iter().any(|at| folder.starts_with(at.as_str()))
    }

    /// Walks a folder. `path` is empty or ends in a slash.
    fn folder(
        &mut self,
        path: &str,
        id: &Oid,
        parents: &[Oid],
        depth: usize,
        out: &mut CommitContents,
    ) -> Result<(), TreeError> {
        if out.stop || parents.contains(id) {
            return Ok(());
        }
        let shown = path.trim_end_matches('/');
        if depth > self.limits.depth {
            let say = format!("folders are nested deeper than {}", self.limits.depth);
            out.too_much(shown, say, "");
            return Ok(());
        }
        if Instant::now() >= self.deadline {
            out.too_much("", super::late(self.limits), super::LATE_HELP);
            return Ok(());
        }
        if !self.expect(shown, id, ObjectKind::Tree, out)? {
            return Ok(());
        }
        let Some(bytes) = self.read(id)? else {
            out.too_much(shown, format!("the folder's tree has more than {MAX_TREE} bytes"), "");
            return Ok(());
        };
        let Some(entries) = tree::entries(&bytes, self.repo.id_len()) else {
            out.add("tree", shown, "the folder's tree is truncated or damaged", MAKE_ANEW);
            return Ok(());
        };
        let inside = self.is_inside(path);
        if self.judged.insert((*id, inside)) {
            if inside && entries.is_empty() && depth > 0 {
                out.add("tree", shown, "the folder is empty; git itself does not record empty folders", "remove it");
            }
            for (name, say) in tree::judge(&entries, inside) {
                let at = name.map_or_else(|| shown.to_owned(), |n| format!("{path}{n}"));
                out.add("tree", &at, say, MAKE_ANEW);
            }
        }
        let before = parents.iter().map(|p| self.read_parent(p)).collect::<Result<Vec<_>, _>>()?;
        let before: Vec<Vec<Raw<'_>>> =
            before.iter().map(|b| tree::entries(b, self.repo.id_len()).unwrap_or_default()).collect();
        self.entries(path, &entries, &before, depth, out)
    }

    /// Walks the entries that differ from those of all parents.
    fn entries(
        &mut self,
        path: &str,
        entries: &[Raw<'_>],
        before: &[Vec<Raw<'_>>],
        depth: usize,
        out: &mut CommitContents,
    ) -> Result<(), TreeError> {
        let inside = self.is_inside(path);
        let mut at = vec![0; before.len()];
        let mut new_names: Vec<&[u8]> = Vec::new();
        for entry in entries {
            if out.stop {
                return Ok(());
            }
            let olds: Vec<Option<&Raw<'_>>> =
                before.iter().zip(&mut at).map(|(list, at)| advance(list, at, entry)).collect();
            if olds.first().is_none_or(Option::is_none) {
                new_names.push(entry.name);
            }
            if olds.iter().flatten().any(|old| old.id == entry.id && old.mode == entry.mode) {
                continue;
            }
            out.entries += 1;
            if out.entries > self.limits.entries {
                let say = format!("the commit changes more than {} files and folders", self.limits.entries);
                out.too_much(
                    "",
                    say,
                    "split the commit, or raise greenroom.maxFiles in the settings of the served repository",
                );
                return Ok(());
            }
            let full = format!("{path}{}", entry.shown());
            match entry.kind(inside) {
                Some(Mode::Tree) => {
                    let parents: Vec<Oid> =
                        olds.iter().flatten().filter(|o| o.kind(inside) == Some(Mode::Tree)).map(|o| o.id).collect();
                    self.folder(&format!("{full}/"), &entry.id, &parents, depth + 1, out)?;
                }
                Some(Mode::File | Mode::Link) => self.file(full, &entry.id, inside, out)?,
                // Another repository's commit is not available. An odd mode was already reported.
                Some(Mode::Submodule) | None => {}
            }
        }
        if let Some((new, old)) = tree::clash(&new_names, entries).filter(|_| inside) {
            let say =
                format!("the name differs from {} only by case or Unicode normalisation", crate::text::quoted(&old));
            out.add("tree", &format!("{path}{new}"), say, "give it a different name");
        }
        Ok(())
    }

    fn file(&mut self, path: String, id: &Oid, inside: bool, out: &mut CommitContents) -> Result<(), TreeError> {
        if !self.expect(&path, id, ObjectKind::Blob, out)? || !inside {
            return Ok(());
        }
        self.files += 1;
        if self.files > self.limits.files {
            let say = format!("the push changes more than {} files", self.limits.files);
            out.too_much(
                "",
                say,
                "push in parts, or raise greenroom.maxFiles in the settings of the served repository",
            );
            return Ok(());
        }
        let size = self.header(id)?.map_or(0, |h| h.size);
        out.files.push(NewFile { path, id: *id, size });
        Ok(())
    }

    /// Whether an object exists and has the type of its entry.
    fn expect(&mut self, path: &str, id: &Oid, want: ObjectKind, out: &mut CommitContents) -> Result<bool, TreeError> {
        let say = match self.header(id)? {
            Some(header) if header.kind == want => return Ok(true),
            Some(header) => format!("object {} is a {}, not a {}", id.short(), header.kind.as_str(), want.as_str()),
            None => format!("object {} is missing: neither the push nor the repository has it", id.short()),
        };
        out.add("object", path, say, "run `git fsck` where you push from");
        Ok(false)
    }

    fn read_parent(&mut self, id: &Oid) -> Result<Rc<[u8]>, TreeError> {
        let size = self.header(id)?.ok_or(TreeError::Missing(*id))?.size;
        self.read(id)?.ok_or(TreeError::TooLarge { id: *id, size, max: MAX_TREE })
    }

    /// Returns the bytes of a tree; `None` if it is too large.
    fn read(&mut self, id: &Oid) -> Result<Option<Rc<[u8]>>, TreeError> {
        if let Some(known) = self.memo.get(id) {
            return Ok(Some(Rc::clone(known)));
        }
        if self.header(id)?.is_some_and(|h| h.size > MAX_TREE) {
            return Ok(None);
        }
        let bytes: Rc<[u8]> = self.repo.raw_tree(id)?.into();
        if self.memo_bytes + bytes.len() > MEMO {
            self.memo.clear();
            self.memo_bytes = 0;
        }
        self.memo_bytes += bytes.len();
        self.memo.insert(*id, Rc::clone(&bytes));
        Ok(Some(bytes))
    }
}

/// Returns the entry with this name from a list in git's order, starting at `at`. If the list is not in order, some
/// entries are not found and count as new.
fn advance<'a, 'b>(list: &'a [Raw<'b>], at: &mut usize, entry: &Raw<'_>) -> Option<&'a Raw<'b>> {
    while let Some(old) = list.get(*at) {
        match old.order(entry) {
            std::cmp::Ordering::Less => *at += 1,
            std::cmp::Ordering::Equal => return Some(old),
            std::cmp::Ordering::Greater => return None,
        }
    }
    None
}
