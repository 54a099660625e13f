//! The gate by itself: pushes as git would announce them, judged without a hook.

mod as_checked;
mod branches;
mod guard;
mod identities;
mod lost;
mod merges;
mod moves;
mod under_fire;
mod world;

use greenroom::gate::Judgement;
use greenroom::name::Id;
use greenroom::time::Timestamp;
use world::{ALICE, BOB, CAROL, Harm, World};

#[track_caller]
fn refused(judged: &Judgement, rules: &[&str]) {
    let found: Vec<&str> = judged.faults().map(|r| r.fault.problem.rule).collect();
    assert_eq!(found, rules, "{}", judged.render());
}

#[track_caller]
fn lands(judged: &Judgement) {
    assert!(judged.passes(), "{}", judged.render());
}

#[test]
fn who_pushes_his_own_commits_acts() {
    let world = World::new();
    world.act(ALICE, &["comment", "add", "churn", "1", "looks good"]);
    lands(&world.push(ALICE));
    world.landed();
    world.act(BOB, &["transition", "churn", "1", "Staging"]);
    lands(&world.push(BOB));
}

#[test]
fn permissions_are_the_pushers_whatever_the_commit_says() {
    let world = World::new();
    world.act(BOB, &["transition", "churn", "1", "Staging"]);
    let judged = world.push(ALICE);
    refused(&judged, &["committer"]);
    assert!(judged.render().contains("alice puts it on the branch, but its committer is bob"), "{}", judged.render());
}

#[test]
fn a_forged_author_is_refused() {
    let world = World::new();
    // The command refuses what the gate would refuse; by hand it can be committed all the same.
    world.forge_refused(ALICE, BOB, &["comment", "add", "churn", "1", "in bob's name"]);
    world.forge_edit(ALICE, BOB, "README.md", "in bob's name\n");
    refused(&world.push(ALICE), &["author"]);
}

#[test]
fn who_manages_the_registry_may_land_the_work_of_others() {
    let world = World::new();
    world.forge(CAROL, BOB, &["comment", "add", "churn", "1", "imported"]);
    lands(&world.push(CAROL));
}

#[test]
fn a_pusher_who_is_nobody_is_refused() {
    let world = World::new();
    world.act(ALICE, &["comment", "add", "churn", "1", "looks good"]);
    let judged = world.push_as("mallory");
    refused(&judged, &["identity"]);
    assert!(judged.render().contains("('mallory', according to the host)"), "{}", judged.render());
    refused(&world.push_unnamed(), &["identity"]);
}

#[test]
fn no_level_no_transition() {
    let world = World::new();
    world.edit(ALICE, "models/churn/stages/Staging.toml", "versions = [1]\n");
    let judged = world.push(ALICE);
    refused(&judged, &["permission"]);
    let said = judged.render();
    assert!(said.contains("it needs CAN_MANAGE_STAGING_VERSIONS on 'churn'") && said.contains("-> ask"), "{said}");
}

#[test]
fn a_grant_helps_from_the_next_step_on_only() {
    let world = World::new();
    world.edit(ALICE, "access.toml", "grants = [{ to = \"alice\", level = \"CAN_MANAGE\" }]\n");
    world.edit(ALICE, "models/churn/stages/Staging.toml", "versions = [1]\n");
    let judged = world.push(ALICE);
    assert!(!judged.steps[0].faults.is_empty(), "she may not grant it to herself: {}", judged.render());
}

#[test]
fn every_step_is_judged_not_only_the_last() {
    let world = World::new();
    let before = world.tip();
    world.edit(ALICE, "models/churn/stages/Staging.toml", "versions = [1]\n");
    world.git(ALICE, &["rm", "-q", "models/churn/stages/Staging.toml"]);
    world.git(ALICE, &["commit", "-qm", "as if nothing had been"]);
    assert_eq!(world.tree(&before), world.tree("HEAD"));
    refused(&world.push(ALICE), &["permission", "permission"]);
}

