//! The rules of the source tree that a compiler does not check: layers, places of crates, sizes, leftovers.

mod architecture;
mod circles;
mod layers;
mod rust;
mod text;
mod words;

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use layers::{Layers, Place};

/// The modules that may name each external crate. A dependency without a row here fails a test, so that each use is
/// decided here. The rows below the gap wait for their dependency.
const PLACES: &[Place] = &[
    ("aes_gcm", Some(&["secrets"])),
    ("anstream", Some(&["cli", "main"])),
    ("anstyle", Some(&["cli", "main"])),
    ("axum", Some(&["server"])),
    ("base64", None),
    ("clap", Some(&["cli", "main"])),
    ("clap_complete", Some(&["cli"])),
    ("clap_mangen", Some(&["cli"])),
    ("crc32fast", Some(&["index", "outbox", "watch"])),
    ("getrandom", Some(&["deliver", "registry", "secrets", "server"])),
    ("gix", Some(&["git"])),
    ("hyper", Some(&["server"])),
    ("hyper_util", Some(&["server"])),
    ("ignore", Some(&["artifact"])),
    ("indicatif", Some(&["cli"])),
    ("jiff", Some(&["cli", "time"])),
    ("pgp", Some(&["signature"])),
    ("postcard", Some(&["index"])),
    ("rustix", Some(&["artifact", "git", "index", "outbox", "server"])),
    ("schemars", None),
    ("serde", None),
    ("serde_json", None),
    ("serde_saphyr", Some(&["artifact"])),
    ("sha2", None),
    ("ssh_key", Some(&["signature"])),
    ("strsim", Some(&["cli"])),
    (
        "tempfile",
        Some(&[
            "artifact",
            "cli",
            "deliver",
            "gate",
            "git",
            "hook",
            "index",
            "outbox",
            "private_file",
            "secrets",
            "server",
            "shared",
        ]),
    ),
    ("thiserror", None),
    ("tokio", Some(&["server"])),
    ("toml", Some(&["format", "secrets", "server"])),
    ("toml_edit", Some(&["format"])),
    ("unicode_normalization", None),
    ("unicode_width", Some(&["cli"])),
    ("uuid", Some(&["name"])),
    ("hmac", Some(&["deliver", "server"])),
    ("lettre", Some(&["deliver"])),
    ("notify", Some(&["watch"])),
    ("ureq", Some(&["artifact", "deliver"])),
];

/// The items that modules above `git` may not name: disk, environment, processes, network, clock, random numbers,
/// terminal.
const OUTSIDE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net",
    "std::os",
    "std::process",
    "Instant::now",
    "SystemTime::now",
    "TimeZone::system",
    "Timestamp::now",
    "Zoned::now",
    "Uuid::now_v7",
    "Uuid::new_v4",
];

/// Circles of files within a folder that may stay, each with its reason.
const CIRCLES: &[circles::Reason] = &[
    (
        &["src/artifact/guarded.rs", "src/artifact/walk.rs"],
        "a walk stays within its root, and a guarded folder is the root of a walk",
    ),
    (
        &["src/rules/source_disguise.rs", "src/rules/sources.rs"],
        "one judgement of a URI in two files: plain and disguised credentials",
    ),
    (
        &["src/rules/access.rs", "src/rules/alias.rs", "src/rules/merge.rs", "src/rules/rewrite.rs"],
        "a permission may depend on an alias rule, and that rule on the managers of the model",
    ),
    (
        &["src/rules/approvals.rs", "src/rules/leaving.rs", "src/rules/making_way.rs", "src/rules/stage.rs"],
        "one judgement of a transition in four files: entering, leaving, archiving beside it, and the count of approvals",
    ),
    (
        &["src/server/api/greenroom_api/feed.rs", "src/server/api/greenroom_api/stream.rs"],
        "one endpoint in two files: a page of events, or a stream of them",
    ),
    (
        &["src/watch/channels.rs", "src/watch/judge.rs", "src/watch/run.rs"],
        "the runner of the watcher has its methods in three files",
    ),
    (
        &["src/gate/ids.rs", "src/gate/judge.rs", "src/gate/pushed_files.rs"],
        "the judgement of a step carries the used ids and the files that arrive",
    ),
    (
        &["src/gate/branch_start.rs", "src/gate/lost.rs", "src/gate/push.rs"],
        "the first push of a branch, and a push of lost commits, are pushes",
    ),
    (&["src/cli/people/notifications.rs", "src/cli/people/notifications_test.rs"], "one command in two files"),
    (
        &["src/deliver/mail/approval_prompt.rs", "src/deliver/mail/draft.rs"],
        "a draft may hold a prompt, which is written with the words of drafts",
    ),
    (
        &["src/index/build.rs", "src/index/head.rs", "src/index/history.rs", "src/index/ids.rs", "src/index/update.rs"],
        "the parts of a loaded index read each other",
    ),
];

