//! What a merge may attribute to the authors of its branch: their changes since the merge base, and nothing else.

use super::world::{ALICE, BOB, CAROL, World};
use super::{lands, refused};

const PRODUCTION: &str = "models/churn/stages/Production.toml";
const COMMENTS: &str = "models/churn/versions/1/comments";
const ARCHIVED: &str = "models/churn/stages/Archived.toml";

/// Starts a branch of Alice's at main.
fn branch(world: &World) {
    world.git(ALICE, &["checkout", "-q", "-b", "request", "main"]);
}

/// Bob goes back to main and merges the branch.
fn merge(world: &World, more: &[&str]) {
    world.git(BOB, &["checkout", "-q", "main"]);
    world.git(BOB, &[&["merge", "-q", "--no-ff", "--no-edit"], more, &["request"]].concat());
}

/// Bob commits a comment in Alice's name, which greenroom itself would refuse.
fn forge_comment(world: &World, text: &str) {
    let known = world.files(COMMENTS);
    world.act(ALICE, &["comment", "add", "churn", "1", text]);
    let path = world.files(COMMENTS).into_iter().find(|path| !known.contains(path)).expect("a comment");
    let written = world.read(&path);
    world.git(BOB, &["reset", "-q", "--hard", "HEAD~1"]);
    world.forge_edit(BOB, ALICE, &path, &written);
}

/// Moves version 1 to Production by a request and archives it again; returns the commit where it was in Production.
fn once_in_production(world: &World) -> String {
    world.act(ALICE, &["request", "create", "churn", "1", "Production"]);
    world.act(BOB, &["request", "approve", "churn", "1"]);
    let there = world.tip();
    world.act(CAROL, &["transition", "churn", "1", "Archived"]);
    world.landed();
    there
}

#[test]
fn a_stale_branch_does_not_ask_for_what_it_held_when_it_began() {
    let world = World::new();
    let then = once_in_production(&world);
    // Alice's branch begins where the version was in Production, and only comments.
    world.git(ALICE, &["checkout", "-q", "-b", "request", &then]);
    world.act(ALICE, &["comment", "add", "churn", "1", "still good"]);
    world.recorded(ALICE, "refs/heads/request");
    // Bob merges it and takes the tree of the branch for the stages.
    world.git(BOB, &["checkout", "-q", "main"]);
    world.git(BOB, &["merge", "-q", "--no-ff", "--no-commit", "request"]);
    world.git(BOB, &["checkout", "-q", "request", "--", PRODUCTION]);
    world.git(BOB, &["rm", "-q", "-f", ARCHIVED]);
    world.git(BOB, &["commit", "-qm", "merge it"]);
    refused(&world.push(BOB), &["stage-approvals"]);
}

#[test]
fn a_clean_merge_of_the_same_branch_lands() {
    let world = World::new();
    let then = once_in_production(&world);
    world.git(ALICE, &["checkout", "-q", "-b", "request", &then]);
    world.act(ALICE, &["comment", "add", "churn", "1", "still good"]);
    world.recorded(ALICE, "refs/heads/request");
    merge(&world, &[]);
    lands(&world.push(BOB));
}

#[test]
fn a_merge_that_edits_the_version_is_no_approval_of_it() {
    let world = World::new();
    world.act(CAROL, &["access", "grant", "bob", "CAN_MANAGE", "--model", "churn"]);
    world.landed();
    branch(&world);
    world.edit(ALICE, PRODUCTION, "versions = [1]\n");
    world.recorded(ALICE, "refs/heads/request");
    merge(&world, &["--no-commit"]);
    let path = "models/churn/versions/1/version.toml";
    let text = world.read(path).replacen("created_by", "description = \"Safe for everyone\"\ncreated_by", 1);
    world.write(path, &text);
    world.git(BOB, &["add", path]);
    world.git(BOB, &["commit", "-qm", "merge it"]);
    refused(&world.push(BOB), &["stage-approvals"]);
}

#[test]
fn a_comment_of_an_unproven_author_is_refused_and_of_a_proven_one_lands() {
    let world = World::new();
    branch(&world);
    forge_comment(&world, "the best there is");
    merge(&world, &[]);
    let judged = world.push(BOB);
    refused(&judged, &["author"]);
    assert!(judged.render().contains("only the commit's author field confirms it"), "{}", judged.render());

    let world = World::new();
    branch(&world);
    world.act(ALICE, &["comment", "add", "churn", "1", "good"]);
    world.recorded(ALICE, "refs/heads/request");
    merge(&world, &[]);
    lands(&world.push(BOB));
}

