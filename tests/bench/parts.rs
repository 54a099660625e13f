//! The parts of the benchmark, each over a generated registry.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use greenroom::action::Action;
use greenroom::diff::diff;
use greenroom::git::Ident;
use greenroom::registry::{ChangeAuthor, ChangeOptions, Registry};
use greenroom::text::Text;
use greenroom::time::Timestamp;
use greenroom::tree::CompareLimits;

use super::generate::{self, Shape};
use super::measure::{Times, peak_memory, quietly, row};

/// A part: its name and its function.
type Part = (&'static str, fn(&Bench));

/// All parts that need a registry, in the order of the report.
pub const ALL: &[Part] = &[
    ("diff", diffs),
    ("gate", super::gate::gate),
    ("mutation", mutation),
    ("read", read),
    ("index", index),
    ("cli", cli),
];

/// A generated registry under measurement.
pub struct Bench {
    /// The bare repository of the registry.
    pub dir: PathBuf,
    pub(super) shape: Shape,
    pub(super) label: String,
}

impl Bench {
    /// Wraps a generated registry.
    pub fn new(dir: PathBuf, shape: Shape) -> Self {
        let label = format!("{}×{} {}", shape.models, shape.versions, shape.layout.as_str());
        Self { dir, shape, label }
    }

    pub(super) fn versions(&self) -> u64 {
        self.shape.models * self.shape.versions
    }

    pub(super) fn registry(&self) -> Registry {
        Registry::discover(&self.dir).expect("a registry")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
        command.arg("-C").arg(&self.dir);
        identity(&mut command);
        command
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_seconds(generate::START + self.versions() as i64 + 1)
    }
}

fn identity(command: &mut Command) {
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Alice").env(format!("GIT_{role}_EMAIL"), "alice@example.com");
    }
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("NO_COLOR", "1");
}

fn asker(now: Timestamp) -> ChangeAuthor {
    let who = Ident::new("Alice", "alice@example.com", now);
    ChangeAuthor { user: "alice".parse().expect("a name"), author: who.clone(), committer: who }
}

/// One mutation in process beside a bare commit of the same two files, and the bytes that it adds.
fn mutation(b: &Bench) {
    let registry = b.registry();
    let options = ChangeOptions { relaxed: true, ..ChangeOptions::default() };
    let model = generate::model(b.shape.models / 2);
    let mut i = 0_u64;
    let mut last = None;
    let ours = || {
        i += 1;
        let value = Text::new(&format!("value {i}")).expect("text");
        let action =
            Action::SetVersionTag { model: model.clone(), version: 1, key: "bench".parse().expect("a key"), value };
        let outcome = registry.change(&asker(b.now()), &[action], b.now(), &options).expect("a commit");
        last = outcome.commit;
    };
    // The floor: a commit of a similar file by the git library alone, in the same repository.
    let bare = gix::open(&b.dir).expect("the repository");
    let (path, text) = {
        let snapshot = registry.snapshot().expect("a snapshot");
        let other = generate::model(0);
        let number = b.shape.versions;
        let path = format!("{}/version.toml", snapshot.paths().expect("a layout").version(&other, number));
        let entry = snapshot.entry(&path).expect("a tree").expect("a file");
        let bytes = snapshot.objects().blob(&entry.id, u64::MAX).expect("a blob");
        (path, String::from_utf8(bytes).expect("text"))
    };
    let mut j = 0_u64;
    let floor = || {
        j += 1;
        bare_commit(&bare, &path, &format!("# {j}\n{text}"));
    };
    let before = loose_bytes(&b.dir);
    let (ours, floor) = Times::pair(if b.shape.models > 1_000 { 100 } else { 200 }, ours, floor);
    let grown = (loose_bytes(&b.dir) - before) as f64 / 402.0 / 1024.0;
    let ratio = ours.median() / floor.median();
    let measured = format!("{:.2} ms, {ratio:.2}× a bare commit ({:.2} ms)", ours.median(), floor.median());
    row(&format!("mutation in process, {}", b.label), &measured, "≤ 1.5×", Some(ratio <= 1.5));
    let small = b.shape.layout.as_str() == "sharded";
    row(
        &format!("bytes per commit, {}", b.label),
        &format!("{grown:.1} KiB"),
        "≤ 12 KB",
        small.then_some(grown <= 11.7),
    );
}

