//! Bytes ⇄ plain data: where each file lies, how it is written, read and edited, and its JSON Schema.
//!
//! Reading is lenient and complete ([`parse`]): it returns the usable content, and every fault with its position.
//! Printing is canonical ([`print()`]). Editing ([`edit::edit`]) keeps everything that does not change.

pub mod attributes;
pub mod canonical;
pub mod codec;
pub mod comments;
pub mod edit;
pub mod model_file;
pub mod path;
pub mod problem;
pub mod read;
pub mod schema;
pub mod strict;
pub mod strict_json;
pub mod write;

use toml_edit::DocumentMut;

use crate::entity::{Access, AliasPointer, Comment, Model, Person, Request, Settings, StagePointer, Version, Webhook};
pub use problem::Problem;
use read::FromTable;
use write::ToTable;

/// The largest TOML file of a registry that is read, in bytes; checked before parsing.
pub const MAX_FILE: u64 = 256 * 1024;

/// A kind of TOML file in a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// `greenroom.toml`
    Settings,
    /// `access.toml`
    Access,
    /// `people/<user>.toml`
    Person,
    /// `model.toml`
    Model,
    /// `stages/<Stage>.toml`
    Stage,
    /// `aliases/<alias>.toml`
    Alias,
    /// `version.toml`
    Version,
    /// `requests/<id>.toml`
    Request,
    /// `comments/<id>.toml`
    Comment,
    /// `webhooks/<id>.toml`
    Webhook,
}

impl FileKind {
    /// All kinds, in the order of the tree.
    pub const ALL: [Self; 10] = [
        Self::Settings,
        Self::Access,
        Self::Person,
        Self::Model,
        Self::Stage,
        Self::Alias,
        Self::Version,
        Self::Request,
        Self::Comment,
        Self::Webhook,
    ];

    /// Returns the name of the kind, as in `greenroom schema <kind>` and `schema/<kind>.schema.json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "greenroom",
            Self::Access => "access",
            Self::Person => "person",
            Self::Model => "model",
            Self::Stage => "stage",
            Self::Alias => "alias",
            Self::Version => "version",
            Self::Request => "request",
            Self::Comment => "comment",
            Self::Webhook => "webhook",
        }
    }

    /// Returns globs that match the files of this kind in both layouts, for editors.
    pub const fn globs(self) -> &'static [&'static str] {
        match self {
            Self::Settings => &["greenroom.toml"],
            Self::Access => &["access.toml", "models/*/access.toml", "models/*/*/access.toml"],
            Self::Person => &["people/*.toml"],
            Self::Model => &["models/*/model.toml", "models/*/*/model.toml"],
            Self::Stage => &["models/*/stages/*.toml", "models/*/*/stages/*.toml"],
            Self::Alias => &["models/*/aliases/*.toml", "models/*/*/aliases/*.toml"],
            Self::Version => &["models/*/versions/*/version.toml", "models/*/*/versions/*/*/version.toml"],
            Self::Request => &["models/*/versions/*/requests/*.toml", "models/*/*/versions/*/*/requests/*.toml"],
            Self::Comment => &["models/*/versions/*/comments/*.toml", "models/*/*/versions/*/*/comments/*.toml"],
            Self::Webhook => &["webhooks/*.toml"],
        }
    }
}

/// A type that is stored in a file of its own.
pub trait EntityFile: FromTable + ToTable + PartialEq + Clone {
    /// The kind of file.
    const KIND: FileKind;
}

macro_rules! records {
    ($($type:ident = $kind:ident),* $(,)?) => {$(
        impl EntityFile for $type {
            const KIND: FileKind = FileKind::$kind;
        }
    )*};
}
records!(
    Settings = Settings,
    Access = Access,
    Person = Person,
    Model = Model,
    StagePointer = Stage,
    AliasPointer = Alias,
    Version = Version,
    Request = Request,
    Comment = Comment,
    Webhook = Webhook,
);

/// Reads a file. Returns the usable content, and all faults with their positions; `path` names the file in the faults.
pub fn parse<T: EntityFile>(path: &str, bytes: &[u8]) -> (Option<T>, Vec<Problem>) {
    read::read(path, bytes)
}

/// Reads a file as the gate does: as [`parse`], and the text must also be TOML 1.0 without hidden characters.
pub fn parse_strict<T: EntityFile>(path: &str, bytes: &[u8]) -> (Option<T>, Vec<Problem>) {
    let (value, mut problems) = parse(path, bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        problems.extend(strict::check(path, text));
        problems.sort();
        problems.dedup();
    }
    (value, problems)
}

/// Returns the canonical text of a file.
pub fn print<T: EntityFile>(value: &T) -> String {
    let mut doc = DocumentMut::new();
    value.to_table(doc.as_table_mut());
    doc.to_string()
}
