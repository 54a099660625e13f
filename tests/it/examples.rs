//! The example registry is valid for our reader, a JSON Schema validator and an editor's checker. Each file of
//! `tests/toml/invalid` is refused with the rule and line that its first line names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use greenroom::apply::companions;
use greenroom::diff::diff;
use greenroom::entity::settings::Layout;
use greenroom::entity::{
    Access, AliasPointer, Comment, Model, Person, Request, Settings, StagePointer, Version, Webhook,
};
use greenroom::format::path::Location;
use greenroom::format::{EntityFile, FileKind, Problem, parse_strict, print};
use greenroom::name::UserName;
use greenroom::rules::{Actor, StepContext, judge};
use greenroom::snapshot::Snapshot;
use greenroom::tree::{CompareLimits, Memory};

use crate::schema::{WRITE, validator};
use crate::support::trees::{files, load};
use crate::support::{Sandbox, tools};

fn registry() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/registry")
}

fn invalid() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/toml/invalid")
}

fn faults<T: EntityFile>(path: &str, bytes: &[u8]) -> (Vec<Problem>, Option<String>) {
    let (value, problems) = parse_strict::<T>(path, bytes);
    (problems, value.as_ref().map(print))
}

/// Reads a file as the gate does: its faults, and its canonical form.
pub fn read(kind: FileKind, path: &str, bytes: &[u8]) -> (Vec<Problem>, Option<String>) {
    match kind {
        FileKind::Settings => faults::<Settings>(path, bytes),
        FileKind::Access => faults::<Access>(path, bytes),
        FileKind::Person => faults::<Person>(path, bytes),
        FileKind::Model => faults::<Model>(path, bytes),
        FileKind::Stage => faults::<StagePointer>(path, bytes),
        FileKind::Alias => faults::<AliasPointer>(path, bytes),
        FileKind::Version => faults::<Version>(path, bytes),
        FileKind::Request => faults::<Request>(path, bytes),
        FileKind::Comment => faults::<Comment>(path, bytes),
        FileKind::Webhook => faults::<Webhook>(path, bytes),
    }
}

/// The kind of the file at a path of a registry; `None` for other files.
fn kind_of(path: &str, layout: Layout) -> Option<FileKind> {
    match Location::parse(path, layout).unwrap_or_else(|e| panic!("{path}: {e}")) {
        Location::Settings => Some(FileKind::Settings),
        Location::Access | Location::ModelAccess(_) => Some(FileKind::Access),
        Location::Person(_) => Some(FileKind::Person),
        Location::Webhook(_) => Some(FileKind::Webhook),
        Location::Model(_) => Some(FileKind::Model),
        Location::Stage(..) => Some(FileKind::Stage),
        Location::Alias(..) => Some(FileKind::Alias),
        Location::Version(..) => Some(FileKind::Version),
        Location::Request(..) => Some(FileKind::Request),
        Location::Comment(..) => Some(FileKind::Comment),
        Location::Artifact(..) | Location::Attributes(..) | Location::Companion(_) => None,
    }
}

/// The files of a registry with their kinds and bytes.
fn records(folder: &Path, layout: Layout) -> Vec<(String, FileKind, Vec<u8>)> {
    let all = files(folder).into_iter();
    all.filter_map(|path| {
        let bytes = fs::read(folder.join(&path)).expect("the file is there");
        kind_of(&path, layout).map(|kind| (path, kind, bytes))
    })
    .collect()
}

/// A TOML text as the JSON that editors validate: dates are strings.
pub fn json(text: &str) -> Result<serde_json::Value, toml::de::Error> {
    fn convert(value: toml::Value) -> serde_json::Value {
        match value {
            toml::Value::Datetime(d) => d.to_string().into(),
            toml::Value::Array(a) => a.into_iter().map(convert).collect(),
            toml::Value::Table(t) => t.into_iter().map(|(k, v)| (k, convert(v))).collect(),
            toml::Value::String(s) => s.into(),
            toml::Value::Integer(i) => i.into(),
            toml::Value::Float(f) => f.into(),
            toml::Value::Boolean(b) => b.into(),
        }
    }
    text.parse::<toml::Table>().map(|t| convert(t.into()))
}

#[test]
fn the_example_has_every_kind_of_file_and_no_fault() {
    let mut kinds = BTreeSet::new();
    for (path, kind, bytes) in records(&registry(), Layout::Flat) {
        let (problems, canonical) = read(kind, &path, &bytes);
        assert_eq!(problems, [], "{path}");
        let canonical = canonical.expect("a file without faults has a value");
        assert_eq!(read(kind, &path, canonical.as_bytes()).1.as_ref(), Some(&canonical), "{path}");
        let value = json(std::str::from_utf8(&bytes).unwrap()).unwrap();
        let faults: Vec<String> = validator(kind).iter_errors(&value).map(|e| e.to_string()).collect();
        assert_eq!(faults, [""; 0], "{path}");
        kinds.insert(kind.as_str());
    }
    assert_eq!(kinds.len(), FileKind::ALL.len(), "{kinds:?}");
}

