//! Webhooks over both APIs, by the wire: shapes, permissions, partial changes, pages, tests.

use std::thread;
use std::time::Duration;

use greenroom::git::Repo;
use serde_json::{Value, json};

use super::super::{World, said, token};
use crate::support::Sandbox;
use crate::support::hooked::Hooked;
use crate::support::server::Server;

const DATABRICKS: &str = "/api/2.0/mlflow/registry-webhooks";
const PREVIEW: &str = "/api/2.0/preview/mlflow/registry-webhooks";
const MLFLOW: &str = "/api/2.0/mlflow/webhooks";

fn world(people: &[(&str, &str)]) -> World {
    let world = World::new(people);
    world.alice().greenroom(["model", "create", "churn"]).success();
    world.alice().git(["config", "greenroom.webhookAllow", "127.0.0.1"]).success();
    world
}

fn hook(url: &str) -> Value {
    json!({
        "events": ["MODEL_VERSION_CREATED"], "model_name": "churn", "description": "d", "status": "TEST_MODE",
        "http_url_spec": {"url": url, "secret": "canary-1", "authorization": "Bearer canary-2"},
    })
}

#[test]
fn databricks_webhooks_are_made_listed_changed_and_deleted() {
    let world = world(&[]);
    let server = world.serve(&[]);
    let made = server.send("POST", &format!("{DATABRICKS}/create"), &hook("https://hooks.example.org/x")).json(200);
    let id = made["webhook"]["id"].as_str().expect("an id").to_owned();
    let created = made["webhook"]["creation_timestamp"].clone();
    assert!(created.is_i64());
    assert_eq!(
        made,
        json!({"webhook": {
            "id": id, "creation_timestamp": created, "last_updated_timestamp": created, "status": "TEST_MODE",
            "events": ["MODEL_VERSION_CREATED"], "description": "d", "model_name": "churn",
            "http_url_spec": {"url": "https://hooks.example.org/x", "enable_ssl_verification": true},
        }})
    );
    let list = |query: &str| server.get(&format!("{DATABRICKS}/list{query}")).json(200);
    assert_eq!(list("")["webhooks"], json!([made["webhook"]]));
    assert_eq!(list("?model_name=churn&events=COMMENT_CREATED&events=MODEL_VERSION_CREATED")["webhooks"][0]["id"], id);
    assert_eq!(list("?events=COMMENT_CREATED"), json!({}));
    assert_eq!(list("?model_name=other"), json!({}));

    let update = |body: Value| server.send("PATCH", &format!("{PREVIEW}/update"), &body).json(200)["webhook"].clone();
    let changed = update(json!({"id": id, "status": "ACTIVE"}));
    assert_eq!((&changed["status"], &changed["description"]), (&json!("ACTIVE"), &json!("d")), "the rest stays");
    assert!(changed["last_updated_timestamp"].as_i64() >= created.as_i64());
    let changed = update(json!({"id": id, "events": ["COMMENT_CREATED"], "http_url_spec": {
        "url": "https://hooks.example.org/y", "enable_ssl_verification": "false"}}));
    let spec = json!({"url": "https://hooks.example.org/y", "enable_ssl_verification": false});
    assert_eq!((&changed["http_url_spec"], &changed["events"]), (&spec, &json!(["COMMENT_CREATED"])));
    let job = json!({"job_id": "7", "access_token": "canary-3", "workspace_url": "https://jobs.example.org"});
    let changed = update(json!({"id": id, "job_spec": job}));
    assert_eq!(changed["job_spec"], json!({"job_id": "7", "workspace_url": "https://jobs.example.org"}));
    assert_eq!(changed.get("http_url_spec"), None);

    // The old client sends the id in the body, the SDK in the query.
    server.send("DELETE", &format!("{DATABRICKS}/delete"), &json!({"id": id})).json(200);
    let again = server.send("POST", &format!("{DATABRICKS}/create"), &hook("https://hooks.example.org/z")).json(200);
    let id = again["webhook"]["id"].as_str().expect("an id").to_owned();
    let gone = server.send("DELETE", &format!("{DATABRICKS}/delete?id={id}"), &Value::Null);
    assert_eq!(gone.answer().status, 400, "null is not an object");
    let path = format!("{DATABRICKS}/delete?id={id}");
    assert_eq!(server.request("DELETE", &path).json(200), json!({}));
    assert_eq!(said(&server.request("DELETE", &path).json(404)).0, "RESOURCE_DOES_NOT_EXIST");
    assert_eq!(list(""), json!({}));
    let secrets = world.alice().greenroom(["secret", "list", "-o", "json"]).success().json();
    assert_eq!(secrets, json!([]), "no secret outlives its webhook");
    world.is_sound();
}

