//! Checks a whole registry as it is in the work tree, including uncommitted edits, and returns all faults.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::{ChangeAuthor, Registry, RegistryError};
use crate::apply;
use crate::artifact::{self, Pointer, copy, findings};
use crate::codeowners::{self, Host};
use crate::diff::{self, Diff};
use crate::format::{MAX_FILE, Problem, attributes};
use crate::git::{GitError, Repo, WorkFile};
use crate::rules::{self, Actor, Fault, RuleClass, StepContext};
use crate::snapshot::{ModelView, Snapshot, VersionView};
use crate::time::Timestamp;
use crate::tree::{CompareLimits, EntryKind, Oid, Patch, Stage as _, TreeEntry, TreeError};

/// The largest file that is read into memory, in bytes; larger ones cannot be files of a registry.
const MAX_READ: u64 = 128 << 20;

/// The largest number of files that a cheap look compares.
const MAX_LOOKED_AT: usize = 5000;

/// The faults and warnings of a registry.
#[derive(Debug, Default)]
pub struct LintReport {
    /// The number of checked files.
    pub files: usize,
    /// The files that differ from the last commit, by path from the repository's root.
    pub changed: Vec<String>,
    /// Broken rules, sorted by file.
    pub faults: Vec<Fault>,
    /// Warnings, which break no rule, sorted by file.
    pub warnings: Vec<Problem>,
}

/// A root tree of the work tree's files, in memory.
struct StagedTree {
    tree: Oid,
    files: usize,
    faults: Vec<Fault>,
}

impl Registry {
    /// Judges the registry as a whole, including uncommitted edits of the work tree.
    ///
    /// All files are judged by the rules for snapshots. Differences from the last commit are also judged as a step by
    /// `change_author` at `now`, like a commit of them; without `change_author`, permissions are not checked. In a bare repository the
    /// last commit is judged. No edits stay in the repository.
    ///
    /// # Errors
    /// [`RegistryError`] if files or objects cannot be read.
    pub fn lint(&self, change_author: Option<&ChangeAuthor>, now: Timestamp) -> Result<LintReport, RegistryError> {
        let found = self.lint_all(change_author, now);
        self.repo.discard_staged();
        found
    }

    fn lint_all(&self, change_author: Option<&ChangeAuthor>, now: Timestamp) -> Result<LintReport, RegistryError> {
        let head = self.snapshot()?;
        let staged = self.stage_work_tree()?;
        let (after, mut lint) = match staged {
            Some(s) => {
                (self.edited_in(s.tree)?, LintReport { files: s.files, faults: s.faults, ..LintReport::default() })
            }
            None => (self.snapshot()?, LintReport::default()),
        };
        lint.faults.extend(rules::lint(&after)?.faults);
        let diff = diff::diff(&head, &after, CompareLimits::default())?;
        lint.changed = diff.files.iter().map(|f| after.full_path(&f.path)).collect();
        let operation = self.repo.operation();
        if let Some(operation) = operation {
            let message = format!("{operation} is in progress; its changes are judged when it is committed");
            lint.warnings.push(Problem::of_file("", "merge", message).help(operation.way_out()));
        }
        // A half-finished merge is not a step.
        if let Some(change_author) = change_author.filter(|_| !diff.is_empty() && operation.is_none()) {
            self.lint_edits((&head, &after), &diff, change_author, now, &mut lint)?;
        }
        let (faults, silent) = artifact::recorded::all(&after)?;
        lint.faults.extend(faults);
        // The gate refuses faults that the edits add. Older ones are warnings that need not be fixed.
        let brought = artifact::recorded::brought(&after, &diff.events)?;
        lint.faults.extend(brought.into_iter().flat_map(|(_, found)| found.faults));
        if lint.files == 0 {
            let nothing = Snapshot::new(&self.repo, None, &self.at)?;
            lint.files = diff::diff(&nothing, &after, CompareLimits::default())?.files.len();
        }
        lint.warnings.extend(warnings(&after, now)?);
        let is_fault = |p: &Problem| lint.faults.iter().any(|f| f.problem == *p);
        lint.warnings.extend(silent.into_iter().filter(|p| !is_fault(p)));
        lint.warnings.extend(codeowners::stale(&self.codeowners()?, &after)?);
        lint.faults.sort();
        lint.faults.dedup();
        lint.faults = rules::without_consequences(std::mem::take(&mut lint.faults));
        lint.warnings.sort();
        Ok(lint)
    }

