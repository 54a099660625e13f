//! The laws of the design, as properties of generated registries and actions.

mod generate;
mod merges;
mod model;

use std::cell::Cell;
use std::fmt::Debug;
use std::path::Path;
use std::rc::Rc;

use greenroom::action::Action;
use greenroom::apply::{Context, Refusal, apply};
use greenroom::diff::{Diff, diff};
use greenroom::entity::settings::Layout;
use greenroom::entity::{
    Access, AliasPointer, Comment, Model, PermissionLevel, Person, Request, Settings, StagePointer, Version, Webhook,
};
use greenroom::event::Event;
use greenroom::format::path::Location;
use greenroom::format::{EntityFile, canonical::canonical, edit::edit, parse, parse_strict, print};
use greenroom::name::UserName;
use greenroom::rules::{self, Actor, StepContext, Verdict, judge};
use greenroom::snapshot::Snapshot;
use greenroom::time::Timestamp;
use greenroom::tree::{CompareLimits, Memory, Objects, Oid, Patch, Stage, StageError, TreeEntry, TreeError};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::support::trees::{files, load};
use model::{State, Style};

/// The time of a step; each step is a little later.
fn moment(step: usize) -> Timestamp {
    Timestamp::from_millis(1_772_366_400_000 + i64::try_from(step).expect("few steps") * 60_000)
}

fn user(name: &str) -> UserName {
    UserName::new(name).expect("a person's id")
}

fn check<S: Strategy>(cases: u32, strategy: S, law: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases, max_shrink_iters: 400, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&strategy, law).unwrap_or_else(|e| panic!("{e}"));
}

// Law 1: printed files are read back; an edited file has the new value and keeps everything else.

/// A text as a person might write it: a comment before the first key, another at the end, and an unknown key.
fn by_hand(text: &str) -> String {
    format!("# The first line.\nhouse_rule = \"ours\" # with a note\n{text}\n# The last line.\n")
}

/// The same text with comments between its lines and careless spacing; a long string stays the same.
fn scrawled(text: &str) -> String {
    if text.contains("\"\"\"") || text.contains("'''") {
        return format!("# above\n\n\n{text}\n\n# below\n");
    }
    let line = |(i, line): (usize, &str)| match line.split_once(" = ") {
        Some((key, rest)) if !line.starts_with([' ', '"', '[', ']']) => {
            let behind = if rest.ends_with(['[', '{']) { String::new() } else { format!("   # behind {i}") };
            format!("\n# above {i}\n  {key}={rest}{behind}\n")
        }
        Some(_) | None => format!("{line}\n"),
    };
    format!("# above\n{}# below", text.lines().enumerate().map(line).collect::<String>())
}

/// Formatting keeps the meaning and every comment, and a second run changes nothing.
fn in_order<T: EntityFile + Debug>(value: &T) -> Result<(), TestCaseError> {
    let text = print(value);
    prop_assert_eq!(canonical::<T>("x", &text), Ok(text.clone()));
    let written = scrawled(&text);
    let once = canonical::<T>("x", &written).map_err(|e| TestCaseError::fail(format!("{e:?}\n{written}")))?;
    prop_assert_eq!(parse_strict::<T>("x", once.as_bytes()), (Some(value.clone()), vec![]), "{}", once);
    prop_assert_eq!(canonical::<T>("x", &once), Ok(once.clone()));
    for comment in
        written.lines().filter_map(|l| l.rsplit_once('#')).filter(|(_, c)| c.contains("above") || c.contains("behind"))
    {
        prop_assert!(once.contains(&format!("#{}", comment.1)), "{} is lost:\n{}\n->\n{}", comment.1, written, once);
    }
    prop_assert!(once.contains("# below"), "{}", once);
    Ok(())
}

/// What was put in order, with comments, stays so when it is edited.
fn stays_in_order<T: EntityFile + Debug>(a: &T, b: &T) -> Result<(), TestCaseError> {
    let failed = |e: Vec<greenroom::format::Problem>| TestCaseError::fail(format!("{e:?}"));
    let text = canonical::<T>("x", &format!("# The first line.\n{}# The last line.\n", print(a))).map_err(failed)?;
    let edited = edit(&text, a, b);
    prop_assert_eq!(canonical::<T>("x", &edited), Ok(edited.clone()), "{}\n->\n{}", text, edited);
    prop_assert_eq!(parse_strict::<T>("x", edited.as_bytes()), (Some(b.clone()), vec![]), "{}", edited);
    Ok(())
}

