//! Validated names of models, aliases, tag keys, people and groups; ids and digests.
//!
//! Models, aliases and keys follow MLflow's rules (`mlflow/utils/validation.py`) with one more restriction: control,
//! bidirectional and zero-width characters are refused in all names.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization as _;

use crate::text::{double_quoted, is_plain, quoted};

/// The error for an invalid name. The messages are MLflow's own, so that its clients recognise them, where MLflow has
/// one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// The name is empty or only white space.
    #[error("Missing value for required parameter '{what}'.")]
    Blank {
        /// The parameter with the name: `name`, `alias`, `key`…
        what: &'static str,
    },
    /// The name has more characters than allowed.
    #[error("'{what}' exceeds the maximum length of {max} characters")]
    TooLong {
        /// The parameter with the name.
        what: &'static str,
        /// The limit in characters.
        max: usize,
    },
    /// The name of a model contains a slash or a colon.
    #[error("Invalid model name {value}. Names cannot contain '/' or ':'.")]
    Separator {
        /// The value, quoted.
        value: String,
    },
    /// A file system would resolve the name to another name, such as `a/../b`.
    #[error(
        "Invalid value {value} for parameter '{what}' supplied: Names may be treated as files in certain cases, \
         and must not resolve to other names when treated as such. This name would resolve to '{resolved}'"
    )]
    Path {
        /// The parameter with the name.
        what: &'static str,
        /// The value, quoted.
        value: String,
        /// The resolved name.
        resolved: String,
    },
    /// The name contains a character that is not allowed.
    #[error("Invalid value {value} for parameter '{what}' supplied: {allowed}")]
    Characters {
        /// The parameter with the name.
        what: &'static str,
        /// The value, quoted.
        value: String,
        /// A sentence with the allowed characters.
        allowed: &'static str,
    },
    /// The alias is `latest`, which MLflow reserves for the newest version.
    #[error("'latest' alias name (case insensitive) is reserved.")]
    AliasLatest,
    /// The alias looks like a version, such as `v1`. Holds the alias.
    #[error("Version alias name '{0}' is reserved.")]
    AliasVersion(String),
    /// The id is not a UUID in lower case. Holds the id, quoted.
    #[error("Invalid id {0}: an id is a UUID in lower case, as `greenroom` generates it")]
    Id(String),
    /// The digest is not a SHA-256. Holds the digest, quoted.
    #[error("Invalid digest {0}: a digest is 64 lower-case hexadecimal digits of a SHA-256")]
    Digest(String),
}

