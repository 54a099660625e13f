//! Case folders: the events between two trees, and the faults that the rules find in them.
//!
//! `tests/cases/<name>/case.toml` names the committer, the time, and the expected events and faults. The state before
//! is `tests/cases/base` with the files of `before/` laid over it. The state after is the state before, without the
//! paths of `remove`, and with `after/` laid over it. In the files of `after/`, `{subject MODEL VERSION STAGE}` stands
//! for the subject of a review in the state before.
//!
//! `GREENROOM_CASE=name` judges only that case.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use greenroom::diff::diff;
use greenroom::entity::Person;
use greenroom::event::Event;
use greenroom::name::{ModelName, UserName};
use greenroom::rules::subject::subject;
use greenroom::rules::{Actor, BranchCommit, Proposal, RULES, StepContext, judge};
use greenroom::snapshot::Snapshot;
use greenroom::text::Text;
use greenroom::time::Timestamp;
use greenroom::tree::{CompareLimits, EntryKind, Memory, Objects as _, Oid, Patch, Stage as _};
use serde::Deserialize;

use crate::schema::WRITE;
use crate::support::trees::files;

/// The default time of a case.
const AT: &str = "2026-03-10T12:00:00.000Z";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// The topic of the case, in a sentence.
    about: String,
    /// The committer.
    actor: String,
    /// The author of the commit, if that is another person than the committer.
    author: Option<String>,
    /// Whether the author is proven.
    #[serde(default)]
    vouched: bool,
    /// The authors of the merged branch; the last one made all its changes.
    #[serde(default)]
    proposed_by: Vec<String>,
    /// Whether only the author fields of the branch's commits name these authors.
    #[serde(default)]
    unproven: bool,
    /// Whether the branch already had this state at its start, and changed nothing.
    #[serde(default)]
    stale: bool,
    /// The folder, beside `after`, of files that differ between the branch and the merge.
    #[serde(default)]
    proposal: Option<String>,
    /// The e-mail address of each removed person, by the person's former id.
    #[serde(default)]
    former: BTreeMap<String, String>,
    at: Option<toml::value::Datetime>,
    /// Removed files, or folders with all their files.
    #[serde(default)]
    remove: Vec<String>,
    /// Symbolic links in the state after, by path.
    #[serde(default)]
    links: BTreeMap<String, String>,
    /// Submodules in the state after.
    #[serde(default)]
    submodules: Vec<String>,
    /// Files of the given size in bytes in the state after.
    #[serde(default)]
    sizes: BTreeMap<String, usize>,
    /// The folder of the registry in the state after, if the case moves it.
    #[serde(default)]
    moved_to: Option<String>,
    /// Files that stay in the old folder of a moved registry.
    #[serde(default)]
    left: Vec<String>,
    /// The rules that a passing case demonstrates.
    #[serde(default)]
    shows: Vec<String>,
    /// The expected events: name, model and version.
    events: Vec<String>,
    /// The expected faults: rule, path and line.
    faults: Vec<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

fn names() -> Vec<String> {
    let all = fs::read_dir(folder()).expect("tests/cases is there").map(|e| e.expect("it can be read").file_name());
    let mut names: Vec<String> = all.map(|n| n.into_string().expect("UTF-8")).filter(|n| n != "base").collect();
    names.sort();
    names
}

