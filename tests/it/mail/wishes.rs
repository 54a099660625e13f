//! The notification settings of people, from their files to their mailboxes.

use super::World;
use super::post::Post;

#[test]
fn who_comments_moves_or_requests_follows_until_he_says_otherwise() {
    let world = World::new();
    world.comment("bob", "I was here");
    world.as_("carol").greenroom(["request", "create", "churn", "1", "Staging"]).success();
    let mut post = Post::begin(&world.folder());
    world.comment("alice", "Who is there?");
    post.run();
    assert_eq!(world.recipients(), ["bob", "carol"]);
    let because = |n: usize| {
        let text = world.sink.mails()[n].text().to_owned();
        text.lines().find(|l| l.starts_with("You get this")).expect("a reason").to_owned()
    };
    assert_eq!(because(0), "You get this because you commented on version 1, so you follow it.");
    assert_eq!(because(1), "You get this because you requested a transition of version 1, so you follow it.");
    world.as_("bob").greenroom(["unfollow", "churn", "1"]).success();
    world.comment("bob", "Not for long");
    world.comment("alice", "Bob?");
    post.run();
    assert_eq!(
        world.recipients()[2..],
        ["alice", "carol", "carol"],
        "bob's own comment does not make bob follow again"
    );
    world.as_("bob").greenroom(["follow", "churn", "1"]).success();
    world.comment("alice", "There you are");
    post.run();
    assert_eq!(world.recipients()[5..], ["bob", "carol"]);
}

#[test]
fn switches_of_the_person_and_of_the_registry_are_heeded() {
    let world = World::new();
    for person in ["bob", "carol"] {
        world.as_(person).greenroom(["notify", "model", "churn", "all"]).success();
    }
    let mut post = Post::begin(&world.folder());
    world.as_("bob").greenroom(["mute", "churn"]).success();
    world.comment("dave", "1");
    post.run();
    assert_eq!(world.recipients(), ["alice", "carol"]);
    world.as_("carol").greenroom(["notify", "off"]).success();
    world.comment("dave", "2");
    post.run();
    assert_eq!(world.recipients()[2..], ["alice"]);
    world.alice().greenroom(["settings", "set", "--mail", "off"]).success();
    world.comment("dave", "3");
    post.run();
    assert_eq!(world.recipients().len(), 3);
    world.alice().greenroom(["settings", "set", "--mail", "on"]).success();
    world.as_("carol").greenroom(["notify", "on"]).success();
    world.as_("bob").greenroom(["notify", "model", "churn", "followed"]).success();
    world.comment("dave", "4");
    post.run();
    assert_eq!(world.recipients()[3..], ["alice", "carol"]);
}

#[test]
fn who_may_not_read_the_model_any_more_gets_nothing_even_of_what_waits() {
    let world = World::new();
    for person in ["bob", "carol"] {
        world.as_(person).greenroom(["follow", "churn", "1"]).success();
    }
    let mut post = Post::begin(&world.folder());
    world.sink.answers(&serde_json::json!({ "bob@example.org": { "rcpt": ["451 later"] } }));
    world.comment("alice", "Secret");
    world.alice().greenroom(["access", "revoke", "carol"]).success();
    assert_eq!(post.run().len(), 1);
    world.alice().greenroom(["access", "revoke", "bob"]).success();
    assert_eq!(post.run(), [""; 0], "it is no longer tried");
    assert_eq!(world.recipients(), [""; 0]);
}

