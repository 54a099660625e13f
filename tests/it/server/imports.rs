//! Models are copied from allowed places only.

mod upstream;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::World;
use crate::support::server::{MLFLOW, Server};
use upstream::{Behaviour, Upstream};

const MODEL_ID: &str = "m-0123456789abcdef0123456789abcdef";
const RUN_ID: &str = "4d9f1f1e7d6a4d0b8e4f5a6b7c8d9e0f";

/// A model folder beside the registry.
fn model(world: &World, at: &str) -> PathBuf {
    world.sandbox.write(
        format!("{at}/MLmodel"),
        format!("flavors: {{sklearn: {{sklearn_version: 1.9.1}}}}\nrun_id: {RUN_ID}\n"),
    );
    world.sandbox.write(format!("{at}/data/weights.bin"), [7_u8, 0, 9].repeat(10_000));
    world.sandbox.path(at)
}

fn create(server: &Server, source: &str, more: &Value) -> Value {
    let _ = server.post("registered-models/create", &json!({ "name": "wine" })).answer();
    let mut body = json!({ "name": "wine", "source": source });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    server.post("model-versions/create", &body).json(200)["model_version"].clone()
}

fn get(server: &Server, version: &str) -> Value {
    let path = format!("{MLFLOW}/model-versions/get?name=wine&version={version}");
    server.get(&path).json(200)["model_version"].clone()
}

