//! Whatever fails, and wherever a process is interrupted: every event arrives, in order, and repeats keep their id.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use greenroom::deliver::AttemptOutcome;
use greenroom::watch::{WatchOptions, WatchedBranch, Watcher};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::Sandbox;
use crate::support::channel::{Book, Told, always, delivered, home, retry};
use crate::support::trees;

/// The receiver's reaction to an attempt.
#[derive(Debug, Clone, Copy)]
enum Act {
    Take,
    Fail,
    /// Accepts the delivery, but the answer is lost.
    TakeSilently,
    Panic,
}

/// The damage to the process after a run: the part that its journals lose at their ends, in thousandths.
type Cut = Option<u16>;

fn acts() -> impl Strategy<Value = Vec<Act>> {
    // Most are accepted: ten failures of a delivery in a row would make it a dead letter, which is another test's
    // topic.
    let act =
        prop_oneof![8 => Just(Act::Take), 2 => Just(Act::Fail), 1 => Just(Act::TakeSilently), 1 => Just(Act::Panic)];
    prop::collection::vec(act, 1..40)
}

/// A registry whose history is delivered again and again.
struct Story {
    sandbox: Sandbox,
    home: WatchedBranch,
    /// The first commit, and all up to the last.
    commits: Vec<String>,
}

impl Story {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.greenroom(["init", "r"]).success();
        let alice = sandbox.alice().within("r");
        alice.git(["config", "greenroom.retryScale", "0.00001"]).success();
        let begin = alice.git(["rev-parse", "HEAD"]).success().stdout().trim().to_owned();
        for model in ["a", "b", "c"] {
            alice.greenroom(["model", "create", model]).success();
        }
        for n in 0..4 {
            for model in ["a", "b", "c"] {
                alice.greenroom(["tag", "set", model, &format!("k=v{n}")]).success();
            }
        }
        let all = alice.git(["rev-list", "--reverse", "--first-parent", "HEAD"]).success();
        let commits: Vec<String> = all.stdout().lines().map(str::to_owned).collect();
        assert_eq!(commits.first(), Some(&begin));
        let home = home(&alice);
        Self { sandbox, home, commits }
    }

    fn outbox(&self) -> PathBuf {
        self.sandbox.path("r/.git/greenroom/outbox")
    }

    fn move_to(&self, commit: &str) {
        self.sandbox.alice().within("r").git(["update-ref", "refs/heads/main", commit]).success();
    }

    /// One run to its end, or to its failure.
    fn run(&self, book: &Arc<Book>, act: impl Fn(&Told) -> AttemptOutcome + Clone + Send + Sync + 'static) -> u64 {
        loop {
            let options = WatchOptions { once: true, ..book.options(always(vec![book.channel("x", act.clone())])) };
            let summary = Watcher::start(self.home.clone(), options).expect("a thread").join().expect("it ends well");
            // A program that another test of this process starts holds the lock of the last run between fork and exec.
            if !summary.elsewhere {
                return summary.pending;
            }
        }
    }

    /// Cuts the ends off the journals, but not their beginnings, which are flushed when they are created.
    fn cut(&self, thousandths: u16) {
        for file in trees::files(&self.outbox()).iter().filter(|f| f.ends_with(".journal")) {
            let path: &Path = &self.outbox().join(file);
            let bytes = fs::read(path).expect("readable");
            let first = bytes.iter().position(|b| *b == b'\n').expect("a line") + 1;
            let keep = first + (bytes.len() - first) * usize::from(1000 - thousandths.min(1000)) / 1000;
            fs::write(path, &bytes[..keep]).expect("writable");
        }
    }

    fn told(&self, acts: &[Act], runs: &[(usize, Cut)]) -> Vec<Told> {
        let _ = fs::remove_dir_all(self.outbox());
        let book: Arc<Book> = Arc::default();
        self.move_to(&self.commits[0]);
        self.run(&book, |_| delivered());
        let (next, taken) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (script, kept) = (acts.to_vec(), Arc::clone(&taken));
        let act = move |told: &Told| {
            let n = next.fetch_add(1, Ordering::SeqCst);
            let keep = || kept.lock().expect("no thread failed").push(told.clone());
            // After the end of the script everything works, so that all events arrive in the end.
            match script.get(n).copied().unwrap_or(Act::Take) {
                Act::Take => {
                    keep();
                    delivered()
                }
                Act::Fail => retry(),
                Act::TakeSilently => {
                    keep();
                    retry()
                }
                Act::Panic => panic!("by the script"),
            }
        };
        for (commit, cut) in runs {
            self.move_to(&self.commits[1 + commit % (self.commits.len() - 1)..][0]);
            self.run(&book, act.clone());
            if let Some(thousandths) = cut {
                self.cut(*thousandths);
            }
        }
        self.move_to(self.commits.last().expect("some"));
        let begun = Instant::now();
        while self.run(&book, act.clone()) > 0 {
            assert!(begun.elapsed() < Duration::from_secs(120), "it does not come to an end: {:?}", book.said());
            thread::sleep(Duration::from_millis(5));
        }
        let taken = taken.lock().expect("no thread failed");
        taken.clone()
    }
}

#[test]
fn everything_arrives_in_order_and_twice_only_under_its_id() {
    let story = Story::new();
    let expected = story.told(&[], &[]);
    assert_eq!(expected.len(), 3 * 5, "each model and its four tags");
    let by_lane = |told: &[Told]| {
        let mut lanes: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for t in told {
            let lane = lanes.entry(t.lane.clone()).or_default();
            if !lane.iter().any(|(id, _)| *id == t.id) {
                lane.push((t.id.clone(), t.text.clone()));
            }
        }
        lanes
    };
    let wanted = by_lane(&expected);
    // Only forward: events after a rewind are another test's topic.
    let runs = prop::collection::vec((0_usize..15, prop::option::of(0_u16..=1000)), 0..5).prop_map(|mut runs| {
        runs.sort_by_key(|r| r.0);
        runs
    });
    let cases = if std::env::var_os("GREENROOM_FULL").is_some() { 300 } else { 24 };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let hook = std::panic::take_hook();
    // The scripted panics are many, and intended.
    std::panic::set_hook(Box::new(|_| {}));
    let ran = runner.run(&(acts(), runs), |(acts, runs)| {
        let told = story.told(&acts, &runs);
        crate::watch::ids_are_true(&told);
        prop_assert_eq!(by_lane(&told), wanted.clone());
        Ok(())
    });
    std::panic::set_hook(hook);
    ran.unwrap_or_else(|e| panic!("{e}"));
}