fn round_trip<T: EntityFile + Debug>(pair: impl Strategy<Value = T> + Clone) {
    check(200, (pair.clone(), pair), |(a, b)| {
        let text = print(&a);
        prop_assert_eq!(parse_strict::<T>("x", text.as_bytes()), (Some(a.clone()), vec![]), "{}", text);
        prop_assert_eq!(&edit(&text, &a, &a), &text);
        prop_assert_eq!(edit(&text, &a, &b), print(&b), "what greenroom wrote stays in its order");
        in_order(&a)?;
        stays_in_order(&a, &b)?;
        let written = by_hand(&text);
        let edited = edit(&written, &a, &b);
        let (value, problems) = parse::<T>("x", edited.as_bytes());
        prop_assert_eq!(value, Some(b), "{}\n->\n{}", written, edited);
        prop_assert!(problems.iter().all(|p| p.rule == "unknown-key"), "{:?}", problems);
        for kept in ["# The first line.\n", "house_rule = \"ours\" # with a note\n", "# The last line.\n"] {
            prop_assert!(edited.contains(kept), "{} is lost:\n{}\n->\n{}", kept, written, edited);
        }
        Ok(())
    });
}

#[test]
fn law_1_settings_and_access_are_read_as_printed() {
    round_trip(generate::settings().boxed());
    round_trip(generate::access().boxed());
    round_trip(generate::person().boxed());
}

#[test]
fn law_1_models_and_versions_are_read_as_printed() {
    round_trip(generate::model().boxed());
    round_trip(generate::version().boxed());
    round_trip(generate::stage_pointer().boxed());
    round_trip(generate::alias_pointer().boxed());
}

#[test]
fn law_1_requests_comments_and_webhooks_are_read_as_printed() {
    round_trip(generate::request().boxed());
    round_trip(generate::comment().boxed());
    round_trip(generate::webhook().boxed());
}

// Laws 2 and 3: events are the whole difference, and it is the requested one.

/// Applies an action in memory.
fn act(store: &dyn Stage, root: Option<Oid>, action: &Action, by: &str, step: usize) -> Result<Oid, Refusal> {
    let snapshot = Snapshot::new(objects(store), root, "").expect("a state in memory");
    let seed = Cell::new(u64::try_from(step).expect("few steps") << 8);
    let mut random = || {
        seed.set(seed.get() + 1);
        let mut bytes = [0; 10];
        bytes[2..].copy_from_slice(&seed.get().to_be_bytes());
        bytes
    };
    let (actor, now) = (user(by), moment(step));
    let (subject, may_enter) = (&rules::subject::subject, &rules::obstacles::may_enter);
    let is_approved = &rules::approvals::is_complete;
    let mut cx = Context { actor, now, random: &mut random, subject, may_enter, is_approved };
    let patch = apply(&snapshot, action, &mut cx)?;
    Ok(if patch.is_empty() {
        root.expect("only a registry changes nothing")
    } else {
        store.stage(root, &patch).expect("a tree")
    })
}

fn objects(store: &dyn Stage) -> &dyn Objects {
    store
}

/// The difference of two trees, and the verdict of the rules.
fn seen(store: &dyn Objects, before: Option<Oid>, after: Option<Oid>, by: &str, step: usize) -> (Diff, Verdict) {
    let before = Snapshot::new(store, before, "").expect("a state in memory");
    let after = Snapshot::new(store, after, "").expect("a state in memory");
    let diff = diff(&before, &after, CompareLimits::default()).expect("the trees are whole");
    let actor = Actor::of(user(by));
    let mut judged = StepContext::new(&before, &after, &diff, &actor, moment(step));
    // A real index never has the random ids of this test.
    judged.used = Some(rules::UsedIds::new());
    let verdict = judge(&judged).expect("the trees are whole");
    (diff, verdict)
}

fn state(store: &dyn Objects, root: Option<Oid>) -> State {
    State::read(&Snapshot::new(store, root, "").expect("a state in memory"))
}

/// An event in short: its name, model and version.
fn shown(events: &[Event]) -> Vec<String> {
    let one = |e: &Event| {
        let model = e.model().map_or(String::new(), |m| format!(" {m}"));
        format!("{}{model}{}", e.name(), e.version().map_or(String::new(), |v| format!("/{v}")))
    };
    let mut out: Vec<String> = events.iter().map(one).collect();
    out.sort();
    out
}

