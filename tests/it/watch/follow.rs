//! Every commit is delivered: however it came, from the right moment on, across rewrites and restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use greenroom::deliver::DeliverError;
use greenroom::outbox::Outbox;
use greenroom::registry::{Registry, RegistryError};
use greenroom::watch::{ChannelSource, MessageLevel, Replay, WatchOptions, replay};

use super::{World, ids_are_true, numbered};
use crate::support::channel::{Fake, always, by_webhook, delivered};

fn all(world: &World) -> WatchOptions {
    world.options(always(vec![world.book.channel("all", |_| delivered())]))
}

/// The text of a webhook's file.
pub fn webhook(id: &str, state: &str) -> String {
    format!(
        "id = \"{id}\"\ncreated_at = 2026-03-01T12:00:00.000Z\ncreated_by = \"alice\"\nevents = [\"*\"]\n\
         state = \"{state}\"\nurl = \"https://example.org/{id}\"\n"
    )
}

pub const ONE: &str = "01957a3e-7c00-7000-8000-000000000001";
const TWO: &str = "01957a3e-7c00-7000-8000-000000000002";

#[track_caller]
fn write_webhook(world: &World, id: &str, state: &str) {
    world.sandbox.write(format!("r/webhooks/{id}.toml"), webhook(id, state));
    world.alice().git(["add", "."]).success();
    world.alice().git(["commit", "--quiet", "-m", "A webhook"]).success();
}

#[test]
fn what_happened_before_the_first_start_is_not_told_and_what_comes_after_is_in_order() {
    let world = World::new();
    world.model("old");
    let running = world.start(all(&world));
    world.model("new");
    world.tags("new", 0..5);
    world.book.wait("five tags", |t| t.len() >= 6);
    running.end();
    let told = world.book.taken();
    assert!(told.iter().all(|t| t.lane == "new"), "{told:#?}");
    assert_eq!(world.values("all", "new"), numbered(0..5));
    assert!(world.book.has_said(MessageLevel::Info, "first start"));
    ids_are_true(&told);
}

#[test]
fn what_happens_while_nobody_watches_is_told_after_the_next_start_once() {
    let world = World::new();
    world.start(all(&world)).end();
    world.model("m");
    world.tags("m", 0..4);
    let running = world.start(all(&world));
    world.book.wait("four tags", |t| t.len() >= 5);
    running.end();
    world.start(all(&world)).end();
    let once = WatchOptions { once: true, ..all(&world) };
    let watcher = greenroom::watch::Watcher::start(world.home(), once).expect("a thread");
    assert_eq!(watcher.join().expect("it ends well").delivered, 0, "all was delivered already");
    assert_eq!(world.values("all", "m"), numbered(0..4));
    assert_eq!(world.book.told().len(), 5, "the model and four tags");
}

#[test]
fn commits_by_hand_packed_branches_and_gits_maintenance_hide_nothing() {
    let world = World::new();
    world.model("m");
    let running = world.start(all(&world));
    for n in 0..6 {
        match n % 3 {
            0 => drop(world.alice().git(["pack-refs", "--all"]).success()),
            1 => drop(world.alice().git(["repack", "-adq"]).success()),
            _ => drop(world.alice().git(["gc", "--quiet", "--prune=now"]).success()),
        }
        world.tags("m", n..n + 1);
    }
    world.sandbox.write("r/models/m/aliases/champion.toml", "version = 1\n");
    world.alice().greenroom(["register", "m", "--source", "s3://x/m"]).success();
    world.alice().git(["add", "."]).success();
    world.alice().git(["commit", "--quiet", "-m", "By hand"]).success();
    world.book.wait("the alias", |t| t.iter().any(|t| t.event == "alias.set"));
    running.end();
    assert_eq!(world.values("all", "m"), numbered(0..6));
}

#[test]
fn without_notices_the_tick_finds_what_landed() {
    let world = World::new();
    let running = world.start(WatchOptions { notices: false, ..all(&world) });
    let start = std::time::Instant::now();
    world.model("m");
    world.book.wait("the model", |t| !t.is_empty());
    running.end();
    assert!(start.elapsed() < Duration::from_secs(11), "{:?}", start.elapsed());
}

