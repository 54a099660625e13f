//! Tests the structural checks with handmade objects that git itself would not create, and with correct ones.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;
use crate::tree::{Patch, Stage as _};

const NOW: i64 = 1_800_000_000;
const FILE: &str = "100644";
const FOLDER: &str = "40000";

/// A repository that accepts objects of any bytes, with a registry in it.
struct Bench {
    dir: tempfile::TempDir,
    repo: Repo,
    limits: GateLimits,
}

impl Bench {
    fn new() -> Self {
        Self::with("sha1")
    }

    fn with(format: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let object_format = format!("--object-format={format}");
        let out = Command::new("git").args(["init", "-q", "--bare", &object_format]).arg(dir.path()).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let repo = Repo::open(dir.path()).unwrap();
        Self { dir, repo, limits: GateLimits::default() }
    }

    /// Stores an object of any bytes.
    fn put(&self, kind: &str, bytes: &[u8]) -> Oid {
        let mut git = Command::new("git")
            .arg("--git-dir")
            .arg(self.dir.path())
            .args(["hash-object", "-w", "--literally", "--stdin", "-t", kind])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        git.stdin.take().unwrap().write_all(bytes).unwrap();
        let out = git.wait_with_output().unwrap();
        assert!(out.status.success());
        Oid::from_hex(String::from_utf8(out.stdout).unwrap().trim()).unwrap()
    }

    fn blob(&self, text: &str) -> Oid {
        self.put("blob", text.as_bytes())
    }

    /// Stores a tree with these entries in this order.
    fn tree<N: AsRef<[u8]>>(&self, entries: &[(&str, N, Oid)]) -> Oid {
        let mut bytes = Vec::new();
        for (mode, name, id) in entries {
            bytes.extend_from_slice(mode.as_bytes());
            bytes.push(b' ');
            bytes.extend_from_slice(name.as_ref());
            bytes.push(0);
            bytes.extend_from_slice(id.as_bytes());
        }
        self.put("tree", &bytes)
    }

    fn commit(&self, tree: Oid, parents: &[Oid]) -> Oid {
        self.commit_at(tree, parents, NOW)
    }

    fn commit_at(&self, tree: Oid, parents: &[Oid], seconds: i64) -> Oid {
        let parents: String = parents.iter().map(|p| format!("parent {p}\n")).collect();
        let who = format!("Ada <ada@example.org> {seconds} +0000");
        self.put("commit", format!("tree {tree}\n{parents}author {who}\ncommitter {who}\n\nChange it\n").as_bytes())
    }

    /// Returns the tree of a registry without faults.
    fn registry(&self) -> Oid {
        let mut patch = Patch::default();
        for (path, bytes) in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/base")) {
            patch.write(path, bytes);
        }
        self.repo.stage(None, &patch).unwrap()
    }

    /// Returns a commit of a registry without faults.
    fn begun(&self) -> Oid {
        self.commit(self.registry(), &[])
    }

    /// Commits changed files on top of another commit.
    fn change(&self, parent: Oid, patch: &Patch) -> Oid {
        let tree = self.repo.stage(Some(self.repo.tree_of(&parent).unwrap()), patch).unwrap();
        self.commit(tree, &[parent])
    }

    /// Commits on top of another commit, with this entry as the last one of the root tree.
    fn add(&self, parent: Oid, mode: &str, name: &str, id: Oid) -> Oid {
        let mut bytes = self.repo.raw_tree(&self.repo.tree_of(&parent).unwrap()).unwrap();
        bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        bytes.extend_from_slice(id.as_bytes());
        self.commit(self.put("tree", &bytes), &[parent])
    }

    fn judge_at(&self, at: &str, commits: &[Oid]) -> Vec<String> {
        let mut structure = Structure::new(&self.repo, &[at.to_owned()], self.limits, Timestamp::from_seconds(NOW));
        commits.iter().flat_map(|c| structure.commit(c, RuleScope::Side).unwrap()).map(|f| f.to_string()).collect()
    }

    fn judge(&self, commits: &[Oid]) -> Vec<String> {
        self.judge_at("", commits)
    }

    #[track_caller]
    fn accepts(&self, commits: &[Oid]) {
        assert_eq!(self.judge(commits), Vec::<String>::new());
    }

    /// Asserts a fault that contains these words.
    #[track_caller]
    fn refuses(&self, commits: &[Oid], words: &str) {
        let found = self.judge(commits);
        assert!(found.iter().any(|f| f.contains(words)), "{words:?} is not in {found:#?}");
    }
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    fn walk(root: &Path, dir: PathBuf, out: &mut Vec<(String, Vec<u8>)>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, path, out);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                out.push((name, std::fs::read(path).unwrap()));
            }
        }
    }
    let mut out = Vec::new();
    walk(dir, dir.to_owned(), &mut out);
    assert!(!out.is_empty());
    out
}

