//! A random history of a registry: changes by command, by hand and by merge, with wrong clocks.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use greenroom::action::{Action, NewVersion};
use greenroom::entity::settings::{FORMAT, IdentitySettings, Layout, Rules};
use greenroom::entity::{Person, Settings};
use greenroom::git::{CommitDraft, Durability, Ident, Repo};
use greenroom::name::{Id, ModelName};
use greenroom::registry::{ChangeAuthor, ChangeOptions, Registry};
use greenroom::stage::Stage;
use greenroom::text::Text;
use greenroom::time::Timestamp;
use greenroom::tree::{Patch, Stage as _};

const NAMES: [&str; 7] = ["churn", "fraud", "credit risk", "Wine", "a%b", "é", "long"];

/// A registry in a bare repository, with the random numbers and the clock that drive it.
pub struct Life {
    _guard: tempfile::TempDir,
    path: PathBuf,
    chance: RefCell<u64>,
    clock: RefCell<i64>,
}

impl Life {
    /// An empty registry; the same seed gives the same history. Every second registry is sharded, and every third lies
    /// in a folder of a larger repository.
    pub fn new(seed: u64) -> Self {
        let guard = tempfile::tempdir().unwrap();
        let path = guard.path().join("r.git");
        let repo = Repo::init(&path, true).unwrap();
        let at = if seed.is_multiple_of(3) { "registry/" } else { "" };
        let life = Self {
            _guard: guard,
            path,
            chance: RefCell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            clock: RefCell::new(1_772_366_400_000),
        };
        let settings = Settings {
            id: Id::from_parts(1_772_366_400_000, [7; 10]),
            name: text("test"),
            format: FORMAT,
            layout: if seed.is_multiple_of(2) { Layout::Sharded } else { Layout::Flat },
            identity: IdentitySettings::default(),
            notifications: greenroom::entity::settings::MailPolicy::default(),
            rules: Rules::default(),
            sources: Default::default(),
            acknowledged: Vec::new(),
            stages: Default::default(),
            aliases: Default::default(),
        };
        let maker = Person { name: text("Alice"), emails: [text("alice@example.org")].into(), ..Person::default() };
        life.change(&Registry::with(repo, at).unwrap(), Action::CreateRegistry { settings, maker });
        life
    }

    /// Opens the registry again.
    pub fn registry(&self) -> Registry {
        Registry::discover(&self.path).unwrap()
    }

    /// Makes `attempts` attempts to change something; the rules refuse some.
    pub fn go_on(&self, attempts: usize) {
        let registry = self.registry();
        for _ in 0..attempts {
            match self.roll(12) {
                0 => self.by_hand(&registry),
                1 => self.merge(&registry),
                _ => {
                    let action = self.action();
                    self.change(&registry, action);
                }
            }
        }
    }

    /// Resets the branch by some commits.
    pub fn rewind(&self, commits: usize) {
        let registry = self.registry();
        let head = registry.head().unwrap().unwrap();
        let back = registry.repo().first_parents(head).unwrap().nth(commits).unwrap().unwrap().commit;
        let git = std::process::Command::new("git")
            .arg("--git-dir")
            .arg(&self.path)
            .args(["update-ref", registry.branch(), &back.to_string()])
            .status();
        assert!(git.unwrap().success());
    }

    fn roll(&self, sides: u64) -> u64 {
        let mut x = self.chance.borrow_mut();
        *x ^= *x << 13;
        *x ^= *x >> 7;
        *x ^= *x << 17;
        (*x >> 11) % sides
    }

    fn pick<T: Clone>(&self, of: &[T]) -> T {
        of[self.roll(of.len() as u64) as usize].clone()
    }

    /// The time, which usually advances by less than a second and sometimes jumps, even back.
    fn now(&self) -> Timestamp {
        let step = match self.roll(10) {
            0 => 86_400_000,
            1 => -40_000_000,
            n => n as i64 * 150,
        };
        *self.clock.borrow_mut() += step;
        Timestamp::from_millis(*self.clock.borrow())
    }

    fn ident(&self, now: Timestamp) -> Ident {
        let (name, email) = self.pick(&[("Alice", "alice@example.org"), ("Bot", "Bot@ci.example.org")]);
        Ident::new(name, email, now)
    }

    fn name(&self) -> ModelName {
        let name = self.pick(&NAMES);
        // A name so long that its folder does not spell it out.
        if name == "long" { ModelName::new("é".repeat(120)).unwrap() } else { ModelName::new(name).unwrap() }
    }

