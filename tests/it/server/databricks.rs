//! The workspace registry's API: with Databricks' own client, and over the wire for parts that the client hides.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use greenroom::git::Repo;
use serde_json::{Value, json};

use super::{World, named, said, token};
use crate::support::server::{MLFLOW, Request, Server};
use crate::support::tools;

/// Alice's registry with a model `wine` of two versions. Bob may read, Carol moves all versions, Dave has no grant.
/// Erin reads, and approves with Carol transitions to Canary, which needs two approvals.
fn world() -> World {
    let people = [("bob", "CAN_READ"), ("carol", "CAN_MANAGE_PRODUCTION_VERSIONS"), ("dave", ""), ("erin", "CAN_READ")];
    let world = World::new(&people);
    let alice = world.alice();
    alice.greenroom(["access", "group", "risk", "--add", "carol", "--add", "erin"]).success();
    alice.greenroom(["stage", "set", "Canary", "--approvals", "2", "--approver", "group:risk"]).success();
    world
}

fn with_wine() -> World {
    let world = world();
    for n in ["1", "2"] {
        world.alice().greenroom(["register", "wine", "--source", &format!("s3://bucket/{n}")]).success();
    }
    world
}

/// A caller with the identity of one person.
struct By<'s> {
    server: &'s Server,
    token: &'s str,
}

impl By<'_> {
    fn get(&self, path: &str) -> Request<'_> {
        self.server.get(&format!("{MLFLOW}/{path}")).by(self.token)
    }

    fn send(&self, method: &'static str, path: &str, body: &Value) -> Request<'_> {
        self.server.send(method, &format!("{MLFLOW}/{path}"), body).by(self.token)
    }

    fn post(&self, path: &str, body: &Value) -> Request<'_> {
        self.send("POST", path, body)
    }
}

fn by<'s>(world: &'s World, server: &'s Server, person: &str) -> By<'s> {
    By { server, token: world.token(person) }
}

fn to(stage: &str, version: &str) -> Value {
    json!({ "name": "wine", "version": version, "stage": stage })
}

#[test]
fn every_registry_method_of_databricks_sdk_works() {
    let world = world();
    let server = world.serve(&["--require-token"]);
    let url = format!("http://{}", server.address());
    let script = tools::python_script("workspace.py");
    let people = ["alice", "bob", "carol", "dave", "erin"];
    let tokens: Vec<String> = people.iter().map(|p| format!("{p}={}", world.token(p))).collect();
    let shell = world.sandbox.alice().env("DATABRICKS_TOKENS", tokens.join(" "));
    let out = shell.run(tools::python(), [script.into_os_string(), url.into()]).success();
    assert!(out.stdout().ends_with("ok\n"), "{}\n{}", out.stdout(), out.stderr());
    world.is_sound();
    world.alice().greenroom(["check"]).success();
    let log = server.log();
    assert!(!log.contains("\"level\":\"error\""), "{log}");
}

#[test]
fn what_may_be_done_about_a_request_depends_on_who_looks() {
    let world = with_wine();
    let server = world.serve(&["--require-token"]);
    let [alice, bob, carol, erin] = ["alice", "bob", "carol", "erin"].map(|p| by(&world, &server, p));
    bob.post("transition-requests/create", &to("Production", "1")).json(200);
    carol.post("transition-requests/create", &to("Canary", "1")).json(200);
    let doing = |who: &By<'_>| {
        let listed = who.get("transition-requests/list?name=wine&version=1").json(200);
        let requests = listed["requests"].as_array().expect("requests").clone();
        let actions = |stage: &str| {
            let request = requests.iter().find(|r| r["to_stage"] == stage).expect("it is listed").clone();
            let words = request["available_actions"].as_array().cloned().unwrap_or_default();
            words.iter().filter_map(|w| w.as_str()?.split('_').next().map(str::to_owned)).collect::<Vec<_>>().join(" ")
        };
        [actions("Production"), actions("Canary")]
    };
    assert_eq!(doing(&bob), ["CANCEL", ""]);
    assert_eq!(
        doing(&carol),
        ["APPROVE REJECT", "CANCEL REJECT"],
        "an approval of one's own request does not count if approvals are needed"
    );
    assert_eq!(doing(&erin), ["", "APPROVE REJECT"], "a named approver needs no level");
    assert_eq!(doing(&alice), ["CANCEL APPROVE REJECT", "CANCEL REJECT"], "a manager is not therefore an approver");
    erin.post("transition-requests/approve", &to("Canary", "1")).json(200);
    assert_eq!(doing(&erin), ["", "REJECT"], "an approved request is not offered again");
    let reader = token(&world.alice(), "alice", &["--read-only"]);
    assert_eq!(doing(&By { server: &server, token: &reader }), ["", ""]);
}

