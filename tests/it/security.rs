//! `tests/security.toml`, the list of requirements and their tests, is complete and true.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A requirement in the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Requirement {
    /// The requirement, in a sentence.
    rule: String,
    /// The tests that fail without it.
    #[serde(default)]
    tests: Vec<String>,
    /// The issue that will add a missing test or feature.
    not_yet: Option<String>,
}

/// The first and last number of each range of ids.
const IDS: &[(&str, u32, u32)] = &[("SEC", 1, 28), ("SEC", 30, 50), ("SEC", 60, 67), ("SEC", 70, 78), ("REL", 1, 22)];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn requirements() -> BTreeMap<String, Requirement> {
    toml::from_str(&read("tests/security.toml")).expect("tests/security.toml is a list of requirements")
}

/// The names of all tests, in the list's notation.
fn existing() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (folder, prefix) in [("src", "lib"), ("tests/it", "it")] {
        let base = root().join(folder);
        for file in rust_files(&base) {
            let inner = file.strip_prefix(&base).expect("below its folder").with_extension("");
            let mut module: Vec<&str> = inner.iter().map(|part| part.to_str().expect("UTF-8")).collect();
            module.retain(|part| !["mod", "lib", "main"].contains(part));
            names.extend(tests_in(&fs::read_to_string(&file).expect("a source file"), &[&[prefix], &*module].concat()));
        }
    }
    for case in fs::read_dir(root().join("tests/cases")).expect("the cases") {
        names.insert(format!("case::{}", case.expect("a folder").file_name().to_str().expect("UTF-8")));
    }
    names
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = entries.map(|e| e.expect("an entry").path());
    let below = |path: PathBuf| if path.is_dir() { rust_files(&path) } else { vec![path] };
    paths.flat_map(below).filter(|p| p.extension().is_some_and(|e| e == "rs")).collect()
}

/// The tests of a file; indented ones are in a nested module, which is always `tests`.
fn tests_in(text: &str, module: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[test]" {
            continue;
        }
        let inner = line.starts_with(' ') && text.contains("\nmod tests {");
        let name = lines.by_ref().find_map(|l| l.trim().strip_prefix("fn ")).and_then(|l| l.split_once('('));
        let Some((name, _)) = name else { break };
        let path = module.iter().copied().chain(inner.then_some("tests")).chain([name]);
        found.push(path.collect::<Vec<_>>().join("::"));
    }
    found
}

#[test]
fn every_requirement_is_in_the_list_and_no_other() {
    let wanted: BTreeSet<String> =
        IDS.iter().flat_map(|(kind, first, last)| (*first..=*last).map(move |n| format!("{kind}-{n:02}"))).collect();
    let listed: BTreeSet<String> = requirements().into_keys().collect();
    assert_eq!(listed, wanted);
}

#[test]
fn every_requirement_has_tests_or_says_what_brings_them() {
    for (id, requirement) in requirements() {
        assert!(requirement.rule.ends_with('.'), "{id}: {}", requirement.rule);
        match &requirement.not_yet {
            None => assert!(!requirement.tests.is_empty(), "{id} has no test"),
            Some(why) => {
                let number = why.strip_prefix("issue ").map(|s| s.split(':').next().unwrap_or_default());
                assert!(number.is_some_and(|n| n.parse::<u32>().is_ok()), "{id}: {why:?} names no issue");
            }
        }
    }
}

#[test]
fn every_test_in_the_list_exists_and_is_named_once() {
    let existing = existing();
    for (id, requirement) in requirements() {
        let mut seen = BTreeSet::new();
        for test in &requirement.tests {
            assert!(existing.contains(test), "{id}: there is no test {test}");
            assert!(seen.insert(test), "{id} names {test} twice");
        }
    }
}

#[test]
fn tests_are_found_where_they_are() {
    let text = "#[test]\nfn outer() {}\n#[cfg(test)]\nmod tests {\n    #[test]\n    #[ignore]\n    fn inner(a in b()) {}\n    fn no_test() {}\n}\n";
    assert_eq!(tests_in(text, &["lib", "a"]), ["lib::a::outer", "lib::a::tests::inner"]);
    assert!(existing().contains("it::security::tests_are_found_where_they_are"));
}

/// The oldest versions without a known vulnerability, and with detection of SHA-1 collisions (RustSec, August 2026).
const OLDEST: &[(&str, [u32; 3])] = &[
    ("gix-attributes", [0, 22, 3]),
    ("gix-date", [0, 12, 0]),
    ("gix-features", [0, 41, 0]),
    ("gix-fs", [0, 21, 1]),
    ("gix-index", [0, 33, 0]),
    ("gix-path", [0, 10, 11]),
    ("gix-ref", [0, 44, 0]),
    ("gix-worktree", [0, 34, 0]),
    ("gix-worktree-state", [0, 17, 0]),
    ("h2", [0, 4, 16]),
    ("lettre", [0, 11, 22]),
    ("rustls-webpki", [0, 103, 13]),
    ("time", [0, 3, 47]),
    ("tokio", [1, 44, 2]),
];

#[test]
fn the_crates_that_read_git_are_new_enough() {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: String,
    }
    let lock: Lock = toml::from_str(&read("Cargo.lock")).expect("a lock file");
    // The SHA-1 implementation that detects collisions.
    assert!(lock.package.iter().any(|p| p.name == "sha1dc"));
    for Package { name, version } in lock.package {
        let Some((_, oldest)) = OLDEST.iter().find(|(n, _)| *n == name) else { continue };
        let numbers = version.split(['.', '-', '+']).take(3).map(|n| n.parse().expect("a number"));
        let numbers: Vec<u32> = numbers.collect();
        assert!(numbers.as_slice() >= oldest.as_slice(), "{name} {version} is older than {oldest:?}");
    }
}

#[test]
fn no_unsafe_code_is_allowed() {
    let manifest: toml::Table = toml::from_str(&read("Cargo.toml")).expect("a manifest");
    assert_eq!(manifest["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
}
