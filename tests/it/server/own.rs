//! Greenroom's own API: comments and activities, requests across models, as-of queries, and the feed of events.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use greenroom::server::{api::table, http::route::RouteAccess};
use greenroom::view::schema::ALL;
use serde_json::{Value, json};

use super::{World, named, said, token};
use crate::output::valid;
use crate::support::server::Server;

const OWN: &str = "/api/greenroom";

/// Alice's registry with `wine` of two versions, which Bob may read, and `hidden` of one version, which Bob may not read.
/// Carol reads and moves all versions.
fn world() -> World {
    let world = World::new(&[("bob", ""), ("carol", "CAN_MANAGE_PRODUCTION_VERSIONS")]);
    let alice = world.alice();
    for (model, source) in [("wine", "s3://b/1"), ("wine", "s3://b/2"), ("hidden", "s3://b/h")] {
        alice.greenroom(["register", model, "--source", source]).success();
    }
    alice.greenroom(["access", "grant", "--model", "wine", "bob", "CAN_READ"]).success();
    world
}

/// An answer, which must be what its schema says.
fn get(server: &Server, world: &World, person: &str, path: &str) -> Value {
    let answer = server.get(&format!("{OWN}/{path}")).by(world.token(person)).json(200);
    valid(schema_of(path), &answer);
    answer
}

/// The schema of an address.
fn schema_of(path: &str) -> &'static str {
    match path.split_once('?').unwrap_or((path, "")) {
        ("models/get", _) => "api-model",
        ("models/list", _) => "api-models",
        ("versions/get", _) => "api-version",
        ("comments/list", _) => "api-comments",
        ("activities/list", _) => "api-activities",
        ("requests/list", _) => "api-requests",
        ("events", _) => "api-events",
        ("notifications", query) if query.contains("name=") => "api-notifications-model",
        ("notifications", _) => "api-notifications",
        (other, _) => panic!("{other} has no schema"),
    }
}

fn rows<'v>(answer: &'v Value, list: &str, key: &str) -> Vec<&'v str> {
    let all = answer[list].as_array().unwrap_or_else(|| panic!("{list} in {answer}"));
    all.iter().map(|row| row[key].as_str().unwrap_or("-")).collect()
}

#[test]
fn comments_and_activities_are_read_back() {
    let world = world();
    let server = world.serve(&["--require-token"]);
    for (person, text) in [("bob", "First"), ("carol", "Second")] {
        let body = json!({ "name": "wine", "version": "1", "comment": text });
        server.post("comments/create", &body).by(world.token(person)).json(200);
    }
    let said_by = get(&server, &world, "bob", "comments/list?name=wine&version=1");
    assert_eq!(rows(&said_by, "comments", "text"), ["First", "Second"]);
    assert_eq!(said_by["comments"][0]["available_actions"], json!(["EDIT_COMMENT", "DELETE_COMMENT"]));
    assert!(said_by["comments"][1].get("available_actions").is_none());
    assert_eq!(get(&server, &world, "bob", "comments/list?name=wine&version=2"), json!({ "comments": [] }));

    let all = get(&server, &world, "bob", "activities/list?name=wine&version=1");
    assert_eq!(rows(&all, "activities", "comment"), ["Second", "First"]);
    let first = get(&server, &world, "bob", "activities/list?name=wine&version=1&max_results=1");
    assert_eq!(rows(&first, "activities", "comment"), ["Second"]);
    let token = first["next_page_token"].as_str().expect("there is more");
    let path = format!("activities/list?name=wine&version=1&max_results=1&page_token={token}");
    let second = get(&server, &world, "bob", &path);
    assert_eq!(rows(&second, "activities", "comment"), ["First"]);
    for token in ["x", &"ab".repeat(20)] {
        let path = format!("{OWN}/activities/list?name=wine&version=1&page_token={token}");
        let wrong = server.get(&path).by(world.token("bob")).json(400);
        assert_eq!(said(&wrong).0, "INVALID_PARAMETER_VALUE");
    }
    let hidden = server.get(&format!("{OWN}/comments/list?name=hidden&version=1")).by(world.token("bob")).json(404);
    assert_eq!(said(&hidden).0, "RESOURCE_DOES_NOT_EXIST");
}