/// Declares a type for a validated string, with the traits that all names have.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:path, $(#[$schema:meta])*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name($(#[$schema])* String);

        impl $name {
            /// Makes a name from a text.
            ///
            /// # Errors
            /// Returns [`InvalidName`] if the text breaks a rule for this kind of name.
            pub fn new(s: impl Into<String>) -> Result<Self, InvalidName> {
                let s = s.into();
                $check(&s)?;
                Ok(Self(s))
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(s: &str) -> Result<Self, InvalidName> {
                Self::new(s)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// The name of a registered model.
    ///
    /// ```
    /// use greenroom::name::ModelName;
    /// assert!(ModelName::new("wine quality (v2)").is_ok());
    /// assert!(ModelName::new("a/b").is_err());
    /// ```
    ///
    /// Names of different kinds have different types:
    /// ```compile_fail
    /// use greenroom::name::{AliasName, ModelName};
    /// let model: ModelName = AliasName::new("champion")?;
    /// ```
    ModelName, check_model, #[schemars(length(min = 1, max = 256), regex(pattern = "^[^/:\\x00-\\x1f\\x7f-\\x9f\\xad\\u061c\\u180e\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb]+$"))]
);

name!(
    /// An alias of a registered model, such as `champion`.
    AliasName, check_alias, #[schemars(length(min = 1, max = 255), regex(pattern = "^[\\p{Alphabetic}\\p{N}_-]+$"))]
);

name!(
    /// The key of a tag, parameter or metric.
    Key, check_key, #[schemars(length(min = 1, max = 250), regex(pattern = "^[\\p{Alphabetic}\\p{N}_/.: -]+$"))]
);

name!(
    /// A person's id in the registry: a login, a pseudonym or an e-mail address.
    UserName, check_user, #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._@+-]*$"))]
);

name!(
    /// The name of a group of people. The group `everyone` always exists and contains all people.
    GroupName, check_group, #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$"))]
);

name!(
    /// The id of a registered model, version, request, comment or webhook: a UUID in lower case. Greenroom creates
    /// version 7.
    Id, check_id, #[schemars(regex(pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"))]
);

name!(
    /// A SHA-256 as 64 lower-case hexadecimal digits.
    Digest, check_digest, #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
);

impl Id {
    /// Makes a UUID version 7 from a time in milliseconds since the epoch and 74 random bits. A negative time counts as
    /// 0.
    pub fn from_parts(millis: i64, random: [u8; 10]) -> Self {
        let millis = u64::try_from(millis).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string())
    }

    /// Parses an id from 32 hexadecimal digits without dashes. Returns `None` if `digits` has another form.
    pub fn from_digits(digits: &str) -> Option<Self> {
        let is_plain = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        uuid::Uuid::try_parse(digits).ok().filter(|_| is_plain).map(|uuid| Self(uuid.to_string()))
    }

    /// Returns an artificial id for a text, as the key for the first use of the text in the index. `sense` is the kind
    /// of use. No entity has this id.
    pub fn of_text(sense: &str, text: &str) -> Self {
        let sum = Sha256::digest(format!("{sense} {}", fold(text)));
        let bytes = sum.first_chunk::<16>().copied().unwrap_or_default();
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string())
    }

    /// Returns the 128 bits of the id.
    pub fn to_bytes(&self) -> [u8; 16] {
        uuid::Uuid::parse_str(&self.0).map_or([0; 16], uuid::Uuid::into_bytes)
    }

    /// Returns the time in a version 7 id, in milliseconds since the epoch. Returns `None` for another kind of UUID.
    pub fn millis(&self) -> Option<i64> {
        let uuid = uuid::Uuid::parse_str(&self.0).ok()?;
        let (secs, nanos) = uuid.get_timestamp().filter(|_| uuid.get_version_num() == 7)?.to_unix();
        i64::try_from(secs).ok()?.checked_mul(1000)?.checked_add(i64::from(nanos) / 1_000_000)
    }
}

impl UserName {
    /// Returns the key in the index for the commit that first added a person with this id, ignoring case.
    pub fn arrival_mark(&self) -> Id {
        Id::of_text("person.added", &self.0)
    }

    /// Returns the key in the index for the commit that first removed a person with this id, ignoring case.
    pub fn removal_mark(&self) -> Id {
        Id::of_text("person.removed", &self.0)
    }

    /// Returns the placeholder id `nobody`, for code that needs an id where no person is meant.
    pub fn nobody() -> Self {
        Self("nobody".to_owned())
    }
}

impl GroupName {
    /// Returns the group `everyone`, which contains all people.
    pub fn everyone() -> Self {
        Self("everyone".to_owned())
    }
}

/// The holder of a permission: `alice` or `group:risk`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// One person.
    User(UserName),
    /// All members of a group.
    Group(GroupName),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(u) => write!(f, "{u}"),
            Self::Group(g) => write!(f, "group:{g}"),
        }
    }
}

impl FromStr for Principal {
    type Err = InvalidName;
    fn from_str(s: &str) -> Result<Self, InvalidName> {
        match s.strip_prefix("group:") {
            Some(group) => group.parse().map(Self::Group),
            None => s.parse().map(Self::User),
        }
    }
}

impl Serialize for Principal {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl JsonSchema for Principal {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Principal".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A person or group: a person's id, or `group:` and the name of a group (`group:everyone` is all people).",
            "type": "string",
            "pattern": "^(group:[A-Za-z0-9][A-Za-z0-9._-]*|[A-Za-z0-9][A-Za-z0-9._@+-]*)$"
        })
    }
}