/// Commits one changed file with the git library: blob, trees, commit, reference; nothing else.
fn bare_commit(repo: &gix::Repository, path: &str, content: &str) {
    let head = repo.find_reference("refs/heads/main").expect("a branch").id().detach();
    let root = repo.find_commit(head).expect("a commit").tree_id().expect("a tree").detach();
    let blob = repo.write_blob(content.as_bytes()).expect("a blob").detach();
    let mut editor = repo.edit_tree(root).expect("an editor");
    editor.upsert(path, gix::objs::tree::EntryKind::Blob, blob).expect("an entry");
    let tree = editor.write().expect("trees").detach();
    let who = gix::actor::Signature {
        name: "Alice".into(),
        email: "alice@example.com".into(),
        time: gix::date::Time::new(generate::START, 0),
    };
    let commit = gix::objs::Commit {
        tree,
        parents: [head].into_iter().collect(),
        author: who.clone(),
        committer: who,
        encoding: None,
        message: "bench".into(),
        extra_headers: Vec::new(),
    };
    let commit = repo.write_object(&commit).expect("a commit").detach();
    use gix::refs::transaction::PreviousValue;
    let expected = PreviousValue::MustExistAndMatch(gix::refs::Target::Object(head));
    repo.reference("refs/heads/main", commit, expected, "bench").expect("moved");
}

fn loose_bytes(dir: &Path) -> u64 {
    let shards = std::fs::read_dir(dir.join("objects")).expect("objects").flatten();
    let loose = shards.filter(|d| d.file_name().len() == 2);
    let files = loose.flat_map(|d| std::fs::read_dir(d.path()).expect("a folder").flatten());
    files.map(|f| f.metadata().map_or(0, |m| m.len())).sum()
}

/// The semantic difference of adjacent commits, and of the first and the last commit.
fn diffs(b: &Bench) {
    let registry = b.registry();
    let head = registry.head().expect("HEAD").expect("a commit");
    let parent = registry.repo().commit(&head).expect("a commit").parents[0];
    let adjacent = Times::of(200, || {
        let (old, new) =
            (registry.snapshot_of(Some(parent)).expect("old"), registry.snapshot_of(Some(head)).expect("new"));
        assert!(!diff(&old, &new, CompareLimits::default()).expect("a diff").events.is_empty());
    });
    let small = b.shape.layout.as_str() == "sharded";
    let met = small.then_some(adjacent.median() <= 0.5);
    row(&format!("diff of adjacent commits, {}", b.label), &format!("{:.3} ms", adjacent.median()), "≤ 0.5 ms", met);
    if b.versions() >= 10_000 {
        let steps = registry.repo().first_parents(head).expect("a walk");
        let far = steps.map(|s| s.expect("a step").commit).nth(9_999).expect("a long history");
        let wide = Times::of(5, || {
            let (old, new) =
                (registry.snapshot_of(Some(far)).expect("old"), registry.snapshot_of(Some(head)).expect("new"));
            assert!(diff(&old, &new, CompareLimits::default()).expect("a diff").events.len() >= 9_999);
        });
        let measured = format!("{:.0} ms", wide.median());
        row(&format!("diff of 10 000 versions, {}", b.label), &measured, "≤ 1 s", Some(wide.median() <= 1000.0));
    }
}

/// Whole processes that each run one query, beside `git --version`.
fn read(b: &Bench) {
    let model = generate::model(b.shape.models / 2);
    let git = || quietly(Command::new("git").arg("--version"));
    for (what, reference) in [
        ("version", format!("models:/{model}/1")),
        ("stage", format!("models:/{model}/Production")),
        ("alias", format!("models:/{model}@champion")),
    ] {
        let ours = || quietly(b.command().args(["show", &reference, "-o", "json"]));
        let (ours, floor) = Times::pair(60, ours, git);
        let ratio = ours.median() / floor.median();
        let measured = format!("{:.1} ms, {ratio:.1}× git --version ({:.1} ms)", ours.median(), floor.median());
        row(&format!("show by {what}, {}", b.label), &measured, "≤ 4×", Some(ratio <= 4.0));
    }
}