/// Bodies as published notebooks send them, to the URLs that only Databricks has.
#[test]
fn numbers_and_words_are_read_as_databricks_reads_them() {
    let world = with_wine();
    let server = world.serve(&[]);
    let alice = by(&world, &server, "alice");
    let bob = by(&world, &server, "bob");
    let loose =
        |stage: &str| json!({ "name": "wine", "version": 1, "stage": stage, "archive_existing_versions": "true" });
    let asked = bob.post("transition-requests/create", &loose("Staging")).json(200);
    assert_eq!(asked["request"]["to_stage"], "Staging");
    let approved = alice.post("transition-requests/approve", &loose("Staging")).json(200);
    assert_eq!(approved["activity"]["activity_type"], "APPROVED_REQUEST");
    bob.post("transition-requests/create", &loose("Production")).json(200);
    alice.post("transition-requests/reject", &loose("production")).json(200);
    bob.post("transition-requests/create", &loose("Production")).json(200);
    let mut withdrawn = loose("Production");
    withdrawn["creator"] = json!("bob");
    bob.send("DELETE", "transition-requests/delete", &withdrawn).json(200);
    let mut archived = loose("archived");
    archived["archive_existing_versions"] = json!("False");
    let moved = alice.post("databricks/model-versions/transition-stage", &archived).json(200);
    assert_eq!(moved["model_version_databricks"]["version"], "1");
    let said = bob.post("comments/create", &json!({ "name": "wine", "version": 1, "comment": "fine" })).json(200);
    assert_eq!(said["comment"]["comment"], "fine");
    let listed = bob.send("GET", "transition-requests/list", &json!({ "name": "wine", "version": 1 })).json(200);
    assert_eq!(listed, json!({}));
    let job = json!({ "job_id": 4711, "access_token": "dapi-x", "workspace_url": "https://jobs.example.org" });
    let hook = json!({ "model_name": "wine", "events": ["comment_created"], "status": "Active", "job_spec": job });
    let made = alice.post("registry-webhooks/create", &hook).json(200)["webhook"].clone();
    assert_eq!((&made["status"], &made["job_spec"]["job_id"]), (&json!("ACTIVE"), &json!("4711")));
    let change = json!({ "id": made["id"], "status": "test_mode", "http_url_spec": {
        "url": "https://hooks.example.org/", "enable_ssl_verification": "False" } });
    let changed = alice.send("PATCH", "registry-webhooks/update", &change).json(200)["webhook"].clone();
    assert_eq!(
        (&changed["status"], &changed["http_url_spec"]["enable_ssl_verification"]),
        (&json!("TEST_MODE"), &json!(false))
    );
    // Fields that MLflow has, too, are read by MLflow's rule.
    for (path, body) in [
        ("model-versions/transition-stage", json!({ "name": "wine", "version": 1, "stage": "Staging" })),
        ("model-versions/transition-stage", {
            json!({ "name": "wine", "version": "1", "stage": "Staging", "archive_existing_versions": "true" })
        }),
        ("model-versions/set-tag", json!({ "name": "wine", "version": 1, "key": "k", "value": "v" })),
    ] {
        let refused = alice.post(path, &body).json(400);
        assert_eq!(refused["error_code"], "INVALID_PARAMETER_VALUE", "{refused}");
    }
    world.is_sound();
}

#[test]
fn what_is_not_set_is_absent_in_the_latest_versions_of_a_model_too() {
    let world = with_wine();
    world.alice().greenroom(["tag", "set", "wine/2", "empty="]).success();
    let server = world.serve(&[]);
    let shown = by(&world, &server, "alice").get("databricks/registered-models/get?name=wine").json(200);
    let latest = &shown["registered_model_databricks"]["latest_versions"][0];
    assert_eq!((&latest["version"], &latest["source"]), (&json!("2"), &json!("s3://bucket/2")));
    assert_eq!(latest["tags"], json!([{ "key": "empty", "value": "" }]), "an empty value of a tag is a value");
    let unset: Vec<_> = latest.as_object().expect("an object").iter().filter(|(_, v)| **v == json!("")).collect();
    assert!(unset.is_empty(), "{unset:?}");
}

