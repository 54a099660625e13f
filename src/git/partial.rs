//! Partial clones: a clone that left objects out, which its remote promised to give, and how they are fetched.
//!
//! Git fetches such objects one by one when they are read; the git library does not. So the git program lists all that
//! the registry's history lacks, and fetches them at once.

use std::path::PathBuf;

use super::{GitError, Repo, program};
use crate::tree::{Oid, TreeError};

/// The file, in greenroom's folder, that names the commits whose objects are all here.
const COMPLETE: &str = "complete";

/// The largest such file that is read, in bytes.
const MAX_COMPLETE: u64 = 64 << 10;

impl Repo {
    /// The remote that promised the objects that this clone left out; none if it left none out.
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

    /// The objects that these commits need and that are not here, of a folder (empty, or ending in a slash) or of all.
    pub fn left_out(&self, commits: &[Oid], known: &[Oid], at: &str) -> Result<Vec<Oid>, GitError> {
        let mut words = vec!["rev-list".to_owned(), "--objects".into(), "--missing=print".into()];
        words.extend(commits.iter().map(Oid::to_string));
        words.extend(known.iter().map(|c| format!("^{c}")));
        let limited = [words.as_slice(), &["--".to_owned(), at.to_owned()]].concat();
        // Where folders are missing, too, only all can be listed.
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

    /// Fetches what the history of `commits` lacks, as far as it was not fetched before. Gives how many objects came.
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
            // As git itself fetches what a partial clone lacks: without a negotiation, in which the remote would leave out
            // again what the commits that are here need; and with a filter, since otherwise git asks whether all that the
            // objects lead to is here now. Of folders come the folders in them; their files are listed then.
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
            // What was asked for and is still not here will not come.
            if let Some(gone) = left.iter().find(|id| asked.contains(id)) {
                return Err(TreeError::Missing(*gone).into());
            }
            missing = left;
        }
        let text: String = commits.iter().map(|c| format!("{c}\n")).collect();
        let folder = self.common_dir().join("greenroom");
        // Without the note the next run looks again.
        let _ = self.make_state_dir(&folder).and_then(|()| {
            std::fs::write(self.complete_file(), text).map_err(|e| GitError::io("write", self.complete_file(), e))
        });
        Ok(fetched)
    }

    fn complete_file(&self) -> PathBuf {
        self.common_dir().join("greenroom").join(COMPLETE)
    }

    /// The commits whose objects are all here, as was noted.
    fn complete(&self) -> Vec<Oid> {
        use std::io::Read as _;
        let mut text = String::new();
        let read =
            std::fs::File::open(self.complete_file()).and_then(|f| f.take(MAX_COMPLETE).read_to_string(&mut text));
        if read.is_err() { Vec::new() } else { text.lines().filter_map(Oid::from_hex).collect() }
    }

    /// Asks the git program about this repository, named by its folder.
    fn git_program(&self, words: &[String], input: &[u8]) -> Result<Vec<u8>, String> {
        let dir = format!("--git-dir={}", self.git_dir().to_str().ok_or("the path of the repository is not UTF-8")?);
        program::tell(self.common_dir(), std::iter::once(dir.as_str()).chain(words.iter().map(String::as_str)), input)
    }
}