fn writes(path: &str, text: &str) -> Patch {
    let mut patch = Patch::default();
    patch.write(path, text);
    patch
}

/// Assembled here, so that this file contains no secret.
fn token() -> String {
    format!("{}{}", "ghp_", "a1B2c3D4".repeat(5))
}

#[test]
fn a_registry_and_its_changes_pass() {
    let bench = Bench::new();
    let begun = bench.begun();
    let described = bench.change(begun, &writes("README.md", "Our models. größe ☃\n"));
    let same = bench.commit(bench.repo.tree_of(&described).unwrap(), &[described]);
    bench.accepts(&[begun, described, same]);
}

#[test]
fn a_registry_with_ids_of_sha256_passes_too() {
    let bench = Bench::with("sha256");
    let begun = bench.begun();
    bench.accepts(&[begun, bench.change(begun, &writes("README.md", "x\n"))]);
    bench.refuses(&[bench.add(begun, "120000", "zz", bench.blob("x"))], "symbolic link");
}

#[test]
fn a_merge_with_a_signature_as_a_host_makes_it_passes() {
    let bench = Bench::new();
    let begun = bench.begun();
    let (a, b) = (bench.change(begun, &writes("README.md", "a\n")), bench.change(begun, &writes("LICENSE", "b\n")));
    let mut both = writes("README.md", "a\n");
    both.write("LICENSE", "b\n");
    let tree = bench.repo.stage(Some(bench.registry()), &both).unwrap();
    let text = format!(
        "tree {tree}\nparent {a}\nparent {b}\nauthor Ada <ada@example.org> {NOW} +0200\n\
         committer GitHub <noreply@github.com> {NOW} +0000\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n wsFc\n \
         =abcd\n -----END PGP SIGNATURE-----\n \n\nMerge pull request #1 from ada/license\n\nAdd a license"
    );
    bench.accepts(&[begun, a, b, bench.put("commit", text.as_bytes())]);
}

#[test]
fn clocks_may_differ_and_work_may_wait() {
    let bench = Bench::new();
    let begun = bench.commit_at(bench.registry(), &[], NOW - 86_400);
    let skewed = bench.commit_at(bench.registry(), &[begun], NOW + 60);
    let back = bench.commit_at(bench.registry(), &[skewed], NOW + 60 - 300);
    bench.accepts(&[begun, skewed, back]);
}

#[test]
fn a_commit_is_not_made_before_the_one_it_follows() {
    let bench = Bench::new();
    let begun = bench.begun();
    let early = bench.commit_at(bench.registry(), &[begun], NOW - 301);
    bench.refuses(&[begun, early], "earlier than the time of its parent [commit-time]");
    bench.refuses(&[early], "earlier than the time of its parent [commit-time]");
    bench.refuses(&[bench.commit_at(bench.registry(), &[begun], NOW + 301)], "in the future [commit-time]");
}