#[test]
fn the_daily_cap_ends_with_a_notice_and_a_new_day_begins_anew() {
    let world = World::new();
    world.alice().greenroom(["settings", "set", "--daily-cap", "2"]).success();
    let mut post = Post::begin(&world.folder());
    for n in 1..=5 {
        world.comment("bob", &format!("Comment {n}"));
        post.run();
    }
    world.as_("bob").greenroom(["request", "create", "churn", "1", "Staging"]).success();
    post.run();
    let first = |n: usize| world.sink.mails()[n].text().lines().next().expect("a line").to_owned();
    assert_eq!(world.recipients().len(), 4, "two, the notice, and one of another kind");
    assert_eq!(first(1), "bob commented on churn version 1.");
    assert!(first(2).starts_with("The daily limit is reached: you got 2 mails about new comments of churn today."));
    assert!(!world.sink.mails()[2].text().contains("Comment 3"));
    assert_eq!(first(3), "bob requested that churn version 1 move to Staging.");
    let day = 86_400_000;
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
    post.now = Some(greenroom::time::Timestamp::from_millis(i64::try_from(clock).expect("a time") + day));
    world.comment("bob", "Comment 6");
    post.run();
    assert_eq!(world.recipients().len(), 5);
    assert!(world.sink.mails()[4].text().contains("Comment 6"));
}

#[test]
fn a_digest_waits_for_its_hour_and_holds_all_that_happened() {
    let world = World::new();
    world.as_("bob").greenroom(["follow", "churn", "1"]).success();
    world.as_("bob").greenroom(["notify", "digest", "hourly"]).success();
    let mut post = Post::begin(&world.folder());
    let at = |time: &str| time.parse().expect("a time");
    let alice = world.alice();
    for (time, said) in [("2026-03-10T10:01:00Z", "One"), ("2026-03-10T10:59:00Z", "Two")] {
        alice.clone().at(time).greenroom(["comment", "add", "churn", "1", said]).success();
        post.now = Some(at("2026-03-10T10:59:30Z"));
        post.run();
    }
    assert_eq!(world.recipients(), [""; 0]);
    post.now = Some(at("2026-03-10T11:00:00Z"));
    post.run();
    assert_eq!(world.recipients(), ["bob"]);
    let text = world.sink.mails()[0].text().to_owned();
    assert!(text.find("> One").expect("it is there") < text.find("> Two").expect("it is there"), "{text}");
    post.now = Some(at("2026-03-10T12:00:00Z"));
    post.run();
    assert_eq!(world.recipients(), ["bob"], "there is no empty digest");
}

#[test]
fn a_wish_stays_with_a_renamed_model_and_does_not_go_to_a_new_one_of_the_old_name() {
    let world = World::new();
    world.as_("bob").greenroom(["notify", "model", "churn", "all"]).success();
    world.comment("carol", "I follow");
    let mut post = Post::begin(&world.folder());
    world.comment("dave", "Before it is renamed");
    world.alice().greenroom(["model", "rename", "churn", "retention"]).success();
    post.run();
    assert_eq!(world.recipients(), ["alice", "bob", "carol"]);
    assert_eq!(world.sink.mails()[1].subject(), "[r] retention version 1", "under the name it has now");
    world.as_("dave").greenroom(["comment", "add", "retention", "1", "After"]).success();
    post.run();
    assert_eq!(world.recipients()[3..], ["alice", "bob", "carol"]);
    let threads: Vec<_> = world.sink.mails().iter().map(|m| m.header("References").map(str::to_owned)).collect();
    assert!(threads.iter().all(|t| *t == threads[0]), "the thread goes on");
    // A choice for the new name includes the choices for the old name.
    world.as_("bob").greenroom(["follow", "retention", "1"]).success();
    let file = world.sandbox.read("r/people/bob.toml");
    assert!(file.contains("[notifications.models.retention]\nnotify = \"all\"\nfollow = [1]"), "{file}");
    assert!(!file.contains("churn"), "{file}");
    world.as_("carol").greenroom(["notify", "model", "retention", "mute"]).success();
    world.alice().greenroom(["register", "--source", "s3://bucket/x", "churn"]).success();
    post.run();
    assert_eq!(world.recipients().len(), 6, "no person follows the new churn");
}

