//! Commits made in this process, many per second, for tests of deliveries.

use greenroom::action::Action;
use greenroom::git::Ident;
use greenroom::registry::{ChangeAuthor, ChangeOptions, Registry};
use greenroom::text::Text;
use greenroom::time::Timestamp;

/// Makes Alice's commit number `n`, with one event: the tag `n` with that number, on one of `models` models `m0`,
/// `m1`… Returns its id. The commit is not flushed to the disk.
pub fn tag(registry: &Registry, n: u32, models: u32) -> String {
    let now = Timestamp::from_seconds(1_800_000_000 + i64::from(n));
    let who = Ident::new("Alice", "alice@example.org", now);
    let asker = ChangeAuthor { user: "alice".parse().expect("a name"), author: who.clone(), committer: who };
    let action = Action::SetModelTag {
        model: format!("m{}", n % models).parse().expect("a name"),
        key: "n".parse().expect("a key"),
        value: Text::new(&n.to_string()).expect("text"),
    };
    let options = ChangeOptions { relaxed: true, ..ChangeOptions::default() };
    let made = registry.change(&asker, &[action], now, &options).expect("a commit");
    made.commit.expect("something changed").to_string()
}
