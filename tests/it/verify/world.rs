//! A served repository whose pushes were judged and recorded, and a clone from which people push.

use std::fs;
use std::path::{Path, PathBuf};

use greenroom::gate::{Gate, Pusher, Update, record::record};
use greenroom::git::Repo;
use greenroom::name::UserName;
use greenroom::time::Timestamp;
use greenroom::tree::Oid;

use crate::support::{Output, Sandbox, Shell, tools};

/// `r.git` is served; all people work in `work`.
pub struct World {
    sandbox: Sandbox,
}

/// A commit of the first-parent history, to be made again.
#[derive(Clone)]
pub struct Made {
    tree: String,
    author: (String, String),
    committer: (String, String),
    pub message: String,
    written: String,
    pub date: String,
    pub sign: bool,
}

impl World {
    /// A registry of Alice's with a model of one version and the authority `pusher`; Bob may read. Each step was
    /// pushed and recorded.
    pub fn new() -> Self {
        tools::git_lfs();
        let sandbox = Sandbox::new();
        sandbox.greenroom(["init", "work"]).success();
        sandbox.greenroom(["init", "--bare", "r.git"]).success();
        let world = Self { sandbox };
        // The registry of the clone is the served one.
        world.bare().git(["update-ref", "-d", "refs/heads/main"]).success();
        world.push("alice");
        let alice = |args: &[&str]| world.act("alice", args);
        world.write("README.md", "# Models\n");
        world.shell("alice").git(["add", "README.md"]).success();
        world.shell("alice").git(["commit", "--quiet", "-m", "Say what this is"]).success();
        world.push("alice");
        alice(&["person", "add", "bob", "--email", "bob@example.org"]);
        alice(&["access", "grant", "bob", "CAN_READ"]);
        alice(&["settings", "set", "--authority", "pusher"]);
        let model = tools::examples().join("wine-v1");
        alice(&["register", "churn", model.to_str().unwrap()]);
        alice(&["transition", "churn", "1", "Production"]);
        world.act("bob", &["comment", "add", "churn", "1", "looks good"]);
        alice(&["model", "describe", "churn", "Who leaves"]);
        world.shell("alice").run("cp", ["-r", ".git/lfs", "../r.git/lfs"]).success();
        world
    }

    pub fn path(&self, inner: &str) -> PathBuf {
        self.sandbox.path(inner)
    }