#[test]
fn the_protected_branch_goes_forward_only() {
    let world = World::new();
    world.act(BOB, &["transition", "churn", "1", "Staging"]);
    world.landed();
    world.git(BOB, &["reset", "-q", "--hard", "HEAD~1"]);
    let judged = world.push(BOB);
    refused(&judged, &["ref-rewind"]);
    assert!(judged.render().contains("may not be reset to an older commit"));
    refused(&world.delete(BOB), &["ref-delete"]);
    world.git(BOB, &["checkout", "-q", "--orphan", "other"]);
    world.git(BOB, &["commit", "-qm", "another history"]);
    refused(&world.push(BOB), &["ref-rewind"]);
}

#[test]
fn a_merge_that_turns_the_line_around_is_refused() {
    let world = World::new();
    let base = world.tip();
    world.act(BOB, &["comment", "add", "churn", "1", "on main"]);
    world.landed();
    world.git(BOB, &["checkout", "-q", "-b", "mine", &base]);
    world.act(BOB, &["comment", "add", "churn", "1", "on my branch"]);
    world.git(BOB, &["merge", "-q", "--no-ff", "--no-edit", "main"]);
    let judged = world.push(BOB);
    refused(&judged, &["ref-rewind"]);
    assert!(judged.render().contains("first-parent history"), "{}", judged.render());
    assert!(judged.render().contains("git rebase origin/main"), "{}", judged.render());
}

#[test]
fn a_merge_is_the_mergers_act() {
    let world = World::new();
    world.git(ALICE, &["checkout", "-q", "-b", "request"]);
    world.edit(ALICE, "models/churn/stages/Staging.toml", "versions = [1]\n");
    world.git(ALICE, &["checkout", "-q", "main"]);
    let merge = ["merge", "-q", "--no-ff", "--no-edit", "request"];
    world.git(ALICE, &merge);
    refused(&world.push(ALICE), &["permission"]);
    world.git(ALICE, &["reset", "-q", "--hard", "HEAD~1"]);
    world.git(BOB, &merge);
    let judged = world.push(BOB);
    lands(&judged);
    let actor = judged.steps[0].actor.as_ref().expect("someone");
    assert_eq!((actor.user.as_str(), actor.authors.iter().next().map(|u| u.as_str())), ("bob", Some("alice")));
}

#[test]
fn an_unproven_branch_is_no_request() {
    let world = World::new();
    world.git(BOB, &["checkout", "-q", "-b", "request"]);
    // Bob writes the request of Alice himself, in her name.
    world.edit(ALICE, "models/churn/stages/Production.toml", "versions = [1]\n");
    world.git(BOB, &["checkout", "-q", "main"]);
    world.git(BOB, &["merge", "-q", "--no-ff", "--no-edit", "request"]);
    refused(&world.push(BOB), &["stage-approvals"]);
}

#[test]
fn a_second_registry_needs_who_manages_the_first() {
    let world = World::new();
    world.edit(
        ALICE,
        "evil/greenroom.toml",
        "id = \"019ca8a0-3e80-748d-8735-530048af931c\"\nname = \"e\"\nformat = 1\n",
    );
    let judged = world.push(ALICE);
    assert!(judged.faults().any(|r| r.fault.problem.rule == "registry"), "{}", judged.render());
}

#[test]
fn other_branches_are_free() {
    let world = World::new();
    world.edit(ALICE, "models/churn/stages/Production.toml", "versions = [1]\n");
    lands(&world.push_to(ALICE, "refs/heads/request/churn"));
}

#[test]
fn a_new_protected_branch_is_judged_from_where_it_leaves_the_others() {
    let world = World::new();
    world.protect("release/*");
    lands(&world.push_to(BOB, "refs/heads/release/1"));
    world.edit(ALICE, "models/churn/stages/Staging.toml", "versions = [1]\n");
    refused(&world.push_to(ALICE, "refs/heads/release/2"), &["permission"]);
}

