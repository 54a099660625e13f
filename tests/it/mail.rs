//! Mail to people: from a commit to a mail server that accepts, refuses, defers and dies.

mod links;
mod post;
mod server;
mod watch;
mod wishes;

use std::path::PathBuf;

use serde_json::json;

use crate::support::smtp::Sink;
use crate::support::{Sandbox, Shell};
use post::Post;

/// A registry `r` of Alice's with Bob, Carol and Dave, who may read, and a mail server.
struct World {
    sandbox: Sandbox,
    sink: Sink,
}

impl World {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(options: &[&str]) -> Self {
        let sandbox = Sandbox::new();
        let sink = Sink::start(&sandbox.path("mails"), options);
        sandbox.greenroom(["init", "r"]).success();
        let world = Self { sandbox, sink };
        let alice = world.alice();
        for person in ["bob", "carol", "dave"] {
            alice.greenroom(["person", "add", person, "--email", &format!("{person}@example.org")]).success();
            alice.greenroom(["access", "grant", person, "CAN_READ"]).success();
        }
        alice.greenroom(["register", "--source", "s3://bucket/1", "churn"]).success();
        world.set("greenroom.smtp", &format!("smtp://127.0.0.1:{}", world.sink.port()));
        world.set("greenroom.mailFrom", "Greenroom <greenroom@example.org>");
        world.set("greenroom.url", "https://models.example.org");
        world
    }

    fn set(&self, key: &str, value: &str) {
        self.alice().git(["config", key, value]).success();
    }

    fn alice(&self) -> Shell<'_> {
        self.sandbox.alice().within("r")
    }

    fn as_(&self, person: &str) -> Shell<'_> {
        self.sandbox.shell(person, &format!("{person}@example.org")).within("r")
    }

    fn folder(&self) -> PathBuf {
        self.sandbox.path("r")
    }

    /// Comments on a version of churn.
    fn comment(&self, person: &str, said: &str) {
        self.as_(person).greenroom(["comment", "add", "churn", "1", said]).success();
    }

    /// The recipients of the mails, oldest first.
    fn recipients(&self) -> Vec<String> {
        self.sink.mails().iter().map(|m| m.to().trim_end_matches("@example.org").to_owned()).collect()
    }
}

#[test]
fn each_of_the_four_events_is_mailed_to_who_follows_and_not_to_who_did_it() {
    let world = World::new();
    let mut post = Post::begin(&world.folder());
    world.as_("bob").greenroom(["notify", "model", "churn", "all"]).success();
    world.as_("carol").greenroom(["follow", "churn", "1"]).success();
    world.comment("dave", "Is this <b>the</b> one?");
    world.as_("dave").greenroom(["request", "create", "churn", "1", "Staging", "-m", "please"]).success();
    world.alice().greenroom(["request", "approve", "churn", "1", "-m", "fine"]).success();
    world.alice().greenroom(["register", "--source", "s3://bucket/2", "churn"]).success();
    // This event causes no mail.
    world.alice().greenroom(["tag", "set", "churn/1", "k=v"]).success();
    world.alice().greenroom(["version", "describe", "churn", "1", "x"]).success();
    assert_eq!(post.run(), [""; 0]);
    let mut told: Vec<(String, String)> = Vec::new();
    for mail in world.sink.mails() {
        let sentence = mail.text().lines().next().expect("a line").to_owned();
        told.push((mail.to().trim_end_matches("@example.org").to_owned(), sentence));
    }
    told.sort();
    let commented = "dave commented on churn version 1.";
    let requested = "dave requested that churn version 1 move to Staging.";
    let moved = "alice approved a request and so moved churn version 1 from None to Staging.";
    let registered = "alice registered churn version 2.";
    let all = |who: &str, said: &[&str]| -> Vec<(String, String)> {
        said.iter().map(|s| (who.to_owned(), (*s).to_owned())).collect()
    };
    let want = [
        all("alice", &[commented, requested]),
        all("bob", &[moved, registered, commented, requested]),
        all("carol", &[moved, commented, requested]),
        all("dave", &[moved]),
    ];
    assert_eq!(told, want.concat());
    let first = world.sink.mails().into_iter().find(|m| m.to() == "carol@example.org").expect("carol got mail");
    assert_eq!(first.subject(), "[r] churn version 1");
    assert!(first.text().contains("> Is this <b>the</b> one?"), "{}", first.text());
    assert!(first.text().contains("You get this because you follow version 1."), "{}", first.text());
    assert!(first.0["html"].as_str().expect("HTML").contains("Is this &lt;b&gt;the&lt;/b&gt; one?"));
    for (name, value) in [
        ("From", "Greenroom <greenroom@example.org>"),
        ("To", "carol@example.org"),
        ("Auto-Submitted", "auto-generated"),
        ("Precedence", "bulk"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    ] {
        assert_eq!(first.header(name), Some(value));
    }
    // The mails about a version are one thread, and each has an id of its own.
    let carols: Vec<_> = world.sink.mails().into_iter().filter(|m| m.to() == "carol@example.org").collect();
    assert!(carols.iter().all(|m| m.header("References") == first.header("References")));
    assert!(carols.iter().all(|m| m.subject() == first.subject()));
    let mut ids: Vec<_> = carols.iter().map(|m| m.id().to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), carols.len());
}