/// The index: built from nothing, updated after one commit, and queried.
fn index(b: &Bench) {
    let dir = b.dir.join("greenroom/index");
    let _ = std::fs::remove_dir_all(&dir);
    let start = Instant::now();
    let memory = peak_memory(b.command().args(["index", "rebuild"]));
    let seconds = start.elapsed().as_secs_f64();
    let large = b.versions() >= 100_000;
    let measured = format!("{seconds:.1} s, {:.0} MiB", memory.unwrap_or(f64::NAN));
    let met = large.then_some(seconds <= 40.0 && memory.is_none_or(|m| m <= 400.0));
    row(&format!("index from nothing, {}", b.label), &measured, "≤ 40 s, ≤ 400 MB at 100 000", met);
    refresh(b);
    let model = generate::model(b.shape.models / 2);
    let when = Timestamp::from_seconds(generate::START + self::middle(b)).to_string();
    let questions: [(&str, Vec<String>, f64); 3] = [
        (
            "search by tag",
            strings(&["search", "versions", "tags.validated = 'true' AND tags.team = 't5'", "-o", "json"]),
            50.0,
        ),
        ("log of a model (newest 100)", strings(&["log", model.as_str(), "-n", "100", "-o", "json"]), 30.0),
        ("as of", strings(&["show", &format!("models:/{model}/Production@{{{when}}}"), "-o", "json"]), 50.0),
    ];
    for (what, args, goal) in questions {
        let times = Times::of(30, || quietly(b.command().args(&args)));
        let measured = format!("{:.1} ms (p95 {:.1})", times.median(), times.p95());
        row(&format!("{what}, {}", b.label), &measured, &format!("≤ {goal} ms"), Some(times.median() <= goal));
    }
}

/// Updates the index after one commit, in process.
fn refresh(b: &Bench) {
    let registry = b.registry();
    let mut index = greenroom::index::Index::open(&registry, &mut |_| {}).expect("an index");
    let options = ChangeOptions { relaxed: true, ..ChangeOptions::default() };
    let model = generate::model(b.shape.models / 2);
    let mut times = Vec::new();
    for i in 0..40 {
        let value = Text::new(&format!("refresh {i}")).expect("text");
        let key = "bench".parse().expect("a key");
        let action = Action::SetVersionTag { model: model.clone(), version: 1, key, value };
        registry.change(&asker(b.now()), &[action], b.now(), &options).expect("a commit");
        let start = Instant::now();
        index.refresh().expect("refreshed");
        times.push(start.elapsed());
    }
    let median = Times::from(times).median();
    row(&format!("index after one commit, {}", b.label), &format!("{median:.1} ms"), "≤ 5 ms", Some(median <= 5.0));
}

