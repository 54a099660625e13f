//! Law 8: a merge attributes to its branch the changes since their merge base, and nothing else.

use std::cell::Cell;
use std::collections::BTreeSet;

use greenroom::action::Action;
use greenroom::diff::diff;
use greenroom::entity::PermissionLevel;
use greenroom::entity::settings::StageRule;
use greenroom::gate::merge::three_way;
use greenroom::name::Principal;
use greenroom::rules::{Actor, BranchCommit, Proposal, StepContext, judge};
use greenroom::snapshot::Snapshot;
use greenroom::stage::Stage;
use greenroom::tree::{CompareLimits, Memory, Oid, Stage as _, changes};
use proptest::prelude::*;

use super::{act, check, model, moment, state, user};

/// The author of the branch, and the person who merges it.
const AUTHOR: &str = "dave";
const MERGER: &str = "bob";

/// The trees of a merge: the merge base, the target branch, each commit of the merged branch, and the result.
struct Merge {
    base: Oid,
    before: Oid,
    branch: Vec<Oid>,
    after: Oid,
}

/// The way the result of a merge is made.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    /// As git merges two branches.
    Clean,
    /// As the tree of the branch, whatever the other side did since.
    Theirs,
    /// As the tree of the merge base: changes of both sides are undone.
    Base,
    /// Clean, and the merge itself adds a change in the name of the branch's author.
    Edited([u8; 4]),
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let edited = any::<[u8; 4]>().prop_map(Outcome::Edited);
    prop_oneof![Just(Outcome::Clean), Just(Outcome::Theirs), Just(Outcome::Base), edited]
}

/// Applies actions chosen by the dice; returns the trees on the way.
fn line(store: &Memory, mut root: Oid, dice: &[[u8; 4]], by: &str, clock: &Cell<usize>) -> Vec<Oid> {
    let mut out = Vec::new();
    for dice in dice {
        clock.set(clock.get() + 1);
        if let Ok(next) = act(store, Some(root), &model::action(&state(store, Some(root)), *dice), by, clock.get()) {
            root = next;
            out.push(root);
        }
    }
    out
}

fn merge(store: &Memory, before: &[[u8; 4]], main: &[[u8; 4]], branch: &[[u8; 4]], how: Outcome) -> Merge {
    let clock = Cell::new(0);
    let mut root = act(store, None, &model::founding(), "alice", 0).expect("a new registry");
    if let Action::CreateRegistry { mut settings, .. } = model::founding() {
        settings.stages.insert(Stage::Production, StageRule { approvals: 1, ..StageRule::default() });
        root = act(store, Some(root), &Action::ChangeSettings { settings, seen: None }, "alice", 0).expect("a rule");
    }
    let level = PermissionLevel::CanManage;
    for name in [AUTHOR, MERGER] {
        let to = Principal::User(user(name));
        clock.set(clock.get() + 1);
        root =
            act(store, Some(root), &Action::Grant { model: None, to, level }, "alice", clock.get()).expect("a grant");
    }
    let base = line(store, root, before, "alice", &clock).last().copied().unwrap_or(root);
    let ours = line(store, base, main, "alice", &clock).last().copied().unwrap_or(base);
    let branch = line(store, base, branch, AUTHOR, &clock);
    let tip = branch.last().copied().unwrap_or(base);
    let clean = || {
        let merged = three_way(store, Some(base), Some(ours), Some(tip), &|_| true).expect("the trees are whole");
        store.stage(Some(ours), &merged.patch).expect("a tree")
    };
    let after = match how {
        Outcome::Clean => clean(),
        Outcome::Theirs => tip,
        Outcome::Base => base,
        Outcome::Edited(dice) => {
            clock.set(clock.get() + 1);
            // The result of a merge need not be a valid registry; each of its sides is one.
            let action = model::action(&state(store, Some(ours)), dice);
            let root = clean();
            act(store, Some(root), &action, AUTHOR, clock.get()).unwrap_or(root)
        }
    };
    Merge { base, before: ours, branch, after }
}