#[test]
fn what_one_commit_did_comes_in_one_mail() {
    let world = World::new();
    let mut post = Post::begin(&world.folder());
    world.sandbox.write(
        "r/../two.toml",
        "[[action]]\ndo = \"comment.add\"\nmodel = \"churn\"\nversion = 1\ntext = \"One\"\n\n[[action]]\ndo = \
         \"comment.add\"\nmodel = \"churn\"\nversion = 1\ntext = \"Two\"\n",
    );
    world.as_("bob").greenroom(["apply", "--file", "../two.toml"]).success();
    post.run();
    assert_eq!(world.recipients(), ["alice"]);
    let text = world.sink.mails()[0].text().to_owned();
    assert!(text.contains("> One") && text.contains("> Two"), "{text}");
}

#[test]
fn one_mailbox_that_refuses_or_defers_keeps_no_mail_from_others() {
    let world = World::new();
    for person in ["bob", "carol", "dave"] {
        world.as_(person).greenroom(["follow", "churn", "1"]).success();
    }
    let mut post = Post::begin(&world.folder());
    world.sink.answers(&json!({
        "bob@example.org": { "rcpt": ["550 5.1.1 no such user", "always"] },
        "carol@example.org": { "rcpt": ["451 4.7.1 try later", "450 4.2.0 greylisted"] },
    }));
    world.comment("alice", "First");
    world.comment("alice", "Second");
    let problems = post.run();
    assert_eq!(world.recipients(), ["dave", "dave"]);
    assert_eq!(
        problems,
        [
            "bob refused: the recipient is not accepted: 550 5.1.1 no such user",
            "bob refused: the recipient is not accepted: 550 5.1.1 no such user",
            "carol later: the recipient is not accepted: 451 4.7.1 try later",
        ]
    );
    let doctor = world.alice().greenroom(["doctor"]).any().0;
    let line = "warn  mail      mail to bob@example.org is refused";
    assert!(doctor.contains(line), "{doctor}");
    assert_eq!(post.run(), ["carol later: the recipient is not accepted: 450 4.2.0 greylisted"]);
    assert_eq!(post.run(), [""; 0]);
    assert_eq!(world.recipients(), ["dave", "dave", "carol", "carol"], "in their order, and each once");
    let carols: Vec<_> = world.sink.mails().into_iter().filter(|m| m.to() == "carol@example.org").collect();
    assert!(carols[0].text().contains("First") && carols[1].text().contains("Second"));
    // The address accepts mail again, and doctor no longer mentions it.
    world.sink.answers(&json!({}));
    world.comment("alice", "Third");
    post.run();
    assert!(world.recipients().contains(&"bob".to_owned()));
    let doctor = world.alice().greenroom(["doctor"]).any().0;
    assert!(!doctor.contains("is refused"), "{doctor}");
}

#[test]
fn a_server_that_is_away_or_dies_loses_nothing_and_a_repeated_mail_has_the_same_id() {
    let mut world = World::new();
    world.as_("bob").greenroom(["follow", "churn", "1"]).success();
    let mut post = Post::begin(&world.folder());
    world.sink.answers(&json!({ "bob@example.org": { "data": ["die", "die-after", "451 4.3.0 full"] } }));
    world.sink.kill();
    world.comment("alice", "Hello");
    let away = post.run();
    assert!(away.len() == 1 && away[0].contains("cannot be reached"), "{away:?}");
    for step in ["dies with the mail in hand", "dies before it answers", "has no room"] {
        world.sink.revive();
        let said = post.run();
        assert!(said.len() == 1 && said[0].starts_with("bob later: "), "{step}: {said:?}");
        if step != "has no room" {
            world.sink.dies();
        }
    }
    assert_eq!(post.run(), [""; 0]);
    let ids: Vec<_> = world.sink.mails().iter().map(|m| m.id().to_owned()).collect();
    assert_eq!(ids.len(), 2, "accepted twice, because the first response was lost");
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids[0], format!("<{}@example.org>", post.ids()[0]));
}

#[test]
fn a_server_that_refuses_everybody_is_tried_again() {
    let world = World::new();
    let mut post = Post::begin(&world.folder());
    world.sink.answers(&json!({ "*": { "mail": ["550 5.7.1 go away", "530 5.7.0 log in first"] } }));
    world.comment("bob", "Hello");
    for code in ["550", "530"] {
        let said = post.run();
        assert!(
            said.len() == 1 && said[0].starts_with("alice later: the sender") && said[0].contains(code),
            "{said:?}"
        );
    }
    assert_eq!(post.run(), [""; 0]);
    assert_eq!(world.recipients(), ["alice"]);
    assert!(!world.alice().greenroom(["doctor"]).any().0.contains("is refused"), "it says nothing about an address");
}

#[test]
fn a_mail_that_is_not_wanted_for_what_it_is_becomes_a_dead_letter() {
    let world = World::new();
    let mut post = Post::begin(&world.folder());
    world.sink.answers(&json!({ "alice@example.org": { "data": ["554 5.7.1 looks like spam"] } }));
    world.comment("bob", "Hello");
    world.comment("bob", "Again");
    assert_eq!(post.run(), ["alice refused: the mail is not accepted: 554 5.7.1 looks like spam"]);
    assert_eq!(world.recipients(), ["alice"], "the next one arrives");
}
