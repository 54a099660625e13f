//! Pushes that move a registry to another folder: which are accepted and refused, and how the history is judged.

use super::world::{ALICE, BOB, CAROL, World};
use super::{lands, refused, with_id_of};

/// Carol moves the registry and pushes the move.
fn moved(world: &World, to: &str) {
    world.act(CAROL, &["move", to]);
    world.landed();
}

/// The files of a registry that `git mv` has to move.
const FILES: [&str; 6] = ["greenroom.toml", "access.toml", "people", "models", ".greenroom", ".taplo.toml"];

/// A person moves the registry by hand from the root folder.
fn move_by_hand(world: &World, person: super::world::Person, to: &str) {
    world.write(&format!("{to}/.keep"), "");
    for name in FILES {
        world.git(person, &["mv", name, to]);
    }
    world.git(person, &["mv", ".gitattributes", to]);
    world.git(person, &["commit", "-qm", "move it"]);
}

#[test]
fn who_manages_the_registry_may_move_it_and_go_on() {
    let world = World::new();
    world.act(CAROL, &["move", "registry"]);
    let judged = world.push(CAROL);
    lands(&judged);
    let told: Vec<String> = judged.steps[0].events.iter().map(|e| e.name().to_owned()).collect();
    assert_eq!(told, ["registry.moved"]);
    // Steps of the same push, and of later ones, are judged in the new folder.
    world.edit(CAROL, "registry/models/churn/stages/Staging.toml", "versions = [1]\n");
    lands(&world.push(CAROL));
    world.landed();
    world.edit(ALICE, "registry/models/churn/stages/Archived.toml", "versions = [1]\n");
    assert!(!world.push(ALICE).passes(), "she has no right to that");
    world.git(ALICE, &["reset", "-q", "--hard", "HEAD~1"]);
    for to in ["ml", ".", "registry"] {
        world.act(CAROL, &["move", to]);
    }
    lands(&world.push(CAROL));
    for told in world.verified() {
        assert_eq!(told["ok"], true, "{told:#}");
    }
}

#[test]
fn a_move_by_hand_counts_as_one() {
    let world = World::new();
    move_by_hand(&world, CAROL, "ml");
    let judged = world.push(CAROL);
    lands(&judged);
    assert_eq!(judged.steps[0].events.len(), 1, "{:?}", judged.steps[0].events);
}

#[test]
fn nobody_else_may_move_it() {
    let world = World::new();
    move_by_hand(&world, BOB, "ml");
    let judged = world.push(BOB);
    refused(&judged, &["permission"]);
    assert!(
        judged.render().contains("bob may not move the registry from the root folder to ml/"),
        "{}",
        judged.render()
    );
}

#[test]
fn nothing_else_happens_in_the_step() {
    let world = World::new();
    world.act(CAROL, &["move", "ml"]);
    for (path, text) in [
        ("ml/models/churn/stages/Staging.toml", "versions = [1]\n"),
        ("ml/README.md", "# Another one\n"),
        ("ml/access.toml", &format!("# reworded\n{}", world.read("ml/access.toml"))),
    ] {
        world.write(path, text);
        world.git(CAROL, &["add", path]);
        world.git(CAROL, &["commit", "-q", "--amend", "--no-edit"]);
        let judged = world.push(CAROL);
        refused(&judged, &["move"]);
        world.git(CAROL, &["reset", "-q", "--hard", "HEAD~1"]);
        world.act(CAROL, &["move", "ml"]);
    }
}

#[test]
fn a_move_in_part_is_none() {
    let world = World::new();
    world.act(CAROL, &["move", "ml"]);
    world.write("webhooks/.keep", "");
    world.write("access.toml", "grants = []\n");
    world.git(CAROL, &["add", "access.toml"]);
    world.git(CAROL, &["commit", "-q", "--amend", "--no-edit"]);
    let judged = world.push(CAROL);
    refused(&judged, &["move"]);
    assert!(
        judged.render().contains("'access.toml' is still in the old folder of the registry"),
        "{}",
        judged.render()
    );
}

#[test]
fn a_copy_is_no_move() {
    let world = World::new();
    moved(&world, "ml");
    world.copy("ml", "other");
    world.git(CAROL, &["add", "other"]);
    world.git(CAROL, &["commit", "-qm", "copy it"]);
    let judged = world.push(CAROL);
    refused(&judged, &["registry"]);
    assert!(judged.render().contains("a copy of the registry in ml/"), "{}", judged.render());
}

#[test]
fn a_registry_that_is_gone_was_not_moved() {
    let world = World::new();
    moved(&world, "ml");
    world.git(CAROL, &["rm", "-rq", "ml"]);
    world.git(CAROL, &["commit", "-qm", "delete it"]);
    let judged = world.push(CAROL);
    assert!(judged.render().contains("greenroom.toml, the registry's settings, was deleted"), "{}", judged.render());
}