/// The names of all secrets.
fn secrets(world: &World) -> Vec<String> {
    let listed = world.alice().greenroom(["secret", "list", "-o", "json"]).success().json();
    let names = listed.as_array().expect("a list").iter().map(|s| s["name"].as_str().expect("a name").to_owned());
    names.collect()
}

#[test]
fn changes_at_the_same_time_are_all_made_and_no_secret_in_use_is_lost() {
    let world = world(&[]);
    let server = world.serve(&[]);
    let made = server.send("POST", &format!("{DATABRICKS}/create"), &hook("https://hooks.example.org/x")).json(200);
    let id = made["webhook"]["id"].as_str().expect("an id").to_owned();
    let repo = Repo::open(&world.sandbox.path("r/.git")).expect("the repository opens");
    let lock = repo.lock(Duration::from_secs(10)).expect("no other process writes");
    let secret = json!({"id": id, "http_url_spec": {"url": "https://hooks.example.org/y", "secret": "canary-3"}});
    let bodies = [secret, json!({"id": id, "description": "new"}), json!({"id": id, "status": "DISABLED"})];
    thread::scope(|threads| {
        for body in &bodies {
            let server = &server;
            threads.spawn(move || server.send("PATCH", &format!("{DATABRICKS}/update"), body).json(200));
            // All of them read the webhook in its old state before any of them changes it, in this order.
            thread::sleep(Duration::from_millis(300));
        }
        drop(lock);
    });
    let webhook = server.get(&format!("{DATABRICKS}/list")).json(200)["webhooks"][0].clone();
    assert_eq!(
        (&webhook["http_url_spec"]["url"], &webhook["description"], &webhook["status"]),
        (&json!("https://hooks.example.org/y"), &json!("new"), &json!("DISABLED"))
    );
    let file = world.sandbox.read(format!("r/webhooks/{id}.toml"));
    let names = secrets(&world);
    assert!(names.len() == 1 && file.contains(&format!("secret = \"{}\"", names[0])), "{names:?}: {file}");
}

#[test]
fn a_secret_that_another_webhook_names_outlives_the_first() {
    let world = world(&[]);
    let server = world.serve(&[]);
    let made = server.send("POST", &format!("{DATABRICKS}/create"), &hook("https://hooks.example.org/x")).json(200);
    let id = made["webhook"]["id"].as_str().expect("an id").to_owned();
    let file = world.sandbox.read(format!("r/webhooks/{id}.toml"));
    let name = file.lines().find_map(|l| l.strip_prefix("secret = \"")?.strip_suffix('"')).expect("it is named");
    // The rules refuse a second webhook with the secret, but older histories may hold one.
    let other = "019cd79e-4600-7648-a98b-48be03199627";
    let lines = file.lines().filter(|line| !line.starts_with("authorization"));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    world.sandbox.write(format!("r/webhooks/{other}.toml"), text.replace(&id, other));
    world.alice().git(["add", "."]).success();
    world.alice().git(["commit", "--quiet", "-m", "By hand"]).success();
    server.request("DELETE", &format!("{DATABRICKS}/delete?id={id}")).json(200);
    assert_eq!(secrets(&world), [name], "only the secret that no webhook names is deleted");
}

#[test]
fn who_may_only_read_sends_nothing_and_starts_no_job() {
    let receiver = Hooked::saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let world = world(&[]);
    let server = world.serve(&["--require-token"]);
    let create = server.send("POST", &format!("{DATABRICKS}/create"), &hook(&receiver.url()));
    let made = create.by(world.token("alice")).json(200);
    let id = made["webhook"]["id"].as_str().expect("an id");
    let reader = token(&world.alice(), "alice", &["--read-only"]);
    for (path, body) in [(format!("{DATABRICKS}/test"), json!({"id": id})), (format!("{MLFLOW}/{id}/test"), json!({}))]
    {
        let refused = server.send("POST", &path, &body).by(&reader).json(403);
        assert_eq!(said(&refused), ("PERMISSION_DENIED", "This token may only read."));
    }
    assert!(receiver.got().is_empty());
}