    /// Judges the differences from the last commit as a step by `change_author`. Whether the commit will be signed is not known
    /// before it is made, so rules that depend on it are reported as not checked.
    fn lint_edits(
        &self,
        (head, after): (&Snapshot<'_>, &Snapshot<'_>),
        diff: &Diff,
        change_author: &ChangeAuthor,
        now: Timestamp,
        lint: &mut LintReport,
    ) -> Result<(), RegistryError> {
        let mut actor = match self.presumed_actor((head, after), change_author, now)? {
            Ok(actor) => actor,
            Err(faults) => {
                lint.faults.extend(faults);
                return Ok(());
            }
        };
        let (used, former) = (self.used_before(self.head()?, diff)?, self.former_people(self.head()?, diff)?);
        let judge = |actor: &Actor| {
            let mut step = StepContext::new(head, after, diff, actor, now);
            step.used.clone_from(&used);
            step.former.clone_from(&former);
            rules::judge(&step)
        };
        actor.signed = true;
        let faults = judge(&actor)?.faults;
        actor.signed = false;
        let wanted = judge(&actor)?.faults.into_iter().filter(|f| !faults.contains(f)).map(|f| f.problem.path);
        let mut wanted: BTreeSet<String> = wanted.collect();
        if self.wants_signatures(head, after)? {
            wanted.insert(String::new());
        }
        for path in wanted {
            let message = "not checked: the signature, which is judged when you commit and must be made with one of \
                           your keys in people/";
            let problem = Problem::of_file(path, "signature", message);
            lint.warnings.push(problem.help("`git commit -S`, or `git config commit.gpgSign true`; then check again"));
        }
        lint.faults.extend(faults);
        Ok(())
    }

    /// Returns the registry's tracked files that differ from the last commit, by a cheap look: see
    /// [`Repo::edited_files`](crate::git::Repo::edited_files). Model files are left out.
    ///
    /// # Errors
    /// [`RegistryError::Git`] if the index or an object cannot be read.
    pub fn uncommitted(&self) -> Result<Vec<String>, RegistryError> {
        Ok(self.repo.edited_files(&self.at, MAX_LOOKED_AT, is_model_file)?)
    }