/// The rules that a merge breaks, and the paths, with the branch proven or not.
fn faults(store: &Memory, merge: &Merge, is_proven: bool) -> BTreeSet<(&'static str, String)> {
    let state = |root: Oid| Snapshot::new(store, Some(root), "").expect("a state in memory");
    let (before, after) = (state(merge.before), state(merge.after));
    let diff = diff(&before, &after, CompareLimits::default()).expect("the trees are whole");
    let proven_authors = if is_proven { [user(AUTHOR)].into() } else { BTreeSet::new() };
    let actor = Actor { authors: [user(AUTHOR)].into(), proven_authors, ..Actor::of(user(MERGER)) };
    let parents = std::iter::once(merge.base).chain(merge.branch.iter().copied());
    let commit = |(parent, tree): (Oid, &Oid)| BranchCommit {
        author: Some(user(AUTHOR)),
        is_proven,
        parents: vec![parent],
        tree: *tree,
    };
    let commits = parents.zip(&merge.branch).map(commit).collect();
    let tip = merge.branch.last().copied().unwrap_or(merge.base);
    let proposal = Proposal::new(state(merge.base), state(tip), commits);
    let mut step = StepContext::new(&before, &after, &diff, &actor, moment(10_000));
    step.proposal = Some(&proposal);
    let verdict = judge(&step).expect("the trees are whole");
    verdict.faults.into_iter().map(|f| (f.problem.rule, f.problem.path)).collect()
}

fn changed(store: &Memory, one: Oid, other: Oid) -> BTreeSet<String> {
    let files =
        changes((store, Some(one)), (store, Some(other)), CompareLimits::default()).expect("the trees are whole");
    files.into_iter().map(|f| f.path).collect()
}

#[test]
fn a_creator_who_gives_the_grant_up_on_the_branch_is_not_robbed_by_the_merge() {
    let store = Memory::default();
    let branch = [[33, 25, 0, 0], [237, 94, 0, 45]];
    let merge = merge(&store, &[[132, 107, 0, 15]], &[], &branch, Outcome::Clean);
    let (proven, claimed) = (faults(&store, &merge, true), faults(&store, &merge, false));
    assert!(proven.is_subset(&claimed), "{proven:?}, {claimed:?}");
}

#[test]
fn law_8_a_merge_attributes_to_its_branch_only_what_the_branch_changed() {
    let dice = |most| proptest::collection::vec(any::<[u8; 4]>(), 0..most);
    let (helped, alone) = (Cell::new(0), Cell::new(0));
    check(400, (dice(25), dice(12), dice(12), outcome()), |(before, main, branch, how)| {
        let store = Memory::default();
        let merge = merge(&store, &before, &main, &branch, how);
        let (proven, claimed) = (faults(&store, &merge, true), faults(&store, &merge, false));
        // A proof removes faults, and adds none.
        prop_assert!(proven.is_subset(&claimed), "{:?}", proven.difference(&claimed).collect::<Vec<_>>());
        let tip = merge.branch.last().copied().unwrap_or(merge.base);
        let (own, landed) = (changed(&store, merge.base, tip), changed(&store, merge.before, merge.after));
        for (rule, path) in claimed.difference(&proven) {
            prop_assert!(
                own.contains(path) && landed.contains(path),
                "{} {} is not the branch's: {:?}",
                rule,
                path,
                how
            );
            helped.set(helped.get() + 1);
        }
        // A change outside of the branch that names its author is refused, whatever is proven.
        let names = |(rule, path): &&(&str, String)| *rule == "author" && !own.contains(path);
        prop_assert_eq!(claimed.iter().filter(names).count(), proven.iter().filter(names).count());
        alone.set(alone.get() + proven.iter().filter(names).count());
        Ok(())
    });
    assert!(helped.get() > 50 && alone.get() > 5, "{} and {} are too few to show anything", helped.get(), alone.get());
}
