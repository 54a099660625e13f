//! The router matches the table: each row is routed and needs its listed permission; nothing else is routed.

use std::collections::BTreeSet;

use greenroom::server::{api::table, http::route::RouteAccess};
use serde_json::json;

use super::World;

#[test]
fn each_row_is_there_once_and_only_what_depends_on_nothing_is_open() {
    let rows = table();
    let keys: BTreeSet<String> = rows.iter().map(|r| format!("{} {}", r.method, r.path)).collect();
    assert_eq!(keys.len(), rows.len(), "a method and address is there once");
    let open: Vec<&str> = rows.iter().filter(|r| r.needs == RouteAccess::Nothing).map(|r| r.path.as_str()).collect();
    assert_eq!(open, ["/health", "/version", "/.well-known/databricks-config"]);
    let links: Vec<String> =
        rows.iter().filter(|r| r.needs == RouteAccess::Token).map(|r| format!("{} {}", r.method, r.path)).collect();
    assert_eq!(links, ["GET /api/greenroom/unsubscribe", "POST /api/greenroom/unsubscribe"]);
}

#[test]
fn every_row_but_the_open_ones_wants_credentials_and_no_other_address_answers() {
    let world = World::new(&[("carol", "")]);
    world.alice().greenroom(["model", "create", "wine"]).success();
    let server = world.serve(&["--require-token"]);
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];
    let rows = table();
    let paths: BTreeSet<&str> = rows.iter().map(|r| r.path.as_str()).collect();
    for path in paths {
        for method in methods {
            let row = rows.iter().find(|r| r.path == path && r.method.as_str() == method);
            let asked = server.send(method, path, &json!({}));
            let known = asked.clone().by(world.token("alice")).answer();
            let code = || serde_json::from_slice::<serde_json::Value>(&known.body).expect("JSON")["error_code"].clone();
            match row {
                // A routed row may refuse empty arguments in its own way, but not as "no such URL".
                Some(_) => assert!(known.status == 200 || code() != "ENDPOINT_NOT_FOUND", "{method} {path}"),
                None => assert_eq!((known.status, code()), (404, json!("ENDPOINT_NOT_FOUND")), "{method} {path}"),
            }
            // If a token in the URL is the authority, the request needs that token.
            let is = |needs| rows.iter().any(|r| r.path == path && r.needs == needs);
            match row {
                Some(_) if is(RouteAccess::Token) => assert_eq!(asked.answer().status, 403, "{method} {path}"),
                _ if is(RouteAccess::Nothing) || is(RouteAccess::Token) => {}
                Some(_) | None => assert_eq!(asked.answer().status, 401, "{method} {path}"),
            }
        }
    }
    for path in [
        "/",
        "/api",
        "/api/2.0/mlflow/",
        "/api/2.0/mlflow/runs/create",
        "//health",
        "/health/",
        "/../health",
        "/%2e%2e",
    ] {
        assert_eq!(server.get(path).answer().status, 401, "{path}");
        assert_eq!(server.get(path).by(world.token("alice")).answer().status, 404, "{path}");
    }
}

#[test]
fn every_row_that_changes_a_model_refuses_who_may_not_even_read_it() {
    let world = World::new(&[("carol", "")]);
    let alice = world.alice();
    alice.greenroom(["model", "create", "wine"]).success();
    alice.greenroom(["register", "--source", "s3://bucket/model", "wine"]).success();
    let server = world.serve(&["--require-token"]);
    let before = world.subjects(1);
    let body = json!({ "name": "wine", "version": "1", "key": "k", "value": "v", "alias": "a", "stage": "Staging",
        "source": "s3://b/m", "new_name": "beer" });
    for row in table().iter().filter(|r| matches!(r.needs, RouteAccess::Model(_) | RouteAccess::Registry(_))) {
        let method = ["GET", "POST", "PATCH", "DELETE"].into_iter().find(|m| *m == row.method.as_str()).expect("known");
        let asked = if method == "GET" {
            server.get(&format!("{}?name=wine&version=1&alias=a", row.path))
        } else {
            server.send(method, &row.path, &body)
        };
        let answer = asked.by(world.token("carol")).answer();
        assert!(matches!(answer.status, 403 | 404), "{method} {}: {}", row.path, String::from_utf8_lossy(&answer.body));
    }
    assert_eq!(world.subjects(1), before);
}