#[test]
fn answers_are_made_of_the_objects_that_commands_print() {
    let world = world();
    world.alice().greenroom(["stage", "set", "Production", "--approvals", "1"]).success();
    world.alice().greenroom(["alias", "set", "wine", "champion", "1"]).success();
    let server = world.serve(&["--require-token"]);
    let body = json!({ "name": "wine", "version": "1", "stage": "Production", "comment": "please" });
    server.post("transition-requests/create", &body).by(world.token("bob")).json(200);
    server.post("comments/create", &body).by(world.token("bob")).json(200);
    let seen = RefCell::new(BTreeSet::from(["api-event"]));
    let answer = |path: &str| {
        seen.borrow_mut().insert(schema_of(path));
        get(&server, &world, "alice", path)
    };
    let versions = answer("versions/get?name=wine&version=1");
    valid("version-list", &json!([versions["version"]]));
    valid("model-show", &answer("models/get?name=wine")["model"]);
    valid("model-list", &answer("models/list")["models"]);
    valid("comment-list", &answer("comments/list?name=wine&version=1")["comments"]);
    valid("request-list", &answer("requests/list")["requests"]);
    let activities = answer("activities/list?name=wine&version=1");
    assert_eq!(
        (&activities["activities"][0]["by"], &activities["activities"][1]["to"]),
        (&json!("bob"), &json!("Production"))
    );
    assert!(activities["activities"][0]["at"].is_string());
    world
        .alice()
        .greenroom(["version", "record", "wine", "1", "--metric", "loss=nan", "--metric", "gain=inf"])
        .success();
    let events = answer("events");
    let event = |e: &Value| valid("api-event", e);
    events["events"].as_array().expect("events").iter().for_each(event);
    let metrics = answer("events?event=version.metric_added");
    let values: Vec<&Value> =
        metrics["events"].as_array().expect("events").iter().map(|e| &e["data"]["value"]).collect();
    assert_eq!(values, [&json!("Infinity"), &json!("NaN")], "as in the metrics of the version");
    assert!(events["events"][0]["at"].is_string() && events["events"][0]["by"] == "alice", "{events}");
    for path in ["notifications", "notifications?name=wine", "notifications?name=wine&version=1"] {
        answer(path);
    }
    let all: BTreeSet<&str> = ALL.iter().map(|k| k.name).filter(|name| name.starts_with("api-")).collect();
    assert_eq!(*seen.borrow(), all, "each has been asked for");
    // The same thing is the same by command and by HTTP, but for what only the caller's rights give.
    let shown = world.alice().greenroom(["comment", "list", "wine", "1", "-o", "json"]).success().json();
    let mut told = answer("comments/list?name=wine&version=1")["comments"].clone();
    told[0].as_object_mut().expect("a comment").remove("available_actions");
    assert_eq!(told, shown);
}

