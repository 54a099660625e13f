//! History: the first-parent history, its commit as of a time, and the commits that are new to a branch.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use super::{GitError, Repo, oid};
use crate::time::Timestamp;
use crate::tree::{Oid, TreeError};

/// Times from this one on are not trusted in a commit-graph: it stores 34 bits, and truncates negative and larger
/// values.
const GRAPH_TIME: i64 = 1 << 33;

/// One commit of the first-parent history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The id of the commit.
    pub commit: Oid,
    /// The id of the root tree.
    pub tree: Oid,
    /// The commit before it in this history; `None` for the first.
    pub parent: Option<Oid>,
    /// The committer's time, as a whole second; [`Repo::time_of`] returns milliseconds.
    pub time: Timestamp,
}

/// Iterates over the first-parent history, newest first. Ends with an error at the end of a shallow clone.
pub struct Walk<'r> {
    repo: &'r Repo,
    graph: Option<gix::commitgraph::Graph>,
    cut: Vec<Oid>,
    next: Option<Oid>,
    from_cut: bool,
}

impl std::fmt::Debug for Walk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Repo {
    /// Iterates over the commits from `tip` back along first parents. Uses git's commit-graph if there is one.
    ///
    /// # Errors
    /// [`GitError::Git`] if the list of shallow commits is unreadable. The iterator yields [`GitError::Shallow`] and
    /// read errors.
    pub fn first_parents(&self, tip: Oid) -> Result<Walk<'_>, GitError> {
        let graph = self.inner.commit_graph_if_enabled().ok().flatten();
        self.walk(tip, graph)
    }

    /// Like [`Self::first_parents`], but reads each commit and checks it against its id: for an audit.
    ///
    /// # Errors
    /// The same as [`Self::first_parents`].
    pub fn first_parents_checked(&self, tip: Oid) -> Result<Walk<'_>, GitError> {
        self.walk(tip, None)
    }

    fn walk(&self, tip: Oid, graph: Option<gix::commitgraph::Graph>) -> Result<Walk<'_>, GitError> {
        let cut = self.cut_commits()?;
        Ok(Walk { repo: self, graph, cut, next: Some(tip), from_cut: false })
    }

    /// Returns the newest commit in the first-parent history of `tip` as of `time`; `None` if there was none yet.
    ///
    /// A commit counts from the latest of its own and all earlier committer times on. So a clock that was wrong once
    /// changes the answer for that moment only. Reads the whole history.
    ///
    /// # Errors
    /// [`GitError::Shallow`] in a shallow clone; else [`GitError`] if a commit is unreadable.
    pub fn landed_at(&self, tip: Oid, time: Timestamp) -> Result<Option<Oid>, GitError> {
        let mut newest = None;
        for step in self.first_parents(tip)? {
            let step = step?;
            // Within the second in question the commit itself has the exact time.
            let is_close = step.time.as_seconds() == time.as_seconds();
            let own = if is_close { self.time_of(&step.commit)? } else { step.time };
            newest = if own > time { None } else { newest.or(Some(step.commit)) };
        }
        Ok(newest)
    }

    /// Returns the commits that are reachable from `tip` and from none of `known`, newest first; `None` if there are
    /// more than `max`.
    ///
    /// `known` commits that do not exist are an error. The cost depends on the number of new commits, not on the length
    /// of the history. As in git, commits are read by time, newest first, until all remaining commits are known. If
    /// clocks were wrong, the result may contain known commits; it never lacks a new commit.
    ///
    /// # Errors
    /// [`GitError::Object`] if a commit is missing or unreadable.
    pub fn new_commits(&self, tip: Oid, known: &[Oid], max: usize) -> Result<Option<Vec<Oid>>, GitError> {
        let mut paint = Paint { cut: self.cut_commits()?.into_iter().collect(), ..Paint::default() };
        paint.put(self, tip, false)?;
        for commit in known {
            paint.put(self, *commit, true)?;
        }
        let mut found = Vec::new();
        let mut oldest = None;
        // Known commits that are as old as the found ones may lead to them: many commits can have the same second.
        while paint.unknown > 0 || paint.queue.peek().is_some_and(|(time, _)| oldest.is_some_and(|o| *time >= o)) {
            let Some((time, commit)) = paint.queue.pop() else { break };
            let Some((is_known, parents)) = paint.take(&commit) else { continue };
            if !is_known {
                found.push(commit);
                oldest = Some(oldest.map_or(time, |o: Timestamp| o.min(time)));
                // Some of these may still turn out to be known.
                if found.len() > max.saturating_mul(2).saturating_add(64) {
                    return Ok(None);
                }
            }
            for parent in parents {
                paint.put(self, parent, is_known)?;
            }
        }
        found.retain(|c| !paint.is_known(c));
        Ok(Some(found).filter(|f| f.len() <= max))
    }
}