/// The version once it is no longer pending.
#[track_caller]
fn settled(server: &Server, version: &Value) -> Value {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        let now = get(server, version["version"].as_str().expect("a number"));
        if now["status"] != "PENDING_REGISTRATION" {
            return now;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("it is still pending\n{}", server.log());
}

fn shown(world: &World, version: &str) -> String {
    world
        .alice()
        .git(["show", &format!("HEAD:models/wine/versions/{version}/version.toml")])
        .success()
        .stdout()
        .to_owned()
}

/// The files of a version, as fetched from the registry.
fn fetched(world: &World, version: &str) -> Vec<(String, usize)> {
    let into = world.sandbox.path(format!("out-{version}"));
    let reference = format!("models:/wine/{version}");
    world.alice().greenroom(["fetch", &reference, into.to_str().expect("UTF-8")]).success();
    let files = crate::support::trees::files(&into);
    files.into_iter().map(|f| (f.clone(), fs::metadata(into.join(f)).expect("a file").len() as usize)).collect()
}

#[test]
fn a_folder_that_is_allowed_is_copied_in_the_background() {
    let world = World::new(&[]);
    let folder = model(&world, "models/one");
    let prefix = format!("file://{}", world.sandbox.path("models").display());
    let server = world.serve(&["--import-from", &prefix]);
    let made = create(&server, &format!("file://{}", folder.display()), &json!({}));
    assert_eq!(made["status"], "PENDING_REGISTRATION");
    let ready = settled(&server, &made);
    assert_eq!(
        (&ready["status"], &ready["run_id"]),
        (&json!("READY"), &json!(RUN_ID)),
        "what MLmodel says is recorded"
    );
    assert_eq!(fetched(&world, "1"), [("MLmodel".to_owned(), 86), ("data/weights.bin".to_owned(), 30_000)]);
    let record = shown(&world, "1");
    assert!(record.contains("[model.flavors]") && record.contains("[artifacts]"), "{record}");
    let subjects = ["Alice: Complete the registration of wine version 1", "Alice: Register wine version 1"];
    assert_eq!(world.subjects(2), subjects);
    world.alice().greenroom(["check"]).success();
    world.is_sound();
}

#[test]
fn what_is_not_allowed_stays_a_reference_and_is_never_opened() {
    let world = World::new(&[]);
    model(&world, "models/one");
    model(&world, "other/two");
    let root = world.sandbox.path("models").parent().expect("a folder").to_owned();
    let upstream = Upstream::start(Behaviour::default());
    let prefix = format!("file://{}/models", root.display());
    let allowed = format!("http://localhost:{}/api/2.0/mlflow-artifacts/artifacts/team", upstream.port());
    let server = world.serve(&["--import-from", &prefix, "--import-from", &allowed]);
    for source in [
        format!("file://{}/other/two", root.display()),
        format!("file://localhost{}/models/one", root.display()),
        format!("{}/modelsx", root.display()),
        "/etc".to_owned(),
        "//proc/self/root/etc".to_owned(),
        format!("{}/models/one;x", root.display()),
        format!("{}/models/one?x", root.display()),
        format!("{}/models/%6fne", root.display()),
        format!("http://127.0.0.1:{}/api/2.0/mlflow-artifacts/artifacts/team/m", upstream.port()),
        format!("http://localhost:{}/api/2.0/mlflow-artifacts/artifacts/other/m", upstream.port()),
        format!("http://localhost:{}/secret", upstream.port()),
        format!("mlflow-artifacts://localhost:{}/team/m", upstream.port()),
        format!("models:/{MODEL_ID}"),
        format!("runs:/{RUN_ID}/model"),
        "s3://bucket/model".to_owned(),
    ] {
        let made = create(&server, &source, &json!({}));
        assert_eq!((&made["status"], &made["source"]), (&json!("READY"), &json!(source)), "{source}");
        assert!(!shown(&world, made["version"].as_str().expect("a number")).contains("[artifacts]"), "{source}");
    }
    for refused in ["..", "%2e%2e", "%252e%252e"] {
        let source = format!("file://{}/models/one/{refused}/{refused}/secret", root.display());
        let body = json!({ "name": "wine", "source": source });
        server.post("model-versions/create", &body).json(400);
    }
    assert_eq!(upstream.asked(), Vec::<String>::new(), "no server was asked");
    // A prompt's tag has no effect on that (CVE-2026-2614).
    let tags = json!({ "tags": [{ "key": "mlflow.prompt.is_prompt", "value": "true" }] });
    let mut prompt = tags;
    prompt["name"] = json!("wine");
    prompt["source"] = json!(format!("file://{}/other/two", root.display()));
    server.post("model-versions/create", &prompt).json(400);
    prompt["source"] = json!("dummy-source");
    let made = server.post("model-versions/create", &prompt).json(200)["model_version"].clone();
    assert!(!shown(&world, made["version"].as_str().expect("a number")).contains("[artifacts]"));
}

#[test]
fn a_link_does_not_lead_out_of_a_folder_and_the_failure_says_why() {
    let world = World::new(&[]);
    model(&world, "models/one");
    world.sandbox.write("secret/key", "canary");
    symlink(world.sandbox.path("secret"), world.sandbox.path("models/out")).expect("a link");
    symlink(world.sandbox.path("secret/key"), world.sandbox.path("models/one/key")).expect("a link");
    let prefix = world.sandbox.path("models").display().to_string();
    let server = world.serve(&["--import-from", &prefix]);
    for (source, why) in [("out", "out"), ("one", "symbolic link"), ("missing", "missing")] {
        let failed = settled(&server, &create(&server, &format!("{prefix}/{source}"), &json!({})));
        assert_eq!(failed["status"], "FAILED_REGISTRATION");
        let message = failed["status_message"].as_str().expect("a message");
        assert!(message.contains(why) && !message.contains("canary"), "{message}");
    }
    let tree = world.alice().git(["ls-tree", "-r", "--name-only", "HEAD"]).success();
    assert!(!tree.stdout().contains("artifacts/"), "{}", tree.stdout());
    world.is_sound();
}

#[test]
fn a_tracking_server_gives_files_parameters_and_metrics() {
    let world = World::new(&[]);
    let upstream = Upstream::start(Behaviour { token: Some("s3cret-canary"), ..Behaviour::default() });
    let tracking = format!("http://localhost:{}", upstream.port());
    let alice = world.alice().env("MLFLOW_TRACKING_TOKEN", "s3cret-canary");
    let server = Server::start(&alice, world.log(), &["--tracking-uri", &tracking]);
    for source in [
        format!("models:/{MODEL_ID}"),
        format!("runs:/{RUN_ID}/model"),
        format!("mlflow-artifacts:/1/models/{MODEL_ID}/artifacts"),
    ] {
        let ready = settled(&server, &create(&server, &source, &json!({})));
        assert_eq!(ready["status"], "READY", "{source}: {ready}");
        let version = ready["version"].as_str().expect("a number");
        assert_eq!(
            fetched(&world, version),
            [("MLmodel".to_owned(), upstream::MLMODEL.len()), ("data/a b.bin".to_owned(), 20_000)]
        );
        let record = shown(&world, version);
        for part in ["C = \"0.1\"", "depth = \"3\"", "auc = { value = 0.91, step = 3", "loss = { value = nan"] {
            assert!(record.contains(part), "{part}: {record}");
        }
    }
    // A reference gets the measurements of its run at once.
    let made = create(&server, "s3://bucket/model", &json!({ "run_id": RUN_ID }));
    assert!(shown(&world, made["version"].as_str().expect("a number")).contains("C = \"0.1\""));
    let everything = world.alice().git(["log", "-p", "HEAD"]).success().stdout().to_owned() + &server.log();
    assert!(!everything.contains("canary"), "the token is nowhere to be seen");
    world.is_sound();
}

#[test]
fn the_command_line_fetches_runs_and_logged_models_too() {
    let world = World::new(&[]);
    let upstream = Upstream::start(Behaviour { token: Some("s3cret-canary"), ..Behaviour::default() });
    let tracking = format!("http://localhost:{}", upstream.port());
    let alice = world.alice().env("MLFLOW_TRACKING_TOKEN", "s3cret-canary");
    let run = format!("runs:/{RUN_ID}/model");
    let none = alice.greenroom(["register", "wine", &run]).code(2);
    assert!(none.stderr().contains("--tracking-uri"), "{}", none.stderr());
    alice.greenroom(["register", "wine", "models:/wine/1", "--tracking-uri", &tracking]).code(2);
    let dry = alice.greenroom(["register", "wine", &run, "-n", "--tracking-uri", &tracking]).success();
    assert!(dry.stdout().contains("2 files"), "{}", dry.stdout());
    let objects = world.sandbox.path("r/.git/lfs/objects");
    assert!(!objects.exists(), "a dry run keeps nothing");
    alice.greenroom(["register", "wine", &run, "--tracking-uri", &tracking, "--param", "C=mine"]).success();
    let alice = alice.env("MLFLOW_TRACKING_URI", &tracking);
    alice.greenroom(["register", "wine", &format!("models:/{MODEL_ID}")]).success();
    for (version, source, c) in [("1", run.as_str(), "mine"), ("2", MODEL_ID, "0.1")] {
        assert_eq!(
            fetched(&world, version),
            [("MLmodel".to_owned(), upstream::MLMODEL.len()), ("data/a b.bin".to_owned(), 20_000)]
        );
        let record = shown(&world, version);
        for part in [source, &format!("C = \"{c}\""), "depth = \"3\"", "auc = { value = 0.91, step = 3"] {
            assert!(record.contains(part), "{part}: {record}");
        }
    }
    world.is_sound();
}

#[test]
fn a_registration_does_not_fail_because_nobody_knows_its_run() {
    let world = World::new(&[]);
    let upstream = Upstream::start(Behaviour { status: Some(503), ..Behaviour::default() });
    let server = world.serve(&["--tracking-uri", &format!("http://localhost:{}", upstream.port())]);
    let made = create(&server, "s3://bucket/model", &json!({ "run_id": RUN_ID }));
    assert_eq!(made["status"], "READY");
    let message = made["status_message"].as_str().expect("a message");
    assert!(
        message.starts_with("the run's parameters and metrics are not recorded: ") && message.contains("503"),
        "{message}"
    );
}

#[test]
fn what_a_server_must_not_do_fails_the_copy() {
    let world = World::new(&[]);
    let elsewhere = Upstream::start(Behaviour::default());
    let moved = format!("http://localhost:{}/", elsewhere.port());
    for (behaviour, why) in [
        (Behaviour { redirect: Some(moved), ..Behaviour::default() }, "redirects are not followed"),
        (Behaviour { name: "../../escape", ..Behaviour::default() }, "cannot be part of a model"),
        (Behaviour { name: "/etc/cron.d/x", ..Behaviour::default() }, "cannot be part of a model"),
        (Behaviour { name: "C:x", ..Behaviour::default() }, "cannot be part of a model"),
        (Behaviour { short: true, ..Behaviour::default() }, "bytes instead of"),
        (Behaviour { artifact_uri: Some("file:///etc"), ..Behaviour::default() }, "may not copy"),
        (Behaviour { token: Some("other"), ..Behaviour::default() }, "MLFLOW_TRACKING_TOKEN"),
    ] {
        let upstream = Upstream::start(behaviour);
        let server = world.serve(&["--tracking-uri", &format!("http://localhost:{}", upstream.port())]);
        let failed = settled(&server, &create(&server, &format!("models:/{MODEL_ID}"), &json!({})));
        assert_eq!(failed["status"], "FAILED_REGISTRATION", "{why}");
        let message = failed["status_message"].as_str().expect("a message");
        assert!(message.contains(why), "{why}: {message}");
    }
    assert_eq!(elsewhere.asked(), Vec::<String>::new(), "no redirect was followed");
    world.is_sound();
}

#[test]
fn what_a_stopped_server_left_pending_is_copied_by_the_next() {
    let world = World::new(&[]);
    let slow = Upstream::start(Behaviour { stalls: true, ..Behaviour::default() });
    let tracking = format!("http://localhost:{}", slow.port());
    let mut server = world.serve(&["--tracking-uri", &tracking]);
    let made = create(&server, &format!("models:/{MODEL_ID}"), &json!({}));
    slow.wait_until_asked();
    server.kill();
    slow.go_on();
    let server = world.serve(&["--tracking-uri", &tracking]);
    let ready = settled(&server, &made);
    assert_eq!(ready["status"], "READY", "{ready}");
    assert_eq!(fetched(&world, "1").len(), 2);
    world.is_sound();
}

#[test]
fn a_copy_that_a_rule_refuses_says_which_on_the_version() {
    let world = World::new(&[("bob", "CAN_MANAGE")]);
    let folder = model(&world, "models/one");
    let source = format!("file://{}", folder.display());
    let alice = world.alice();
    alice.greenroom(["settings", "set", "--unready", "allow"]).success();
    alice.greenroom(["register", "wine", "--source", &source]).success();
    alice.greenroom(["version", "describe", "wine", "1", "pending"]).success();
    let file = world.sandbox.path("r/models/wine/versions/1/version.toml");
    let text = fs::read_to_string(&file).expect("a file");
    let (top, rest) = text.split_once("\n[").expect("a table");
    fs::write(&file, format!("{top}\nstatus = \"PENDING_REGISTRATION\"\n[{rest}")).expect("writable");
    alice.git(["commit", "--quiet", "--all", "-m", "It is to be copied"]).success();
    alice.greenroom(["stage", "set", "Staging", "--require-description"]).success();
    alice.greenroom(["transition", "wine", "1", "Staging"]).success();
    let prefix = format!("file://{}", world.sandbox.path("models").display());
    let server = world.serve(&["--import-from", &prefix]);
    let failed = settled(&server, &json!({ "version": "1" }));
    assert_eq!(failed["status"], "FAILED_REGISTRATION");
    let message = failed["status_message"].as_str().expect("a message");
    assert!(message.contains("files") && message.contains("Staging"), "{message}");
    assert!(server.log().contains("a model could not be copied"), "{}", server.log());
}

#[test]
fn a_copy_within_the_registry_shares_the_files() {
    let world = World::new(&[("bob", "CAN_READ"), ("carol", "")]);
    let folder = model(&world, "models/one");
    world.alice().greenroom(["register", "wine", folder.to_str().expect("UTF-8"), "--param", "C=0.1"]).success();
    let server = world.serve(&[]);
    let copy = |token: &str, name: &str| {
        server.post("registered-models/create", &json!({ "name": name })).by(token).json(200);
        let body = json!({ "name": name, "source": "models:/wine/1" });
        server.post("model-versions/create", &body).by(token).answer()
    };
    assert_eq!(copy(world.token("bob"), "copy").status, 200);
    assert_eq!(copy(world.token("carol"), "stolen").status, 404, "a person who may not read it may not copy it");
    let tree = |of: &str| world.alice().git(["rev-parse", &format!("HEAD:models/{of}/versions/1/artifacts")]).success();
    assert_eq!(tree("wine").stdout(), tree("copy").stdout());
    let record = world.alice().git(["show", "HEAD:models/copy/versions/1/version.toml"]).success();
    for part in ["uri = \"models:/wine/1\"", "C = \"0.1\"", "[artifacts]", "sklearn = \"1.9.1\""] {
        assert!(record.stdout().contains(part), "{part}: {}", record.stdout());
    }
    // The copy stays after its original is deleted.
    let gone = json!({ "name": "wine" });
    server.send("DELETE", &format!("{MLFLOW}/registered-models/delete"), &gone).json(200);
    let into = world.sandbox.path("copied");
    world.alice().greenroom(["fetch", "models:/copy/1", into.to_str().expect("UTF-8")]).success();
    world.alice().greenroom(["check"]).success();
    world.is_sound();
}

#[test]
fn what_is_pending_is_not_copied_further() {
    let world = World::new(&[]);
    let slow = Upstream::start(Behaviour { stalls: true, ..Behaviour::default() });
    let server = world.serve(&["--tracking-uri", &format!("http://localhost:{}", slow.port())]);
    create(&server, &format!("models:/{MODEL_ID}"), &json!({}));
    let body = json!({ "name": "wine", "source": "models:/wine/1" });
    let refused = server.post("model-versions/create", &body).json(400);
    assert_eq!(refused["error_code"], "INVALID_PARAMETER_VALUE");
    slow.go_on();
}

#[test]
fn a_client_may_say_what_its_run_measured() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    let evidence = json!({
        "params": [{ "key": "C", "value": "0.1" }],
        "metrics": [{ "key": "auc", "value": 0.91, "step": 3, "timestamp": 1_772_366_400_000_i64 }, { "key": "loss", "value": "NaN" }],
    });
    create(&server, "s3://bucket/model", &evidence);
    let record = shown(&world, "1");
    for part in ["C = \"0.1\"", "auc = { value = 0.91, step = 3, timestamp = 2026-03-01T12:00:00.0Z }", "loss = nan"] {
        assert!(record.contains(part), "{part}: {record}");
    }
    for bad in [json!({ "params": "C" }), json!({ "metrics": [{ "key": "auc", "value": "high" }] })] {
        let mut body = json!({ "name": "wine", "source": "s3://bucket/model" });
        body.as_object_mut().expect("an object").extend(bad.as_object().expect("an object").clone());
        let refused = server.post("model-versions/create", &body).json(400);
        assert_eq!(refused["error_code"], "INVALID_PARAMETER_VALUE");
    }
}