#[test]
fn a_registry_is_followed_into_a_deep_folder_and_out_of_it() {
    let world = World::new();
    world.act(CAROL, &["move", "teams/eu/risk"]);
    lands(&world.push(CAROL));
    world.landed();
    // What a branch from before brings to where it was is refused there, too.
    world.act(CAROL, &["comment", "add", "churn", "1", "deep"]);
    world.act(CAROL, &["move", "teams/us/risk"]);
    lands(&world.push(CAROL));
    world.landed();
    world.edit(ALICE, "teams/eu/risk/models/README.md", "Models lie here\n");
    refused(&world.push(ALICE), &["move"]);
    world.git(ALICE, &["reset", "-q", "--hard", "HEAD~1"]);
    world.edit(ALICE, "teams/us/risk/models/churn/stages/Staging.toml", "versions = [1]\n");
    refused(&world.push(ALICE), &["permission"]);
    world.git(ALICE, &["reset", "-q", "--hard", "HEAD~1"]);
    for told in world.verified() {
        assert_eq!(told["ok"], true, "{told:#}");
    }
    let log = world.said(CAROL, &["log", "--oneline"]);
    assert!(log.contains("register the model churn") && log.contains("move the registry"), "{log}");
    let then = world.said(CAROL, &["version", "show", "churn", "1", "--at", "HEAD~3"]);
    assert!(then.contains("s3://models/churn/1"), "{then}");
}

#[test]
fn a_registry_in_a_folder_that_another_one_left_shows_its_own_past() {
    let world = World::within("a");
    let said = |args: &[&str]| world.said(CAROL, args);
    said(&["init", ".", "--at", "other"]);
    said(&["-C", "other", "model", "create", "theirs"]);
    said(&["-C", "a", "move", "b"]);
    said(&["-C", "other", "move", "a"]);
    let log = said(&["-C", "a", "log", "--oneline"]);
    assert!(log.contains("theirs") && !log.contains("churn"), "{log}");
    let first = said(&["-C", "a", "log", "-o", "json"]);
    let first: serde_json::Value = serde_json::from_str(&first).expect("JSON");
    let made =
        first.as_array().and_then(|all| all.last()).expect("an entry")["commit"].as_str().expect("a commit").to_owned();
    // Before it was made there was nothing of it, though another one lay in its folder.
    let said = said(&["-C", "a", "model", "list", "--at", &format!("{made}~1")]);
    assert!(!said.contains("churn"), "{said}");
    let log = world.said(CAROL, &["-C", "b", "log", "--oneline"]);
    assert!(log.contains("churn") && !log.contains("theirs"), "{log}");
    lands(&world.push(CAROL));
}

#[test]
fn ids_stay_taken_across_a_move() {
    let world = World::new();
    world.act(ALICE, &["model", "create", "mine"]);
    let taken = with_id_of(&world, "models/mine/model.toml", "again");
    world.act(ALICE, &["model", "delete", "mine", "--yes"]);
    world.landed();
    world.act(CAROL, &["move", "ml"]);
    world.edit(CAROL, "ml/models/again/model.toml", &taken);
    let found: Vec<String> = world.push(CAROL).faults().map(|r| r.fault.problem.rule.to_owned()).collect();
    assert!(found.contains(&"id".to_owned()), "{found:?}");
    world.git(ALICE, &["reset", "-q", "--hard", "HEAD~1"]);
    world.landed();
    world.edit(ALICE, "ml/models/again/model.toml", &taken);
    refused(&world.push(ALICE), &["id"]);
}

/// Pushes a comment; such a file lets git detect that its folder was renamed.
fn one_comment(world: &World) {
    world.act(CAROL, &["comment", "add", "churn", "1", "the first"]);
    world.landed();
}

/// Alice comments on a branch that begins before the registry is moved.
fn branch_from_before(world: &World) {
    one_comment(world);
    world.git(ALICE, &["checkout", "-q", "-b", "request", "main"]);
    world.act(ALICE, &["comment", "add", "churn", "1", "still good"]);
    world.recorded(ALICE, "refs/heads/request");
    world.git(CAROL, &["checkout", "-q", "main"]);
    moved(world, "ml");
}

#[test]
fn a_branch_from_before_the_move_is_merged_where_git_follows_the_renames() {
    let world = World::new();
    branch_from_before(&world);
    world.git(BOB, &["-c", "merge.directoryRenames=true", "merge", "-q", "--no-ff", "--no-edit", "request"]);
    let judged = world.push(BOB);
    lands(&judged);
    assert_eq!(judged.steps[0].events.len(), 1, "{:?}", judged.steps[0].events);
}

