//! Histories with an odd commit or tag: greenroom reads every history that git can follow.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use greenroom::action::Action;
use greenroom::entity::settings::{FORMAT, IdentitySettings, Layout, MailPolicy, Rules};
use greenroom::entity::{Person, Settings};
use greenroom::gate::verify::{Scope, verify};
use greenroom::git::{Ident, Repo};
use greenroom::index::Index;
use greenroom::name::Id;
use greenroom::registry::{ChangeAuthor, ChangeOptions, Registry, random_bytes};
use greenroom::server::context::catalog::Catalog;
use greenroom::text::Text;
use greenroom::time::Timestamp;
use greenroom::tree::Oid;

/// The time of the valid commits, in seconds.
const TIME: i64 = 1_800_000_000;

/// The branch with the odd commit, and the tag.
const BRANCH: &str = "refs/heads/odd";
const TAG: &str = "refs/tags/odd";

/// A registry of two commits, and the material for odd commits.
struct Home {
    dir: tempfile::TempDir,
    /// The first commit.
    first: Oid,
    /// The tree of the second commit.
    tree: Oid,
}

thread_local! {
    static HOME: Home = Home::new();
}

/// Writes a commit and a tag with these bytes, and reads every history that contains them.
pub fn history(data: &[u8]) {
    HOME.with(|home| home.judge(data));
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let repo = Repo::init(dir.path(), true).expect("a repository");
        let registry = Registry::with(repo, "").expect("it is open");
        let now = Timestamp::from_seconds(TIME);
        let who = Ident::new("Ann", "ann@example.org", now);
        let asker = ChangeAuthor { user: "ann".parse().expect("a name"), author: who.clone(), committer: who };
        let settings = Settings {
            id: Id::from_parts(now.as_millis(), random_bytes()),
            name: Text::new("odd").expect("text"),
            format: FORMAT,
            layout: Layout::Flat,
            identity: IdentitySettings::default(),
            notifications: MailPolicy::default(),
            rules: Rules::default(),
            stages: std::collections::BTreeMap::new(),
            aliases: std::collections::BTreeMap::new(),
            sources: Default::default(),
            acknowledged: Vec::new(),
        };
        let email = Text::new("ann@example.org").expect("text");
        let maker = Person { emails: [email].into(), ..Person::default() };
        let land = |action| {
            registry.change(&asker, &[action], now, &ChangeOptions::default()).expect("the change is committed").commit
        };
        let first = land(Action::CreateRegistry { settings, maker }).expect("a commit");
        let person = Person { emails: [Text::new("bob@example.org").expect("text")].into(), ..Person::default() };
        let second = land(Action::AddPerson { user: "bob".parse().expect("a name"), person }).expect("a commit");
        let tree = registry.repo().tree_of(&second).expect("a tree");
        Self { dir, first, tree }
    }

    /// Writes a raw object.
    fn put(&self, kind: &str, bytes: &[u8]) -> Oid {
        let mut git = Command::new("git");
        git.arg("-C").arg(self.dir.path()).args(["hash-object", "-w", "--stdin", "--literally", "-t", kind]);
        let mut git = git.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("git runs");
        git.stdin.take().expect("a pipe").write_all(bytes).expect("it reads");
        let out = git.wait_with_output().expect("it ends");
        Oid::from_hex(String::from_utf8_lossy(&out.stdout).trim()).expect("an id")
    }

    fn point(&self, name: &str, id: &Oid) {
        let path: PathBuf = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
        std::fs::write(path, format!("{id}\n")).expect("it can be written");
    }

    fn judge(&self, data: &[u8]) {
        let (first, tree) = (self.first, self.tree);
        let after = format!("tree {tree}\nparent {first}\n");
        let odd = self.put("commit", &[after.as_bytes(), data].concat());
        // git itself does not follow a parent that is not an id.
        let can_be_followed = !data.starts_with(b"parent ");
        let ident = format!("Ann <ann@example.org> {TIME} +0000");
        let who = format!("author {ident}\ncommitter {ident}\n\nmore\n");
        let next = self.put("commit", format!("tree {tree}\nparent {odd}\n{who}").as_bytes());
        let merge = self.put("commit", format!("tree {tree}\nparent {first}\nparent {odd}\n{who}").as_bytes());
        for tip in [odd, next, merge] {
            self.point(BRANCH, &tip);
            self.read(tip, odd, can_be_followed);
        }
        // Bytes that are not a commit, or that are a tag.
        let raw = self.put("commit", data);
        self.point(BRANCH, &raw);
        self.read(raw, raw, false);
        let tag = self.put("tag", &[format!("object {odd}\ntype commit\n").as_bytes(), data].concat());
        self.point(TAG, &tag);
        let registry = self.open();
        let repo = registry.repo();
        let _ = (repo.commit_of(&tag), repo.signature_of(&tag), repo.resolve("odd^{commit}"), repo.tips());
    }

    fn open(&self) -> Registry {
        let repo = Repo::open(self.dir.path()).expect("a repository");
        Registry::with(repo, "").expect("it is open").following(BRANCH)
    }

    /// Reads the history in every way; that must succeed if git can follow the history.
    fn read(&self, tip: Oid, odd: Oid, can_be_followed: bool) {
        let registry = self.open();
        let repo = registry.repo();
        let steps: Result<Vec<_>, _> = registry.steps(tip).expect("a walk").collect();
        let commit = repo.commit(&odd);
        if let Ok(commit) = &commit {
            let _ = (repo.resolve_ident(&commit.author), commit.committer.time.to_string(), commit.oddities.len());
        }
        let bases = repo.merge_bases(&tip, &self.first);
        let new = repo.new_commits_oldest_first(tip, &[self.first], 100);
        let signature = repo.signature_of(&odd);
        let _ = (repo.resolve("odd~1"), repo.resolve("odd^2"), registry.moment("2027-01-01"));
        let _ = (registry.step(odd, Some(self.first)), registry.diff(Some(self.first), Some(tip)));
        let indexed = Index::open(&registry, &mut |_| {}).map(drop);
        let loaded = Catalog::load(&registry).map(drop);
        let scope = Scope { branch: BRANCH.to_owned(), ..Scope::default() };
        let audit = verify(repo.git_dir(), &scope, &|_, _| {}, &|_, _| {});
        if can_be_followed {
            assert!(commit.is_ok() && signature.is_ok(), "{commit:?} {signature:?}");
            assert!(steps.is_ok() && bases.is_ok() && new.is_ok(), "{steps:?} {bases:?} {new:?}");
            assert!(indexed.is_ok() && loaded.is_ok() && audit.is_ok(), "{indexed:?} {loaded:?} {audit:?}");
        }
    }
}