#[test]
fn what_failed_is_not_latest_takes_no_alias_and_enters_no_stage_in_use() {
    let world = World::new(&[]);
    model(&world, "models/one");
    let prefix = world.sandbox.path("models").display().to_string();
    let server = world.serve(&["--import-from", &prefix]);
    settled(&server, &create(&server, &format!("{prefix}/one"), &json!({})));
    let failed = settled(&server, &create(&server, &format!("{prefix}/missing"), &json!({})));
    assert_eq!((&failed["version"], &failed["status"]), (&json!("2"), &json!("FAILED_REGISTRATION")));
    let latest = || {
        let by_alias = server.get(&format!("{MLFLOW}/registered-models/alias?name=wine&alias=latest")).json(200);
        let of_none = server.post("registered-models/get-latest-versions", &json!({ "name": "wine" })).json(200);
        let of_model = server.get(&format!("{MLFLOW}/registered-models/get?name=wine")).json(200);
        [
            by_alias["model_version"]["version"].clone(),
            of_none["model_versions"][0]["version"].clone(),
            of_model["registered_model"]["latest_versions"][0]["version"].clone(),
        ]
    };
    assert_eq!(latest(), ["1", "1", "1"]);
    let alias = json!({ "name": "wine", "alias": "champion", "version": "2" });
    let stage = json!({ "name": "wine", "version": "2", "stage": "Production", "archive_existing_versions": false });
    for (path, body) in [("registered-models/alias", &alias), ("model-versions/transition-stage", &stage)] {
        let refused = server.post(path, body).json(400);
        assert_eq!(refused["error_code"], "INVALID_PARAMETER_VALUE");
        assert!(refused["message"].as_str().is_some_and(|m| m.contains("FAILED_REGISTRATION, not READY")), "{refused}");
    }
    // The registry may follow MLflow's own rule; the latest version follows at once.
    world.alice().greenroom(["settings", "set", "--unready", "allow"]).success();
    assert_eq!(latest(), ["2", "2", "2"]);
    server.post("registered-models/alias", &alias).json(200);
    server.post("model-versions/transition-stage", &stage).json(200);
    world.is_sound();
}

#[test]
fn nothing_is_copied_from_the_registry_itself() {
    let world = World::new(&[]);
    let here = world.sandbox.path(".").canonicalize().expect("a folder");
    for place in ["r", "r/people"] {
        let prefix = format!("file://{}/{place}", here.display());
        let said = world.alice().greenroom(["serve", "--bind", "127.0.0.1:0", "--import-from", &prefix]).code(1);
        assert!(said.stderr().contains("belongs to the registry in"), "{place}: {}", said.stderr());
    }
    let server = world.serve(&["--import-from", &format!("file://{}", here.display())]);
    for place in ["/r", "/r/people"] {
        let failed = settled(&server, &create(&server, &format!("file://{}{place}", here.display()), &json!({})));
        assert_eq!(failed["status"], "FAILED_REGISTRATION", "{place}");
        let message = failed["status_message"].as_str().expect("a message");
        assert!(message.contains("belongs to the registry in"), "{place}: {message}");
    }
    let tree = world.alice().git(["ls-tree", "-r", "--name-only", "HEAD"]).success();
    assert!(!tree.stdout().contains("artifacts/"), "{}", tree.stdout());
}