#[test]
fn what_is_missing_or_something_else_is_refused() {
    let bench = Bench::new();
    let begun = bench.begun();
    let (blob, gone) = (bench.blob("x"), Oid::from_hex(&"5".repeat(40)).unwrap());
    bench.refuses(&[gone], "is missing");
    bench.refuses(&[blob], "is a blob [object]");
    bench.refuses(&[bench.commit(blob, &[begun])], "the commit's tree");
    bench.refuses(&[bench.commit(gone, &[begun])], "is missing");
    bench.refuses(&[bench.commit(bench.registry(), &[gone])], "the commit's parent");
    bench.refuses(&[bench.commit(bench.registry(), &[blob])], "is a blob [object]");
    bench.refuses(&[bench.add(begun, FILE, "zz", gone)], "zz: object 555555555555 is missing");
    bench.refuses(&[bench.add(begun, FOLDER, "zz", gone)], "zz: object 555555555555 is missing");
    bench.refuses(&[bench.add(begun, FOLDER, "zz", blob)], "is a blob, not a tree [object]");
    bench.refuses(&[bench.add(begun, FILE, "zz", bench.registry())], "is a tree, not a blob [object]");
    bench.refuses(&[bench.add(begun, FILE, "zz", begun)], "is a commit, not a blob [object]");
}

#[test]
fn trees_that_git_would_not_write_are_refused() {
    let bench = Bench::new();
    let (begun, blob) = (bench.begun(), bench.blob("x"));
    let zero = Oid::from_bytes(&[0; 20]).unwrap();
    bench.refuses(&[bench.add(begun, FILE, "aa", blob)], "git's order");
    bench.refuses(&[bench.add(begun, FILE, "people", blob)], "git's order");
    bench.refuses(&[bench.add(begun, "0100644", "zz", blob)], "not a mode that git writes [tree]");
    bench.refuses(&[bench.add(begun, "100664", "zz", blob)], "not a mode that git writes [tree]");
    bench.refuses(&[bench.add(begun, "120000", "zz", blob)], "symbolic link");
    bench.refuses(&[bench.add(begun, "160000", "zz", blob)], "submodule");
    bench.refuses(&[bench.add(begun, FILE, "zz", zero)], "does not name an object");
    bench.refuses(&[bench.commit(bench.put("tree", b"100644 zz\0short"), &[begun])], "truncated or damaged");
    bench.refuses(&[bench.add(begun, FOLDER, "zz", bench.put("tree", b""))], "the folder is empty");
    let inner = bench.tree(&[(FILE, "b", blob), (FILE, "a", blob)]);
    bench.refuses(&[bench.add(begun, FOLDER, "zz", inner)], "zz: its entries are not in git's order");
}

#[test]
fn names_that_steer_git_hide_or_clash_are_refused() {
    let bench = Bench::new();
    let (begun, blob) = (bench.begun(), bench.blob("x"));
    for name in
        [".git", ".GIT", "git~1", ".git ", ".g\u{200c}it", "..", "a\u{202e}b", "a\u{1b}b", "e\u{301}", "nul", "a:b"]
    {
        let tree = bench.tree(&[(FILE, name, blob)]);
        let found = bench.judge(&[bench.add(begun, FOLDER, "zz", tree)]);
        assert!(found.iter().any(|f| f.ends_with("[tree]")), "{name:?}: {found:?}");
        assert!(found.iter().all(|f| !f.contains(['\u{1b}', '\u{202e}'])), "{found:?}");
    }
    let tree = bench.tree(&[(FILE, b"caf\xe9", blob)]);
    bench.refuses(&[bench.add(begun, FOLDER, "zz", tree)], "not UTF-8");
    let tree = bench.tree(&[(FILE, "A.txt", blob), (FILE, "a.txt", blob)]);
    bench.refuses(&[bench.add(begun, FOLDER, "zz", tree)], "only by case");
}

#[test]
fn outside_the_registrys_folder_only_what_git_would_refuse_is() {
    let bench = Bench::new();
    let (registry, link) = (bench.registry(), bench.blob("x"));
    let with = |entries: &[(&str, &str, Oid)]| {
        let all: Vec<_> = [(FOLDER, "ml", registry)].iter().chain(entries).copied().collect();
        bench.judge_at("ml/", &[bench.commit(bench.tree(&all), &[])])
    };
    let odd = bench.tree(&[("120000", "LINK", link), ("120000", "link", link), (FILE, "nul", link)]);
    let secret = bench.blob(&token());
    let fine =
        with(&[(FOLDER, "other", odd), ("100664", "p", link), (FILE, "secret", secret), ("160000", "sub", link)]);
    assert_eq!(fine, Vec::<String>::new());
    for bad in [(FILE, "z\\.git"), (FOLDER, ".git"), ("0100644", "z"), ("120000", ".gitmodules")] {
        let found = with(&[(bad.0, bad.1, link)]);
        assert!(!found.is_empty(), "{bad:?}");
    }
    let nested = bench.tree(&[(FOLDER, "people", odd)]);
    let found = bench.judge_at("ml/", &[bench.commit(bench.tree(&[(FOLDER, "ml", nested)]), &[])]);
    assert!(found.iter().any(|f| f.contains("ml/people/link: a symbolic link")), "{found:?}");
}

