//! The check of a pull request and the gate at its merge give one verdict and the same hints.

use std::collections::BTreeSet;

use serde_json::Value;

use super::world::{ALICE, BOB, CAROL, Person, World};

const PRODUCTION: &str = "models/churn/stages/Production.toml";
const STAGING: &str = "models/churn/stages/Staging.toml";

/// The rules and hints of a list of faults.
fn of_check(told: &Value) -> BTreeSet<(String, String)> {
    let text = |f: &Value, key: &str| f[key].as_str().expect("text").to_owned();
    told["faults"].as_array().expect("a list").iter().map(|f| (text(f, "rule"), text(f, "help"))).collect()
}

/// A way to create a branch `request`.
type Situation = (&'static str, fn(&World));

/// Alice requests Production by hand on a branch.
fn ask(world: &World) {
    world.edit(ALICE, PRODUCTION, "versions = [1]\n");
}

const SITUATIONS: &[Situation] = &[
    ("nothing proves the author", |world| ask(world)),
    ("the author pushed it", |world| {
        ask(world);
        world.recorded(ALICE, "refs/heads/request");
    }),
    ("another pushed it", |world| {
        ask(world);
        world.recorded(BOB, "refs/heads/request");
    }),
    ("the author signed it", |world| world.edit_signed(ALICE, ALICE, PRODUCTION, "versions = [1]\n")),
    ("another signed it", |world| world.edit_signed(ALICE, BOB, PRODUCTION, "versions = [1]\n")),
    ("one who manages asks", |world| {
        world.edit(CAROL, PRODUCTION, "versions = [1]\n");
        world.recorded(CAROL, "refs/heads/request");
    }),
    ("who may approve asks", |world| {
        world.edit(BOB, PRODUCTION, "versions = [1]\n");
        world.recorded(BOB, "refs/heads/request");
    }),
    ("one commit of two is proven", |world| {
        world.edit_signed(ALICE, ALICE, PRODUCTION, "versions = [1]\n");
        world.forge_edit(BOB, CAROL, "README.md", "in carol's name\n");
    }),
    ("two who are proven", |world| {
        ask(world);
        world.edit(CAROL, "README.md", "x\n");
        world.edit_signed(BOB, BOB, "LICENSE", "x\n");
        world.recorded(ALICE, "refs/heads/request");
    }),
    ("no approval is needed", |world| world.edit(ALICE, STAGING, "versions = [1]\n")),
    ("a comment in another's name", |world| {
        world.edit_signed(ALICE, ALICE, "README.md", "x\n");
    }),
    ("the settings", |world| {
        let text = std::fs::read_to_string(world.path("greenroom.toml")).expect("it is there");
        world.edit(ALICE, "greenroom.toml", &text.replace("approvals = 1", "approvals = 0"));
        world.recorded(ALICE, "refs/heads/request");
    }),
];

#[test]
fn both_say_the_same_of_each_merge() {
    let (mut passed, mut refused) = (0, 0);
    for (about, make) in SITUATIONS {
        let world = World::new();
        world.key(ALICE);
        world.key(BOB);
        world.git(ALICE, &["checkout", "-q", "-b", "request"]);
        make(&world);
        world.git(CAROL, &["checkout", "-q", "main"]);
        for merger in [ALICE, BOB, CAROL] {
            let [told, without] = world.checked(merger, "request");
            world.git(merger, &["merge", "-q", "--no-ff", "--no-edit", "request"]);
            let judged = world.push(merger);
            let gate: BTreeSet<(String, String)> =
                judged.faults().map(|r| (r.fault.problem.rule.to_owned(), r.fault.problem.help.clone())).collect();
            assert_eq!(of_check(&told), gate, "{about}, merged by {}: {}", merger.0, judged.render());
            assert_eq!(told["passes"], judged.passes(), "{about}, merged by {}", merger.0);
            names_no_requester(&told, about);
            // Without the record of pushes the check may be stricter, and says why; it is never laxer.
            assert!(without["passes"] == told["passes"] || without["passes"] == false, "{about}");
            if without["passes"] != told["passes"] {
                let told = without["warnings"].to_string();
                assert!(told.contains("git fetch origin 'refs/notes/greenroom/*"), "{about}: {told}");
            }
            *(if judged.passes() { &mut passed } else { &mut refused }) += 1;
            world.git(merger, &["reset", "-q", "--hard", "HEAD~1"]);
        }
    }
    assert!(passed > 5 && refused > 5, "{passed} passed, {refused} were refused");
}

/// Demands that hints name none of the people who made the branch.
#[track_caller]
fn names_no_requester(told: &Value, about: &str) {
    for (_, help) in of_check(told) {
        let Some((_, named)) = help.split_once("ask ") else { continue };
        for author in told["authors"].as_array().expect("a list") {
            let author = author.as_str().expect("a name");
            assert!(!named.split([',', ' ']).any(|word| word == author), "{about}: {help}");
        }
    }
}

#[test]
fn a_history_is_not_condemned_for_want_of_the_record() {
    let world = World::new();
    world.git(ALICE, &["checkout", "-q", "-b", "request"]);
    ask(&world);
    world.recorded(ALICE, "refs/heads/request");
    world.git(BOB, &["checkout", "-q", "main"]);
    world.git(BOB, &["merge", "-q", "--no-ff", "--no-edit", "request"]);
    assert!(world.push(BOB).passes());
    world.recorded(BOB, "refs/heads/main");
    let [with, without] = world.verified();
    assert_eq!(with["findings"], serde_json::json!([]));
    assert_eq!(without["findings"], serde_json::json!([]), "{without:#}");
    let told = without["unchecked"].to_string();
    assert!(
        told.contains("a fault that only the record of pushes can decide, and that record is not in this clone: "),
        "{told}"
    );
    // A fault that no record could justify stays a fault.
    forbidden(&world, ALICE);
    let [_, without] = world.verified();
    assert_eq!(without["findings"][0]["rule"], "permission", "{without:#}");
}

/// A person makes a forbidden change by hand, and pushes it without the gate.
fn forbidden(world: &World, person: Person) {
    world.edit(person, "models/churn/aliases/best.toml", "version = 1\n");
}
