//! One attempt at a time, to a real receiver: the request, the meaning of the answers, and refused targets.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use greenroom::deliver::webhook::address::Allow;
use greenroom::deliver::webhook::post::{AddressLookup, PostLimits, System};
use greenroom::deliver::webhook::{Outgoing, channels};
use greenroom::deliver::{AttemptOutcome, DeliveryContext, DeliveryJob, DueJob, Notification, NotificationKind};
use greenroom::event::{Event, TransitionCause};
use greenroom::name::{ModelName, UserName};
use greenroom::registry::Registry;
use greenroom::secrets::{Secret, Secrets};
use greenroom::stage::Stage;
use greenroom::time::Timestamp;
use serde_json::{Value, json};

use crate::support::Sandbox;
use crate::support::hooked::Hooked;

const NOW: i64 = 1_795_364_836_000;

/// A registry with one model, `churn`, and one webhook.
struct World {
    sandbox: Sandbox,
    registry: Registry,
}

impl World {
    fn new(options: &[&str]) -> Self {
        let sandbox = Sandbox::new();
        sandbox.greenroom(["init", "r"]).success();
        let alice = sandbox.alice().within("r");
        alice.greenroom(["model", "create", "churn"]).success();
        alice.greenroom(["webhook", "create"].iter().chain(options)).success();
        let registry = Registry::discover(&sandbox.path("r")).expect("a registry");
        Self { sandbox, registry }
    }

    fn secrets(&self) -> Secrets {
        Secrets::with_key(&self.registry.state_dir(), None)
    }

    fn set(&self, name: &str, text: &str) {
        let secret = Secret::new(text).expect("a secret");
        self.secrets().set(&name.parse().expect("a name"), &secret, Timestamp::from_millis(NOW)).expect("it is kept");
    }

    fn outgoing(&self, allow: &[&str], names: impl AddressLookup + 'static, limits: PostLimits) -> Arc<Outgoing> {
        let allow = Allow::new(allow).expect("settings");
        Arc::new(Outgoing::with(allow, self.secrets(), Arc::new(names), limits))
    }

    fn local(&self) -> Arc<Outgoing> {
        self.outgoing(&["127.0.0.1"], System, PostLimits::default())
    }

    /// The jobs of an event, and the outcome of an attempt for each.
    fn tell(&self, out: &Arc<Outgoing>, what: NotificationKind) -> Vec<(DeliveryJob, AttemptOutcome)> {
        let snapshot = self.registry.snapshot().expect("a state");
        let now = Timestamp::from_millis(NOW);
        let moment =
            DeliveryContext { registry: &self.registry, before: &snapshot, after: &snapshot, tip: &snapshot, now };
        let notification = Notification {
            commit: self.registry.head().expect("a branch").expect("a commit"),
            ordinal: 0,
            at: Timestamp::from_millis(NOW - 5_000),
            by: UserName::new("alice").expect("a name"),
            landed_by: None,
            comment: String::new(),
            what,
        };
        let mut all = Vec::new();
        for channel in channels(&snapshot, out).expect("the webhooks") {
            for job in channel.jobs(&notification, &moment).expect("jobs") {
                let due = DueJob { id: "0badcafe", notification: &notification, job: &job, attempt: 0 };
                let sent = channel.send(&[due], &moment);
                assert_eq!(sent.taken, 1);
                all.push((job, sent.outcome));
            }
        }
        all
    }

    fn outcome(&self, out: &Arc<Outgoing>) -> AttemptOutcome {
        let all = self.tell(out, moved());
        assert_eq!(all.len(), 1, "{all:?}");
        all.into_iter().next().expect("one").1
    }
}

fn moved() -> NotificationKind {
    let model = ModelName::new("churn").expect("a name");
    let cause = TransitionCause::Direct;
    NotificationKind::Event(Box::new(Event::Transitioned {
        model,
        version: 3,
        from: Stage::None,
        to: Stage::Production,
        cause,
    }))
}

const MOVED: &str = "MODEL_VERSION_TRANSITIONED_STAGE";