#[test]
fn what_makes_no_sense_is_refused_and_leaves_no_secret() {
    let world = World::new(&[]);
    world.alice().greenroom(["model", "create", "churn"]).success();
    let server = world.serve(&[]);
    let good = hook("https://hooks.example.org/x");
    for (key, value, part) in [
        ("events", json!([]), "Missing value for required parameter 'events'"),
        ("events", json!(["MODEL_VERSION_EXPLODED"]), "there is no event named MODEL_VERSION_EXPLODED"),
        ("events", json!(["version.transitioned"]), "the profile databricks cannot send version.transitioned"),
        ("events", json!(["REGISTERED_MODEL_CREATED"]), "never gets REGISTERED_MODEL_CREATED"),
        ("model_name", json!("nope"), "not found"),
        ("status", json!("ON"), "Invalid webhook status: ON"),
        (
            "http_url_spec",
            json!({"url": "http://hooks.example.org/"}),
            "only https is allowed, except for hosts that greenroom.webhookAllow names",
        ),
        ("http_url_spec", json!({"url": "https://169.254.169.254/"}), "not a public address"),
        ("http_url_spec", json!({"url": "https://2130706433/"}), "not a public address"),
        ("http_url_spec", json!({"url": "https://localhost/"}), "not a public address"),
        ("http_url_spec", json!({"url": "https://[::ffff:10.0.0.1]/"}), "not a public address"),
        ("http_url_spec", json!({"url": "https://a:b@hooks.example.org/"}), "credentials"),
        ("http_url_spec", json!({"url": "ftp://hooks.example.org/"}), "Invalid webhook URL"),
        ("http_url_spec", json!("x"), "Invalid value"),
        ("http_url_spec", Value::Null, "needs a target"),
        ("job_spec", json!({"job_id": "1", "access_token": "t", "workspace_url": "https://x.example"}), "not both"),
    ] {
        let mut body = good.clone();
        body[key] = value.clone();
        let answer = server.send("POST", &format!("{DATABRICKS}/create"), &body).answer();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!((400..500).contains(&answer.status) && text.contains(part), "{key}={value}: {} {text}", answer.status);
        assert!(!text.contains("canary"), "{text}");
    }
    assert_eq!(world.alice().greenroom(["secret", "list", "-o", "json"]).success().json(), json!([]));
    assert_eq!(server.get(&format!("{DATABRICKS}/list")).json(200), json!({}));
}

#[test]
fn who_manages_the_model_manages_its_webhooks_and_sees_no_others() {
    let world = world(&[("bob", "CAN_READ"), ("carol", "CAN_READ"), ("dave", "")]);
    world.alice().greenroom(["access", "grant", "bob", "CAN_MANAGE", "--model", "churn"]).success();
    let server = world.serve(&[]);
    let (create, list) = (format!("{DATABRICKS}/create"), format!("{DATABRICKS}/list"));
    let by = |person: &str, body: &Value| server.send("POST", &create, body).by(world.token(person)).answer().status;
    let of_model = hook("https://hooks.example.org/x");
    let mut of_all = of_model.clone();
    of_all.as_object_mut().expect("an object").remove("model_name");
    assert_eq!(by("bob", &of_model), 200);
    assert_eq!(by("bob", &of_all), 403);
    assert_eq!(by("carol", &of_model), 403);
    assert_eq!(by("dave", &of_model), 404, "what one may not read is not there");
    assert_eq!(by("alice", &of_all), 200);
    let seen = |person: &str| {
        let all = server.get(&list).by(world.token(person)).json(200);
        all["webhooks"].as_array().map_or(0, Vec::len)
    };
    assert_eq!([seen("alice"), seen("bob"), seen("carol"), seen("dave")], [2, 1, 0, 0]);
    let all = server.get(&list).by(world.token("alice")).json(200);
    for webhook in all["webhooks"].as_array().expect("both") {
        let id = webhook["id"].as_str().expect("an id");
        for (method, path) in [("POST", "test"), ("PATCH", "update"), ("DELETE", "delete")] {
            let refused = server.send(method, &format!("{DATABRICKS}/{path}"), &json!({"id": id}));
            assert_eq!(refused.by(world.token("carol")).answer().status, 404, "{method} {path}");
        }
        assert_eq!(server.get(&format!("{MLFLOW}/{id}")).by(world.token("carol")).answer().status, 404);
    }
}