/// Demands that `greenroom fmt` would leave all files of a tree as they are.
fn in_canonical_form(store: &Memory, tree: Oid, at: &str) -> Result<(), TestCaseError> {
    fn form<T: EntityFile>(path: &str, text: &str) -> Result<String, Vec<greenroom::format::Problem>> {
        canonical::<T>(path, text)
    }
    for entry in store.tree(&tree).expect("a tree in memory").iter() {
        let path = format!("{at}{}", entry.name);
        if entry.kind == greenroom::tree::EntryKind::Tree {
            in_canonical_form(store, entry.id, &format!("{path}/"))?;
            continue;
        }
        let form = match Location::parse(&path, Layout::Flat) {
            Ok(Location::Settings) => form::<Settings>,
            Ok(Location::Access | Location::ModelAccess(_)) => form::<Access>,
            Ok(Location::Person(_)) => form::<Person>,
            Ok(Location::Webhook(_)) => form::<Webhook>,
            Ok(Location::Model(_)) => form::<Model>,
            Ok(Location::Stage(..)) => form::<StagePointer>,
            Ok(Location::Alias(..)) => form::<AliasPointer>,
            Ok(Location::Version(..)) => form::<Version>,
            Ok(Location::Request(..)) => form::<Request>,
            Ok(Location::Comment(..)) => form::<Comment>,
            Ok(Location::Artifact(..) | Location::Attributes(..) | Location::Companion(_)) | Err(_) => continue,
        };
        let bytes = store.blob(&entry.id, u64::MAX).expect("a file in memory");
        let text = String::from_utf8(bytes).expect("UTF-8");
        prop_assert_eq!(form(&path, &text), Ok(text.clone()), "{}", path);
    }
    Ok(())
}

#[test]
fn laws_2_and_3_what_is_asked_is_what_happens_and_events_tell_all_of_it() {
    check(400, proptest::collection::vec(any::<[u8; 4]>(), 1..60), |dice| {
        let store = Memory::default();
        let root = Some(act(&store, None, &model::founding(), "alice", 0).expect("a new registry"));
        let mut root = root;
        let mut now = state(&store, root);
        for (i, dice) in dice.into_iter().enumerate() {
            let step = i + 1;
            let action = model::action(&now, dice);
            let promised = model::promise(&now, &action, &user("alice"));
            let after = match (act(&store, root, &action, "alice", step), promised) {
                (Ok(after), Some(promised)) => {
                    let (diff, verdict) = seen(&store, root, Some(after), "alice", step);
                    prop_assert_eq!(shown(&diff.events), promised, "{:?}", action);
                    let mut told = now.clone();
                    diff.events.iter().for_each(|e| told.fold(e));
                    prop_assert_eq!(&told, &state(&store, Some(after)), "{:?}", action);
                    // A refused change is not committed.
                    if !verdict.passes() {
                        continue;
                    }
                    after
                }
                (Err(_), None) => continue,
                (Ok(_), None) => return Err(TestCaseError::fail(format!("not refused: {action:?}"))),
                (Err(e), Some(p)) => {
                    return Err(TestCaseError::fail(format!("refused: {action:?}: {e}; wanted {p:?}")));
                }
            };
            root = Some(after);
            now = state(&store, root);
        }
        in_canonical_form(&store, root.expect("a registry"), "")?;
        let (nothing, _) = seen(&store, root, root, "alice", 99);
        prop_assert_eq!(nothing.events, vec![]);
        let (all, verdict) = seen(&store, None, root, "alice", 99);
        prop_assert!(verdict.passes(), "{:?}", verdict);
        let mut told = State::default();
        all.events.iter().for_each(|e| told.fold(e));
        prop_assert_eq!(told, now);
        Ok(())
    });
}

// Law 4: the verdict depends on the states only, not on the text or the layout of files.