#[test]
fn what_happened_to_an_earlier_model_of_the_name_is_no_activity() {
    let world = world();
    let before = world.alice().git(["rev-parse", "HEAD"]).success().stdout().trim().to_owned();
    let server = world.serve(&["--require-token"]);
    let comment = |text: &str| {
        let body = json!({ "name": "hidden", "version": "1", "comment": text });
        server.post("comments/create", &body).by(world.token("carol")).json(200);
    };
    let moved = |to: &str| {
        let body = json!({ "name": "hidden", "version": "1", "stage": to, "comment": to });
        server.post("databricks/model-versions/transition-stage", &body).by(world.token("carol")).json(200);
    };
    moved("Staging");
    let secret = world.alice().git(["rev-parse", "HEAD"]).success().stdout().trim().to_owned();
    comment("Secret");
    moved("Archived");
    world.alice().greenroom(["model", "delete", "hidden", "--yes"]).success();
    world.alice().greenroom(["register", "hidden", "--source", "s3://b/new"]).success();
    world.alice().greenroom(["access", "grant", "--model", "hidden", "bob", "CAN_READ"]).success();
    moved("Production");
    let at = |page: &str| {
        let all = get(&server, &world, "bob", &format!("activities/list?name=hidden&version=1{page}"));
        assert_eq!(all.get("next_page_token"), None, "{all}");
        rows(&all, "activities", "to").iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(at(""), ["Production"]);
    assert_eq!(at("&max_results=1000"), ["Production"]);
    for older in [secret, before] {
        assert_eq!(at(&format!("&page_token={older}")), [""; 0], "a page that begins before the model");
    }
    let path = "/api/2.0/mlflow/model-versions/get-activities?name=hidden&version=1";
    let theirs = server.get(path).by(world.token("bob")).json(200);
    assert_eq!(rows(&theirs, "activities", "to_stage"), ["Production"]);
}

#[test]
fn requests_of_all_models_are_listed_by_whose_turn_it_is() {
    let world = world();
    world.alice().greenroom(["stage", "set", "Production", "--approvals", "1"]).success();
    let server = world.serve(&["--require-token"]);
    let ask = |person: &str, model: &str, version: &str, stage: &str| {
        let body = json!({ "name": model, "version": version, "stage": stage });
        server.post("transition-requests/create", &body).by(world.token(person)).json(200);
    };
    ask("bob", "wine", "1", "Production");
    ask("carol", "hidden", "1", "Production");
    ask("carol", "wine", "2", "Staging");
    ask("bob", "wine", "2", "Production");
    let list = |person: &str, rest: &str| {
        let answer = get(&server, &world, person, &format!("requests/list?{rest}"));
        let rows = answer["requests"].as_array().expect("requests").clone();
        let line = |r: &Value| {
            format!("{}/{} {}", r["model"].as_str().unwrap(), r["version"].as_u64().unwrap(), r["to"].as_str().unwrap())
        };
        rows.iter().map(line).collect::<Vec<_>>()
    };
    let all = ["wine/1 Production", "hidden/1 Production", "wine/2 Staging", "wine/2 Production"];
    assert_eq!(list("alice", ""), all);
    assert_eq!(list("alice", "role=approver"), all);
    assert_eq!(
        list("carol", "role=approver"),
        ["wine/1 Production", "wine/2 Staging", "wine/2 Production"],
        "not her own"
    );
    assert_eq!(list("carol", "role=creator"), ["hidden/1 Production", "wine/2 Staging"]);
    assert_eq!(list("bob", "role=all"), ["wine/1 Production", "wine/2 Staging", "wine/2 Production"]);
    assert_eq!(list("bob", "role=approver"), [""; 0]);
    assert_eq!(list("alice", "name=wine&stage=production"), ["wine/1 Production", "wine/2 Production"]);

    let row = &get(&server, &world, "alice", "requests/list")["requests"][0];
    assert_eq!(row["approvals"], json!({ "needed": 1, "by": [] }));
    assert_eq!(row["stage"], "None");
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let page = get(&server, &world, "alice", &format!("requests/list?max_results=1&page_token={token}"));
        seen.extend(rows(&page, "requests", "id").into_iter().map(str::to_owned));
        match page["next_page_token"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => break,
        }
    }
    assert_eq!(seen.len(), 4);
    // A decided request is no longer listed, however it was decided; a renamed model still has its requests.
    let approve = json!({ "name": "wine", "version": "1", "stage": "Production" });
    server.post("transition-requests/approve", &approve).by(world.token("carol")).json(200);
    world.alice().greenroom(["model", "rename", "hidden", "unseen"]).success();
    world.alice().greenroom(["transition", "wine", "2", "Staging"]).success();
    assert_eq!(list("alice", ""), ["unseen/1 Production", "wine/2 Production"]);
    let wrong = server.get(&format!("{OWN}/requests/list?role=boss")).by(world.token("bob")).json(400);
    assert_eq!(said(&wrong).0, "INVALID_PARAMETER_VALUE");
}