#[test]
fn a_request_says_at_once_what_it_lacks_and_that_ones_own_approval_does_not_count() {
    let world = with_wine();
    let rule = ["stage", "set", "Canary", "--require-description", "--require-metric", "auc>=0.8"];
    world.alice().greenroom(rule).success();
    let server = world.serve(&["--require-token"]);
    let [bob, carol, erin] = ["bob", "carol", "erin"].map(|p| by(&world, &server, p));
    let made = carol.post("transition-requests/create", &to("Canary", "1")).json(200);
    let warnings = made["warnings"].as_array().expect("warnings").iter().map(|w| w.as_str().unwrap_or_default());
    let warnings: Vec<&str> = warnings.collect();
    for (warning, word) in warnings.iter().zip(["no description", "'auc' is missing", "your own approval"]) {
        assert!(warning.contains(word), "{warning} says nothing of {word}");
    }
    assert_eq!(warnings.len(), 3, "{made}");
    assert_eq!(made["request"]["system_comment"], json!(warnings.join(". ")));
    // A caller who cannot approve gets only the missing conditions.
    let made = bob.post("transition-requests/create", &to("Canary", "1")).json(200);
    assert_eq!(made["warnings"].as_array().map(Vec::len), Some(2), "{made}");
    let listed = server.get("/api/greenroom/requests/list").by(world.token("erin")).json(200);
    assert_eq!(listed["requests"][0]["missing"].as_array().map(Vec::len), Some(2), "{listed}");
    let made = erin.post("transition-requests/create", &to("Staging", "1")).json(200);
    assert_eq!(made.get("warnings"), None, "{made}");
}

#[test]
fn the_approval_that_would_complete_a_request_is_refused_while_the_version_may_not_enter() {
    let world = with_wine();
    world.alice().greenroom(["stage", "set", "Canary", "--from", "Staging"]).success();
    let server = world.serve(&["--require-token"]);
    let [bob, carol, erin] = ["bob", "carol", "erin"].map(|p| by(&world, &server, p));
    bob.post("transition-requests/create", &to("Canary", "1")).json(200);
    let first = carol.post("transition-requests/approve", &to("Canary", "1")).json(200);
    assert_eq!(first["activity"]["activity_type"], "APPROVED_REQUEST");
    let why = first["warnings"][0].as_str().expect("a warning");
    assert!(why.contains("only from Staging; it is in None; moving it there voids this approval"), "{why}");
    let refused = erin.post("transition-requests/approve", &to("Canary", "1")).json(400);
    assert!(refused["message"].as_str().is_some_and(|m| m.contains("may enter Canary only from Staging")), "{refused}");
    // An error keeps nothing: the same call does it once the version may enter.
    let open = world.alice().greenroom(["request", "list", "-o", "json"]).success().json();
    assert_eq!(open[0]["approvals"]["by"], json!(["carol"]));
    world.is_sound();
}

#[test]
fn a_version_shows_its_open_requests_and_the_callers_level() {
    let world = with_wine();
    let server = world.serve(&["--require-token"]);
    let [alice, bob] = ["alice", "bob"].map(|p| by(&world, &server, p));
    bob.post("transition-requests/create", &to("Production", "2")).json(200);
    let moved = alice.post("databricks/model-versions/transition-stage", &to("staging", "2")).json(200);
    let version = &moved["model_version_databricks"];
    assert_eq!(version["current_stage"], "Staging");
    assert_eq!(version["permission_level"], "CAN_MANAGE");
    assert_eq!(version["email_subscription_status"], "ALL_EVENTS", "the model is hers");
    let open = &version["open_requests"][0];
    assert_eq!(
        (&open["user_id"], &open["from_stage"], &open["to_stage"]),
        (&json!("bob"), &json!("Staging"), &json!("Production"))
    );
    assert!(
        version.get("description").is_none() && version.get("run_id").is_none(),
        "fields that are not set are absent"
    );
    let seen = bob.get("databricks/model-versions/get?name=wine&version=2").json(200);
    assert_eq!(seen["model_version_databricks"]["permission_level"], "CAN_READ");
    assert_eq!(seen["model_version_databricks"]["email_subscription_status"], "SUBSCRIBED", "bob made the request");
    let found = bob.get("databricks/model-versions/search?filter=name%3D'wine'&order_by=version_number").json(200);
    let rows = found["model_versions_databricks"].as_array().expect("rows");
    let with_open: Vec<_> = rows.iter().map(|v| (&v["version"], v["open_requests"].is_array())).collect();
    assert_eq!(with_open, [(&json!("1"), false), (&json!("2"), true)]);
    for path in ["databricks/registered-models/list", "databricks/registered-models/search"] {
        let models = bob.get(path).json(200);
        assert_eq!(models["registered_models_databricks"][0]["permission_level"], "CAN_READ");
    }
    assert_eq!(by(&world, &server, "dave").get("databricks/model-versions/search").json(200), json!({}));
}