#[test]
fn lists_come_in_pages_whose_tokens_are_bound_to_what_was_asked() {
    let world = world(&[]);
    let server = world.serve(&[]);
    for n in 0..5 {
        let mut body = hook("https://hooks.example.org/x");
        body["description"] = json!(n.to_string());
        server.send("POST", &format!("{DATABRICKS}/create"), &body).json(200);
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("{DATABRICKS}/list?max_results=2&page_token={token}")).json(200);
        let rows = page["webhooks"].as_array().cloned().unwrap_or_default();
        assert!(rows.len() <= 2);
        seen.extend(rows.iter().map(|w| w["description"].as_str().unwrap_or_default().to_owned()));
        match page["next_page_token"].as_str() {
            Some(next) => token = next.replace('+', "%2B").replace('=', "%3D"),
            None => break,
        }
    }
    assert_eq!(seen, ["4", "3", "2", "1", "0"]);
    for query in [
        format!("?model_name=churn&page_token={token}"),
        "?page_token=abc".to_owned(),
        "?max_results=0".into(),
        "?max_results=1001".into(),
    ] {
        assert_eq!(server.get(&format!("{DATABRICKS}/list{query}")).answer().status, 400, "{query}");
    }
    assert_eq!(
        said(&server.get(&format!("{MLFLOW}?max_results=1001")).json(400)).1,
        "max_results must be between 1 and 1000."
    );
}

