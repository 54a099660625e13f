//! The commits that are new to a branch, by our walk and by git's own.

use std::collections::BTreeSet;

use greenroom::git::Repo;
use greenroom::tree::Oid;

use crate::support::Sandbox;

/// Pseudo-random numbers, the same on each run.
fn dice(state: &mut u64, n: usize) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).expect("31 bits") % n.max(1)
}

/// Makes a history with many branches and merges, with `together` commits at one time; with `skew` some clocks are
/// wrong. Returns its commits.
fn history(sandbox: &Sandbox, state: &mut u64, together: usize, skew: bool) -> Vec<String> {
    sandbox.git(["init", "-q", "r"]).success();
    let shell = sandbox.alice().within("r");
    let tree = shell.git(["mktree"]).success().stdout().trim().to_owned();
    let mut commits: Vec<String> = Vec::new();
    for n in 0..60_usize {
        let mut args = vec!["commit-tree".to_owned(), tree.clone(), "-m".to_owned(), n.to_string()];
        let mut parents = BTreeSet::new();
        for _ in 0..=dice(state, 2) {
            if let Some(parent) = commits.len().checked_sub(1 + dice(state, 8.min(commits.len()))) {
                parents.insert(commits[parent].clone());
            }
        }
        parents.into_iter().for_each(|p| args.extend(["-p".to_owned(), p]));
        let wrong = if skew && dice(state, 5) == 0 { 5_000 + dice(state, 9_000) } else { 0 };
        let at = format!("{} +0000", 1_750_000_000 + n / together * 60 - wrong);
        commits.push(shell.clone().at(&at).git(args).success().stdout().trim().to_owned());
    }
    commits
}

#[test]
fn what_is_new_is_what_git_says() {
    // Distinct times, many commits within one second, and wrong clocks.
    for (seed, together, skew) in [(1_u64, 1, false), (2, 20, false), (3, 1, true)] {
        let (sandbox, mut state) = (Sandbox::new(), seed);
        let commits = history(&sandbox, &mut state, together, skew);
        let repo = Repo::open(&sandbox.path("r")).expect("a repository");
        for _ in 0..40 {
            let (tip, old) = (&commits[dice(&mut state, 60)], &commits[dice(&mut state, 60)]);
            let shell = sandbox.alice().within("r");
            let listed = shell.git(["rev-list", tip, &format!("^{old}")]).success();
            let wanted: BTreeSet<Oid> = listed.stdout().lines().filter_map(Oid::from_hex).collect();
            let id = |hex: &str| Oid::from_hex(hex).expect("an id");
            let found = repo.new_commits(id(tip), &[id(old)], 1_000).expect("it is whole").expect("few");
            let found: BTreeSet<Oid> = found.into_iter().collect();
            assert!(found.is_superset(&wanted), "{tip} ^{old}: one that is new lacks");
            // If clocks never go back, the walk returns no other commit.
            assert!(skew || found == wanted, "{tip} ^{old}");
            let ordered = repo.new_commits_oldest_first(id(tip), &[id(old)], 1_000).expect("whole").expect("few");
            for (at, commit) in ordered.iter().enumerate() {
                let parents = repo.commit(commit).expect("it is there").parents;
                let later = ordered.iter().skip(at).any(|c| parents.contains(c));
                assert!(!later, "a parent comes after its child");
            }
        }
    }
}
