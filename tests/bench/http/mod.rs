//! The server over HTTP, beside MLflow's: the same requests over kept-alive connections, to both in turn, from this
//! process.
//!
//! Shared features are measured with 200 models of 5 versions. The large registry is measured on Greenroom only.

mod client;
mod servers;

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::generate::{self, Shape};
use super::measure::Times;
use crate::support::Sandbox;
use client::{Client, Wire, get, post, rate};
use servers::Running;

/// A row of the table: its name, the required speed-up over MLflow, and the request with a given number.
type Measured<'m> = (&'m str, f64, &'m dyn Fn(usize) -> Wire);

/// A query to the large registry: its name, and the request with a given number.
type LargeQuestion<'q> = (&'q str, &'q dyn Fn(&Large, usize) -> Wire);
pub use servers::{HELLO, serve_hello};

const MODELS: usize = 200;
const VERSIONS: usize = 5;

/// The duration of each rate measurement, in seconds.
const SECONDS: f64 = 3.0;

/// One row of the report.
fn row(what: &str, ours: &str, theirs: &str, ratio: Option<f64>, goal: &str, met: Option<bool>) {
    let ratio = ratio.map_or(String::new(), |r| format!("{r:.1}×"));
    let mark = match met {
        Some(true) => "ok",
        Some(false) => "MISSED",
        None => "",
    };
    println!("| {what} | {ours} | {theirs} | {ratio} | {goal} | {mark} |");
}

fn alone(what: &str, ours: &str, goal: &str, met: Option<bool>) {
    row(what, ours, "", None, goal, met);
}

fn milliseconds(times: &Times) -> String {
    format!("{:.2} ms (95 %: {:.2})", times.median(), times.p95())
}

/// The name of a model, as in the generator.
fn model(i: usize) -> String {
    generate::model((i % MODELS) as u64).as_str().to_owned()
}

/// The requests of one client, by number.
struct Question<'q> {
    what: &'q str,
    goal: f64,
    wire: &'q dyn Fn(usize) -> Wire,
}

/// Both servers.
struct Pair {
    ours: Running,
    theirs: Running,
}

impl Pair {
    fn start(sandbox: &Sandbox) -> Self {
        let first = get("registered-models/get", &[("name", &model(0))]);
        // Greenroom first: MLflow's processes are still starting when the first of them answers.
        let ours = Running::greenroom(sandbox, &sandbox.path("registry"), "alice@example.org", &first);
        let pair = Self { ours, theirs: Running::mlflow(sandbox, &first) };
        // MLflow's workers go on starting after the first answer, and would take processor time from the measurement.
        std::thread::sleep(Duration::from_secs(20));
        pair
    }

    /// One client sends to both servers in turn, in rounds, so that both see the same machine.
    fn compare(&self, runs: usize, question: &Question<'_>) {
        const ROUNDS: usize = 5;
        let connect = |to: &Running| Client::connect(&to.address).expect("a connection");
        let (mut ours, mut theirs) = (connect(&self.ours), connect(&self.theirs));
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let part = round * runs / ROUNDS..(round + 1) * runs / ROUNDS;
            b.extend(part.clone().map(|i| theirs.ask(&(question.wire)(i))));
            a.extend(part.map(|i| ours.ask(&(question.wire)(i))));
        }
        let (a, b) = (Times::from(a), Times::from(b));
        let ratio = b.median() / a.median();
        let goal = format!("≥ {}×", question.goal);
        row(question.what, &milliseconds(&a), &milliseconds(&b), Some(ratio), &goal, Some(ratio >= question.goal));
    }

    fn rates(&self, what: &str, clients: usize, request: impl Fn(usize, usize) -> Wire + Sync) {
        let theirs = rate(&self.theirs.address, clients, SECONDS, &request);
        let ours = rate(&self.ours.address, clients, SECONDS, &request);
        row(what, &format!("{ours:.0}/s"), &format!("{theirs:.0}/s"), Some(ours / theirs), "", None);
    }
}

fn create_version(name: &str, source: &str) -> Wire {
    post(
        "model-versions/create",
        &json!({ "name": name, "source": source, "tags": [{ "key": "team", "value": "t7" }] }),
    )
}

