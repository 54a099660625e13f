//! Where a new protected branch may begin, and which release references follow it.

use super::world::{ALICE, BOB, CAROL, World};
use super::{lands, refused};

fn world() -> World {
    let world = World::new();
    world.protect("release/*");
    world.limit("release", "refs/tags/v*");
    world.limit("release", "prod");
    world
}

#[test]
fn a_history_of_ones_own_is_no_protected_branch() {
    let world = world();
    for person in [ALICE, BOB, CAROL] {
        world.git(person, &["checkout", "-qf", "main"]);
        world.git(person, &["checkout", "-q", "--orphan", &format!("own-{}", person.0)]);
        world.edit(person, "access.toml", "grants = [{ to = \"alice\", level = \"CAN_MANAGE\" }]\n");
        let judged = world.push_to(person, "refs/heads/release/1");
        refused(&judged, &["ref-begin"]);
        assert!(judged.render().contains("does not begin at a step of a protected branch"), "{}", judged.render());
    }
}

#[test]
fn an_older_step_gives_no_rights_back() {
    let world = world();
    let then = world.tip();
    world.act(CAROL, &["access", "revoke", "bob"]);
    world.landed();
    world.git(BOB, &["checkout", "-q", &then]);
    let judged = world.push_to(BOB, "refs/heads/release/1");
    refused(&judged, &["ref-begin"]);
    assert!(judged.render().contains("it needs CAN_MANAGE on the registry"), "{}", judged.render());
    // Before `authority` was `pusher` and Production had a rule, no other person was needed.
    world.git(BOB, &["checkout", "-q", "main~3"]);
    world.edit(BOB, "models/churn/stages/Production.toml", "versions = [1]\n");
    refused(&world.push_to(BOB, "refs/heads/release/1"), &["ref-begin"]);
    refused(&world.push_to(ALICE, "refs/heads/release/1"), &["ref-begin"]);
}

#[test]
fn who_manages_the_registry_begins_a_branch_at_an_older_step_and_anybody_at_the_newest() {
    let world = world();
    let then = world.tip();
    world.act(BOB, &["comment", "add", "churn", "1", "on main"]);
    world.landed();
    world.git(CAROL, &["switch", "-qc", "older", &then]);
    lands(&world.push_to(CAROL, "refs/heads/release/1"));
    world.act(CAROL, &["comment", "add", "churn", "1", "on the release"]);
    lands(&world.push_to(CAROL, "refs/heads/release/1"));
    world.git(ALICE, &["checkout", "-q", "main"]);
    world.act(ALICE, &["comment", "add", "churn", "1", "on another"]);
    lands(&world.push_to(ALICE, "refs/heads/release/2"));
    world.edit(ALICE, "models/churn/stages/Staging.toml", "versions = [1]\n");
    refused(&world.push_to(ALICE, "refs/heads/release/2"), &["permission"]);
}

#[test]
fn a_branch_may_begin_at_the_newest_step_of_a_branch_that_a_pattern_protects() {
    let world = world();
    world.git(CAROL, &["checkout", "-q", "-b", "release/1"]);
    world.act(CAROL, &["comment", "add", "churn", "1", "on the release"]);
    world.git(BOB, &["checkout", "-q", "-b", "hotfix"]);
    world.act(BOB, &["comment", "add", "churn", "1", "a hotfix"]);
    let judged = world.push_to(BOB, "refs/heads/release/2");
    lands(&judged);
    assert_eq!(judged.steps.len(), 1, "the steps of the other branch were judged there");
}

#[test]
fn a_commit_of_a_merged_side_branch_is_judged_as_a_step() {
    let world = world();
    world.git(ALICE, &["switch", "-qc", "side"]);
    world.edit(ALICE, "models/churn/stages/Staging.toml", "versions = [1]\n");
    world.git(BOB, &["switch", "-q", "main"]);
    world.git(BOB, &["merge", "-q", "--no-ff", "-m", "merge it", "side"]);
    world.landed();
    world.git(ALICE, &["switch", "-q", "side"]);
    refused(&world.push_to(BOB, "refs/heads/release/1"), &["ref-begin"]);
    refused(&world.push_to(CAROL, "refs/heads/release/1"), &["committer"]);
}

#[test]
fn only_the_first_branch_of_an_empty_repository_begins_with_its_root() {
    let world = world();
    let new = world.tip();
    lands(&world.push_into_empty(CAROL, &[("refs/heads/release/1", &new), ("refs/heads/main", &new)]));
    world.git(CAROL, &["checkout", "-q", "--orphan", "other"]);
    world.git(CAROL, &["commit", "-qm", "another history"]);
    let other = world.tip();
    let judged = world.push_into_empty(CAROL, &[("refs/heads/release/1", &other), ("refs/heads/main", &new)]);
    refused(&judged, &["ref-begin"]);
}

#[test]
fn release_references_name_steps_of_branches_that_a_pattern_protects() {
    let world = world();
    world.git(CAROL, &["checkout", "-q", "-b", "release/1"]);
    world.act(CAROL, &["comment", "add", "churn", "1", "on the release"]);
    lands(&world.push_to(BOB, "refs/tags/v1"));
    lands(&world.push_to(BOB, "refs/heads/prod"));
    world.git(CAROL, &["checkout", "-q", "-b", "work"]);
    world.act(CAROL, &["comment", "add", "churn", "1", "not landed"]);
    refused(&world.push_to(BOB, "refs/tags/v1"), &["ref-release"]);
}

#[test]
fn a_name_like_a_release_reference_is_taken_from_nobody() {
    let world = world();
    for name in ["refs/heads/Prod", "refs/tags/V1", "refs/heads/prod/x", "refs/tags/prod"] {
        refused(&world.push_to(ALICE, name), &["ref-name"]);
    }
    // A reference from before: the refusal says how the name becomes free.
    world.git(ALICE, &["branch", "Prod"]);
    let judged = world.push_to(BOB, "refs/heads/prod");
    refused(&judged, &["ref-name"]);
    assert!(judged.render().contains("git push REMOTE --delete refs/heads/Prod"), "{}", judged.render());
}
