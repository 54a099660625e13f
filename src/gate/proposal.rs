//! The branch that a merge adds, in the form that the rules need: its only merge base, its tip, and each of its
//! commits.

use std::collections::BTreeMap;

use crate::authority::Contribution;
use crate::git::{GitError, Repo};
use crate::rules::{BranchCommit, Proposal};
use crate::snapshot::{Finder, Snapshot};
use crate::tree::Oid;

/// Reads the branch that ends in `tip` and is merged into `onto`; `commits` are the commits that it adds. The registry is
/// the one of the state `now`, in any folder.
///
/// Returns `None` if the changes of the branch are not certain: there is no merge base, or there are several. Then the
/// whole merge counts as a change of the person who merges.
///
/// # Errors
/// [`GitError::Shallow`] if the clone ends before the merge base.
pub(super) fn read<'r>(
    repo: &'r Repo,
    now: &Snapshot<'_>,
    (onto, tip): (Oid, Oid),
    commits: &[Contribution],
) -> Result<Option<Proposal<'r>>, GitError> {
    if commits.is_empty() {
        return Ok(None);
    }
    let [base] = repo.merge_bases(&onto, &tip)?[..] else { return Ok(None) };
    let trees: BTreeMap<Oid, Oid> = commits.iter().map(|c| (c.commit, c.tree)).collect();
    let tree = |id: &Oid| trees.get(id).map_or_else(|| repo.tree_of(id), |tree| Ok(*tree));
    let mut branch = Vec::with_capacity(commits.len());
    for Contribution { person, proven, tree: root, parents, .. } in commits {
        let parents = parents.iter().map(tree).collect::<Result<_, _>>()?;
        branch.push(BranchCommit { author: person.clone(), is_proven: *proven, parents, tree: *root });
    }
    let (id, finder) = (now.id()?, Finder::default());
    let state = |commit: &Oid| Ok::<_, GitError>(Snapshot::follow(repo, Some(tree(commit)?), now.at(), (id, &finder))?);
    Ok(Some(Proposal::new(state(&base)?, state(&tip)?, branch)))
}