#[test]
fn several_registries_are_judged_each_in_its_folder() {
    let bench = Bench::new();
    let registry = bench.registry();
    let folders = ["a/".to_owned(), "b/".to_owned()];
    let begun = bench.commit(bench.tree(&[(FOLDER, "a", registry), (FOLDER, "b", registry)]), &[]);
    let stray = bench.change(begun, &writes("b/stray.txt", "x\n"));
    let mut structure = Structure::new(&bench.repo, &folders, bench.limits, Timestamp::from_seconds(NOW));
    assert_eq!(structure.commit(&begun, RuleScope::Side).unwrap(), []);
    let found = structure.commit(&stray, RuleScope::Side).unwrap();
    assert!(matches!(found.as_slice(), [f] if f.problem.path == "b/stray.txt"), "{found:?}");
}

#[test]
fn what_a_tree_brings_is_judged_wherever_it_comes_to_lie() {
    let bench = Bench::new();
    let odd = bench.tree(&[("120000", "link", bench.blob("x"))]);
    let first = bench.tree(&[(FOLDER, "ml", bench.registry()), (FOLDER, "other", odd)]);
    let then = bench.tree(&[(FOLDER, "ml", odd), (FOLDER, "other", odd)]);
    let begun = bench.commit(first, &[]);
    let found = bench.judge_at("ml/", &[begun, bench.commit(then, &[begun])]);
    assert!(found.iter().any(|f| f.contains("ml/link: a symbolic link")), "{found:?}");
}

#[test]
fn a_bad_file_in_between_is_refused_although_the_tip_is_good() {
    let bench = Bench::new();
    let begun = bench.begun();
    let undone = |patch: &Patch| {
        let bad = bench.change(begun, patch);
        vec![begun, bad, bench.commit(bench.registry(), &[bad])]
    };
    let key = "grants = []\nsurprise = 1\n";
    bench.refuses(&undone(&writes("models/churn/access.toml", key)), "models/churn/access.toml:2:1: ");
    bench.refuses(&undone(&writes("models/churn/aliases/next.toml", "version = 9\n")), "[pointer]");
    bench.refuses(&undone(&writes("stray.txt", "x\n")), "stray.txt: a registry has no file with this path [path]");
    bench.refuses(&undone(&writes("people/ada.toml", "name = \"\\e[31m\"\n")), "people/ada.toml:");
    bench.refuses(&undone(&writes("people/ada.toml", "\u{feff}name = \"Ada\"\n")), "people/ada.toml");
    bench.refuses(&undone(&writes("README.md", &token())), "README.md:1:1: this looks like a GitHub token [secret]");
    let mut gone = Patch::default();
    gone.remove("greenroom.toml");
    bench.refuses(&undone(&gone), "greenroom.toml, the registry's settings, was deleted");
}

#[test]
fn a_secret_is_named_by_its_place_and_never_repeated() {
    let bench = Bench::new();
    let begun = bench.begun();
    let text = format!("line one\n  use {} here\n", token());
    for path in ["docs/howto.md", "models/churn/versions/4/artifacts/conf.json", ".github/workflows/ci.yml"] {
        let found = bench.judge(&[begun, bench.change(begun, &writes(path, &text))]);
        let expected = format!("{path}:2:7: this looks like a GitHub token [secret]");
        assert!(found.contains(&expected), "{found:?}");
        assert!(!format!("{found:?}").contains("a1B2"), "{found:?}");
    }
}

#[test]
fn where_no_registry_is_yet_only_the_objects_are_judged() {
    let bench = Bench::new();
    let before = bench.commit(bench.tree(&[(FILE, "main.py", bench.blob("print(1)\n"))]), &[]);
    bench.accepts(&[before]);
    bench.refuses(&[bench.commit(bench.tree(&[("120000", "main.py", bench.blob("x"))]), &[])], "symbolic link");
}

