//! The links in mails, and the server's answers to them.

use serde_json::{Value, json};

use super::World;
use super::post::Post;
use crate::support::server::{Answer, Server};

impl World {
    fn serve(&self, options: &[&str]) -> Server {
        let options = [&["--host", "models.example.org"], options].concat();
        Server::start(&self.alice(), self.sandbox.path("server.log"), &options)
    }

    fn token(&self, person: &str) -> String {
        let made = self.alice().greenroom(["token", "create", "--person", person]).success();
        made.stdout().trim_end().to_owned()
    }

    /// The path in the header List-Unsubscribe of a mail.
    fn link(&self, mail: usize) -> String {
        let mails = self.sink.mails();
        let header = mails[mail].header("List-Unsubscribe").expect("a link");
        let link = header.trim_start_matches("<https://models.example.org").trim_end_matches('>');
        assert!(link.starts_with("/api/greenroom/unsubscribe?token="), "{header}");
        link.to_owned()
    }

    fn head(&self) -> String {
        self.alice().git(["rev-parse", "HEAD"]).success().stdout().trim_end().to_owned()
    }
}

fn page(answer: &Answer) -> String {
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    assert_eq!(answer.header("content-security-policy"), Some(policy));
    let referrer = answer.header("referrer-policy");
    assert_eq!(referrer, Some("same-origin"), "else a browser sends the form with `Origin: null`");
    String::from_utf8(answer.body.clone()).expect("a page")
}

#[test]
fn one_click_mutes_the_model_for_who_got_the_mail_and_for_nobody_else() {
    let world = World::new();
    for person in ["bob", "carol"] {
        world.as_(person).greenroom(["follow", "churn", "1"]).success();
    }
    let mut post = Post::begin(&world.folder());
    world.comment("alice", "Hello");
    post.run();
    assert_eq!(world.recipients(), ["bob", "carol"]);
    // A server for several people, where every other request needs a token.
    world.token("alice");
    let server = world.serve(&["--require-token", "--no-watch"]);
    let link = world.link(0);
    let before = world.head();
    let opened = server.get(&link).answer();
    assert_eq!(opened.status, 200);
    let shown = page(&opened);
    assert!(
        shown.contains("bob will get no more mail about churn") && shown.contains("<form method=\"post\""),
        "{shown}"
    );
    assert_eq!(world.head(), before, "looking changes nothing (SEC-38)");
    let click = || {
        let form = server.get(&link).method("POST").header("Content-Type", "application/x-www-form-urlencoded");
        form.body("List-Unsubscribe=One-Click").answer()
    };
    let done = page(&click());
    assert!(done.contains("Done: you get no more mail about churn."), "{done}");
    let log = world.alice().git(["log", "-1", "--format=%an <%ae> %s"]).success().stdout().to_owned();
    assert_eq!(log, "bob <bob@example.org> Change what mail bob gets\n");
    let after = world.head();
    click();
    assert_eq!(world.head(), after, "clicked again it does nothing");
    world.comment("alice", "Still there?");
    post.run();
    assert_eq!(world.recipients()[2..], ["carol"]);
    world.alice().greenroom(["verify"]).success();
}

#[test]
fn the_button_of_the_page_works_in_a_browser() {
    let world = World::new();
    world.as_("bob").greenroom(["follow", "churn", "1"]).success();
    let mut post = Post::begin(&world.folder());
    world.comment("alice", "Hello");
    post.run();
    let server = world.serve(&["--no-watch"]);
    let button = server.get(&world.link(0)).method("POST").header("Content-Type", "application/x-www-form-urlencoded");
    let sent = button.header("Origin", &format!("http://{}", server.address())).header("Sec-Fetch-Site", "same-origin");
    let done = page(&sent.answer());
    assert!(done.contains("Done: you get no more mail about churn."), "{done}");
}

#[test]
fn a_link_that_this_server_did_not_make_does_nothing() {
    let world = World::new();
    world.as_("bob").greenroom(["follow", "churn", "1"]).success();
    let mut post = Post::begin(&world.folder());
    world.comment("alice", "Hello");
    post.run();
    let server = world.serve(&["--no-watch"]);
    let (before, link) = (world.head(), world.link(0));
    let (start, code) = link.rsplit_once('.').expect("a token has a code");
    let swapped: String = code.chars().rev().collect();
    let bad = ["/api/greenroom/unsubscribe", "/api/greenroom/unsubscribe?token=", &format!("{start}.{swapped}"), start];
    for bad in bad.iter().chain(&["/api/greenroom/unsubscribe?token=Ym9iCio.AAAA"]) {
        for method in ["GET", "POST"] {
            let refused = server.get(bad).method(method).json(403);
            assert_eq!(refused["error_code"], "PERMISSION_DENIED", "{method} {bad}");
        }
    }
    // A page of another site cannot use the link, either.
    let foreign = server.get(&link).method("POST").header("Origin", "https://evil.example").answer();
    assert_eq!(foreign.status, 403);
    assert_eq!(world.head(), before);
    let log = server.log();
    assert!(!log.contains(code) && !log.contains("token="), "the log holds no token: {log}");
}