#[test]
fn activities_tell_all_that_was_done_to_a_version() {
    let world = with_wine();
    let server = world.serve(&["--require-token"]);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|p| by(&world, &server, p));
    let comment = |text: &str| json!({ "name": "wine", "version": "1", "comment": text });
    let mut first = to("Production", "1");
    first["comment"] = json!("Straight on");
    alice.post("databricks/model-versions/transition-stage", &first).json(200);
    bob.post("comments/create", &comment("Fine?")).json(200);
    let gone = bob.post("comments/create", &comment("Oops")).json(200);
    bob.send("DELETE", "comments/delete", &json!({ "id": gone["comment"]["id"] })).json(200);
    bob.post("transition-requests/create", &to("Production", "2")).json(200);
    let mut yes = to("Production", "2");
    yes["archive_existing_versions"] = json!(true);
    carol.post("transition-requests/approve", &yes).json(200);
    bob.post("transition-requests/create", &to("Staging", "1")).json(200);
    let mut withdrawn = to("Staging", "1");
    withdrawn["creator"] = json!("bob");
    bob.send("DELETE", "transition-requests/delete", &withdrawn).json(200);

    let told = |version: &str| {
        let path = format!("model-versions/get-activities?name=wine&version={version}");
        let answer = bob.get(&path).json(200);
        // The URL without `databricks` in it is under the preview prefix, too.
        let preview = format!("/api/2.0/preview/mlflow/{path}");
        assert_eq!(server.get(&preview).by(world.token("bob")).json(200), answer);
        let rows = answer["activities"].as_array().expect("activities").clone();
        assert!(rows.iter().all(|a| a["creation_timestamp"].is_i64() && a["id"].is_string()), "{rows:?}");
        let word = |a: &Value, key: &str| a[key].as_str().unwrap_or("-").to_owned();
        let keys = ["activity_type", "user_id", "from_stage", "to_stage", "comment", "system_comment"];
        rows.iter().map(|a| keys.map(|k| word(a, k)).join("|")).collect::<Vec<_>>()
    };
    assert_eq!(
        told("1"),
        [
            "APPLIED_TRANSITION|alice|None|Production|Straight on|-",
            "NEW_COMMENT|bob|-|-|Fine?|-",
            "SYSTEM_TRANSITION|carol|Production|Archived|-|Version 2 was transitioned to Production.",
            "REQUESTED_TRANSITION|bob|-|Staging|-|-",
            "CANCELLED_REQUEST|bob|-|Staging|-|-",
        ]
    );
    assert_eq!(told("2"), ["REQUESTED_TRANSITION|bob|-|Production|-|-", "APPROVED_REQUEST|carol|None|Production|-|-",]);
}

#[test]
fn arguments_come_in_the_query_or_in_the_body() {
    let world = with_wine();
    let server = world.serve(&["--require-token"]);
    let alice = by(&world, &server, "alice");
    let body = json!({ "name": "wine", "version": "1" });
    let in_query = alice.get("transition-requests/list?name=wine&version=1").json(200);
    assert_eq!(alice.send("GET", "transition-requests/list", &body).json(200), in_query);
    alice.post("transition-requests/create", &to("Staging", "1")).json(200);
    let missing = alice.send("DELETE", "transition-requests/delete", &to("Staging", "1")).json(400);
    assert_eq!(said(&missing).0, "INVALID_PARAMETER_VALUE");
    let query = "transition-requests/delete?name=wine&version=1&stage=Staging&creator=alice&comment=never+mind";
    let done = alice.get(query).method("DELETE").json(200);
    assert_eq!(done["activity"]["comment"], "never mind");
    let comment = json!({ "name": "wine", "version": "1", "comment": "x" });
    let id = alice.post("comments/create", &comment).json(200)["comment"]["id"].as_str().expect("an id").to_owned();
    let delete = alice.get(&format!("comments/delete?id={id}")).method("DELETE");
    assert_eq!(delete.json(200), json!({}));
    assert_eq!(said(&delete.json(404)).0, "RESOURCE_DOES_NOT_EXIST");
    // Unknown arguments are ignored.
    alice.post("registered-models/create", &json!({ "name": "x", "whatever": [1] })).json(200);
}