#[test]
fn a_webhook_begins_right_after_the_commit_that_made_it() {
    let world = World::new();
    let book = Arc::clone(&world.book);
    let source = by_webhook(move |id| book.channel(id, |_| delivered()));
    let running = world.start(world.options(source.clone()));
    world.model("before");
    running.end();
    // The watcher finds all of this at one look.
    world.tags("before", 0..2);
    write_webhook(&world, ONE, "ACTIVE");
    world.tags("before", 2..4);
    write_webhook(&world, TWO, "ACTIVE");
    world.tags("before", 4..6);
    let running = world.start(world.options(source));
    world.book.wait("both", |t| t.iter().filter(|t| t.event == "model.tag_set").count() >= 6);
    running.end();
    assert_eq!(world.values(ONE, "before"), numbered(2..6));
    assert_eq!(world.values(TWO, "before"), numbered(4..6));
    let made = world.book.taken();
    let made: Vec<_> = made.iter().filter(|t| t.event == "webhook.created").map(|t| t.channel.as_str()).collect();
    assert_eq!(made, [ONE], "the first hears of the second, and none of itself");
}

#[test]
fn a_webhook_that_is_off_is_not_told_of_that_time_and_one_that_is_deleted_is_forgotten() {
    let world = World::new();
    write_webhook(&world, ONE, "ACTIVE");
    world.model("m");
    let book = Arc::clone(&world.book);
    let source = by_webhook(move |id| book.channel(id, |_| delivered()));
    let running = world.start(world.options(source));
    let count = |n: usize| {
        move |t: &[crate::support::channel::Told]| t.iter().filter(|t| t.event == "model.tag_set").count() >= n
    };
    world.tags("m", 0..1);
    world.book.wait("the first", count(1));
    write_webhook(&world, ONE, "DISABLED");
    world.tags("m", 1..3);
    write_webhook(&world, ONE, "ACTIVE");
    world.tags("m", 3..4);
    world.book.wait("the last", count(2));
    assert_eq!(world.values(ONE, "m"), ["v0", "v3"]);
    let outbox = Outbox::of(&Registry::discover(&world.alice().folder()).expect("a registry"));
    assert_eq!(outbox.channels().expect("readable"), [ONE]);
    world.alice().git(["rm", "--quiet", &format!("webhooks/{ONE}.toml")]).success();
    world.alice().git(["commit", "--quiet", "-m", "Gone"]).success();
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while !outbox.channels().expect("readable").is_empty() {
        assert!(std::time::Instant::now() < end, "{:?}", world.book.said());
        std::thread::sleep(Duration::from_millis(10));
    }
    running.end();
}

#[test]
fn channels_that_could_not_be_made_are_made_at_the_next_look_and_miss_nothing() {
    let world = World::new();
    let book = Arc::clone(&world.book);
    let made = by_webhook(move |id| book.channel(id, |_| delivered()));
    let failures = AtomicUsize::new(0);
    let source: ChannelSource = Arc::new(move |registry, tip| {
        if !tip.webhooks()?.is_empty() && failures.fetch_add(1, Ordering::SeqCst) < 2 {
            return Err(DeliverError::Registry(RegistryError::BeforeHistory("just now".to_owned())));
        }
        made(registry, tip)
    });
    let running = world.start(world.options(source));
    // The watcher finds the webhook and the commits after it at one look, and no later commit would trigger another
    // look.
    world.alice().git(["checkout", "--quiet", "-b", "side"]).success();
    write_webhook(&world, ONE, "ACTIVE");
    world.model("m");
    world.tags("m", 0..3);
    world.alice().git(["update-ref", "refs/heads/main", "side"]).success();
    world.book.wait("three tags", |t| t.iter().filter(|t| t.event == "model.tag_set").count() >= 3);
    running.end();
    assert_eq!(world.values(ONE, "m"), numbered(0..3));
    assert!(world.book.has_said(MessageLevel::Error, "the watcher tries again"));
}

#[test]
fn a_webhook_whose_file_can_no_longer_be_read_is_not_switched_off_in_silence() {
    let world = World::new();
    write_webhook(&world, ONE, "ACTIVE");
    let book = Arc::clone(&world.book);
    let running = world.start(world.options(by_webhook(move |id| book.channel(id, |_| delivered()))));
    world.model("m");
    world.book.wait("the model", |t| !t.is_empty());
    write_webhook(&world, ONE, "DISABLED");
    world.model("n");
    write_webhook(&world, ONE, "ACTIVE");
    world.tags("m", 0..1);
    world.book.wait("the tag", |t| t.iter().any(|t| t.event == "model.tag_set"));
    assert!(!world.book.has_said(MessageLevel::Error, ""), "who switches it off means it: {:?}", world.book.said());
    world.sandbox.write(format!("r/webhooks/{ONE}.toml"), "<<<<<<< ours\n");
    world.alice().git(["commit", "--quiet", "-am", "A merge gone wrong"]).success();
    world.book.hear(MessageLevel::Error, "a webhook's file cannot be read");
    running.end();
    let listed = world.alice().greenroom(["webhook", "deliveries"]).success();
    assert!(listed.stdout().contains("its file cannot be read"), "{}", listed.stdout());
}

