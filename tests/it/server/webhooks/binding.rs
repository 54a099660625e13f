//! Where a secret that came through the APIs is sent: to the target that it was given for, and to no other.

use serde_json::{Value, json};

use super::super::{World, said};
use crate::support::hooked::{Got, Hooked};

const DATABRICKS: &str = "/api/2.0/mlflow/registry-webhooks";
const MLFLOW: &str = "/api/2.0/mlflow/webhooks";
const TOKEN: &str = "Bearer canary-2";

fn world() -> World {
    let world = World::new(&[("bob", "")]);
    let alice = world.alice();
    alice.greenroom(["model", "create", "churn"]).success();
    alice.greenroom(["access", "grant", "bob", "CAN_MANAGE", "--model", "churn"]).success();
    for (key, value) in [("greenroom.webhookAllow", "127.0.0.1"), ("greenroom.retryScale", "0.001")] {
        alice.git(["config", key, value]).success();
    }
    world
}

fn hook(url: &str) -> Value {
    json!({
        "events": ["MODEL_VERSION_CREATED"], "model_name": "churn",
        "http_url_spec": {"url": url, "secret": "canary-1", "authorization": TOKEN},
    })
}

/// Registers a version.
fn happens(world: &World) {
    world.alice().greenroom(["register", "churn", "--source", "s3://bucket/m"]).success();
}

fn token(got: &Got) -> Option<&str> {
    got.header("authorization")
}

/// The webhooks that the secrets belong to.
fn owners(world: &World) -> Vec<Value> {
    let listed = world.alice().greenroom(["secret", "list", "-o", "json"]).success().json();
    listed.as_array().expect("a list").iter().map(|secret| secret["webhook"].clone()).collect()
}

/// Waits until the deliveries of the registry show a text.
#[track_caller]
fn waits_for(world: &World, words: &str) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let shown = world.alice().greenroom(["webhook", "deliveries", "-o", "json"]).success();
        if shown.stdout().contains(words) {
            return;
        }
        assert!(std::time::Instant::now() < end, "{words:?} is not in\n{}", shown.stdout());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_secret_goes_along_when_an_administrator_changes_the_target_and_waits_when_a_commit_does() {
    let (first, second, evil) = (Hooked::with_status(200), Hooked::with_status(200), Hooked::with_status(200));
    let world = world();
    let server = world.serve(&[]);
    let made = server.send("POST", &format!("{DATABRICKS}/create"), &hook(&first.url())).json(200);
    let id = made["webhook"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(owners(&world), [json!(id), json!(id)], "both are bound at once");
    happens(&world);
    first.wait(1);
    assert_eq!(token(&first.got()[0]), Some(TOKEN));

    server.send("PATCH", &format!("{MLFLOW}/{id}"), &json!({"url": second.url()})).json(200);
    happens(&world);
    second.wait(1);
    assert_eq!((token(&second.got()[0]), first.got().len()), (Some(TOKEN), 1));

    // A manager of the model alone may not, and a commit by hand makes the deliveries wait.
    let path = format!("webhooks/{id}.toml");
    let text = world.sandbox.read(format!("r/{path}"));
    world.sandbox.write(format!("r/{path}"), text.replace(&second.url(), &evil.url()));
    world.sandbox.bob().within("r").git(["commit", "--quiet", "-a", "-m", "By hand"]).success();
    happens(&world);
    waits_for(&world, "was set for another target or use of the webhook");
    // An administrator's change of something else approves no target, and neither does one that starts from there.
    server.send("PATCH", &format!("{DATABRICKS}/update"), &json!({"id": id, "description": "new"})).json(200);
    server.send("PATCH", &format!("{MLFLOW}/{id}"), &json!({"url": format!("{}/x", evil.url())})).json(200);
    let tested = server.send("POST", &format!("{MLFLOW}/{id}/test"), &json!({})).json(200);
    let why = tested["result"]["error_message"].as_str().expect("a reason");
    assert!(why.contains(&format!("webhook {id}")) && why.contains("greenroom secret release"), "{why}");
    assert_eq!(evil.got().len(), 0);
    // Back at the target, what waited is sent.
    server.send("PATCH", &format!("{MLFLOW}/{id}"), &json!({"url": second.url()})).json(200);
    second.wait(2);
    assert!(second.got().iter().all(|got| token(got) == Some(TOKEN)));
    assert_eq!(evil.got().len(), 0);
}

#[test]
fn who_manages_a_model_alone_takes_no_secret_along() {
    let (first, evil) = (Hooked::with_status(200), Hooked::with_status(200));
    let world = world();
    let server = world.serve(&[]);
    let made = server.send("POST", &format!("{DATABRICKS}/create"), &hook(&first.url())).json(200);
    let id = made["webhook"]["id"].as_str().expect("an id").to_owned();
    let bob = |method: &'static str, path: &str, body: &Value| server.send(method, path, body).by(world.token("bob"));
    let refused = bob("PATCH", &format!("{MLFLOW}/{id}"), &json!({"url": evil.url()})).json(403);
    assert_eq!(said(&refused).0, "PERMISSION_DENIED");
    // Without the secrets he may, and the values are gone with their names.
    let names: Vec<String> = secret_names(&world, &id);
    let spec = json!({"url": evil.url()});
    bob("PATCH", &format!("{DATABRICKS}/update"), &json!({"id": id, "http_url_spec": spec})).json(200);
    assert_eq!(owners(&world), [Value::Null; 0]);
    let path = format!("r/webhooks/{id}.toml");
    let text = world.sandbox.read(&path);
    world.sandbox.write(&path, format!("{text}authorization = \"{}\"\n", names[0]));
    world.sandbox.bob().within("r").git(["commit", "--quiet", "-a", "-m", "By hand"]).success();
    happens(&world);
    waits_for(&world, "is not set");
    assert_eq!(evil.got().len(), 0, "{:?}", evil.got());
}

/// The names of secrets in the file of a webhook.
fn secret_names(world: &World, id: &str) -> Vec<String> {
    let text = world.sandbox.read(format!("r/webhooks/{id}.toml"));
    let named = text.lines().filter_map(|line| Some(line.split_once(" = \"webhook-")?.1.trim_end_matches('"')));
    named.map(|rest| format!("webhook-{rest}")).collect()
}

#[test]
fn a_webhook_whose_model_is_gone_is_mended_by_an_administrator() {
    let world = world();
    let server = world.serve(&[]);
    let made = server.send("POST", &format!("{DATABRICKS}/create"), &hook("https://hooks.example.org/x")).json(200);
    let id = made["webhook"]["id"].as_str().expect("an id").to_owned();
    world.alice().git(["rm", "--quiet", "-r", "models/churn"]).success();
    world.alice().git(["commit", "--quiet", "-m", "By hand"]).success();
    let list = |person: &str| server.get(&format!("{DATABRICKS}/list")).by(world.token(person)).json(200);
    assert_eq!(list("bob"), json!({}), "nobody manages a model that is gone");
    assert_eq!(list("alice")["webhooks"][0]["id"], json!(id));
    let create = |person: &str| {
        let body = json!({"name": "churn"});
        server.send("POST", "/api/2.0/mlflow/registered-models/create", &body).by(world.token(person))
    };
    let refused = create("bob").json(400);
    assert!(said(&refused).1.contains("is left from another model 'churn'"), "{refused}");
    let delete =
        |person: &str| server.request("DELETE", &format!("{DATABRICKS}/delete?id={id}")).by(world.token(person));
    delete("bob").json(404);
    delete("alice").json(200);
    create("bob").json(200);
    world.is_sound();
}
