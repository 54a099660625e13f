//! Times to the millisecond: the log, as-of queries, searches and both APIs show events in their order.

use serde_json::{Value, json};

use crate::support::{Sandbox, server::Server};

/// The times of the log, oldest first.
fn logged(sandbox: &Sandbox) -> Vec<String> {
    let told = sandbox.alice().within("r").greenroom(["log", "-o", "json"]).success().json();
    let mut out: Vec<String> =
        told.as_array().expect("a list").iter().map(|e| e["at"].as_str().expect("a time").to_owned()).collect();
    out.reverse();
    out
}

#[track_caller]
fn rises(times: &[String], strictly: bool) {
    for pair in times.windows(2) {
        assert!(pair[0] < pair[1] || !strictly && pair[0] == pair[1], "{times:#?}");
    }
}

#[test]
fn commands_of_one_second_have_an_order() {
    let sandbox = Sandbox::new();
    let at = "2026-03-01T12:00:00Z";
    sandbox.alice().at(at).greenroom(["init", "r"]).success();
    let alice = sandbox.alice().within("r").at(at);
    for name in ["a", "b", "c"] {
        alice.greenroom(["model", "create", name]).success();
    }
    let times = logged(&sandbox);
    rises(&times, true);
    assert!(times.iter().all(|t| t.starts_with("2026-03-01T12:00:00.")), "{times:?}");
    // Each state can be asked for; a time without a fraction means the whole second.
    let models = |moment: &str| {
        let shown = alice.greenroom(["diff", moment, "HEAD", "-o", "json"]).success().json();
        shown.as_array().map_or_else(|| shown["events"].as_array().map_or(0, Vec::len), Vec::len)
    };
    let left: Vec<usize> = times.iter().map(|t| models(t)).collect();
    assert!(left.windows(2).all(|w| w[0] > w[1]), "{left:?}");
    assert_eq!(models(at), 0);
    alice.greenroom(["verify"]).success();
}

#[test]
fn a_clock_that_steps_back_takes_nothing_back() {
    let sandbox = Sandbox::new();
    sandbox.alice().at("2026-03-01T12:00:30Z").greenroom(["init", "r"]).success();
    let alice = sandbox.alice().within("r");
    alice.clone().at("2026-03-01T12:00:10Z").greenroom(["model", "create", "early"]).success();
    let times = logged(&sandbox);
    rises(&times, true);
    let second = alice.git(["log", "-1", "--format=%cI"]).success();
    assert!(second.stdout().starts_with("2026-03-01T12:00:30"), "{}", second.stdout());
}

#[test]
fn what_is_made_by_hand_never_counts_as_earlier() {
    let sandbox = Sandbox::new();
    let at = "2026-03-01T12:00:00Z";
    sandbox.alice().at(at).greenroom(["init", "r"]).success();
    let alice = sandbox.alice().within("r").at(at);
    alice.greenroom(["model", "create", "a"]).success();
    alice.greenroom(["model", "describe", "a", "one"]).success();
    let model = sandbox.read("r/models/a/model.toml").replace("one", "two");
    sandbox.write("r/models/a/model.toml", model);
    alice.git(["commit", "-qam", "By hand"]).success();
    alice.greenroom(["model", "describe", "a", "three"]).success();
    let times = logged(&sandbox);
    rises(&times, false);
    let last = &times[times.len() - 3..];
    assert!(last[0] == last[1] && last[1] < last[2], "{times:?}");
    // A trailer that contradicts the commit is ignored.
    let later = alice.clone().at("2026-03-01T12:00:05Z");
    later.git(["commit", "-q", "--amend", "--no-edit"]).success();
    assert_eq!(logged(&sandbox).last().map(String::as_str), Some("2026-03-01T12:00:05.000Z"));
    // The index gives the answers of a walk, built at once and step by step.
    let stepwise = logged(&sandbox);
    std::fs::remove_dir_all(sandbox.path("r/.git/greenroom")).expect("there is an index");
    assert_eq!(logged(&sandbox), stepwise);
}

#[test]
fn the_apis_tell_rising_times() {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "r"]).success();
    let alice = sandbox.alice().within("r");
    let server = Server::start(&alice, sandbox.path("log"), &[]);
    let mut last = 0;
    let mut newer = |told: &Value| {
        let at = told["last_updated_timestamp"].as_i64().expect("milliseconds");
        assert!(at > last, "{at} follows {last}");
        last = at;
    };
    newer(&server.post("registered-models/create", &json!({"name": "m"})).json(200)["registered_model"]);
    for n in 0..5 {
        let version = server.post("model-versions/create", &json!({"name": "m", "source": "s3://m/1"})).json(200);
        newer(&version["model_version"]);
        let text = json!({"name": "m", "description": n.to_string()});
        newer(&server.send("PATCH", "/api/2.0/mlflow/registered-models/update", &text).json(200)["registered_model"]);
    }
    // An edit by hand within the same second, and the server's answers afterwards and after a restart.
    let model = sandbox.read("r/models/m/model.toml").replace("\"4\"", "\"by hand\"");
    sandbox.write("r/models/m/model.toml", model);
    alice.git(["commit", "-qam", "By hand"]).success();
    let get = "/api/2.0/mlflow/registered-models/get?name=m";
    let seen = server.get(get).json(200)["registered_model"].clone();
    assert_eq!(seen["description"], "by hand");
    assert!(seen["last_updated_timestamp"].as_i64().is_some_and(|at| at >= last), "{seen} follows {last}");
    drop(server);
    let server = Server::start(&alice, sandbox.path("log"), &[]);
    assert_eq!(server.get(get).json(200)["registered_model"]["last_updated_timestamp"], seen["last_updated_timestamp"]);
    rises(&logged(&sandbox), false);
}