#[test]
fn a_rewritten_history_is_told_and_bridged() {
    let world = World::new();
    world.model("m");
    world.tags("m", 0..1);
    let running = world.start(all(&world));
    world.tags("m", 1..3);
    world.book.wait("two tags", |t| t.len() >= 2);
    // The branch goes back behind the delivered commits, and on by other commits, while the watcher runs.
    let main = "refs/heads/main";
    world.alice().git(["update-ref", main, "HEAD~2"]).success();
    world.book.wait("the rewind", |t| t.iter().any(|t| t.event == "history.rewritten"));
    world.alice().git(["reset", "--quiet", "--hard"]).success();
    world.tags("m", 7..8);
    world.book.wait("the other way", |t| t.iter().any(|t| t.text.contains("v7")));
    running.end();
    assert_eq!(world.values("all", "m"), ["v1", "v2", "v0", "v7"], "the bridge leads back to v0");
    assert!(world.book.has_said(MessageLevel::Error, "the history was rewritten"), "{:?}", world.book.said());
    ids_are_true(&world.book.told());
}

#[test]
fn where_the_old_history_is_gone_it_says_so_and_goes_on() {
    let world = World::new();
    world.model("m");
    world.tags("m", 0..1);
    let running = world.start(all(&world));
    world.tags("m", 1..2);
    world.book.wait("a tag", |t| !t.is_empty());
    running.end();
    world.alice().git(["reset", "--quiet", "--hard", "HEAD~1"]).success();
    world.alice().git(["reflog", "expire", "--expire=now", "--all"]).success();
    world.alice().git(["gc", "--quiet", "--prune=now"]).success();
    let running = world.start(all(&world));
    world.book.wait("the rewrite", |t| t.iter().any(|t| t.event == "history.rewritten"));
    world.tags("m", 2..3);
    world.book.wait("what comes after", |t| t.iter().any(|t| t.text.contains("v2")));
    running.end();
    assert!(world.book.has_said(MessageLevel::Error, "no longer exists"), "{:?}", world.book.said());
    assert_eq!(world.values("all", "m"), ["v1", "v2"]);
}

#[test]
fn a_step_that_no_gate_has_seen_and_that_breaks_a_rule_is_told() {
    let world = World::new();
    world.alice().greenroom(["person", "add", "bob", "--email", "bob@example.org"]).success();
    world.model("m");
    let running = world.start(all(&world));
    world.tags("m", 0..1);
    let bob = world.sandbox.bob().within("r");
    world.sandbox.write("r/models/m/access.toml", "grants = [{ to = \"bob\", level = \"CAN_MANAGE\" }]\n");
    bob.git(["add", "."]).success();
    bob.git(["commit", "--quiet", "-m", "Mine now"]).success();
    let told = world.book.wait("the violation", |t| t.iter().any(|t| t.event == "rule.violated"));
    running.end();
    let violated: Vec<_> = told.iter().filter(|t| t.event == "rule.violated").collect();
    assert_eq!(violated.len(), 1, "{violated:#?}");
    assert!(violated[0].text.contains("bob may not"), "{violated:#?}");
    assert!(told.iter().any(|t| t.event == "access.granted"), "its events are delivered nevertheless");
    assert!(world.book.has_said(MessageLevel::Error, "breaks rules"));
}

#[test]
fn a_replay_sends_the_same_ids_in_order_and_only_what_is_wanted() {
    let world = World::new();
    let running = world.start(all(&world));
    for model in ["a", "b"] {
        world.model(model);
        world.tags(model, 0..4);
    }
    let first = world.book.wait("all", |t| t.len() >= 10);
    running.end();
    let registry = Registry::discover(&world.alice().folder()).expect("a registry");
    let start = registry.moment("HEAD~10").expect("a commit");
    let mut heard = Vec::new();
    let wanted = Replay { after: Some(start), ..Replay::default() };
    replay(&world.home(), &all(&world), &wanted, &mut |r| heard.push(r)).expect("it replays");
    let again: Vec<_> = world.book.told().split_off(first.len());
    let ids = |told: &[crate::support::channel::Told], lane: &str| {
        told.iter().filter(|t| t.lane == lane).map(|t| t.id.clone()).collect::<Vec<_>>()
    };
    for lane in ["a", "b"] {
        assert_eq!(ids(&again, lane), ids(&first, lane));
    }
    assert_eq!((heard.len(), again.len()), (10, 10));

    let few = Replay {
        event: Some("model.tag_*".to_owned()),
        model: Some("b".parse().expect("a name")),
        dry_run: true,
        ..wanted
    };
    let mut listed = Vec::new();
    replay(&world.home(), &all(&world), &few, &mut |r| listed.push(r)).expect("it lists");
    assert_eq!(listed.iter().map(|r| r.job.lane.as_str()).collect::<Vec<_>>(), ["b"; 4]);
    assert!(listed.iter().all(|r| r.outcome.is_none()));
    assert_eq!(world.book.told().len(), 20, "nothing was sent");
}

