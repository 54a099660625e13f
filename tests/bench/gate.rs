//! The gate: whole processes of the hook on pushes as git would announce them, and the audit of a history.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use greenroom::format::path::Paths;

use super::generate;
use super::measure::{Times, peak_memory, quietly, row};
use super::parts::Bench;

/// A push that waits for its verdict: new objects in a folder of their own, and the line that git would send.
struct Push {
    client: PathBuf,
    line: String,
}

impl Push {
    /// Makes commits on top of the served branch; each commit is a list of paths with their new content.
    fn new(b: &Bench, name: &str, commits: &[Vec<(String, String)>]) -> Self {
        let client = b.dir.with_extension(format!("{name}.git"));
        let _ = std::fs::remove_dir_all(&client);
        quietly(Command::new("git").args(["clone", "-q", "--bare", "--shared"]).arg(&b.dir).arg(&client));
        let mut import = Command::new("git")
            .args(["-c", "fastimport.unpackLimit=100", "fast-import", "--quiet", "--force"])
            .current_dir(&client)
            .stdin(Stdio::piped())
            .spawn()
            .expect("git fast-import");
        let mut input = import.stdin.take().expect("a pipe");
        for (i, files) in commits.iter().enumerate() {
            let mut text = String::new();
            let who = format!("Alice <alice@example.com> {} +0000", b.now().as_seconds() + i as i64);
            let _ = write!(text, "commit refs/heads/main\nauthor {who}\ncommitter {who}\ndata 6\nchange\n");
            if i == 0 {
                text.push_str("from refs/heads/main^0\n");
            }
            for (path, content) in files {
                let _ = write!(text, "M 100644 inline {path}\ndata {}\n{content}\n", content.len());
            }
            text.push('\n');
            input.write_all(text.as_bytes()).expect("written");
        }
        drop(input);
        assert!(import.wait().is_ok_and(|s| s.success()), "git fast-import failed");
        let line = format!("{} {} refs/heads/main\n", tip(&b.dir), tip(&client));
        Self { client, line }
    }

    /// The hook as git would run it.
    fn hook(&self, b: &Bench) -> Command {
        let mut hook = Command::new(env!("CARGO_BIN_EXE_greenroom"));
        let objects = self.client.join("objects");
        hook.args(["hook", "pre-receive"])
            .current_dir(&b.dir)
            .env("GIT_DIR", ".")
            .env("GIT_QUARANTINE_PATH", &objects)
            .env("GIT_OBJECT_DIRECTORY", &objects)
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", b.dir.join("objects"))
            .env("LOGNAME", "alice");
        hook
    }

