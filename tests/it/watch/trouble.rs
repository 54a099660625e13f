//! Failing receivers, jumping clocks, and watchers that end.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use greenroom::deliver::{
    AttemptOutcome, BatchOutcome, Channel, DeliverError, DeliveryContext, DeliveryJob, DueJob, Notification,
    NotificationKind,
};
use greenroom::outbox::{Outbox, OutboxRequest};
use greenroom::registry::{Registry, RegistryError};
use greenroom::time::Timestamp;
use greenroom::watch::{ChannelSource, Clock, MessageLevel, System, WatchOptions};

use super::follow::{ONE, webhook};
use super::{World, ids_are_true, numbered};
use crate::bad_repo::disk::{Mount, leave};
use crate::bad_repo::need_root;
use crate::support::Sandbox;
use crate::support::channel::{Fake, Running, Told, always, delivered, home, retry};

fn outbox(world: &World) -> Outbox {
    Outbox::of(&Registry::discover(&world.alice().folder()).expect("a registry"))
}

/// Waits for a condition that is not a delivery.
#[track_caller]
fn until(what: &str, world: &World, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "waited for {what}: {:#?}", world.book.said());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_dead_channel_holds_up_no_other() {
    let world = World::new();
    let dead = world.book.channel("dead", |_| {
        std::thread::sleep(Duration::from_millis(300));
        retry()
    });
    let live = world.book.channel("live", |_| delivered());
    let running = world.start(world.options(always(vec![dead, live])));
    for model in ["a", "b", "c", "d", "e", "f"] {
        world.model(model);
        let landed = Instant::now();
        let told = world.book.wait("the live one", |t| t.iter().any(|t| t.channel == "live" && t.lane == model));
        let at = told.iter().find(|t| t.channel == "live" && t.lane == model).map(|t| t.at).expect("it came");
        assert!(at.saturating_duration_since(landed) < Duration::from_secs(1), "{:?}", at - landed);
    }
    running.end();
}

#[test]
fn a_poison_event_holds_up_its_own_model_only_and_dies_in_the_end() {
    let world = World::new();
    world.alice().git(["config", "greenroom.retryScale", "0.00001"]).success();
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let channel = world.book.channel("x", move |t: &Told| {
        if t.lane == "poison" && t.event == "model.created" {
            counted.fetch_add(1, Ordering::SeqCst);
            if counted.load(Ordering::SeqCst).is_multiple_of(2) {
                panic!("the channel has a bug");
            }
            return retry();
        }
        delivered()
    });
    let running = world.start(world.options(always(vec![channel])));
    world.model("poison");
    world.tags("poison", 0..2);
    world.model("fine");
    world.tags("fine", 0..3);
    world.book.wait("the other model", |t| t.iter().filter(|t| t.lane == "fine" && t.taken).count() >= 4);
    world.book.wait("the events after the poison", |t| t.iter().filter(|t| t.lane == "poison" && t.taken).count() >= 2);
    until("the end", &world, || outbox(&world).look("x").expect("readable").expect("known").dead().count() == 1);
    assert_eq!(tries.load(Ordering::SeqCst), 10, "the first and nine more");
    assert_eq!(world.values("x", "poison"), numbered(0..2));

    // It can be tried again, and arrives under the same id.
    let id = outbox(&world).look("x").expect("readable").expect("known").dead().next().expect("one").job.id.clone();
    tries.store(0, Ordering::SeqCst);
    outbox(&world).ask(&OutboxRequest::Revive { channel: None, ids: Vec::new() }).expect("asked");
    world.book.wait("another try", |t| t.iter().filter(|t| t.id == id).count() >= 6);
    running.end();
    ids_are_true(&world.book.told());
}

#[test]
fn an_endpoint_where_nothing_arrives_for_days_is_switched_off_and_goes_on_when_that_is_asked_for() {
    let world = World::new();
    world.alice().git(["config", "greenroom.retryScale", "0.00001"]).success();
    let works = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&works);
    let channel = world.book.channel("x", move |_| if answers.load(Ordering::SeqCst) { delivered() } else { retry() });
    let running = world.start(world.options(always(vec![channel])));
    world.model("m");
    until("it is switched off", &world, || world.book.has_said(MessageLevel::Error, "suspended"));
    let tried = world.book.told().len();
    world.model("n");
    world.tags("n", 0..2);
    works.store(true, Ordering::SeqCst);
    assert_eq!(world.book.told().len(), tried, "nothing more is sent");
    outbox(&world)
        .ask(&OutboxRequest::Revive { channel: Some("x".to_owned()), ids: Vec::new() })
        .expect("it can be asked");
    world.book.wait("all of it, the dead letter too", |t| t.iter().filter(|t| t.taken).count() >= 4);
    running.end();
    ids_are_true(&world.book.told());
}

