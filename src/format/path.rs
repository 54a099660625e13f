//! The paths of all files and folders of a registry, in the flat and the sharded layout.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::entity::settings::Layout;
use crate::name::{AliasName, Id, ModelName, UserName, fold};
use crate::stage::Stage;

/// The longest name of a model's folder in bytes; a longer one is abbreviated with a hash. File systems stop at 255
/// bytes.
const MAX_DIR: usize = 200;

/// The name of a model's folder: the name of the model with unusual bytes percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelDir(String);

impl ModelDir {
    /// Returns the folder name of a model.
    pub fn of(name: &ModelName) -> Self {
        let encoded = encode(name.as_str());
        if encoded.len() <= MAX_DIR {
            return Self(encoded);
        }
        // Cut before an escape sequence, never within it. The hash keeps abbreviated names apart.
        let mut end = 150;
        while encoded
            .get(..end)
            .is_some_and(|s| s.ends_with('%') || s.get(s.len() - 2..).is_some_and(|t| t.starts_with('%')))
        {
            end -= 1;
        }
        Self(format!("{}~{}", encoded.get(..end).unwrap_or_default(), hex(&hash(name.as_str()), 8)))
    }

    /// Parses the name of a folder; `None` if no model can have it.
    pub fn parse(dir: &str) -> Option<Self> {
        let abbreviated = dir.split_once('~').is_some_and(|(head, tail)| {
            tail.len() == 16
                && tail.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
                && head.bytes().all(|b| is_kept(b) || b == b'%')
        });
        let exact = || decode(dir).is_some_and(|name| ModelName::new(name).is_ok());
        (abbreviated || exact()).then(|| Self(dir.to_owned()))
    }

    /// Returns the name of the model; `None` for an abbreviated folder, whose `model.toml` has the name.
    pub fn name(&self) -> Option<ModelName> {
        ModelName::new(decode(&self.0)?).ok()
    }

    /// Returns the name of the folder.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the shard of a model: two hexadecimal digits of the SHA-256 of its *folded* name. Names that differ only by
/// case or normalisation fall into one shard, so a clash is found without reading the other shards.
pub fn shard(name: &ModelName) -> String {
    hex(&hash(name.as_str()), 1)
}

/// Returns the folder of hundreds that holds a version: `0003` for the versions 300 to 399.
pub fn hundred(number: u64) -> String {
    format!("{:04}", number / 100)
}

/// The meaning of a path within a registry. Paths are relative to the root of the registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Location {
    /// `greenroom.toml`
    Settings,
    /// `access.toml`
    Access,
    /// `people/<user>.toml`
    Person(UserName),
    /// `webhooks/<id>.toml`
    Webhook(Id),
    /// `models/<name>/model.toml`
    Model(ModelDir),
    /// `models/<name>/access.toml`
    ModelAccess(ModelDir),
    /// `models/<name>/stages/<Stage>.toml`
    Stage(ModelDir, Stage),
    /// `models/<name>/aliases/<alias>.toml`
    Alias(ModelDir, AliasName),
    /// `models/<name>/versions/<n>/version.toml`
    Version(ModelDir, u64),
    /// `models/<name>/versions/<n>/requests/<id>.toml`
    Request(ModelDir, u64, Id),
    /// `models/<name>/versions/<n>/comments/<id>.toml`
    Comment(ModelDir, u64, Id),
    /// `models/<name>/versions/<n>/artifacts/…`, with the path below `artifacts/`
    Artifact(ModelDir, u64, String),
    /// `models/<name>/versions/<n>/.gitattributes`
    Attributes(ModelDir, u64),
    /// A file beside the registry's own: README, `.gitattributes`, `.mailmap`, CODEOWNERS, CI, documentation.
    Companion(String),
}