#[test]
fn a_server_lands_for_the_author() {
    let world = World::new();
    world.act(CAROL, &["person", "add", "bot", "--email", "bot@example.org"]);
    world.act(CAROL, &["settings", "set", "--add-server", "bot"]);
    world.landed();
    world.commit_for(ALICE, "bot", "models/churn/stages/Staging.toml", "versions = [1]\n");
    let judged = world.push_as("bot");
    refused(&judged, &["permission"]);
    assert_eq!(judged.steps[0].actor.as_ref().map(|a| a.user.as_str()), Some("alice"));
}

#[test]
fn who_pushed_a_branch_himself_is_proven_to_have_made_it() {
    let world = World::new();
    world.git(ALICE, &["checkout", "-q", "-b", "request"]);
    world.edit(ALICE, "models/churn/stages/Production.toml", "versions = [1]\n");
    world.recorded(ALICE, "refs/heads/request");
    world.git(BOB, &["checkout", "-q", "main"]);
    world.git(BOB, &["merge", "-q", "--no-ff", "--no-edit", "request"]);
    let judged = world.push(BOB);
    lands(&judged);
    let actor = judged.steps[0].actor.as_ref().expect("someone");
    assert_eq!((actor.user.as_str(), actor.proven_authors.iter().next().map(|u| u.as_str())), ("bob", Some("alice")));
}

#[test]
fn who_pushed_anothers_branch_proves_nothing() {
    let world = World::new();
    world.git(BOB, &["checkout", "-q", "-b", "request"]);
    world.edit(ALICE, "models/churn/stages/Production.toml", "versions = [1]\n");
    world.recorded(BOB, "refs/heads/request");
    world.git(BOB, &["checkout", "-q", "main"]);
    world.git(BOB, &["merge", "-q", "--no-ff", "--no-edit", "request"]);
    refused(&world.push(BOB), &["stage-approvals"]);
}

#[test]
fn a_signed_branch_is_proven_and_a_key_of_another_is_refused() {
    let world = World::new();
    world.key(ALICE);
    world.key(BOB);
    world.git(ALICE, &["checkout", "-q", "-b", "request"]);
    world.edit_signed(ALICE, ALICE, "models/churn/stages/Production.toml", "versions = [1]\n");
    let merge = ["merge", "-q", "--no-ff", "--no-edit", "request"];
    world.git(BOB, &["checkout", "-q", "main"]);
    world.git(BOB, &merge);
    lands(&world.push(BOB));
    world.git(BOB, &["reset", "-q", "--hard", "HEAD~1"]);
    world.git(BOB, &["checkout", "-q", "-B", "request"]);
    world.edit_signed(ALICE, BOB, "models/churn/stages/Production.toml", "versions = [1]\n");
    world.git(BOB, &["checkout", "-q", "main"]);
    world.git(BOB, &merge);
    let judged = world.push(BOB);
    assert!(judged.faults().any(|r| r.fault.problem.message.contains("signed by bob, but alice is its author")));
}

#[test]
fn by_signature_the_signer_acts() {
    let world = World::new();
    world.key(ALICE);
    world.key(BOB);
    world.key(CAROL);
    world.turn_to_signature(CAROL);
    world.landed();
    world.edit(BOB, "models/churn/stages/Staging.toml", "versions = [1]\n");
    refused(&world.push(BOB), &["identity"]);
    world.git(BOB, &["reset", "-q", "--hard", "HEAD~1"]);
    world.edit_signed(BOB, ALICE, "models/churn/stages/Staging.toml", "versions = [1]\n");
    refused(&world.push(BOB), &["committer"]);
    world.git(BOB, &["reset", "-q", "--hard", "HEAD~1"]);
    world.edit_signed(BOB, BOB, "models/churn/stages/Staging.toml", "versions = [1]\n");
    lands(&world.push_unnamed());
}

#[test]
fn a_push_has_a_limit_of_commits() {
    let world = World::new();
    for text in ["one", "two", "three"] {
        world.act(ALICE, &["comment", "add", "churn", "1", text]);
    }
    world.limit("maxCommits", "2");
    let judged = world.push(ALICE);
    refused(&judged, &["limit"]);
    assert!(judged.render().contains("more than 2 commits"), "{}", judged.render());
    world.limit("maxCommits", "3");
    lands(&world.push(ALICE));
}