    /// CODEOWNERS of the work tree, else of the last commit, by path from the repository's root.
    pub fn codeowners(&self) -> Result<Vec<(String, String)>, RegistryError> {
        let Some(dir) = self.repo.work_dir() else {
            let root = self.head()?.map(|c| self.repo.tree_of(&c)).transpose()?;
            return Ok(codeowners::files_in(&self.repo, root)?);
        };
        let places: BTreeSet<&str> = Host::ALL.iter().flat_map(|h| h.places()).collect();
        let mut out = Vec::new();
        for place in places {
            let path = dir.join(place);
            // A link could lead anywhere, and no host follows it.
            if path.symlink_metadata().is_ok_and(|m| m.is_file() && m.len() <= MAX_READ) {
                let bytes = std::fs::read(&path).map_err(|source| GitError::Io { what: "read", path, source })?;
                out.push((place.to_owned(), String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
        Ok(out)
    }

    /// Runs `look` on the registry as it is in the work tree, including uncommitted edits; in a bare repository, on the
    /// last commit. No edits stay in the repository.
    ///
    /// # Errors
    /// [`RegistryError`] if files or objects cannot be read, or `look` fails.
    pub fn edited<T>(&self, look: impl FnOnce(&Snapshot<'_>) -> Result<T, RegistryError>) -> Result<T, RegistryError> {
        let seen = match self.stage_work_tree() {
            Ok(Some(staged)) => self.edited_in(staged.tree).and_then(|s| look(&s)),
            Ok(None) => self.snapshot().and_then(|s| look(&s)),
            Err(e) => Err(e),
        };
        self.repo.discard_staged();
        seen
    }

    /// Returns the last commit's entry at a path from the repository's root.
    fn committed(&self, path: &str) -> Result<Option<TreeEntry>, RegistryError> {
        let root = self.head()?.map(|commit| self.repo.tree_of(&commit)).transpose()?;
        Ok(Snapshot::new(&self.repo, root, "")?.entry(path)?)
    }

    /// Builds a tree of the files in the work tree; `None` without a work tree.
    fn stage_work_tree(&self) -> Result<Option<StagedTree>, RegistryError> {
        let Some(found) = self.repo.work_files(&self.at)? else { return Ok(None) };
        let head = self.snapshot()?;
        let (mut patch, mut faults) = (Patch::default(), Vec::new());
        let files = found.len();
        let mut converter = None;
        for (path, file) in found {
            if let Some(why) = Repo::path_fault(&path) {
                let help = "rename it or remove it";
                let problem = Problem::of_file(path, "path", format!("the file cannot be committed: {why}")).help(help);
                faults.push(Fault { problem, class: RuleClass::Format });
                continue;
            }
            match file {
                WorkFile::Recorded(kind, id) => patch.link(path, kind, id),
                // A nested repository, a pipe or a device: not a file of a registry.
                WorkFile::Changed(EntryKind::Submodule | EntryKind::Tree, _) => {
                    let id = self.repo.stage_blob(&[])?;
                    patch.link(path, EntryKind::Submodule, id);
                }
                WorkFile::Changed(kind, disk) if is_endless(&path, kind, &disk) => {
                    let size = std::fs::metadata(&disk).map_or(0, |m| m.len());
                    let message = format!("the file has {size} bytes; at most {MAX_FILE} are allowed");
                    faults.push(Fault { problem: Problem::of_file(&path, "file", message), class: RuleClass::Format });
                    // A placeholder must exist, or files that belong to it would seem to have lost it.
                    patch.link(path, kind, self.repo.stage_blob(&[])?);
                }
                WorkFile::Changed(kind, disk) if is_as_committed(&head, &path, kind, &disk)? => {
                    let entry = head.entry(path.strip_prefix(head.at()).unwrap_or(&path))?;
                    entry.into_iter().for_each(|e| patch.link(path.clone(), e.kind, e.id));
                }
                WorkFile::Changed(kind, disk) => {
                    let read = bytes_to_commit(&path, kind, &disk);
                    let mut bytes = read.map_err(|source| GitError::Io { what: "read", path: disk, source })?;
                    if kind.is_file() {
                        let converter = match &mut converter {
                            Some(converter) => converter,
                            none => none.insert(self.repo.converter()?),
                        };
                        bytes = converter.to_git(&path, &bytes)?.unwrap_or(bytes);
                    }
                    if let Some(line) = conflict(&path, &bytes) {
                        faults.push(conflicted(&path, line));
                        // Judged as in the last commit: one message about the conflict is enough.
                        match self.committed(&path)? {
                            Some(entry) => patch.link(path, entry.kind, entry.id),
                            None => drop(path),
                        }
                        continue;
                    }
                    patch.link(path, kind, self.repo.stage_blob(&bytes)?);
                }
            }
        }
        Ok(Some(StagedTree { tree: self.repo.stage(None, &patch)?, files, faults }))
    }
}

/// Returns the line of the first merge conflict in a file of the registry; `None` for model files, which may contain
/// any text.
fn conflict(path: &str, bytes: &[u8]) -> Option<usize> {
    let lines = || bytes.split(|b| *b == b'\n');
    let begins = lines().position(|line| line.starts_with(b"<<<<<<< ")).filter(|_| !is_model_file(path))?;
    lines().skip(begins).any(|line| line.starts_with(b">>>>>>> ")).then_some(begins + 1)
}

fn conflicted(path: &str, line: usize) -> Fault {
    let message = "a merge left a conflict here, between the lines <<<<<<< and >>>>>>>";
    let help = if path.contains("/versions/") && path.ends_with("/version.toml") {
        "two people made a version with this number; do not mix their files: keep the one that is on the branch \
         (`git rebase --skip`, or `git merge --abort` and `git reset --keep @{upstream}`), then register yours again"
    } else {
        "keep one of the two sides, remove the marker lines and `git add` the file; or abort the merge"
    };
    let problem = Problem { line, column: 1, ..Problem::of_file(path, "conflict", message).help(help) };
    Fault { problem, class: RuleClass::Format }
}

fn is_model_file(path: &str) -> bool {
    path.contains("/versions/") && path.contains("/artifacts/")
}

/// Whether a file is too large to be read. Model files are hashed instead, whatever their size.
fn is_endless(path: &str, kind: EntryKind, disk: &Path) -> bool {
    kind.is_file() && !is_model_file(path) && std::fs::metadata(disk).is_ok_and(|m| m.len() > MAX_READ)
}

/// Whether a model file that a commit would store with Git LFS was committed directly and still has those bytes. Then
/// it is not an edit, even if a registration would store it differently.
fn is_as_committed(head: &Snapshot<'_>, path: &str, kind: EntryKind, disk: &Path) -> Result<bool, RegistryError> {
    if !kind.is_file() || !is_model_file(path) || attributes::may_be_inline(path) {
        return Ok(false);
    }
    let Some(entry) = head.entry(path.strip_prefix(head.at()).unwrap_or(path))?.filter(|e| e.kind == kind) else {
        return Ok(false);
    };
    let size = std::fs::metadata(disk).map_or(u64::MAX, |m| m.len());
    match head.objects().blob(&entry.id, MAX_READ.min(size)) {
        Ok(bytes) if bytes.len() as u64 == size => {
            let read = std::fs::read(disk);
            Ok(read.map_err(|source| GitError::Io { what: "read", path: disk.to_owned(), source })? == *bytes)
        }
        Ok(_) | Err(TreeError::TooLarge { .. }) => Ok(false),
        Err(
            e @ (TreeError::Missing(_) | TreeError::Damaged { .. } | TreeError::Io { .. } | TreeError::Vast { .. }),
        ) => Err(e.into()),
    }
}

/// Returns the bytes that a commit would store for a file: its bytes, or the pointer if it is a model file for Git LFS.
fn bytes_to_commit(path: &str, kind: EntryKind, disk: &Path) -> std::io::Result<Vec<u8>> {
    if kind == EntryKind::Symlink && disk.is_symlink() {
        return std::fs::read_link(disk).map(|to| to.as_os_str().as_encoded_bytes().to_vec());
    }
    let mut file = File::open(disk)?;
    let size = file.metadata()?.len();
    if is_model_file(path) && (size > MAX_READ || !attributes::may_be_inline(path)) {
        let mut start = Vec::new();
        std::io::Read::by_ref(&mut file).take(crate::artifact::pointer::MAX_POINTER as u64).read_to_end(&mut start)?;
        let itself = size == 0 || !matches!(Pointer::parse(&start), Ok(None));
        if itself {
            return Ok(start);
        }
        let copied = copy::hash(&mut File::open(disk)?, size, &|_| {})?;
        return Ok(Pointer { sha256: copied.sha256, size: copied.size }.to_string().into_bytes());
    }
    let mut bytes = Vec::new();
    file.take(MAX_READ).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns warnings that break no rule: files for editors from an older greenroom, environments that people should know
/// about.
fn warnings(state: &Snapshot<'_>, now: Timestamp) -> Result<Vec<Problem>, RegistryError> {
    let mut out = Vec::new();
    let for_editors = |path: &str| path == ".taplo.toml" || path.starts_with(".greenroom/schema/");
    for (path, content) in apply::companions().into_iter().filter(|(path, _)| for_editors(path)) {
        let message = match state.entry(&path)?.filter(|e| e.kind.is_file()) {
            None => "the file is missing, so editors cannot complete and check the registry's files",
            Some(e) => match state.objects().blob(&e.id, MAX_READ) {
                Ok(bytes) if bytes == content.as_bytes() => continue,
                Ok(_) | Err(_) => "the file differs from the one that this version of greenroom writes",
            },
        };
        let help = "run `greenroom schema --write` to update the file, and commit the result";
        out.push(Problem::of_file(state.full_path(&path), "schema", message).help(help));
    }
    for model in state.models()? {
        for version in model.versions()? {
            out.extend(open_though_approved(state, &model, &version, now)?);
            let Some(file) = version.file()? else { continue };
            let Some(value) = file.value else { continue };
            for finding in findings(value.model.as_ref(), value.environment.as_ref()) {
                out.push(Problem::of_file(file.path.clone(), finding.id, finding.message));
            }
        }
    }
    Ok(out)
}

/// Returns warnings for open requests of a version that have all approvals: a review that is written by hand moves
/// nothing.
fn open_though_approved(
    state: &Snapshot<'_>,
    model: &ModelView<'_>,
    version: &VersionView<'_>,
    now: Timestamp,
) -> Result<Vec<Problem>, RegistryError> {
    let mut out = Vec::new();
    let Some(name) = model.file()?.and_then(|f| f.value).map(|m| m.name) else { return Ok(out) };
    for (_, file) in version.requests()? {
        let Some(request) = file.value else { continue };
        if rules::obstacles::is_approved_and_open(state, model, (&name, version.number), &request)? {
            let message = "the request has all required approvals, but it is still open";
            let obstacles = rules::obstacles::missing(state, model, version.number, &request.to, now)?;
            let help = match obstacles.first() {
                Some(first) => format!("the version does not move yet: {first}"),
                None => format!(
                    "a review alone does not move the version; one of the approvers can complete the request: \
                     greenroom request approve '{name}' {} {}",
                    version.number, request.to
                ),
            };
            out.push(Problem::of_file(file.path, "request", message).help(help));
        }
    }
    Ok(out)
}