#[test]
fn the_example_as_a_whole_breaks_no_rule() {
    let store = Memory::default();
    let root = load(&store, &registry());
    let (before, after) = (Snapshot::new(&store, None, "").unwrap(), Snapshot::new(&store, root, "").unwrap());
    let diff = diff(&before, &after, CompareLimits::default()).unwrap();
    let actor = Actor::of(UserName::new("alice").unwrap());
    let at = "2026-03-04T00:00:00Z".parse().unwrap();
    let verdict = judge(&StepContext::new(&before, &after, &diff, &actor, at)).unwrap();
    let said: Vec<String> = verdict.faults.iter().map(|f| format!("{f} {}", f.problem.help)).collect();
    assert_eq!(said, [""; 0]);
}

#[test]
fn the_example_holds_what_init_writes_for_git_and_editors() {
    for (path, content) in companions() {
        let there = registry().join(&path);
        if std::env::var_os(WRITE).is_some() {
            fs::create_dir_all(there.parent().unwrap()).and_then(|()| fs::write(&there, &content)).unwrap();
        }
        let found = fs::read_to_string(&there).unwrap_or_default();
        assert!(found == content, "{path} is out of date: {WRITE}=1 cargo test --test it examples");
    }
}

/// Runs taplo's checker on a folder; returns its complaints.
fn taplo(folder: &Path) -> (bool, String) {
    let sandbox = Sandbox::new();
    let mut command = sandbox.alice().command(tools::taplo());
    let out = command.args(["lint", "--colors=never"]).current_dir(folder).output().expect("taplo runs");
    (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
}

#[test]
fn an_editors_checker_accepts_the_example() {
    let (passes, said) = taplo(&registry());
    assert!(passes, "{said}");
}

/// The expectation in the first line of an invalid file.
struct Expected {
    rule: String,
    line: usize,
    /// `schema`: a JSON Schema finds the fault. `syntax`: any TOML 1.0 parser finds it. `gate`: only greenroom finds
    /// it.
    seen: String,
}

impl Expected {
    fn of(path: &str, bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let first = text.lines().next().unwrap_or_default().trim_start_matches('\u{feff}');
        let mut parts = first.trim_start_matches("# ").split(", ");
        let rule = parts.next().unwrap_or_default().to_owned();
        let line = parts.next().and_then(|l| l.strip_prefix("line ")).and_then(|l| l.parse().ok());
        let seen = parts.next().unwrap_or_default().to_owned();
        assert!(matches!(&*seen, "schema" | "syntax" | "gate"), "{path}: by whom is it seen? '{first}'");
        Self { rule, line: line.unwrap_or_else(|| panic!("{path}: no line in '{first}'")), seen }
    }
}

/// The invalid files by path, kind and bytes.
fn invalid_files() -> Vec<(String, FileKind, Vec<u8>)> {
    let all = files(&invalid()).into_iter();
    all.map(|path| {
        let bytes = fs::read(invalid().join(&path)).expect("the file is there");
        let folder = path.split('/').next().unwrap_or_default();
        let kind =
            FileKind::ALL.into_iter().find(|k| k.as_str() == folder).unwrap_or_else(|| panic!("{path}: no kind"));
        (path, kind, bytes)
    })
    .collect()
}

#[test]
fn each_invalid_file_breaks_the_rule_that_it_names_at_its_line() {
    let all = invalid_files();
    assert!(all.len() >= 40, "only {} invalid files", all.len());
    let mut wrong = Vec::new();
    for (path, kind, bytes) in &all {
        let expected = Expected::of(path, bytes);
        let (problems, _) = read(*kind, path, bytes);
        if !problems.iter().any(|p| p.rule == expected.rule && p.line == expected.line) {
            wrong.push(format!("{path}: wants {} at {}, has {problems:#?}", expected.rule, expected.line));
        }
        let schema_sees = std::str::from_utf8(bytes).ok().and_then(|text| json(text).ok());
        let schema_sees = schema_sees.is_some_and(|value| !validator(*kind).is_valid(&value));
        if schema_sees != (expected.seen == "schema") {
            wrong.push(format!("{path}: the schema {}", if schema_sees { "sees it" } else { "does not see it" }));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_editors_checker_sees_what_a_schema_or_a_parser_can_see() {
    let sandbox = Sandbox::new();
    let mut config = String::new();
    for kind in FileKind::ALL {
        let name = kind.as_str();
        sandbox.write(format!("{name}.schema.json"), greenroom::format::schema::schema(kind));
        config.push_str(&format!(
            "[[rule]]\ninclude = [\"{name}/*.toml\"]\n[rule.schema]\npath = \"{name}.schema.json\"\n"
        ));
    }
    sandbox.write(".taplo.toml", config);
    // A file that is not UTF-8 would end the run before the other files.
    let readable: Vec<_> = invalid_files().into_iter().filter(|(_, _, b)| std::str::from_utf8(b).is_ok()).collect();
    for (path, _, bytes) in &readable {
        sandbox.write(path, bytes);
    }
    let (passes, said) = taplo(&sandbox.path(""));
    assert!(!passes, "{said}");
    for (path, _, bytes) in &readable {
        let wanted = Expected::of(path, bytes).seen != "gate";
        let found = said.contains(path.as_str());
        assert!(found || !wanted, "taplo does not see {path}\n{said}");
    }
}
