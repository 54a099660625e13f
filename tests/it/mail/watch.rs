//! Mail by the watcher: from a commit by any means to a mailbox, through crashes of both sides.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::World;
use crate::support::Sandbox;
use crate::support::receiver::{Receiver, Reply};
use crate::support::smtp::Sink;

impl World {
    /// A world whose failed deliveries are repeated after milliseconds.
    fn watched() -> Self {
        let world = Self::new();
        world.set("greenroom.retryScale", "0.001");
        world.alice().greenroom(["settings", "set", "--daily-cap", "0"]).success();
        // Earlier events are not sent.
        world.alice().greenroom(["watch", "--once"]).success();
        world
    }

    fn watch(&self) -> Child {
        let mut command = self.alice().command(env!("CARGO_BIN_EXE_greenroom"));
        command.arg("watch").stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("greenroom runs")
    }

    /// Delivers due mails until a condition holds.
    #[track_caller]
    fn deliver_until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !done(self) {
            assert!(Instant::now() < end, "{what}: {:?}", self.recipients());
            let _ = self.alice().greenroom(["watch", "--once"]).any();
        }
    }
}

#[test]
fn the_watcher_mails_what_lands_and_says_what_did_not_arrive() {
    let world = World::watched();
    world.as_("bob").greenroom(["follow", "churn", "1"]).success();
    world.sink.answers(&json!({ "bob@example.org": { "rcpt": ["550 5.1.1 no such user"] } }));
    world.comment("carol", "Hello");
    let said = world.alice().greenroom(["watch", "--once"]).code(1);
    assert!(said.stdout().contains("1 delivered, 1 failed; 0 pending, 1 dead"), "{}", said.stdout());
    assert_eq!(world.recipients(), ["alice"]);
    // A dead letter can be sent again.
    world.alice().greenroom(["webhook", "replay", "mail", "--dead"]).success();
    world.deliver_until("the dead letter", |w| w.recipients().len() == 2);
    assert_eq!(world.recipients()[1], "bob");
}

#[test]
fn a_wrong_setting_delays_mail_and_loses_none() {
    let world = World::watched();
    world.set("greenroom.mailFrom", "nobody");
    world.comment("carol", "Hello");
    let said = world.alice().greenroom(["watch", "--once"]).code(1);
    assert!(said.stdout().contains("0 delivered, 1 failed; 1 pending"), "{}", said.stdout());
    world.set("greenroom.mailFrom", "greenroom@example.org");
    world.deliver_until("the mail", |w| w.recipients() == ["alice"]);
}

#[test]
fn a_push_of_several_commits_comes_commit_by_commit_and_in_order() {
    let world = World::watched();
    for n in 0..20 {
        world.comment("carol", &format!("Comment {n}."));
    }
    world.deliver_until("twenty mails", |w| w.recipients().len() == 20);
    let texts: Vec<String> = world.sink.mails().iter().map(|m| m.text().to_owned()).collect();
    for (n, text) in texts.iter().enumerate() {
        assert!(text.contains(&format!("Comment {n}.")), "{n}: {text}");
    }
}

/// A webhook of Carol's with this URL.
fn hook_of_carol(world: &World, url: &str) -> String {
    world.alice().greenroom(["access", "grant", "carol", "CAN_MANAGE"]).success();
    world.set("greenroom.webhookAllow", "127.0.0.1");
    let made = world
        .as_("carol")
        .greenroom(["webhook", "create", "--event", "*", "--name", "The gate", "--url", url, "-o", "json"]);
    let made: serde_json::Value = serde_json::from_str(made.success().stdout()).expect("JSON");
    made["events"][0]["webhook"]["id"].as_str().expect("an id").to_owned()
}