#[test]
fn one_bad_reference_refuses_the_whole_push() {
    let world = World::new();
    world.act(ALICE, &["comment", "add", "churn", "1", "looks good"]);
    let judged = world.push_besides(ALICE, "refs/notes/greenroom/pushes");
    refused(&judged, &["ref-own"]);
    lands(&world.push_besides(ALICE, "refs/heads/mine"));
}

#[test]
fn what_a_client_sends_along_switches_nothing_off() {
    let world = World::new();
    world.edit(ALICE, "models/churn/stages/Staging.toml", "versions = [1]\n");
    let said = world.pushed(
        ALICE,
        &[
            ("GIT_CONFIG_COUNT", "2"),
            ("GIT_CONFIG_KEY_0", "greenroom.host"),
            ("GIT_CONFIG_VALUE_0", "forced-command"),
            ("GIT_CONFIG_KEY_1", "core.hooksPath"),
            ("GIT_CONFIG_VALUE_1", "/nowhere"),
            ("GREENROOM_USER", "carol"),
            ("GL_USERNAME", "carol"),
            ("REMOTE_USER", "carol"),
        ],
    );
    assert!(said.contains("alice may not"), "{said}");
}

#[test]
fn what_is_made_up_to_be_older_is_refused() {
    let world = World::new();
    let long_ago = Timestamp::from_millis(1_700_000_000_000);
    let id = Id::from_parts(long_ago.as_millis(), [7; 10]);
    let text =
        format!("id = \"{id}\"\ncreated_by = \"alice\"\ncreated_at = {long_ago}\ntext = \"I said so all along\"\n");
    world.edit(ALICE, &format!("models/churn/versions/1/comments/{id}.toml"), &text);
    let judged = world.push(ALICE);
    refused(&judged, &["time"]);
    assert!(judged.render().contains("is earlier than the commit that adds it"), "{}", judged.render());
}

#[test]
fn what_a_commit_is_by_itself_is_judged_in_a_push() {
    let world = World::new();
    world.git(ALICE, &["commit", "-q", "--allow-empty", "-m", "looks harmless \u{1b}[2J"]);
    refused(&world.push(ALICE), &["commit"]);
}

#[test]
fn a_secret_that_a_merged_branch_held_for_a_while_is_refused() {
    let world = World::new();
    world.git(ALICE, &["checkout", "-q", "-b", "mine"]);
    world.edit(ALICE, "models/churn/notes.toml", &format!("token = \"ghp_{}\"\n", "a1B2c3D4e5".repeat(4)));
    world.git(ALICE, &["rm", "-q", "models/churn/notes.toml"]);
    world.git(ALICE, &["commit", "-qm", "as if nothing had been"]);
    world.git(BOB, &["checkout", "-q", "main"]);
    world.git(BOB, &["merge", "-q", "--no-ff", "--no-edit", "mine"]);
    let judged = world.push(BOB);
    refused(&judged, &["secret"]);
    assert!(!judged.render().contains("ghp_"), "the refusal repeats it");
}

#[test]
fn release_references_name_judged_steps_and_are_set_by_who_moves_to_production() {
    let world = World::new();
    world.limit("release", "refs/tags/v*");
    world.limit("release", "prod");
    for name in ["refs/tags/v1", "refs/heads/prod"] {
        lands(&world.push_to(BOB, name));
        refused(&world.push_to(ALICE, name), &["ref-release"]);
    }
    lands(&world.push_to(ALICE, "refs/tags/mine"));
    world.git(BOB, &["tag", "-a", "v2", "-m", "released"]);
    lands(&world.push_tag(BOB, "v2"));
    world.git(BOB, &["tag", "v3", "HEAD^{tree}"]);
    refused(&world.push_tag(BOB, "v3"), &["ref-release"]);
    // An unpushed commit may be tagged in the push that brings it, but not by itself.
    world.act(BOB, &["comment", "add", "churn", "1", "looks good"]);
    refused(&world.push_to(BOB, "refs/tags/v4"), &["ref-release"]);
    lands(&world.push_besides(BOB, "refs/tags/v4"));
    // The branch follows; a tag stays.
    world.landed();
    lands(&world.repoint(BOB, "refs/heads/prod", "HEAD~1", "HEAD"));
    lands(&world.repoint(BOB, "refs/heads/prod", "HEAD", "HEAD~1"));
    refused(&world.repoint(BOB, "refs/tags/v1", "HEAD~1", "HEAD"), &["ref-release"]);
}