#[test]
fn the_past_is_read_by_time_and_by_commit() {
    let world = world();
    let alice = world.alice();
    let head = || world.alice().git(["rev-parse", "HEAD"]).success().stdout().trim().to_owned();
    alice.greenroom(["transition", "wine", "1", "Production"]).success();
    alice.greenroom(["alias", "set", "wine", "champion", "1"]).success();
    let before = head();
    alice.clone().at("2030-01-01T00:00:00Z").greenroom(["transition", "wine", "2", "Production"]).success();
    alice.clone().at("2030-01-02T00:00:00Z").greenroom(["alias", "set", "wine", "champion", "2"]).success();
    alice.clone().at("2030-01-03T00:00:00Z").greenroom(["model", "delete", "hidden", "--yes"]).success();
    let server = world.serve(&["--require-token"]);
    let number = |person: &str, rest: &str| {
        let answer = get(&server, &world, person, &format!("versions/get?name=wine&{rest}"));
        answer["version"]["version"].as_u64().expect("a number").to_string()
    };
    assert_eq!(number("bob", "stage=Production"), "2");
    assert_eq!(number("bob", &format!("stage=production&as_of={before}")), "1");
    assert_eq!(number("bob", &format!("alias=champion&as_of={}", &before[..12])), "1");
    assert_eq!(number("bob", "alias=champion&as_of=2030-01-01T12:00:00Z"), "1");
    assert_eq!(number("bob", "alias=champion&as_of=2030-01-02T12:00:00Z"), "2");
    let then = get(&server, &world, "bob", &format!("versions/get?name=wine&version=1&as_of={before}"));
    assert_eq!(then["version"]["stage"], "Production");
    assert_eq!(then["version"]["aliases"], json!(["champion"]));
    assert_eq!(then["as_of"]["commit"], before);
    let model = get(&server, &world, "bob", &format!("models/get?name=wine&as_of={before}"));
    assert_eq!(model["model"]["aliases"], json!([{ "alias": "champion", "version": 1, "stage": "Production" }]));

    let names = |person: &str, rest: &str| {
        let answer = get(&server, &world, person, &format!("models/list?{rest}"));
        rows(&answer, "models", "name").iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("carol", ""), ["wine"]);
    // Deleted models are visible only to people who may read every model.
    assert_eq!(names("carol", &format!("as_of={before}")), ["hidden", "wine"]);
    assert_eq!(names("bob", &format!("as_of={before}")), ["wine"]);

    let refused =
        |rest: &str| server.get(&format!("{OWN}/versions/get?name=wine&{rest}")).by(world.token("bob")).json(400);
    for wrong in ["main", "HEAD~1", "%3A%2FTransition", "yesterday", "1999-01-01", &"ab".repeat(20), "refs/heads/main"]
    {
        let answer = refused(&format!("version=1&as_of={wrong}"));
        assert_eq!(said(&answer).0, "INVALID_PARAMETER_VALUE", "{wrong}");
    }
    assert_eq!(said(&refused("version=1&alias=champion")).0, "INVALID_PARAMETER_VALUE");
    assert_eq!(said(&refused("")).0, "INVALID_PARAMETER_VALUE");
    let none = server.get(&format!("{OWN}/versions/get?name=wine&stage=Staging")).by(world.token("bob")).json(404);
    assert_eq!(said(&none).0, "RESOURCE_DOES_NOT_EXIST");
}