#[test]
fn an_endpoint_with_many_lanes_is_switched_off_in_time_though_each_job_was_tried_little_and_it_restarted() {
    let world = World::new();
    // Three days become five minutes.
    world.alice().git(["config", "greenroom.retryScale", "0.001"]).success();
    let clock = Arc::new(Jumping { real: System::default(), ahead: AtomicI64::new(0) });
    let source = always(vec![world.book.channel("x", |_| retry())]);
    let options = || WatchOptions { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..world.options(source.clone()) };
    let running = world.start(options());
    for model in ["a", "b", "c", "d", "e", "f"] {
        world.model(model);
    }
    world.book.wait("ten tries and more", |t| t.len() >= 12);
    clock.ahead.store(200_000, Ordering::SeqCst);
    let tried = world.book.told().len();
    world.book.wait("more tries", |t| t.len() > tried + 1);
    assert!(!world.book.has_said(MessageLevel::Error, "is suspended"), "{:?}", world.book.said());
    running.end();
    clock.ahead.store(300_000, Ordering::SeqCst);
    let running = world.start(options());
    until("the suspension", &world, || world.book.has_said(MessageLevel::Error, "is suspended"));
    running.end();
    let known = outbox(&world).look("x").expect("readable").expect("known");
    assert_eq!((known.dead().count(), known.waiting()), (0, 6));
    assert!(known.pending().all(|job| job.attempts < 10));
}

#[test]
fn lanes_that_are_put_off_for_their_own_sake_hold_up_no_other_lane() {
    let world = World::new();
    // A failed attempt is repeated after hours: a channel taken for broken would deliver nothing here.
    world.alice().git(["config", "greenroom.retryScale", "100"]).success();
    let channel = world.book.channel("mail", |told| {
        if told.lane.starts_with("full") {
            AttemptOutcome::Deferred { why: "451 full".to_owned() }
        } else {
            delivered()
        }
    });
    let running = world.start(world.options(always(vec![channel])));
    for model in ["full-a", "full-b", "full-c", "full-d", "full-e"] {
        world.model(model);
    }
    let tried = |t: &[Told]| t.iter().filter(|t| t.lane.starts_with("full")).count();
    world.book.wait("each is tried once", |t| tried(t) >= 5);
    world.model("free");
    world.tags("free", 0..3);
    world.book.wait("all of the other", |t| t.iter().filter(|t| t.lane == "free" && t.taken).count() >= 4);
    running.end();
    assert_eq!(tried(&world.book.told()), 5);
}

#[test]
fn order_is_kept_when_the_first_fails_and_the_next_would_not() {
    let world = World::new();
    let failures = Arc::new(AtomicUsize::new(0));
    let channel = world.book.channel("x", move |t| {
        let n = failures.fetch_add(1, Ordering::SeqCst);
        if n.is_multiple_of(3) || (t.text.contains("v2") && n.is_multiple_of(2)) { retry() } else { delivered() }
    });
    let running = world.start(world.options(always(vec![channel])));
    world.model("m");
    world.tags("m", 0..8);
    world.book.wait("all", |t| t.iter().filter(|t| t.taken).count() >= 9);
    running.end();
    let taken = world.book.taken();
    assert_eq!(super::values(&taken, "x", "m"), numbered(0..8));
    assert_eq!(taken.len(), 9, "and none twice");
    ids_are_true(&world.book.told());
}

