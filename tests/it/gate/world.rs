//! A clone in which people make commits, and a gate that judges them as if they were pushed.

use std::cell::RefCell;
use std::fs;

use serde_json::Value;

use greenroom::gate::record::record;
use greenroom::gate::{Gate, GateLimits, Judgement, Pusher, Update};
use greenroom::git::Repo;
use greenroom::time::Timestamp;
use greenroom::tree::Oid;

use crate::support::{Sandbox, Shell};

pub type Person = (&'static str, &'static str);
/// May read, and so request and comment.
pub const ALICE: Person = ("Alice", "alice@example.org");
/// May move versions to Production.
pub const BOB: Person = ("Bob", "bob@example.org");
/// Manages the registry.
pub const CAROL: Person = ("Carol", "carol@example.org");

/// The person's id: the first name in lower case.
fn id(person: Person) -> String {
    person.0.to_lowercase()
}

/// The damage of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    None,
    Behind,
    Damaged,
}

pub struct World {
    objects: RefCell<Vec<(String, Vec<u8>)>>,
    sandbox: Sandbox,
    landed: RefCell<String>,
    settings: RefCell<Vec<(String, String)>>,
}

impl World {
    /// A registry of Carol's with the model churn and the authority `pusher`. Production needs one approval.
    pub fn new() -> Self {
        Self::within("")
    }

    /// The same registry in a folder of the repository.
    pub fn within(at: &str) -> Self {
        let sandbox = Sandbox::new();
        let world =
            Self { objects: RefCell::default(), sandbox, landed: RefCell::default(), settings: RefCell::default() };
        let folder: &[&str] = if at.is_empty() { &[] } else { &["--at", at] };
        world.shell(CAROL).within("..").greenroom(["init", "r"].iter().chain(folder)).success();
        let carol = |args: &[&str]| world.act(CAROL, args);
        for person in [ALICE, BOB] {
            carol(&["person", "add", &id(person), "--email", person.1]);
        }
        carol(&["access", "grant", "group:everyone", "CAN_READ"]);
        carol(&["access", "grant", "bob", "CAN_MANAGE_PRODUCTION_VERSIONS"]);
        carol(&["model", "create", "churn"]);
        carol(&["register", "churn", "--source", "s3://models/churn/1"]);
        carol(&["stage", "set", "Production", "--approvals", "1"]);
        carol(&["settings", "set", "--authority", "pusher"]);
        world.landed();
        world
    }