/// Folds a name by Unicode compatibility normalisation (NFKC) and lower case. Names that people or file systems confuse
/// fold to the same text.
pub fn fold(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let lower: String = name.nfkc().flat_map(char::to_lowercase).collect();
    lower.nfkc().collect()
}

fn check_model(s: &str) -> Result<(), InvalidName> {
    let what = "name";
    not_blank(what, s)?;
    if s.contains(['/', ':']) {
        return Err(InvalidName::Separator { value: quoted(s) });
    }
    at_most(what, s, 256)?;
    resolves_to_itself(what, s)?;
    plain(what, s)
}

fn check_alias(s: &str) -> Result<(), InvalidName> {
    let what = "alias";
    not_blank(what, s)?;
    if !s.chars().all(|c| is_word(c) || c == '-') {
        return Err(InvalidName::Characters {
            what,
            value: quoted(s),
            allowed: "Names may only contain alphanumerics, underscores (_), and dashes (-).",
        });
    }
    at_most("Registered model alias name", s, 255)?;
    if s.eq_ignore_ascii_case("latest") {
        return Err(InvalidName::AliasLatest);
    }
    let digits = s.strip_prefix(['v', 'V']).unwrap_or_default();
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidName::AliasVersion(s.to_owned()));
    }
    Ok(())
}

fn check_key(s: &str) -> Result<(), InvalidName> {
    let what = "key";
    if !s.is_empty() {
        not_blank(what, s)?;
    }
    if !s.chars().all(|c| is_word(c) || "/.- :".contains(c)) {
        return Err(InvalidName::Characters {
            what,
            value: double_quoted(s),
            allowed: "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), \
                      colon(:) and slashes (/).",
        });
    }
    resolves_to_itself(what, s)?;
    at_most(what, s, 250)
}

fn check_user(s: &str) -> Result<(), InvalidName> {
    ascii_id(
        "user",
        s,
        b"._@+-",
        "A person's id starts with a letter or digit; letters, digits and . _ @ + - may follow.",
    )
}

fn check_group(s: &str) -> Result<(), InvalidName> {
    ascii_id("group", s, b"._-", "A group's name starts with a letter or digit; letters, digits and . _ - may follow.")
}

fn check_id(s: &str) -> Result<(), InvalidName> {
    let canonical = uuid::Uuid::parse_str(s).is_ok_and(|u| u.to_string() == s);
    if canonical { Ok(()) } else { Err(InvalidName::Id(quoted(s))) }
}

fn check_digest(s: &str) -> Result<(), InvalidName> {
    let ok = s.len() == 64 && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if ok { Ok(()) } else { Err(InvalidName::Digest(quoted(s))) }
}

fn ascii_id(what: &'static str, s: &str, also: &[u8], allowed: &'static str) -> Result<(), InvalidName> {
    not_blank(what, s)?;
    at_most(what, s, 128)?;
    let starts = s.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if starts && s.bytes().all(|b| b.is_ascii_alphanumeric() || also.contains(&b)) {
        return Ok(());
    }
    Err(InvalidName::Characters { what, value: quoted(s), allowed })
}

/// Returns whether a character matches Python's `\w`: letters and digits of any script, and the underscore.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn not_blank(what: &'static str, s: &str) -> Result<(), InvalidName> {
    if s.trim().is_empty() { Err(InvalidName::Blank { what }) } else { Ok(()) }
}

fn at_most(what: &'static str, s: &str, max: usize) -> Result<(), InvalidName> {
    if s.chars().count() > max { Err(InvalidName::TooLong { what, max }) } else { Ok(()) }
}

fn plain(what: &'static str, s: &str) -> Result<(), InvalidName> {
    if s.chars().all(is_plain) {
        return Ok(());
    }
    Err(InvalidName::Characters {
        what,
        value: quoted(s),
        allowed: "Names cannot contain control, bidirectional or zero-width characters.",
    })
}