fn get_version(i: usize) -> Wire {
    let version = (1 + i % VERSIONS).to_string();
    get("model-versions/get", &[("name", &model(i * 7)), ("version", &version)])
}

/// Fills both servers with 200 models of 5 versions, and measures these requests.
fn fill(pair: &Pair) {
    let create = |i| {
        let tags = json!([{ "key": "owner", "value": format!("team-{:02}", i % 37) }]);
        post("registered-models/create", &json!({ "name": model(i), "description": "Fraud or not", "tags": tags }))
    };
    pair.compare(MODELS, &Question { what: "create a model", goal: 3.0, wire: &create });
    let version = |i| create_version(&model(i), &format!("s3://bucket/{i}/model"));
    pair.compare(MODELS * VERSIONS, &Question { what: "create a version", goal: 3.0, wire: &version });
    for running in [&pair.ours, &pair.theirs] {
        let mut client = Client::connect(&running.address).expect("a connection");
        for i in 0..MODELS {
            client.ask(&post(
                "registered-models/alias",
                &json!({ "name": model(i), "alias": "champion", "version": "3" }),
            ));
            let to =
                |stage| json!({ "name": model(i), "version": "2", "stage": stage, "archive_existing_versions": false });
            client.ask(&post("model-versions/transition-stage", &to("Production")));
        }
    }
}