#[test]
fn a_file_of_100_mb_is_refused_by_its_size_alone() {
    let bench = Bench::new();
    let begun = bench.begun();
    let huge = bench.put("blob", &vec![b'#'; 100 << 20]);
    for (name, most) in [("access2.toml", 262_144), ("CODEOWNERS", 1_048_576)] {
        let tree = bench.tree(&[(FILE, "CODEOWNERS", huge), (FILE, "access2.toml", huge)]);
        let started = Instant::now();
        bench.refuses(
            &[begun, bench.commit(tree, &[begun])],
            &format!("{name}: the file has 104857600 bytes; at most {most}"),
        );
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
}

#[test]
fn a_large_settings_file_is_told_by_its_size() {
    let bench = Bench::new();
    let begun = bench.begun();
    let large = format!("# {}\n", "x".repeat(300_000));
    bench.refuses(
        &[begun, bench.change(begun, &writes("access.toml", &large))],
        "access.toml: the file has 300003 bytes",
    );
    bench.accepts(&[begun, bench.change(begun, &writes("README.md", &large))]);
    let model = writes("models/churn/versions/4/artifacts/notes.txt", &"x".repeat((1 << 20) + 1));
    bench.refuses(&[begun, bench.change(begun, &model)], "notes.txt: the file has 1048577 bytes; at most 1048576");
}

#[test]
fn a_file_of_many_tables_or_deep_brackets_is_refused_within_a_second() {
    let bench = Bench::new();
    let begun = bench.begun();
    let deep = format!("grants = {}", "[".repeat(200_000));
    for text in ["[[x]]\n".repeat(40_000), deep, "a.".repeat(100_000)] {
        let bad = bench.change(begun, &writes("access.toml", &text));
        let started = Instant::now();
        bench.refuses(&[begun, bad], "access.toml:");
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
}

#[test]
fn too_many_files_are_refused_within_a_second() {
    let mut bench = Bench::new();
    let (begun, blob) = (bench.begun(), bench.blob("x"));
    let names: Vec<String> = (0..20_000).map(|i| format!("{i:06}")).collect();
    let entries: Vec<_> = names.iter().map(|name| (FILE, name.as_str(), blob)).collect();
    let many = bench.add(begun, FOLDER, "zz", bench.tree(&entries));
    let started = Instant::now();
    bench.refuses(&[begun, many], "more than 15000 files");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    // Several commits count together.
    bench.limits.files = 60;
    let two = bench.change(begun, &writes("README.md", "x"));
    let rest: Vec<_> = entries.iter().take(59).copied().collect();
    let few = bench.add(two, FOLDER, "zz", bench.tree(&rest));
    bench.refuses(&[begun, two, few], "more than 60 files");
    bench.limits.entries = 5;
    bench.refuses(&[few], "more than 5 files and folders");
}

#[test]
fn a_tree_that_holds_itself_many_times_over_is_refused_within_a_second() {
    let bench = Bench::new();
    let begun = bench.begun();
    let mut bomb = bench.tree(&[(FILE, "x", bench.blob("x"))]);
    for _ in 0..10 {
        let names: Vec<String> = (0..10).map(|i| i.to_string()).collect();
        let entries: Vec<_> = names.iter().map(|name| (FOLDER, name.as_str(), bomb)).collect();
        bomb = bench.tree(&entries);
    }
    for mode in ["zz", "docs"] {
        let started = Instant::now();
        bench.refuses(&[begun, bench.commit(bench.tree(&[(FOLDER, mode, bomb)]), &[begun])], "[limit]");
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
}

#[test]
fn folders_are_not_deeper_than_the_limit() {
    let bench = Bench::new();
    let begun = bench.begun();
    let mut deep = bench.tree(&[(FILE, "x", bench.blob("x"))]);
    for _ in 0..40 {
        deep = bench.tree(&[(FOLDER, "d", deep)]);
    }
    bench.refuses(&[begun, bench.add(begun, FOLDER, "zz", deep)], "nested deeper than 32");
}

#[test]
fn a_commit_is_not_read_if_it_is_too_long() {
    let bench = Bench::new();
    let tree = bench.registry();
    let who = format!("Ada <ada@example.org> {NOW} +0000");
    let text = |message: &str| format!("tree {tree}\nauthor {who}\ncommitter {who}\n\n{message}");
    bench.refuses(
        &[bench.put("commit", text(&"x".repeat(10 << 20)).as_bytes())],
        "bytes of headers and message [limit]",
    );
    bench.refuses(&[bench.put("commit", text(&"x".repeat(70 << 10)).as_bytes())], "at most 65536 are allowed [limit]");
}

#[test]
fn when_the_time_is_over_every_commit_is_refused() {
    let mut bench = Bench::new();
    let begun = bench.begun();
    bench.limits.time = Duration::ZERO;
    let found = bench.judge(&[begun, begun]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|f| f.contains("could not be judged within 0 s [limit]")), "{found:?}");
}

#[test]
fn a_merge_is_not_asked_for_what_its_parents_have() {
    let mut bench = Bench::new();
    let begun = bench.begun();
    let (a, b) = (bench.change(begun, &writes("README.md", "a\n")), bench.change(begun, &writes("LICENSE", "b\n")));
    let mut both = writes("README.md", "a\n");
    both.write("LICENSE", "b\n");
    let merge = bench.commit(bench.repo.stage(Some(bench.registry()), &both).unwrap(), &[a, b]);
    bench.limits.files = 0;
    bench.accepts(&[merge]);
    both.write("CODEOWNERS", "* @ada\n");
    let evil = bench.commit(bench.repo.stage(Some(bench.registry()), &both).unwrap(), &[a, b]);
    bench.refuses(&[evil], "more than 0 files");
}

#[test]
fn every_fault_is_of_a_rule_that_is_described() {
    let bench = Bench::new();
    let begun = bench.begun();
    let bad = [
        bench.add(begun, "120000", "zz", bench.blob("x")),
        bench.change(begun, &writes("README.md", &token())),
        bench.commit_at(bench.registry(), &[begun], NOW + 1000),
        bench.put("commit", b"tree\n\n"),
        Oid::from_hex(&"5".repeat(40)).unwrap(),
    ];
    let mut structure = Structure::new(&bench.repo, &[String::new()], bench.limits, Timestamp::from_seconds(NOW));
    for commit in &bad {
        let faults = structure.commit(commit, RuleScope::Line).unwrap();
        assert!(!faults.is_empty());
        for fault in faults {
            assert!(RULES.iter().any(|(name, _)| *name == fault.problem.rule), "{fault}");
        }
    }
}

#[test]
fn protected_references_name_commits() {
    use crate::gate::namespace::{self, Reserved};
    use crate::gate::refs::Update;
    let bench = Bench::new();
    let (begun, tree) = (bench.begun(), bench.registry());
    let who = format!("tagger Ada <ada@example.org> {NOW} +0000");
    let tag = bench.put("tag", format!("object {begun}\ntype commit\ntag v1\n{who}\n\nx\n").as_bytes());
    let protected = ["refs/heads/main".to_owned()];
    let judged = |new: Oid, name: &str| {
        let update = Update { old: None, new: Some(new), name: name.to_owned() };
        namespace::judge(&bench.repo, &[update], Reserved { protected: &protected, releases: &[] }, bench.limits)
            .unwrap()
            .len()
    };
    assert_eq!(judged(begun, "refs/heads/main"), 0);
    for other in [tree, tag, bench.blob("x"), Oid::from_hex(&"5".repeat(40)).unwrap()] {
        assert_eq!(judged(other, "refs/heads/main"), 1);
    }
    assert_eq!(judged(tag, "refs/tags/v1"), 0);
    let out = Command::new("git")
        .arg("--git-dir")
        .arg(bench.dir.path())
        .args(["update-ref", "refs/heads/topic", &begun.to_string()])
        .output()
        .unwrap();
    assert!(out.status.success());
    assert_eq!(bench.repo.reference_names().unwrap(), ["refs/heads/topic"]);
    assert_eq!(judged(begun, "refs/heads/Topic"), 1);
}