#[test]
fn a_delivery_carries_the_headers_of_all_three_contracts_over_the_bytes_that_were_sent() {
    let receiver = Hooked::with_status(200);
    let world = World::new(&["--event", MOVED, "--url", &receiver.url(), "--secret", "s", "--authorization", "a"]);
    world.set("s", "secret_string");
    world.set("s.next", "the next one");
    world.set("a", "Bearer abc");
    assert_eq!(world.outcome(&world.local()), AttemptOutcome::Delivered("HTTP 200".to_owned()));
    let got = receiver.only();
    assert_eq!(got.line, "POST /hook");
    assert_eq!(got.json()["event"], MOVED);
    assert_eq!(got.json()["text"], "Registered model 'churn' version 3 transitioned from None to Production.");
    for (name, value) in [
        ("content-type", "application/json"),
        ("webhook-id", "0badcafe"),
        ("webhook-timestamp", "1795364836"),
        ("x-mlflow-delivery-id", "0badcafe"),
        ("x-mlflow-timestamp", "1795364836"),
        ("authorization", "Bearer abc"),
    ] {
        assert_eq!(got.header(name), Some(value), "{name}");
    }
    assert_eq!(got.header("webhook-signature").expect("signed").split(' ').count(), 2, "by both secrets");
    assert!(got.header("x-mlflow-signature").expect("signed").starts_with("v1,"));
    assert_eq!(got.header("x-databricks-signature").map(str::len), Some(64));
    assert_eq!(got.header("accept-encoding"), None, "an answer is not unpacked");
}

#[test]
fn an_own_secret_is_sent_for_the_webhook_that_used_it_first_and_for_no_other() {
    let (first, second) = (Hooked::with_status(200), Hooked::with_status(200));
    let options = |url: &str| ["--event", MOVED, "--url", url, "--authorization", "webhook-mine"].map(str::to_owned);
    let world = World::new(&options(&first.url()).each_ref().map(String::as_str));
    world.set("webhook-mine", "canary");
    assert_eq!(world.outcome(&world.local()), AttemptOutcome::Delivered("HTTP 200".to_owned()));
    // Another webhook takes its place, and names the same secret for another target.
    let alice = world.sandbox.alice().within("r");
    let hooks = alice.greenroom(["webhook", "list", "-o", "json"]).success().json();
    let id = hooks[0]["id"].as_str().expect("an id").to_owned();
    alice.greenroom(["webhook", "delete", &id, "--yes"]).success();
    alice.greenroom(["webhook", "create"].map(str::to_owned).into_iter().chain(options(&second.url()))).success();
    let AttemptOutcome::Retry { why, after: None } = world.outcome(&world.local()) else { panic!("it was sent") };
    let way = "greenroom secret release webhook-mine";
    assert!(why.contains(&id) && why.contains(way) && !why.contains("canary"), "{why}");
    assert_eq!(second.got().len(), 0);
    let listed = alice.greenroom(["secret", "list", "-o", "json"]).success().json();
    assert_eq!(listed[0]["webhook"], json!(id));
    alice.greenroom(way.split(' ').skip(1)).success();
    assert_eq!(world.outcome(&world.local()), AttemptOutcome::Delivered("HTTP 200".to_owned()));
    assert_eq!(second.only().header("authorization"), Some("canary"));
}

#[test]
fn an_own_secret_is_the_webhooks_that_stands_there_before_anything_is_sent() {
    let receiver = Hooked::with_status(200);
    let world = World::new(&["--event", MOVED, "--url", &receiver.url(), "--secret", "webhook-mine"]);
    world.set("webhook-mine", "canary");
    let (out, snapshot) = (world.local(), world.registry.snapshot().expect("a state"));
    channels(&snapshot, &out).expect("the webhooks");
    assert!(world.secrets().list().expect("a list")[0].webhook.is_some());
}

#[test]
fn each_matching_name_is_a_job_of_its_own_in_the_models_lane() {
    let receiver = Hooked::with_status(204);
    let specific = "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION";
    let world = World::new(&["--event", specific, "--event", MOVED, "--url", &receiver.url()]);
    let all = world.tell(&world.local(), moved());
    let jobs: Vec<_> = all.iter().map(|(job, _)| (job.lane.as_str(), job.key.as_str())).collect();
    assert_eq!(jobs, [("churn", MOVED), ("churn", specific)]);
    let said: Vec<Value> = receiver.got().iter().map(|got| got.json()["event"].clone()).collect();
    assert_eq!(said, [json!(MOVED), json!(specific)]);
}