/// The largest number of packages in Cargo.lock; a higher number is a decision, made here.
const PACKAGES: usize = 500;

/// A breach of a rule, at a line counted from 1.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fault {
    path: String,
    line: usize,
    say: String,
}

impl Fault {
    fn new(path: &str, line: usize, say: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, say: say.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.say)
    }
}

/// A text file by its path from the root of the package, with `/`.
#[derive(Debug, Clone)]
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The top-level module of the file; `None` for the roots of the library and of the program.
    fn module(&self) -> Option<&str> {
        let inner = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let module = inner.split('/').next()?;
        Some(module).filter(|m| !["lib", "main", "bin"].contains(m))
    }

    /// The number of `super` that lead from its items to the root of the crate.
    fn depth(&self) -> usize {
        self.path.trim_end_matches("/mod.rs").split('/').count() - 1
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The Rust files of a folder and its subfolders.
fn rust_files(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).unwrap_or_else(|e| panic!("{folder}: {e}")) {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.extend(rust_files(&path));
        } else if path.ends_with(".rs") {
            found.push(Source::new(&path, &read(&path)));
        }
    }
    found
}

/// The text files that git tracks or would track.
fn committed_texts() -> Vec<Source> {
    let git = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let out = Command::new("git").args(git).current_dir(root()).output().expect("git runs");
    assert!(out.status.success(), "git ls-files: {}", String::from_utf8_lossy(&out.stderr));
    let paths = String::from_utf8(out.stdout).expect("paths are UTF-8");
    let text = |path: &str| String::from_utf8(fs::read(root().join(path)).ok()?).ok();
    let found: Vec<_> = paths.split_terminator('\0').filter_map(|p| Some(Source::new(p, &text(p)?))).collect();
    assert!(found.iter().any(|s| s.path == "Cargo.toml"), "git lists the files of another folder");
    found
}

#[track_caller]
fn settle(mut faults: Vec<Fault>) {
    faults.sort();
    faults.dedup();
    let list: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), list.join("\n"));
}

#[test]
fn modules_name_only_the_layers_above_their_own() {
    let (layers, mut faults) = Layers::read(&read("src/lib.rs"));
    faults.extend(layers.judge(&rust_files("src")));
    settle(faults);
}

#[test]
fn files_of_different_folders_form_no_circle() {
    settle(circles::judge(&rust_files("src"), CIRCLES));
}

#[test]
fn outside_crates_stay_in_their_places() {
    let mut faults = layers::judge_dependencies(&read("Cargo.toml"), PLACES);
    faults.extend(layers::judge_places(&rust_files("src"), PLACES));
    settle(faults);
}

/// Functions that are one exhaustive match over the events, one row each: a split would need a wildcard arm.
const TABLES: &[&str] = &["act", "needs", "path_of"];

#[test]
fn the_core_is_pure() {
    let (layers, _) = Layers::read(&read("src/lib.rs"));
    settle(layers.judge_purity(&rust_files("src"), OUTSIDE));
}

#[test]
fn files_and_functions_are_short_and_say_what_they_are() {
    let sources = rust_files("src");
    let mut faults: Vec<Fault> = sources.iter().flat_map(text::judge_size).collect();
    faults.retain(|f| !TABLES.iter().any(|table| f.to_string().contains(&format!("`{table}` has"))));
    faults.extend(sources.iter().chain(&rust_files("tests/it")).filter_map(text::judge_header));
    settle(faults);
}

#[test]
fn nothing_is_left_unfinished() {
    settle(rust_files("src").iter().chain(&rust_files("tests")).flat_map(text::judge_finished).collect());
}

#[test]
fn nothing_is_decided_by_the_words_of_a_message() {
    settle(rust_files("src").iter().flat_map(text::judge_words).collect());
}

#[test]
fn the_panic_of_a_thread_is_noticed() {
    settle(rust_files("src").iter().flat_map(text::judge_threads).collect());
}

#[test]
fn no_file_names_the_machine_it_was_written_on() {
    let folders = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!(env!("CARGO_MANIFEST_DIR"), "/")];
    settle(committed_texts().iter().flat_map(|source| text::judge_host_paths(source, &folders)).collect());
}

#[test]
fn texts_use_the_words_of_the_glossary() {
    settle(committed_texts().iter().flat_map(words::judge).collect());
}

#[test]
fn every_file_is_compiled() {
    settle(text::judge_declared(&[rust_files("src"), rust_files("tests/it")].concat()));
}

#[test]
fn dependencies_are_few() {
    let packages = read("Cargo.lock").matches("[[package]]").count();
    assert!(packages > 0 && packages <= PACKAGES, "Cargo.lock holds {packages} packages; at most {PACKAGES}");
}