#[test]
fn a_release_reference_names_no_commit_of_a_merged_side_branch() {
    let world = World::new();
    world.limit("release", "refs/tags/v*");
    world.git(BOB, &["switch", "-qc", "side"]);
    world.act(BOB, &["comment", "add", "churn", "1", "on a branch"]);
    world.git(BOB, &["tag", "v1"]);
    world.git(BOB, &["switch", "-q", "-"]);
    world.git(BOB, &["merge", "-q", "--no-ff", "-m", "merge it", "side"]);
    world.landed();
    refused(&world.push_tag(BOB, "v1"), &["ref-release"]);
    lands(&world.push_to(BOB, "refs/tags/v2"));
}

/// A model of Alice's with the id of a file.
fn with_id_of(world: &World, file: &str, name: &str) -> String {
    let text = world.file(file);
    let of = |key: &str| text.lines().find(|l| l.starts_with(key)).expect("the key is there").to_owned();
    format!("{}\nname = \"{name}\"\n{}\ncreated_by = \"alice\"\n", of("id = "), of("created_at = "))
}

#[test]
fn the_id_of_another_model_is_refused_by_the_state_and_by_the_history() {
    let world = World::new();
    let taken = with_id_of(&world, "models/churn/model.toml", "stolen");
    world.edit(ALICE, "models/stolen/model.toml", &taken);
    refused(&world.push(ALICE), &["id"]);
    world.git(ALICE, &["reset", "-q", "--hard", "HEAD^"]);
    // The id of a deleted version is not free.
    world.act(CAROL, &["version", "delete", "churn", "1", "--yes"]);
    world.act(CAROL, &["model", "delete", "churn", "--yes"]);
    lands(&world.push(CAROL));
    world.landed();
    world.edit(ALICE, "models/stolen/model.toml", &taken);
    let judged = world.push(ALICE);
    refused(&judged, &["id"]);
    assert!(judged.render().contains("was used before: commit "), "{}", judged.render());
}

#[test]
fn an_id_is_not_free_within_the_push_that_deletes_it() {
    let world = World::new();
    world.act(ALICE, &["model", "create", "mine"]);
    let taken = with_id_of(&world, "models/mine/model.toml", "again");
    world.act(ALICE, &["model", "delete", "mine", "--yes"]);
    world.edit(ALICE, "models/again/model.toml", &taken);
    refused(&world.push(ALICE), &["id"]);
}

#[test]
fn a_rename_keeps_its_ids() {
    let world = World::new();
    world.act(CAROL, &["model", "rename", "churn", "attrition"]);
    lands(&world.push(CAROL));
    world.landed();
    world.act(CAROL, &["reshard", "sharded"]);
    lands(&world.push(CAROL));
}

#[test]
fn an_index_that_is_damaged_or_behind_lets_no_id_pass() {
    let world = World::new();
    world.act(CAROL, &["version", "delete", "churn", "1", "--yes"]);
    let taken = with_id_of(&world, "models/churn/model.toml", "stolen");
    world.act(CAROL, &["model", "delete", "churn", "--yes"]);
    world.landed();
    world.edit(ALICE, "models/stolen/model.toml", &taken);
    // The index of the first judgement covers the history at its end.
    refused(&world.push(ALICE), &["id"]);
    for harm in [Harm::None, Harm::Behind, Harm::Damaged] {
        refused(&world.push_with_index(ALICE, harm), &["id"]);
    }
}