#[test]
fn a_webhook_of_one_model_hears_of_no_other_and_one_that_is_off_of_nothing() {
    let receiver = Hooked::with_status(200);
    let other = World::new(&["--event", "*", "--profile", "standard", "--model", "churn", "--url", &receiver.url()]);
    let rewritten =
        NotificationKind::HistoryRewritten { before: other.registry.head().expect("a branch").expect("a commit") };
    assert_eq!(other.tell(&other.local(), rewritten.clone()), []);
    let created = |name: &str| {
        let model = ModelName::new(name).expect("a name");
        NotificationKind::Event(Box::new(Event::ModelDescribed {
            model,
            description: Default::default(),
            before: Default::default(),
        }))
    };
    assert_eq!(other.tell(&other.local(), created("wine")), []);
    assert_eq!(other.tell(&other.local(), created("churn")).len(), 1);
    let whole = World::new(&["--event", "history.*", "--url", &receiver.url()]);
    let all = whole.tell(&whole.local(), rewritten);
    assert_eq!((all[0].0.lane.as_str(), all[0].0.key.as_str()), ("", "history.rewritten"));
    for state in ["TEST_MODE", "DISABLED"] {
        let off = World::new(&["--event", "*", "--profile", "standard", "--state", state, "--url", &receiver.url()]);
        assert_eq!(off.tell(&off.local(), moved()), []);
    }
}

#[test]
fn answers_mean_what_the_contracts_say() {
    let retry = |why: &str, after| AttemptOutcome::Retry { why: why.to_owned(), after };
    let minute = Some(Duration::from_secs(60));
    for (answer, wanted) in [
        ("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", AttemptOutcome::Delivered("HTTP 202".to_owned())),
        ("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", AttemptOutcome::Gone { why: "HTTP 410".to_owned() }),
        ("HTTP/1.1 429 Slow\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n", retry("HTTP 429", minute)),
        ("HTTP/1.1 503 Later\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n", retry("HTTP 503", minute)),
        ("HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n", retry("HTTP 503", None)),
        ("HTTP/1.1 500 Oops\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n", retry("HTTP 500", None)),
        ("HTTP/1.1 400 Bad\r\nContent-Length: 6\r\n\r\nsecret", retry("HTTP 400", None)),
    ] {
        let receiver = Hooked::saying(answer);
        let world = World::new(&["--event", MOVED, "--url", &receiver.url()]);
        assert_eq!(world.outcome(&world.local()), wanted, "{answer}");
    }
}