#[test]
fn several_due_jobs_of_a_lane_are_given_together_to_who_puts_them_together() {
    let world = World::new();
    let channel: Fake = world.book.channel("digest", |_| delivered()).putting_together(10);
    world.start(world.options(always(vec![channel.clone()]))).end();
    world.model("m");
    world.tags("m", 0..7);
    let running = world.start(world.options(always(vec![channel])));
    let told = world.book.wait("all", |t| t.len() >= 8);
    running.end();
    let moments: std::collections::BTreeSet<_> =
        told.iter().map(|t| t.at.duration_since(told[0].at).as_millis() / 50).collect();
    assert!(moments.len() < 8, "{moments:?}");
    assert_eq!(world.values("digest", "m"), numbered(0..7));
}

#[test]
fn a_branch_that_is_renamed_is_followed_while_somebody_watches_and_while_nobody_does() {
    let world = World::new();
    let running = world.start(all(&world));
    world.model("m");
    world.tags("m", 0..2);
    world.book.wait("two tags", |t| t.len() >= 3);
    world.alice().git(["branch", "-m", "main", "trunk"]).success();
    world.tags("m", 2..4);
    world.book.wait("two more", |t| t.len() >= 5);
    assert!(world.book.has_said(MessageLevel::Info, "the registry has moved"));
    running.end();
    // No watcher runs: the branch is renamed, and a commit is made on it.
    world.alice().git(["branch", "-m", "trunk", "master"]).success();
    world.tags("m", 4..6);
    let running = world.start(all(&world));
    world.book.wait("the last two", |t| t.len() >= 7);
    running.end();
    assert!(world.book.has_said(MessageLevel::Info, "former location"));
    assert_eq!(world.values("all", "m"), numbered(0..6));
    assert_eq!(world.book.told().len(), 7, "each was delivered once");
}

#[test]
fn a_registry_that_is_moved_is_followed_while_somebody_watches_and_while_nobody_does() {
    let world = World::new();
    let running = world.start(all(&world));
    world.model("m");
    world.tags("m", 0..2);
    world.book.wait("two tags", |t| t.len() >= 3);
    world.alice().greenroom(["move", "ml"]).success();
    world.tags("m", 2..4);
    world.book.wait("the move and two more", |t| t.len() >= 6);
    running.end();
    // No watcher runs: the registry moves to another folder, and a commit follows.
    world.alice().greenroom(["move", "registry"]).success();
    world.tags("m", 4..6);
    let running = world.start(all(&world));
    world.book.wait("the second move and the last two", |t| t.len() >= 9);
    running.end();
    assert_eq!(world.values("all", "m"), numbered(0..6));
    let told = world.book.told();
    let moves = told.iter().filter(|t| t.event == "registry.moved").count();
    assert_eq!((told.len(), moves), (9, 2), "each was delivered once: {told:#?}");
}

#[test]
fn a_branch_that_is_gone_is_complained_of_until_it_is_back() {
    let world = World::new();
    let running = world.start(all(&world));
    world.model("m");
    world.book.wait("the model", |t| !t.is_empty());
    let tip = world.alice().git(["rev-parse", "HEAD"]).success().stdout().trim().to_owned();
    world.alice().git(["update-ref", "-d", "refs/heads/main"]).success();
    world.book.hear(MessageLevel::Error, "cannot be followed");
    world.alice().git(["update-ref", "refs/heads/main", &tip]).success();
    world.tags("m", 0..1);
    world.book.wait("the tag", |t| t.len() >= 2);
    running.end();
}

#[test]
fn a_thread_that_panics_is_heard_of() {
    let world = World::new();
    world.model("m");
    let source: ChannelSource = Arc::new(|_, _| panic!("no channels today"));
    let options = WatchOptions { once: true, ..world.options(source) };
    let supervisor = Arc::clone(&options.supervisor);
    let ended = greenroom::watch::Watcher::start(world.home(), options).expect("a thread").join();
    assert!(matches!(ended, Err(greenroom::watch::WatchError::Panicked)), "{ended:?}");
    let failure = supervisor.failure().expect("it is known");
    assert_eq!((failure.thread.as_str(), failure.message.as_str()), ("watch", "no channels today"));
}