impl Location {
    /// Parses a path.
    ///
    /// # Errors
    /// The reason, if the registry can have no file at this path.
    pub fn parse(path: &str, layout: Layout) -> Result<Self, String> {
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["greenroom.toml"] => Ok(Self::Settings),
            ["access.toml"] => Ok(Self::Access),
            ["people", file] => {
                let name = stem(file)?;
                let user = decode(name).and_then(|s| UserName::new(s).ok());
                user.map(Self::Person).ok_or_else(|| format!("'{name}' is not a valid id of a person"))
            }
            ["webhooks", file] => id(file).map(Self::Webhook),
            ["models", "README.md"] => Ok(Self::Companion(path.to_owned())),
            ["models", rest @ ..] => Self::in_models(path, rest, layout),
            _ if is_companion(&parts) => Ok(Self::Companion(path.to_owned())),
            _ => Err("a registry has no file with this path".to_owned()),
        }
    }

    /// Returns the folder of the model that the file belongs to.
    pub const fn model(&self) -> Option<&ModelDir> {
        match self {
            Self::Settings | Self::Access | Self::Person(_) | Self::Webhook(_) | Self::Companion(_) => None,
            Self::Model(m)
            | Self::ModelAccess(m)
            | Self::Stage(m, _)
            | Self::Alias(m, _)
            | Self::Version(m, _)
            | Self::Request(m, _, _)
            | Self::Comment(m, _, _)
            | Self::Artifact(m, _, _)
            | Self::Attributes(m, _) => Some(m),
        }
    }

    /// Returns the number of the version that the file belongs to.
    pub const fn version(&self) -> Option<u64> {
        match self {
            Self::Settings
            | Self::Access
            | Self::Person(_)
            | Self::Webhook(_)
            | Self::Companion(_)
            | Self::Model(_)
            | Self::ModelAccess(_)
            | Self::Stage(..)
            | Self::Alias(..) => None,
            Self::Version(_, n)
            | Self::Attributes(_, n)
            | Self::Request(_, n, _)
            | Self::Comment(_, n, _)
            | Self::Artifact(_, n, _) => Some(*n),
        }
    }

    /// Returns the same file of another model.
    #[must_use]
    pub fn in_model(self, dir: &ModelDir) -> Self {
        let dir = dir.clone();
        match self {
            Self::Settings | Self::Access | Self::Person(_) | Self::Webhook(_) | Self::Companion(_) => self,
            Self::Model(_) => Self::Model(dir),
            Self::ModelAccess(_) => Self::ModelAccess(dir),
            Self::Stage(_, stage) => Self::Stage(dir, stage),
            Self::Alias(_, alias) => Self::Alias(dir, alias),
            Self::Version(_, n) => Self::Version(dir, n),
            Self::Request(_, n, id) => Self::Request(dir, n, id),
            Self::Comment(_, n, id) => Self::Comment(dir, n, id),
            Self::Artifact(_, n, path) => Self::Artifact(dir, n, path),
            Self::Attributes(_, n) => Self::Attributes(dir, n),
        }
    }

    fn in_models(path: &str, rest: &[&str], layout: Layout) -> Result<Self, String> {
        let (dir, rest) = match (layout, rest) {
            (Layout::Flat, [dir, rest @ ..]) => (*dir, rest),
            (Layout::Sharded, [shard, dir, rest @ ..]) if is_shard(shard) => (*dir, rest),
            (Layout::Sharded, _) => {
                return Err("in the sharded layout, models are in models/<2 hex digits>/<name>/".into());
            }
            (Layout::Flat, []) => return Err("models/ must be a folder".to_owned()),
        };
        let model = ModelDir::parse(dir).ok_or_else(|| format!("'{dir}' is not the folder name of a model"))?;
        let wrong_shard = |name: ModelName| !path.starts_with(&format!("models/{}/", shard(&name)));
        if layout == Layout::Sharded && model.name().is_some_and(wrong_shard) {
            return Err("the model is in the wrong shard; run `greenroom reshard` to move it".to_owned());
        }
        match rest {
            ["model.toml"] => Ok(Self::Model(model)),
            ["access.toml"] => Ok(Self::ModelAccess(model)),
            ["README.md"] => Ok(Self::Companion(path.to_owned())),
            ["stages", file] => stage(file).map(|s| Self::Stage(model, s)),
            ["aliases", file] => {
                let name = stem(file)?;
                let alias = decode(name).and_then(|s| AliasName::new(s).ok()).filter(|_| file.len() <= MAX_FILE_NAME);
                alias.map(|a| Self::Alias(model, a)).ok_or_else(|| format!("'{name}' is not a valid alias"))
            }
            ["versions", rest @ ..] => Self::in_versions(model, rest, layout),
            _ => Err("a model has no file with this path".to_owned()),
        }
    }

    fn in_versions(model: ModelDir, rest: &[&str], layout: Layout) -> Result<Self, String> {
        let (number, rest) = match (layout, rest) {
            (Layout::Flat, [n, rest @ ..]) => (number(n)?, rest),
            (Layout::Sharded, [hundreds, n, rest @ ..]) => {
                let number = number(n)?;
                if hundred(number) != *hundreds {
                    return Err(format!("version {number} must be in the folder {}", hundred(number)));
                }
                (number, rest)
            }
            (Layout::Flat | Layout::Sharded, _) => return Err("a version has no folder with this path".to_owned()),
        };
        match rest {
            ["version.toml"] => Ok(Self::Version(model, number)),
            [".gitattributes"] => Ok(Self::Attributes(model, number)),
            ["requests", file] => id(file).map(|i| Self::Request(model, number, i)),
            ["comments", file] => id(file).map(|i| Self::Comment(model, number, i)),
            ["artifacts", path @ ..] if !path.is_empty() => Ok(Self::Artifact(model, number, path.join("/"))),
            _ => Err("a version has no file with this path".to_owned()),
        }
    }
}