    fn shell(&self, person: Person) -> Shell<'_> {
        fs::create_dir_all(self.sandbox.path("r")).expect("writable");
        self.sandbox.shell(person.0, person.1).within("r")
    }

    /// A person makes a change with greenroom.
    #[track_caller]
    pub fn act(&self, person: Person, args: &[&str]) {
        self.shell(person).greenroom(args).success();
    }

    /// A person makes a change in another person's name: the other is the author, the person is the committer.
    #[track_caller]
    pub fn forge(&self, person: Person, author: Person, args: &[&str]) {
        let shell = self.shell(person).env("GIT_AUTHOR_NAME", author.0).env("GIT_AUTHOR_EMAIL", author.1);
        shell.greenroom(args).success();
    }

    /// The same, which greenroom refuses.
    #[track_caller]
    pub fn forge_refused(&self, person: Person, author: Person, args: &[&str]) {
        let shell = self.shell(person).env("GIT_AUTHOR_NAME", author.0).env("GIT_AUTHOR_EMAIL", author.1);
        let said = shell.greenroom(args).code(5);
        assert!(said.stderr().contains("puts it on the branch, but its author is"), "{}", said.stderr());
    }

    /// A person edits a file by hand and commits it in another person's name.
    #[track_caller]
    pub fn forge_edit(&self, person: Person, author: Person, path: &str, text: &str) {
        self.sandbox.write(format!("r/{path}"), text);
        let shell = self.shell(person).env("GIT_AUTHOR_NAME", author.0).env("GIT_AUTHOR_EMAIL", author.1);
        shell.git(["add", path]).success();
        shell.git(["commit", "-qm", "a forged edit"]).success();
    }

    /// The output of `greenroom check` for a branch that the person would merge: in a clone with the record of pushes,
    /// and in a clone without it.
    pub fn checked(&self, person: Person, branch: &str) -> [Value; 2] {
        let _ = fs::remove_dir_all(self.sandbox.path("clone"));
        let clone = self.shell(CAROL).within("../clone");
        self.git(CAROL, &["clone", "-q", ".", "../clone"]);
        let range = format!("origin/main..origin/{branch}");
        let check = || {
            let said = clone.greenroom(["check", &range, "--as", &id(person), "-o", "json"]).any().0;
            serde_json::from_str(&said).expect("JSON")
        };
        let without = check();
        clone.git(["fetch", "-q", "origin", "refs/notes/greenroom/*:refs/notes/greenroom/*"]).success();
        [check(), without]
    }

    /// The output of `greenroom verify` in a clone with the record of pushes, and in one without it.
    pub fn verified(&self) -> [Value; 2] {
        let _ = fs::remove_dir_all(self.sandbox.path("clone"));
        self.git(CAROL, &["clone", "-q", ".", "../clone"]);
        let clone = self.shell(CAROL).within("../clone");
        let verify = || serde_json::from_str(&clone.greenroom(["verify", "-o", "json"]).any().0).expect("JSON");
        let without = verify();
        clone.git(["fetch", "-q", "origin", "refs/notes/greenroom/*:refs/notes/greenroom/*"]).success();
        [verify(), without]
    }

    /// A path of the clone.
    pub fn path(&self, inner: &str) -> std::path::PathBuf {
        self.sandbox.path("r").join(inner)
    }

    #[track_caller]
    pub fn git(&self, person: Person, args: &[&str]) {
        self.shell(person).git(args).success();
    }

    /// A person edits a file by hand and commits it.
    #[track_caller]
    pub fn edit(&self, person: Person, path: &str, text: &str) {
        self.sandbox.write(format!("r/{path}"), text);
        self.git(person, &["add", path]);
        self.git(person, &["commit", "-qm", "an edit"]);
    }

    /// Writes a file without a commit.
    pub fn write(&self, path: &str, text: &str) {
        self.sandbox.write(format!("r/{path}"), text);
    }

    /// Copies a folder of the work tree.
    #[track_caller]
    pub fn copy(&self, from: &str, to: &str) {
        self.shell(CAROL).run("cp", ["-r", from, to]).success();
    }

    pub fn read(&self, path: &str) -> String {
        self.sandbox.read(format!("r/{path}"))
    }

    /// The paths of the files in a folder; none if there is no such folder.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let all = fs::read_dir(self.sandbox.path(format!("r/{folder}"))).into_iter().flatten();
        let name = |e: std::io::Result<fs::DirEntry>| e.expect("readable").file_name().into_string().expect("UTF-8");
        all.map(|e| format!("{folder}/{}", name(e))).collect()
    }

    /// A service account makes a commit on behalf of its author.
    #[track_caller]
    pub fn commit_for(&self, author: Person, server: &str, path: &str, text: &str) {
        self.sandbox.write(format!("r/{path}"), text);
        let shell = self.shell(author).env("GIT_COMMITTER_NAME", server);
        let shell = shell.env("GIT_COMMITTER_EMAIL", format!("{server}@example.org"));
        shell.git(["add", path]).success();
        shell.git(["commit", "-qm", "asked for"]).success();
    }

    /// A person gets a signing key, in a commit by Carol.
    #[track_caller]
    pub fn key(&self, person: Person) {
        let file = self.sandbox.path(id(person));
        let path = file.to_str().expect("a plain path");
        let made = self.shell(person).run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", path]);
        made.success();
        self.act(CAROL, &["person", "set", &id(person), "--key", &format!("{path}.pub")]);
        self.landed();
    }

    /// A person edits a file by hand and commits it, signed with the key of a possibly different person.
    #[track_caller]
    pub fn edit_signed(&self, person: Person, key: Person, path: &str, text: &str) {
        self.sandbox.write(format!("r/{path}"), text);
        self.git(person, &["add", path]);
        let key = format!("user.signingKey={}.pub", self.sandbox.path(id(key)).display());
        self.git(person, &["-c", "gpg.format=ssh", "-c", &key, "commit", "-S", "-qm", "a signed edit"]);
    }

    /// A person sets the authority to `signature`, in a commit signed with their own key.
    #[track_caller]
    pub fn turn_to_signature(&self, person: Person) {
        let text = self.file("greenroom.toml").replace("authority = \"pusher\"", "authority = \"signature\"");
        self.edit_signed(person, person, "greenroom.toml", &text);
    }

    /// Records a push of HEAD to a branch, as the gate does after it accepted the push.
    pub fn recorded(&self, person: Person, reference: &str) {
        let repo = Repo::open(&self.sandbox.path("r")).expect("a repository");
        let pusher = Pusher { login: Some(id(person)), via: "test".to_owned(), ..Pusher::default() };
        let update = Update { old: None, new: Oid::from_hex(&self.tip()), name: reference.to_owned() };
        let limits = GateLimits::of(&repo).expect("its settings are right");
        record(&repo, &[update], &pusher, None, now(), &limits).expect("it is recorded");
    }

    /// Puts a file into the work tree; the next commit of an edit includes it.
    #[track_caller]
    pub fn stage(&self, path: &str, text: &str) {
        self.sandbox.write(format!("r/{path}"), text);
        // As a plain file: no filter of Git LFS may change it.
        self.git(CAROL, &["-c", "filter.lfs.clean=cat", "-c", "filter.lfs.process=", "add", path]);
    }

    /// Puts bytes into the content store of the served repository under a SHA-256, even a wrong one.
    pub fn store(&self, sha256: &str, bytes: &[u8]) {
        let mut objects = self.objects.borrow_mut();
        objects.retain(|(known, _)| known != sha256);
        objects.push((sha256.to_owned(), bytes.to_vec()));
    }

    /// The store has no such object any more.
    pub fn lose(&self, sha256: &str) {
        self.objects.borrow_mut().retain(|(known, _)| known != sha256);
    }

    /// The output of a person's command.
    #[track_caller]
    pub fn said(&self, person: Person, args: &[&str]) -> String {
        self.shell(person).greenroom(args).success().stdout().to_owned()
    }

    /// The message of a person's command that fails.
    #[track_caller]
    pub fn failed(&self, person: Person, args: &[&str]) -> String {
        let (_, said, code) = self.shell(person).greenroom(args).ended();
        assert_ne!(code, Some(0), "{args:?}");
        said
    }

    pub fn protect(&self, pattern: &str) {
        self.settings.borrow_mut().push(("greenroom.protected".to_owned(), pattern.to_owned()));
    }

    pub fn limit(&self, name: &str, value: &str) {
        let key = format!("greenroom.{name}");
        self.settings.borrow_mut().retain(|(known, _)| *known != key || name != "missing");
        self.settings.borrow_mut().push((format!("greenroom.{name}"), value.to_owned()));
    }

    fn rev(&self, rev: &str) -> String {
        self.shell(CAROL).git(["rev-parse", rev]).success().stdout().trim().to_owned()
    }

    pub fn tip(&self) -> String {
        self.rev("HEAD")
    }

    pub fn tree(&self, rev: &str) -> String {
        self.rev(&format!("{rev}^{{tree}}"))
    }

    /// Makes the commits so far the served state.
    pub fn landed(&self) {
        *self.landed.borrow_mut() = self.tip();
    }

    /// The verdict on a push of HEAD to main by a person.
    pub fn push(&self, person: Person) -> Judgement {
        self.push_as(&id(person))
    }

    pub fn push_as(&self, login: &str) -> Judgement {
        let pusher = Pusher { login: Some(login.to_owned()), via: "test".to_owned(), ..Pusher::default() };
        let old = Oid::from_hex(&self.landed.borrow());
        self.judge(old, Oid::from_hex(&self.tip()), "refs/heads/main", Some(&pusher))
    }

    /// The text of a file of the work tree.
    #[track_caller]
    pub fn file(&self, path: &str) -> String {
        fs::read_to_string(self.sandbox.path(format!("r/{path}"))).expect("the file is there")
    }

    /// The verdict on a push of HEAD to a repository with a damaged index.
    pub fn push_with_index(&self, person: Person, harm: Harm) -> Judgement {
        let landed = self.landed.borrow().clone();
        let served = self.serve(&landed);
        let shell = self.shell(CAROL).within("../served.git");
        match harm {
            Harm::None => shell.greenroom(["index", "rebuild"]).success(),
            Harm::Behind => {
                shell.git(["update-ref", "refs/heads/main", &format!("{landed}~2")]).success();
                shell.greenroom(["index", "rebuild"]).success();
                shell.git(["update-ref", "refs/heads/main", &landed]).success()
            }
            Harm::Damaged => shell.greenroom(["index", "rebuild"]).success(),
        };
        if harm == Harm::Damaged {
            let folders = fs::read_dir(served.join("greenroom/index")).expect("an index").flatten();
            let files = folders.flat_map(|folder| fs::read_dir(folder.path()).expect("a folder").flatten());
            for file in files.filter(|f| f.file_name().to_string_lossy().starts_with("ids-")) {
                let bytes = fs::read(file.path()).expect("readable");
                fs::write(file.path(), vec![0; bytes.len()]).expect("writable");
            }
        }
        let pusher = Pusher { login: Some(id(person)), via: "test".to_owned(), ..Pusher::default() };
        let new = Oid::from_hex(&self.tip());
        let update = Update { old: Oid::from_hex(&landed), new, name: "refs/heads/main".to_owned() };
        let gate = Gate::open(Repo::open(&served).expect("a repository")).expect("its settings are right");
        gate.judge(&[update], Some(&pusher), now()).expect("a verdict")
    }

    /// The verdict on a push of these references to an empty repository.
    pub fn push_into_empty(&self, person: Person, references: &[(&str, &str)]) -> Judgement {
        let served = self.serve(&self.landed.borrow());
        let shell = self.shell(CAROL).within("../served.git");
        let all = shell.git(["for-each-ref", "--format=delete %(refname)"]).success().stdout().to_owned();
        shell.input(all).git(["update-ref", "--stdin"]).success();
        let update =
            |(name, new): &(&str, &str)| Update { old: None, new: Oid::from_hex(new), name: (*name).to_owned() };
        let updates: Vec<Update> = references.iter().map(update).collect();
        let pusher = Pusher { login: Some(id(person)), via: "test".to_owned(), ..Pusher::default() };
        let gate = Gate::open(Repo::open(&served).expect("a repository")).expect("its settings are right");
        gate.judge(&updates, Some(&pusher), now()).expect("a verdict")
    }

    /// The message of a command that a rule refuses.
    #[track_caller]
    pub fn refused(&self, person: Person, args: &[&str]) -> String {
        self.shell(person).greenroom(args).code(5).stderr().to_owned()
    }

    pub fn push_unnamed(&self) -> Judgement {
        let old = Oid::from_hex(&self.landed.borrow());
        self.judge(old, Oid::from_hex(&self.tip()), "refs/heads/main", None)
    }

    pub fn delete(&self, person: Person) -> Judgement {
        let pusher = Pusher { login: Some(id(person)), via: "test".to_owned(), ..Pusher::default() };
        self.judge(Oid::from_hex(&self.landed.borrow()), None, "refs/heads/main", Some(&pusher))
    }

    pub fn push_to(&self, person: Person, reference: &str) -> Judgement {
        let pusher = Pusher { login: Some(id(person)), via: "test".to_owned(), ..Pusher::default() };
        self.judge(None, Oid::from_hex(&self.tip()), reference, Some(&pusher))
    }

    /// The verdict on a push of a tag.
    pub fn push_tag(&self, person: Person, tag: &str) -> Judgement {
        let pusher = Pusher { login: Some(id(person)), via: "test".to_owned(), ..Pusher::default() };
        let new = Oid::from_hex(&self.rev(&format!("refs/tags/{tag}")));
        self.judge(None, new, &format!("refs/tags/{tag}"), Some(&pusher))
    }

    /// The verdict on moving a reference from one revision to another.
    pub fn repoint(&self, person: Person, reference: &str, from: &str, to: &str) -> Judgement {
        let pusher = Pusher { login: Some(id(person)), via: "test".to_owned(), ..Pusher::default() };
        self.judge(Oid::from_hex(&self.rev(from)), Oid::from_hex(&self.rev(to)), reference, Some(&pusher))
    }

    /// The verdict on a push of HEAD to main and to another reference at once.
    pub fn push_besides(&self, person: Person, reference: &str) -> Judgement {
        let pusher = Pusher { login: Some(id(person)), via: "test".to_owned(), ..Pusher::default() };
        let (old, new) = (Oid::from_hex(&self.landed.borrow()), Oid::from_hex(&self.tip()));
        let main = Update { old, new, name: "refs/heads/main".to_owned() };
        self.judge_all(&[main, Update { old: None, new, name: reference.to_owned() }], Some(&pusher))
    }

    /// The messages of a refused real push to a served repository; the gate reads the pusher from LOGNAME.
    pub fn pushed(&self, person: Person, environment: &[(&str, &str)]) -> String {
        self.shell(CAROL).git(["clone", "-q", "--bare", ".", "../real.git"]).success();
        let real = self.shell(CAROL).within("../real.git");
        real.git(["update-ref", "refs/heads/main", &self.landed.borrow()]).success();
        real.greenroom(["hook", "install", "--host", "unix"]).success();
        // The hook gets the environment from the server's git; for a push to a path that is the client's own
        // environment.
        let old = self.landed.borrow().clone();
        let line = format!("{old} {} refs/heads/main\n", self.tip());
        let objects = self.sandbox.path("r/.git/objects");
        let hook = real.env("GIT_DIR", ".").env("GIT_QUARANTINE_PATH", &objects).env("LOGNAME", id(person));
        let hook = environment.iter().fold(hook, |hook, (name, value)| hook.env(*name, *value));
        let said = hook.input(line).run("sh", ["hooks/pre-receive"]).code(1);
        said.stderr().to_owned()
    }

    fn judge(&self, old: Option<Oid>, new: Option<Oid>, name: &str, pusher: Option<&Pusher>) -> Judgement {
        self.judge_all(&[Update { old, new, name: name.to_owned() }], pusher)
    }

    fn judge_all(&self, updates: &[Update], pusher: Option<&Pusher>) -> Judgement {
        let served = self.serve(&self.landed.borrow());
        let gate = Gate::open(Repo::open(&served).expect("a repository")).expect("its settings are right");
        gate.judge(updates, pusher, now()).expect("a verdict")
    }

    /// A served repository with all pushed objects, whose branch has not moved yet.
    fn serve(&self, landed: &str) -> std::path::PathBuf {
        let served = self.sandbox.path("served.git");
        let _ = fs::remove_dir_all(&served);
        self.git(CAROL, &["clone", "-q", "--mirror", ".", "../served.git"]);
        self.shell(CAROL).within("../served.git").git(["update-ref", "refs/heads/main", landed]).success();
        for (key, value) in self.settings.borrow().iter() {
            self.shell(CAROL).within("../served.git").git(["config", "--add", key, value]).success();
        }
        self.shell(CAROL).within("../served.git").git(["symbolic-ref", "HEAD", "refs/heads/main"]).success();
        for (sha256, bytes) in self.objects.borrow().iter() {
            let folder = served.join("lfs/objects").join(&sha256[..2]).join(&sha256[2..4]);
            fs::create_dir_all(&folder).expect("writable");
            fs::write(folder.join(sha256), bytes).expect("writable");
        }
        served
    }
}

/// The current time, in milliseconds.
pub fn millis() -> i64 {
    now().as_millis()
}

fn now() -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Timestamp::from_millis(i64::try_from(now.as_millis()).expect("before the end of time"))
}