#[test]
fn whoever_made_a_webhook_hears_by_mail_that_it_is_gone() {
    let world = World::watched();
    let gone = Receiver::scripted(|_, _| Reply::Status(410));
    let hook = hook_of_carol(&world, &format!("{}/path-with-a-secret", gone.url()));
    world.as_("carol").greenroom(["tag", "set", "churn", "k=v"]).success();
    world.deliver_until("the mail", |w| w.recipients() == ["carol"]);
    let mail = &world.sink.mails()[0];
    assert_eq!(mail.subject(), "[r] A webhook was switched off");
    let text = mail.text();
    let first = format!("The webhook The gate ({hook}) of the registry r was switched off: HTTP 410");
    assert_eq!(text.lines().next(), Some(first.as_str()));
    assert!(text.contains(&format!("greenroom webhook replay {hook} --dead")), "{text}");
    assert!(!text.contains("secret"), "an address may hold a secret: {text}");
    // The notice comes once, and the endpoint gets no more requests.
    let seen = gone.count();
    world.as_("carol").greenroom(["tag", "set", "churn", "k=w"]).success();
    world.alice().greenroom(["watch", "--once"]).any();
    assert_eq!((world.recipients().len(), gone.count()), (1, seen));
    // By the command in the mail, delivery resumes at the failed event.
    gone.script(|_, _| Reply::Status(200));
    world.alice().greenroom(["webhook", "replay", &hook, "--dead"]).success();
    world.deliver_until("what waited", |_| gone.seen().iter().filter(|r| r.status == 200).count() >= 2);
}

#[test]
fn in_a_registry_within_a_folder_webhooks_are_found_as_well() {
    let sandbox = Sandbox::new();
    let sink = Sink::start(&sandbox.path("mails"), &[]);
    let endpoint = Receiver::start();
    sandbox.git(["init", "--quiet", "r"]).success();
    let alice = sandbox.alice().within("r");
    alice.greenroom(["init", ".", "--at", "registry"]).success();
    for (key, value) in [
        ("greenroom.smtp", format!("smtp://127.0.0.1:{}", sink.port())),
        ("greenroom.mailFrom", "greenroom@example.org".to_owned()),
        ("greenroom.webhookAllow", "127.0.0.1".to_owned()),
    ] {
        alice.git(["config", key, &value]).success();
    }
    let within = sandbox.alice().within("r/registry");
    within.greenroom(["model", "create", "churn"]).success();
    within.greenroom(["watch", "--once"]).success();
    within.greenroom(["webhook", "create", "--model", "churn", "--event", "*", "--url", &endpoint.url()]).success();
    // The model has another name when the earlier event is delivered.
    within.greenroom(["tag", "set", "churn", "k=v"]).success();
    within.greenroom(["model", "rename", "churn", "attrition"]).success();
    within.greenroom(["watch", "--once"]).success();
    let told = |kind: &str| endpoint.seen().iter().any(|r| r.json()["type"] == kind);
    assert!(told("model.tag_set") && told("model.renamed"), "it is delivered under both names");
    endpoint.script(|_, _| Reply::Status(410));
    within.greenroom(["tag", "set", "attrition", "k=w"]).success();
    let end = Instant::now() + Duration::from_secs(30);
    while sink.mails().is_empty() {
        assert!(Instant::now() < end, "its maker hears nothing");
        within.greenroom(["watch", "--once"]).any();
    }
    assert_eq!(sink.mails()[0].to(), "alice@example.org");
}

#[test]
fn an_endpoint_that_fails_for_three_days_is_switched_off_and_its_owner_hears_of_it() {
    let world = World::watched();
    // Three days pass in less than three seconds.
    world.set("greenroom.retryScale", "0.00001");
    let nobody = Receiver::start();
    nobody.die();
    let hook = hook_of_carol(&world, &nobody.url());
    world.as_("carol").greenroom(["tag", "set", "churn", "k=v"]).success();
    world.deliver_until("the mail", |w| w.recipients() == ["carol"]);
    let text = world.sink.mails()[0].text().to_owned();
    assert!(text.contains("no delivery arrived for as long as deliveries are retried"), "{text}");
    let listed = world.alice().greenroom(["webhook", "deliveries", &hook]).success();
    assert!(listed.stdout().contains("is suspended since"), "{}", listed.stdout());
    // A person without mail gets no notice either; the person who repairs the webhook misses only dead letters.
    nobody.rise();
    world.as_("carol").greenroom(["notify", "off"]).success();
    world.alice().greenroom(["webhook", "replay", &hook, "--dead"]).success();
    world.deliver_until("what was given up", |_| nobody.seen().iter().any(|r| r.status == 200));
    nobody.die();
    // Commits have whole seconds: a commit in the second of the last delivery may be older.
    thread::sleep(Duration::from_millis(1100));
    world.as_("carol").greenroom(["tag", "set", "churn", "k=w"]).success();
    world.deliver_until("the second end", |w| {
        w.alice().greenroom(["webhook", "deliveries", &hook]).success().stdout().contains("is suspended since")
    });
    world.alice().greenroom(["watch", "--once"]).any();
    assert_eq!(world.recipients(), ["carol"]);
}