/// The files of a version of Carol's that is written by hand: a model file and its record.
fn version_by_hand(world: &World, pointer: &str, said: &str) {
    let now = Timestamp::from_millis(world::millis());
    let id = Id::from_parts(now.as_millis(), [9; 10]);
    world.stage("models/churn/versions/2/artifacts/model.bin", pointer);
    let text = format!("id = \"{id}\"\ncreated_at = {now}\ncreated_by = \"carol\"\n\n{said}");
    world.edit(CAROL, "models/churn/versions/2/version.toml", &text);
}

const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn pointer(sha256: &str, size: u64) -> String {
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n")
}

/// The record of one file `model.bin`.
fn said_of(sha256: &str, size: u64) -> String {
    use sha2::Digest as _;
    let list = format!("model.bin\0{size}\0{sha256}\n");
    let digest: String = sha2::Sha256::digest(list).iter().map(|b| format!("{b:02x}")).collect();
    format!("[artifacts]\ndigest = \"{digest}\"\nsize = {size}\nfiles = 1\n")
}

#[test]
fn what_a_version_says_of_its_files_is_compared_with_them() {
    let world = World::new();
    let (good, said) = (pointer(OF_ABC, 3), said_of(OF_ABC, 3));
    let wrong = [
        (good.clone(), said.replace("size = 3", "size = 4")),
        (good.clone(), said.replace("files = 1", "files = 2")),
        (good.clone(), said_of(&OF_ABC.replace('b', "c"), 3)),
        (good.replace("sha256", "md5"), said.clone()),
        (good.replace("size 3", "size 03"), said.clone()),
        (pointer(&OF_ABC.to_uppercase(), 3), said.clone()),
    ];
    for (pointer, said) in wrong {
        version_by_hand(&world, &pointer, &said);
        refused(&world.push(CAROL), &["digest"]);
        world.git(CAROL, &["reset", "-q", "--hard", "HEAD^"]);
    }
    // Evidence without a source: a digest, and no file.
    let now = Timestamp::from_millis(world::millis());
    let id = Id::from_parts(now.as_millis(), [9; 10]);
    let text = format!("id = \"{id}\"\ncreated_at = {now}\ncreated_by = \"carol\"\n\n{said}");
    world.edit(CAROL, "models/churn/versions/2/version.toml", &text);
    refused(&world.push(CAROL), &["digest"]);
    world.git(CAROL, &["reset", "-q", "--hard", "HEAD^"]);
    version_by_hand(&world, &good, &said);
    let judged = world.push(CAROL);
    lands(&judged);
    assert_eq!(judged.warnings().map(|w| w.problem.rule).collect::<Vec<_>>(), ["arrived"], "no store, so a warning");
}

#[test]
fn model_files_that_did_not_arrive_are_refused_where_the_store_is() {
    let world = World::new();
    version_by_hand(&world, &pointer(OF_ABC, 3), &said_of(OF_ABC, 3));
    world.limit("missing", "refuse");
    refused(&world.push(CAROL), &["arrived"]);
    world.store(OF_ABC, b"ab");
    refused(&world.push(CAROL), &["arrived"]);
    world.store(OF_ABC, b"abd");
    let judged = world.push(CAROL);
    refused(&judged, &["arrived"]);
    assert!(judged.render().contains("does not have its SHA-256"), "{}", judged.render());
    world.store(OF_ABC, b"abc");
    lands(&world.push(CAROL));
}

#[test]
fn the_id_of_a_person_who_was_removed_is_given_to_nobody_else() {
    let world = World::new();
    let file = "people/alice.toml";
    let hers = world.file(file);
    world.act(CAROL, &["person", "remove", "alice", "--yes"]);
    world.landed();
    let evil = "name = \"Other\"\nemails = [\"evil@example.org\"]\n";
    world.edit(CAROL, file, evil);
    let judged = world.push(CAROL);
    refused(&judged, &["person-id"]);
    assert!(judged.render().contains("the id alice belonged to another person"), "{}", judged.render());
    // The id in another letter case is the same id.
    world.git(CAROL, &["reset", "-q", "--hard", "HEAD~1"]);
    world.edit(CAROL, "people/Alice.toml", evil);
    refused(&world.push(CAROL), &["person-id"]);
    // The same person comes back: by a revert, or with something that was theirs.
    world.git(CAROL, &["reset", "-q", "--hard", "HEAD~1"]);
    world.git(CAROL, &["revert", "--no-edit", "HEAD"]);
    lands(&world.push(CAROL));
    assert_eq!(world.file(file), hers);
    world.git(CAROL, &["reset", "-q", "--hard", "HEAD~1"]);
    world.act(CAROL, &["person", "add", "alice", "--email", "new@example.org", "--email", ALICE.1]);
    lands(&world.push(CAROL));
}

