//! The branch is renamed, deleted or left, or the registry's files move elsewhere, while the server runs.

use serde_json::json;

use super::{World, named, said};
use crate::support::server::{MLFLOW, Server};

/// A served registry with the model `wine`.
fn served() -> (World, Server) {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    server.post("registered-models/create", &named("wine")).json(200);
    (world, server)
}

/// Demands that reads see `wine` and that a write succeeds, as the newest commit of a branch.
#[track_caller]
fn is_well(world: &World, server: &Server, branch: &str, tag: &str) {
    server.get(&format!("{MLFLOW}/registered-models/get?name=wine")).json(200);
    let found = server.get(&format!("{MLFLOW}/registered-models/search")).json(200);
    assert_eq!(found["registered_models"].as_array().map(Vec::len), Some(1), "{found}");
    let body = json!({ "name": "wine", "key": tag, "value": "1" });
    server.post("registered-models/set-tag", &body).json(200);
    let log = world.alice().git(["log", "-1", "--format=%s", branch]).success();
    assert!(log.stdout().contains(tag), "{}", log.stdout());
    // Reader threads with an open repository know the new place, too.
    server.get("/api/greenroom/activities/list?name=wine&max_results=5").answer();
}

/// Demands that every answer is an error with the reason.
#[track_caller]
fn is_lost(server: &Server, why: &str) {
    for path in ["registered-models/search", "registered-models/get?name=wine", "model-versions/search"] {
        let refused = server.get(&format!("{MLFLOW}/{path}")).json(503);
        let (code, message) = said(&refused);
        assert!(code == "TEMPORARILY_UNAVAILABLE" && message.contains(why), "{code} {message}");
    }
    server.post("registered-models/create", &named("beer")).json(503);
    assert_eq!(server.get("/health").answer().status, 200);
}

#[test]
fn a_branch_that_is_renamed_is_followed() {
    let (world, server) = served();
    world.alice().git(["branch", "-m", "main", "trunk"]).success();
    is_well(&world, &server, "trunk", "first");
    // Again, with a commit in between, and with packed references.
    world.alice().git(["branch", "-m", "trunk", "main"]).success();
    world.alice().greenroom(["tag", "set", "wine", "between=1"]).success();
    world.alice().git(["pack-refs", "--all"]).success();
    is_well(&world, &server, "main", "second");
    let model = server.get(&format!("{MLFLOW}/registered-models/get?name=wine")).json(200);
    assert_eq!(model["registered_model"]["tags"].as_array().map(Vec::len), Some(3), "{model}");
    world.is_sound();
}

#[test]
fn a_branch_that_is_deleted_is_an_error_until_it_is_back() {
    let (world, server) = served();
    let tip = world.alice().git(["rev-parse", "HEAD"]).success().stdout().trim().to_owned();
    world.alice().git(["switch", "--quiet", "--orphan", "other"]).success();
    world.alice().git(["commit", "--quiet", "--allow-empty", "-m", "Something else"]).success();
    // HEAD is on another branch, and the served branch still exists.
    server.get(&format!("{MLFLOW}/registered-models/get?name=wine")).json(200);
    world.alice().git(["branch", "-D", "main"]).success();
    is_lost(&server, "the branch main no longer exists");
    world.alice().git(["branch", "main", &tip]).success();
    is_well(&world, &server, "main", "back");
    // The same with a detached HEAD.
    world.alice().git(["switch", "--quiet", "--detach", "main"]).success();
    is_well(&world, &server, "main", "detached");
    let tip = world.alice().git(["rev-parse", "main"]).success().stdout().trim().to_owned();
    world.alice().git(["update-ref", "-d", "refs/heads/main"]).success();
    is_lost(&server, "the branch main no longer exists");
    world.alice().git(["update-ref", "refs/heads/main", &tip]).success();
    is_well(&world, &server, "main", "again");
}

#[test]
fn a_registry_that_is_removed_is_an_error_and_one_that_is_moved_is_followed() {
    let (world, server) = served();
    world.alice().git(["rm", "--quiet", "greenroom.toml"]).success();
    world.alice().git(["commit", "--quiet", "-m", "Remove it"]).success();
    is_lost(&server, "no longer contains the registry");
    world.alice().git(["revert", "--no-edit", "HEAD"]).success();
    is_well(&world, &server, "main", "reverted");
    world.sandbox.write("r/ml/.keep", "");
    for name in ["greenroom.toml", "access.toml", "people", "models"] {
        world.alice().git(["mv", name, "ml/"]).success();
    }
    world.alice().git(["commit", "--quiet", "-m", "Move it"]).success();
    is_well(&world, &server, "main", "moved");
    let there = world.alice().git(["show", "--format=", "--name-only", "HEAD"]).success();
    assert!(there.stdout().starts_with("ml/models/wine/"), "{}", there.stdout());
}

#[test]
fn a_registry_that_is_moved_by_command_is_served_on_with_its_past() {
    let (world, server) = served();
    world.alice().greenroom(["tag", "set", "wine", "when=before"]).success();
    let before = world.alice().git(["rev-parse", "HEAD"]).success().stdout().trim().to_owned();
    let path = format!("/api/greenroom/models/get?name=wine&as_of={before}");
    let then = server.get(&path).json(200);
    for to in ["ml", "registry", "."] {
        world.alice().greenroom(["move", to]).success();
        is_well(&world, &server, "main", &format!("in {to}"));
        assert_eq!(server.get(&path).json(200), then, "as of before the move");
        let feed = server.get("/api/greenroom/events?max_results=1000").json(200);
        let told: Vec<&str> =
            feed["events"].as_array().expect("events").iter().filter_map(|e| e["event"].as_str()).collect();
        assert_eq!(told.iter().filter(|name| **name == "model.created").count(), 1, "{told:?}");
        assert!(told.contains(&"registry.moved"), "{told:?}");
    }
    world.is_sound();
}