#[test]
fn the_past_does_not_show_what_a_branch_holds_that_nobody_merged_nor_what_is_hidden_now() {
    let world = world();
    let alice = world.alice();
    alice.git(["checkout", "--quiet", "-b", "draft"]).success();
    alice.greenroom(["transition", "wine", "1", "Production"]).success();
    let draft = alice.git(["rev-parse", "HEAD"]).success().stdout().trim().to_owned();
    alice.git(["checkout", "--quiet", "main"]).success();
    let then = alice.git(["rev-parse", "HEAD"]).success().stdout().trim().to_owned();
    alice.greenroom(["access", "revoke", "--model", "wine", "bob"]).success();
    let server = world.serve(&["--require-token"]);
    let path = |moment: &str| format!("{OWN}/versions/get?name=wine&version=1&as_of={moment}");
    assert_eq!(said(&server.get(&path(&draft)).by(world.token("alice")).json(400)).0, "INVALID_PARAMETER_VALUE");
    server.get(&path(&then)).by(world.token("alice")).json(200);
    server.get(&path(&then)).by(world.token("bob")).json(404);
    // Another model that takes the name later gives no access to the earlier model.
    alice.greenroom(["model", "rename", "hidden", "secret"]).success();
    alice.greenroom(["model", "create", "hidden"]).success();
    alice.greenroom(["access", "grant", "--model", "hidden", "bob", "CAN_READ"]).success();
    get(&server, &world, "bob", "models/get?name=hidden");
    let old = format!("{OWN}/models/get?name=hidden&as_of={then}");
    server.get(&old).by(world.token("bob")).json(404);
    server.get(&old).by(world.token("alice")).json(200);
}

/// All events from a cursor on, page by page, and the last cursor.
fn feed(server: &Server, world: &World, person: &str, rest: &str) -> (Vec<Value>, String) {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(server, world, person, &format!("events?after={cursor}&{rest}"));
        all.extend(page["events"].as_array().expect("events").clone());
        page["next"].as_str().expect("a cursor").clone_into(&mut cursor);
        if page["more"] == false {
            return (all, cursor);
        }
    }
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|e| e["event"].as_str().expect("a name")).collect()
}

#[test]
fn the_feed_tells_each_reader_what_he_may_know() {
    let world = world();
    let alice = world.alice();
    alice.greenroom(["model", "rename", "hidden", "secret"]).success();
    alice.greenroom(["model", "create", "hidden"]).success();
    alice.greenroom(["access", "grant", "--model", "hidden", "bob", "CAN_READ"]).success();
    alice.greenroom(["model", "create", "gone"]).success();
    alice.greenroom(["model", "delete", "gone", "--yes"]).success();
    let server = world.serve(&["--require-token"]);
    let (managers, _) = feed(&server, &world, "alice", "");
    let (bobs, _) = feed(&server, &world, "bob", "max_results=1");
    let (carols, _) = feed(&server, &world, "carol", "");
    assert!(names(&managers).contains(&"person.added") && names(&managers).contains(&"model.deleted"));
    let of = |events: &[Value], model: &str| events.iter().filter(|e| e["model"] == model).count();
    let others: Vec<&str> = names(&bobs).into_iter().filter(|n| !n.starts_with("version.")).collect();
    assert_eq!(others, ["model.created", "access.granted", "model.created", "access.granted"]);
    assert_eq!(of(&bobs, "wine"), 4, "made, two versions, and the grant to Bob");
    assert!(of(&bobs, "secret") == 0 && of(&carols, "secret") == 1 && of(&bobs, "gone") == 0);
    let told = |events: &[Value]| events.iter().map(Value::to_string).collect::<String>();
    for (who, events) in [("bob", &bobs), ("carol", &carols)] {
        let told = told(events);
        for word in ["example.org", "person.", "s3://b/h"] {
            assert!(who == "carol" && word == "s3://b/h" || !told.contains(word), "{who} sees {word}: {told}");
        }
    }
    assert_eq!(of(&carols, "gone"), 2, "a person who may read any model sees deleted ones");
    assert!(told(&managers).contains("bob@example.org"));
    let ids: BTreeSet<&str> = managers.iter().map(|e| e["id"].as_str().expect("an id")).collect();
    assert_eq!(ids.len(), managers.len());
}