/// Sends a request during another write, so that the answer comes after the client gave up.
fn lose(world: &World, server: &Server, person: &str, method: &str, path: &str, body: &Value) {
    let repo = Repo::open(&world.sandbox.path("r/.git")).expect("the repository opens");
    let lock = repo.lock(Duration::from_secs(10)).expect("no other process writes");
    let (body, token) = (body.to_string(), world.token(person));
    let head = format!("{method} {MLFLOW}/{path} HTTP/1.1\r\nHost: {}\r\n", server.address());
    let kind = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
    let mut stream = TcpStream::connect(server.address()).expect("it listens");
    let request = format!("{head}{kind}Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).expect("it reads");
    thread::sleep(Duration::from_millis(300));
    drop(stream);
    thread::sleep(Duration::from_millis(300));
    drop(lock);
}

#[test]
fn what_comes_again_because_its_answer_was_lost_is_answered_and_not_done_twice() {
    let world = with_wine();
    let server = world.serve(&["--require-token"]);
    let [bob, carol] = ["bob", "carol"].map(|p| by(&world, &server, p));

    let model = json!({ "name": "beer" });
    lose(&world, &server, "bob", "POST", "registered-models/create", &model);
    assert_eq!(bob.post("registered-models/create", &model).json(200)["registered_model"]["name"], "beer");
    assert_eq!(said(&bob.post("registered-models/create", &model).json(400)).0, "RESOURCE_ALREADY_EXISTS");
    lose(&world, &server, "bob", "DELETE", "registered-models/delete", &model);
    assert_eq!(bob.send("DELETE", "registered-models/delete", &model).json(200), json!({}));

    let comment = json!({ "name": "wine", "version": "1", "comment": "once" });
    lose(&world, &server, "bob", "POST", "comments/create", &comment);
    let id = bob.post("comments/create", &comment).json(200)["comment"]["id"].clone();

    let ask = to("Staging", "1");
    lose(&world, &server, "bob", "POST", "transition-requests/create", &ask);
    let made = bob.post("transition-requests/create", &ask).json(200);
    assert_eq!(made["request"]["to_stage"], "Staging");
    assert_eq!(said(&bob.post("transition-requests/create", &ask).json(400)).0, "RESOURCE_ALREADY_EXISTS");

    lose(&world, &server, "carol", "POST", "transition-requests/approve", &ask);
    let approved = carol.post("transition-requests/approve", &ask).json(200);
    assert_eq!(approved["activity"]["activity_type"], "APPROVED_REQUEST");
    assert_eq!(said(&carol.post("transition-requests/approve", &ask).json(404)).0, "RESOURCE_DOES_NOT_EXIST");

    let gone = json!({ "id": id });
    lose(&world, &server, "bob", "DELETE", "comments/delete", &gone);
    assert_eq!(bob.send("DELETE", "comments/delete", &gone).json(200), json!({}));
    let subjects = world.subjects(4);
    let wanted = ["bob: Delete a comment", "carol: Approve Staging", "bob: Request Staging", "bob: Comment on wine"];
    assert!(subjects.iter().zip(wanted).all(|(found, wanted)| found.starts_with(wanted)), "{subjects:?}");
    world.is_sound();
}

#[test]
fn a_request_that_was_undone_meanwhile_is_made_again() {
    let world = with_wine();
    let server = world.serve(&["--require-token"]);
    let bob = by(&world, &server, "bob");
    lose(&world, &server, "bob", "POST", "transition-requests/create", &to("Staging", "1"));
    let query = "transition-requests/delete?name=wine&version=1&stage=Staging&creator=bob";
    bob.get(query).method("DELETE").json(200);
    bob.post("transition-requests/create", &to("Staging", "1")).json(200);
    let open = bob.get("transition-requests/list?name=wine&version=1").json(200);
    assert_eq!(open["requests"].as_array().map(Vec::len), Some(1));
}

#[test]
fn the_same_comment_within_a_minute_is_the_same_comment() {
    let world = with_wine();
    let server = world.serve(&["--require-token"]);
    let say = |person: &str, version: &str, text: &str| {
        let body = json!({ "name": "wine", "version": version, "comment": text });
        by(&world, &server, person).post("comments/create", &body).json(200)["comment"]["id"].clone()
    };
    let first = say("bob", "1", "Good");
    assert_eq!(say("bob", "1", "Good"), first);
    assert!(
        [say("bob", "1", "Better"), say("bob", "2", "Good"), say("carol", "1", "Good")].iter().all(|id| *id != first)
    );
}

#[test]
fn a_client_learns_without_credentials_that_there_is_nothing_to_know() {
    let world = World::new(&[]);
    let server = world.serve(&["--require-token"]);
    let answer = server.get("/.well-known/databricks-config").answer();
    assert_eq!((answer.status, answer.body), (200, b"{}".to_vec()));
    let me = server.get("/api/2.0/preview/scim/v2/Me");
    assert_eq!(me.answer().status, 401);
    let known = me.by(world.token("alice")).answer();
    let number: u64 = known.header("x-databricks-org-id").expect("a number").parse().expect("a number");
    assert!(number > 0 && number < 1 << 53);
}

#[test]
fn permissions_are_replaced_in_one_step_and_never_half() {
    let world = with_wine();
    let server = world.serve(&["--require-token"]);
    let alice = by(&world, &server, "alice");
    let model = alice.get("databricks/registered-models/get?name=wine").json(200);
    let id = model["registered_model_databricks"]["id"].as_str().expect("an id").to_owned();
    let path = format!("/api/2.0/permissions/registered-models/{id}");
    let ask = |method, list: Value| {
        let body = json!({ "access_control_list": list });
        server.send(method, &path, &body).by(world.token("alice"))
    };
    let entry = |user: &str, level: &str| json!({ "user_name": user, "permission_level": level });
    let set = ask("PUT", json!([entry("bob", "CAN_EDIT"), entry("alice", "CAN_MANAGE")])).json(200);
    assert_eq!(set["object_id"], format!("/registered-models/{id}"));
    assert_eq!(set["user_level"], "CAN_MANAGE");
    let before = world.subjects(1);
    for (list, code) in [
        (json!([entry("dave", "CAN_READ"), entry("nobody", "CAN_READ")]), "RESOURCE_DOES_NOT_EXIST"),
        (json!([entry("dave", "CAN_READ"), entry("dave@example.org", "CAN_EDIT")]), "INVALID_PARAMETER_VALUE"),
        (json!([entry("dave", "CAN_FLY")]), "INVALID_PARAMETER_VALUE"),
        (
            json!([{ "user_name": "dave", "group_name": "risk", "permission_level": "CAN_READ" }]),
            "INVALID_PARAMETER_VALUE",
        ),
        (json!([{ "user_name": "dave" }]), "INVALID_PARAMETER_VALUE"),
        (json!("all"), "INVALID_PARAMETER_VALUE"),
    ] {
        for method in ["PUT", "PATCH"] {
            let answer = ask(method, list.clone()).answer();
            let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
            assert_eq!(said(&body).0, code, "{method} {list}");
        }
    }
    assert_eq!(world.subjects(1), before, "nothing was committed");
    let dashed = format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]);
    let same = server.get(&format!("/api/2.0/permissions/registered-models/{dashed}")).by(world.token("bob"));
    assert_eq!(
        same.json(200)["access_control_list"],
        server.get(&path).by(world.token("bob")).json(200)["access_control_list"]
    );
    let root = "/api/2.0/permissions/registered-models/root";
    let seen = server.get(root).by(world.token("bob")).json(200);
    assert_eq!(seen["object_id"], "/registered-models/root");
    assert!(!seen.to_string().contains("example.org"), "no address is shown: {seen}");
    assert_eq!(said(&server.get(root).by(world.token("dave")).json(403)).0, "PERMISSION_DENIED");
    assert_eq!(server.get(&path).by(world.token("dave")).json(404)["error_code"], "RESOURCE_DOES_NOT_EXIST");
    // A refusal by a rule is not reported as a missing permission.
    let last = server.send("PUT", root, &json!({ "access_control_list": [] })).by(world.token("alice")).json(400);
    assert_eq!(said(&last).0, "INVALID_STATE", "{last}");
    world.alice().greenroom(["check"]).success();
}