    /// Runs the hook; returns whether it accepts the push, and its messages.
    fn run(&self, b: &Bench) -> (bool, String) {
        let mut hook = self.hook(b);
        let mut child = hook.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("runs");
        // A hook that refuses early does not read the rest.
        let _ = child.stdin.take().expect("a pipe").write_all(self.line.as_bytes());
        let out = child.wait_with_output().expect("ends");
        (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
    }

    /// The time of one run in milliseconds. The hook must accept or refuse the push as `lands` says.
    fn time(&self, b: &Bench, lands: bool) -> f64 {
        let times = Times::of(3, || {
            let (landed, said) = self.run(b);
            assert_eq!(landed, lands, "{said}");
        });
        times.median()
    }

    /// The hook's peak memory in MiB.
    fn memory(&self, b: &Bench) -> Option<f64> {
        let input = self.client.join("line");
        std::fs::write(&input, &self.line).expect("writable");
        let hook = self.hook(b);
        let mut shell = Command::new("sh");
        let program = hook.get_program().to_string_lossy().into_owned();
        shell.arg("-c").arg(format!("'{program}' hook pre-receive < '{}'", input.display())).current_dir(&b.dir);
        for (key, value) in hook.get_envs() {
            shell.env(key, value.expect("set"));
        }
        peak_memory(&mut shell)
    }
}

fn tip(dir: &Path) -> String {
    let out = Command::new("git").args(["rev-parse", "refs/heads/main"]).current_dir(dir).output().expect("git");
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

/// The file of a version with another description.
fn described(b: &Bench, model: u64, version: u64, text: &str) -> (String, String) {
    let path = format!("{}/version.toml", Paths(b.shape.layout).version(&generate::model(model), version));
    let registry = b.registry();
    let snapshot = registry.snapshot().expect("a snapshot");
    let entry = snapshot.entry(&path).expect("a tree").expect("a file");
    let old = String::from_utf8(snapshot.objects().blob(&entry.id, u64::MAX).expect("a blob")).expect("text");
    let new = old.replacen("Trained on", &format!("{text}, trained on"), 1);
    assert_ne!(old, new, "{path}");
    (path, new)
}

/// Measures the hook on pushes of every size, and the audit.
pub fn gate(b: &Bench) {
    quietly(Command::new("git").args(["config", "greenroom.host", "unix"]).current_dir(&b.dir));
    let one = Push::new(b, "one", &[vec![described(b, 0, 1, "Again")]]);
    let (ours, empty) = Times::pair(
        40,
        || {
            let (landed, said) = one.run(b);
            assert!(landed, "{said}");
        },
        || quietly(&mut Command::new("true")),
    );
    let over = ours.median() - empty.median();
    let measured = format!("{:.1} ms, {over:.1} ms over an empty one", ours.median());
    row(&format!("hook on 1 commit, {}", b.label), &measured, "≤ 15 ms over", Some(over <= 15.0));
    if b.versions() == 1_000 {
        many(b);
        refusals(b);
    }
    if b.versions() >= 10_000 && b.shape.models == 1_000 {
        wide(b);
    }
    audit(b);
    for name in ["one", "many", "wide", "bomb", "big", "files"] {
        let _ = std::fs::remove_dir_all(b.dir.with_extension(format!("{name}.git")));
    }
}

fn many(b: &Bench) {
    let commits: Vec<_> =
        (0..1_000).map(|i| vec![described(b, i % b.shape.models, 1 + i / b.shape.models, "Again")]).collect();
    let ms = Push::new(b, "many", &commits).time(b, true);
    row(&format!("hook on 1,000 commits, {}", b.label), &format!("{ms:.0} ms"), "≤ 1,500 ms", Some(ms <= 1_500.0));
}

fn wide(b: &Bench) {
    let all = (0..b.shape.models).flat_map(|m| (1..=b.shape.versions).map(move |v| (m, v)));
    let files = all.map(|(m, v)| described(b, m, v, "All again")).collect();
    let push = Push::new(b, "wide", &[files]);
    let ms = push.time(b, true);
    let memory = push.memory(b);
    let measured = format!("{ms:.0} ms, {}", memory.map_or("?".to_owned(), |m| format!("{m:.0} MiB")));
    let met = ms <= 3_000.0 && memory.is_none_or(|m| m <= 200.0);
    row(&format!("hook on a change of 10,000 versions, {}", b.label), &measured, "≤ 3,000 ms, ≤ 200 MB", Some(met));
}

/// Measures how soon a push that is too large is refused.
fn refusals(b: &Bench) {
    let model = Paths(b.shape.layout).version(&generate::model(0), 1);
    let big = vec![(format!("{model}/artifacts/model.pkl"), "x".repeat(100 << 20))];
    let files = (0..20_000).map(|i| (format!("{model}/artifacts/d/{i}.txt"), i.to_string())).collect();
    for (what, name, commit) in [("a file of 100 MB", "big", big), ("20,000 files", "files", files)] {
        let ms = Push::new(b, name, &[commit]).time(b, false);
        row(&format!("hook refuses {what}, {}", b.label), &format!("{ms:.0} ms"), "≤ 1,000 ms", Some(ms <= 1_000.0));
    }
    let ms = bomb(b).time(b, false);
    row(&format!("hook refuses a tree bomb, {}", b.label), &format!("{ms:.0} ms"), "≤ 1,000 ms", Some(ms <= 1_000.0));
}

/// Ten folders in each of ten folders, ten levels deep, made of a dozen objects.
fn bomb(b: &Bench) -> Push {
    let mut push = Push::new(b, "bomb", &[]);
    let git = |args: &[&str], input: &str| {
        let mut child = Command::new("git")
            .args(args)
            .current_dir(&push.client)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("git");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("written");
        String::from_utf8_lossy(&child.wait_with_output().expect("ends").stdout).trim().to_owned()
    };
    let blob = git(&["hash-object", "-w", "--stdin"], "x");
    let mut tree = git(&["mktree"], &(0..10).map(|i| format!("100644 blob {blob}\t{i}\n")).collect::<String>());
    for _ in 0..10 {
        tree = git(&["mktree"], &(0..10).map(|i| format!("040000 tree {tree}\t{i}\n")).collect::<String>());
    }
    let root = git(&["ls-tree", "main"], "");
    let root = git(&["mktree"], &format!("{root}\n040000 tree {tree}\tzzz\n"));
    let who = "Alice <alice@example.com>";
    let text = format!(
        "tree {root}\nparent {}\nauthor {who} {1} +0000\ncommitter {who} {1} +0000\n\nbomb\n",
        tip(&b.dir),
        b.now().as_seconds()
    );
    let commit = git(&["hash-object", "-w", "-t", "commit", "--stdin"], &text);
    push.line = format!("{} {commit} refs/heads/main\n", tip(&b.dir));
    push
}

fn audit(b: &Bench) {
    let start = Instant::now();
    let mut verify = Command::new(env!("CARGO_BIN_EXE_greenroom"));
    let out = verify.arg("-C").arg(&b.dir).args(["verify", "-o", "json"]).output().expect("runs");
    let seconds = start.elapsed().as_secs_f64();
    let steps = (b.versions() + 1) as f64;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    // The generator leaves out the files of versions, so verify reports each of them; nothing else may be wrong.
    let only_files = said.matches("\"rule\"").count() == said.matches("\"rule\": \"digest\"").count();
    assert!(only_files, "{}", said.chars().take(1500).collect::<String>());
    let rate = steps / seconds;
    row(&format!("verify, {}", b.label), &format!("{rate:.0} steps/s"), "≥ 3,000", Some(rate >= 3_000.0));
}