#[test]
fn law_4_the_verdict_is_the_same_however_the_state_is_written_and_laid_out() {
    let people = proptest::sample::select(vec!["alice", "bob", "dave"]);
    check(200, (proptest::collection::vec(any::<[u8; 4]>(), 4..40), people), |(dice, by)| {
        let store = Memory::default();
        let mut root = Some(act(&store, None, &model::founding(), "alice", 0).expect("a new registry"));
        for (i, dice) in dice.into_iter().enumerate() {
            let step = i + 1;
            let before = state(&store, root);
            // A manager creates things for people with fewer permissions to act on.
            let by = if i % 2 == 0 { "alice" } else { by };
            let Ok(after) = act(&store, root, &model::action(&before, dice), by, step) else { continue };
            let wanted = seen(&store, root, Some(after), by, step);
            for style in [Style::Canonical(Layout::Flat), Style::ByHand, Style::Canonical(Layout::Sharded)] {
                let (old, new) = (before.tree(&store, style), state(&store, Some(after)).tree(&store, style));
                let found = seen(&store, Some(old), Some(new), by, step);
                // Files beside the data, such as .gitattributes, are in neither rebuilt state.
                prop_assert_eq!(shown(&found.0.events), shown(&wanted.0.events), "{:?}", style);
                prop_assert_eq!(broken(&found.1), broken(&wanted.1), "{:?}", style);
            }
            if wanted.1.passes() {
                root = Some(after);
            }
        }
        // The same state in the other layout has no events, and only a manager may commit it.
        let flat = state(&store, root).tree(&store, Style::Canonical(Layout::Flat));
        let sharded = act(&store, Some(flat), &Action::Reshard { layout: Layout::Sharded }, by, 98).expect("it moves");
        let (moved, verdict) = seen(&store, Some(flat), Some(sharded), by, 98);
        prop_assert_eq!(moved.events, vec![]);
        let manages = Snapshot::new(&store, Some(flat), "").and_then(|s| s.registry_level(&user(by)));
        prop_assert_eq!(
            verdict.passes(),
            manages.expect("readable") == Some(PermissionLevel::CanManage),
            "{:?}",
            verdict
        );
        prop_assert_eq!(state(&store, Some(sharded)).tree(&store, Style::Canonical(Layout::Flat)), flat);
        let back = act(&store, Some(sharded), &Action::Reshard { layout: Layout::Flat }, by, 98).expect("it moves");
        prop_assert_eq!(state(&store, Some(back)), state(&store, Some(flat)));
        Ok(())
    });
}

/// The broken rules with their messages; paths differ with the layout.
fn broken(verdict: &Verdict) -> Vec<(&'static str, String)> {
    let mut out: Vec<_> = verdict.faults.iter().map(|f| (f.problem.rule, f.problem.message.clone())).collect();
    out.sort();
    out
}

// Law 5: the cost follows the size of the change.

/// Counts the reads from a store.
struct Counting<'m> {
    store: &'m Memory,
    reads: Cell<usize>,
}

impl Objects for Counting<'_> {
    fn tree(&self, id: &Oid) -> Result<Rc<[TreeEntry]>, TreeError> {
        self.reads.set(self.reads.get() + 1);
        self.store.tree(id)
    }

    fn blob(&self, id: &Oid, max: u64) -> Result<Vec<u8>, TreeError> {
        self.reads.set(self.reads.get() + 1);
        self.store.blob(id, max)
    }
}

impl Stage for Counting<'_> {
    fn stage(&self, root: Option<Oid>, patch: &Patch) -> Result<Oid, StageError> {
        self.store.stage(root, patch)
    }
}

#[test]
fn law_5_a_change_of_one_version_reads_as_much_in_a_large_registry_as_in_a_small_one() {
    let cost = |models: usize| -> Vec<usize> {
        let store = Memory::default();
        let root = State::many(models).tree(&store, Style::Canonical(Layout::Sharded));
        let counting = Counting { store: &store, reads: Cell::new(0) };
        let mut reads = Vec::new();
        for (i, action) in model::small_changes().iter().enumerate() {
            let before = counting.reads.get();
            let after = act(&counting, Some(root), action, "alice", i + 1).expect("it can be done");
            let (diff, verdict) = seen(&counting, Some(root), Some(after), "alice", i + 1);
            assert!(!diff.events.is_empty() && verdict.passes(), "{action:?}: {verdict:?}");
            reads.push(counting.reads.get() - before);
        }
        reads
    };
    let (small, large) = (cost(100), cost(3_000));
    for (i, (small, large)) in small.iter().zip(&large).enumerate() {
        let action = &model::small_changes()[i];
        assert!(small.abs_diff(*large) <= 8, "{small} reads with 100 models, {large} with 3,000: {action:?}");
        assert!(*large < 200, "{large} reads: {action:?}");
    }
}

// Law 9: an id is never used twice.

