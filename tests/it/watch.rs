//! The watcher in this process, with channels that record their deliveries.

mod follow;
mod programs;
mod trouble;

use std::collections::BTreeSet;
use std::sync::Arc;

use greenroom::watch::{ChannelSource, WatchOptions, WatchedBranch};

use crate::support::channel::{Book, Running, Told, home};
use crate::support::{Sandbox, Shell};

/// A registry `r` of Alice's, and the record of its channels.
struct World {
    sandbox: Sandbox,
    book: Arc<Book>,
}

impl World {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.greenroom(["init", "r"]).success();
        // Failed deliveries are repeated after milliseconds instead of seconds.
        sandbox.alice().within("r").git(["config", "greenroom.retryScale", "0.01"]).success();
        Self { sandbox, book: Arc::default() }
    }

    fn alice(&self) -> Shell<'_> {
        self.sandbox.alice().within("r")
    }

    fn home(&self) -> WatchedBranch {
        home(&self.alice())
    }

    /// Registers a model.
    #[track_caller]
    fn model(&self, name: &str) {
        self.alice().greenroom(["model", "create", name]).success();
    }

    /// Sets tags of a model, one commit each.
    #[track_caller]
    fn tags(&self, model: &str, values: std::ops::Range<u32>) {
        for value in values {
            self.alice().greenroom(["tag", "set", model, &format!("k=v{value}")]).success();
        }
    }

    fn options(&self, source: ChannelSource) -> WatchOptions {
        self.book.options(source)
    }

    /// A started watcher that knows the newest commit.
    #[track_caller]
    fn start(&self, options: WatchOptions) -> Running {
        let running = Running::start(&self.home(), options);
        self.begun();
        running
    }

    /// Waits until a watcher has recorded its start.
    #[track_caller]
    fn begun(&self) {
        let folder = self.sandbox.path("r/.git/greenroom/outbox");
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let is_there = || {
            let branches = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            branches.into_iter().any(|b| b.path().join("_judged.journal").exists())
        };
        while !is_there() {
            assert!(std::time::Instant::now() < end, "{:?}", self.book.said());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// The delivered tags of a model, in the order in which they were first accepted.
    fn values(&self, channel: &str, model: &str) -> Vec<String> {
        values(&self.book.taken(), channel, model)
    }
}

fn values(told: &[Told], channel: &str, model: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mine = told.iter().filter(|t| t.channel == channel && t.lane == model && t.event == "model.tag_set");
    let value = |t: &Told| {
        let at = t.text.find("value: Text(\"").expect("a tag has a value") + "value: Text(\"".len();
        t.text[at..].split('"').next().unwrap_or_default().to_owned()
    };
    mine.filter(|t| seen.insert(t.id.clone())).map(value).collect()
}

/// The values that [`World::tags`] sets.
fn numbered(values: std::ops::Range<u32>) -> Vec<String> {
    values.map(|n| format!("v{n}")).collect()
}

/// Demands that repeated deliveries have the same id, and that each id stands for one event.
#[track_caller]
pub fn ids_are_true(told: &[Told]) {
    let mut by_id = std::collections::BTreeMap::new();
    let mut by_text = std::collections::BTreeMap::new();
    for t in told {
        let thing = (t.channel.clone(), t.notification.clone(), t.text.clone());
        assert_eq!(by_id.entry(t.id.clone()).or_insert_with(|| thing.clone()), &thing, "one id, two things");
        assert_eq!(by_text.entry(thing).or_insert_with(|| t.id.clone()), &t.id, "one thing, two ids");
    }
}