/// The paths at which a layout stores files.
#[derive(Debug, Clone, Copy)]
pub struct Paths(pub Layout);

impl Paths {
    /// Returns the folder of a model.
    pub fn model(self, name: &ModelName) -> String {
        match self.0 {
            Layout::Flat => format!("models/{}", ModelDir::of(name)),
            Layout::Sharded => format!("models/{}/{}", shard(name), ModelDir::of(name)),
        }
    }

    /// Returns the folder of a version within the folder of its model.
    pub fn version_in_model(self, number: u64) -> String {
        match self.0 {
            Layout::Flat => format!("versions/{number}"),
            Layout::Sharded => format!("versions/{}/{number}", hundred(number)),
        }
    }

    /// Returns the folder of a version.
    pub fn version(self, name: &ModelName, number: u64) -> String {
        format!("{}/{}", self.model(name), self.version_in_model(number))
    }
}

/// Returns the file of a person: `people/<user>.toml`.
pub fn person(user: &UserName) -> String {
    format!("people/{}.toml", encode(user.as_str()))
}

/// Returns the file of a webhook: `webhooks/<id>.toml`.
pub fn webhook(id: &Id) -> String {
    format!("webhooks/{id}.toml")
}

/// The longest file name that common file systems can store, in bytes.
pub const MAX_FILE_NAME: usize = 255;

/// Returns the file name of an alias within `aliases/`.
pub fn alias_file(alias: &AliasName) -> String {
    format!("{}.toml", encode(alias.as_str()))
}

/// Returns the alias that a file name encodes.
pub fn alias_of(file: &str) -> Option<AliasName> {
    AliasName::new(decode(stem(file).ok()?)?).ok()
}

/// Returns the stage that a file name encodes.
pub fn stage_of(file: &str) -> Option<Stage> {
    stage(file).ok()
}

/// Returns the id that a file name encodes.
pub fn id_of(file: &str) -> Option<Id> {
    id(file).ok()
}

/// Returns the user name that a file name encodes.
pub fn person_of(file: &str) -> Option<UserName> {
    UserName::new(decode(stem(file).ok()?)?).ok()
}

/// Returns the version number that a folder name encodes.
pub fn number_of(dir: &str) -> Option<u64> {
    number(dir).ok()
}

fn stem(file: &str) -> Result<&str, String> {
    file.strip_suffix(".toml").ok_or_else(|| "only .toml files are allowed here".to_owned())
}

fn id(file: &str) -> Result<Id, String> {
    Id::new(stem(file)?).map_err(|e| e.to_string())
}

fn stage(file: &str) -> Result<Stage, String> {
    let name = stem(file)?;
    match name.parse::<Stage>() {
        Ok(Stage::None) => Err("the stage None has no file: a version is in None if no stage file lists it".to_owned()),
        Ok(stage) if stage.as_str() == name => Ok(stage),
        Ok(stage) => Err(format!("the file must be named {stage}.toml")),
        Err(e) => Err(e.to_string()),
    }
}

fn number(dir: &str) -> Result<u64, String> {
    let canonical = |n: &u64| *n > 0 && *n <= i64::MAX as u64 && n.to_string() == dir;
    dir.parse().ok().filter(canonical).ok_or_else(|| format!("'{dir}' is not a version number"))
}