fn one_client(pair: &Pair) {
    let reads: [Measured<'_>; 8] = [
        ("get a model", 20.0, &|i| get("registered-models/get", &[("name", &model(i))])),
        ("get a version", 20.0, &get_version),
        ("get by alias", 20.0, &|i| get("registered-models/alias", &[("name", &model(i)), ("alias", "champion")])),
        ("latest by stage", 20.0, &|i| {
            post("registered-models/get-latest-versions", &json!({ "name": model(i), "stages": ["Production"] }))
        }),
        ("search models by a tag", 30.0, &|i| {
            let filter = format!("tags.owner = 'team-{:02}'", i % 37);
            get("registered-models/search", &[("filter", &filter)])
        }),
        ("search versions by tag and name", 30.0, &|i| {
            let filter = format!("name = '{}' AND tags.team = 't7'", model(i));
            get("model-versions/search", &[("filter", &filter)])
        }),
        ("search names by ILIKE", 30.0, &|i| {
            let filter = format!("name ILIKE '%FRAUD-00{:02}%'", i % 20);
            get("registered-models/search", &[("filter", &filter)])
        }),
        ("first page of all models", 30.0, &|_| get("registered-models/search", &[("max_results", "100")])),
    ];
    for (what, goal, wire) in reads {
        pair.compare(200, &Question { what, goal, wire });
    }
    let transition = |i: usize| {
        let stage = if (i / MODELS).is_multiple_of(2) { "Staging" } else { "Archived" };
        let body = json!({ "name": model(i), "version": "4", "stage": stage, "archive_existing_versions": false });
        post("model-versions/transition-stage", &body)
    };
    let tag = |i: usize| {
        let body = json!({ "name": model(i), "version": "1", "key": "checked", "value": i.to_string() });
        post("model-versions/set-tag", &body)
    };
    let writes: [Measured<'_>; 2] = [("transition", 3.0, &transition), ("set a tag", 3.0, &tag)];
    for (what, goal, wire) in writes {
        pair.compare(200, &Question { what, goal, wire });
    }
}

/// Measures the writes again for a repository with a work tree, whose files and index follow each write.
fn work_tree(sandbox: &Sandbox) {
    sandbox.greenroom(["init", "checked-out"]).success();
    let first = get("registered-models/get", &[("name", &model(0))]);
    let ours = Running::greenroom(sandbox, &sandbox.path("checked-out"), "alice@example.org", &first);
    let mut client = Client::connect(&ours.address).expect("a connection");
    let create = |i| post("registered-models/create", &json!({ "name": model(i) }));
    let version = |i| create_version(&model(i), &format!("s3://bucket/{i}/model"));
    let writes: [(&str, &dyn Fn(usize) -> Wire); 2] = [("create a model", &create), ("create a version", &version)];
    for (what, wire) in writes {
        let times = Times::from((0..MODELS).map(|i| client.ask(&wire(i))).collect::<Vec<_>>());
        alone(&format!("{what}, in a work tree"), &milliseconds(&times), "", None);
    }
}

/// The best this machine can do in this run: empty answers, and a flush to disk.
fn floors(folder: &Path) {
    let first = get("", &[]);
    let hello = Running::hello(&first);
    let mut client = Client::connect(&hello.address).expect("a connection");
    let one = Times::of(2_000, || {
        client.ask(&first);
    });
    alone("floor: axum's hello to one client", &milliseconds(&one), "", None);
    let many = rate(&hello.address, 32, SECONDS, |_, _| first.clone());
    alone("floor: axum's hello to 32 clients", &format!("{many:.0}/s"), "", None);
    let mut file = std::fs::File::create(folder.join("flushed")).expect("writable");
    let flush = Times::of(200, || file.write_all(&[1; 1024]).and_then(|()| file.sync_data()).expect("flushed"));
    alone("floor: append 1 KB and fdatasync", &milliseconds(&flush), "", None);
}

/// Measures the Greenroom server alone; `label` describes the registry.
fn crowds(address: &str, label: &str, models: usize, name: impl Fn(usize) -> String + Sync) {
    let reads = rate(address, 32, SECONDS, |client, round| {
        let i = client * 7919 + round * 31;
        let name = name(i % models);
        match i % 3 {
            0 => get("registered-models/get", &[("name", &name)]),
            1 => get("model-versions/get", &[("name", &name), ("version", "1")]),
            _ => get("registered-models/alias", &[("name", &name), ("alias", "champion")]),
        }
    });
    alone(&format!("32 readers, {label}"), &format!("{reads:.0}/s"), "≥ 20,000/s", Some(reads >= 20_000.0));
    let writes = rate(address, 8, SECONDS, |client, round| {
        create_version(&name((client * 23 + round) % models), &format!("s3://bucket/{client}/{round}"))
    });
    alone(&format!("8 writers, {label}"), &format!("{writes:.0}/s"), "≥ 500/s", Some(writes >= 500.0));
}

/// A generated registry, served.
struct Large {
    label: String,
    models: usize,
    running: Running,
}

impl Large {
    fn start(sandbox: &Sandbox, dir: &Path, shape: Shape) -> Self {
        let first = get("registered-models/get", &[("name", generate::model(0).as_str())]);
        let running = Running::greenroom(sandbox, dir, "alice@example.com", &first);
        let label = format!("{} × {}", shape.models, shape.versions);
        Self { label, models: shape.models as usize, running }
    }

    fn name(&self, i: usize) -> String {
        generate::model((i % self.models) as u64).as_str().to_owned()
    }

    fn client(&self) -> Client {
        Client::connect(&self.running.address).expect("a connection")
    }

    /// Compares costs that must not depend on the size with a small registry that is generated in the same way.
    fn beside(&self, small: &Self) {
        let questions: [LargeQuestion<'_>; 4] = [
            ("get a version", &|l, i| get("model-versions/get", &[("name", &l.name(i * 7)), ("version", "4")])),
            ("get by alias", &|l, i| {
                get("registered-models/alias", &[("name", &l.name(i * 7)), ("alias", "champion")])
            }),
            ("create a version", &|l, i| create_version(&l.name(i * 7), &format!("s3://bucket/{i}/model"))),
            ("set a tag", &|l, i| {
                let tag = json!({ "name": l.name(i * 7), "version": "1", "key": "checked", "value": i.to_string() });
                post("model-versions/set-tag", &tag)
            }),
        ];
        for (what, wire) in questions {
            let (mut a, mut b) = (self.client(), small.client());
            let pairs = (0..300).map(|i| (a.ask(&wire(self, i)), b.ask(&wire(small, i))));
            let (a, b): (Vec<Duration>, Vec<Duration>) = pairs.skip(20).unzip();
            let (a, b) = (Times::from(a), Times::from(b));
            let ratio = a.median() / b.median();
            let small = format!("{}: {}", small.label, milliseconds(&b));
            let what = format!("{what}, {}", self.label);
            row(&what, &milliseconds(&a), &small, Some(ratio), "≤ 1.2×", Some(ratio <= 1.2));
        }
    }

    fn searches(&self) {
        let questions: [(&str, &dyn Fn(usize) -> Wire); 4] = [
            ("search models by a tag, 100 of 270", &|i| {
                get("registered-models/search", &[("filter", &format!("tags.owner = 'team-{:02}'", i % 37))])
            }),
            ("search versions by a tag, all 2,700", &|i| {
                get("model-versions/search", &[("filter", &format!("tags.team = 't{}'", i % 37))])
            }),
            ("search names by ILIKE", &|i| {
                get("registered-models/search", &[("filter", &format!("name ILIKE '%FRAUD-00{:02}%'", i % 20))])
            }),
            ("first page of all models", &|_| get("registered-models/search", &[("max_results", "100")])),
        ];
        let mut client = self.client();
        for (what, wire) in questions {
            let times: Vec<Duration> = (0..120).map(|i| client.ask(&wire(i))).skip(20).collect();
            let times = Times::from(times);
            let measured = format!("{}, {} KiB", milliseconds(&times), client.size() / 1024);
            alone(&format!("{what}, {}", self.label), &measured, "≤ 10 ms", Some(times.median() <= 10.0));
        }
    }
}

/// Measures the large registry, beside a small one.
fn large(sandbox: &Sandbox, folder: &Path) {
    let shape = |models, versions| Shape { models, versions, layout: greenroom::entity::settings::Layout::Sharded };
    let (big, small) = (shape(10_000, 10), shape(200, 5));
    let (dir, small_dir) = (generate::registry(folder, big), generate::registry(folder, small));
    let built = Large::start(sandbox, &dir, big);
    let label = built.label.clone();
    let took = built.running.first_answer;
    alone(&format!("first answer with no index yet, {label}"), &format!("{took:.0} ms"), "", None);
    drop(built);
    let ours = Large::start(sandbox, &dir, big);
    let took = ours.running.first_answer;
    alone(&format!("first answer, {label}"), &format!("{took:.0} ms"), "≤ 1,500 ms", Some(took <= 1500.0));
    let memory = |when: &str| {
        let (_, mib) = ours.running.memory();
        alone(&format!("memory {when}, {label}"), &format!("{mib:.0} MiB"), "≤ 300 MB", Some(mib <= 286.0));
    };
    memory("after start");
    ours.beside(&Large::start(sandbox, &small_dir, small));
    ours.searches();
    crowds(&ours.running.address, &label, ours.models, |i| ours.name(i));
    memory("after work");
}

/// Measures everything over HTTP.
pub fn run(folder: &Path, quick: bool) {
    println!("\n| what | greenroom | MLflow | ratio | goal | |\n|---|---|---|---|---|---|");
    // Some file systems create files slowly for a while after many were deleted, for example by a build.
    std::thread::sleep(Duration::from_secs(if quick { 5 } else { 30 }));
    floors(folder);
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "registry", "--bare"]).success();
    let pair = Pair::start(&sandbox);
    fill(&pair);
    drop(pair);
    let pair = Pair::start(&sandbox);
    let (a, b) = (pair.ours.first_answer, pair.theirs.first_answer);
    row("first answer", &format!("{a:.0} ms"), &format!("{b:.0} ms"), Some(b / a), "≤ 100 ms", Some(a <= 100.0));
    let shown = |(processes, mib): (usize, f64)| format!("{mib:.0} MiB in {processes}");
    let (a, b) = (pair.ours.memory(), pair.theirs.memory());
    row("memory and processes, idle", &shown(a), &shown(b), Some(b.1 / a.1), "≤ 40 MB", Some(a.1 <= 38.1));
    one_client(&pair);
    pair.rates("four clients create versions", 4, |client, round| {
        create_version(&model(client * 50 + round % 50), &format!("s3://bucket/four/{client}/{round}"))
    });
    pair.rates("four clients read versions", 4, |client, round| get_version(client * 50 + round));
    let Pair { ours, theirs } = pair;
    drop(theirs);
    crowds(&ours.address, "200 × 5", MODELS, model);
    alone("memory after work", &shown(ours.memory()), "", None);
    drop(ours);
    work_tree(&sandbox);
    if !quick {
        large(&sandbox, folder);
    }
}