#[test]
fn law_9_an_id_that_was_used_is_never_new_again() {
    check(100, (proptest::collection::vec(any::<[u8; 4]>(), 4..40), any::<prop::sample::Index>()), |(dice, taken)| {
        let store = Memory::default();
        let mut root = Some(act(&store, None, &model::founding(), "alice", 0).expect("a new registry"));
        let mut used = rules::UsedIds::new();
        let mut note = |events: &[Event], step: usize| -> Result<(), TestCaseError> {
            for id in events.iter().filter_map(Event::new_id) {
                prop_assert!(id.millis().is_some(), "{id} is of version 7");
                prop_assert!(used.insert(id.clone(), format!("step {step}")).is_none(), "{id} is made twice");
            }
            Ok(())
        };
        note(&seen(&store, None, root, "alice", 0).0.events, 0)?;
        for (i, dice) in dice.into_iter().enumerate() {
            let step = i + 1;
            let action = model::action(&state(&store, root), dice);
            let Ok(after) = act(&store, root, &action, "alice", step) else { continue };
            let (diff, verdict) = seen(&store, root, Some(after), "alice", step);
            if verdict.passes() {
                note(&diff.events, step)?;
                root = Some(after);
            }
        }
        // Whatever the id belonged to, and whether that still exists: a model of another name cannot have it.
        let ids: Vec<_> = used.keys().cloned().collect();
        let id = &ids[taken.index(ids.len())];
        let at = Timestamp::from_millis(id.millis().expect("of version 7"));
        let text = format!("id = \"{id}\"\nname = \"taken\"\ncreated_at = {at}\ncreated_by = \"alice\"\n");
        let mut patch = Patch::default();
        let folder = Snapshot::new(&store, root, "").and_then(|s| s.paths()).expect("readable");
        let name = "taken".parse().expect("a name");
        patch.write(format!("{}/model.toml", folder.model(&name)), text);
        let forged = store.stage(root, &patch).expect("a tree in memory");
        let before = Snapshot::new(&store, root, "").expect("a state in memory");
        let after = Snapshot::new(&store, Some(forged), "").expect("a state in memory");
        let diff = diff(&before, &after, CompareLimits::default()).expect("the trees are whole");
        let actor = Actor::of(user("alice"));
        let breaks = |known: Option<rules::UsedIds>| {
            let mut step = StepContext::new(&before, &after, &diff, &actor, moment(99));
            step.used = known;
            let verdict = judge(&step).expect("the trees are whole");
            verdict.faults.iter().any(|f| f.problem.rule == "id")
        };
        prop_assert!(breaks(Some(used.clone())), "{id} is known to the history");
        // Without a history, the rule asks the state before.
        let nothing = Snapshot::new(&store, None, "").expect("a state in memory");
        let there = greenroom::diff::diff(&nothing, &before, CompareLimits::default()).expect("the trees are whole");
        let is_there = there.events.iter().filter_map(Event::new_id).any(|known| known == id);
        prop_assert_eq!(breaks(None), is_there);
        Ok(())
    });
}

// Law 6: one bad file hides nothing else.

#[test]
fn law_6_one_bad_file_hides_nothing_else() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/registry");
    let all: Vec<String> = files(&folder).into_iter().filter(|p| p.ends_with(".toml") && !p.starts_with('.')).collect();
    let garbage =
        proptest::sample::select(vec!["\u{0}", "= = =\n", "typo_key = [1]\n", "\"\"\"", "[[[[[[", "\u{202e}"]);
    check(400, (proptest::sample::select(all), any::<prop::sample::Index>(), garbage), |(path, at, garbage)| {
        let store = Memory::default();
        let good = load(&store, &folder);
        let text = std::fs::read_to_string(folder.join(&path)).expect("the file is there");
        let breaks: Vec<usize> = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        let at = breaks[at.index(breaks.len())];
        // Within a multi-line string only a single character can be wrong.
        let garbage = if text.contains("\"\"\"") { "\u{202e}" } else { garbage };
        let mut patch = Patch::default();
        patch.write(path.clone(), [&text[..at], garbage, &text[at..]].concat());
        let bad = store.stage(good, &patch).expect("a tree in memory");
        let (before, after) = (model::read_all(&store, good), model::read_all(&store, Some(bad)));
        for (other, value) in before.iter().filter(|(p, _)| **p != path) {
            prop_assert_eq!(after.get(other), Some(value), "{} with {} broken", other, path);
        }
        let (_, verdict) = seen(&store, good, Some(bad), "alice", 9_999);
        let named = verdict.faults.iter().any(|f| f.problem.path == path && f.problem.line > 0);
        prop_assert!(named, "{} at {}: {:?}", path, at, verdict);
        Ok(())
    });
}