#[test]
fn the_feed_is_filtered_by_model_and_event_and_goes_on_after_any_cursor() {
    let world = world();
    world.alice().greenroom(["model", "rename", "wine", "vino"]).success();
    let server = world.serve(&["--require-token"]);
    let (all, end) = feed(&server, &world, "alice", "");
    let (renamed, _) = feed(&server, &world, "bob", "name=vino&event=version.*&event=model.renamed");
    assert_eq!(names(&renamed), ["version.created", "version.created", "model.renamed"], "under the name of then, too");
    assert_eq!(renamed[0]["model"], "wine");
    for (at, event) in all.iter().enumerate() {
        let cursor = event["cursor"].as_str().expect("a cursor");
        let page = get(&server, &world, "alice", &format!("events?after={cursor}"));
        assert_eq!(page["events"].as_array().expect("events"), &all[at + 1..]);
        assert_eq!((&page["next"], &page["more"]), (&json!(end), &json!(false)));
    }
    assert_eq!(get(&server, &world, "alice", "events?after=now")["events"], json!([]));
    let refused = |rest: &str| {
        let answer = server.get(&format!("{OWN}/events?{rest}")).by(world.token("bob")).answer();
        (answer.status, serde_json::from_slice::<Value>(&answer.body).expect("JSON")["error_code"].clone())
    };
    let invalid = (400, json!("INVALID_PARAMETER_VALUE"));
    for wrong in
        ["after=x", &format!("after={}", "ab".repeat(20)), "wait=31", "wait=x", "max_results=0", "max_results=1001"]
    {
        assert_eq!(refused(wrong), invalid, "{wrong}");
    }
    assert_eq!(refused("name=hidden"), (404, json!("RESOURCE_DOES_NOT_EXIST")));
    // A rewritten history has other commits.
    world.alice().git(["reset", "--quiet", "--hard", "HEAD~1"]).success();
    assert_eq!(refused(&format!("after={end}")), invalid);
}

#[test]
fn who_waits_hears_what_others_do_by_whatever_way() {
    let world = world();
    let server = world.serve(&["--require-token"]);
    let wait =
        |cursor: &str, seconds: u32| get(&server, &world, "bob", &format!("events?after={cursor}&wait={seconds}"));
    let began = Instant::now();
    let nothing = wait("now", 1);
    assert_eq!(nothing["events"], json!([]));
    assert!(began.elapsed() >= Duration::from_millis(900));
    let cursor = nothing["next"].as_str().expect("a cursor").to_owned();
    thread::scope(|threads| {
        let waiting = threads.spawn(|| wait(&cursor, 30));
        // An event that Bob may not see does not end Bob's long poll.
        world.alice().greenroom(["tag", "set", "hidden", "a=b"]).success();
        thread::sleep(Duration::from_millis(600));
        assert!(!waiting.is_finished());
        let tag = json!({ "name": "wine", "key": "k", "value": "v" });
        server.post("registered-models/set-tag", &tag).by(world.token("alice")).json(200);
        let heard = waiting.join().expect("it ends");
        assert_eq!(rows(&heard, "events", "event"), ["model.tag_set"]);
    });
    assert!(began.elapsed() < Duration::from_secs(25));
}

/// A stream of events.
struct Listening(TcpStream, String);