impl Repo {
    /// Returns the best common ancestors of two commits: none for unrelated histories, several after criss-cross
    /// merges.
    ///
    /// # Errors
    /// [`GitError::Shallow`] if there is none and the clone is shallow; [`GitError::Object`] if a commit is missing.
    pub fn merge_bases(&self, one: &Oid, other: &Oid) -> Result<Vec<Oid>, GitError> {
        let id = |o: &Oid| self.id(o).ok_or(TreeError::Missing(*o));
        let (one, other) = (id(one)?, id(other)?);
        let found: Vec<Oid> = match self.inner.merge_bases_many(one, &[other]) {
            Ok(found) => found.into_iter().map(|id| oid(id.detach())).collect(),
            // The library does not read commits with odd headers. If the cause is another one, it shows again here.
            Err(_) => self.best_common(oid(one), oid(other))?,
        };
        if found.is_empty() && self.is_shallow()? {
            return Err(GitError::Shallow);
        }
        Ok(found)
    }

    /// Returns the common ancestors that are not ancestors of another common ancestor. Reads both histories completely.
    pub(super) fn best_common(&self, one: Oid, other: Oid) -> Result<Vec<Oid>, GitError> {
        let cut: BTreeSet<Oid> = self.cut_commits()?.into_iter().collect();
        let mut known: HashMap<Oid, Vec<Oid>> = HashMap::new();
        let mut ancestors = |tip: Oid| -> Result<BTreeSet<Oid>, GitError> {
            let (mut seen, mut todo) = (BTreeSet::new(), vec![tip]);
            while let Some(commit) = todo.pop() {
                if !seen.insert(commit) {
                    continue;
                }
                let parents = match known.entry(commit) {
                    Entry::Occupied(met) => met.into_mut(),
                    Entry::Vacant(new) if cut.contains(&commit) => new.insert(Vec::new()),
                    Entry::Vacant(new) => new.insert(self.lead(&commit)?.1),
                };
                todo.extend(parents.iter().copied());
            }
            Ok(seen)
        };
        let of_one = ancestors(one)?;
        let common: BTreeSet<Oid> = ancestors(other)?.intersection(&of_one).copied().collect();
        // An ancestor of a common ancestor is also a parent of one.
        let behind: BTreeSet<Oid> = common.iter().filter_map(|c| known.get(c)).flatten().copied().collect();
        Ok(common.difference(&behind).copied().collect())
    }

    /// Returns the commits whose parents a shallow clone left out.
    ///
    /// # Errors
    /// [`GitError::Git`] if the list of shallow commits is unreadable.
    pub fn cut_commits(&self) -> Result<Vec<Oid>, GitError> {
        let cut = self.inner.shallow_commits().map_err(|e| GitError::git("read which commits are shallow", e))?;
        Ok(cut.map(|c| c.iter().map(oid).collect()).unwrap_or_default())
    }
}