fn middle(b: &Bench) -> i64 {
    (b.versions() * 3 / 4) as i64
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

/// One mutation by command, durable: in the bare repository, and beside `git commit` of the same change in a clone
/// with a work tree, where both also write git's index of all files.
fn cli(b: &Bench) {
    let one = format!("{}/1", generate::model(b.shape.models / 2));
    let mut n = 0_u64;
    let bare = Times::of(40, || {
        n += 1;
        quietly(b.command().args(["tag", "set", &one, &format!("bench=b{n}")]));
    });
    let measured = format!("{:.1} ms (p95 {:.1})", bare.median(), bare.p95());
    row(&format!("mutation by command, durable, bare, {}", b.label), &measured, "≤ 10 ms", Some(bare.median() <= 10.0));
    let clone = b.dir.with_extension("clone");
    let _ = std::fs::remove_dir_all(&clone);
    quietly(Command::new("git").args(["clone", "-q"]).arg(&b.dir).arg(&clone));
    let model = generate::model(b.shape.models / 2);
    let path = b.registry().snapshot().expect("a snapshot").paths().expect("a layout").version(&model, 1);
    let file = clone.join(path).join("version.toml");
    let mut i = 0_u64;
    let mut ours = || {
        i += 1;
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
        identity(&mut command);
        command.arg("-C").arg(&clone).args(["tag", "set", &format!("{model}/1"), &format!("bench=a{i}")]);
        quietly(&mut command);
    };
    let mut j = 0_u64;
    let mut git = || {
        j += 1;
        let text = std::fs::read_to_string(&file).expect("a file");
        let kept: String = text.lines().filter(|l| !l.starts_with("description")).map(|l| format!("{l}\n")).collect();
        std::fs::write(&file, format!("description = \"by git {j}\"\n{kept}")).expect("written");
        let mut command = Command::new("git");
        identity(&mut command);
        quietly(command.current_dir(&clone).args(["commit", "-qam", "bench"]));
    };
    let (ours, git) = Times::pair(40, &mut ours, &mut git);
    let measured = format!(
        "{:.1} ms (p95 {:.1}), {:.2}× git commit ({:.1} ms)",
        ours.median(),
        ours.p95(),
        ours.median() / git.median(),
        git.median()
    );
    let met = ours.median() <= 10.0 && ours.median() <= git.median();
    row(&format!("mutation by command, durable, {}", b.label), &measured, "≤ 10 ms, ≤ 1×", Some(met));
    let _ = std::fs::remove_dir_all(&clone);
}

/// Signatures verified per second; each needs the key of one of 10,000 people.
pub fn signature() {
    use greenroom::entity::person::SigningKey;
    use greenroom::signature::{KeyRing, SignatureFinding, check};

    const RUNS: u32 = 1000;
    let key = |text: &str| SigningKey { key: Text::new(text).expect("text"), added_at: None, revoked_at: None };
    let at: Timestamp = "2026-03-01".parse().expect("a time");
    let payload = b"hello\n";
    for (what, name, given, signature) in [
        ("SSH, Ed25519", "bob", include_str!("../data/signatures/bob.pub"), include_str!("../data/signatures/bob.sig")),
        (
            "OpenPGP, Ed25519",
            "carol",
            include_str!("../data/signatures/carol.asc"),
            include_str!("../data/signatures/carol.sig"),
        ),
    ] {
        let (user, key) = (name.parse().expect("a name"), key(given));
        let good = |found: SignatureFinding| assert!(matches!(found, SignatureFinding::Good { .. }), "{found:?}");
        let run = |what: &str, ask: &mut dyn FnMut() -> SignatureFinding| {
            let start = Instant::now();
            (0..RUNS).for_each(|_| good(ask()));
            let rate = f64::from(RUNS) / start.elapsed().as_secs_f64();
            row(&format!("signatures verified, {what}"), &format!("{rate:.0}/s"), "", None);
        };
        run(what, &mut || check(payload, signature.as_bytes(), [(&user, &key)], at));
        let start = Instant::now();
        std::hint::black_box(KeyRing::new(std::iter::repeat_n((&user, &key), 10_000)));
        let took = start.elapsed().as_secs_f64() * 1e3;
        row(&format!("10,000 keys indexed, {what}"), &format!("{took:.0} ms"), "", None);
        let ring = KeyRing::new([(&user, &key)]);
        run(&format!("{what}, key kept"), &mut || ring.check(payload, signature.as_bytes(), at));
    }
}

/// Hashing and storing a large file, beside `sha256sum`.
pub fn hash(temp: &Path, quick: bool) {
    let size: u64 = if quick { 256 << 20 } else { 1 << 30 };
    let folder = temp.join("large");
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("model.bin");
    write_noise(&file, size);
    let store_dir = temp.join("lfs");
    let ours = || {
        let _ = std::fs::remove_dir_all(&store_dir);
        let store = greenroom::artifact::Store::at(&store_dir);
        let limits = greenroom::artifact::ArtifactLimits::default();
        greenroom::artifact::ingest(&folder, greenroom::artifact::ByteStorage::In(&store), &limits, &|_, _| {})
            .expect("ingested");
    };
    let hashed = || {
        let mut from = std::fs::File::open(&file).expect("a file");
        greenroom::artifact::copy::hash(&mut from, size, &|_| {}).expect("hashed");
    };
    let (only_hash, floor) = Times::pair(3, hashed, || quietly(Command::new("sha256sum").arg(&file)));
    let (stored, _) = Times::pair(3, ours, || {});
    let gib = size as f64 / f64::from(1 << 30);
    let speed = |t: &Times| gib / (t.median() / 1e3);
    let ratio = speed(&only_hash) / speed(&floor);
    let measured = format!("{:.2} GiB/s, {ratio:.2}× sha256sum ({:.2} GiB/s)", speed(&only_hash), speed(&floor));
    row("hashing a large file", &measured, "≥ 0.8×", Some(ratio >= 0.8));
    let ratio = speed(&stored) / speed(&floor);
    let measured = format!("{:.2} GiB/s, {ratio:.2}× sha256sum", speed(&stored));
    row("hashing and storing it, durable", &measured, "≥ 0.8×", Some(ratio >= 0.8));
    std::fs::remove_dir_all(&folder).expect("removed");
    let _ = std::fs::remove_dir_all(&store_dir);
}

/// Writes incompressible bytes in chunks of 1 MiB.
fn write_noise(path: &Path, size: u64) {
    use std::io::Write as _;
    let mut out = std::io::BufWriter::new(std::fs::File::create(path).expect("a file"));
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut chunk = vec![0_u8; 1 << 20];
    for _ in 0..size >> 20 {
        for word in chunk.chunks_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        out.write_all(&chunk).expect("written");
    }
    out.flush().expect("flushed");
}