#[test]
fn one_that_is_gone_is_left_alone_until_its_settings_change() {
    let world = World::new();
    let gone = Arc::new(AtomicBool::new(true));
    let is_gone = Arc::clone(&gone);
    let channel = world.book.channel("x", move |_| {
        let why = "410".to_owned();
        if is_gone.load(Ordering::SeqCst) { AttemptOutcome::Gone { why } } else { delivered() }
    });
    let source = always(vec![channel]);
    let running = world.start(world.options(source.clone()));
    world.model("m");
    until("the suspension", &world, || world.book.has_said(MessageLevel::Error, "is suspended"));
    world.tags("m", 0..2);
    running.end();
    assert_eq!(world.book.told().len(), 1, "tried once");
    gone.store(false, Ordering::SeqCst);
    // Neither time nor a restart brings it back.
    let running = world.start(world.options(source));
    world.tags("m", 2..3);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(world.book.told().len(), 1);
    world.sandbox.write("r/.git/greenroom/secrets.toml", "# changed\n");
    world.book.wait("all of it", |t| t.iter().filter(|t| t.taken).count() >= 4);
    running.end();
    assert_eq!(world.values("x", "m"), numbered(0..3), "nothing was lost");
}

#[test]
fn where_several_attempts_find_it_gone_that_is_told_once() {
    let world = World::new();
    let together = Arc::new(Barrier::new(3));
    let channel = world.book.channel("x", move |_| {
        together.wait();
        AttemptOutcome::Gone { why: "410".to_owned() }
    });
    let source = always(vec![channel]);
    world.start(world.options(source.clone())).end();
    for model in ["a", "b", "c"] {
        world.model(model);
    }
    let running = world.start(world.options(source));
    world.book.wait("all three", |t| t.len() >= 3);
    running.end();
    let said = world.book.said().iter().filter(|s| s.contains("is suspended")).count();
    assert_eq!(said, 1, "{:#?}", world.book.said());
}

/// A channel that writes to the creator of a webhook when it is switched off, as mail does.
struct Post(Fake);

impl Channel for Post {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn jobs(&self, notification: &Notification, _: &DeliveryContext<'_>) -> Result<Vec<DeliveryJob>, DeliverError> {
        let NotificationKind::WebhookSuspended { webhook, .. } = &notification.what else { return Ok(Vec::new()) };
        Ok(vec![DeliveryJob { lane: notification.by.to_string(), key: webhook.to_string(), not_before: None }])
    }

    fn send(&self, due: &[DueJob<'_>], moment: &DeliveryContext<'_>) -> BatchOutcome {
        self.0.send(due, moment)
    }
}

#[test]
fn a_mail_about_a_webhook_that_goes_on_before_it_is_sent_is_dropped_and_is_no_dead_letter() {
    let world = World::new();
    let hook = ONE;
    world.sandbox.write(format!("r/webhooks/{hook}.toml"), webhook(hook, "ACTIVE"));
    world.alice().git(["add", "."]).success();
    world.alice().git(["commit", "--quiet", "-m", "A webhook"]).success();
    let (gone, up) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let (is_gone, is_up) = (Arc::clone(&gone), Arc::clone(&up));
    let answers = move |_: &Told| {
        let why = "410".to_owned();
        if is_gone.load(Ordering::SeqCst) { AttemptOutcome::Gone { why } } else { delivered() }
    };
    let called = world.book.channel(hook, answers);
    let post = world.book.channel("post", move |_| if is_up.load(Ordering::SeqCst) { delivered() } else { retry() });
    let source: ChannelSource = Arc::new(move |_, _| Ok(vec![Box::new(called.clone()), Box::new(Post(post.clone()))]));
    let running = world.start(world.options(source));
    world.model("m");
    world.book.wait("a mail that is not taken", |t| t.iter().any(|t| t.channel == "post"));
    gone.store(false, Ordering::SeqCst);
    outbox(&world)
        .ask(&OutboxRequest::Revive { channel: Some(hook.to_owned()), ids: Vec::new() })
        .expect("it can be asked");
    world.book.wait("it goes on", |t| t.iter().any(|t| t.channel == hook && t.taken));
    up.store(true, Ordering::SeqCst);
    until("the end of the mail", &world, || {
        outbox(&world).look("post").expect("readable").expect("known").waiting() == 0
    });
    running.end();
    assert_eq!(outbox(&world).look("post").expect("readable").expect("known").dead().count(), 0);
    assert!(world.book.taken().iter().all(|t| t.channel == hook), "no delivery about it is needed any more");
}

#[test]
fn whoever_made_a_webhook_hears_that_it_is_gone_in_a_folder_of_a_repository_too() {
    let world = World { sandbox: Sandbox::new(), book: Arc::default() };
    world.sandbox.greenroom(["init", "--at", "ml", "r"]).success();
    world.sandbox.write(format!("r/ml/webhooks/{ONE}.toml"), webhook(ONE, "ACTIVE"));
    let alice = world.sandbox.alice().within("r/ml");
    alice.git(["add", "."]).success();
    alice.git(["commit", "--quiet", "-m", "A webhook"]).success();
    let called = world.book.channel(ONE, |_| AttemptOutcome::Gone { why: "410".to_owned() });
    let post = world.book.channel("post", |_| delivered());
    let source: ChannelSource = Arc::new(move |_, _| Ok(vec![Box::new(called.clone()), Box::new(Post(post.clone()))]));
    let running = Running::start(&home(&alice), world.options(source));
    world.book.hear(MessageLevel::Info, "first start");
    alice.greenroom(["model", "create", "m"]).success();
    world.book.wait("the mail", |t| t.iter().any(|t| t.channel == "post" && t.taken));
    running.end();
}

#[test]
fn who_asks_to_be_left_alone_is() {
    let world = World::new();
    let first = Arc::new(AtomicBool::new(true));
    let channel = world.book.channel("x", move |_| {
        let after = Some(Duration::from_millis(1500));
        if first.swap(false, Ordering::SeqCst) {
            AttemptOutcome::Retry { why: "429".to_owned(), after }
        } else {
            delivered()
        }
    });
    let running = world.start(world.options(always(vec![channel])));
    world.model("a");
    world.book.wait("the first try", |t| !t.is_empty());
    world.model("b");
    let told = world.book.wait("all", |t| t.iter().filter(|t| t.taken).count() >= 2);
    running.end();
    let rest = told[1..].iter().map(|t| t.at - told[0].at).min().expect("more came");
    assert!(rest >= Duration::from_millis(1450), "the other model waited, too: {rest:?}");
}

/// A wall clock that the test sets.
struct Jumping {
    real: System,
    ahead: AtomicI64,
}

impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        self.real.now().plus_millis(self.ahead.load(Ordering::SeqCst))
    }
    fn elapsed(&self) -> Duration {
        self.real.elapsed()
    }
}

