//! Requests that a web page can make a browser send neither change nor read a registry.

use super::{World, named, said};
use crate::support::server::MLFLOW;

#[test]
fn another_host_than_our_own_is_refused() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    let get = server.get(&format!("{MLFLOW}/registered-models/search"));
    let port = server.address().rsplit_once(':').expect("a port").1.to_owned();
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        get.clone().header("Host", &format!("{host}:{port}")).json(200);
    }
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.", "evil.example:80@localhost"] {
        assert_eq!(get.clone().header("Host", host).json(403)["error_code"], "PERMISSION_DENIED", "{host}");
    }
    let health = server.get("/health").header("Host", "evil.example").answer();
    assert_eq!(health.status, 403);
    let twice = get.clone().header("Host", "localhost").header("Host", "evil.example").answer();
    assert_eq!(twice.status, 400);
    drop(server);
    let named = world.serve(&["--host", "Models.example.org"]);
    named.get("/health").header("Host", "models.example.org:443").answer();
    named.get(&format!("{MLFLOW}/registered-models/search")).header("Host", "models.example.org").json(200);
}

#[test]
fn a_page_of_another_site_changes_nothing() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    let create = server.post("registered-models/create", &named("wine"));
    for origin in ["http://evil.example", "null", "http://localhost", "https://127.0.0.1.evil.example", "file://"] {
        let refused = create.clone().header("Origin", origin).json(403);
        assert_eq!(said(&refused), ("PERMISSION_DENIED", "A page of another site may not change this registry."));
    }
    for site in ["cross-site", "same-site"] {
        create.clone().header("Sec-Fetch-Site", site).json(403);
    }
    let own = format!("http://{}", server.address());
    create.clone().header("Origin", &own).header("Sec-Fetch-Site", "same-origin").json(200);
}

#[test]
fn what_a_form_can_send_is_no_request() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx"]
    {
        let form =
            server.get(&format!("{MLFLOW}/registered-models/create")).method("POST").header("Content-Type", kind);
        let refused = form.body(r#"{"name": "wine"}"#).json(400);
        assert_eq!(said(&refused).1, "Bad Request. Content-Type must be one of ['application/json'].");
    }
    let none = server.get(&format!("{MLFLOW}/registered-models/create")).method("POST").body(r#"{"name": "wine"}"#);
    assert_eq!(said(&none.json(400)).1, "Bad Request. Content-Type header is missing.");
    // A simple request without a body cannot change anything either.
    server.get(&format!("{MLFLOW}/registered-models/create?name=wine")).method("POST").json(400);
    server.get(&format!("{MLFLOW}/registered-models/get?name=wine")).json(404);
}

#[test]
fn every_answer_forbids_to_be_framed_sniffed_or_kept() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    for path in ["/health", "/nix", &format!("{MLFLOW}/registered-models/search")] {
        let answer = server.get(path).answer();
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "private, no-cache"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        assert!(answer.header("content-security-policy").is_some_and(|p| p.contains("default-src 'none'")));
        assert!(answer.header("access-control-allow-origin").is_none());
        assert!(answer.header("x-request-id").is_some());
    }
}