impl Listening {
    fn open(server: &Server, token: &str, rest: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(server.address()).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
        let head = format!("GET {OWN}/events?{rest} HTTP/1.1\r\nHost: {}\r\n", server.address());
        let accept = "Accept: text/event-stream\r\nConnection: close\r\n";
        let request = format!("{head}{accept}Authorization: Bearer {token}\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        Self(stream, String::new())
    }

    /// Reads until a text arrives, and returns everything up to it; the rest stays buffered. `None` if the stream ends
    /// first.
    fn until(&mut self, text: &str) -> Option<String> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(at) = self.1.find(text) {
                let rest = self.1.split_off(at + text.len());
                return Some(std::mem::replace(&mut self.1, rest));
            }
            match self.0.read(&mut buffer) {
                Ok(0) => return None,
                Ok(n) => self.1.push_str(&String::from_utf8_lossy(&buffer[..n])),
                Err(e) => panic!("{e}: {}", self.1),
            }
        }
    }
}

#[test]
fn the_feed_is_a_stream_for_those_who_listen() {
    let world = world();
    let server = world.serve(&["--require-token"]);
    let mut stream = Listening::open(&server, world.token("bob"), "event=version.*", "");
    let head = stream.until("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-type: text/event-stream"), "{head}");
    stream.until("event: version.created\n").expect("the first version");
    let second = stream.until("\"version\":2").expect("the second version");
    let cursor = second.lines().rfind(|l| l.starts_with("id: ")).expect("a cursor")[4..].to_owned();
    let tag = json!({ "name": "wine", "version": "1", "key": "k", "value": "line\nbreak" });
    server.post("model-versions/set-tag", &tag).by(world.token("alice")).json(200);
    stream.until("event: version.tag_set\ndata: {").expect("what just happened");
    let data = stream.until("\n\n").expect("its end");
    assert!(data.contains("line\\nbreak"), "{data}");
    // A browser that reconnects continues at its last event, whatever the URL says.
    let resumed = format!("Last-Event-ID: {cursor}\r\n");
    let mut again = Listening::open(&server, world.token("bob"), "event=version.*&after=", &resumed);
    let first = again.until("event: ").and_then(|_| again.until("\n")).expect("an event");
    assert_eq!(first, "version.tag_set\n");
}

#[test]
fn a_stream_ends_with_the_right_to_listen_and_with_the_server() {
    let world = world();
    let fresh = token(&world.alice(), "bob", &[]);
    let server = world.serve(&["--require-token"]);
    let mut revoked = Listening::open(&server, &fresh, "after=now", "");
    let mut other = Listening::open(&server, world.token("bob"), "after=now", "");
    for stream in [&mut revoked, &mut other] {
        stream.until("nothing more yet").expect("it is open");
    }
    world.alice().greenroom(["token", "revoke", &fresh[..10]]).success();
    world.alice().greenroom(["tag", "set", "wine", "a=b"]).success();
    let end = revoked.until("event: failed\n").expect("it says that it ends");
    assert!(!end.contains("model.tag_set"), "{end}");
    assert!(revoked.until("no such text").is_none(), "it has ended");
    other.until("event: model.tag_set\n").and_then(|_| other.until("\n\n")).expect("others go on");
    // After the grant is revoked, no further event is sent.
    world.alice().greenroom(["access", "revoke", "--model", "wine", "bob"]).success();
    world.alice().greenroom(["tag", "set", "wine", "c=d"]).success();
    server.post("registered-models/create", &named("bobs")).by(world.token("bob")).json(200);
    let rest = other.until("event: model.created\n").expect("bob's own model");
    assert!(!rest.contains("model.tag_set"), "{rest}");
    let began = Instant::now();
    server.signal("TERM");
    assert!(other.until("no such text").is_none(), "it has ended");
    assert!(server.ended().success());
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// The needed permission, in the words of the page.
fn word(needs: RouteAccess) -> String {
    match needs {
        RouteAccess::Nothing => "anybody".to_owned(),
        RouteAccess::Caller => "any caller".to_owned(),
        RouteAccess::Model(level) | RouteAccess::ModelId(level) => level.to_string(),
        RouteAccess::Writer => "any writer".to_owned(),
        RouteAccess::Signed => "the address".to_owned(),
        RouteAccess::Token => "the token".to_owned(),
        RouteAccess::Registry(level) => format!("{level} of the registry"),
    }
}

#[test]
fn the_page_of_the_api_lists_every_endpoint_and_who_may_ask() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/server/API.md");
    let page = fs::read_to_string(&path).expect("the page is there");
    let prefixes = greenroom::server::http::route::MLFLOW_PREFIXES;
    let mut written = BTreeSet::new();
    for line in page.lines().filter(|l| l.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [methods, address, who, ..] = cells.as_slice() else { continue };
        let Some(address) = address.strip_prefix('`').and_then(|a| a.strip_suffix('`')) else { continue };
        for method in methods.split(", ") {
            match (address.strip_prefix("…/"), address.strip_prefix("…-artifacts/")) {
                (Some(rest), _) => written.extend(prefixes.map(|prefix| format!("{method} {prefix}/{rest}: {who}"))),
                (_, Some(rest)) => {
                    let prefixes = ["/api/2.0/mlflow-artifacts", "/ajax-api/2.0/mlflow-artifacts"];
                    written.extend(prefixes.map(|prefix| format!("{method} {prefix}/{rest}: {who}")));
                }
                (None, None) => drop(written.insert(format!("{method} {address}: {who}"))),
            }
        }
    }
    let routed: BTreeSet<String> =
        table().iter().map(|r| format!("{} {}: {}", r.method, r.path, word(r.needs))).collect();
    let list = |lines: Vec<&String>| lines.into_iter().map(|l| format!("\n  {l}")).collect::<String>();
    let (missing, gone) = (list(routed.difference(&written).collect()), list(written.difference(&routed).collect()));
    assert!(
        missing.is_empty(),
        "examples/server/API.md does not list, as `| METHOD | `address` | who | what |`:{missing}"
    );
    assert!(gone.is_empty(), "examples/server/API.md lists paths that do not exist, or with wrong rights:{gone}");
}