#[test]
fn a_clock_that_jumps_brings_no_retry_sooner_or_later_and_no_busy_loop() {
    const DAY: i64 = 86_400_000;
    for jump in [DAY, -DAY] {
        let world = World::new();
        world.alice().git(["config", "greenroom.retryScale", "0.2"]).success();
        let clock = Arc::new(Jumping { real: System::default(), ahead: AtomicI64::new(0) });
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&tries);
        let channel = world.book.channel("x", move |_| match counted.fetch_add(1, Ordering::SeqCst) {
            0 => retry(),
            _ => delivered(),
        });
        let options = |source| WatchOptions { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..world.options(source) };
        let running = world.start(options(always(vec![channel.clone()])));
        world.model("m");
        world.book.wait("the first try", |t| !t.is_empty());
        clock.ahead.store(jump, Ordering::SeqCst);
        let told = world.book.wait("the second try", |t| t.len() >= 2);
        let waited = told[1].at - told[0].at;
        assert!(waited >= Duration::from_millis(880) && waited < Duration::from_secs(4), "{jump}: {waited:?}");
        running.end();

        // After a restart the stored times count, and no wait is longer than intended.
        tries.store(0, Ordering::SeqCst);
        let before = world.book.told().len();
        let running = world.start(options(always(vec![channel.clone()])));
        world.tags("m", 0..1);
        let failed = world.book.wait("a failure", |t| t.len() > before);
        running.end();
        clock.ahead.fetch_sub(DAY, Ordering::SeqCst);
        let running = world.start(options(always(vec![channel])));
        let told = world.book.wait("its second try", |t| t.len() > failed.len());
        let waited = told[failed.len()].at - failed[failed.len() - 1].at;
        assert!(waited < Duration::from_secs(4), "{jump}: {waited:?}");
        running.end();
    }
}