fn is_shard(s: &str) -> bool {
    s.len() == 2 && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Folders that may lie beside the registry's own, with anything in them.
pub const COMPANION_FOLDERS: [&str; 7] =
    ["docs", ".greenroom", ".github", ".gitlab", ".gitea", ".forgejo", "inference"];

/// Files that may lie beside the registry's own.
pub const COMPANIONS: [&str; 11] = [
    "README.md",
    "README",
    "LICENSE",
    "CODEOWNERS",
    ".gitattributes",
    ".gitignore",
    ".gitlab-ci.yml",
    ".editorconfig",
    ".lfsconfig",
    ".mailmap",
    ".taplo.toml",
];

/// Files that may be beside the registry's own files; administrators of the registry may write them.
fn is_companion(parts: &[&str]) -> bool {
    match parts {
        [file] => COMPANIONS.contains(file),
        [dir, ..] => COMPANION_FOLDERS.contains(dir),
        [] => false,
    }
}

const fn is_kept(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')
}

/// Percent-encodes a name for file systems: bytes outside `[A-Za-z0-9._-]`, a dot at either end, and the first byte of
/// a name that Windows reserves.
pub fn encode(name: &str) -> String {
    use std::fmt::Write as _;
    let last = name.len().saturating_sub(1);
    let mut out = String::with_capacity(name.len());
    for (i, b) in name.bytes().enumerate() {
        let edge_dot = b == b'.' && (i == 0 || i == last);
        if is_kept(b) && !edge_dot && !(i == 0 && is_reserved(name)) {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
    }
    out
}

/// Decodes a name; `None` unless encoding the result again gives the same text.
pub fn decode(encoded: &str) -> Option<String> {
    percent_decoded(encoded).filter(|name| encode(name) == encoded)
}

/// Replaces each `%` and its two hexadecimal digits by the byte that they encode; `None` if digits are missing or the
/// bytes are not UTF-8.
pub(super) fn percent_decoded(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(b) = rest.next() {
        if b != b'%' {
            bytes.push(b);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// Returns whether Windows reserves a name, with or without an extension.
pub fn is_reserved(name: &str) -> bool {
    let base = name.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let numbered = |s: &str| base.strip_prefix(s).is_some_and(|n| matches!(n.as_bytes(), [b'0'..=b'9']));
    matches!(base.as_str(), "CON" | "PRN" | "AUX" | "NUL") || numbered("COM") || numbered("LPT")
}

fn hash(name: &str) -> [u8; 32] {
    Sha256::digest(fold(name).as_bytes()).into()
}

fn hex(bytes: &[u8], count: usize) -> String {
    bytes.iter().take(count).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_folders_and_back() {
        for (name, dir) in [
            ("churn", "churn"),
            ("Wine quality", "Wine%20quality"),
            (".hidden", "%2Ehidden"),
            ("x.git", "x.git"),
            ("end.", "end%2E"),
            ("CON", "%43ON"),
            ("com1.x", "%63om1.x"),
            ("größe", "gr%C3%B6%C3%9Fe"),
            ("50%", "50%25"),
            ("a\\b", "a%5Cb"),
        ] {
            assert_eq!(encode(name), dir);
            assert_eq!(decode(dir).as_deref(), Some(name));
        }
        for alias in ["%41", "%2f", "%4", "%zz"] {
            assert_eq!(decode(alias), None, "{alias} is a second spelling or none");
        }
    }

    #[test]
    fn long_names_are_abbreviated_and_stay_apart() {
        let name = |end: &str| ModelName::new(format!("{}{end}", "長".repeat(200))).unwrap();
        let (a, b) = (ModelDir::of(&name("a")), ModelDir::of(&name("b")));
        assert_ne!(a, b);
        assert!(a.as_str().len() <= MAX_DIR);
        assert_eq!(ModelDir::parse(a.as_str()), Some(a.clone()));
        assert_eq!(a.name(), None);
    }

    #[test]
    fn confusable_names_share_a_shard() {
        assert_eq!(shard(&ModelName::new("Churn").unwrap()), shard(&ModelName::new("churn").unwrap()));
    }

    #[test]
    fn each_file_has_one_place() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        for path in [
            "greenroom.toml",
            "access.toml",
            "people/alice%40example.com.toml",
            "models/churn/model.toml",
            "models/churn/stages/Production.toml",
            "models/churn/aliases/champion.toml",
            "models/churn/versions/3/version.toml",
            "models/churn/versions/3/artifacts/a/b",
            ".github/workflows/x.yml",
            &format!("models/churn/versions/3/requests/{id}.toml"),
            &format!("webhooks/{id}.toml"),
        ] {
            assert!(Location::parse(path, Layout::Flat).is_ok(), "{path}");
        }
        for path in [
            "other.toml",
            "models/churn/stages/None.toml",
            "models/churn/stages/production.toml",
            "models/churn/versions/03/version.toml",
            "models/churn/versions/0/version.toml",
            "models/a%62/model.toml",
            "people/x.txt",
            "models/churn/versions/3/artifacts",
            "models/churn",
            "people/../access.toml",
        ] {
            assert!(Location::parse(path, Layout::Flat).is_err(), "{path}");
        }
        let churn = ModelName::new("churn").unwrap();
        let sharded = Paths(Layout::Sharded).version(&churn, 342);
        assert_eq!(sharded, format!("models/{}/churn/versions/0003/342", shard(&churn)));
        assert!(Location::parse(&format!("{sharded}/version.toml"), Layout::Sharded).is_ok());
        assert!(Location::parse("models/00/churn/model.toml", Layout::Sharded).is_err());
    }
}
