//! The identity of a committer by the files of people: addresses that move to another person, and unreadable files.

use super::world::{ALICE, BOB, CAROL, World};
use super::{lands, refused};

#[test]
fn an_address_that_was_anothers_is_given_to_nobody_while_that_one_stays() {
    let world = World::new();
    // In two steps it is known from the history.
    world.act(CAROL, &["person", "set", "alice", "--email", "second@example.org"]);
    world.landed();
    world.act(CAROL, &["person", "set", "alice", "--remove-email", ALICE.1]);
    let say = "greenroom person remove alice";
    let file = world.file("people/bob.toml").replace("emails = [", &format!("emails = [\"{}\", ", ALICE.1));
    world.edit(CAROL, "people/bob.toml", &file);
    let judged = world.push(CAROL);
    refused(&judged, &["person-id"]);
    assert!(judged.render().contains(say), "{}", judged.render());
    world.git(CAROL, &["reset", "-q", "--hard", "HEAD~1"]);
    world.landed();
    world.edit(CAROL, "people/bob.toml", &file);
    refused(&world.push(CAROL), &["person-id"]);
    world.git(CAROL, &["reset", "-q", "--hard", "HEAD~1"]);
    // The command refuses the same.
    let said = world.refused(CAROL, &["person", "set", "bob", "--email", ALICE.1]);
    assert!(said.contains(say), "{said}");
    // One human under a new id: the old one goes.
    world.act(CAROL, &["person", "remove", "alice", "--yes"]);
    world.act(CAROL, &["person", "set", "bob", "--email", ALICE.1]);
    lands(&world.push(CAROL));
    for told in world.verified() {
        assert_eq!(told["ok"], true, "{told:#}");
    }
}

#[test]
fn a_persons_file_that_cannot_be_read_is_named_instead_of_a_person_who_is_nobody() {
    let world = World::new();
    world.edit(CAROL, "people/bob.toml", "emails = 3\n[broken");
    world.landed();
    world.edit(BOB, "models/churn/stages/Staging.toml", "versions = [1]\n");
    let judged = world.push(BOB);
    assert!(!judged.passes() && judged.render().contains("people/bob.toml cannot"), "{}", judged.render());
    // No other person is in doubt.
    world.git(CAROL, &["reset", "-q", "--hard", "HEAD~1"]);
    world.act(CAROL, &["comment", "add", "churn", "1", "hello"]);
    lands(&world.push(CAROL));
    let said = world.failed(BOB, &["transition", "churn", "1", "Staging"]);
    assert!(said.contains("people/bob.toml"), "{said}");
    let said = world.failed(CAROL, &["comment", "add", "churn", "1", "hello", "--as", "bob"]);
    assert!(said.contains("people/bob.toml") && !said.contains("person add"), "{said}");
    let said = world.failed(CAROL, &["token", "create", "--person", "bob"]);
    assert!(said.contains("people/bob.toml"), "{said}");
}
