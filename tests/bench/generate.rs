//! Registries with a long history, made by `git fast-import`: one commit for each version.

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use greenroom::entity::settings::{FORMAT, IdentitySettings, Layout, MailPolicy, Rules};
use greenroom::entity::version::{Artifacts, Metric, VersionSource, VersionStatus};
use greenroom::entity::{Access, Model, PermissionLevel, Person, Settings, StagePointer, Version};
use greenroom::format::path::Paths;
use greenroom::format::{EntityFile, print};
use greenroom::name::{Digest, Id, ModelName, Principal, UserName};
use greenroom::text::Text;
use greenroom::time::Timestamp;

/// The size and layout of a generated registry.
#[derive(Clone, Copy)]
pub struct Shape {
    /// The number of models.
    pub models: u64,
    /// The number of versions of each model.
    pub versions: u64,
    /// The layout of the files.
    pub layout: Layout,
}

/// The time of the first commit, in seconds since the epoch; each later commit is one second later.
pub const START: i64 = 1_750_000_000;

fn text(s: impl AsRef<str>) -> Text {
    Text::new(s.as_ref()).expect("plain text")
}

/// The name of a model; teams share prefixes, as in real registries.
pub fn model(i: u64) -> ModelName {
    ModelName::new(format!("team-{:02}.fraud-{i:05}", i % 37)).expect("a name")
}

fn id(n: u64, kind: u8) -> Id {
    let mut random = [kind; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    Id::from_parts((START + n as i64) * 1000, random)
}

fn alice() -> UserName {
    UserName::new("alice").expect("a name")
}

fn version(m: u64, v: u64, n: u64) -> Version {
    let at = Timestamp::from_seconds(START + n as i64);
    Version {
        id: id(n, 2),
        created_at: at,
        created_by: alice(),
        description: text(format!("Trained on week {v} of data")),
        status: VersionStatus::Ready,
        status_message: Text::default(),
        source: VersionSource {
            uri: text(format!("runs:/{n:032x}/model")),
            run_id: text(format!("{n:032x}")),
            ..VersionSource::default()
        },
        artifacts: Some(Artifacts { digest: Digest::new(format!("{n:064x}")).expect("hex"), size: 61_815, files: 7 }),
        tags: [
            ("team", format!("t{}", m % 37)),
            ("validated", (if v.is_multiple_of(3) { "true" } else { "false" }).to_owned()),
        ]
        .map(|(k, v)| (k.parse().expect("a key"), text(v)))
        .into(),
        params: [("alpha", format!("0.{v}")), ("fit_intercept", "True".to_owned())]
            .map(|(k, v)| (k.parse().expect("a key"), text(v)))
            .into(),
        metrics: [("auc", 0.5 + (n % 500) as f64 / 1000.0), ("rmse", n as f64 / 7.0)]
            .map(|(k, v)| (k.parse().expect("a key"), Metric::Value(v)))
            .into(),
        schema: None,
        model: None,
        environment: None,
    }
}

/// Makes a bare repository with a registry of a shape, packed, with a commit-graph. Returns its folder.
pub fn registry(at: &Path, shape: Shape) -> PathBuf {
    let dir = at.join(format!("{}x{}-{}", shape.models, shape.versions, shape.layout.as_str()));
    greenroom::git::Repo::init(&dir, true).expect("a repository");
    let mut import = Command::new("git")
        .args(["fast-import", "--quiet", "--depth=20"])
        .current_dir(&dir)
        .stdin(Stdio::piped())
        .spawn()
        .expect("git fast-import");
    let mut out = BufWriter::with_capacity(1 << 20, import.stdin.take().expect("a pipe"));
    let paths = Paths(shape.layout);
    out.write_all(commit(0, "Create the registry", &base(shape)).as_bytes()).expect("written");
    let mut n = 0;
    for v in 1..=shape.versions {
        for m in 0..shape.models {
            n += 1;
            let name = model(m);
            let mut files = vec![file(&format!("{}/version.toml", paths.version(&name, v)), &version(m, v, n))];
            if v == 1 {
                files.push(file(&format!("{}/model.toml", paths.model(&name)), &model_file(m, n)));
            }
            if v == 2 || v == 4 {
                let (stage, other) = ("Production", v == 4);
                let versions = [if other { 4 } else { 2 }].into();
                files.push(file(&format!("{}/stages/{stage}.toml", paths.model(&name)), &StagePointer { versions }));
                if other {
                    let path = format!("{}/stages/Archived.toml", paths.model(&name));
                    files.push(file(&path, &StagePointer { versions: [2].into() }));
                }
            }
            if v == 3 {
                let path = format!("{}/aliases/champion.toml", paths.model(&name));
                files.push(file(&path, &greenroom::entity::AliasPointer { version: 3 }));
            }
            out.write_all(commit(n, &format!("Register {name} version {v}"), &files).as_bytes()).expect("written");
        }
    }
    drop(out);
    assert!(import.wait().is_ok_and(|s| s.success()), "git fast-import failed");
    for args in [
        &["repack", "-adq", "--depth=20"][..],
        &["commit-graph", "write", "--reachable"],
        &["symbolic-ref", "HEAD", "refs/heads/main"],
    ] {
        super::measure::quietly(Command::new("git").args(args).current_dir(&dir));
    }
    dir
}

fn model_file(m: u64, n: u64) -> Model {
    Model {
        id: id(n, 1),
        name: model(m),
        created_at: Timestamp::from_seconds(START + n as i64),
        created_by: alice(),
        description: text("Says whether a payment is a fraud"),
        retired: None,
        tags: [("owner".parse().expect("a key"), text(format!("team-{:02}", m % 37)))].into(),
    }
}

fn base(shape: Shape) -> Vec<(String, String)> {
    let settings = Settings {
        id: id(0, 0),
        name: text("bench"),
        format: FORMAT,
        layout: shape.layout,
        identity: IdentitySettings::default(),
        notifications: MailPolicy::default(),
        rules: Rules::default(),
        sources: Default::default(),
        acknowledged: Vec::new(),
        stages: std::collections::BTreeMap::new(),
        aliases: std::collections::BTreeMap::new(),
    };
    let mut access = Access::default();
    access.grant(Principal::User(alice()), PermissionLevel::CanManage);
    let person = Person { emails: [text("alice@example.com")].into(), ..Person::default() };
    let attributes = (".gitattributes".to_owned(), "* -text\n".to_owned());
    vec![
        file("greenroom.toml", &settings),
        file("access.toml", &access),
        file("people/alice.toml", &person),
        attributes,
    ]
}

fn file<T: EntityFile>(path: &str, value: &T) -> (String, String) {
    (path.to_owned(), print(value))
}

fn commit(n: u64, subject: &str, files: &[(String, String)]) -> String {
    let mut out = String::new();
    let who = format!("Alice <alice@example.com> {} +0000", START + n as i64);
    let _ = write!(out, "commit refs/heads/main\nauthor {who}\ncommitter {who}\ndata {}\n{subject}\n", subject.len());
    for (path, content) in files {
        let _ = write!(out, "M 100644 inline {path}\ndata {}\n{content}\n", content.len());
    }
    out.push('\n');
    out
}