#[test]
fn mlflows_webhooks_are_the_same_webhooks_in_its_words() {
    let world = world(&[]);
    let server = world.serve(&[]);
    let body = json!({
        "name": "ci", "url": "https://hooks.example.org/x", "secret": "canary-1", "description": "d",
        "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}, {"entity": "MODEL_VERSION_ALIAS", "action": "CREATED"}],
    });
    let made = server.send("POST", MLFLOW, &body).json(200)["webhook"].clone();
    let id = made["webhook_id"].as_str().expect("an id").to_owned();
    assert_eq!(made["events"][0], json!({"entity": "MODEL_VERSION", "action": "CREATED"}));
    assert_eq!((&made["status"], made.get("secret")), (&json!("ACTIVE"), None));
    let one = format!("{MLFLOW}/{id}");
    assert_eq!(server.get(&one).json(200)["webhook"], made);
    let changed = server.send("PATCH", &one, &json!({"status": "DISABLED", "name": "", "events": []})).json(200);
    assert_eq!((&changed["webhook"]["status"], &changed["webhook"]["name"]), (&json!("DISABLED"), &json!("ci")));
    // The other API sees it, and MLflow's API sees webhooks of the other one, as far as its event names allow.
    let other = server.get(&format!("{DATABRICKS}/list")).json(200);
    assert_eq!(other["webhooks"][0]["events"], json!(["model_version.created", "model_version_alias.created"]));
    let theirs = server.send("POST", &format!("{DATABRICKS}/create"), &hook("https://hooks.example.org/y")).json(200);
    let theirs = theirs["webhook"]["id"].as_str().expect("an id").to_owned();
    let seen = server.get(&format!("{MLFLOW}/{theirs}")).json(200);
    assert_eq!(seen["webhook"]["events"], json!([{"entity": "MODEL_VERSION", "action": "CREATED"}]));
    let events = json!({"events": [{"entity": "PROMPT", "action": "CREATED"}]});
    let refused = server.send("PATCH", &format!("{MLFLOW}/{theirs}"), &events).json(400);
    assert!(said(&refused).1.contains("changed where the webhook was created"), "{refused}");
    let list = server.get(MLFLOW).json(200);
    let ids: Vec<&str> =
        list["webhooks"].as_array().expect("two").iter().filter_map(|w| w["webhook_id"].as_str()).collect();
    assert_eq!(ids, [theirs.as_str(), id.as_str()], "newest first");
    assert_eq!(server.request("DELETE", &one).json(200), json!({}));
    assert_eq!(said(&server.get(&one).json(404)).1, format!("Webhook with ID {id} not found."));
    for (key, value, part) in [
        ("name", json!("x y"), "Webhook name 'x y' is invalid. It must start and end with a letter or digit"),
        ("name", json!("a".repeat(64)), "is invalid"),
        ("url", json!(""), "Missing value for required parameter 'url'"),
        ("url", json!("  "), "Webhook URL cannot be empty or just whitespace: '  '"),
        ("url", json!("http://hooks.example.org"), "Invalid webhook URL"),
        ("events", json!([]), "Missing value for required parameter 'events'"),
        (
            "events",
            json!([{"entity": "MODEL_VERSION", "action": "SET"}]),
            "Invalid action 'set' for entity 'model_version'. Valid actions are: ['created']",
        ),
        (
            "events",
            json!([{"entity": "BUDGET_POLICY", "action": "EXCEEDED"}]),
            "no events of the entity 'budget_policy'",
        ),
        ("events", json!(["x"]), "Invalid value"),
    ] {
        let mut wrong = body.clone();
        wrong[key] = value;
        let error = server.send("POST", MLFLOW, &wrong).json(400);
        assert!(said(&error).1.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_test_sends_what_never_happened_and_shows_the_answer() {
    let receiver = Hooked::saying("HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello");
    let world = world(&[]);
    let server = world.serve(&[]);
    let mut body = hook(&receiver.url());
    body["events"] = json!(["MODEL_VERSION_TRANSITIONED_TO_STAGING", "COMMENT_CREATED"]);
    let made = server.send("POST", &format!("{DATABRICKS}/create"), &body).json(200);
    let id = made["webhook"]["id"].as_str().expect("an id");
    let test = |body: Value| server.send("POST", &format!("{PREVIEW}/test"), &body);
    let event = "MODEL_VERSION_TRANSITIONED_TO_STAGING";
    let answer = test(json!({"id": id, "event": event})).json(200);
    assert_eq!(answer, json!({"status_code": 201, "body": "hello", "status": 201}));
    let got = receiver.only();
    assert_eq!((&got.json()["event"], &got.json()["to_stage"]), (&json!(event), &json!("Staging")));
    assert_eq!((&got.json()["webhook_id"], &got.json()["model_name"]), (&json!(id), &json!("churn")));
    assert_eq!(got.header("authorization"), Some("Bearer canary-2"));
    assert!(got.header("x-databricks-signature").is_some() && got.header("x-greenroom-test").is_some());
    assert_eq!(test(json!({"id": id})).json(200)["status_code"], 201);
    assert_eq!(test(json!({"id": id, "event": "NONSENSE"})).answer().status, 400);
    server.send("PATCH", &format!("{DATABRICKS}/update"), &json!({"id": id, "status": "DISABLED"})).json(200);
    assert_eq!(said(&test(json!({"id": id})).json(400)).0, "INVALID_STATE");
    // MLflow's test request itself never fails.
    let body =
        json!({"name": "n", "url": "http://127.0.0.1:1/x", "events": [{"entity": "PROMPT", "action": "CREATED"}]});
    let made = server.send("POST", MLFLOW, &body).json(200);
    let one = format!("{MLFLOW}/{}/test", made["webhook"]["webhook_id"].as_str().expect("an id"));
    let result = server.send("POST", &one, &json!({})).json(200)["result"].clone();
    assert_eq!(result["success"], json!(false));
    assert!(
        result["error_message"].as_str().expect("why").starts_with("Failed to test webhook: 127.0.0.1: "),
        "{result}"
    );
}

#[test]
fn webhooks_of_a_registry_within_a_folder_are_found_by_their_id() {
    let sandbox = Sandbox::new();
    sandbox.git(["init", "--quiet", "r"]).success();
    sandbox.alice().within("r").greenroom(["init", ".", "--at", "registry"]).success();
    let alice = sandbox.alice().within("r/registry");
    alice.greenroom(["model", "create", "churn"]).success();
    let server = Server::start(&alice, sandbox.path("log"), &[]);
    let made = server.send("POST", &format!("{DATABRICKS}/create"), &hook("https://hooks.example.org/x")).json(200);
    let id = &made["webhook"]["id"];
    let update = json!({"id": id, "status": "ACTIVE"});
    let changed = server.send("PATCH", &format!("{DATABRICKS}/update"), &update).json(200);
    assert_eq!((&changed["webhook"]["id"], &changed["webhook"]["status"]), (id, &json!("ACTIVE")));
}