#[test]
fn what_cannot_be_noted_is_not_sent_again_as_fast_as_it_can() {
    let world = World { sandbox: Sandbox::new(), book: Arc::default() };
    need_root(&world.sandbox, "mount a small disk");
    let disk = world.sandbox.path("r");
    let _mount = Mount::new(&disk, &["-t", "tmpfs", "-o", "size=4m", "tmpfs"]);
    world.sandbox.greenroom(["init", "r"]).success();
    world.alice().git(["config", "greenroom.retryScale", "0.01"]).success();
    let filler = disk.join(".git/filler");
    let (full, fill) = (AtomicBool::new(false), filler.clone());
    let channel = world.book.channel("x", move |_| {
        if !full.swap(true, Ordering::SeqCst) {
            leave(&fill, 0);
        }
        // The rest of the last page fills soon.
        AttemptOutcome::Delivered("x".repeat(300))
    });
    let source = always(vec![channel]);
    world.start(world.options(source.clone())).end();
    world.model("m");
    world.tags("m", 0..20);
    let running = world.start(world.options(source));
    until("the full disk", &world, || world.book.has_said(MessageLevel::Error, "cannot be recorded"));
    std::thread::sleep(Duration::from_secs(1));
    let tries = world.book.told().len();
    assert!(tries <= 20, "a try each 600 ms: {tries}");
    std::fs::remove_file(filler).expect("it is there");
    until("all", &world, || outbox(&world).look("x").expect("readable").expect("known").delivered() == 21);
    running.end();
    ids_are_true(&world.book.told());
}

#[test]
fn a_second_watcher_stands_by_and_takes_over() {
    let world = World::new();
    let options = || world.options(always(vec![world.book.channel("x", |_| delivered())]));
    let first = world.start(options());
    let second = Running::start(&world.home(), options());
    until("the second", &world, || world.book.has_said(MessageLevel::Info, "stands by"));
    world.model("m");
    world.tags("m", 0..3);
    world.book.wait("the first's", |t| t.len() >= 4);
    first.end();
    world.tags("m", 3..6);
    world.book.wait("the second's", |t| t.len() >= 7);
    second.end();
    assert_eq!(world.values("x", "m"), numbered(0..6));
    assert_eq!(world.book.told().len(), 7, "nothing came twice");
}

#[test]
fn it_ends_when_told_and_what_it_was_sending_is_noted() {
    let world = World::new();
    let slow = world.book.channel("x", |_| {
        std::thread::sleep(Duration::from_millis(700));
        delivered()
    });
    let source = always(vec![slow]);
    world.start(world.options(source.clone())).end();
    world.model("m");
    world.tags("m", 0..1);
    let running = world.start(world.options(source.clone()));
    std::thread::sleep(Duration::from_millis(400));
    let start = Instant::now();
    running.end();
    assert!(start.elapsed() < Duration::from_secs(5));
    let after = world.book.told().len();
    assert!(after >= 1, "what had begun was finished");
    let running = world.start(world.options(source));
    world.book.wait("the rest", |t| t.len() >= 2);
    running.end();
    assert_eq!(world.book.told().len(), 2, "the model and its tag, each once: {:#?}", world.book.told());
}

/// A channel that cannot derive its deliveries of one rule-breaking step for a while.
struct Stuttering {
    inner: Fake,
    lane: &'static str,
    failures: AtomicUsize,
}

impl Channel for Stuttering {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn jobs(
        &self,
        notification: &Notification,
        moment: &DeliveryContext<'_>,
    ) -> Result<Vec<DeliveryJob>, DeliverError> {
        let NotificationKind::RuleViolated { faults } = &notification.what else { return Ok(Vec::new()) };
        let of_lane = faults.iter().any(|(_, text)| text.contains(self.lane));
        if of_lane && self.failures.fetch_add(1, Ordering::SeqCst) < 2 {
            return Err(DeliverError::Registry(RegistryError::BeforeHistory("just now".to_owned())));
        }
        self.inner.jobs(notification, moment)
    }