#[test]
fn a_redirect_is_a_failure_and_is_not_followed() {
    let elsewhere = Hooked::with_status(200);
    let location = elsewhere.url();
    let receiver = Hooked::with(move |_, stream| {
        let _ = write!(stream, "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    });
    let world = World::new(&["--event", MOVED, "--url", &receiver.url()]);
    let why = "HTTP 302: redirects are not followed".to_owned();
    assert_eq!(world.outcome(&world.local()), AttemptOutcome::Retry { why, after: None });
    assert_eq!((receiver.got().len(), elsewhere.got().len()), (1, 0));
}

#[test]
fn an_answer_without_end_costs_little_and_a_slow_one_is_given_up() {
    let endless = Hooked::with(|_, stream| {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n");
        while stream.write_all(&[b'x'; 65_536]).is_ok() {}
    });
    let world = World::new(&["--event", MOVED, "--url", &endless.url()]);
    let begun = Instant::now();
    assert_eq!(world.outcome(&world.local()), AttemptOutcome::Delivered("HTTP 200".to_owned()));
    assert!(begun.elapsed() < Duration::from_secs(20), "it did not read a gigabyte: {:?}", begun.elapsed());

    let slow = Hooked::with(|_, stream| {
        for byte in b"HTTP/1.1 200 OK\r\nX-Padding: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
    });
    let world = World::new(&["--event", MOVED, "--url", &slow.url()]);
    let limits = PostLimits { total: Duration::from_millis(700), ..PostLimits::default() };
    let out = world.outgoing(&["127.0.0.1"], System, limits);
    let AttemptOutcome::Retry { why, after: None } = world.outcome(&out) else { panic!("it was given up") };
    assert!(why.contains("no response in time"), "{why}");
}

#[test]
fn no_target_but_the_allowed_is_called() {
    let receiver = Hooked::with_status(200);
    let world = World::new(&["--event", MOVED, "--url", &receiver.url()]);
    let port = receiver.address().port();
    for allow in [&[][..], &["10.0.0.0/8"], &["localhost"], &["127.0.0.1:1"]] {
        let AttemptOutcome::Retry { why, .. } = world.outcome(&world.outgoing(allow, System, PostLimits::default()))
        else {
            panic!("{allow:?}")
        };
        assert!(why.contains("it is not a public address"), "{why}");
    }
    assert_eq!(receiver.got().len(), 0);
    let own = format!("127.0.0.1:{port}");
    let out = world.outgoing(&[&own], System, PostLimits::default());
    assert_eq!(world.outcome(&out), AttemptOutcome::Delivered("HTTP 200".to_owned()));
}

/// A name that resolves to a public address when it is checked, and to another address when it is called.
#[derive(Debug)]
struct Rebinding {
    asked: AtomicUsize,
    then: SocketAddr,
}

impl AddressLookup for Rebinding {
    fn lookup(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let public = SocketAddr::from(([93, 184, 216, 34], port));
        let first = self.asked.fetch_add(1, Ordering::SeqCst) == 0;
        Ok(if first { vec![public] } else { vec![self.then] })
    }
}

#[test]
fn a_name_that_resolves_to_another_address_the_second_time_reaches_nothing() {
    let receiver = Hooked::with_status(200);
    let then = receiver.address();
    let world = World::new(&["--event", MOVED, "--url", &format!("https://rebind.example:{}/", then.port())]);
    let rebinding = || Rebinding { asked: AtomicUsize::new(1), then };
    let out = world.outgoing(&[], rebinding(), PostLimits::default());
    let AttemptOutcome::Retry { why, .. } = world.outcome(&out) else { panic!("it was refused") };
    assert!(why.starts_with("rebind.example: it is not a public address"), "{why}");
    // A private address among public ones is refused, too.
    #[derive(Debug)]
    struct Mixed(SocketAddr);
    impl AddressLookup for Mixed {
        fn lookup(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
            Ok(vec![SocketAddr::from(([93, 184, 216, 34], port)), self.0])
        }
    }
    let out = world.outgoing(&[], Mixed(then), PostLimits::default());
    assert!(matches!(world.outcome(&out), AttemptOutcome::Retry { why, .. } if why.contains("not a public address")));
    assert_eq!(receiver.got().len(), 0, "no connection was made");
}

#[test]
fn without_its_secret_nothing_is_sent_and_the_reason_names_it() {
    let receiver = Hooked::with_status(200);
    let world = World::new(&["--event", MOVED, "--url", &receiver.url(), "--secret", "release"]);
    let AttemptOutcome::Retry { why, .. } = world.outcome(&world.local()) else { panic!("it waits") };
    assert_eq!(why, "the secret 'release' is not set; set it with `greenroom secret set release`");
    assert_eq!(receiver.got().len(), 0);
    world.set("release", "now");
    assert_eq!(world.outcome(&world.local()), AttemptOutcome::Delivered("HTTP 200".to_owned()));
}

#[test]
fn a_job_is_started_as_databricks_starts_it() {
    let receiver = Hooked::saying("HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"run_id\": 1}");
    let workspace = format!("http://{}", receiver.address());
    let world = World::new(&["--event", MOVED, "--job", "4711", "--workspace", &workspace, "--authorization", "jobs"]);
    world.set("jobs", "dapi-token");
    assert_eq!(world.outcome(&world.local()), AttemptOutcome::Delivered("HTTP 200".to_owned()));
    let got = receiver.only();
    assert_eq!(got.line, "POST /api/2.1/jobs/run-now");
    assert_eq!(got.header("authorization"), Some("Bearer dapi-token"));
    let body = got.json();
    assert_eq!((&body["job_id"], &body["idempotency_token"]), (&json!(4711), &json!("0badcafe")));
    let message: Value = serde_json::from_str(body["notebook_params"]["event_message"].as_str().unwrap()).unwrap();
    assert_eq!((&message["event"], &message["to_stage"]), (&json!(MOVED), &json!("Production")));
}

#[test]
fn connections_are_kept_and_used_again() {
    let receiver = Hooked::with_status(200);
    let world = World::new(&["--event", MOVED, "--url", &receiver.url()]);
    let out = world.local();
    let begun = Instant::now();
    for _ in 0..200 {
        assert_eq!(world.outcome(&out), AttemptOutcome::Delivered("HTTP 200".to_owned()));
    }
    assert_eq!(receiver.got().len(), 200);
    assert_eq!(receiver.connections(), 1, "{:?}", begun.elapsed());
}