#[test]
fn what_a_merge_puts_where_the_registry_was_is_refused() {
    let world = World::new();
    branch_from_before(&world);
    world.git(BOB, &["-c", "merge.directoryRenames=false", "merge", "-q", "--no-ff", "--no-edit", "request"]);
    let judged = world.push(BOB);
    refused(&judged, &["move"]);
    assert!(judged.render().contains("the registry was moved from the root folder to ml/"), "{}", judged.render());
    // As the hint says: the files move to the registry's folder.
    for path in world.files("models/churn/versions/1/comments") {
        world.git(BOB, &["mv", &path, "ml/models/churn/versions/1/comments/"]);
    }
    world.git(BOB, &["commit", "-q", "--amend", "--no-edit"]);
    lands(&world.push(BOB));
}

#[test]
fn what_a_commit_puts_where_the_registry_was_is_refused() {
    let world = World::new();
    moved(&world, "ml");
    world.edit(ALICE, "models/README.md", "Models lie here\n");
    refused(&world.push(ALICE), &["move"]);
    world.git(ALICE, &["reset", "-q", "--hard", "HEAD~1"]);
    world.edit(ALICE, "notes/models/README.md", "Other models\n");
    lands(&world.push(ALICE));
}

#[test]
fn a_branch_that_moves_it_is_checked_as_the_gate_judges_it() {
    let world = World::new();
    world.git(CAROL, &["checkout", "-q", "-b", "request", "main"]);
    world.act(CAROL, &["move", "ml"]);
    world.git(CAROL, &["checkout", "-q", "main"]);
    let [told, _] = world.checked(CAROL, "request");
    assert_eq!(told["may_merge"], serde_json::json!(["carol"]), "{told:#}");
    let [told, _] = world.checked(BOB, "request");
    assert_eq!(told["faults"][0]["rule"], "permission", "{told:#}");
}

#[test]
fn a_branch_that_moves_it_is_merged_with_what_landed_meanwhile() {
    let world = World::new();
    one_comment(&world);
    world.git(CAROL, &["checkout", "-q", "-b", "request", "main"]);
    world.act(CAROL, &["move", "ml"]);
    world.recorded(CAROL, "refs/heads/request");
    world.git(BOB, &["checkout", "-q", "main"]);
    world.act(BOB, &["comment", "add", "churn", "1", "meanwhile"]);
    world.landed();
    world.git(CAROL, &["-c", "merge.directoryRenames=true", "merge", "-q", "--no-ff", "--no-edit", "request"]);
    let judged = world.push(CAROL);
    lands(&judged);
    let told: Vec<&str> = judged.steps[0].events.iter().map(|e| e.name()).collect();
    assert_eq!(told, ["registry.moved"]);
    world.git(BOB, &["reset", "-q", "--hard", "HEAD~1"]);
    world.git(BOB, &["-c", "merge.directoryRenames=true", "merge", "-q", "--no-ff", "--no-edit", "request"]);
    refused(&world.push(BOB), &["permission"]);
}

#[test]
fn a_branch_from_before_the_move_is_told_to_take_the_move_in_first() {
    let world = World::new();
    branch_from_before(&world);
    let [told, _] = world.checked(BOB, "request");
    assert_eq!(told["faults"][0]["rule"], "merge", "{told:#}");
    world.git(ALICE, &["checkout", "-q", "request"]);
    world.git(ALICE, &["-c", "merge.directoryRenames=true", "merge", "-q", "--no-edit", "main"]);
    world.git(ALICE, &["checkout", "-q", "main"]);
    let [told, _] = world.checked(BOB, "request");
    assert_eq!(told["faults"], serde_json::json!([]), "{told:#}");
}

#[test]
fn one_of_two_registries_is_moved_by_its_own_people() {
    let world = World::within("a");
    let dave: super::world::Person = ("Dave", "dave@example.org");
    let id = "019ca8a0-3e80-748d-8735-530048af931c";
    for (path, text) in [
        (
            "b/greenroom.toml",
            format!("id = \"{id}\"\nname = \"b\"\nformat = 1\n\n[identity]\nauthority = \"pusher\"\n"),
        ),
        ("b/people/dave.toml", "emails = [\"dave@example.org\"]\n".to_owned()),
        ("b/access.toml", "grants = [{ to = \"dave\", level = \"CAN_MANAGE\" }]\n".to_owned()),
    ] {
        world.write(path, &text);
    }
    world.git(CAROL, &["add", "b"]);
    world.git(CAROL, &["commit", "-qm", "another registry"]);
    lands(&world.push(CAROL));
    world.landed();
    world.act(dave, &["-C", "b", "model", "create", "wine"]);
    lands(&world.push(dave));
    world.landed();
    world.act(dave, &["-C", "b", "move", "c"]);
    lands(&world.push(dave));
    world.landed();
    // The people of one registry have no right in the other, and its folder is not free.
    let said = world.failed(dave, &["-C", "c", "move", "a"]);
    assert!(said.contains("there is another registry in a/"), "{said}");
    world.git(ALICE, &["mv", "c", "d"]);
    world.git(ALICE, &["commit", "-qm", "move it"]);
    assert!(!world.push(ALICE).passes(), "she is nobody there");
}