#[test]
fn a_proof_for_one_commit_is_none_for_another_of_the_same_branch() {
    let world = World::new();
    branch(&world);
    world.act(ALICE, &["comment", "add", "churn", "1", "good"]);
    world.recorded(ALICE, "refs/heads/request");
    // Bob adds a commit in Alice's name to the branch that she pushed.
    forge_comment(&world, "I approve of everything");
    merge(&world, &[]);
    refused(&world.push(BOB), &["author"]);
}

#[test]
fn words_that_somebody_else_changed_on_the_branch_are_not_the_authors() {
    let world = World::new();
    branch(&world);
    world.act(ALICE, &["comment", "add", "churn", "1", "good"]);
    world.recorded(ALICE, "refs/heads/request");
    let path = world.files(COMMENTS).pop().expect("a comment");
    let text = world.read(&path).replace("good", "bad");
    world.edit(BOB, &path, &text);
    merge(&world, &[]);
    refused(&world.push(BOB), &["author"]);
}

#[test]
fn two_commits_of_one_author_make_one_version_of_that_author() {
    let world = World::new();
    world.act(CAROL, &["access", "grant", "alice", "CAN_EDIT"]);
    world.act(CAROL, &["access", "grant", "bob", "CAN_EDIT", "--model", "churn"]);
    world.landed();
    branch(&world);
    world.act(ALICE, &["register", "churn", "--source", "s3://models/churn/2"]);
    world.act(ALICE, &["version", "describe", "churn", "2", "Better in every segment"]);
    world.recorded(ALICE, "refs/heads/request");
    merge(&world, &[]);
    lands(&world.push(BOB));
}

#[test]
fn a_merge_with_several_merge_bases_or_branches_counts_for_nobody_else() {
    // A criss-cross merge: the branch merged main while main merged the branch.
    let world = World::new();
    branch(&world);
    world.act(ALICE, &["comment", "add", "churn", "1", "one"]);
    world.recorded(ALICE, "refs/heads/request");
    world.git(BOB, &["checkout", "-q", "main"]);
    world.act(BOB, &["comment", "add", "churn", "1", "two"]);
    world.git(BOB, &["branch", "before"]);
    world.git(BOB, &["merge", "-q", "--no-ff", "--no-edit", "request"]);
    world.landed();
    world.git(ALICE, &["checkout", "-q", "request"]);
    world.git(ALICE, &["merge", "-q", "--no-ff", "--no-edit", "before"]);
    world.act(ALICE, &["comment", "add", "churn", "1", "three"]);
    world.recorded(ALICE, "refs/heads/request");
    merge(&world, &[]);
    refused(&world.push(BOB), &["author"]);

    // Two branches at once.
    let world = World::new();
    branch(&world);
    world.act(ALICE, &["comment", "add", "churn", "1", "one"]);
    world.recorded(ALICE, "refs/heads/request");
    world.git(BOB, &["checkout", "-q", "-b", "mine", "main"]);
    world.act(BOB, &["comment", "add", "churn", "1", "two"]);
    world.git(BOB, &["checkout", "-q", "main"]);
    world.git(BOB, &["merge", "-q", "--no-ff", "--no-edit", "request", "mine"]);
    refused(&world.push(BOB), &["commit"]);
}

#[test]
fn a_branch_that_merged_main_meanwhile_keeps_what_it_changed() {
    let world = World::new();
    branch(&world);
    world.edit(ALICE, PRODUCTION, "versions = [1]\n");
    world.git(BOB, &["checkout", "-q", "main"]);
    world.act(BOB, &["comment", "add", "churn", "1", "on main"]);
    world.landed();
    world.git(ALICE, &["checkout", "-q", "request"]);
    world.git(ALICE, &["merge", "-q", "--no-ff", "--no-edit", "main"]);
    world.recorded(ALICE, "refs/heads/request");
    merge(&world, &[]);
    lands(&world.push(BOB));
}