impl Repo {
    /// Returns the same commits as [`Self::new_commits`], each after its parents.
    ///
    /// # Errors
    /// The same as [`Self::new_commits`].
    pub fn new_commits_oldest_first(&self, tip: Oid, known: &[Oid], max: usize) -> Result<Option<Vec<Oid>>, GitError> {
        let Some(found) = self.new_commits(tip, known, max)? else { return Ok(None) };
        let new: BTreeSet<Oid> = found.iter().copied().collect();
        let (mut out, mut seen) = (Vec::with_capacity(found.len()), BTreeSet::new());
        // Depth first without recursion: a commit is listed when it is popped again after its parents.
        let mut stack = vec![(tip, false)];
        while let Some((commit, parents_done)) = stack.pop() {
            if parents_done {
                out.push(commit);
            } else if new.contains(&commit) && seen.insert(commit) {
                stack.push((commit, true));
                stack.extend(self.commit(&commit)?.parents.into_iter().map(|p| (p, false)));
            }
        }
        Ok(Some(out))
    }
}

/// The state of [`Repo::new_commits`]: commits that are known, and commits that are not known or not yet.
#[derive(Default)]
struct Paint {
    /// The commits at the end of a shallow clone, whose parents are not available.
    cut: BTreeSet<Oid>,
    queue: BinaryHeap<(Timestamp, Oid)>,
    seen: HashMap<Oid, SeenCommit>,
    /// How many commits in the queue are not known.
    unknown: usize,
}

/// A commit that was visited.
struct SeenCommit {
    known: bool,
    waits: bool,
    time: Timestamp,
    parents: Vec<Oid>,
}

impl Paint {
    /// Queues a commit, or marks it as known if it was visited before.
    fn put(&mut self, repo: &Repo, commit: Oid, known: bool) -> Result<(), GitError> {
        match self.seen.get_mut(&commit) {
            None => {
                let (_, parents, time) = repo.lead(&commit)?;
                let parents = if self.cut.contains(&commit) { Vec::new() } else { parents };
                self.queue.push((time, commit));
                self.unknown += usize::from(!known);
                self.seen.insert(commit, SeenCommit { known, waits: true, time, parents });
            }
            Some(seen) if known && !seen.known => {
                seen.known = true;
                if seen.waits {
                    self.unknown -= 1;
                } else {
                    // Visited too early because of a wrong clock: the commits behind it are known as well.
                    seen.waits = true;
                    self.queue.push((seen.time, commit));
                }
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Takes a commit out of the queue. Returns whether it is known, and its parents.
    fn take(&mut self, commit: &Oid) -> Option<(bool, Vec<Oid>)> {
        let seen = self.seen.get_mut(commit).filter(|s| s.waits)?;
        seen.waits = false;
        self.unknown -= usize::from(!seen.known);
        Some((seen.known, seen.parents.clone()))
    }

    fn is_known(&self, commit: &Oid) -> bool {
        self.seen.get(commit).is_some_and(|s| s.known)
    }
}

impl Walk<'_> {
    fn step(&self, commit: Oid) -> Result<Step, GitError> {
        let id = self.repo.id(&commit).ok_or(TreeError::Missing(commit))?;
        let known = self.graph.as_ref().and_then(|g| Some((g, g.commit_by_id(id)?)));
        if let Some((graph, c)) = known {
            let damaged = |e: gix::Error| GitError::git("read the commit-graph; run `git commit-graph write`", e);
            let parent = c.parent1().map_err(damaged)?.map(|p| oid(graph.id_at(p)));
            // The commit-graph truncates a time that does not fit.
            if let Some(seconds) = i64::try_from(c.committer_timestamp()).ok().filter(|s| *s < GRAPH_TIME) {
                return Ok(Step {
                    commit,
                    tree: oid(c.root_tree_id()),
                    parent,
                    time: Timestamp::from_seconds(seconds),
                });
            }
        }
        let (tree, parents, time) = self.repo.lead(&commit)?;
        Ok(Step { commit, tree, parent: parents.first().copied(), time })
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Step, GitError>;

    fn next(&mut self) -> Option<Self::Item> {
        let commit = self.next.take()?;
        if self.from_cut {
            return Some(Err(GitError::Shallow));
        }
        let step = self.step(commit);
        if let Ok(step) = &step {
            self.from_cut = self.cut.contains(&commit);
            self.next = step.parent;
        }
        Some(step)
    }
}