fn case(name: &str) -> Case {
    let path = folder().join(name).join("case.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Lays the files of a folder over a tree; without such a folder the tree stays the same.
fn lay_over(store: &Memory, root: Option<Oid>, folder: &Path, patch: &mut Patch) -> Oid {
    if folder.exists() {
        for path in files(folder) {
            let bytes = fs::read(folder.join(&path)).expect("the file can be read");
            patch.write(path, bytes);
        }
    }
    store.stage(root, patch).expect("a tree in memory")
}

/// Lays files over a tree; `{subject MODEL VERSION STAGE}` in a file stands for that subject in the state `seen`.
fn lay_reviewed(store: &Memory, root: Oid, seen: Oid, folder: &Path, patch: &mut Patch) -> Oid {
    const MARK: &str = "{subject ";
    let state = Snapshot::new(store, Some(seen), "").expect("a state");
    for path in if folder.exists() { files(folder) } else { Vec::new() } {
        let text = fs::read(folder.join(&path)).expect("the file can be read");
        let Some(mut text) = String::from_utf8(text).ok().filter(|t| t.contains(MARK)) else { continue };
        while let Some(start) = text.find(MARK) {
            let end = start + text[start..].find('}').expect("the mark ends");
            let mut words = text[start + MARK.len()..end].split(' ').map(str::to_owned);
            let mut word = || words.next().expect("a model, a version and a stage");
            let model = state.model(&ModelName::new(word()).expect("a name")).expect("readable").expect("a model");
            let (number, stage) = (word().parse().expect("a number"), word().parse().expect("a stage"));
            let digest = subject(&state, &model, number, &stage).expect("readable").current;
            text.replace_range(start..=end, digest.as_str());
        }
        patch.write(path, text);
    }
    store.stage(Some(root), patch).expect("a tree in memory")
}

impl Case {
    /// The state before and the state after.
    fn trees(&self, store: &Memory, name: &str) -> (Oid, Oid) {
        let base = lay_over(store, None, &folder().join("base"), &mut Patch::default());
        let before = lay_over(store, Some(base), &folder().join(name).join("before"), &mut Patch::default());
        let mut gone = Patch::default();
        self.remove.iter().for_each(|path| gone.remove(path.clone()));
        let rest = store.stage(Some(before), &gone).expect("a tree in memory");
        let mut patch = Patch::default();
        for (path, target) in &self.links {
            patch.link(path.clone(), EntryKind::Symlink, store.put_blob(target.as_bytes()));
        }
        for path in &self.submodules {
            patch.link(path.clone(), EntryKind::Submodule, store.put_blob(b"a commit elsewhere"));
        }
        for (path, size) in &self.sizes {
            patch.write(path.clone(), vec![b'#'; *size]);
        }
        let after = lay_over(store, Some(rest), &folder().join(name).join("after"), &mut patch);
        let marked = folder().join(name).join("after");
        let after = lay_reviewed(store, after, before, &marked, &mut Patch::default());
        (before, self.moved(store, after))
    }

    /// The root tree that holds the state in its new folder.
    fn moved(&self, store: &Memory, state: Oid) -> Oid {
        let Some(folder) = &self.moved_to else { return state };
        let mut patch = Patch::default();
        patch.link(folder.clone(), EntryKind::Tree, state);
        for entry in store.tree(&state).expect("a tree in memory").iter().filter(|e| self.left.contains(&e.name)) {
            patch.link(entry.name.clone(), entry.kind, entry.id);
        }
        store.stage(None, &patch).expect("a tree in memory")
    }

    /// The merged branch.
    fn branch<'s>(&self, store: &'s Memory, name: &str, before: &Snapshot<'s>, after: &Snapshot<'s>) -> Proposal<'s> {
        let tip = match &self.proposal {
            Some(other) => lay_over(store, after.root(), &folder().join(name).join(other), &mut Patch::default()),
            None => after.root().expect("a registry"),
        };
        let base = if self.stale { tip } else { before.root().expect("a registry") };
        let last = self.proposed_by.len() - 1;
        let commit = |(number, author): (usize, &String)| BranchCommit {
            author: Some(UserName::new(author.clone()).expect("a person's id")),
            is_proven: !self.unproven,
            parents: vec![base],
            tree: if number == last { tip } else { base },
        };
        let state = |root| Snapshot::new(store, Some(root), "").expect("a state");
        Proposal::new(state(base), state(tip), self.proposed_by.iter().enumerate().map(commit).collect())
    }

    /// The actual events and faults.
    fn found(&self, name: &str) -> (Vec<String>, Vec<String>) {
        let store = Memory::default();
        let (before, after) = self.trees(&store, name);
        let before = Snapshot::new(&store, Some(before), "").expect("a state");
        let folder = self.moved_to.as_ref().map_or_else(String::new, |folder| format!("{folder}/"));
        let after = Snapshot::new(&store, Some(after), &folder).expect("a state");
        let diff = diff(&before, &after, CompareLimits::default()).expect("the trees are whole");
        let user = |s: &String| UserName::new(s.clone()).expect("a person's id");
        let authors: BTreeSet<UserName> = self.author.iter().map(user).collect();
        let proven_authors = if self.vouched { authors.clone() } else { BTreeSet::new() };
        let actor = Actor { authors, proven_authors, ..Actor::of(user(&self.actor)) };
        let at = self.at.map_or_else(|| AT.to_owned(), |t| t.to_string());
        let at: Timestamp = at.parse().expect("a time");
        let proposal = (!self.proposed_by.is_empty()).then(|| self.branch(&store, name, &before, &after));
        let mut step = StepContext::new(&before, &after, &diff, &actor, at);
        step.proposal = proposal.as_ref();
        let former = |email: &String| {
            let email = Text::new(email).expect("an e-mail address");
            Some(Person { emails: BTreeSet::from([email]), ..Person::default() })
        };
        step.former.files =
            self.former.iter().map(|(user, email)| (user.parse().expect("an id"), former(email))).collect();
        let verdict = judge(&step).expect("the trees are whole");
        let faults = verdict.faults.iter().map(|f| {
            assert!(!f.problem.message.is_empty());
            let line = if f.problem.line > 0 { format!(":{}", f.problem.line) } else { String::new() };
            format!("{} {}{line}", f.problem.rule, f.problem.path)
        });
        (diff.events.iter().map(shown).collect(), faults.collect())
    }
}