    fn send(&self, due: &[DueJob<'_>], moment: &DeliveryContext<'_>) -> BatchOutcome {
        self.inner.send(due, moment)
    }
}

#[test]
fn a_step_that_was_judged_is_told_once_though_the_next_one_cannot_be_told_yet() {
    let world = World::new();
    world.model("one");
    world.model("two");
    let inner = world.book.channel("x", |_| delivered());
    let source: ChannelSource = Arc::new(move |_, _| {
        Ok(vec![Box::new(Stuttering { inner: inner.clone(), lane: "two", failures: AtomicUsize::new(0) })])
    });
    world.start(world.options(source.clone())).end();
    let bob = world.sandbox.bob().within("r");
    world.alice().greenroom(["person", "add", "bob", "--email", "bob@example.org"]).success();
    for model in ["one", "two"] {
        let text = "grants = [{ to = \"bob\", level = \"CAN_MANAGE\" }]\n";
        world.sandbox.write(format!("r/models/{model}/access.toml"), text);
        bob.git(["add", "."]).success();
        bob.git(["commit", "--quiet", "-m", "Mine now"]).success();
    }
    let running = world.start(world.options(source));
    world.book.wait("both verdicts", |t| t.len() >= 2);
    until("the second is said", &world, || {
        world.book.said().iter().filter(|s| s.contains("breaks rules")).count() >= 2
    });
    running.end();
    let said = world.book.said().iter().filter(|s| s.contains("breaks rules")).count();
    assert_eq!((said, world.book.told().len()), (2, 2), "{:#?}", world.book.said());
}

/// The journal of a channel.
fn journal(world: &World, channel: &str) -> std::path::PathBuf {
    let folder = world.sandbox.path("r/.git/greenroom/outbox");
    let name = format!("{channel}.journal");
    let found = crate::support::trees::files(&folder).into_iter().map(|p| folder.join(p)).find(|p| p.ends_with(&name));
    found.expect("there is a journal")
}

#[test]
fn a_damaged_journal_stops_its_own_channel_only_and_until_it_is_moved_away() {
    let world = World::new();
    let channels = || always(["a", "x", "y"].map(|name| world.book.channel(name, |_| delivered())).to_vec());
    let from = |t: &[Told], channel: &str| t.iter().filter(|t| t.channel == channel).count();
    let running = world.start(world.options(channels()));
    world.model("m");
    world.book.wait("the model", |t| t.len() >= 3);
    running.end();
    let path = journal(&world, "x");
    let mut bytes = std::fs::read(&path).expect("readable");
    bytes[20] ^= 1;
    std::fs::write(&path, &bytes).expect("writable");
    world.model("n");
    let running = world.start(world.options(channels()));
    world.book.wait("the others", |t| from(t, "a") >= 2 && from(t, "y") >= 2);
    assert!(
        world.book.has_said(MessageLevel::Error, "the stored state of a channel cannot be used"),
        "{:?}",
        world.book.said()
    );
    std::fs::remove_file(&path).expect("it is there");
    world.model("o");
    world.book.wait("it goes on", |t| from(t, "a") >= 3 && t.iter().any(|t| t.channel == "x" && t.lane == "o"));
    running.end();
    assert_eq!(from(&world.book.told(), "x"), 2, "what happened meanwhile is sent by a replay");
    let complaints = world.book.said().iter().filter(|s| s.contains("the stored state of a channel")).count();
    assert_eq!(complaints, 1, "{:?}", world.book.said());
}

#[test]
fn the_outbox_is_its_owners_and_a_damaged_beginning_is_no_empty_one() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let source = always(vec![world.book.channel("x", |_| delivered())]);
    let running = world.start(world.options(source.clone()));
    world.model("m");
    world.book.wait("the model", |t| !t.is_empty());
    running.end();
    let mut journals = Vec::new();
    for path in crate::support::trees::files(&world.sandbox.path("r/.git/greenroom/outbox")) {
        let path = world.sandbox.path("r/.git/greenroom/outbox").join(path);
        let mode = |p: &std::path::Path| std::fs::metadata(p).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        assert_eq!(mode(path.parent().expect("a folder")), 0o700, "{}", path.display());
        if path.ends_with("x.journal") {
            journals.push(path);
        }
    }
    let [journal] = journals.as_slice() else { panic!("one journal: {journals:?}") };
    let mut bytes = std::fs::read(journal).expect("readable");
    bytes[20] ^= 1;
    std::fs::write(journal, &bytes).expect("writable");
    let said = world.alice().greenroom(["webhook", "deliveries"]).code(7);
    assert!(said.stderr().contains("is damaged"), "{}", said.stderr());
    let once = WatchOptions { once: true, ..world.options(source) };
    let ended = greenroom::watch::Watcher::start(world.home(), once).expect("a thread").join();
    assert!(ended.expect_err("it is damaged").to_string().contains("webhook replay --from"));
}