#[test]
fn who_followed_a_version_of_a_deleted_model_does_not_follow_its_namesake() {
    let world = World::new();
    world.comment("bob", "Old");
    world.alice().greenroom(["model", "delete", "churn", "--yes"]).success();
    world.alice().greenroom(["register", "--source", "s3://bucket/2", "churn"]).success();
    let mut post = Post::begin(&world.folder());
    world.comment("alice", "New");
    post.run();
    assert_eq!(world.recipients(), [""; 0]);
    let shown = world.as_("bob").greenroom(["notify", "show", "-o", "json"]).success().json();
    assert_eq!(shown["models"], serde_json::json!([]));
}

#[test]
fn nobody_changes_what_another_hears() {
    let world = World::new();
    let bob = world.as_("bob");
    bob.greenroom(["mute", "churn"]).success();
    let file = world.sandbox.read("r/people/carol.toml");
    world.sandbox.write("r/people/carol.toml", format!("{file}\n[notifications]\noff = true\n"));
    bob.git(["commit", "--quiet", "-am", "Mute Carol"]).success();
    let said = bob.greenroom(["verify"]).code(7);
    assert!(said.stdout().contains("bob may not change what mail carol gets"), "{}", said.stdout());
}

#[test]
fn who_may_approve_hears_of_a_request_with_the_evidence_and_the_ways_to_decide() {
    let world = World::new();
    let rule = ["stage", "set", "Production", "--approvals", "1", "--approver", "carol"];
    world
        .alice()
        .greenroom(rule.into_iter().chain(["--require-metric", "auc>=0.9", "--require-tag", "seen=yes"]))
        .success();
    world.alice().greenroom(["tag", "set", "churn/1", "seen=yes"]).success();
    let mut post = Post::begin(&world.folder());
    let ask =
        || world.as_("bob").greenroom(["request", "create", "churn", "1", "Production", "-m", "Please"]).success();
    ask();
    post.run();
    let who = world.recipients();
    let at = who.iter().position(|p| p == "carol").expect("carol gets mail, although carol follows nothing");
    assert!(!who.contains(&"bob".to_owned()) && !who.contains(&"dave".to_owned()), "{who:?}");
    let text = world.sink.mails()[at].text().replace("\r\n", "\n");
    for part in [
        "> Please",
        "churn version 1 shall move from None to Production. One approval is needed.",
        "Evidence:\n- the tag 'seen' is 'yes'\n",
        "Missing:\n- the metric 'auc' is missing\n",
        "- greenroom request approve churn 1 Production\n",
        "- POST https://models.example.org/api/2.0/mlflow/transition-requests/approve",
        "pull request",
        "See models:/churn/1: https://models.example.org/api/greenroom/versions/get?name=churn&version=1",
        "You get this because your approval of the request for version 1 would count.",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Other recipients are not asked to decide.
    let at = who.iter().position(|p| p == "alice").expect("alice registered the model");
    assert!(!world.sink.mails()[at].text().contains("To decide:"));
    // It is a kind of its own, and can be muted.
    world.as_("carol").greenroom(["notify", "approvals", "off"]).success();
    world.as_("bob").greenroom(["request", "cancel", "churn", "1"]).success();
    ask();
    post.run();
    assert_eq!(world.recipients()[who.len()..], ["alice"]);
}

#[test]
fn who_may_approve_that_a_version_leaves_a_stage_is_told_how_many_approvals_that_takes() {
    let world = World::new();
    world.alice().greenroom(["transition", "churn", "1", "Production"]).success();
    let rule = ["stage", "set", "Production", "--approvals-to-leave", "2", "--approver", "carol", "--approver", "dave"];
    world.alice().greenroom(rule).success();
    let mut post = Post::begin(&world.folder());
    world.as_("bob").greenroom(["request", "create", "churn", "1", "Archived"]).success();
    post.run();
    let mails = world.sink.mails();
    for name in ["carol", "dave"] {
        let at = world.recipients().iter().position(|p| p == name).expect("both get mail");
        let text = mails[at].text().replace("\r\n", "\n");
        let wanted =
            "shall move from Production to Archived. 2 approvals are needed to leave Production, 0 given so far.";
        assert!(text.contains(wanted), "{text}");
    }
}