#[test]
fn a_newcomers_model_comes_with_a_merge_as_its_creator_made_it() {
    const ACCESS: &str = "models/mine/access.toml";
    let world = World::new();
    branch(&world);
    world.act(ALICE, &["model", "create", "mine"]);
    world.recorded(ALICE, "refs/heads/request");
    merge(&world, &[]);
    lands(&world.push(BOB));
    for text in ["grants = [{ to = \"bob\", level = \"CAN_MANAGE\" }]\n", "grants = []\n"] {
        world.git(BOB, &["reset", "-q", "--hard", "HEAD^"]);
        merge(&world, &["--no-commit"]);
        world.write(ACCESS, text);
        world.git(BOB, &["add", ACCESS]);
        world.git(BOB, &["commit", "-qm", "merge it"]);
        let judged = world.push(BOB);
        assert!(!judged.passes(), "{text}");
    }
    world.git(BOB, &["reset", "-q", "--hard", "HEAD^"]);
    merge(&world, &["--no-commit"]);
    world.git(BOB, &["rm", "-qf", ACCESS]);
    world.git(BOB, &["commit", "-qm", "merge it"]);
    let judged = world.push(BOB);
    refused(&judged, &["author"]);
    assert!(judged.render().contains("from alice, who created it"), "{}", judged.render());
}

#[test]
fn a_merge_puts_no_comments_into_the_files_of_others() {
    let world = World::new();
    branch(&world);
    world.act(ALICE, &["comment", "add", "churn", "1", "bad"]);
    world.recorded(ALICE, "refs/heads/request");
    merge(&world, &["--no-commit"]);
    let path = world.files(COMMENTS).pop().expect("a comment");
    let text = world.read(&path);
    world.write(&path, &format!("{text}# I take that back\n"));
    world.git(BOB, &["add", &path]);
    world.git(BOB, &["commit", "-qm", "merge it"]);
    refused(&world.push(BOB), &["rewrite"]);
}

#[test]
fn a_merge_of_lines_that_both_sides_changed_keeps_the_comments_of_both() {
    let world = World::new();
    world.act(CAROL, &["access", "grant", "group:everyone", "CAN_EDIT"]);
    world.landed();
    let path = "models/churn/versions/1/version.toml";
    let text = world.read(path);
    branch(&world);
    world.edit(ALICE, path, &format!("# the second run\n{text}"));
    world.recorded(ALICE, "refs/heads/request");
    world.git(BOB, &["checkout", "-q", "main"]);
    world.edit(BOB, path, &format!("{text}\n[tags]\nchecked = \"yes\" # by hand\n"));
    world.landed();
    merge(&world, &[]);
    assert!(world.read(path).contains("second run") && world.read(path).contains("by hand"));
    lands(&world.push(BOB));
}

#[test]
fn a_refusal_says_why_a_merge_is_no_approval_and_who_may_merge() {
    let world = World::new();
    branch(&world);
    world.edit(ALICE, PRODUCTION, "versions = [1]\n");
    world.act(BOB, &["comment", "add", "churn", "1", "looks good"]);
    world.recorded(ALICE, "refs/heads/request");
    merge(&world, &[]);
    let judged = world.push(BOB);
    assert!(judged.render().contains("a commit of the branch is by bob, who merges it"), "{}", judged.render());

    let world = World::new();
    world.git(CAROL, &["checkout", "-q", "-b", "request", "main"]);
    world.act(CAROL, &["stage", "set", "Production", "--approvals", "0"]);
    merge(&world, &[]);
    let judged = world.push(BOB);
    refused(&judged, &["permission"]);
    assert!(
        judged.render().contains("let carol, who made the branch and has this level, merge it"),
        "{}",
        judged.render()
    );
}

#[test]
fn who_has_another_id_now_approves_no_request_of_the_former_one() {
    let world = World::new();
    world.act(BOB, &["request", "create", "churn", "1", "Production"]);
    world.landed();
    world.git(CAROL, &["mv", "people/bob.toml", "people/robert.toml"]);
    let person = world.read("people/robert.toml");
    world.write("people/robert.toml", &format!("{person}logins = [\"bob\"]\n"));
    world.write("access.toml", &world.read("access.toml").replace("\"bob\"", "\"robert\""));
    world.git(CAROL, &["add", "--all"]);
    world.git(CAROL, &["commit", "-qm", "rename bob"]);
    lands(&world.push(CAROL));
    world.landed();
    let said = world.refused(BOB, &["request", "approve", "churn", "1"]);
    assert!(said.contains("the requester is no longer a person of the registry"), "{said}");
    world.act(CAROL, &["request", "cancel", "churn", "1"]);
    world.act(ALICE, &["request", "create", "churn", "1", "Production"]);
    world.landed();
    world.act(BOB, &["request", "approve", "churn", "1"]);
    lands(&world.push(BOB));
}