/// An event in short: its name, model and version.
fn shown(event: &Event) -> String {
    match (event.model(), event.version()) {
        (Some(model), Some(version)) => format!("{} {model}/{version}", event.name()),
        (Some(model), None) => format!("{} {model}", event.name()),
        (None, _) => event.name().to_owned(),
    }
}

/// Writes the actual events and faults into the case's file, for the author of a new case to check before the commit.
fn write_down(name: &str, events: &[String], faults: &[String]) {
    let path = folder().join(name).join("case.toml");
    let mut doc: toml_edit::DocumentMut = fs::read_to_string(&path).unwrap().parse().unwrap();
    doc["events"] = toml_edit::value(events.iter().collect::<toml_edit::Array>());
    doc["faults"] = toml_edit::value(faults.iter().collect::<toml_edit::Array>());
    fs::write(&path, doc.to_string()).unwrap();
}

#[test]
fn each_case_has_its_events_and_its_verdict() {
    let mut wrong = Vec::new();
    let only = std::env::var("GREENROOM_CASE").unwrap_or_default();
    let chosen: Vec<String> = names().into_iter().filter(|name| only.is_empty() || *name == only).collect();
    assert!(!chosen.is_empty(), "tests/cases has no folder {only}");
    for name in chosen {
        let case = case(&name);
        let (events, faults) = case.found(&name);
        if std::env::var_os(WRITE).is_some() {
            write_down(&name, &events, &faults);
        } else if events != case.events || faults != case.faults {
            wrong.push(format!("{name} ({}): {events:#?} {faults:#?}", case.about));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_has_a_case_that_passes_and_one_that_fails() {
    let (mut shown, mut broken) = (BTreeSet::new(), BTreeSet::new());
    for name in names() {
        let case = case(&name);
        assert!(case.faults.is_empty() || case.shows.is_empty(), "{name} passes no rule, for it fails");
        broken.extend(case.faults.iter().filter_map(|f| f.split(' ').next()).map(str::to_owned));
        shown.extend(case.shows);
    }
    for rule in RULES {
        assert!(shown.contains(rule.name), "no case shows that {} can be kept", rule.name);
        assert!(broken.contains(rule.name), "no case breaks {}", rule.name);
    }
    let known: BTreeSet<&str> = RULES.iter().map(|r| r.name).collect();
    assert!(shown.iter().all(|s| known.contains(s.as_str())), "{shown:?}");
}