    /// Commands in the served repository.
    pub fn bare(&self) -> Shell<'_> {
        self.sandbox.alice().within("r.git")
    }

    /// Commands by a person in the clone.
    fn shell(&self, person: &str) -> Shell<'_> {
        let shell = if person == "bob" { self.sandbox.bob() } else { self.sandbox.alice() };
        shell.within("work")
    }

    /// Writes a file of the clone.
    pub fn write(&self, inner: &str, text: &str) {
        let path = self.sandbox.path("work").join(inner);
        // A file of the store may lie there as a read-only hard link.
        let _ = fs::remove_file(&path);
        fs::write(path, text).expect("the clone is writable");
    }

    /// Makes a change and pushes it.
    #[track_caller]
    pub fn act(&self, person: &str, args: &[&str]) {
        self.shell(person).greenroom(args).success();
        self.push(person);
    }

    /// The same with git's dates set.
    #[track_caller]
    pub fn act_at(&self, person: &str, time: &str, args: &[&str]) {
        self.shell(person).at(time).greenroom(args).success();
        self.push_unjudged(person);
    }

    /// Pushes a change that the gate accepts, and records the push.
    #[track_caller]
    fn push(&self, person: &str) {
        let new = Oid::from_hex(&self.id("work", "HEAD"));
        let gate = Gate::open(Repo::open(&self.path("work")).unwrap()).unwrap();
        let old = Repo::open(&self.path("r.git")).unwrap().reference("refs/heads/main").unwrap();
        let update = Update { old, new, name: "refs/heads/main".to_owned() };
        if old.is_some() {
            let judged = gate.judge(std::slice::from_ref(&update), Some(&pusher(person)), now()).unwrap();
            assert!(judged.passes(), "{}", judged.render());
        }
        self.push_unjudged(person);
    }

    /// Pushes an already pushed state again, and records that.
    #[track_caller]
    pub fn push_again(&self, person: &str) {
        self.push_unjudged(person);
    }

    fn push_unjudged(&self, person: &str) {
        self.push_recorded_at(person, now());
    }

    /// Makes a change and pushes it some milliseconds later, by the clock of the server.
    #[track_caller]
    pub fn act_and_push_later(&self, person: &str, millis: i64, args: &[&str]) {
        self.shell(person).greenroom(args).success();
        self.push_recorded_at(person, now().plus_millis(millis));
    }

    fn push_recorded_at(&self, person: &str, at: Timestamp) {
        let served = Repo::open(&self.path("r.git")).unwrap();
        let old = served.reference("refs/heads/main").unwrap();
        self.shell(person).git(["push", "--quiet", "../r.git", "HEAD:refs/heads/main"]).success();
        let new = Oid::from_hex(&self.id("work", "HEAD"));
        let update = Update { old, new, name: "refs/heads/main".to_owned() };
        let gate = Gate::open(Repo::open(&self.path("r.git")).unwrap()).unwrap();
        let person = UserName::new(person).ok();
        let by = pusher(person.as_ref().map_or("", UserName::as_str));
        record(gate.repo(), &[update], &by, person, at, gate.limits()).unwrap();
    }

    /// A person changes files of the clone and pushes them past every hook: the push is neither judged nor recorded.
    pub fn unguarded(&self, person: &str, change: impl FnOnce(&Shell<'_>)) {
        let shell = self.shell(person);
        change(&shell);
        shell.git(["add", "--all"]).success();
        shell.git(["commit", "--quiet", "-m", "An edit"]).success();
        shell.git(["push", "--quiet", "--no-verify", "../r.git", "HEAD:refs/heads/main"]).success();
    }

    /// Verifies the served repository.
    pub fn verify(&self, args: &[&str]) -> Output {
        self.bare().greenroom(["verify", "-o", "json"].iter().chain(args))
    }

    fn id(&self, repo: &str, rev: &str) -> String {
        self.sandbox.alice().within(repo).git(["rev-parse", "--verify", rev]).success().stdout().trim().to_owned()
    }

    /// An id of the served repository.
    pub fn rev(&self, rev: &str) -> String {
        self.id("r.git", rev)
    }

    pub fn tip(&self) -> String {
        self.rev("main")
    }

    /// The number of steps of the branch.
    pub fn count(&self) -> u64 {
        let count = self.bare().git(["rev-list", "--count", "--first-parent", "main"]).success();
        count.stdout().trim().parse().unwrap()
    }

    /// The path of the version's file that lies in the content store.
    pub fn stored_path(&self) -> String {
        "models/churn/versions/1/artifacts/model.skops".to_owned()
    }

    /// That file in the store of the served repository.
    pub fn stored_object(&self) -> PathBuf {
        let pointer = self.bare().git(["show", &format!("main:{}", self.stored_path())]).success();
        let oid = pointer.stdout().lines().find_map(|l| l.strip_prefix("oid sha256:")).unwrap().to_owned();
        self.path("r.git/lfs/objects").join(&oid[..2]).join(&oid[2..4]).join(&oid)
    }

    /// The file of a loose object of the served repository.
    pub fn loose(&self, rev: &str) -> PathBuf {
        let packs = self.path("r.git/objects/pack");
        let packed = fs::read_dir(packs).map_or(0, Iterator::count);
        assert_eq!(packed, 0, "small pushes are unpacked");
        let id = self.rev(rev);
        self.path("r.git/objects").join(&id[..2]).join(&id[2..])
    }

    /// Replaces the bytes of a write-protected file.
    pub fn overwrite(&self, file: &Path, bytes: &[u8]) {
        fs::remove_file(file).unwrap();
        fs::write(file, bytes).unwrap();
    }

    /// Makes the commits of the served branch again, with edits, and moves the branch there.
    pub fn rewrite(&self, edit: impl FnOnce(&mut Vec<Made>)) {
        const FORMAT: &str = "--format=%T%x00%an%x00%ae%x00%cn%x00%ce%x00%aI%x00%cI%x00%B%x01";
        let log = self.bare().git(["log", "--reverse", FORMAT, "main"]).success().stdout().to_owned();
        let mut steps: Vec<Made> = log.split_terminator("\u{1}\n").map(made).collect();
        edit(&mut steps);
        self.sandbox.alice().run("sh", ["-c", "test -f key || ssh-keygen -q -t ed25519 -N '' -f key"]).success();
        let key = format!("user.signingKey={}", self.path("key").display());
        let mut parent: Option<String> = None;
        for step in steps {
            let shell = self.bare().input(format!("{}\n", step.message.trim_end()));
            let shell = shell.env("GIT_AUTHOR_DATE", &step.written).env("GIT_COMMITTER_DATE", &step.date);
            let shell = shell.env("GIT_AUTHOR_NAME", &step.author.0).env("GIT_AUTHOR_EMAIL", &step.author.1);
            let shell =
                shell.env("GIT_COMMITTER_NAME", &step.committer.0).env("GIT_COMMITTER_EMAIL", &step.committer.1);
            let mut args = vec!["-c", "gpg.format=ssh", "-c", &key, "commit-tree", &step.tree];
            args.extend(parent.iter().flat_map(|p| ["-p", p.as_str()]));
            args.extend(step.sign.then_some("-S"));
            parent = Some(shell.git(args).success().stdout().trim().to_owned());
        }
        self.bare().git(["update-ref", "refs/heads/main", &parent.unwrap()]).success();
    }
}

fn made(text: &str) -> Made {
    let mut fields = text.split('\0').map(str::to_owned);
    let mut next = || fields.next().unwrap();
    let (tree, author, committer) = (next(), (next(), next()), (next(), next()));
    Made { tree, author, committer, written: next(), date: next(), message: next(), sign: false }
}

fn pusher(person: &str) -> Pusher {
    Pusher { login: Some(person.to_owned()), via: "test".to_owned(), ..Pusher::default() }
}

pub fn now() -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Timestamp::from_millis(i64::try_from(now.as_millis()).expect("before the end of time"))
}