    fn change(&self, registry: &Registry, action: Action) {
        let now = self.now();
        let author = Ident::new("Alice", "alice@example.org", now);
        let asker = ChangeAuthor { user: "alice".parse().unwrap(), author, committer: self.ident(now) };
        let options = ChangeOptions { comment: "why\n\nand more".to_owned(), dry_run: false, relaxed: true };
        // A refused change leaves nothing behind, which is a part of the test.
        let _ = registry.change(&asker, &[action], now, &options);
    }

    fn action(&self) -> Action {
        let (model, version) = (self.name(), 1 + self.roll(4));
        let word = || text(self.pick(&["", "one", "two", "three\nlines\n", "é"]));
        let key = || self.pick(&["team", "my key", "mlflow.prompt.is_prompt"]).parse().unwrap();
        let stage = || self.pick(&[Stage::None, Stage::Staging, Stage::Production, Stage::Archived]);
        match self.roll(21) {
            0 => Action::CreateModel { model, description: word(), tags: Default::default() },
            1 => Action::DescribeModel { model, description: word() },
            2 => Action::RenameModel { model, to: self.name() },
            3 => Action::DeleteModel { model },
            4 => Action::SetModelTag { model, key: key(), value: text("true") },
            5 => Action::DeleteModelTag { model, key: key() },
            6..=9 => {
                let tags = if self.roll(9) == 0 { [(key(), text("true"))].into() } else { Default::default() };
                let description = if self.roll(5) == 0 { text("long ".repeat(100)) } else { word() };
                let new = NewVersion { create_model: true, description, tags, ..NewVersion::default() };
                Action::CreateVersion { model, new: Box::new(new) }
            }
            10 => Action::DescribeVersion { model, version, description: word() },
            11 => Action::DeleteVersion { model, version },
            12 => Action::SetVersionTag { model, version, key: key(), value: word() },
            13 => Action::DeleteVersionTag { model, version, key: key() },
            14 => Action::SetAlias { model, alias: "champion".parse().unwrap(), version },
            15 => Action::AddComment { model, version, text: text("fine") },
            16 => Action::CreateRequest { model, version, to: stage(), archive_existing: true, comment: word() },
            18 => Action::MoveRegistry { to: self.pick(&["", "registry/", "ml/"]).to_owned() },
            17 => Action::Reshard { layout: self.pick(&[Layout::Flat, Layout::Sharded]) },
            _ => Action::Transition { model, version, to: stage(), archive_existing: self.roll(2) == 0 },
        }
    }

    /// Makes invalid changes by hand: unreadable files, contradictions, files of another kind.
    fn by_hand(&self, registry: &Registry) {
        let snapshot = registry.snapshot().unwrap();
        let models = snapshot.models().unwrap();
        let mut patch = Patch::default();
        if let Some(model) = models.get(self.roll(models.len().max(1) as u64) as usize) {
            let file = format!("{}/model.toml", model.path);
            let known = model.file().unwrap().and_then(|f| f.value).map(|m| greenroom::format::print(&m));
            let version = model.versions().unwrap().pop();
            match (self.roll(6), known, version) {
                (0, _, _) => patch.write(file, "not TOML ["),
                (1, Some(text), _) => patch.write(file, text.replace("name = ", "name = \"other\" # ")),
                (2, _, _) => patch.remove(file),
                (3, _, Some(version)) => patch.write(format!("{}/version.toml", version.path), "]"),
                (4, _, Some(version)) => patch.remove(version.path),
                (_, Some(text), _) => patch.write(file, text),
                (_, None, _) => patch.remove(model.path.clone()),
            }
        } else {
            patch.write(snapshot.full_path("notes.txt"), "a stray");
        }
        self.publish(registry, &patch, false);
    }

    /// Merges a branch with a change outside of the registry, so that the step has no event or an unrelated one.
    fn merge(&self, registry: &Registry) {
        let mut patch = Patch::default();
        patch.write("README.md", format!("{}\n", self.roll(100)));
        self.publish(registry, &patch, true);
    }

    fn publish(&self, registry: &Registry, patch: &Patch, merge: bool) {
        let now = self.now();
        let repo = registry.repo();
        let head = registry.head().unwrap().unwrap();
        let tree = repo.stage(Some(repo.tree_of(&head).unwrap()), patch).unwrap();
        let parent = repo.commit(&head).unwrap().parents.first().copied();
        let merged = parent.filter(|_| merge).into_iter().collect();
        let message = "By hand\n".to_owned();
        let draft = CommitDraft { tree, merged, author: self.ident(now), committer: self.ident(now), message };
        let mut lock = repo.lock(Duration::from_secs(10)).unwrap();
        let published = repo.publish(&mut lock, registry.branch(), Some(head), &[draft], Durability::Relaxed);
        assert!(published.unwrap().left_behind.is_none());
    }
}

fn text(s: impl AsRef<str>) -> Text {
    Text::new(s.as_ref()).unwrap()
}