#[test]
fn a_link_outlives_the_name_of_the_model_but_not_the_model_or_the_person() {
    let world = World::new();
    for person in ["bob", "carol"] {
        world.as_(person).greenroom(["notify", "model", "churn", "all"]).success();
    }
    let mut post = Post::begin(&world.folder());
    world.comment("dave", "Hello");
    post.run();
    let (alices, bobs, carols) = (world.link(0), world.link(1), world.link(2));
    let server = world.serve(&["--no-watch"]);
    world.alice().greenroom(["model", "rename", "churn", "retention"]).success();
    let done = page(&server.get(&bobs).method("POST").answer());
    assert!(done.contains("no more mail about retention"), "{done}");
    let file = world.sandbox.read("r/people/bob.toml");
    assert!(file.contains("[notifications.models.retention]\nnotify = \"mute\"") && !file.contains("churn"), "{file}");
    world.alice().greenroom(["person", "remove", "carol", "--yes"]).success();
    assert!(page(&server.get(&carols).method("POST").answer()).contains("nothing left to turn off"));
    world.alice().greenroom(["model", "delete", "retention", "--yes"]).success();
    assert!(page(&server.get(&alices).method("POST").answer()).contains("nothing left to turn off"));
}

#[test]
fn the_link_of_a_digest_of_several_models_turns_all_mail_off() {
    let world = World::new();
    world.alice().greenroom(["register", "--source", "s3://bucket/1", "wine"]).success();
    world.as_("bob").greenroom(["notify", "digest", "hourly"]).success();
    for name in ["churn", "wine"] {
        world.as_("bob").greenroom(["notify", "model", name, "all"]).success();
    }
    let mut post = Post::begin(&world.folder());
    for name in ["churn", "wine"] {
        let alice = world.alice().at("2026-03-10T10:01:00Z");
        alice.greenroom(["comment", "add", name, "1", "x"]).success();
    }
    post.now = Some("2026-03-10T11:00:00Z".parse().expect("a time"));
    post.run();
    assert_eq!(world.sink.mails()[0].subject(), "[r] Digest");
    let server = world.serve(&["--no-watch"]);
    page(&server.get(&world.link(0)).method("POST").answer());
    assert!(world.sandbox.read("r/people/bob.toml").contains("off = true"));
}

#[test]
fn the_api_shows_and_changes_what_the_caller_hears() {
    let world = World::new();
    world.comment("bob", "I was here");
    let tokens: Vec<String> = ["bob", "carol"].iter().map(|p| world.token(p)).collect();
    let (bob, carol) = (&tokens[0], &tokens[1]);
    let server = world.serve(&["--require-token", "--no-watch"]);
    let path = "/api/greenroom/notifications";
    let status = |token: &str, query: &str| {
        let answer = server.get(&format!("{path}?{query}")).by(token).json(200);
        answer["email_subscription_status"].as_str().expect("a word").to_owned()
    };
    assert_eq!(status(bob, "name=churn&version=1"), "SUBSCRIBED");
    assert_eq!(status(bob, "name=churn"), "DEFAULT");
    assert_eq!(status(carol, "name=churn&version=1"), "DEFAULT");
    let one = server.get(&format!("{path}?name=churn&version=1")).by(bob).json(200);
    assert_eq!(
        one,
        json!({
            "model": "churn", "notify": "followed", "chosen": false, "follow": [], "unfollow": [],
            "email_subscription_status": "SUBSCRIBED", "version": 1, "follows": true,
            "because": "you commented on version 1, so you follow it",
        })
    );
    let set = |token: &str, body: &Value, status: u16| server.send("POST", path, body).by(token).json(status);
    set(bob, &json!({ "name": "churn", "unfollow": [1] }), 200);
    assert_eq!(status(bob, "name=churn&version=1"), "DEFAULT");
    set(bob, &json!({ "name": "churn", "notify": "all", "follow": ["1"], "digest": "daily" }), 200);
    assert_eq!(status(bob, "name=churn&version=1"), "ALL_EVENTS");
    set(bob, &json!({ "name": "churn", "notify": "mute" }), 200);
    assert_eq!(status(bob, "name=churn"), "UNSUBSCRIBED");
    let all = set(bob, &json!({ "off": true }), 200);
    assert_eq!(
        all,
        json!({
            "person": "bob", "address": "bob@example.org", "off": true, "registry_off": false, "digest": "daily",
            "mute_approvals": false, "daily_cap": 20, "models": [{ "model": "churn", "said": { "notify": "mute", "follow": [1], "unfollow": [] } }],
        })
    );
    assert_eq!(server.get(path).by(bob).json(200), all);
    let log = world.alice().git(["log", "-1", "--format=%an %s"]).success();
    assert_eq!(log.stdout(), "bob Change what mail bob gets\n");
    for (body, says) in [
        (json!({ "name": "churn", "notify": "loud" }), "must be one of all, followed, mute, default"),
        (json!({ "notify": "all" }), "Missing value for required parameter 'name'"),
        (json!({ "name": "churn", "follow": [0] }), "Invalid value 0 for parameter 'follow'"),
        (json!({ "off": "yes" }), "Invalid value \"yes\" for parameter 'off'"),
    ] {
        let refused = set(bob, &body, 400);
        assert!(refused["message"].as_str().expect("a sentence").contains(says), "{refused}");
    }
    set(bob, &json!({ "name": "churn", "follow": [9] }), 404);
    set(bob, &json!({ "name": "none", "notify": "all" }), 404);
    world.alice().greenroom(["verify"]).success();
}

#[test]
fn the_api_tells_nothing_of_a_model_that_the_caller_may_not_read() {
    let world = World::new();
    world.alice().greenroom(["access", "revoke", "bob"]).success();
    let bob = world.token("bob");
    let server = world.serve(&["--require-token", "--no-watch"]);
    for query in ["name=churn", "name=none"] {
        let refused = server.get(&format!("/api/greenroom/notifications?{query}")).by(&bob).json(404);
        assert_eq!(refused["error_code"], "RESOURCE_DOES_NOT_EXIST");
    }
    let follow = json!({ "name": "churn", "follow": [1] });
    server.send("POST", "/api/greenroom/notifications", &follow).by(&bob).json(404);
}