/// Checks MLflow's `path_not_unique`: `posixpath.normpath(name) == name`, the name is not `.` and does not start with
/// `..`.
fn resolves_to_itself(what: &'static str, s: &str) -> Result<(), InvalidName> {
    let resolved = normpath(s);
    if resolved == s && s != "." && !s.starts_with("..") && !s.starts_with('/') {
        return Ok(());
    }
    Err(InvalidName::Path { what, value: double_quoted(s), resolved: crate::text::one_line(&resolved).into_owned() })
}

/// Normalises a path as Python's `posixpath.normpath` does.
fn normpath(s: &str) -> String {
    let root = if s.starts_with("//") && !s.starts_with("///") {
        "//"
    } else if s.starts_with('/') {
        "/"
    } else {
        ""
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in s.split('/').filter(|p| !p.is_empty() && *p != ".") {
        let up = part == ".." && (root.is_empty() && parts.is_empty() || parts.last() == Some(&".."));
        if part != ".." || up {
            parts.push(part);
        } else {
            parts.pop();
        }
    }
    let joined = format!("{root}{}", parts.join("/"));
    if joined.is_empty() { ".".to_owned() } else { joined }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_names_are_mlflows() {
        for good in ["churn", "a b", " padded ", "größe", "100%", ".hidden", "日本語", "a\\b", "CON", "x.git", "…"]
        {
            assert!(ModelName::new(good).is_ok(), "{good}");
        }
        for bad in
            ["", "  ", "a/b", "a:b", ".", "..", "..a", "new\nline", "esc\u{1b}", "\u{202e}evil", &"x".repeat(257)]
        {
            assert!(ModelName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn refusals_have_mlflows_words() {
        let text = |r: Result<ModelName, InvalidName>| r.map_or_else(|e| e.to_string(), |n| n.to_string());
        assert_eq!(text(ModelName::new("a/b")), "Invalid model name 'a/b'. Names cannot contain '/' or ':'.");
        assert!(text(ModelName::new(".")).contains("This name would resolve to '.'"));
        assert_eq!(
            AliasName::new("v12").map_err(|e| e.to_string()),
            Err("Version alias name 'v12' is reserved.".into())
        );
        assert_eq!(
            AliasName::new("Latest").map_err(|e| e.to_string()),
            Err("'latest' alias name (case insensitive) is reserved.".into())
        );
    }

    #[test]
    fn keys_may_hold_slashes_but_not_walk() {
        for good in ["team", "mlflow.user", "a/b", "od280/od315_of_diluted_wines", "x y:z", "größe"] {
            assert!(Key::new(good).is_ok(), "{good}");
        }
        for bad in ["a@b", "/..", "a//b", "a/", "./a", "../a", ""] {
            assert!(Key::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_are_read_without_their_dashes() {
        let id = Id::from_parts(1_780_000_000_000, [7; 10]);
        let digits = id.as_str().replace('-', "");
        assert_eq!(Id::from_digits(&digits), Some(id.clone()));
        assert_eq!(Id::from_digits(&digits.to_uppercase()), Some(id.clone()));
        for bad in ["", id.as_str(), &digits[1..], &"g".repeat(32)] {
            assert_eq!(Id::from_digits(bad), None, "{bad}");
        }
    }

    #[test]
    fn ids_carry_their_time() {
        let id = Id::from_parts(1_700_000_000_123, [7; 10]);
        assert_eq!(id.millis(), Some(1_700_000_000_123));
        assert!(Id::new(id.as_str().to_uppercase()).is_err());
    }

    #[test]
    fn confusable_names_fold_alike() {
        assert_eq!(fold("Churn"), fold("churn"));
        assert_eq!(fold("cafe\u{301}"), fold("caf\u{e9}"));
        assert_eq!(fold("ｆｕｌｌ"), fold("full"));
        assert_ne!(fold("churn"), fold("churn2"));
    }

    #[test]
    fn normpath_is_pythons() {
        for (given, want) in
            [("a/../b", "b"), ("", "."), ("//a", "//a"), ("///a", "/a"), ("a/./b/", "a/b"), ("../..", "../..")]
        {
            assert_eq!(normpath(given), want, "{given}");
        }
    }
}