#[test]
fn a_push_that_removes_a_person_does_not_free_the_id() {
    let world = World::new();
    world.act(CAROL, &["person", "remove", "alice", "--yes"]);
    world.edit(CAROL, "people/alice.toml", "name = \"Other\"\nemails = [\"evil@example.org\"]\n");
    refused(&world.push(CAROL), &["person-id"]);
    // A fault pushed without the gate is reported.
    world.landed();
    let [with, _] = world.verified();
    let found = with["findings"].as_array().expect("findings");
    let faults = found.iter().filter(|f| f["rule"] == "person-id" || f["fault"]["rule"] == "person-id").count();
    assert_eq!(faults, 1, "{with:#}");
}

#[test]
fn files_that_a_version_says_nothing_of_are_refused() {
    let world = World::new();
    world.edit(CAROL, "models/churn/versions/1/artifacts/weights", "0");
    let judged = world.push(CAROL);
    refused(&judged, &["digest", "immutable"]);
}

#[test]
fn a_push_cannot_weaken_a_rule_and_use_that() {
    let world = World::new();
    world.act(CAROL, &["stage", "set", "Production", "--approvals", "0"]);
    let weakened = world.tip();
    world.act(CAROL, &["transition", "churn", "1", "Production"]);
    world.act(CAROL, &["stage", "set", "Production", "--approvals", "1"]);
    let judged = world.push(CAROL);
    refused(&judged, &["stage-approvals"]);
    assert!(judged.render().contains("that is the rule before this push"), "{}", judged.render());
    // Each by itself, everybody sees the change of the rule.
    world.git(CAROL, &["branch", "rest"]);
    world.git(CAROL, &["reset", "-q", "--hard", &weakened]);
    lands(&world.push(CAROL));
    world.landed();
    world.git(CAROL, &["reset", "-q", "--hard", "rest"]);
    lands(&world.push(CAROL));
    for told in world.verified() {
        assert_eq!(told["ok"], true, "{told:#}");
    }
}

#[test]
fn a_push_that_tightens_a_rule_goes_on_by_the_new_rule() {
    let world = World::new();
    world.act(ALICE, &["request", "create", "churn", "1", "Production"]);
    lands(&world.push(ALICE));
    world.landed();
    world.act(CAROL, &["stage", "set", "Production", "--require-tag", "ok=yes"]);
    world.act(CAROL, &["transition", "churn", "1", "Staging"]);
    lands(&world.push(CAROL));
}

#[test]
fn nothing_follows_in_a_push_that_weakens_who_is_known() {
    let world = World::new();
    world.act(CAROL, &["settings", "set", "--authority", "author"]);
    world.forge(CAROL, BOB, &["transition", "churn", "1", "Staging"]);
    let judged = world.push(CAROL);
    refused(&judged, &["authority"]);
}

#[test]
fn a_key_or_address_that_moves_while_no_rule_holds_is_judged_by_the_rule_before_the_push() {
    let world = World::new();
    world.act(CAROL, &["stage", "set", "Production", "--approvals", "0"]);
    world.act(CAROL, &["person", "set", "alice", "--email", "a2@example.org", "--remove-email", ALICE.1]);
    world.act(CAROL, &["person", "set", "bob", "--email", ALICE.1]);
    world.act(CAROL, &["stage", "set", "Production", "--approvals", "1"]);
    refused(&world.push(CAROL), &["person-id"]);
}
