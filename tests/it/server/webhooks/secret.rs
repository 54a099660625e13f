//! Secrets appear only where they must: a canary is searched in everything that is stored, logged or answered.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::super::World;
use crate::support::hooked::Hooked;

const CANARIES: [&str; 4] = ["canary-signing-7f3a", "canary-bearer-91bc", "canary-mlflow-55de", "canary-job-08aa"];

#[track_caller]
fn clean(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for canary in CANARIES {
        assert!(!text.contains(canary), "{canary} is in {what}: {text}");
    }
}

/// Calls `look` for every file below a folder, except the file of secrets.
fn each(folder: &Path, look: &mut impl FnMut(&Path, &[u8])) {
    for item in fs::read_dir(folder).expect("a folder") {
        let path = item.expect("an entry").path();
        if path.is_dir() {
            each(&path, look);
        } else if path.file_name().is_none_or(|name| name != "secrets.toml") {
            look(&path, &fs::read(&path).unwrap_or_default());
        }
    }
}

#[test]
fn no_secret_is_in_a_commit_a_log_an_error_an_answer_or_an_output() {
    // The worst receiver: it repeats everything that it received, and fails.
    let echo = Hooked::with(|got, stream| {
        let said = format!("{got:?}");
        let head = format!("HTTP/1.1 500 Oops\r\nContent-Length: {}\r\n\r\n{said}", said.len());
        let _ = std::io::Write::write_all(stream, head.as_bytes());
    });
    let world = World::new(&[("bob", "CAN_MANAGE")]);
    world.alice().git(["config", "greenroom.webhookAllow", "127.0.0.1"]).success();
    let server = world.serve(&[]);
    let (databricks, mlflow) = ("/api/2.0/mlflow/registry-webhooks", "/api/2.0/mlflow/webhooks");
    let mut answers = Vec::new();
    let mut ask = |method: &'static str, path: &str, body: &Value| -> Value {
        let answer = server.send(method, path, body).answer();
        answers.extend_from_slice(&answer.body);
        answers.extend_from_slice(format!("{:?}", answer.headers).as_bytes());
        serde_json::from_slice(&answer.body).unwrap_or_default()
    };
    let spec = json!({"url": echo.url(), "secret": CANARIES[0], "authorization": format!("Bearer {}", CANARIES[1])});
    let hook = json!({"events": ["MODEL_VERSION_CREATED"], "http_url_spec": spec});
    let id = ask("POST", &format!("{databricks}/create"), &hook)["webhook"]["id"].as_str().expect("an id").to_owned();
    let hook = json!({"name": "m", "url": echo.url(), "secret": CANARIES[2],
        "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}]});
    let other = ask("POST", mlflow, &hook)["webhook"]["webhook_id"].as_str().expect("an id").to_owned();
    let tested = ask("POST", &format!("{databricks}/test"), &json!({"id": id}));
    let body = tested["body"].as_str().expect("the echo");
    assert!(body.contains("Bearer ***") || body.contains("\"authorization\", \"***"), "it echoed: {body}");
    ask("POST", &format!("{mlflow}/{other}/test"), &json!({}));
    let job =
        json!({"job_id": "1", "access_token": CANARIES[3], "workspace_url": format!("http://{}", echo.address())});
    ask("PATCH", &format!("{databricks}/update"), &json!({"id": id, "job_spec": job}));
    ask("POST", &format!("{databricks}/test"), &json!({"id": id}));
    // Refused, with a secret in the request; unreadable; of the wrong type.
    let bad = json!({"events": ["NONSENSE"], "http_url_spec": {"url": "https://x.example/", "secret": CANARIES[0]}});
    ask("POST", &format!("{databricks}/create"), &bad);
    let bad = json!({"events": ["MODEL_VERSION_CREATED"], "http_url_spec": {"url": 1, "secret": [CANARIES[0]]}});
    ask("POST", &format!("{databricks}/create"), &bad);
    let spec = json!({"url": "https://x.example/", "secret": [CANARIES[0]]});
    ask("POST", &format!("{databricks}/create"), &json!({"events": ["MODEL_VERSION_CREATED"], "http_url_spec": spec}));
    ask(
        "POST",
        &format!("{databricks}/create"),
        &json!({"events": ["MODEL_VERSION_CREATED"], "http_url_spec": [spec]}),
    );
    ask("POST", mlflow, &json!({"name": "m", "url": echo.url(), "secret": [CANARIES[2]], "events": hook["events"]}));
    ask("GET", &format!("{databricks}/list"), &json!({}));
    ask("GET", mlflow, &json!({}));
    // The watcher within the server delivers the new events.
    let before = echo.got().len();
    ask("POST", "/api/2.0/mlflow/registered-models/create", &json!({"name": "m"}));
    ask("POST", "/api/2.0/mlflow/model-versions/create", &json!({"name": "m", "source": "s3://bucket/m"}));
    echo.wait(before + 2);
    clean("an answer", &answers);
    clean("the log", server.log().as_bytes());
    drop(server);

    let alice = world.alice();
    for command in [
        &["webhook", "list"][..],
        &["webhook", "list", "-o", "json"],
        &["webhook", "test", &other],
        &["webhook", "test", &id, "-o", "json"],
        &["watch", "--once"],
        &["webhook", "deliveries"],
        &["webhook", "deliveries", "-o", "json"],
        &["webhook", "replay", "--from", "HEAD~1", "-o", "json"],
        &["secret", "list"],
        &["secret", "list", "-o", "json"],
        &["log", "-o", "json"],
        &["show", "HEAD"],
        &["doctor"],
    ] {
        let (stdout, stderr) = alice.greenroom(command).any();
        clean(&command.join(" "), format!("{stdout}{stderr}").as_bytes());
    }
    let from = alice.clone().env("CANARY", CANARIES[0]).greenroom(["secret", "set", "by-hand", "--from", "CANARY"]);
    clean("secret set", from.success().stdout().as_bytes());
    let set = alice.clone().input(format!("{}\n", CANARIES[1])).greenroom(["secret", "set", "by-hand"]).success();
    clean("secret set", set.stdout().as_bytes());
    let objects = "git rev-list --all --objects | cut -d' ' -f1 | git cat-file --batch";
    let count = format!("{objects} | wc -l; {objects} | grep -a -c canary- || true");
    let counted = alice.run("sh", ["-c", &count]).success();
    let lines: Vec<usize> = counted.stdout().lines().map(|l| l.trim().parse().expect("a number")).collect();
    assert!(lines[0] > 100 && lines[1] == 0, "objects of git hold a canary: {lines:?}");
    let held = fs::read_to_string(world.sandbox.path("r/.git/greenroom/secrets.toml")).expect("the file");
    assert!(CANARIES[1..].iter().all(|c| held.contains(c)), "the canaries are where they belong");
    each(&world.sandbox.path("r"), &mut |path, bytes| clean(&path.display().to_string(), bytes));

    // With a key even that file does not show them.
    let key = "ab".repeat(32);
    let sealing = alice.clone().env("GREENROOM_SECRETS_KEY", &key).input(CANARIES[0]);
    sealing.greenroom(["secret", "set", "by-hand"]).success();
    clean("secrets.toml", &fs::read(world.sandbox.path("r/.git/greenroom/secrets.toml")).expect("the file"));
    let without = alice.greenroom(["webhook", "test", &other]).code(1);
    assert!(without.stderr().contains("is encrypted: give the key in GREENROOM_SECRETS_KEY"), "{}", without.stderr());
    let before = echo.got().len();
    let with = alice.clone().env("GREENROOM_SECRETS_KEY", &key).greenroom(["webhook", "test", &other]).code(1);
    assert!(with.stdout().contains("HTTP 500"), "{}", with.stdout());
    assert_eq!(echo.got().len(), before + 1);
}