#[test]
fn what_a_model_allows_is_judged_by_who_decides_and_not_by_who_asked() {
    let world = with_wine();
    let server = world.serve(&["--require-token"]);
    let [bob, carol, erin] = ["bob", "carol", "erin"].map(|p| by(&world, &server, p));
    carol.post("transition-requests/create", &to("Canary", "1")).json(200);
    let own = carol.post("transition-requests/approve", &to("Canary", "1")).json(200);
    assert!(own["activity"]["system_comment"].as_str().is_some_and(|s| s.contains("stays open")), "{own}");
    erin.post("transition-requests/approve", &to("Canary", "1")).json(200);
    let open = bob.get("transition-requests/list?name=wine&version=1").json(200);
    assert_eq!(open["requests"].as_array().map(Vec::len), Some(1), "one of the two was the asker's own");
    let refused = bob.post("transition-requests/approve", &to("Canary", "1")).json(403);
    assert_eq!(said(&refused).0, "PERMISSION_DENIED");
    bob.post("registered-models/create", &named("own")).json(200);
}

#[test]
fn no_argument_makes_the_server_fail_here_either() {
    let world = with_wine();
    let server = world.serve(&[]);
    let comment = json!({ "name": "wine", "version": "1", "comment": "x" });
    let id = server.post("comments/create", &comment).json(200)["comment"]["id"].clone();
    let odd = [
        json!(null),
        json!(""),
        json!(0),
        json!(-1.5),
        json!(true),
        json!([{}]),
        json!({"a": 1}),
        json!("\u{0}"),
        json!("\u{202e}x"),
        json!("a".repeat(5000)),
        json!("99999999999999999999"),
        json!("../../x"),
    ];
    let good = json!({ "name": "wine", "version": "1", "stage": "Staging", "comment": "c", "creator": "bob", "id": id,
        "archive_existing_versions": false, "access_control_list": [] });
    let posts = [
        ("POST", "databricks/model-versions/transition-stage"),
        ("POST", "transition-requests/create"),
        ("POST", "transition-requests/approve"),
        ("POST", "transition-requests/reject"),
        ("DELETE", "transition-requests/delete"),
        ("POST", "comments/create"),
        ("PATCH", "comments/update"),
    ];
    let is_well = |answer: &crate::support::server::Answer, what: &str| {
        let text = String::from_utf8_lossy(&answer.body);
        assert!(answer.status < 500, "{what}: {text}");
        let parsed: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert!(answer.status == 200 || parsed["error_code"].is_string(), "{what}: {text}");
    };
    for (method, path) in posts {
        for (key, value) in good.as_object().expect("an object").keys().flat_map(|k| odd.iter().map(move |v| (k, v))) {
            let mut body = good.clone();
            body[key.as_str()] = value.clone();
            is_well(&server.send(method, &format!("{MLFLOW}/{path}"), &body).answer(), &format!("{path} {body}"));
        }
    }
    let root = "/api/2.0/permissions/registered-models/";
    for value in &odd {
        for entry in [
            json!({ "user_name": value, "permission_level": "CAN_READ" }),
            json!({ "user_name": "bob", "permission_level": value }),
            value.clone(),
        ] {
            let body = json!({ "access_control_list": [entry] });
            is_well(&server.send("PATCH", &format!("{root}root"), &body).answer(), &body.to_string());
        }
    }
    for id in ["%00", "%ff", "..", "root%2F", "-", &"f".repeat(33), &"0".repeat(5000)] {
        is_well(&server.get(&format!("{root}{id}")).answer(), id);
    }
    let own =
        ["models/get", "models/list", "versions/get", "comments/list", "activities/list", "requests/list", "events"];
    let keys =
        ["as_of", "version", "stage", "alias", "page_token", "max_results", "after", "wait", "event", "role", "name"];
    for (path, key) in own.iter().flat_map(|p| keys.map(|k| (p, k))) {
        for value in ["", "%00", "x", "-1", "0", "1e9", "99999999999999999999", "%E2%80%AE", "a.b", &"f".repeat(40)] {
            let query = format!("/api/greenroom/{path}?name=wine&version=1&{key}={value}");
            is_well(&server.get(&query).answer(), &query);
        }
    }
    world.is_sound();
    world.alice().greenroom(["check"]).success();
}

