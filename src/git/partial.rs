//! Partial clones: clones without some objects, which the remote promised to serve, and how these objects are fetched.
//!
//! Git fetches such objects one by one when they are read; the git library does not. So this module lets the git
//! program list all objects that the registry's history lacks, and fetches them at once.

use std::path::PathBuf;

use super::{GitError, Repo, program};
use crate::tree::{Oid, TreeError};

/// The file in greenroom's folder that lists the commits whose objects are all present.
const COMPLETE: &str = "complete";

/// The largest such file that is read, in bytes.
const MAX_COMPLETE: u64 = 64 << 10;

impl Repo {
    /// Returns the remote that promised the missing objects of this clone; `None` if the clone is not partial.
    pub fn promisor(&self) -> Option<String> {
        let settings = self.inner.config_snapshot();
        let mut sections = settings.plumbing().sections_by_name("remote").into_iter().flatten();
        let promises = |name: &str| settings.boolean(format!("remote.{name}.promisor").as_str()) == Some(true);
        let named = sections.find_map(|s| {
            let name = s.header().subsection_name()?.to_string();
            promises(&name).then_some(name)
        });
        named.or_else(|| self.own_setting("extensions.partialClone"))
    }

    /// Lists the missing objects that these commits need and `known` commits do not, in a folder or everywhere. `at` is
    /// empty (everywhere) or ends in a slash.
    ///
    /// # Errors
    /// [`GitError::Git`] if the git program fails.
    pub fn left_out(&self, commits: &[Oid], known: &[Oid], at: &str) -> Result<Vec<Oid>, GitError> {
        let mut words = vec!["rev-list".to_owned(), "--objects".into(), "--missing=print".into()];
        words.extend(commits.iter().map(Oid::to_string));
        words.extend(known.iter().map(|c| format!("^{c}")));
        let limited = [words.as_slice(), &["--".to_owned(), at.to_owned()]].concat();
        // If folders are missing too, git can only list all objects.
        let listed = if at.is_empty() { None } else { self.git_program(&limited, &[]).ok() };
        let listed = match listed {
            Some(listed) => listed,
            None => self.git_program(&words, &[]).map_err(|why| GitError::Git {
                what: "list the objects that this partial clone left out".to_owned(),
                source: why.into(),
            })?,
        };
        let listed = String::from_utf8_lossy(&listed);
        Ok(listed.lines().filter_map(|line| Oid::from_hex(line.strip_prefix('?')?.trim())).collect())
    }

    /// Fetches the objects that the history of `commits` lacks, unless an earlier call fetched them. Returns how many
    /// objects were fetched.
    ///
    /// # Errors
    /// [`GitError::Partial`] if the fetch fails or `GIT_NO_LAZY_FETCH` forbids it; [`TreeError::Missing`] if the remote
    /// lacks an object.
    pub fn fetch_left_out(&self, remote: &str, commits: &[Oid], at: &str) -> Result<usize, GitError> {
        let complete = self.complete();
        let known: Vec<Oid> = complete.iter().copied().filter(|c| self.has(c)).collect();
        if commits.iter().all(|c| known.contains(c)) {
            return Ok(0);
        }
        let failed = |missing: usize, why: String| GitError::Partial { remote: remote.to_owned(), missing, why };
        let mut missing = self.left_out(commits, &known, at)?;
        let mut fetched = 0;
        while !missing.is_empty() {
            if std::env::var_os("GIT_NO_LAZY_FETCH").is_some_and(|v| v != "0") {
                return Err(failed(missing.len(), "GIT_NO_LAZY_FETCH forbids to fetch".to_owned()));
            }
            // The options are those of git's own lazy fetch. Without negotiation: with it, the remote would again leave
            // out objects that the present commits need. With a filter: without it, git checks that all objects
            // reachable from the fetched ones are present. Fetching a folder brings its subfolders; the next round
            // lists their files.
            let fetch = [
                "-c",
                "fetch.negotiationAlgorithm=noop",
                "fetch",
                "--quiet",
                "--filter=blob:none",
                "--no-tags",
                "--no-write-fetch-head",
                "--recurse-submodules=no",
                "--stdin",
                "--end-of-options",
                remote,
            ];
            let ids: String = missing.iter().map(|id| format!("{id}\n")).collect();
            self.git_program(&fetch.map(str::to_owned), ids.as_bytes()).map_err(|why| failed(missing.len(), why))?;
            fetched += missing.len();
            let left = self.left_out(commits, &known, at)?;
            let asked: std::collections::BTreeSet<Oid> = missing.iter().copied().collect();
            // Objects that were requested and are still missing do not exist on the remote.
            if let Some(gone) = left.iter().find(|id| asked.contains(id)) {
                return Err(TreeError::Missing(*gone).into());
            }
            missing = left;
        }
        let text: String = commits.iter().map(|c| format!("{c}\n")).collect();
        let folder = self.common_dir().join("greenroom");
        // Without this note the next run checks again.
        let _ = self.make_state_dir(&folder).and_then(|()| {
            std::fs::write(self.complete_file(), text).map_err(|e| GitError::io("write", self.complete_file(), e))
        });
        Ok(fetched)
    }

    fn complete_file(&self) -> PathBuf {
        self.common_dir().join("greenroom").join(COMPLETE)
    }

    /// Reads the noted commits whose objects are all present.
    fn complete(&self) -> Vec<Oid> {
        use std::io::Read as _;
        let mut text = String::new();
        let read =
            std::fs::File::open(self.complete_file()).and_then(|f| f.take(MAX_COMPLETE).read_to_string(&mut text));
        if read.is_err() { Vec::new() } else { text.lines().filter_map(Oid::from_hex).collect() }
    }

    /// Runs the git program on this repository, named by its git folder.
    fn git_program(&self, words: &[String], input: &[u8]) -> Result<Vec<u8>, String> {
        let dir = format!("--git-dir={}", self.git_dir().to_str().ok_or("the path of the repository is not UTF-8")?);
        program::run_with_input(
            self.common_dir(),
            std::iter::once(dir.as_str()).chain(words.iter().map(String::as_str)),
            input,
        )
    }
}