/// The number of comments, and of the watcher's kills: few, or the full numbers.
fn much() -> (usize, usize) {
    if std::env::var_os("GREENROOM_FULL").is_some() { (2_000, 200) } else { (40, 8) }
}

#[test]
fn killed_at_any_time_the_watcher_loses_no_mail_and_repeats_none_under_another_id() {
    let (comments, kills) = much();
    let mut world = World::watched();
    for person in ["bob", "carol", "dave"] {
        world.as_(person).greenroom(["follow", "churn", "1"]).success();
    }
    // Carol's server defers often, Dave's mailbox is gone for a while, the server dies with mails in hand.
    let often: Vec<&str> = ["451 4.7.1 later", "", "450 4.2.0 busy", ""].repeat(comments / 8);
    world.sink.answers(&json!({
        "carol@example.org": { "rcpt": often, "data": ["die", "die-after"] },
        "dave@example.org": { "rcpt": ["550 5.1.1 gone", "always"] },
        "bob@example.org": { "data": ["451 4.3.0 full", "die-after", "die"] },
    }));
    let folder = world.folder();
    let mut chance = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: u64| {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        chance % below
    };
    thread::scope(|threads| {
        let alice = world.sandbox.alice().within(&folder);
        let writer = threads.spawn(move || {
            for n in 0..comments {
                alice.greenroom(["comment", "add", "churn", "1", &format!("Comment {n}.")]).success();
            }
        });
        let mut killed = 0;
        while killed < kills || !writer.is_finished() {
            let mut watcher = {
                let mut command = world.sandbox.alice().within(&folder).command(env!("CARGO_BIN_EXE_greenroom"));
                command.arg("watch").stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("greenroom runs")
            };
            thread::sleep(Duration::from_millis(20 + random(if killed < kills { 250 } else { 2_000 })));
            watcher.kill().expect("it runs");
            watcher.wait().expect("it ends");
            killed += 1;
            if random(4) == 0 {
                world.sink.kill();
            }
            if random(2) == 0 {
                world.sink.revive();
            }
        }
        writer.join().expect("all comments are made");
    });
    world.sink.revive();
    world.sink.answers(&json!({ "dave@example.org": { "rcpt": ["550 5.1.1 gone", "always"] } }));
    let arrived = |w: &World, who: &str| -> usize {
        let ids: std::collections::BTreeSet<String> =
            w.sink.mails().iter().filter(|m| m.to() == who).map(|m| m.id().to_owned()).collect();
        ids.len()
    };
    let mut watcher = world.watch();
    let end = Instant::now() + Duration::from_secs(if comments > 100 { 900 } else { 90 });
    while arrived(&world, "bob@example.org") < comments || arrived(&world, "carol@example.org") < comments {
        assert!(
            Instant::now() < end,
            "{} {}",
            arrived(&world, "bob@example.org"),
            arrived(&world, "carol@example.org")
        );
        if world.sink.has_died() {
            world.sink.revive();
        }
        thread::sleep(Duration::from_millis(100));
    }
    watcher.kill().expect("it runs");
    watcher.wait().expect("it ends");
    let mut by_id: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut firsts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for mail in world.sink.mails() {
        let quoted = mail.text().lines().find(|l| l.starts_with("> ")).expect("a comment").to_owned();
        let told = (mail.to().to_owned(), quoted.clone());
        let known = by_id.insert(mail.id().to_owned(), told.clone());
        assert!(known.as_ref().is_none_or(|k| *k == told), "one id, two mails: {known:?} {told:?}");
        if known.is_none() {
            firsts.entry(mail.to().to_owned()).or_default().push(quoted);
        }
    }
    let want: Vec<String> = (0..comments).map(|n| format!("> Comment {n}.")).collect();
    assert_eq!(firsts["bob@example.org"], want, "each once, in order");
    assert_eq!(firsts["carol@example.org"], want, "each once, in order");
    assert!(!firsts.contains_key("dave@example.org"));
    let again = world.sink.mails().len() - by_id.len();
    eprintln!("{comments} comments, {kills} kills: {} mails, {again} of them again with the same id", by_id.len());
}