/// The index (for commands) and the catalog (for clients) give the same answers, even for rows without their long
/// texts.
#[test]
fn searches_find_by_more_than_mlflows_language_and_show_aliases() {
    let world = with_wine();
    let alice = world.alice();
    let many: Vec<String> = (0..40).map(|n| format!("--param=p{n}={}", "x".repeat(100))).collect();
    let three = ["register", "wine", "--source", "s3://bucket/3", "--metric", "auc=0.95", "--param", "C=0.1"];
    alice.greenroom(three.into_iter().chain(many.iter().map(String::as_str))).success();
    let four = ["register", "wine", "--source", "s3://bucket/4", "--metric", "auc=0.81", "--param", "C=1"];
    alice.greenroom(four).success();
    alice.greenroom(["version", "describe", "wine", "4", &format!("{} needle", "x".repeat(300))]).success();
    alice.greenroom(["transition", "wine", "4", "Staging"]).success();
    alice.greenroom(["alias", "set", "wine", "champion", "4"]).success();
    alice.greenroom(["alias", "set", "wine", "first", "1"]).success();
    let server = world.serve(&[]);
    let found = |rows: &Value| -> Vec<String> {
        let rows = rows.as_array().cloned().unwrap_or_default();
        let mut out: Vec<String> = rows.iter().map(|v| v["version"].to_string().replace('"', "")).collect();
        out.sort();
        out
    };
    for (filter, want) in [
        ("alias = 'champion'", &["4"][..]),
        ("alias != 'champion'", &["1", "2", "3"]),
        ("stage = 'Staging' OR alias = 'first'", &["1", "4"]),
        ("metrics.auc > 0.9", &["3"]),
        ("metrics.auc > 0.8 AND (params.C = '1' OR params.p7 = 'nothing')", &["4"]),
        ("params.p39 LIKE 'x%'", &["3"]),
        ("description LIKE '%needle'", &["4"]),
        ("creation_timestamp > '2020-01-01' AND version_number < 3", &["1", "2"]),
        ("name = 'wine' AND metrics.auc >= 0.81", &["3", "4"]),
    ] {
        let by_command = alice.greenroom(["search", "versions", filter, "-o", "json"]).success().json();
        assert_eq!(found(&by_command), want, "{filter}");
        let query: String = filter.bytes().map(|b| format!("%{b:02X}")).collect();
        let by_client = server.get(&format!("{MLFLOW}/model-versions/search?filter={query}")).json(200);
        assert_eq!(found(&by_client["model_versions"]), want, "{filter}");
        let of_databricks = server.get(&format!("{MLFLOW}/databricks/model-versions/search?filter={query}")).json(200);
        assert_eq!(found(&of_databricks["model_versions_databricks"]), want, "{filter}");
    }
    let champion = |v: &Value| v["aliases"] == json!(["champion"]);
    let listed = alice.greenroom(["search", "versions", "alias = 'champion'", "-o", "json"]).success().json();
    assert!(champion(&listed[0]), "{listed}");
    let query = "registered-models/search?filter=stage%3D'Staging'+AND+alias+IN+('champion')";
    let models = server.get(&format!("{MLFLOW}/{query}")).json(200);
    let latest = models["registered_models"][0]["latest_versions"].as_array().cloned().unwrap_or_default();
    assert!(latest.iter().any(|v| v["version"] == "4" && champion(v)), "{models}");
    let shown = server.get(&format!("{MLFLOW}/databricks/registered-models/get?name=wine")).json(200);
    let latest = shown["registered_model_databricks"]["latest_versions"].as_array().cloned().unwrap_or_default();
    assert!(latest.iter().any(|v| v["version"] == "4" && champion(v)), "{shown}");
    let none = alice.greenroom(["search", "models", "stage = 'Production'", "-o", "json"]).success().json();
    assert_eq!(none, json!([]));
    let one =
        alice.greenroom(["search", "models", "stage = 'Staging' AND alias = 'first'", "-o", "json"]).success().json();
    assert_eq!(one[0]["name"], "wine");
    // A moved alias is visible at once, by the index, too.
    alice.greenroom(["alias", "set", "wine", "champion", "3"]).success();
    let moved = alice.greenroom(["search", "versions", "alias = 'champion'", "-o", "json"]).success().json();
    assert_eq!(found(&moved), ["3"]);
}