#[test]
fn a_version_may_bring_its_model_in_the_same_commit() {
    let world = world();
    let server = world.serve(&["--require-token"]);
    let count = || {
        world.alice().git(["rev-list", "--count", "HEAD"]).success().stdout().trim().parse::<u64>().expect("a number")
    };
    let before = count();
    let create = json!({ "name": "risk", "source": "s3://b/r",
        "registered_model": { "description": "Who defaults", "tags": [{ "key": "team", "value": "growth" }] } });
    let made = server.post("model-versions/create", &create).by(world.token("alice")).json(200);
    assert_eq!((&made["model_version"]["version"], count()), (&json!("1"), before + 1));
    let model = get(&server, &world, "alice", "models/get?name=risk");
    assert_eq!(
        (&model["model"]["description"], &model["model"]["tags"]),
        (&json!("Who defaults"), &json!({ "team": "growth" }))
    );
    // The model is there now: the version is added to it, and its description stays.
    let other = json!({ "name": "risk", "source": "s3://b/r2", "registered_model": { "description": "Other" } });
    let made = server.post("model-versions/create", &other).by(world.token("alice")).json(200);
    assert_eq!((&made["model_version"]["version"], count()), (&json!("2"), before + 2));
    assert_eq!(get(&server, &world, "alice", "models/get?name=risk")["model"]["description"], "Who defaults");
    // Without the field a missing model stays an error, and a wrong field is one.
    let plain = json!({ "name": "none", "source": "s3://b/n" });
    server.post("model-versions/create", &plain).by(world.token("alice")).json(404);
    for wrong in [json!("x"), json!({ "description": 3 }), json!({ "tags": "x" })] {
        let body = json!({ "name": "none", "source": "s3://b/n", "registered_model": wrong });
        let answer = server.post("model-versions/create", &body).by(world.token("alice")).json(400);
        assert_eq!(said(&answer).0, "INVALID_PARAMETER_VALUE");
    }
    assert_eq!(count(), before + 2);
}
